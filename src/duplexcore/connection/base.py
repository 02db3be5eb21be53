"""What both sides of a connection have in common: the drive contract.

A driver owns a socket and a clock, the connection neither. It repeats: an input (`receive_data`, `receive_eof`,
`transport_failed`, `handle_timeout`) or a command (on the connection or one of its calls), then `data_to_send` until it
gives b"", then `next_event` until it gives None, then it sleeps until bytes come, a command is wanted, or
`next_timeout()` is due. Bytes before events, since making bytes can create events; and since events lead to commands,
round it goes until both are empty. Inputs that are early or needless do no harm. ``now`` is a reading of one monotonic
clock in seconds, and never goes back.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Generic, TypeVar

from ..call import ClientCall, Origin, ServerCall
from ..config import Config, Limit
from ..fingerprint import fingerprint
from ..http2 import Http2Carrier, Observer, Tap
from ..status import ErrorCode
from .events import (
    CallReadable,
    CallWritable,
    ConnectionClosed,
    ConnectionDraining,
    ConnectionEvent,
    ConnectionReady,
)
from .keepalive import Keepalive
from .tables import CONNECTION, ConnectionState, Turn
from .timers import TimerKind, Timers

__all__ = ["Connection"]

CallT = TypeVar("CallT", ClientCall, ServerCall)

#: `Connection.data_to_send` stops about here when it is not told otherwise: bytes.
WRITE_SIZE = 64 * 1024

# Named for the same reason as in `duplexcore.call.base`.
_HANDSHAKING: Final = ConnectionState.HANDSHAKING
_DRAINING: Final = ConnectionState.DRAINING
_DEADLINE: Final = TimerKind.DEADLINE


class Connection(Generic[CallT]):
    """One side of a gRPC connection, without I/O. See `ClientConnection` and `ServerConnection`."""

    __slots__ = ("_carrier", "_events", "_keepalive", "_now", "_tap", "_timers", "config", "state")

    def __init__(self, config: Config, *, client: bool, now: float) -> None:
        self.config = config
        self.state: ConnectionState = ConnectionState.HANDSHAKING
        self._now = now
        self._events: deque[ConnectionEvent] = deque()
        self._timers = Timers()
        self._timers.start(TimerKind.HANDSHAKE, now + config.handshake_timeout)
        self._keepalive = Keepalive(config, self._timers, now)
        self._tap = Tap()
        self._carrier = Http2Carrier(config, self, self._tap, client=client)  # type: ignore[arg-type]

    # --- in -------------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Bytes of the peer. Whatever they are, it does not raise; due timers come first (DEAD-9).

        Nothing of ``data`` is kept: a driver may hand in views of one buffer, and read into that again.
        """
        self.handle_timeout(now)
        if data and not self.is_closed:
            self._keepalive.heard(now)
            self._carrier.receive(data, now)

    def receive_eof(self, now: float) -> None:
        """The peer has closed its side of the transport: every open call ends."""
        self.handle_timeout(now)
        self._carrier.receive_eof("the peer closed the connection")

    def transport_failed(self, reason: str, now: float, *, limit: Limit | None = None) -> None:
        """The transport was lost, or given up for a ``limit`` that it looks after; ``reason`` goes into the status of
        every open call."""
        self.handle_timeout(now)
        self._carrier.receive_eof(reason, limit)

    def handle_timeout(self, now: float) -> None:
        """Does what is due. Calling it early or late is harmless."""
        self._now = max(now, self._now)
        while (due := self._timers.pop_due(now)) is not None:
            kind, target = due
            match kind:
                case TimerKind.DEADLINE:
                    target.on_deadline()
                case TimerKind.HANDSHAKE:
                    text = "the peer did not finish the handshake"
                    self._fail(ErrorCode.NO_ERROR, text, Limit.HANDSHAKE_TIMEOUT)
                case TimerKind.SETTINGS:
                    text = "the peer did not acknowledge our SETTINGS"
                    self._fail(ErrorCode.SETTINGS_TIMEOUT, text, Limit.SETTINGS_ACK_TIMEOUT)
                case TimerKind.KEEPALIVE:
                    self._keepalive.on_timer(calls=self._has_calls, ping=self._carrier.ping, now=now)
                case TimerKind.KEEPALIVE_TIMEOUT:
                    text = "the peer is silent: it did not answer a keepalive PING"
                    self._fail(ErrorCode.NO_ERROR, text, Limit.KEEPALIVE_TIMEOUT)
                case _:
                    self._on_timer(kind)

    # --- out ------------------------------------------------------------------------------------------------------

    def data_to_send(self, now: float, max_bytes: int = WRITE_SIZE) -> bytes:
        """The bytes to write next, b"" when there are none now.

        ``max_bytes`` is soft: control frames always go, no new DATA frame begins past it, frames are never cut.
        """
        self._now = max(now, self._now)
        if self.state is not _HANDSHAKING and not self.is_closed:
            self._keepalive.wanted(calls=self._has_calls, ping=self._carrier.ping, now=self._now)
        data = self._carrier.data_to_send(now, max_bytes)
        if self.state is _DRAINING:
            self._close_if_idle()
            data += self._carrier.data_to_send(now, max_bytes)
        return data

    def next_event(self) -> ConnectionEvent | None:
        """The next announcement, None when there is none now."""
        return self._events.popleft() if self._events else None

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is wanted next, absolute; None: never, as things are."""
        following = self._timers.next()
        return following[0] if following else None

    @property
    def timeout_reason(self) -> TimerKind | None:
        """What `next_timeout` is for."""
        following = self._timers.next()
        return following[1] if following else None

    @property
    def wants_read(self) -> bool:
        """False while the transport should not be read: the peer makes us write faster than it reads (SEC-4)."""
        return self._carrier.wants_read

    @property
    def backlog(self) -> int:
        """How many calls have something to frame now."""
        return self._carrier.backlog

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over. Write what `data_to_send` still gives, then close the transport."""
        return self._carrier.closed

    @property
    def open_calls(self) -> int:
        """How many streams are open."""
        return self._carrier.live

    @property
    def observer(self) -> Observer | None:
        """Called with "in" or "out" and each frame; for traces. Not pickled."""
        return self._tap.observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._tap.observer = observer

    def fingerprint(self) -> bytes:
        """A digest of the whole state: equal states have equal digests, however the bytes that led there were cut."""
        return fingerprint(self)

    # --- heard from the carrier and the calls ---------------------------------------------------------------------

    def _call_readable(self, call: CallT) -> None:
        self._events.append(CallReadable(call))

    def _call_writable(self, call: CallT) -> None:
        self._events.append(CallWritable(call))

    def _deadline_over(self, call: CallT) -> None:
        self._timers.stop(_DEADLINE, call)

    def _carrier_ready(self) -> None:
        self._timers.stop(TimerKind.HANDSHAKE)
        self._timers.start(TimerKind.SETTINGS, self._now + self.config.settings_timeout)
        self._turn(Turn.READY)
        self._events.append(ConnectionReady())

    def _peer_going_away(self, code: int, reason: str) -> None:
        self._turn(Turn.DRAIN)
        self._events.append(ConnectionDraining(code, reason))

    def _settings_acked(self) -> None:
        self._timers.stop(TimerKind.SETTINGS)

    def _ping_acked(self, payload: bytes) -> None:
        """The peer has answered a PING of ours."""

    def _slots_changed(self) -> None:
        """A stream has ended, or the number of those that the peer allows has changed."""

    def _carrier_closed(self, code: int, reason: str, origin: Origin, limit: Limit | None) -> None:
        self._turn(Turn.CLOSE)
        self._timers.stop_all()
        self._events.append(ConnectionClosed(code, reason, origin, limit))

    # --- inside ---------------------------------------------------------------------------------------------------

    def _turn(self, turn: Turn) -> None:
        self.state = CONNECTION[self.state, turn]

    @property
    def _has_calls(self) -> bool:
        return bool(self._carrier.live or self._carrier.waiting)

    def _fail(self, code: ErrorCode, reason: str, limit: Limit | None = None) -> None:
        self._carrier.close(code, reason, Origin.LOCAL, limit=limit)

    def _limit_shutdown(self, deadline: float | None) -> None:
        current = self._timers.when(TimerKind.SHUTDOWN)
        if deadline is not None and (current is None or deadline < current):
            self._timers.start(TimerKind.SHUTDOWN, deadline)

    def _close_if_idle(self) -> None:
        """Draining ends when the last call has (GOAW-1, GOAW-5)."""
        raise NotImplementedError

    def _on_timer(self, kind: TimerKind) -> None:
        """Of the kinds that are only one side's."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        names = (name for cls in type(self).__mro__ for name in getattr(cls, "__slots__", ()))
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def fingerprint_state(self) -> object:
        """All but the latest reading of the clock."""
        state = self.__getstate__()
        del state["_now"]
        return state
