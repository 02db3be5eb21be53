"""What the Python peers share: the official flags, the messages, the cases, and what the service answers.

Needs protobuf alone: a peer runs in an environment of its own, without duplexcore. A peer is a file beside this one,
with

* a client, an object like `Peer`: it makes calls with its library's own interface; cases that the library can not do
  stand in ``lacks``, with the reason;
* a server, which answers with `simple_response`, `stream_responses` and the others here, and ends calls as `Refused`
  says.

A client prints a line for each case, ``NAME passed MS``, or ``failed`` or ``skipped``, and indented below it what there
is to say, as `duplexcore interop client` does; a server prints ``listening on HOST:PORT``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

SERVICE = "grpc.testing.TestService"
LARGE_REQUEST, LARGE_RESPONSE = 271_828, 314_159
CLIENT_STREAM = (27_182, 8, 1_828, 45_904)
SERVER_STREAM = (31_415, 9, 2_653, 58_979)
INITIAL_KEY, TRAILING_KEY = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
INITIAL_VALUE, TRAILING_VALUE = "test_initial_metadata_value", b"\xab\xab\xab"
SPECIAL_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
CANCELLED, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, UNIMPLEMENTED = 1, 2, 3, 4, 12


def _messages() -> ModuleType:
    """The generated messages, by their path: `duplexcore` itself is not here."""
    path = Path(__file__).resolve().parents[2] / "proto" / "interop_pb2.py"
    spec = importlib.util.spec_from_file_location("interop_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pb: Any = _messages()


class Method(NamedTuple):
    """A method: its path, its kind as grpcio names kinds, its messages."""

    path: str
    kind: str
    request: type[Any]
    response: type[Any]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def _method(name: str, kind: str, request: str, response: str, service: str = SERVICE) -> Method:
    return Method(f"/{service}/{name}", kind, getattr(pb, request), getattr(pb, response))


EMPTY_CALL = _method("EmptyCall", "unary_unary", "Empty", "Empty")
UNARY_CALL = _method("UnaryCall", "unary_unary", "SimpleRequest", "SimpleResponse")
OUTPUT_CALL = _method(
    "StreamingOutputCall", "unary_stream", "StreamingOutputCallRequest", "StreamingOutputCallResponse"
)
INPUT_CALL = _method("StreamingInputCall", "stream_unary", "StreamingInputCallRequest", "StreamingInputCallResponse")
DUPLEX_CALL = _method("FullDuplexCall", "stream_stream", "StreamingOutputCallRequest", "StreamingOutputCallResponse")
HALF_DUPLEX_CALL = _method(
    "HalfDuplexCall", "stream_stream", "StreamingOutputCallRequest", "StreamingOutputCallResponse"
)
#: Absent from every server.
NO_METHOD = _method("UnimplementedCall", "unary_unary", "Empty", "Empty")
NO_SERVICE = _method("UnimplementedCall", "unary_unary", "Empty", "Empty", "grpc.testing.UnimplementedService")


# -- what a server answers ---------------------------------------------------------------------------------------------


class Refused(Exception):
    """The call is to end with this code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


def refuse_if_asked(request: Any) -> None:
    """EchoStatus, and payloads of a type that nobody knows."""
    if request.HasField("response_status") and request.response_status.code:
        raise Refused(request.response_status.code, request.response_status.message)
    if request.response_type != pb.COMPRESSABLE:
        raise Refused(INVALID_ARGUMENT, "an unsupported response_type")


def simple_response(request: Any) -> Any:
    """UnaryCall."""
    refuse_if_asked(request)
    response = pb.SimpleResponse(payload=pb.Payload(body=bytes(request.response_size)))
    if request.fill_server_id:
        response.server_id = f"{Path(sys.argv[0]).stem}-{os.getpid()}"
    return response


class Planned(NamedTuple):
    """One response of a stream: seconds to wait before it, whether to compress it (None: as you like), and itself."""

    delay: float
    compress: bool | None
    response: Any


def stream_responses(request: Any) -> Iterator[Planned]:
    """StreamingOutputCall, FullDuplexCall: the responses to one request."""
    refuse_if_asked(request)
    for wanted in request.response_parameters:
        compress = wanted.compressed.value if wanted.HasField("compressed") else None
        response = pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(wanted.size)))
        yield Planned(wanted.interval_us / 1e6, compress, response)


def echoes(metadata: Iterable[tuple[str, Any]]) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """EchoMetadata: what of a request's metadata goes back as initial and as trailing metadata."""
    pairs = list(metadata)
    return [pair for pair in pairs if pair[0] == INITIAL_KEY], [pair for pair in pairs if pair[0] == TRAILING_KEY]


# -- what a client needs -----------------------------------------------------------------------------------------------


class Failed(Exception):
    """A case's expectation does not hold."""


@dataclass
class Result:
    """How a call ended, and for a unary one the response. ``compressed``: whether it came so; None: the library does
    not tell."""

    code: int
    message: str = ""
    response: Any = None
    initial: list[tuple[str, Any]] = field(default_factory=list)
    trailing: list[tuple[str, Any]] = field(default_factory=list)
    compressed: bool | None = None


class Call(Protocol):
    """A call of a kind that streams."""

    async def send(self, message: Any, *, compress: bool | None = None) -> None: ...
    async def half_close(self) -> None: ...
    async def receive(self) -> Any:
        """The next response; None when the call has ended, however."""

    def compressed(self) -> bool | None:
        """Whether the response that came last came compressed; None: the library does not tell."""

    async def cancel(self) -> None: ...
    async def end(self) -> Result:
        """Waits for the end."""


class Peer(Protocol):
    """A channel of the library that is shown. ``metadata`` is pairs, the values of ``-bin`` keys bytes."""

    async def unary(
        self,
        method: Method,
        request: Any,
        *,
        metadata: Any = (),
        compress: bool | None = None,
        timeout: float | None = None,
    ) -> Result: ...
    async def stream(self, method: Method, *, metadata: Any = (), timeout: float | None = None) -> Call: ...


Connect = Callable[["Flags"], contextlib.AbstractAsyncContextManager[Peer]]


# -- expectations ------------------------------------------------------------------------------------------------------


def equal(what: str, came: object, wanted: object) -> None:
    if came != wanted:
        raise Failed(f"{what}: {wanted!r} expected, {came!r} came")


def code(result: Result, wanted: int = 0) -> None:
    if result.code != wanted:
        raise Failed(f"status {wanted} expected, {result.code} came: {result.message!r}")


def body(response: Any, size: int) -> None:
    if response is None:
        raise Failed(f"a response of {size} bytes expected, none came")
    equal("size of the response's body", len(response.payload.body), size)


def flag(came: bool | None, wanted: bool) -> str:
    """Whether a response was compressed as it was asked to be; what to note if the library does not tell."""
    if came is None:
        return "the sizes hold; the library does not tell whether a message came compressed"
    equal("the response's compressed flag", came, wanted)
    return ""


def payload(size: int) -> Any:
    return pb.Payload(body=bytes(size))


def large(**more: Any) -> Any:
    return pb.SimpleRequest(response_size=LARGE_RESPONSE, payload=payload(LARGE_REQUEST), **more)


def asking(*sizes: int, **more: Any) -> Any:
    wanted = [pb.ResponseParameters(size=size) for size in sizes]
    return pb.StreamingOutputCallRequest(response_parameters=wanted, **more)


# -- the cases: each returns what to note beside a pass ----------------------------------------------------------------


async def empty_unary(peer: Peer, _: Flags) -> None:
    result = await peer.unary(EMPTY_CALL, pb.Empty())
    code(result)
    equal("the response", result.response, pb.Empty())


async def large_unary(peer: Peer, _: Flags) -> None:
    result = await peer.unary(UNARY_CALL, large())
    code(result)
    body(result.response, LARGE_RESPONSE)


async def client_compressed_unary(peer: Peer, _: Flags) -> None:
    probe = await peer.unary(UNARY_CALL, large(expect_compressed=pb.BoolValue(value=True)), compress=False)
    code(probe, INVALID_ARGUMENT)
    for compress in (True, False):
        request = large(expect_compressed=pb.BoolValue(value=compress))
        result = await peer.unary(UNARY_CALL, request, compress=compress)
        code(result)
        body(result.response, LARGE_RESPONSE)


async def server_compressed_unary(peer: Peer, _: Flags) -> str:
    note = ""
    for compressed in (True, False):
        result = await peer.unary(UNARY_CALL, large(response_compressed=pb.BoolValue(value=compressed)))
        code(result)
        body(result.response, LARGE_RESPONSE)
        note = flag(result.compressed, compressed)
    return note


async def client_streaming(peer: Peer, _: Flags) -> None:
    call = await peer.stream(INPUT_CALL)
    for size in CLIENT_STREAM:
        await call.send(pb.StreamingInputCallRequest(payload=payload(size)))
    await call.half_close()
    await _aggregated(call, sum(CLIENT_STREAM))


async def client_compressed_streaming(peer: Peer, _: Flags) -> None:
    def sent(size: int, expect: bool) -> Any:
        return pb.StreamingInputCallRequest(payload=payload(size), expect_compressed=pb.BoolValue(value=expect))

    probe = await peer.stream(INPUT_CALL)
    await probe.send(sent(27_182, True), compress=False)
    await probe.half_close()
    code(await probe.end(), INVALID_ARGUMENT)
    call = await peer.stream(INPUT_CALL)
    await call.send(sent(27_182, True), compress=True)
    await call.send(sent(45_904, False), compress=False)
    await call.half_close()
    await _aggregated(call, 73_086)


async def _aggregated(call: Call, total: int) -> None:
    response = await call.receive()
    code(await call.end())
    if response is None:
        raise Failed("a response expected, none came")
    equal("the sum of the sizes", response.aggregated_payload_size, total)


async def server_streaming(peer: Peer, _: Flags) -> None:
    call = await peer.stream(OUTPUT_CALL)
    await call.send(asking(*SERVER_STREAM))
    await call.half_close()
    await _bodies(call, SERVER_STREAM)


async def _bodies(call: Call, sizes: Iterable[int]) -> None:
    for size in sizes:
        body(await call.receive(), size)
    await _nothing_more(call)


async def _nothing_more(call: Call) -> None:
    equal("a response after the last", await call.receive(), None)
    code(await call.end())


async def server_compressed_streaming(peer: Peer, _: Flags) -> str:
    wanted = [(31_415, True), (92_653, False)]
    parameters = [
        pb.ResponseParameters(size=size, compressed=pb.BoolValue(value=compressed)) for size, compressed in wanted
    ]
    call = await peer.stream(OUTPUT_CALL)
    await call.send(pb.StreamingOutputCallRequest(response_parameters=parameters))
    await call.half_close()
    note = ""
    for size, compressed in wanted:
        body(await call.receive(), size)
        note = flag(call.compressed(), compressed)
    await _nothing_more(call)
    return note


async def ping_pong(peer: Peer, _: Flags) -> None:
    call = await peer.stream(DUPLEX_CALL)
    for response, request in zip(SERVER_STREAM, CLIENT_STREAM, strict=True):
        await call.send(asking(response, payload=payload(request)))
        body(await call.receive(), response)
    await call.half_close()
    await _nothing_more(call)


async def empty_stream(peer: Peer, _: Flags) -> None:
    call = await peer.stream(DUPLEX_CALL)
    await call.half_close()
    await _nothing_more(call)


async def custom_metadata(peer: Peer, _: Flags) -> None:
    metadata = [(INITIAL_KEY, INITIAL_VALUE), (TRAILING_KEY, TRAILING_VALUE)]

    def echoed(result: Result) -> None:
        code(result)
        equal("echo in initial metadata", [v for k, v in result.initial if k == INITIAL_KEY], [INITIAL_VALUE])
        equal("echo in trailing metadata", [v for k, v in result.trailing if k == TRAILING_KEY], [TRAILING_VALUE])

    echoed(await peer.unary(UNARY_CALL, large(), metadata=metadata))
    call = await peer.stream(DUPLEX_CALL, metadata=metadata)
    await call.send(asking(LARGE_RESPONSE, payload=payload(LARGE_REQUEST)))
    await call.half_close()
    body(await call.receive(), LARGE_RESPONSE)
    equal("a response after the last", await call.receive(), None)
    echoed(await call.end())


async def status_code_and_message(peer: Peer, _: Flags) -> None:
    status = pb.EchoStatus(code=UNKNOWN, message="test status message")
    unary = await peer.unary(UNARY_CALL, pb.SimpleRequest(response_status=status))
    code(unary, UNKNOWN)
    equal("the status message", unary.message, status.message)
    call = await peer.stream(DUPLEX_CALL)
    await call.send(pb.StreamingOutputCallRequest(response_status=status))
    await call.half_close()
    result = await call.end()
    code(result, UNKNOWN)
    equal("the status message of the duplex call", result.message, status.message)


async def special_status_message(peer: Peer, _: Flags) -> None:
    status = pb.EchoStatus(code=UNKNOWN, message=SPECIAL_MESSAGE)
    result = await peer.unary(UNARY_CALL, pb.SimpleRequest(response_status=status))
    code(result, UNKNOWN)
    equal("the status message", result.message, SPECIAL_MESSAGE)


async def unimplemented_method(peer: Peer, _: Flags) -> None:
    code(await peer.unary(NO_METHOD, pb.Empty()), UNIMPLEMENTED)


async def unimplemented_service(peer: Peer, _: Flags) -> None:
    code(await peer.unary(NO_SERVICE, pb.Empty()), UNIMPLEMENTED)


async def cancel_after_begin(peer: Peer, _: Flags) -> None:
    call = await peer.stream(INPUT_CALL)
    await call.cancel()
    code(await call.end(), CANCELLED)


async def cancel_after_first_response(peer: Peer, _: Flags) -> None:
    call = await peer.stream(DUPLEX_CALL)
    await call.send(asking(31_415, payload=payload(27_182)))
    body(await call.receive(), 31_415)
    await call.cancel()
    code(await call.end(), CANCELLED)


async def timeout_on_sleeping_server(peer: Peer, _: Flags) -> None:
    call = await peer.stream(DUPLEX_CALL, timeout=0.001)
    await call.send(pb.StreamingOutputCallRequest(payload=payload(27_182)))
    code(await call.end(), DEADLINE_EXCEEDED)


async def pick_first_unary(peer: Peer, _: Flags) -> None:
    request = pb.SimpleRequest(response_size=1, payload=payload(1), fill_server_id=True)
    seen = set()
    for _number in range(100):
        result = await peer.unary(UNARY_CALL, request)
        code(result)
        seen.add(result.response.server_id)
    if len(seen) != 1 or "" in seen:
        raise Failed(f"one server_id expected in every response, {sorted(seen)} came")


async def rpc_soak(peer: Peer, flags: Flags) -> None:
    await _soak(flags, lambda: contextlib.nullcontext(peer))


async def channel_soak(_: Peer, flags: Flags) -> None:
    await _soak(flags, lambda: flags.connect(flags))


async def _soak(flags: Flags, channel: Callable[[], contextlib.AbstractAsyncContextManager[Peer]]) -> None:
    faults, until = [], time.monotonic() + flags.soak_overall_timeout_seconds
    for number in range(flags.soak_iterations):
        if time.monotonic() > until:
            raise Failed(f"{number} of {flags.soak_iterations} iterations within the overall timeout")
        started = time.monotonic()
        async with channel() as peer:
            request = pb.SimpleRequest(response_size=flags.soak_response_size, payload=payload(flags.soak_request_size))
            result = await peer.unary(UNARY_CALL, request)
            elapsed = (time.monotonic() - started) * 1000
        size = len(result.response.payload.body) if result.response is not None else 0
        good = result.code == 0 and size == flags.soak_response_size
        if not good or elapsed > flags.soak_per_iteration_max_acceptable_latency_ms:
            faults.append(f"iteration {number}: status {result.code}, {size} bytes, {elapsed:.0f} ms")
    if len(faults) > flags.soak_max_failures:
        raise Failed(f"{len(faults)} of {flags.soak_iterations} iterations failed or were slow; {faults[0]}")


Case = Callable[[Peer, "Flags"], Awaitable[str | None]]
CASES: dict[str, Case] = {
    case.__name__: case
    for case in (
        empty_unary,
        large_unary,
        client_compressed_unary,
        server_compressed_unary,
        client_streaming,
        client_compressed_streaming,
        server_streaming,
        server_compressed_streaming,
        ping_pong,
        empty_stream,
        custom_metadata,
        status_code_and_message,
        special_status_message,
        unimplemented_method,
        unimplemented_service,
        cancel_after_begin,
        cancel_after_first_response,
        timeout_on_sleeping_server,
        pick_first_unary,
        rpc_soak,
        channel_soak,
    )
}


# -- the program -------------------------------------------------------------------------------------------------------


class Flags(argparse.Namespace):
    """The official flags, and those of grpc-go that name TLS files."""

    # of a server
    port: int
    tls_cert_file: str
    tls_key_file: str
    # of a client
    server_host: str
    server_port: int
    server_host_override: str
    test_case: str
    ca_file: str
    additional_metadata: list[tuple[str, str]]
    soak_iterations: int
    soak_max_failures: int
    soak_per_iteration_max_acceptable_latency_ms: int
    soak_overall_timeout_seconds: int
    soak_request_size: int
    soak_response_size: int
    # of an observer
    jobs: str
    # of all
    use_tls: bool
    connect: Connect

    @property
    def target(self) -> str:
        return f"{self.server_host}:{self.server_port}"

    def read(self, name: str) -> bytes:
        """The bytes of the file that a flag names."""
        return Path(getattr(self, name)).read_bytes()


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
