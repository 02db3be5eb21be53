"""grpcio, the synchronous one, as a peer: servers with handlers over plain bytes, and channels.

No message limit but where a test sets one, so that it is the other side that judges. Compression is never asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import grpc

UNARY, COLLECT, EXPAND, ECHO = (f"/interop.Peer/{name}" for name in ("Unary", "Collect", "Expand", "Echo"))
#: The methods of every peer, and their kinds.
KINDS = {UNARY: "unary_unary", COLLECT: "stream_unary", EXPAND: "unary_stream", ECHO: "stream_stream"}

#: Messages of any size in both directions.
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
#: A channel of its own connection: grpcio shares connections between channels of one process that look the same.
ALONE = [("grpc.use_local_subchannel_pool", 1)]

Options = Sequence[tuple[str, Any]]
Handlers = dict[str, Callable[..., Any]]


@dataclass(frozen=True)
class Identity:
    """A certificate for ``localhost`` as PEM, and the authority that signed it."""

    certificate: bytes
    key: bytes
    ca: bytes


def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
    """The request comes back."""
    return request


def collect(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
    """The last of the requests comes back."""
    return [b"", *requests][-1]


def expand(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    """The request comes back between two empty messages."""
    yield b""
    yield request
    yield b""


def echo(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    """Each request comes back."""
    yield from requests


ECHOES: Handlers = {UNARY: unary, COLLECT: collect, EXPAND: expand, ECHO: echo}


class GenericHandlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Functions by path, over bytes. The kind of a path that is not one of `KINDS` is duplex."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def service(self, details: Any) -> Any:
        handler = self._handlers.get(details.method)
        if handler is None:
            return None
        kind = KINDS.get(details.method, "stream_stream")
        return getattr(grpc, f"{kind}_rpc_method_handler")(handler)


class GrpcServer:
    """A running server. ``serving``: what came from which connection, as it came: the path and the peer."""

    def __init__(
        self,
        handlers: Handlers | None = None,
        options: Options = UNLIMITED,
        identity: Identity | None = None,
        workers: int = 16,
        port: int = 0,
    ) -> None:
        self._pool = futures.ThreadPoolExecutor(workers, thread_name_prefix="grpcio-server")
        self._server = grpc.server(self._pool, options=[*options, ("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((GenericHandlers(handlers or ECHOES),))
        if identity is None:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            credentials = grpc.ssl_server_credentials([(identity.key, identity.certificate)])
            self.port = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        self._server.start()

    def stop(self, grace: float | None = None) -> threading.Event:
        """Says GOAWAY; the event is set when all is over."""
        return self._server.stop(grace)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop().wait()
        self._pool.shutdown()


class GrpcChannel:
    """A channel on a connection of its own, with multicallables over bytes."""

    def __init__(self, port: int, options: Options = UNLIMITED, identity: Identity | None = None) -> None:
        options = [*options, *ALONE]
        if identity is None:
            self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=options)
        else:
            credentials = grpc.ssl_channel_credentials(identity.ca)
            self.channel = grpc.secure_channel(f"localhost:{port}", credentials, options=options)

    def method(self, path: str) -> Any:
        """The multicallable of a path; duplex unless it is one of `KINDS`."""
        return getattr(self.channel, KINDS.get(path, "stream_stream"))(path)

    def unary(self, request: bytes, **options: Any) -> bytes:
        return self.method(UNARY)(request, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()


class Feed:
    """Requests for a call of grpcio that come when the test says so: an iterator that waits."""

    def __init__(self, *messages: bytes) -> None:
        self._ready = threading.Condition()
        self._messages = list(messages)
        self._over = False

    def send(self, message: bytes) -> None:
        with self._ready:
            self._messages.append(message)
            self._ready.notify_all()

    def half_close(self) -> None:
        with self._ready:
            self._over = True
            self._ready.notify_all()

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> bytes:
        with self._ready:
            self._ready.wait_for(lambda: self._messages or self._over)
            if self._messages:
                return self._messages.pop(0)
            raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.half_close()  # or grpcio's thread that asks for more would wait for ever


def pattern(size: int) -> bytes:
    """A message in which no part looks like another: misplaced bytes show."""
    if size < 4:
        return b"abc"[:size]
    words = b"".join(at.to_bytes(4, "big") for at in range(min(size, 65_536) // 4))
    block = (words * (size // len(words) + 1))[: size - 4]
    return size.to_bytes(4, "big") + block


def pairs(metadata: Iterable[Any] | None) -> list[tuple[str, str | bytes]]:
    """grpcio's metadata as plain pairs."""
    return [(key, value) for key, value in metadata or ()]


@contextmanager
def failure() -> Iterator[Any]:
    """``with failure() as got: ...``: the `grpc.RpcError` of the block is ``got.error``."""

    class Got:
        error: Any = None

    got = Got()
    try:
        yield got
    except grpc.RpcError as error:
        got.error = error
    assert got.error is not None, "the call did not fail"
