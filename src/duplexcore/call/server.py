"""A call as its server sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from ..config import Limit, ServerConfig
from ..errors import LocalProtocolError
from ..metadata import (
    ALLOWED_ON_SERVERS,
    EMPTY,
    Field,
    InvalidMetadataError,
    Metadata,
    MetadataLike,
    encode_metadata,
    field_list_size,
)
from ..status import ErrorCode, Status, StatusCode
from . import headers
from .base import Call, CallOwner, reset_text
from .events import CallEnded, HalfClosed, Origin
from .lane import Block, Data, Headers, Lane, Output
from .tables import DISORDER, RECEIVE_FAULTS, SAID, SERVER_HEARD, Fault, Hear, Receive, Say, Send

__all__ = ["ServerCall"]

# Named for the same reason as in `duplexcore.call.base`.
_UNHEARD: Final = Receive.IDLE
_ALL_HEARD: Final = Receive.CLOSED
_UNSAID: Final = Send.IDLE
_ENDED: Final = Send.ENDED
_FINISH: Final = Say.FINISH
_DATA: Final = Hear.DATA
_END: Final = Hear.END
_HEADERS: Final = Hear.HEADERS
_LAST_HEADERS: Final = Hear.LAST_HEADERS
_LOCAL: Final = Origin.LOCAL

OK = Status()
#: How most calls end, and what tells most of their ends before.
_FINISHED: Final = CallEnded(OK, EMPTY, _LOCAL)
_HALF_CLOSED: Final = HalfClosed()
_NO_REQUEST = Fault(
    StatusCode.UNIMPLEMENTED, ErrorCode.NO_ERROR, "the client half-closed without the one request that the method has"
)
_SECOND_REQUEST = Fault(
    StatusCode.UNIMPLEMENTED, ErrorCode.NO_ERROR, "the client sent more than the one request that the method has"
)


class ServerCallOwner(CallOwner, Protocol):
    @property
    def _full(self) -> Limit | None:
        """Why no other call may run now: it is refused as unprocessed (CONN-8, SEC-11)."""
        ...

    def _call_refused(self, call: ServerCall, status: Status, limit: Limit | None) -> None:
        """A request will not be announced; its method, if known, is the call's."""

    def _te_missing(self) -> None:
        """A request came without ``te: trailers`` (HDR-7)."""

    def _call_started(self, call: ServerCall, timeout: float | None) -> None:
        """The request is in order: set its deadline, announce it."""

    def _call_released(self, call: ServerCall) -> None:
        """The handler has finished with a call that was announced."""


class ServerCall(Call):
    """A call that a client has opened. The value inside `CallStarted` and the server's other events.

    ``finish`` is always the last thing to say, also when the call has ended already (the client left, its deadline
    passed): only then does the call stop counting against ``max_concurrent_calls`` (CANC-3).
    """

    __slots__ = (
        "_custom",
        "_definition",
        "_final",
        "_final_custom",
        "_finished",
        "_headers_sent",
        "_initial_said",
        "_refusal",
        "metadata",
    )

    config: ServerConfig
    _owner: ServerCallOwner

    def __init__(self, lane: Lane, owner: ServerCallOwner, config: ServerConfig) -> None:
        Call.__init__(self, "", lane, owner, config)
        #: What the client opened the call with.
        self.metadata: Metadata = EMPTY
        self._definition: headers.Definition | None = None  # what the request says; None: nothing that is in order
        self._custom: Sequence[Field] = ()  # the application's initial metadata
        self._initial_said = False  # it asked for headers before any message
        self._headers_sent = False
        self._finished = False  # it said finish()
        self._final: CallEnded | None = None  # the end whose trailers wait to be framed,
        self._final_custom: Sequence[Field] = ()  # and its metadata as header fields
        self._refusal: headers.Refusal | None = None  # the answer to a request that was never announced

    @property
    def authority(self) -> str:
        """The host that the client meant to call."""
        return self._definition.authority if self._definition else ""

    @property
    def user_agent(self) -> str:
        """What the client calls itself."""
        return self._definition.user_agent if self._definition else ""

    @property
    def _subtype(self) -> str:
        return self._definition.subtype if self._definition else ""

    # --- the application's side ---------------------------------------------------------------------------------

    def expect_single_request(self) -> None:
        """The method takes exactly one message: it is handed over once the client has half-closed; none, or more
        than one, end the call with UNIMPLEMENTED (STAT-14). To be said on `CallStarted`, before anything is taken."""
        if self._inbox.single or self.ended is not None:
            return
        if self.receive_state is _ALL_HEARD and self._inbox.has_one(_SECOND_REQUEST):
            return  # as most do, it came whole
        if fault := self._inbox.expect_one(_SECOND_REQUEST):
            self._fail(fault)
        elif self.receive_state is _ALL_HEARD:
            self._half_closed()

    def choose_compression(self, name: str | None) -> None:
        """The coding of the answers, instead of the configuration's; plain when the client does not take it (COMP-7).

        Raises `LocalProtocolError` once messages or initial metadata were sent, and for a coding that is not enabled.
        """
        if self.send_state is not _UNSAID and self.ended is None:
            raise LocalProtocolError("the compression is chosen before initial metadata or messages are sent")
        if name is not None and name not in self.config.compressions:
            raise LocalProtocolError(
                f"compression {name!r} is not one of the configuration's {self.config.compressions}"
            )
        self.compression = name if self._definition and name in self._definition.accepts else None

    def _no_compression(self) -> None:
        """What the client does not take is sent plain (COMP-7)."""

    def send_initial_metadata(self, metadata: MetadataLike = ()) -> None:
        """Sends the response's headers now, before any message. Without it they go with the first message.

        Raises `LocalProtocolError` when headers or messages were sent already, or for metadata that can not be sent.
        """
        following: Send = self._may_say(Say.OPENING)
        custom = _encode(metadata)
        if following is Send.ENDED:
            return
        self.send_state = following
        self._custom = custom
        self._initial_said = True
        self._lane.wants_write()

    def finish(self, status: Status = OK, trailing_metadata: MetadataLike = ()) -> None:
        """Ends the call with a status, after all messages that were sent; unread requests are dropped.

        Nothing but the trailers is sent when neither initial metadata nor a message was (STAT-2). Raises
        `LocalProtocolError` when it was said before and its trailers wait to be sent, or for metadata that can not be.
        """
        following: Send = SAID[_FINISH][self.send_state] or self._may_say(_FINISH)
        trailers = EMPTY
        custom: Sequence[Field] = ()
        if trailing_metadata is not EMPTY and trailing_metadata != ():
            trailers = Metadata(trailing_metadata).redacting(self.config.sensitive_metadata)
            custom = _encode(trailers)
        if self._finished:
            return
        self._finished = True
        if following is _ENDED:
            self._owner._call_released(self)
            return
        self.send_state = following
        usual = trailers is EMPTY and status.ok and not status.message
        self._final = _FINISHED if usual else CallEnded(status, trailers, _LOCAL)
        self._final_custom = custom
        self._inbox.clear()
        self._lane.wants_write()

    def abort(self, message: str = "aborted by the server") -> None:
        """Ends the call now, as CANCELLED, and drops what was not framed: for handlers that are cut off (DUP-35)."""
        self._cut_off(Status(StatusCode.CANCELLED, message), Origin.LOCAL)

    # --- the carrier's side --------------------------------------------------------------------------------------

    def pull(self, room: int, now: float) -> Output | None:
        if self._refusal is not None:
            return self._refuse(self._refusal)
        if self._outbox.size or (self._initial_said and self.ended is None):
            if not self._headers_sent:
                return self._open()
            if self._outbox.size:
                if room <= 0:
                    return None
                payload = self._pull_payload(room)
                more = self._outbox.size > 0 or self._final is not None
                return Data(payload, False, more) if more or type(payload) is not bytes else payload
        return self._close() if self._final is not None else None

    def _refuse(self, refusal: headers.Refusal) -> Output | None:
        self._refusal = None
        front = refusal.fields[:2]  # what stands before the status
        lesser = ([*front, *headers.trailers(status, ()).fields] for status in _lesser(refusal.status))
        for fields in (refusal.fields, *lesser):
            if self._fits(output := Headers(fields, True)):
                return output
        self._lane.abort(ErrorCode.INTERNAL_ERROR)
        return None

    def _open(self) -> Output | None:
        output = headers.response_headers(self.config, self._subtype, self.compression, self._custom)
        if self._fits(output):
            self._headers_sent = True
            return output
        self._cut_off(Status(StatusCode.INTERNAL, "the initial metadata is above the client's limit"), Origin.LIBRARY)
        return self._close()

    def _close(self) -> Output | None:
        assert self._final is not None
        final, self._final = self._final, None
        output = self._last(final.status, self._final_custom)
        if not self._fits(output):
            lesser = (self._last(status, ()) for status in _lesser(final.status))
            fitting = next(filter(self._fits, lesser), None)
            if fitting is None:
                text = "the trailers are above the client's limit"
                self._end(CallEnded(Status(StatusCode.INTERNAL, text), EMPTY, Origin.LIBRARY))
                self._lane.abort(ErrorCode.INTERNAL_ERROR)
                return None
            output = fitting
        self._end(final)
        return output

    def _last(self, status: Status, custom: Sequence[Field]) -> Headers:
        if self._headers_sent:
            return headers.trailers(status, custom)
        return Headers(headers.trailers_only_fields(self._subtype, status, custom), True)

    def _fits(self, output: Headers) -> bool:
        return field_list_size(output.fields) <= self._lane.header_limit

    def on_deadline(self) -> None:
        """The deadline has passed on our clock: the handler is cut off, the client gets the status (DUP-13)."""
        self._cut_off(Status(StatusCode.DEADLINE_EXCEEDED, "deadline exceeded"), Origin.LOCAL)

    def on_headers(self, block: Block, end: bool) -> None:
        opening = self.receive_state is _UNHEARD
        if self.ended is not None or not self._hear(_LAST_HEADERS if end else _HEADERS):
            return
        if opening and not self._begin(block):
            return
        if end:
            self._half_closed()

    def _begin(self, block: Block) -> bool:
        """Whether the request is in order and announced; otherwise its refusal waits to be framed."""
        request = headers.read_request(block, self.config, full=self._owner._full)
        if isinstance(request, headers.Refusal):
            self.method = (headers.first(block.fields, b":path") or b"").decode("latin-1")
            self._never_announced(request.status, request.limit)
            if request.fields:
                self._refusal = request
                self._lane.wants_write()
            else:
                self._lane.abort(ErrorCode.REFUSED_STREAM)
            return False
        self._definition = definition = request.definition
        if not definition.te:
            self._owner._te_missing()
        self.method = definition.path
        self.metadata = request.metadata
        self._inbox.encoding = definition.encoding
        if self.config.compression is not None:
            self.choose_compression(self.config.compression)
        self._owner._call_started(self, request.timeout)
        return True

    def _never_announced(self, status: Status, limit: Limit | None = None) -> None:
        """The call is over before the application heard of it."""
        self.ended = CallEnded(status, EMPTY, Origin.LIBRARY, limit=limit)
        self.send_state, self.receive_state = Send.ENDED, Receive.ENDED
        self._owner._call_refused(self, status, limit)

    def on_data(self, data: bytes) -> None:
        if self.ended is None and self._hear(_DATA) and not self._finished:
            inbox = self._inbox
            if inbox.receive(data):
                self._owner._call_readable(self)
            if inbox.fault is not None:
                self._fail(inbox.fault)

    def on_end(self) -> None:
        if self.ended is None and self._hear(_END):
            self._half_closed()

    def on_reset(
        self,
        code: int,
        origin: Origin,
        reason: str = "",
        *,
        unprocessed: bool = False,
        limit: Limit | None = None,
    ) -> None:
        self._final = self._refusal = None
        text = reset_text(code, reason) if origin is Origin.PEER else reason
        status = Status(StatusCode.CANCELLED, text)
        if self.receive_state is Receive.IDLE:
            self._never_announced(status, limit)
        elif self.ended is None:
            self._end(CallEnded(status, EMPTY, origin, limit=limit))

    # --- inside --------------------------------------------------------------------------------------------------

    def _hear(self, what: Hear) -> bool:
        following = SERVER_HEARD[what][self.receive_state]
        if following is None:
            self._fail(RECEIVE_FAULTS.get((self.receive_state, what), DISORDER))
            return False
        self.receive_state = following
        return True

    def _half_closed(self) -> None:
        if self._finished:
            return
        if self._inbox.unfinished:
            self._fail(Fault(StatusCode.INTERNAL, ErrorCode.NO_ERROR, "the client half-closed inside a message"))
        elif self._inbox.complete():
            self._put(_HALF_CLOSED)
        else:
            self._fail(_NO_REQUEST)

    def _fail(self, fault: Fault) -> None:
        status = Status(fault.code, fault.text)
        if self.receive_state is Receive.IDLE:
            self._never_announced(status)
            self._lane.abort(fault.reset)
        elif fault.reset is ErrorCode.PROTOCOL_ERROR:  # the stream itself is broken: no place for trailers
            self._end(CallEnded(status, EMPTY, Origin.LIBRARY, limit=fault.limit))
            self._lane.abort(fault.reset)
        else:
            self._cut_off(status, Origin.LIBRARY, fault.limit)

    def _cut_off(self, status: Status, origin: Origin, limit: Limit | None = None) -> None:
        """Ends the call at once for the application; the client gets the status in trailers, or RST_STREAM(CANCEL)
        when a message is on the wire in part (PROTOCOL-HTTP2 "Errors", DUP-35)."""
        if self.ended is not None:
            return
        mid_message = self._outbox.mid_message
        self._end(CallEnded(status, EMPTY, origin, limit=limit))
        if mid_message:
            self._lane.abort(ErrorCode.CANCEL)
        else:
            self._final, self._final_custom = self.ended, ()
            self._lane.wants_write()

    def _end(self, ended: CallEnded) -> None:
        fresh = self.ended is None
        self._final = None
        Call._end(self, ended)
        if fresh and self._finished:
            self._owner._call_released(self)


def _lesser(status: Status) -> Iterator[Status]:
    """What does not fit loses its metadata first, then its message: the status at least (MD-12)."""
    for message in (status.message[:100], ""):
        yield Status(status.code, message)


def _encode(metadata: MetadataLike) -> list[Field]:
    try:
        return encode_metadata(metadata, ALLOWED_ON_SERVERS)
    except InvalidMetadataError as error:
        raise LocalProtocolError(str(error)) from None
