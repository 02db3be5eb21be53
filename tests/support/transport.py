"""What tests of the transport have in common: methods, a router, and peers that are not ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute

from duplexcore import ClientConfig, Frame, FrameType, ServerConfig
from duplexcore.rpc import ClientStreamingMethod, DuplexMethod, ServerStreamingMethod, UnaryMethod
from duplexcore_anyio import Channel, DuplexServerCall, Router, ServerContext, connect, memory_link, serve, serve_stream

#: Of a sum of seconds since the machine's start, less these: what is left may be that much more or less than was given.
ROUNDING = 1e-6
HELLO = UnaryMethod("/transport.Test/Hello", bytes, bytes)
COUNT = ServerStreamingMethod("/transport.Test/Count", bytes, bytes)
SUM = ClientStreamingMethod("/transport.Test/Sum", bytes, bytes)
TALK = DuplexMethod("/transport.Test/Talk", bytes, bytes)


async def hello(request: bytes, context: ServerContext) -> bytes:
    return b"hello, " + request


async def count(request: bytes, context: ServerContext) -> AsyncIterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number


async def total(call: Any) -> bytes:
    return b"%d" % sum([int(number) async for number in call])


async def echo(call: DuplexServerCall[bytes, bytes]) -> None:
    async for message in call:
        await call.send(message)


def four_kinds(talk: Callable[[DuplexServerCall[bytes, bytes]], Awaitable[None]] = echo) -> Router:
    router = Router()
    router.add(HELLO, hello)
    router.add(COUNT, count)
    router.add(SUM, total)
    router.add(TALK, talk)
    return router


@asynccontextmanager
async def joined(
    router: Router,
    *,
    client: ClientConfig | None = None,
    server: ServerConfig | None = None,
    tape: Tape | None = None,
    server_tape: Tape | None = None,
    **options: Any,
) -> AsyncIterator[Channel]:
    """A channel to a server of ``router``, over the link in memory."""
    near, far = memory_link()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(serve_stream, router, far, config=server, observer=server_tape))
        async with Channel.over(near, config=client, observer=tape, **options) as channel:
            yield channel


@asynccontextmanager
async def over_tcp(router: Router, **options: Any) -> AsyncIterator[Channel]:
    async with serve(router, "127.0.0.1:0") as server, connect(f"127.0.0.1:{server.port}", **options) as channel:
        yield channel


@asynccontextmanager
async def strange_server(behave: Callable[[ByteStream], Awaitable[None]]) -> AsyncIterator[str]:
    """A TCP server that is not ours: ``behave`` has each connection. Gives its address."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = int(listener.listeners[0].extra(SocketAttribute.local_address)[1])

    async def handle(stream: ByteStream) -> None:
        async with stream:
            await behave(stream)

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield f"127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


class Tape:
    """An observer that keeps each frame, as ``out HEADERS 1``."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, Frame]] = []

    def __call__(self, direction: str, frame: Frame) -> None:
        self.frames.append((direction, frame))

    @property
    def briefs(self) -> list[str]:
        return [f"{way} {FrameType(frame.type).name} {frame.stream_id}" for way, frame in self.frames]

    def resets(self, direction: str) -> list[int]:
        """The error codes of RST_STREAM frames."""
        return [
            int.from_bytes(frame.payload, "big")
            for way, frame in self.frames
            if way == direction and frame.type == FrameType.RST_STREAM
        ]


async def until(condition: Callable[[], object]) -> None:
    """Waits for something that no event tells of; the test's bound ends it."""
    while not condition():
        await anyio.sleep(0.001)
