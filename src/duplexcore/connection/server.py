"""A server's side of a connection."""

from __future__ import annotations

from ..call import Origin, ServerCall
from ..call.lane import CallSide, Lane
from ..config import ServerConfig
from ..http2.frames import MAX_ID
from ..status import ErrorCode
from .base import Connection
from .events import CallStarted
from .tables import Turn
from .timers import TimerKind

__all__ = ["ServerConnection"]

#: The payload of the PING that tells when every call opened before the first GOAWAY has come (GOAW-1).
DRAIN_PING = b"draining"


class ServerConnection(Connection[ServerCall]):
    """The engine of a server: announces calls. The drive contract stands in `duplexcore.connection.base`.

    Each announced call counts against ``max_concurrent_calls`` until its handler has said ``finish``.
    """

    __slots__ = ("_goaways", "_running")

    config: ServerConfig

    def __init__(self, config: ServerConfig | None = None, *, now: float) -> None:
        super().__init__(config or ServerConfig(), client=False, now=now)
        self._running = 0  # calls announced and not released
        self._goaways = 0  # 1: the one that refuses nothing, 2: the final one

    # --- commands -------------------------------------------------------------------------------------------------

    def shutdown(self, *, deadline: float | None = None) -> None:
        """Drains: a GOAWAY that refuses nothing yet and a PING, after its answer the final GOAWAY; closes when the
        last call has finished (GOAW-1).

        At ``deadline`` (absolute) the calls that are left are cut off and the connection is closed; if it is not after
        the latest ``now``: at once, with the next `handle_timeout` and one GOAWAY (GOAW-2). A second shutdown may only
        shorten the time.
        """
        if self.is_closed:
            return
        at_once = deadline is not None and deadline <= self._now
        if self._goaways == 0 and not at_once:
            self._goaways = 1
            self._turn(Turn.DRAIN)
            self._carrier.go_away(MAX_ID, ErrorCode.NO_ERROR, b"shutting down")
            self._carrier.ping(DRAIN_PING)
            self._timers.start(TimerKind.DRAIN, self._now + self.config.drain_ping_timeout)
        self._limit_shutdown(deadline)

    # --- heard from the carrier and the calls ---------------------------------------------------------------------

    def accept(self, lane: Lane) -> CallSide:
        return ServerCall(lane, self, self.config)

    @property
    def room_for_call(self) -> bool:
        return self._running < self.config.max_concurrent_calls

    def call_started(self, call: ServerCall, timeout: float | None) -> None:
        self._running += 1
        if timeout is not None:
            call.deadline = self._now + timeout
            self._timers.start(TimerKind.DEADLINE, call.deadline, call)
        self._events.append(CallStarted(call))

    def call_released(self, call: ServerCall) -> None:
        self._running -= 1

    def ping_acked(self, payload: bytes) -> None:
        if payload == DRAIN_PING and self._goaways == 1:
            self._say_final_goaway()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _say_final_goaway(self) -> None:
        self._goaways = 2
        self._timers.stop(TimerKind.DRAIN)
        self._carrier.go_away(self._carrier.highest_peer_id, ErrorCode.NO_ERROR, b"shutting down")

    def _close_if_idle(self) -> None:
        if not self._carrier.live and self._goaways != 1:
            said = self._goaways == 2
            origin = Origin.LOCAL if said else Origin.PEER
            self._carrier.close(ErrorCode.NO_ERROR, "the connection has drained", origin, goaway=not said)

    def _on_timer(self, kind: TimerKind) -> None:
        if kind is TimerKind.DRAIN:
            self._say_final_goaway()
        else:
            self._carrier.close(ErrorCode.NO_ERROR, "the server has shut down", Origin.LOCAL)
