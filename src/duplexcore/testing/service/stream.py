"""The server's end of a simulated connection: an anyio byte stream whose bytes come and go on the simulator's wires."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from ..sim.wires import Wire

__all__ = ["WireStream"]

#: So many bytes are under way at most: then ``send`` waits, as it does when a socket's buffer is full.
CAPACITY = 65_536


class WireStream(ByteStream):
    """Reads what the one wire delivers, by `feed` and `feed_end`, and writes to the other."""

    def __init__(self, down: Wire) -> None:
        self._down = down
        self._data = bytearray()
        self._ended = False
        self._broken = ""
        self._closed = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    # --- the wires ----------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Bytes have arrived."""
        self._data += data
        _wake(self._reader)

    def feed_end(self) -> None:
        """No more will."""
        self._ended = True
        _wake(self._reader)

    def drained(self) -> None:
        """Bytes have left the wire."""
        if len(self._down.bytes) < CAPACITY:
            _wake(self._writer)

    def lose(self, reason: str) -> None:
        """The transport is gone, in both directions."""
        self._broken = reason
        self._data.clear()
        _wake(self._reader)
        _wake(self._writer)

    # --- the stream ---------------------------------------------------------------------------------------------------

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        await anyio.lowlevel.checkpoint()
        while not self._data:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._broken:
                raise anyio.BrokenResourceError(self._broken)
            if self._ended:
                raise anyio.EndOfStream
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = bytes(self._data[:max_bytes])
        del self._data[:max_bytes]
        return data

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        while len(self._down.bytes) >= CAPACITY and not self._broken:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        if self._closed:
            raise anyio.ClosedResourceError
        if self._broken:
            raise anyio.BrokenResourceError(self._broken)
        self._down.carry(item)

    async def send_eof(self) -> None:
        self._down.end()

    async def aclose(self) -> None:
        self._closed = True
        self._down.end()
        _wake(self._reader)
        _wake(self._writer)


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
