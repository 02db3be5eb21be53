"""A network in memory on virtual time: nothing waits for the machine, and no wait depends on how busy it is.

Time goes on to the next timeout when no task can go on, and not before. So what a peer has answered is always there
in time, and what it has not costs nothing to wait for.
"""

from __future__ import annotations

import asyncio
import selectors
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import trio.testing
from anyio.abc import ByteStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from duplexcore.testing.link import RawLink

__all__ = ["Network", "on_virtual_time"]

#: How many writes are under way in one direction before the writer waits.
UNDER_WAY = 256
#: Seconds of a turn of asyncio's loop: more than what it takes for the same moment, so that none lasts for ever.
TURN = 1e-8
GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)


def on_virtual_time(backend: str) -> tuple[str, dict[str, Any]]:
    """What a fixture called ``anyio_backend`` may return."""
    if backend == "trio":
        return backend, {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return backend, {"loop_factory": _Loop}


class Network:
    """Where `dial` finds the servers that `serving` has started."""

    def __init__(self) -> None:
        self._connect: dict[int, Callable[[ByteStream], object]] = {}

    @asynccontextmanager
    async def serving(self, handler: Callable[[ByteStream], Awaitable[None]]) -> AsyncIterator[int]:
        """The port of a server that gives each connection to the handler."""

        async def one(stream: ByteStream) -> None:
            try:
                with suppress(*GONE):
                    await handler(stream)
            finally:
                await anyio.aclose_forcefully(stream)

        port = 1 + len(self._connect)
        async with anyio.create_task_group() as tasks:
            self._connect[port] = lambda stream: tasks.start_soon(one, stream)
            yield port
            tasks.cancel_scope.cancel()

    async def dial(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        timeout: float = 5.0,
    ) -> RawLink:
        """As `duplexcore.testing.link.dial`, without TLS. Raises ConnectionRefusedError where nobody listens."""
        assert tls is None
        if port not in self._connect:
            raise ConnectionRefusedError(f"nobody listens at {host}:{port}")
        here, there = _pair()
        self._connect[port](there)
        return RawLink(here, client=True)


class _End(ByteStream):
    """One end of a connection: what it receives is what was sent in one piece."""

    def __init__(self, outward: MemoryObjectSendStream[bytes], inward: MemoryObjectReceiveStream[bytes]) -> None:
        self._outward, self._inward = outward, inward

    async def send(self, item: bytes) -> None:
        await self._outward.send(item)

    async def send_eof(self) -> None:
        self._outward.close()

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        return await self._inward.receive()

    async def aclose(self) -> None:
        self._outward.close()
        self._inward.close()


def _pair() -> tuple[_End, _End]:
    to_one, of_one = anyio.create_memory_object_stream[bytes](UNDER_WAY)
    to_other, of_other = anyio.create_memory_object_stream[bytes](UNDER_WAY)
    return _End(to_other, of_one), _End(to_one, of_other)


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's own, with a clock that goes on when all wait."""

    def __init__(self) -> None:
        self._passed = 0.0
        super().__init__(_Selector(self._pass))

    def time(self) -> float:
        return self._passed

    def _pass(self, seconds: float) -> None:
        self._passed += seconds


class _Selector(selectors.DefaultSelector):
    """Finds what is ready; instead of waiting it lets time pass."""

    def __init__(self, passes: Callable[[float], None]) -> None:
        super().__init__()
        self._passes = passes

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        self._passes(TURN if ready else max(TURN, timeout or 0))
        return ready
