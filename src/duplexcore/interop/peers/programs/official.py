"""What the Python peers share: the official messages, flags, and what the service answers. The cases stand in
`official_cases`, the program around them in `official_program`.

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
import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator
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


# -- requests of usual sizes -------------------------------------------------------------------------------------------


def payload(size: int) -> Any:
    return pb.Payload(body=bytes(size))


def large(**more: Any) -> Any:
    return pb.SimpleRequest(response_size=LARGE_RESPONSE, payload=payload(LARGE_REQUEST), **more)


def asking(*sizes: int, **more: Any) -> Any:
    wanted = [pb.ResponseParameters(size=size) for size in sizes]
    return pb.StreamingOutputCallRequest(response_parameters=wanted, **more)


# -- flags -------------------------------------------------------------------------------------------------------------


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
