"""`duplexcore interop http2`: the server that breaks the rules on purpose, with its options and what it prints."""

from __future__ import annotations

import difflib
import json
import signal
import ssl
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from duplexcore.testing.misbehaving import CASES, MisbehavingServer, ServerCase, misbehave

from .interop_app import FILE, common
from .interop_flags import client_tls, server_tls
from .problems import WrongUse, check_writable, run, told_as_wrong_use, write
from .signals import signals

__all__ = ["http2"]

DEFAULT_PORT = 12_000


@dataclass(frozen=True)
class Options:
    """What the flags say."""

    cases: Sequence[ServerCase]
    host: str
    port: int
    tls: ssl.SSLContext | None
    patience: float
    json: Path | None
    try_own: bool
    #: With it, how duplexcore's client trusts the server; None without TLS.
    try_tls: ssl.SSLContext | None


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    metavar="BASE",
    help="The first case's port; the others follow it, one each. 0: free ones, printed.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; '' is every interface.")
@click.option("--only", multiple=True, metavar="NAME,...", help="Cases, separated by commas. [default: all]")
@click.option("--list", "only_list", is_flag=True, help="Tell what each case does and asks for; serve none.")
@click.option(
    "--try", "try_own", is_flag=True, help="Run duplexcore's own client through the cases, and stop after that."
)
@click.option(
    "--patience",
    type=click.FloatRange(0, 60, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a client may take for what it must do next.",
)
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write cases and verdicts there at the end.")
@click.option("--tls", is_flag=True, help="Encrypt; without --cert with the test authority's certificate.")
@click.option("--cert", type=FILE, metavar="FILE", help="The certificate and its chain (PEM); means --tls.")
@click.option("--key", type=FILE, metavar="FILE", help="Its key (PEM), if not in the same file.")
@common
def http2(
    port: int,
    host: str,
    only: tuple[str, ...],
    only_list: bool,
    try_own: bool,
    patience: float,
    json_file: Path | None,
    tls: bool,
    cert: Path | None,
    key: Path | None,
    test_ca_dir: Path | None,
    backend: str,
    debug: bool,
) -> None:
    """Serve cases that break the rules of HTTP/2 and gRPC, one a port, to see what a client makes of them.

    The first eight are the official negative cases. Point any client at a port, make the calls that the case asks for
    (of grpc.testing.TestService), and look at the status of the first one. What else the client must do shows on the
    wire: when its connection ends, a line here says pass or fail, and by which rule of docs/requirements.md.

    \b
    Examples
        duplexcore interop http2 --list
        duplexcore interop http2 --only goaway,ping --port 0
        duplexcore interop http2 --try
        duplexcore interop client --test_case rst_after_header --server_port 12001
    \b
    Exit code
        0   no connection has failed (SIGTERM and Ctrl-C end it)
        1   one has, or with --try a call of duplexcore's client
        2   wrong use: a flag, a case, a file, a port that is taken
    """
    cases = _chosen(only)
    if only_list:
        for case in cases:
            click.echo(_described(case))
        return
    if port and port + len(cases) - 1 > 65535:
        raise click.UsageError(f"--port {port}: {len(cases)} cases need as many ports from there on")
    if try_own and cert:
        raise click.UsageError("--try is for the test authority's certificate: leave --cert out")
    context = server_tls(tls, cert, key, test_ca_dir)
    with told_as_wrong_use():
        check_writable(json_file)
    own = client_tls(tls, tls, None, test_ca_dir if tls else None) if try_own else None
    options = Options(cases, host, port, context, patience, json_file, try_own, own)
    code = run(backend, debug, lambda: _serve(options))
    raise click.exceptions.Exit(code)


def _chosen(only: tuple[str, ...]) -> list[ServerCase]:
    names = [name for name in ",".join(only).replace(" ", "").split(",") if name]
    for name in names:
        if name not in CASES:
            near = difflib.get_close_matches(name, CASES, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise click.UsageError(f"there is no case {name!r}: {hint}--list tells which there are")
    return [CASES[name] for name in dict.fromkeys(names)] or list(CASES.values())


async def _serve(options: Options) -> int:
    """Until SIGTERM or SIGINT, or with ``--try`` until its calls are made. The exit code."""
    try:
        async with (
            # Before the first line is printed: who waits for it may send a signal at once.
            signals(signal.SIGTERM, signal.SIGINT) as caught,
            misbehave(
                *options.cases,
                host=options.host,
                port=options.port,
                tls=options.tls,
                patience=options.patience,
                on_verdict=lambda verdict: click.echo(str(verdict)),
            ) as server,
        ):
            _tell(server)
            failed = await _try_own(server, options) if options.try_own else False
            if not options.try_own:
                click.echo("Ctrl-C or SIGTERM stops")
                await anext(caught)
            server.stop()
    except OSError as error:
        hint = "another --port, or --port 0 for free ones"
        raise WrongUse(f"cannot listen on {options.host}: {error.strerror or error}", hint) from error
    if options.json is not None:
        write(options.json, json.dumps(_report(server), indent=1) + "\n")
    verdicts = server.verdicts
    bad = sum(not verdict.passed for verdict in verdicts)
    click.echo(f"stopped: {len(verdicts)} connections judged, {bad} failed")
    return 1 if bad or failed else 0


async def _try_own(server: MisbehavingServer, options: Options) -> bool:
    """Whether a call of duplexcore's client has ended otherwise than the cases say."""
    from duplexcore.interop.case import CaseOptions, CaseRun, Target
    from duplexcore.interop.client import Verdict as Went
    from duplexcore.interop.client import run_case
    from duplexcore.interop.negative import client_case

    failed = False
    for case in options.cases:
        target = Target(f"localhost:{server.ports[case.name]}", options.try_tls)
        outcome = await run_case(client_case(case), CaseRun(target, CaseOptions(case_timeout=30.0)))
        await server.settled()
        if outcome.verdict is not Went.PASSED:
            failed = True
            said = ", ".join(f"{heading} {text}" for heading, text in outcome.details)
            click.echo(f"{case.name} client FAIL: {said}")
    return failed


# --- what is printed --------------------------------------------------------------------------------------------------


def _tell(server: MisbehavingServer) -> None:
    width = max(len(case.name) for case in server.cases)
    for case in server.cases:
        status = " or ".join(code.name for code in case.status)
        click.echo(f"{server.ports[case.name]:5}  {case.name:{width}}  {status}; {case.must} ({', '.join(case.rules)})")


def _described(case: ServerCase) -> str:
    """Some lines for one case."""
    status = " or ".join(code.name for code in case.status)
    texts = (
        ("server", case.does),
        ("client", case.exercise.value),
        ("status", f"{status}; {case.must}"),
        ("rules", ", ".join(case.rules)),
    )
    lines = "\n".join(f"{heading:8}{text}" for heading, text in texts)
    return f"{case.name}\n{textwrap.indent(lines, '    ')}"


def _report(server: MisbehavingServer) -> dict[str, object]:
    return {
        "cases": [_as_json(case, server) for case in server.cases],
        "verdicts": [verdict.as_json() for verdict in server.verdicts],
    }


def _as_json(case: ServerCase, server: MisbehavingServer) -> dict[str, object]:
    return {
        "name": case.name,
        "port": server.ports[case.name],
        "server": case.does,
        "client": case.exercise.value,
        "must": case.must,
        "status": [code.name for code in case.status],
        "rules": list(case.rules),
    }
