"""Bad neighbours: what a peer that never reads, one that reads a byte a second, and 10,000 idle streams cost others."""

from __future__ import annotations

import json
import socket
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from duplexcore import ClientConfig
from duplexcore.testing import raw
from duplexcore_anyio import Channel, connect

from .messages import made
from .server import Ports
from .service import ECHO, STREAM, TALK

__all__ = ["CASES", "Pressed", "pressed"]

#: Others keep at least this share of their rate.
SHARE = 0.8
NEIGHBOURS, STREAMS, IDLE = 8, 4, 10_000
#: What the neighbours of a case may cost the server at most, in KiB: what waits to be written for each of their streams
#: and connections, and for an idle stream its call, its task and its handler.
UNREAD_KIB, IDLE_KIB = 32 * 1024, 12 * IDLE


@dataclass(frozen=True)
class Pressed:
    """Operations a second without and with the neighbours, each the median of its turns; KiB that they cost."""

    name: str
    without: float
    beside: float
    grown: int
    most: int

    @property
    def holds(self) -> bool:
        return self.beside >= SHARE * self.without and self.grown <= self.most

    def __str__(self) -> str:
        return (
            f"{self.name:14} {self.without:10,.0f}/s alone, {self.beside:10,.0f}/s beside it"
            f" ({self.beside / self.without:.0%}, at least {SHARE:.0%});"
            f" server +{self.grown:,} KiB (at most {self.most:,}): {'holds' if self.holds else 'DOES NOT HOLD'}"
        )


# --- the good clients -------------------------------------------------------------------------------------------------


async def unary_rate(channel: Channel, seconds: float) -> float:
    """Unary calls a second, 16 in flight."""
    request, done, until = made(0, 100), 0, anyio.current_time() + seconds

    async def call() -> None:
        nonlocal done
        while anyio.current_time() < until:
            await channel.unary(ECHO, request)
            done += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(16):
            tasks.start_soon(call)
    return done / seconds


async def firehose_rate(channel: Channel, seconds: float) -> float:
    """Messages a second in each direction, on one call."""
    message, done, until = made(0, 100), 0, anyio.current_time() + seconds

    async with channel.duplex(TALK) as call:

        async def send() -> None:
            while anyio.current_time() < until:
                for _ in range(100):
                    await call.send(message)
            await call.send_eof()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            async for _ in call:
                done += 1
    return done / seconds


# --- the neighbours ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def never_reads(ports: Ports, _: Channel) -> AsyncIterator[None]:
    """They ask for endless answers, grant every window, and read nothing."""
    async with AsyncExitStack() as stack:
        for _neighbour in range(NEIGHBOURS):
            await stack.enter_async_context(await _greedy(ports.steady))
        await anyio.sleep(0.3)  # until all that can wait for them does
        yield


@asynccontextmanager
async def reads_slowly(ports: Ports, _: Channel) -> AsyncIterator[None]:
    """The same, but each reads a byte a second."""

    async def sip(stream: anyio.abc.SocketStream) -> None:
        while True:
            await stream.receive(1)
            await anyio.sleep(1)

    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        for _neighbour in range(NEIGHBOURS):
            tasks.start_soon(sip, await stack.enter_async_context(await _greedy(ports.steady)))
        await anyio.sleep(0.3)
        yield
        tasks.cancel_scope.cancel()


async def _greedy(port: int) -> anyio.abc.SocketStream:
    stream = await anyio.connect_tcp("127.0.0.1", port)
    stream.extra(anyio.abc.SocketAttribute.raw_socket).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer = raw.RawPeer(client=True)
    out = peer.hello({4: 2**31 - 1}) + raw.window_update(0, 2**31 - 1 - 65_535)
    request = raw.message(json.dumps({"count": 10**9, "size": 16_000}).encode())
    for at in range(STREAMS):
        out += peer.request(2 * at + 1, STREAM.path) + raw.data(2 * at + 1, request, end=True)
    await stream.send(out)
    return stream


@asynccontextmanager
async def idle_streams(_: Ports, channel: Channel) -> AsyncIterator[None]:
    """Open calls on the same connection, on which nobody says anything."""
    async with AsyncExitStack() as stack:
        calls = []
        for at in range(IDLE):
            calls.append(await stack.enter_async_context(channel.duplex(TALK)))
            if at % 500 == 499 or at == IDLE - 1:
                await calls[-1].send(b"here")  # not too many opened at once: each of these waits for its answer
                await calls[-1].receive()
        yield
        for call in calls:  # not all cancelled at once, which would be an attack
            await call.send_eof()
            await call.wait_closed()


Neighbour = Callable[[Ports, Channel], AbstractAsyncContextManager[None]]
Rate = Callable[[Channel, float], Awaitable[float]]

CASES: dict[str, tuple[Neighbour, Rate, int]] = {
    "never-reads": (never_reads, unary_rate, UNREAD_KIB),
    "byte-a-second": (reads_slowly, unary_rate, UNREAD_KIB),
    "idle-streams": (idle_streams, firehose_rate, IDLE_KIB),
}


async def pressed(name: str, ports: Ports, process: int, rounds: int, seconds: float, config: ClientConfig) -> Pressed:
    """Measures a case. ``process``: the server's id."""
    neighbours, rate, most = CASES[name]
    without, beside, grown = [], [], []
    async with connect(f"127.0.0.1:{ports.steady}", config=config) as channel:
        await rate(channel, min(seconds, 0.5))  # what the first calls fill is not the neighbours' cost
        for _ in range(rounds):
            before = _resident(process)
            without.append(await rate(channel, seconds))
            async with neighbours(ports, channel):
                beside.append(await rate(channel, seconds))
                grown.append(_resident(process) - before)
    return Pressed(name, statistics.median(without), statistics.median(beside), max(0, *grown), most)


def _resident(process: int) -> int:
    """KiB of another process; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)
