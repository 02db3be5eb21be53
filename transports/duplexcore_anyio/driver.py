"""What drives one connection: its engine, the byte stream under it, and the calls above it.

There are two drivers, `StreamDriver` and `ProtocolDriver`; what they have in common stands here. Commands are
synchronous and only say that there is something to write: one write takes all that was said in a turn of the event
loop. No task of the application ever touches the stream, so that cancelling one tears no frame. A driver ends when its
connection does, and `Driver.close` ends that within twice `CLOSE_TIME`, whatever the peer does.
"""

from __future__ import annotations

import functools
import math
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, Protocol

import anyio
from anyio import TypedAttributeProvider
from anyio.abc import TaskGroup
from anyio.streams.tls import TLSAttribute

from duplexcore import (
    CallRefused,
    CallStarted,
    ConnectionClosed,
    ConnectionDraining,
    ConnectionEvent,
    ConnectionReady,
    Frame,
    Origin,
    PeerWarning,
    ServerCall,
)

from .keeper import LOGGER, EngineT, Keeper, shown
from .sockets import limit_unacknowledged

__all__ = [
    "CALLS_PER_TURN",
    "CLOSE_TIME",
    "READ_SIZE",
    "WRITE_SIZE",
    "Driver",
    "Observer",
    "Watcher",
    "keep_memory",
    "why",
]

#: How long the last bytes may take to leave, and after them the peer to close its side: seconds.
CLOSE_TIME = 1.0
#: So many calls of one read are handed over in a row, and, by the stream driver, so many of its events passed on; then
#: the other tasks have their turn (SEC-12).
CALLS_PER_TURN = 32
#: The most that is read at once, and framed for one write: bytes.
READ_SIZE = 1024 * 1024
WRITE_SIZE = 256 * 1024
#: Large messages come and go. glibc's malloc gives their memory back each time, and to get it anew costs a quarter of
#: their whole time; once a block of this size was freed it keeps up to twice as much (mallopt(3), M_MMAP_THRESHOLD).
LARGE_BLOCK = 4 * 1024 * 1024
#: Called with "in" or "out" and each whole HTTP/2 frame, in the order of the wire; for traces.
Observer = Callable[[Literal["in", "out"], Frame], None]


@functools.cache
def keep_memory() -> None:
    """Once in a process: see `LARGE_BLOCK`."""
    bytes(LARGE_BLOCK)  # freed at once, and never touched


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
        link: TypedAttributeProvider,
        *,
        peer: str,
        accept: Callable[[ServerCall], None] | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(engine, peer=peer)
        tls = link.extra(TLSAttribute.ssl_object, None)
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
        limit_unacknowledged(link, engine.config)

    # --- for whoever owns the connection ----------------------------------------------------------------------------

    def start(self, tasks: TaskGroup) -> None:
        """Starts to read and write, in ``tasks`` if it needs any: they are shielded, `close` ends them."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends every call and the connection, now. `finished` follows within twice `CLOSE_TIME`."""
        now = self.now()
        self.shutdown(now)
        self._leave_by(now + CLOSE_TIME)

    def shutdown(self, deadline: float | None) -> None:
        """Lets the calls that are there finish until ``deadline`` (absolute), then ends the connection."""
        self.engine.shutdown(deadline=deadline)
        self.engine.handle_timeout(self.now())
        self.settle()
        self.wake_writer()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _leave_by(self, when: float) -> None:
        """The connection is over, or about to be: its last bytes leave until then, or never."""
        raise NotImplementedError

    @property
    def _patience(self) -> float:
        """How long one write may take: seconds. Keepalive finds out by itself that a peer reads no more."""
        config = self.engine.config
        return config.abuse.write_timeout if config.keepalive_time == math.inf else math.inf

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
                self._leave_by(self.now() + CLOSE_TIME)
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

    def _surprised(self, error: Exception) -> None:
        """A defect of ours, or of a stream that was handed in."""
        LOGGER.error("connection with %s failed", shown(self.peer), exc_info=error)
        self.engine.transport_failed(f"internal error: {type(error).__name__}", self.now())
        self.settle()

    def _part(self) -> None:
        """The stream is closed."""
        self._stop_clock()
        self.finished.set()
        if self._watcher is not None:
            self._watcher.finished(self)


def why(error: BaseException) -> str:
    """The text of the error at the bottom of it."""
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {cause.reason or cause}"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
