"""Both ends of a connection: one of ours, one of grpcio's, which is the synchronous one or grpc.aio.

The methods are those of `tests.support.grpc_peer`. A request ``please N`` is answered by a message of N bytes; any
other comes back as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, TypeVar

import anyio
import anyio.to_thread
import grpc
import grpc.aio
import trustme

from duplexcore import ServerConfig
from duplexcore.rpc import ClientStreamingMethod, DuplexMethod, ServerStreamingMethod, UnaryMethod
from duplexcore_anyio import (
    Channel,
    ClientStreamingServerCall,
    DuplexServerCall,
    Router,
    Server,
    ServerContext,
    connect,
    serve,
)
from tests.support import grpc_peer
from tests.support.grpc_aio_peer import AioPeer
from tests.support.grpc_peer import ALONE, GenericHandlers, GrpcChannel, GrpcServer, Handlers, Identity, pattern

T = TypeVar("T")

Flavour = Literal["grpcio", "grpc.aio"]

UNARY = UnaryMethod(grpc_peer.UNARY, bytes, bytes)
COLLECT = ClientStreamingMethod(grpc_peer.COLLECT, bytes, bytes)
EXPAND = ServerStreamingMethod(grpc_peer.EXPAND, bytes, bytes)
ECHO = DuplexMethod(grpc_peer.ECHO, bytes, bytes)


def answer(request: bytes) -> bytes:
    word, _, size = request.partition(b" ")
    return pattern(int(size)) if word == b"please" else request


# --- handlers: ours ---------------------------------------------------------------------------------------------------


async def our_unary(request: bytes, context: ServerContext) -> bytes:
    return answer(request)


async def our_collect(call: ClientStreamingServerCall[bytes]) -> bytes:
    """Answers the last request."""
    return answer([b"", *[request async for request in call]][-1])


async def our_expand(request: bytes, context: ServerContext) -> AsyncIterator[bytes]:
    """The answer between two empty messages."""
    yield b""
    yield answer(request)
    yield b""


async def our_echo(call: DuplexServerCall[bytes, bytes]) -> None:
    async for request in call:
        await call.send(answer(request))


def routed(**instead: Callable[..., Any]) -> Router:
    """The four echoes, or others instead: ``routed(echo=...)``."""
    router = Router()
    router.add(UNARY, instead.get("unary", our_unary))
    router.add(COLLECT, instead.get("collect", our_collect))
    router.add(EXPAND, instead.get("expand", our_expand))
    router.add(ECHO, instead.get("echo", our_echo))
    return router


# --- handlers: theirs -------------------------------------------------------------------------------------------------


def _collect(requests: Iterator[bytes], context: Any) -> bytes:
    return answer([b"", *requests][-1])


def _expand(request: bytes, context: Any) -> Iterator[bytes]:
    yield from (b"", answer(request), b"")


def _echo(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
    yield from map(answer, requests)


SYNC: Handlers = {
    grpc_peer.UNARY: lambda request, context: answer(request),
    grpc_peer.COLLECT: _collect,
    grpc_peer.EXPAND: _expand,
    grpc_peer.ECHO: _echo,
}


async def _aio_unary(request: bytes, context: Any) -> bytes:
    return answer(request)


async def _aio_collect(requests: AsyncIterator[bytes], context: Any) -> bytes:
    return answer([b"", *[request async for request in requests]][-1])


async def _aio_expand(request: bytes, context: Any) -> AsyncIterator[bytes]:
    yield b""
    yield answer(request)
    yield b""


async def _aio_echo(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield answer(request)


AIO: Handlers = {
    grpc_peer.UNARY: _aio_unary,
    grpc_peer.COLLECT: _aio_collect,
    grpc_peer.EXPAND: _aio_expand,
    grpc_peer.ECHO: _aio_echo,
}


# --- TLS --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Credentials:
    """What both implementations need for TLS on ``localhost``."""

    identity: Identity
    authority: trustme.CA
    leaf: trustme.LeafCert


@cache
def credentials() -> Credentials:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    certificate = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    identity = Identity(certificate, leaf.private_key_pem.bytes(), authority.cert_pem.bytes())
    return Credentials(identity, authority, leaf)


# --- servers and channels ---------------------------------------------------------------------------------------------


@dataclass
class Peers:
    """The other implementation. All that blocks runs in threads, all of grpc.aio on its own loop."""

    flavour: Flavour
    aio: AioPeer
    tls: bool = False

    @property
    def identity(self) -> Identity | None:
        return credentials().identity if self.tls else None

    @asynccontextmanager
    async def server(self, handlers: Handlers | None = None, options: grpc_peer.Options = ()) -> AsyncIterator[Channel]:
        """A channel of ours to a server of theirs, which says what it receives up to 4 MiB and sends all it is told."""
        async with self.listening(handlers, options) as listening, self.connected(listening.port) as channel:
            yield channel

    @asynccontextmanager
    async def listening(self, handlers: Handlers | None = None, options: grpc_peer.Options = ()) -> AsyncIterator[Any]:
        """A server of theirs: it has ``port`` and ``stop(grace)``."""
        if self.flavour == "grpcio":
            with GrpcServer(handlers or SYNC, options, self.identity) as server:
                yield server
            return
        aio_server = await self.aio.run(self._start_aio(handlers or AIO, options))
        try:
            yield aio_server
        finally:
            with anyio.CancelScope(shield=True):
                await self.aio.run(aio_server.server.stop(None))

    async def _start_aio(self, handlers: Handlers, options: grpc_peer.Options) -> AioServer:
        server = grpc.aio.server(options=[*options, ("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((GenericHandlers(handlers),))
        if self.identity is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            pair = (self.identity.key, self.identity.certificate)
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        await server.start()
        return AioServer(server, port, self.aio)

    @asynccontextmanager
    async def connected(self, port: int, **options: Any) -> AsyncIterator[Channel]:
        """Our channel to it."""
        context = None
        if self.tls:
            context = ssl_context(server_side=False)
            credentials().authority.configure_trust(context)
        async with connect(f"{self.host}:{port}", tls=context, **options) as channel:
            yield channel

    @property
    def host(self) -> str:
        return "localhost" if self.tls else "127.0.0.1"

    @asynccontextmanager
    async def our_server(
        self, router: Router, config: ServerConfig | None = None, **options: Any
    ) -> AsyncIterator[Server]:
        """A server of ours, for `client`."""
        context = None
        if self.tls:
            context = ssl_context(server_side=True)
            credentials().leaf.configure_cert(context)
        async with serve(router, "127.0.0.1:0", tls=context, config=config, **options) as server:
            yield server

    async def client(
        self, port: int, sync: Callable[[GrpcChannel], T], aio: Callable[[AioChannel], Any], options: Any = ()
    ) -> T:
        """Runs ``sync`` or ``aio`` with a channel of theirs: what it returned."""
        if self.flavour == "grpcio":

            def body() -> T:
                with GrpcChannel(port, options, self.identity) as channel:
                    return sync(channel)

            return await anyio.to_thread.run_sync(body)

        async def main() -> T:
            chosen = [*options, *ALONE]
            if self.identity is None:
                channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=chosen)
            else:
                trust = grpc.ssl_channel_credentials(self.identity.ca)
                channel = grpc.aio.secure_channel(f"localhost:{port}", trust, options=chosen)
            async with channel:
                return await aio(AioChannel(channel))

        return await self.aio.run(main())


@dataclass
class AioServer:
    """A server on grpc.aio's loop."""

    server: Any
    port: int
    aio: AioPeer

    async def stop(self, grace: float | None) -> None:
        """Says GOAWAY; returns when all is over."""
        await self.aio.run(self.server.stop(grace))


@dataclass
class AioChannel:
    """A channel on grpc.aio's loop."""

    channel: Any

    def method(self, path: str) -> Any:
        return getattr(self.channel, grpc_peer.KINDS.get(path, "stream_stream"))(path)


def ssl_context(*, server_side: bool) -> Any:
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)


in_thread = partial(anyio.to_thread.run_sync, abandon_on_cancel=True)
