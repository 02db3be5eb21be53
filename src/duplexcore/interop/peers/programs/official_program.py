"""The program of a Python peer: its flags, its client's cases one after another, its server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Mapping

from official import LARGE_REQUEST, LARGE_RESPONSE, Connect, Failed, Flags, Peer
from official_cases import CASES, Case


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"true or false, not {text!r}")
    return text.lower() == "true"


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = [pair.partition(":") for pair in text.split(";") if pair]
    if any(not colon for _, colon, _ in pairs):
        raise argparse.ArgumentTypeError("write key:value;key:value")
    return [(key.strip().lower(), value) for key, _, value in pairs]


def _switch(parser: argparse.ArgumentParser, name: str, help_: str) -> None:
    parser.add_argument(name, nargs="?", const=True, default=False, type=_truth, help=help_)


def _parser(library: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=f"The interop suite on {library}.", allow_abbrev=False)
    sides = parser.add_subparsers(dest="side", required=True)
    server = sides.add_parser("server", help="serve grpc.testing.TestService on 127.0.0.1")
    server.add_argument("--port", type=int, default=10_000, help="0: any free one")
    _switch(server, "--use_tls", "encrypt")
    server.add_argument("--tls_cert_file", default="", help="the certificate and its chain (PEM)")
    server.add_argument("--tls_key_file", default="", help="its key (PEM)")
    client = sides.add_parser("client", help="run cases against a server")
    client.add_argument("--server_host", default="localhost")
    client.add_argument("--server_port", type=int, default=10_000)
    client.add_argument("--server_host_override", default="", help="the name that the certificate must have")
    client.add_argument("--test_case", default="large_unary", help="one, or some with commas, or all")
    _switch(client, "--use_tls", "encrypt, and check the certificate")
    _switch(client, "--use_test_ca", "trust --ca_file instead of the system's authorities")
    client.add_argument("--ca_file", default="", help="an authority (PEM)")
    client.add_argument("--additional_metadata", type=_pairs, default=[], metavar="K:V;K:V")
    client.add_argument("--service_config_json", default="", help="not used: no case here needs one")
    client.add_argument("--soak_iterations", type=int, default=10)
    client.add_argument("--soak_max_failures", type=int, default=0)
    client.add_argument("--soak_per_iteration_max_acceptable_latency_ms", type=int, default=1_000)
    client.add_argument("--soak_overall_timeout_seconds", type=int, default=10)
    client.add_argument("--soak_request_size", type=int, default=LARGE_REQUEST)
    client.add_argument("--soak_response_size", type=int, default=LARGE_RESPONSE)
    observer = sides.add_parser("observe", help="say what the client makes of servers that misbehave")
    observer.add_argument("--server_host", default="127.0.0.1")
    observer.add_argument("--jobs", required=True, metavar="FILE", help="see observing.py")
    observer.set_defaults(server_host_override="", use_tls=False, ca_file="", additional_metadata=[])
    return parser


def main(
    library: str,
    *,
    serve: Callable[[Flags], None] | None,
    connect: Connect,
    lacks: Mapping[str, str] | None = None,
    blocking: bool = False,
) -> None:
    """The program of a peer. ``lacks``: case -> why its client can not do it; ``blocking``: its calls block; ``serve``:
    None where only its client is shown.

    Exit 0: no case failed; 1: one did; 2: wrong use."""
    parser = _parser(library)
    flags = parser.parse_args(namespace=Flags())
    if flags.side == "server":
        if serve is None:
            parser.error("there is no server here")
        with contextlib.suppress(KeyboardInterrupt):
            serve(flags)
        return
    flags.connect = connect
    if flags.side == "observe":
        import observing

        asyncio.run(observing.observe(observing.asked(flags), flags, blocking=blocking))
        return
    names = list(CASES) if flags.test_case == "all" else flags.test_case.split(",")
    if unknown := [name for name in names if name not in CASES]:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    sys.exit(asyncio.run(_run(names, flags, lacks or {})))


def listening(port: int) -> None:
    """Says that a server is ready."""
    print(f"listening on 127.0.0.1:{port}", flush=True)


async def _run(names: list[str], flags: Flags, lacks: Mapping[str, str]) -> int:
    failures = 0
    async with flags.connect(flags) as peer:
        for name in names:
            skip = lacks.get(name)
            started = time.monotonic()
            outcome, said = ("skipped", skip) if skip else await _outcome(CASES[name], peer, flags)
            failures += outcome == "failed"
            milliseconds = (time.monotonic() - started) * 1000
            print(f"{name:27}  {outcome:7}  {milliseconds:6.0f} ms{f'{chr(10)}    {said}' if said else ''}", flush=True)
    return 1 if failures else 0


async def _outcome(case: Case, peer: Peer, flags: Flags) -> tuple[str, str]:
    try:
        return "passed", await case(peer, flags) or ""
    except Failed as fault:
        return "failed", str(fault)
    except Exception as error:  # whatever the library raises that the case does not expect
        traceback.print_exc()
        return "failed", " ".join(f"{type(error).__name__}: {error}".split())
