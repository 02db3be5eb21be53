"""One call's HTTP/2 stream: its state, its windows, and the frames between its call and the carrier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..call.events import Origin
from ..call.lane import CallSide
from ..config import Limit
from ..status import ErrorCode
from .flow import ReceiveWindow
from .header_rules import GOOD, HeaderList, Kind
from .queues import Place
from .tables import FRAMED, RECEIVES, SENDS, Step, StreamState

if TYPE_CHECKING:
    from .carrier import Http2Carrier

__all__: list[str] = []

# Named for the same reason as in `duplexcore.call.base`.
_IDLE: Final = StreamState.IDLE
_CLOSED: Final = StreamState.CLOSED
_AWAY: Final = Place.AWAY
_READY: Final = Place.READY
_TRAILERS: Final = Kind.TRAILERS


class Http2Lane:
    """The `Lane` of a call. The carrier drives it with frames, the call with what it wants."""

    __slots__ = (
        "_carrier",
        "_content_length",
        "_empty_in_a_row",
        "abort_code",
        "advanced",
        "answer_induced",
        "call",
        "headers_seen",
        "peer_window",
        "place",
        "state",
        "stream_id",
        "unpacked",
        "window",
    )

    call: CallSide

    def __init__(self, carrier: Http2Carrier, window: int) -> None:
        self._carrier = carrier
        #: 0 until the client has framed the headers: ids are given in the order of the wire.
        self.stream_id = 0
        self.state: StreamState = _IDLE
        self.window = ReceiveWindow(window)
        #: What the peer still takes: kept by the native core, unused by h2's.
        self.peer_window = 0
        #: Bytes that it was credited before they were taken, and those by which unpacking has made its messages grow.
        self.advanced = 0
        self.unpacked = 0
        #: Set when the call wants the stream reset; the frame is made when bytes are pulled.
        self.abort_code: ErrorCode | None = None
        #: Where it stands among those that have something to send.
        self.place: Place = _AWAY
        #: Whether the peer made us answer with what it does not read (SEC-4).
        self.answer_induced = False
        #: Whether the request, or the final response headers, have come.
        self.headers_seen = False
        self._content_length: int | None = None  # what is still to come of it
        self._empty_in_a_row = 0

    # --- what the call asks for (see `duplexcore.call.lane.Lane`) -------------------------------------------------

    @property
    def header_limit(self) -> int:
        return self._carrier.peer_header_limit

    def wants_write(self) -> None:
        # One that waits for a stream goes on waiting, one that is over is past it.
        if self.place is not _READY and SENDS[self.state]:
            self._carrier.queues.ready(self)

    def consumed(self, size: int) -> None:
        # For each message: as `receiving`, without a call.
        if self.abort_code is None and RECEIVES[self.state] and (increment := self.window.consumed(size)):
            self._carrier.credit(self.stream_id, increment)

    def advance(self, size: int) -> None:
        if self.receiving:
            self._carrier.advances.ask(self, size)

    def settle(self, size: int) -> int:
        advances = self._carrier.advances
        if 0 < size < self.advanced:
            advances.repay(self, size)  # smaller than those before it: with all its bytes
        # What one beyond the window had stays: the next is likely to be as large, and would wait for it again (FLOW-3).
        elif not (size > self.window.size and self.receiving and advances.may_stay):
            self.consumed(advances.settle(self))
        return self.advanced

    def kept(self, change: int) -> None:
        if self.state is not _CLOSED:
            self.unpacked += change
            self._carrier.flood.unpacked(change)

    def abort(self, code: ErrorCode) -> None:
        if self.state is _CLOSED or self.abort_code is not None:
            return
        if self.state is _IDLE:
            self._carrier.withdraw(self)
            return
        self.abort_code = code
        self._carrier.queues.ready(self)

    # --- what the carrier drives ----------------------------------------------------------------------------------

    def over(self) -> None:
        """The stream has ended, or never began. Its call still knows it, but not the other way round: so both are freed
        with their last user, and do not wait for the garbage collector."""
        self.state = _CLOSED
        del self.call

    @property
    def receiving(self) -> bool:
        """Whether frames of the peer still mean something here."""
        return self.abort_code is None and RECEIVES[self.state]

    @property
    def joinable(self) -> int:
        """So many bytes of DATA may come in one piece, and come to the same as frame by frame."""
        if not self.receiving:
            return 0
        room = min(self.window.available, self.call.joinable)
        return room if self._content_length is None else min(room, self._content_length)

    def step(self, step: Step) -> StreamState:
        following = FRAMED[step][self.state]
        if following is None:
            raise AssertionError(f"{step.name} in the state {self.state.name}")
        self.state = following
        return following

    def on_headers(self, headers: HeaderList, end: bool, opening: Kind) -> Kind | None:
        """Hands a header list to the call. What it was, None when it was refused as malformed."""
        kind = _TRAILERS if self.headers_seen else opening
        verdict = headers.verdict(kind, end)
        if verdict is not GOOD:
            if verdict.malformed:
                self.fail(ErrorCode.PROTOCOL_ERROR, f"malformed headers: {verdict.malformed}")
                return None
            if verdict.interim:
                self._carrier.flood.interim_response()
                return kind
        if not self.headers_seen:
            if (flood := self._carrier.flood).fruitless:
                flood.progress()
            self.headers_seen = True
            self._content_length = verdict.length
        if end and self._content_length is not None and not self._length_holds(0, end=True):
            return None
        self.call.on_headers(headers.block, end)
        return kind

    def on_data(self, payload: bytes, flow_size: int, end: bool) -> None:
        if not self.window.received(flow_size):
            text = "the peer sent more than the stream's window"
            self.fail(ErrorCode.FLOW_CONTROL_ERROR, text, Limit.STREAM_WINDOW)
            return
        if self._content_length is not None and not self._length_holds(len(payload), end=end):
            return
        if padding := flow_size - len(payload):
            self.consumed(padding)
        if payload:
            self._empty_in_a_row = 0
            self.call.on_data(payload)
        elif not end:
            self._empty_in_a_row += 1
            self._carrier.flood.empty_data(self._empty_in_a_row)

    def fail(self, code: ErrorCode, reason: str, limit: Limit | None = None) -> None:
        """The peer broke a rule, perhaps a ``limit``, on this stream: the call ends, the stream is reset."""
        self.call.on_reset(code, Origin.LIBRARY, reason, limit=limit)
        self.abort(code)
        self._carrier.rule_broken(self)

    def _length_holds(self, size: int, *, end: bool) -> bool:
        """The ledger of a content-length that the peer announced (MAL-4)."""
        assert self._content_length is not None
        self._content_length -= size
        if self._content_length < 0 or (end and self._content_length):
            self.fail(ErrorCode.PROTOCOL_ERROR, "content-length does not match the data")
            return False
        return True
