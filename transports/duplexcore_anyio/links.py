"""A link in memory: two byte streams joined, each direction bounded."""

from __future__ import annotations

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from .waiting import Waiter, waiters

__all__ = ["memory_link"]


class _Pipe:
    """One direction: at most ``capacity`` bytes on the way, one reader, one writer."""

    __slots__ = ("_capacity", "_data", "_reader", "_writer", "closed", "ended")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._data = bytearray()
        self._reader: Waiter | None = None
        self._writer: Waiter | None = None
        self.ended = False  # the writer will write no more
        self.closed = False  # the reader is gone

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while True:
            if self.ended:
                raise anyio.ClosedResourceError
            if self.closed:
                raise anyio.BrokenResourceError("the other end of the link is closed")
            room = self._capacity - len(self._data)
            if room > 0:
                self._data += view[:room]
                view = view[room:]
                self._wake(self._reader)
            if not view:
                return
            if self._writer is not None:
                raise anyio.BusyResourceError("writing to")
            self._writer = waiters()()
            try:
                await self._writer.wait()
            finally:
                self._writer = None

    async def read(self, max_bytes: int) -> bytes:
        while not self._data:
            if self.closed:
                raise anyio.ClosedResourceError
            if self.ended:
                raise anyio.EndOfStream
            if self._reader is not None:
                raise anyio.BusyResourceError("reading from")
            self._reader = waiters()()
            try:
                await self._reader.wait()
            finally:
                self._reader = None
        data = bytes(self._data[:max_bytes])
        del self._data[:max_bytes]
        self._wake(self._writer)
        return data

    def end(self) -> None:
        self.ended = True
        self._wake(self._reader)
        self._wake(self._writer)

    def close(self) -> None:
        self.closed = True
        self._data.clear()
        self._wake(self._reader)
        self._wake(self._writer)

    @staticmethod
    def _wake(waiter: Waiter | None) -> None:
        if waiter is not None:
            waiter.wake()


class _MemoryEnd(ByteStream):
    """One end of a link."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.lowlevel.checkpoint()
        return await self._incoming.read(max_bytes)

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        await self._outgoing.write(item)

    async def send_eof(self) -> None:
        self._outgoing.end()

    async def aclose(self) -> None:
        self._outgoing.end()
        self._incoming.close()


def memory_link(capacity: int = 65536) -> tuple[ByteStream, ByteStream]:
    """The two ends of a link in this process. At most ``capacity`` bytes are on the way in each direction: then
    ``send`` waits. Raises ValueError for a capacity below 1."""
    if capacity < 1:
        raise ValueError(f"capacity is {capacity}: it must be at least 1")
    there, back = _Pipe(capacity), _Pipe(capacity)
    return _MemoryEnd(back, there), _MemoryEnd(there, back)
