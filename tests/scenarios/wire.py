"""What the scenarios have in common: a method, both ends of a connection, and small ways to look at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import anyio
import pytest

from duplexcore import ClientConfig, Frame, FrameType, ServerConfig, ServerConnection
from duplexcore.rpc import DuplexMethod
from duplexcore_anyio import Channel, Router, connect, memory_link, serve, serve_stream

#: No test takes longer, whatever the machine has to do besides: seconds. A hang is a failure.
BOUND = 180.0

#: The method of most scenarios; grpc.aio takes its path.
PATH = "/scenario.Duplex/Talk"
TALK = DuplexMethod(PATH, bytes, bytes)

END_STREAM = 0x1

#: The engines of the test's servers, one a connection.
SERVERS: list[ServerConnection] = []


LINKS: tuple[Literal["tcp", "memory"], ...] = ("tcp", "memory")


@dataclass(frozen=True)
class Where:
    """Our client against our server."""

    backend: str
    link: Literal["tcp", "memory"]

    def __str__(self) -> str:
        return f"{self.backend}-{self.link}"

    def amount(self, whole: int, part: int) -> int:
        """What takes long is done in full on each loop and over each link once: the rest does a part of it."""
        return whole if str(self) in ("asyncio-tcp", "trio-memory") else part


#: On asyncio and trio, over loopback TCP and the in-memory link: asyncio over TCP has `ProtocolDriver`, all others the
#: other one.
WHERE = [Where(backend, link) for backend in ("asyncio", "trio") for link in LINKS]
#: For a handful of tests: also on uvloop, and on TCP with the other driver.
everywhere = pytest.mark.parametrize(
    "where", [*WHERE, Where("asyncio+uvloop", "tcp"), Where("asyncio+stream", "tcp")], ids=str
)


def routed(handler: Callable[..., Any], *more: tuple[Any, Callable[..., Any]]) -> Router:
    """A router on which ``handler`` serves `TALK`."""
    router = Router()
    router.add(TALK, handler)
    for method, other in more:
        router.add(method, other)
    return router


@asynccontextmanager
async def wired(
    router: Router,
    where: Where,
    *,
    client: ClientConfig | None = None,
    server: ServerConfig | None = None,
    observer: Callable[[str, Frame], None] | None = None,
    server_observer: Callable[[str, Frame], None] | None = None,
) -> AsyncIterator[Channel]:
    """A channel to a server of ``router``, over the link that ``where`` says."""
    if where.link == "tcp":
        async with (
            serve(router, "127.0.0.1:0", config=server, observer=server_observer) as listening,
            connect(f"127.0.0.1:{listening.port}", config=client, observer=observer) as channel,
        ):
            yield channel
            await settled(channel)
        return
    near, far = memory_link()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(serve_stream, router, far, config=server, observer=server_observer))
        async with Channel.over(near, config=client, observer=observer) as channel:
            yield channel
            await settled(channel)


async def settled(channel: Channel) -> None:
    """Every call of a test ends with the test: nothing is left open, on either side of the connection."""
    assert channel.waiting_calls == 0
    with anyio.fail_after(20):
        while channel.open_calls or open_calls_of_servers():  # what was said last may be on its way
            await anyio.sleep(0.001)


def open_calls_of_servers() -> int:
    """The streams that the servers of this test have open."""
    return sum(one.open_calls for one in SERVERS)


@dataclass
class Tape:
    """An observer that keeps the frames of streams, and how much DATA there was."""

    frames: list[tuple[str, Frame]] = field(default_factory=list)
    changed: Callable[[], None] = lambda: None

    def __call__(self, direction: str, frame: Frame) -> None:
        self.frames.append((direction, frame))
        self.changed()

    def of(self, direction: str, *types: FrameType) -> list[Frame]:
        return [f for d, f in self.frames if d == direction and f.stream_id and (not types or f.type in types)]

    def ends(self, direction: str) -> int:
        """How many frames said END_STREAM."""
        return sum(bool(f.flags & END_STREAM) for f in self.of(direction, FrameType.DATA, FrameType.HEADERS))

    def data(self, direction: str) -> int:
        return sum(len(frame.payload) for frame in self.of(direction, FrameType.DATA))


async def drain(call: Any) -> list[Any]:
    """Every message until the peer's end."""
    return [message async for message in call]


async def echo(call: Any) -> None:
    async for message in call:
        await call.send(message)
