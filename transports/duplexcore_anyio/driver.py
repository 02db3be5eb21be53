"""One connection's engine and its byte stream: the tasks that read, write and keep time.

Commands are synchronous and only say that there is something to write; the writer makes the bytes, one write for all
that was said in a turn of the event loop. No task of the application ever touches the stream, so that cancelling one
tears no frame. The three tasks are shielded: they end when the connection does, and `Driver.close` ends it within
twice `CLOSE_TIME`, whatever the peer does.
"""

from __future__ import annotations

import contextlib
import logging
import math
import ssl
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

import anyio
from anyio.abc import ByteStream, TaskGroup
from anyio.streams.tls import TLSStream

from duplexcore import (
    CallReadable,
    CallRefused,
    CallsAvailable,
    CallStarted,
    CallWritable,
    ClientConnection,
    ConnectionClosed,
    ConnectionDraining,
    ConnectionEvent,
    ConnectionReady,
    Frame,
    Limit,
    Origin,
    PeerWarning,
    ServerCall,
    ServerConnection,
)

from .waiting import waiters

__all__ = ["CLOSE_TIME", "LOGGER", "Driver", "Observer"]

#: How long the last bytes may take to leave, and after them the peer to close its side: seconds.
CLOSE_TIME = 1.0
READ_SIZE = 65_536
#: Called with "in" or "out" and each whole HTTP/2 frame, in the order of the wire; for traces.
Observer = Callable[[Literal["in", "out"], Frame], None]
LOGGER = logging.getLogger("duplexcore_anyio")

EngineT = TypeVar("EngineT", ClientConnection, ServerConnection)


class Driver(Generic[EngineT]):
    """Drives one connection. ``accept`` hears of every call that the peer opens."""

    def __init__(
        self, engine: EngineT, stream: ByteStream, *, peer: str, accept: Callable[[ServerCall], None] | None = None
    ) -> None:
        self.engine: EngineT = engine
        self.stream = stream
        self.peer = peer
        self._accept = accept
        #: What the peer sent first: tells what it speaks, if not HTTP/2.
        self.first_bytes = b""
        #: Set when the handshake is over, one way or the other.
        self.ready = anyio.Event()
        #: Set when the connection has ended; `reason` says why. Bytes may still be leaving.
        self.closed = anyio.Event()
        self.reason = ""
        self.origin: Origin | None = None
        #: Set when the stream is closed, too.
        self.finished = anyio.Event()

        #: Makes waiters for the event loop that runs.
        self.new_waiter = waiters()
        self._unwritten = self.new_waiter()
        self._wanted = True  # something may have to be written
        self._unread = self.new_waiter()  # the reader waits here while the engine wants no more
        self._read_scope = anyio.CancelScope(shield=True)
        self._write_scope = anyio.CancelScope(shield=True)
        self._timer_scope = anyio.CancelScope(shield=True)
        self._timer_at: float | None = None
        self._read_ended = anyio.Event()
        self._write_error = ""
        self._stalled = False  # it reads nothing
        self._parted = False

    # --- for whoever owns the connection ----------------------------------------------------------------------------

    def start(self, tasks: TaskGroup) -> None:
        """Starts the tasks. They are shielded: `close` ends them."""
        tasks.start_soon(self._read, name="duplexcore reader")
        tasks.start_soon(self._write, name="duplexcore writer")
        tasks.start_soon(self._keep_time, name="duplexcore timers")

    def close(self) -> None:
        """Ends every call and the connection, now. `finished` follows within twice `CLOSE_TIME`."""
        now = anyio.current_time()
        self.shutdown(now)
        self._write_scope.deadline = min(self._write_scope.deadline, now + CLOSE_TIME)

    def shutdown(self, deadline: float | None) -> None:
        """Lets the calls that are there finish until ``deadline`` (absolute), then ends the connection."""
        self.engine.shutdown(deadline=deadline)
        self.engine.handle_timeout(anyio.current_time())
        self.settle()
        self.wake_writer()

    # --- for calls --------------------------------------------------------------------------------------------------

    def wake_writer(self) -> None:
        """Something was said to the engine: write what comes of it."""
        self._wanted = True
        self._unwritten.wake()

    def settle(self) -> None:
        """Passes on the engine's events, and sets the alarm to its next timeout."""
        engine = self.engine
        while (event := engine.next_event()) is not None:
            self._on_event(event)
        when = engine.next_timeout()
        if when != self._timer_at:
            self._timer_at = when
            self._timer_scope.deadline = math.inf if when is None else when

    def tick(self, at_least: float | None) -> None:
        """Lets the engine do what is due now, or at a time that another clock says has come."""
        now = anyio.current_time()
        self.engine.handle_timeout(now if at_least is None or at_least > now + 0.01 else max(now, at_least))
        self.settle()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _on_event(self, event: ConnectionEvent) -> None:
        match event:
            case CallReadable(call):
                if call.context is not None:
                    call.context.on_readable()
            case CallWritable(call):
                if call.context is not None:
                    call.context.on_writable()
            case CallStarted(call):
                assert self._accept is not None
                self._accept(call)
            case ConnectionReady():
                self.ready.set()
            case ConnectionClosed(_, reason, origin):
                LOGGER.debug("connection with %s has ended: %s", self.peer, reason)
                self.reason, self.origin = reason, origin
                self.ready.set()
                self.closed.set()
                self._unread.wake()
                self._write_scope.deadline = min(self._write_scope.deadline, anyio.current_time() + CLOSE_TIME)
                self.wake_writer()
            case ConnectionDraining(_, reason):
                LOGGER.debug("%s is leaving: %s", self.peer, reason)
            case CallRefused(method, status):
                LOGGER.debug("%s called %r, which was refused: %s", self.peer, method, status)
            case PeerWarning(text):
                LOGGER.warning("%s: %s", self.peer, text)
            case CallsAvailable():
                pass

    async def _read(self) -> None:
        try:
            with self._read_scope:
                await self._read_all()
        finally:  # also by an exception that is nobody's to catch: the writer waits for it
            self._read_ended.set()
            self.settle()
            self.wake_writer()

    async def _read_all(self) -> None:
        engine, stream = self.engine, self.stream
        try:
            while True:
                data = await stream.receive(READ_SIZE)
                if len(self.first_bytes) < 16:
                    self.first_bytes += data[:16]
                engine.receive_data(data, anyio.current_time())
                self.settle()
                self.wake_writer()
                while not engine.wants_read and not engine.is_closed:
                    await self._unread.wait()
        except anyio.EndOfStream:
            engine.receive_eof(anyio.current_time())
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            engine.transport_failed(f"the connection was lost: {_why(error)}", anyio.current_time())
        except Exception as error:  # noqa: BLE001 - a defect of ours, or of a stream that was handed in
            self._surprised(error)

    async def _write(self) -> None:
        try:
            with self._write_scope:
                await self._write_all()
        finally:  # also by an exception that is nobody's to catch: the stream is closed, and nobody waits for good
            try:
                with anyio.CancelScope(shield=True):
                    await self._part()
            finally:
                self._parted = True
                self._read_scope.cancel()
                self._timer_scope.cancel()
                self.finished.set()

    async def _write_all(self) -> None:
        """Until the connection is over and its last bytes have left."""
        engine, stream = self.engine, self.stream
        # Keepalive finds out by itself that a peer reads no more.
        patience = engine.config.abuse.write_timeout if engine.config.keepalive_time == math.inf else math.inf
        try:
            while True:
                self._wanted = False
                data = engine.data_to_send(anyio.current_time())
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
            self._write_error = f"the connection was lost: {_why(error)}"
        except anyio.EndOfStream:  # what a TLS stream makes of a write after the peer has left
            self._write_error = "the connection was lost: the peer has closed it"
        except Exception as error:  # noqa: BLE001 - as above
            self._surprised(error)

    async def _part(self) -> None:
        """Hears the peer out, so that closing does not destroy what it has not read yet, then closes the stream.

        After a failed write the peer's last words may still be on the way: a status that came counts (DUP-14).
        """
        engine, now = self.engine, anyio.current_time()
        if not self._write_error and not self._write_scope.cancelled_caught:
            await self._end_writing()
        hopeless = self._write_scope.cancelled_caught
        self._read_scope.deadline = now if hopeless else now + CLOSE_TIME
        await self._read_ended.wait()
        limit = Limit.WRITE_TIMEOUT if self._stalled else None
        engine.transport_failed(self._write_error or "the connection was closed", anyio.current_time(), limit=limit)
        self.settle()
        with anyio.move_on_after(CLOSE_TIME):
            with contextlib.suppress(anyio.BrokenResourceError, OSError):
                await self.stream.aclose()

    async def _end_writing(self) -> None:
        """Tells the peer's transport that nothing follows, where there is a way: a courtesy, nothing rests on it."""
        stream = self.stream
        inner = stream.transport_stream if isinstance(stream, TLSStream) else stream
        if not isinstance(inner, ByteStream):
            return
        # What a stream that was handed in raises here is as unimportant as the rest.
        with anyio.move_on_after(CLOSE_TIME), contextlib.suppress(Exception):
            await inner.send_eof()

    async def _keep_time(self) -> None:
        """Sleeps until the engine's next timeout, which moves under it; without one it sleeps for good."""
        while True:
            with self._timer_scope:
                await anyio.sleep_forever()
            if self._parted:
                return
            self.engine.handle_timeout(anyio.current_time())
            self._timer_scope = anyio.CancelScope(shield=True)
            self._timer_at = None
            self.settle()
            self.wake_writer()

    def _surprised(self, error: Exception) -> None:
        LOGGER.error("connection with %s failed", self.peer, exc_info=error)
        self.engine.transport_failed(f"internal error: {type(error).__name__}", anyio.current_time())
        self.settle()


def _why(error: BaseException) -> str:
    """The text of the error at the bottom of it."""
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {cause.reason or cause}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
