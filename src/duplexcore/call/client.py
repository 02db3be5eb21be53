"""A call as its client sees it."""

from __future__ import annotations

from typing import Final

from ..config import ClientConfig, Limit
from ..metadata import EMPTY, Field, Metadata, field_list_size
from ..status import STATUS_BY_ERROR_CODE, ErrorCode, Status, StatusCode, append_note, escaped
from . import headers
from .base import Call, CallOwner, reset_text
from .events import CallEnded, Origin
from .inbox import Inbox
from .lane import Block, Data, Lane, Output
from .replay import Replay, ReplayBudget
from .tables import CLIENT_HEARD, DISORDER, RECEIVE_FAULTS, SAID, Fault, Hear, Receive, Say, Send
from .timeout import encode_timeout

__all__ = ["ClientCall"]

# Named for the same reason as in `duplexcore.call.base`.
_OPENING: Final = Say.OPENING
_OPEN: Final = Send.OPEN
_CLOSED: Final = Send.CLOSED
_ENDED: Final = Receive.ENDED
_UNHEARD: Final = Receive.IDLE
_HALF_CLOSE: Final = Say.HALF_CLOSE
_DATA: Final = Hear.DATA
_HEADERS: Final = Hear.HEADERS
_LAST_HEADERS: Final = Hear.LAST_HEADERS
_NO_ERROR: Final = ErrorCode.NO_ERROR

#: Who may have ended a call that can be started again.
_NOBODYS = (Origin.TRANSPORT, Origin.PEER)
#: How much of the body of an answer that is not gRPC goes into the status message (ERR-1): bytes.
BODY_SHOWN = 1024
_SECOND_RESPONSE = Fault(StatusCode.UNIMPLEMENTED, ErrorCode.CANCEL, "more than the one response that the method has")


class ClientCall(Call):
    """A call that this side has opened. Made by `ClientConnection.start_call`, and the value inside its events.

    ``send_message`` and ``half_close`` say, ``take_message`` and ``next_event`` hear, ``cancel`` ends. All of them may
    be used at any time; after the end they do nothing.
    """

    __slots__ = (
        "_authority",
        "_body",
        "_budget",
        "_custom",
        "_foreign",
        "_opened",
        "_refused",
        "_said",
        "_subtype",
        "initial_metadata",
    )

    config: ClientConfig

    def __init__(
        self,
        method: str,
        lane: Lane,
        owner: CallOwner,
        config: ClientConfig,
        *,
        custom: list[Field],
        authority: str,
        deadline: float | None,
        subtype: str,
        compression: str | None = None,
        single_response: bool,
        replay: ReplayBudget | None = None,
    ) -> None:
        Call.__init__(self, method, lane, owner, config)
        #: What the server sent before its first message; None until it has come.
        self.initial_metadata: Metadata | None = None
        self.deadline = deadline
        self.compression = compression
        self.send_state = self._may_say(_OPENING)
        if single_response:
            self._inbox.expect_one(_SECOND_RESPONSE)
        self._custom = custom
        self._authority = authority
        self._subtype = subtype
        self._opened = False  # whether the request's headers are framed
        self._refused = False  # whether they were once before, on a connection whose server did not take the call
        self._foreign: Status | None = None
        self._body = b""
        self._budget = replay  # None: the call is never started again
        if replay is not None:
            self._outbox.replay = Replay(replay)
        self._said: tuple[Send, list[bytes]] | None = None  # by the application, before an end that allows `restart`

    # --- the application's side ---------------------------------------------------------------------------------

    def half_close(self) -> None:
        """No more messages from this side; the server may go on. A second one is a no-op."""
        was = self.send_state
        following = SAID[_HALF_CLOSE][was]
        assert following is not None, "a client may always say it"
        self.send_state = following
        if was is _OPEN:
            self._lane.wants_write()

    def cancel(self, message: str = "cancelled by the client") -> None:
        """Ends the call now, as CANCELLED, and drops what was not framed (CANC-1, CANC-5)."""
        self._give_up(Status(StatusCode.CANCELLED, message), Origin.LOCAL, ErrorCode.CANCEL)

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a stream, or for the connection: nothing of it has left (CONN-7, D-38)."""
        return not self._opened and self.ended is None

    # --- once more ------------------------------------------------------------------------------------------------

    @property
    def restartable(self) -> bool:
        """Whether it has ended without the server's application having seen anything of it, and all that was said is
        there to be said again: `ClientConnection.restart_call` may have it (RETRY-3).

        A call that never left may be started again as often as is needed, one that the server has refused only once.
        Not so a call that was started without ``replay``, or had to keep more than that allows.
        """
        return self._said is not None

    def restart(self, lane: Lane, owner: CallOwner) -> None:
        """The same call on another lane, as if nothing had happened: same messages, same half-close."""
        assert self._said is not None
        assert self._budget is not None
        self._lane, self._owner = lane, owner
        (self.send_state, said), self._said = self._said, None
        self._outbox.refill(said)
        self._refused = self._refused or self._opened
        self._outbox.replay = None if self._refused else Replay(self._budget)
        self._opened = False
        self.receive_state = Receive.IDLE
        self.ended = None
        single, self._inbox = self._inbox.single, Inbox(lane, self.config)  # nothing but the end had come
        if single:
            self._inbox.expect_one(_SECOND_RESPONSE)

    def _end(self, ended: CallEnded) -> None:
        if self.ended is None and self._budget is not None:
            replay = self._outbox.replay
            if ended.unprocessed and ended.origin in _NOBODYS and (replay is not None or not self._opened):
                kept = replay.messages if replay is not None else ()
                self._said = (self.send_state, [*kept, *self._outbox.parts])
            self._commit()
        Call._end(self, ended)

    def _commit(self) -> None:
        """The server works on the call: it will not be started again."""
        if self._outbox.replay is not None:
            self._outbox.replay.drop()
            self._outbox.replay = None

    # --- the carrier's side --------------------------------------------------------------------------------------

    def pull(self, room: int, now: float) -> Output | None:
        if self.ended is not None:
            return None
        if not self._opened:
            return self._open(now)
        if self._outbox.size:
            if room <= 0:
                return None
            payload = self._pull_payload(room)
            more = self._outbox.size > 0
            end = self.send_state is _CLOSED and not more
            return Data(payload, end, more) if end or more or type(payload) is not bytes else payload
        return Data(b"", True) if self.send_state is _CLOSED else None

    def _open(self, now: float) -> Output | None:
        if self.deadline is not None and now >= self.deadline:
            self.on_deadline()
            return None
        output = headers.request_headers(
            self.config,
            path=self.method,
            authority=self._authority,
            subtype=self._subtype,
            timeout=None if self.deadline is None else encode_timeout(self.deadline - now),
            encoding=self.compression,
            custom=self._custom,
        )
        if (size := field_list_size(output.fields)) > self._lane.header_limit:
            text = f"metadata of {size} bytes is above the server's limit of {self._lane.header_limit}"
            self._give_up(Status(StatusCode.INTERNAL, text), Origin.LIBRARY, ErrorCode.CANCEL)
            return None
        self._opened = True
        return output

    def on_deadline(self) -> None:
        """The deadline has passed: DEADLINE_EXCEEDED, whatever may still come (DUP-12)."""
        self._give_up(Status(StatusCode.DEADLINE_EXCEEDED, "deadline exceeded"), Origin.LOCAL, ErrorCode.CANCEL)

    def on_headers(self, block: Block, end: bool) -> None:
        if self.ended is not None:
            return
        if end:
            if self._hear(_LAST_HEADERS):
                self._on_outcome(block, headers.read_outcome(block, self.config))
            return
        self._commit()
        match headers.read_response(block, self._subtype, self.config):
            case headers.Response(initial, encoding):
                if self._hear(_HEADERS):
                    self.initial_metadata = initial.metadata
                    self._inbox.encoding = encoding
                    self._put(initial)
            case headers.ForeignResponse(status):
                if self._hear(Hear.FOREIGN_HEADERS):
                    self._foreign = status
            case headers.BadBlock(status, reset, exceeded):
                if self._hear(Hear.HEADERS):
                    self._give_up(status, Origin.LIBRARY, reset, exceeded)

    def on_data(self, data: bytes) -> None:
        if self.ended is not None or not self._hear(_DATA):
            return
        if self._foreign is not None:
            self._body += data
            self._lane.consumed(len(data))
            if len(self._body) >= BODY_SHOWN:
                self._end_foreign()
        else:
            inbox = self._inbox
            if inbox.receive(data):
                self._owner._call_readable(self)
            if inbox.fault is not None:
                self._fail(inbox.fault)

    def on_end(self) -> None:
        if self.ended is None and self._hear(Hear.END):
            self._end_foreign()

    def on_reset(
        self,
        code: int,
        origin: Origin,
        reason: str = "",
        *,
        unprocessed: bool = False,
        limit: Limit | None = None,
    ) -> None:
        if self.ended is not None:
            return
        match origin:
            case Origin.PEER:
                status = Status(STATUS_BY_ERROR_CODE.get(code, StatusCode.INTERNAL), reset_text(code, reason))
            case Origin.LIBRARY:
                status = Status(StatusCode.INTERNAL, reason)
            case _:
                status = Status(StatusCode.UNAVAILABLE, reason)
        unseen = unprocessed and self.receive_state is Receive.IDLE  # an answer has begun: so has its handler (RETRY-4)
        self._end(CallEnded(status, EMPTY, origin, unseen or not self._opened, limit))

    # --- inside --------------------------------------------------------------------------------------------------

    def _hear(self, what: Hear) -> bool:
        """Whether the table allows it; if not, the call has ended with the fault that the table names."""
        following = CLIENT_HEARD[what][self.receive_state]
        if following is None:
            self._fail(RECEIVE_FAULTS.get((self.receive_state, what), DISORDER))
            return False
        if following is not _ENDED:  # `_end` sets that, once the outcome is known
            self.receive_state = following
        return True

    def _on_outcome(self, block: Block, outcome: headers.Outcome | headers.BadBlock) -> None:
        if isinstance(outcome, headers.BadBlock):
            self._give_up(outcome.status, Origin.LIBRARY, outcome.reset, outcome.limit)
            return
        if (ended := outcome.ended) is None:
            ended = CallEnded(self._foreign_end(block), EMPTY)
        if ended.status.ok and (wrong := self._incomplete()) is not None:
            ended = CallEnded(wrong, ended.trailing_metadata, Origin.LIBRARY)
        self._finish(ended)

    def _foreign_end(self, block: Block) -> Status:
        """What an end without ``grpc-status`` means."""
        status = self._foreign
        if status is None and self.receive_state is _UNHEARD:
            status = headers.foreign_status(block.fields)
        if status is None:
            status = Status(StatusCode.UNKNOWN, "the call ended without a grpc-status")
        return append_note(status, self._shown_body) if self._body else status

    def _incomplete(self) -> Status | None:
        """What the messages make of OK; None: nothing. A single response is delivered only now (FRM-8, STAT-15,
        STAT-17)."""
        if self._inbox.unfinished:
            return Status(StatusCode.INTERNAL, "the call ended in the middle of a message")
        if not self._inbox.complete():
            return Status(StatusCode.UNIMPLEMENTED, "the call ended without the one response that the method has")
        return None

    @property
    def _shown_body(self) -> str:
        return escaped(self._body[:BODY_SHOWN].decode("utf-8", "replace"))[:BODY_SHOWN]

    def _end_foreign(self) -> None:
        assert self._foreign is not None
        status = self._foreign
        if self._body:
            status = append_note(status, self._shown_body)
        self._give_up(status, Origin.PEER, ErrorCode.CANCEL)

    def _fail(self, fault: Fault) -> None:
        self._give_up(Status(fault.code, fault.text), Origin.LIBRARY, fault.reset, fault.limit)

    def _finish(self, ended: CallEnded) -> None:
        """The server has ended the call: our own half, if still open, is closed without blame (DUP-3)."""
        self._end(ended)
        self._lane.abort(_NO_ERROR)

    def _give_up(self, status: Status, origin: Origin, code: ErrorCode, limit: Limit | None = None) -> None:
        if self.ended is None:
            self._end(CallEnded(status, EMPTY, origin, not self._opened, limit))
            self._lane.abort(code)
