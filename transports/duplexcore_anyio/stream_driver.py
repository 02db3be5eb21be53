"""The driver for any byte stream of anyio, on asyncio and trio: a task that reads, and one that writes.

Both are shielded, and end when the connection does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream, TaskGroup
from anyio.streams.tls import TLSStream

from duplexcore import Limit, ServerCall

from .driver import CALLS_PER_TURN, CLOSE_TIME, READ_SIZE, WRITE_SIZE, Driver, Watcher, keep_memory, why
from .keeper import EngineT

__all__ = ["StreamDriver"]

#: As much is asked for at first. A read that gives all of it is followed by larger ones, as long as they give as much:
#: most streams allocate what they are asked for.
FIRST_SIZE = 64 * 1024


class StreamDriver(Driver[EngineT]):
    """See `Driver`."""

    def __init__(
        self,
        engine: EngineT,
        stream: ByteStream,
        *,
        peer: str,
        accept: Callable[[ServerCall], None] | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(engine, stream, peer=peer, accept=accept, watcher=watcher)
        keep_memory()
        self._stream = stream
        self._unwritten = self.new_waiter()
        self._wanted = True  # something may have to be written
        self._in_turns = False  # the events of a read are passed on, some at a time: else peer and we would take turns
        self._unread = self.new_waiter()  # the reader waits here while the engine wants no more
        self._read_scope = anyio.CancelScope(shield=True)
        self._write_scope = anyio.CancelScope(shield=True)
        self._read_ended = anyio.Event()
        self._write_error = ""
        self._stalled = False  # it reads nothing

    def start(self, tasks: TaskGroup) -> None:
        tasks.start_soon(self._read, name="duplexcore reader")
        tasks.start_soon(self._write, name="duplexcore writer")
        self._start_clock(tasks)

    def wake_writer(self) -> None:
        self._wanted = True
        self._unwritten.wake()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _pass_on(self, engine: EngineT, most: int = -1) -> bool:
        return super()._pass_on(engine, CALLS_PER_TURN if self._in_turns else most)

    def _leave_by(self, when: float) -> None:
        self._write_scope.deadline = min(self._write_scope.deadline, when)
        self._unread.wake()

    async def _read(self) -> None:
        try:
            with self._read_scope:
                await self._read_all()
        finally:  # also by an exception that is nobody's to catch: the writer waits for it
            self._in_turns = False
            self._read_ended.set()
            self.settle()
            self.wake_writer()

    async def _read_all(self) -> None:
        engine, stream = self.engine, self._stream
        size = FIRST_SIZE
        try:
            while True:
                data = await stream.receive(size)
                size = FIRST_SIZE if len(data) < FIRST_SIZE else READ_SIZE
                if len(self.first_bytes) < 16:
                    self.first_bytes += data[:16]
                engine.receive_data(data, self.now())
                self._in_turns = True
                while self._pass_on(engine):
                    self.wake_writer()
                    await anyio.lowlevel.checkpoint()
                self._in_turns = False
                self.settle()
                while self._arrived:
                    self._hand_over()
                    self.wake_writer()
                    if self._arrived:
                        await anyio.lowlevel.checkpoint()
                self.wake_writer()
                while not engine.wants_read and not engine.is_closed:
                    await self._unread.wait()
        except anyio.EndOfStream:
            engine.receive_eof(self.now())
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            engine.transport_failed(f"the connection was lost: {why(error)}", self.now())
        except Exception as error:  # noqa: BLE001 - a defect of ours, or of a stream that was handed in
            self._surprised(error)

    async def _write(self) -> None:
        try:
            with self._write_scope:
                await self._write_all()
        finally:  # also by an exception that is nobody's to catch: the stream is closed, and nobody waits for good
            try:
                with anyio.CancelScope(shield=True):
                    await self._hear_out()
            finally:
                self._read_scope.cancel()
                self._part()

    async def _write_all(self) -> None:
        """Until the connection is over and its last bytes have left."""
        engine, stream, patience = self.engine, self._stream, self._patience
        try:
            while True:
                self._wanted = False
                self.turn += 1
                data = engine.data_to_send(self.now(), WRITE_SIZE)
                self.settle()
                if data:
                    with anyio.move_on_after(patience) as waiting:
                        await stream.send(data)
                    if waiting.cancelled_caught:
                        self._stalled = True
                        self._write_error = f"the peer has read nothing for {patience:g} s"
                        return
                    self._unread.wake()
                elif self._wanted:
                    continue
                elif engine.is_closed:
                    return
                else:
                    self._unread.wake()
                    await self._unwritten.wait()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            self._write_error = f"the connection was lost: {why(error)}"
        except anyio.EndOfStream:  # what a TLS stream makes of a write after the peer has left
            self._write_error = "the connection was lost: the peer has closed it"
        except Exception as error:  # noqa: BLE001 - as above
            self._surprised(error)

    async def _hear_out(self) -> None:
        """Hears the peer out, so that closing does not destroy what it has not read yet, then closes the stream.

        After a failed write the peer's last words may still be on the way: a status that came counts (DUP-14).
        """
        engine, now = self.engine, self.now()
        if not self._write_error and not self._write_scope.cancelled_caught:
            await self._end_writing()
        hopeless = self._write_scope.cancelled_caught
        self._read_scope.deadline = now if hopeless else now + CLOSE_TIME
        await self._read_ended.wait()
        limit = Limit.WRITE_TIMEOUT if self._stalled else None
        engine.transport_failed(self._write_error or "the connection was closed", self.now(), limit=limit)
        self.settle()
        with anyio.move_on_after(CLOSE_TIME):
            with contextlib.suppress(anyio.BrokenResourceError, OSError):
                await self._stream.aclose()

    async def _end_writing(self) -> None:
        """Tells the peer's transport that nothing follows, where there is a way: a courtesy, nothing rests on it."""
        stream = self._stream
        inner = stream.transport_stream if isinstance(stream, TLSStream) else stream
        if not isinstance(inner, ByteStream):
            return
        # What a stream that was handed in raises here is as unimportant as the rest.
        with anyio.move_on_after(CLOSE_TIME), contextlib.suppress(Exception):
            await inner.send_eof()
