"""A client's side of a connection."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

from ..call import ClientCall, Origin, ReplayBudget
from ..call.lane import CallSide, Lane
from ..config import ClientConfig, Limit, check_authority
from ..errors import LocalProtocolError
from ..metadata import InvalidMetadataError, MetadataLike, encode_metadata
from ..status import ErrorCode
from .base import Connection
from .events import CallsAvailable
from .tables import ConnectionState, Turn
from .timers import TimerKind

__all__ = ["ClientConnection"]

_METHOD = re.compile(r"/[!-.0-~]+(/[!-.0-~]+)+")
_SUBTYPE = re.compile(r"[0-9a-z.\-_]*")


@lru_cache(256)
def _check_method(method: str) -> None:
    """Applications call the same few again and again."""
    if not _METHOD.fullmatch(method):
        raise LocalProtocolError(f"method {method!r} is not of the form '/package.Service/Method'")


# Named for the same reason as in `duplexcore.call.base`.
_DRAINING: Final = ConnectionState.DRAINING
_DEADLINE: Final = TimerKind.DEADLINE


class ClientConnection(Connection[ClientCall]):
    """The engine of a client: opens calls. The drive contract stands in `duplexcore.connection.base`.

    ``now``: the clock's reading at the start; the handshake's time runs from it.
    """

    __slots__ = ("_leaving", "_reason", "_short")

    config: ClientConfig

    def __init__(self, config: ClientConfig | None = None, *, now: float) -> None:
        super().__init__(config or ClientConfig(), client=True, now=now)
        self._leaving = False  # shutdown() was said
        self._reason = ""  # why the connection takes no more calls
        self._short = False  # a call had to wait for a stream

    # --- commands -------------------------------------------------------------------------------------------------

    def start_call(
        self,
        method: str,
        metadata: MetadataLike = (),
        *,
        deadline: float | None = None,
        authority: str | None = None,
        content_subtype: str = "",
        compression: str | None = None,
        single_response: bool = False,
        replay: ReplayBudget | None = None,
    ) -> ClientCall:
        """Opens a call; its headers leave with the next bytes, or when a stream is free (CONN-7).

        ``method``: ``/package.Service/Method``. ``deadline``: absolute. ``authority``: instead of the connection's.
        ``content_subtype``: what stands after ``application/grpc+``. ``compression``: the coding of the requests, one
        of the configuration's ``compressions``, "identity" for none, instead of its ``compression``.
        ``single_response``: the method answers with one message: it is delivered with an OK status, and none or two
        are UNIMPLEMENTED (STAT-15 to STAT-17). ``replay``: see `restart_call`.

        On a connection that the peer has closed or is leaving, the call ends at once, as unprocessed. Raises
        `LocalProtocolError` for arguments that can not be sent, after `shutdown`, and when ``max_waiting_calls`` wait.
        """
        _check_method(method)
        if content_subtype and not _SUBTYPE.fullmatch(content_subtype):
            raise LocalProtocolError(f"content_subtype {content_subtype!r}: use a-z, 0-9, '.', '-' and '_'")
        coding = self.config.compression if compression is None else compression
        if coding is not None and coding not in ("identity", *self.config.compressions):
            raise LocalProtocolError(
                f"compression {coding!r} is not one of the configuration's {self.config.compressions}"
            )
        try:
            custom = encode_metadata(metadata)
            host = self.config.authority if authority is None else check_authority(authority)
        except (InvalidMetadataError, ValueError) as error:
            raise LocalProtocolError(str(error)) from None
        if deadline is not None and math.isnan(deadline):
            raise LocalProtocolError("deadline is not a number")
        if self._leaving:
            raise LocalProtocolError("the connection is shutting down: start the call on another one")
        if self._carrier.waiting >= self.config.max_waiting_calls:
            raise LocalProtocolError("too many calls wait for a stream already: wait for CallsAvailable")

        lane = self._carrier.open_lane()
        call = ClientCall(
            method,
            lane,
            self,
            self.config,
            custom=custom,
            authority=host,
            deadline=deadline,
            subtype=content_subtype,
            compression=None if coding == "identity" else coding,
            single_response=single_response,
            replay=replay,
        )
        lane.call = call
        self._begin(call, lane)
        return call

    def restart_call(self, call: ClientCall) -> None:
        """Starts a call here that has ended on another connection without having been processed: the same messages,
        the same half-close, and what is left of its time, as if nothing had happened (RETRY-3, RETRY-5).

        It must have been started with a ``replay`` budget. Raises `LocalProtocolError` for a call that is not
        ``restartable``, and after `shutdown`.
        """
        if not call.restartable:
            raise LocalProtocolError("the call can not be started again: the server may have seen it")
        if self._leaving:
            raise LocalProtocolError("the connection is shutting down: start the call on another one")
        lane = self._carrier.open_lane()
        call.restart(lane, self)
        lane.call = call
        self._begin(call, lane)

    def _begin(self, call: ClientCall, lane: Lane) -> None:
        if self.state >= _DRAINING:
            call.on_reset(ErrorCode.NO_ERROR, Origin.TRANSPORT, self._reason, unprocessed=True)
            lane.abort(ErrorCode.NO_ERROR)
            return
        if call.deadline is not None:
            self._timers.start(_DEADLINE, call.deadline, call)
        self._slots_changed()

    def shutdown(self, *, deadline: float | None = None) -> None:
        """Takes no more calls, lets those that are there finish, then says GOAWAY and closes (DUP-30, GOAW-8).

        At ``deadline`` (absolute) the calls that are left are cancelled; now or earlier: at once, with the next
        `handle_timeout`. A second shutdown may only shorten the time.
        """
        if self.is_closed:
            return
        self._leaving = True
        self._turn(Turn.DRAIN)
        self._limit_shutdown(deadline)

    @property
    def waiting_calls(self) -> int:
        """How many calls wait for a stream."""
        return self._carrier.waiting

    # --- heard from the carrier -----------------------------------------------------------------------------------

    def _accept(self, lane: Lane) -> CallSide:
        raise AssertionError("servers open no calls")

    def _peer_going_away(self, code: int, reason: str) -> None:
        self._reason = reason
        super()._peer_going_away(code, reason)

    def _carrier_closed(self, code: int, reason: str, origin: Origin, limit: Limit | None) -> None:
        self._reason = reason
        super()._carrier_closed(code, reason, origin, limit)

    def _slots_changed(self) -> None:
        if self.state >= _DRAINING:
            return
        carrier = self._carrier
        waiting = carrier.waiting
        if not (waiting or self._short) and self.config.max_waiting_calls:
            return
        free = max(0, carrier.peer_stream_limit - carrier.live)
        if waiting > free or waiting >= self.config.max_waiting_calls:
            self._short = True
        elif self._short and free and not waiting:
            self._short = False
            self._events.append(CallsAvailable())

    # --- inside ---------------------------------------------------------------------------------------------------

    def _close_if_idle(self) -> None:
        if not self._carrier.live and not self._carrier.waiting:
            reason = self._reason or "the client has shut down"
            self._carrier.close(ErrorCode.NO_ERROR, reason, Origin.LOCAL if self._leaving else Origin.PEER)

    def _on_timer(self, kind: TimerKind) -> None:
        for call in self._carrier.calls():
            assert isinstance(call, ClientCall)
            call.cancel("the client has shut down")
