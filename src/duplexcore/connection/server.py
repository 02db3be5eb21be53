"""A server's side of a connection."""

from __future__ import annotations

from math import inf
from typing import Final

from ..call import Origin, ServerCall
from ..call.lane import CallSide, Lane
from ..config import Limit, ServerConfig
from ..http2.frames import MAX_ID
from ..status import ErrorCode, Status
from .base import Connection
from .events import CallRefused, CallStarted, PeerWarning
from .tables import ConnectionState, Turn
from .timers import TimerKind

__all__ = ["ServerConnection"]

#: The payload of the PING that tells when every call opened before the first GOAWAY has come (GOAW-1).
DRAIN_PING = b"draining"

# Named for the same reason as in `duplexcore.call.base`.
_UNFINISHED: Final = TimerKind.UNFINISHED
_DEADLINE: Final = TimerKind.DEADLINE


class ServerConnection(Connection[ServerCall]):
    """The engine of a server: announces calls. The drive contract stands in `duplexcore.connection.base`.

    Each announced call counts against ``max_concurrent_calls`` until its handler has said ``finish``. ``jitter``: a
    random number from -1 to 1, so that connections which came together do not grow old together (GOAW-3).
    """

    __slots__ = ("_farewell", "_goaways", "_grace", "_outlived", "_running", "_te_missed")

    config: ServerConfig

    def __init__(self, config: ServerConfig | None = None, *, now: float, jitter: float = 0.0) -> None:
        super().__init__(config or ServerConfig(), client=False, now=now)
        self._start_if_finite(TimerKind.IDLE, self.config.max_connection_idle)
        self._start_if_finite(TimerKind.AGE, self.config.max_connection_age * (1 + jitter / 10))
        self._start_if_finite(TimerKind.UNUSED, self.config.unused_timeout)
        self._running = 0  # calls announced and not released
        self._goaways = 0  # 1: the one that refuses nothing, 2: the final one;
        self._farewell = b""  # what they say,
        self._grace = inf  # and how long the calls that are left have after the final one
        self._outlived: Limit | None = None  # which limit of the connection's life made it drain
        self._te_missed = False  # and has been told

    # --- commands -------------------------------------------------------------------------------------------------

    def shutdown(self, *, deadline: float | None = None) -> None:
        """Drains: a GOAWAY that refuses nothing yet and a PING, after its answer the final GOAWAY; closes when the
        last call has finished (GOAW-1).

        At ``deadline`` (absolute) the calls that are left are cut off and the connection is closed; if it is not after
        the latest ``now``: at once, with the next `handle_timeout` and one GOAWAY (GOAW-2). A second shutdown may only
        shorten the time.
        """
        self._drain(b"shutting down", deadline=deadline)

    def _drain(
        self, farewell: bytes, *, deadline: float | None = None, grace: float = inf, limit: Limit | None = None
    ) -> None:
        if self.is_closed:
            return
        at_once = deadline is not None and deadline <= self._now
        if self._goaways == 0 and not at_once:
            self._goaways = 1
            self._farewell, self._grace, self._outlived = farewell, grace, limit
            self._turn(Turn.DRAIN)
            self._carrier.go_away(MAX_ID, ErrorCode.NO_ERROR, farewell)
            self._carrier.ping(DRAIN_PING)
            self._timers.start(TimerKind.DRAIN, self._now + self.config.drain_ping_timeout)
        self._limit_shutdown(deadline)

    # --- heard from the carrier and the calls ---------------------------------------------------------------------

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        super().receive_data(data, now)
        self._watch_unfinished()

    def _accept(self, lane: Lane) -> CallSide:
        if not self._carrier.live:  # else neither runs
            self._timers.stop(TimerKind.UNUSED)
            self._timers.stop(TimerKind.IDLE)
        return ServerCall(lane, self, self.config)

    @property
    def _full(self) -> Limit | None:
        if self._running >= self.config.max_concurrent_calls:
            return Limit.MAX_CONCURRENT_CALLS
        return None if self._carrier.flood.room_for_call else Limit.UNREAD_BYTES

    def _call_refused(self, call: ServerCall, status: Status, limit: Limit | None) -> None:
        if not self.is_closed:
            self._events.append(CallRefused(call.method, status, limit))

    def _te_missing(self) -> None:
        if not self._te_missed:
            self._te_missed = True
            text = "a request without 'te: trailers': what is between may be unfit for gRPC"
            self._events.append(PeerWarning(text))

    def _call_started(self, call: ServerCall, timeout: float | None) -> None:
        self._running += 1
        if timeout is not None:
            call.deadline = self._now + timeout
            self._timers.start(_DEADLINE, call.deadline, call)
        self._events.append(CallStarted(call))

    def _call_released(self, call: ServerCall) -> None:
        self._running -= 1

    def _slots_changed(self) -> None:
        """The connection is idle from the moment at which its last stream ends (GOAW-3)."""
        idle = not self._carrier.live and self.state < ConnectionState.DRAINING
        if idle and self._timers.when(TimerKind.IDLE) is None:
            self._start_if_finite(TimerKind.IDLE, self.config.max_connection_idle)

    def _ping_acked(self, payload: bytes) -> None:
        if payload == DRAIN_PING and self._goaways == 1:
            self._say_final_goaway()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _say_final_goaway(self) -> None:
        self._goaways = 2
        self._timers.stop(TimerKind.DRAIN)
        if self._grace != inf:
            self._limit_shutdown(self._now + self._grace)
        self._carrier.go_away(self._carrier.highest_peer_id, ErrorCode.NO_ERROR, self._farewell)

    def _close_if_idle(self) -> None:
        if not self._carrier.live and self._goaways != 1:
            said = self._goaways == 2
            origin = Origin.LOCAL if said else Origin.PEER
            reason = "the connection has drained"
            self._carrier.close(ErrorCode.NO_ERROR, reason, origin, limit=self._outlived, goaway=not said)

    def _on_timer(self, kind: TimerKind) -> None:
        match kind:
            case TimerKind.DRAIN:
                self._say_final_goaway()
            case TimerKind.IDLE:
                self._drain(b"max_idle", limit=Limit.MAX_CONNECTION_IDLE)
            case TimerKind.UNUSED:
                self._drain(b"no call was ever started", limit=Limit.UNUSED_TIMEOUT)
            case TimerKind.AGE:
                self._drain(b"max_age", grace=self.config.max_connection_age_grace, limit=Limit.MAX_CONNECTION_AGE)
            case TimerKind.UNFINISHED:
                _, in_block = self._carrier.unfinished or (0.0, False)
                limit = Limit.HEADER_BLOCK_TIMEOUT if in_block else Limit.FRAME_TIMEOUT
                self._fail(ErrorCode.ENHANCE_YOUR_CALM, "the peer did not finish a frame that it began", limit)
            case _:
                self._fail(ErrorCode.NO_ERROR, "the server has shut down", self._outlived)

    def _start_if_finite(self, kind: TimerKind, delay: float) -> None:
        if delay != inf:
            self._timers.start(kind, self._now + delay)

    def _watch_unfinished(self) -> None:
        """The time that a frame or a header block may take runs from its first byte (SEC-10)."""
        begun = self._carrier.unfinished
        if begun is None:
            self._timers.stop(_UNFINISHED)
            return
        since, in_block = begun
        abuse = self.config.abuse
        due = since + (abuse.header_block_timeout if in_block else abuse.frame_timeout)
        if self._timers.when(TimerKind.UNFINISHED) != due:
            self._timers.start(TimerKind.UNFINISHED, due)
