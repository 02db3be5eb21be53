"""One connection's engine and its byte stream: the tasks that read, write and keep time.

Commands are synchronous and only say that there is something to write; the writer makes the bytes, one write for all
that was said in a turn of the event loop. No task of the application ever touches the stream, so that cancelling one
tears no frame. The three tasks are shielded: they end when the connection does, and `Driver.close` ends it within
twice `CLOSE_TIME`, whatever the peer does.
"""

from __future__ import annotations

import contextlib
import math
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, Protocol

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream, TaskGroup
from anyio.streams.tls import TLSAttribute, TLSStream

from duplexcore import (
    CallRefused,
    CallStarted,
    ConnectionClosed,
    ConnectionDraining,
    ConnectionEvent,
    ConnectionReady,
    Frame,
    Limit,
    Origin,
    PeerWarning,
    ServerCall,
)

from .keeper import LOGGER, EngineT, Keeper, shown
from .sockets import limit_unacknowledged

__all__ = ["CLOSE_TIME", "Driver", "Observer", "Watcher"]

#: How long the last bytes may take to leave, and after them the peer to close its side: seconds.
CLOSE_TIME = 1.0
READ_SIZE = 65_536
#: So many calls of one read are handed over in a row; then the other tasks have their turn (SEC-12).
CALLS_PER_TURN = 32
#: Called with "in" or "out" and each whole HTTP/2 frame, in the order of the wire; for traces.
Observer = Callable[[Literal["in", "out"], Frame], None]


class Watcher(Protocol):
    """Who hears how the connection of a client ends."""

    def draining(self, driver: Any, event: ConnectionDraining) -> None:
        """It takes no more calls."""

    def lost(self, driver: Any) -> None:
        """It is over, and every call on it has ended. Bytes may still be leaving."""

    def finished(self, driver: Any) -> None:
        """Its stream is closed."""


class Driver(Keeper[EngineT]):
    """Drives one connection. ``accept`` hears of every call that the peer opens, ``watcher`` of its end."""

    def __init__(
        self,
        engine: EngineT,
        stream: ByteStream,
        *,
        peer: str,
        accept: Callable[[ServerCall], None] | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(engine, peer=peer)
        self.stream = stream
        tls = stream.extra(TLSAttribute.ssl_object, None)
        self.peer_certificate = None if tls is None else tls.getpeercert(binary_form=True)
        self._accept = accept
        self._watcher = watcher
        self._arrived: deque[ServerCall] = deque()  # calls that were not handed over yet
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

        self._unwritten = self.new_waiter()
        self._wanted = True  # something may have to be written
        self._unread = self.new_waiter()  # the reader waits here while the engine wants no more
        self._read_scope = anyio.CancelScope(shield=True)
        self._write_scope = anyio.CancelScope(shield=True)
        self._read_ended = anyio.Event()
        self._write_error = ""
        self._stalled = False  # it reads nothing
        limit_unacknowledged(stream, engine.config)

    # --- for whoever owns the connection ----------------------------------------------------------------------------

    def start(self, tasks: TaskGroup) -> None:
        """Starts the tasks. They are shielded: `close` ends them."""
        tasks.start_soon(self._read, name="duplexcore reader")
        tasks.start_soon(self._write, name="duplexcore writer")
        self._start_clock(tasks)

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
        self._wanted = True
        self._unwritten.wake()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _on_turn(self, event: ConnectionEvent) -> None:
        match event:
            case CallStarted(call):
                self._arrived.append(call)
            case ConnectionReady():
                self.ready.set()
            case ConnectionClosed(_, reason, origin):
                LOGGER.debug("connection with %s has ended: %s", shown(self.peer), shown(reason))
                self.reason, self.origin = reason, origin
                self.ready.set()
                self.closed.set()
                self._unread.wake()
                self._write_scope.deadline = min(self._write_scope.deadline, anyio.current_time() + CLOSE_TIME)
                self.wake_writer()
                if self._watcher is not None:
                    self._watcher.lost(self)
            case ConnectionDraining(_, reason):
                LOGGER.debug("%s is leaving: %s", shown(self.peer), shown(reason))
                if self._watcher is not None:
                    self._watcher.draining(self, event)
            case CallRefused(method, status):
                peer, text = shown(self.peer), shown(str(status))
                LOGGER.debug("%s called %r, which was refused: %s", peer, method, text)
            case PeerWarning(text):
                LOGGER.warning("%s: %s", shown(self.peer), shown(text))
            case _:
                pass

    def _hand_over(self) -> None:
        """Some of the calls that have arrived; one that has ended since is nobody's any more."""
        assert self._accept is not None
        for _ in range(min(CALLS_PER_TURN, len(self._arrived))):
            call = self._arrived.popleft()
            if call.ended is None:
                self._accept(call)
            else:
                call.finish()

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
                while self._arrived:
                    self._hand_over()
                    self.wake_writer()
                    if self._arrived:
                        await anyio.lowlevel.checkpoint()
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
                self._stop_clock()
                self._read_scope.cancel()
                self.finished.set()
                if self._watcher is not None:
                    self._watcher.finished(self)

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

    def _surprised(self, error: Exception) -> None:
        LOGGER.error("connection with %s failed", shown(self.peer), exc_info=error)
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
