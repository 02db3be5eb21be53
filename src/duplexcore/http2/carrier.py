"""Many calls on one HTTP/2 connection: streams, windows, the order of frames, and how the connection ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, Protocol

from ..call.events import Origin
from ..call.lane import CallSide, Headers
from ..config import Config, Limit, ServerConfig
from ..status import ErrorCode
from . import frames
from .advances import Advances
from .core import make_core
from .faults import ConnectionFault
from .flow import ReceiveWindow
from .frames import ACK, HEADER_SIZE, MAX_ID, Frame, FrameType, SettingId
from .gate import FrameGate
from .header_decoder import HeaderDecoder
from .header_rules import HeaderList, Kind
from .lane import Http2Lane
from .limits import FloodGuard, PingStrikes
from .queues import Place, SendQueues
from .settings import INITIAL_WINDOW, read_settings
from .tables import RECEIVES, SENDS, Step, StreamState
from .tap import Tap

__all__: list[str] = []

#: A DATA frame is never longer, whatever the peer would take: the calls take turns (FLOW-11). Every peer takes as much:
#: SETTINGS_MAX_FRAME_SIZE can not be less (FLOW-12).
MAX_DATA = 16_384
NO_LIMIT = sys.maxsize
#: A client opens no stream above this id: what is left of the ids is never needed (CONN-9).
LAST_OPENED = MAX_ID // 4 * 3
#: How much of a GOAWAY's debug data is shown (GOAW-7).
DEBUG_SHOWN = 1024

# Named for the same reason as in `duplexcore.call.base`.
_CLOSED: Final = StreamState.CLOSED
_AWAY: Final = Place.AWAY
_READY: Final = Place.READY
_OPENING: Final = Place.OPENING
_OPENED: Final = Step.OPENED
_SEND_END: Final = Step.SEND_END
_RECEIVE_END: Final = Step.RECEIVE_END
_REQUEST: Final = Kind.REQUEST
_RESPONSE: Final = Kind.RESPONSE


class CarrierOwner(Protocol):
    """Who hears what happens to the connection as a whole. (Not for its users: hence the underscores.)"""

    def _carrier_ready(self) -> None:
        """The peer's first SETTINGS have come."""

    def _accept(self, lane: Http2Lane) -> CallSide:
        """The peer opens a call (server only)."""
        ...

    def _slots_changed(self) -> None:
        """A stream has ended, or the peer's limit has changed."""

    def _peer_going_away(self, code: int, reason: str) -> None:
        """The first GOAWAY of the peer; or the stream ids are used up, which comes to the same."""

    def _ping_acked(self, payload: bytes) -> None:
        """The peer has answered a PING of ours."""

    def _settings_acked(self) -> None:
        """The peer has acknowledged our SETTINGS."""

    def _carrier_closed(self, code: int, reason: str, origin: Origin, limit: Limit | None) -> None:
        """The connection is over, perhaps since a limit was broken; every call has been told."""


class Http2Carrier:
    """One side of an HTTP/2 connection that carries gRPC calls.

    Receiving drives lanes, and through them calls; frames are made only when bytes are pulled.
    """

    __slots__ = (
        "_accept_up_to",
        "_client",
        "_config",
        "_core",
        "_decoder",
        "_draining",
        "_farewell",
        "_gate",
        "_highest_peer_id",
        "_lanes",
        "_next_own_id",
        "_now",
        "_owner",
        "_peer_last_id",
        "_ready",
        "_strikes",
        "_tap",
        "_window",
        "advances",
        "closed",
        "flood",
        "peer_header_limit",
        "peer_stream_limit",
        "queues",
    )

    def __init__(self, config: Config, owner: CarrierOwner, tap: Tap, *, client: bool) -> None:
        self._config = config
        self._owner = owner
        self._client = client
        self.flood = FloodGuard(config.abuse)
        self._tap = tap
        self._gate = FrameGate(config, self.flood, tap, self, expect_preface=not client)
        self._decoder = HeaderDecoder(config)
        self._core = make_core(config, client=client)
        self._window = ReceiveWindow(config.connection_window)
        self.advances = Advances(config.abuse.unread_bytes, self._window)
        self._lanes: dict[int, Http2Lane] = {}
        #: Who has something to frame: lanes see to it themselves.
        self.queues = SendQueues()
        self._ready = False
        self._draining = False  # no stream is opened any more, by whichever side
        self._highest_peer_id = 0
        self._next_own_id = 1 if client else 2
        self._accept_up_to = MAX_ID  # the last id of the GOAWAY that we sent
        self._peer_last_id: int | None = None  # the last id of the GOAWAY that came,
        self._farewell = ""  # and what it said
        self._now = float("-inf")  # of the bytes that are being read
        self._strikes = PingStrikes(config) if isinstance(config, ServerConfig) else None
        self.closed = False
        #: SETTINGS_MAX_HEADER_LIST_SIZE and SETTINGS_MAX_CONCURRENT_STREAMS of the peer.
        self.peer_header_limit = NO_LIMIT
        self.peer_stream_limit = NO_LIMIT
        if config.connection_window > INITIAL_WINDOW:
            self.credit(0, config.connection_window - INITIAL_WINDOW)

    # --- state ----------------------------------------------------------------------------------------------------

    @property
    def live(self) -> int:
        """How many streams are open."""
        return len(self._lanes)

    @property
    def waiting(self) -> int:
        """How many calls wait for a stream."""
        return len(self.queues.opening)

    @property
    def backlog(self) -> int:
        """How many calls have something to frame, as far as windows allow."""
        opening = len(self.queues.opening) if self._may_open() else 0
        return opening + self.queues.servable(self._core.connection_window > 0)

    @property
    def wants_read(self) -> bool:
        return self.flood.wants_read

    @property
    def unfinished(self) -> tuple[float, bool] | None:
        """Since when a frame or header block is under way, and whether it is a header block; None: nothing is."""
        return self._gate.unfinished

    @property
    def highest_peer_id(self) -> int:
        return self._highest_peer_id

    def _may_open(self) -> bool:
        return self._ready and not self._draining and len(self._lanes) < self.peer_stream_limit

    def calls(self) -> list[CallSide]:
        """The calls that are open or wait for a stream."""
        return [lane.call for lane in (*self._lanes.values(), *self.queues.waiting())]

    # --- what the connection commands -----------------------------------------------------------------------------

    def open_lane(self) -> Http2Lane:
        """A lane for a call of ours; it gets its stream when its headers are framed."""
        lane = Http2Lane(self, self._config.stream_window)
        self.queues.await_stream(lane)
        return lane

    def go_away(self, last_id: int, code: ErrorCode, debug: bytes = b"") -> None:
        """Announces that no stream above ``last_id`` is served."""
        self._accept_up_to = last_id
        self._core.write(frames.goaway(last_id, code, debug))

    def ping(self, payload: bytes) -> None:
        self._core.send_ping(payload)

    def stop_opening(self, reason: str, limit: Limit | None = None) -> None:
        """No new streams from here on; calls that wait for one end as unprocessed."""
        self._draining = True
        for lane in self.queues.waiting():
            self._drop(lane, reason, unprocessed=True, limit=limit)

    def close(self, code: int, reason: str, origin: Origin, *, limit: Limit | None = None, goaway: bool = True) -> None:
        """Ends the connection and every call on it; ``limit``: the one that was broken, if any."""
        if self.closed:
            return
        self.closed = True
        self._gate.drop()
        if goaway:
            known = min(self._highest_peer_id, self._accept_up_to)
            self._core.write(frames.goaway(known, code, reason.encode()[:DEBUG_SHOWN] if code else b""))
        self.stop_opening(reason, limit)
        lanes, self._lanes = list(self._lanes.values()), {}
        for lane in lanes:
            self._drop(lane, reason, limit=limit)
        self._owner._carrier_closed(code, reason, origin, limit)

    # --- what lanes ask for ---------------------------------------------------------------------------------------

    def withdraw(self, lane: Http2Lane) -> None:
        """The call ended before it had a stream (DUP-8)."""
        self.queues.remove(lane)
        lane.over()
        self._owner._slots_changed()

    def answer_induced(self, lane: Http2Lane) -> None:
        """The peer made us reset or refuse the stream: that counts until the lane is done with (SEC-4)."""
        if not lane.answer_induced:
            lane.answer_induced = True
            self.flood.answer_induced()

    def rule_broken(self, lane: Http2Lane) -> None:
        """The peer broke a rule on the stream, which is reset for it (SEC-3)."""
        self.answer_induced(lane)
        self.flood.rule_broken(self._now)

    def credit(self, stream_id: int, increment: int) -> None:
        self._core.write(frames.window_update(stream_id, increment))

    # --- bytes in -------------------------------------------------------------------------------------------------

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Takes bytes of the peer; whatever they are, it does not raise."""
        if self.closed or not data:
            return
        self._now = now
        try:
            self._gate.receive(data, now)
        except ConnectionFault as fault:
            if not self._gate.greeted:
                self._core.discard()  # who does not speak HTTP/2 gets no answer in it (CONN-3)
            self.close(fault.code, fault.reason, Origin.LIBRARY, limit=fault.limit, goaway=self._gate.greeted)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not take the application down
            self.close(ErrorCode.INTERNAL_ERROR, f"internal error: {error!r}", Origin.LIBRARY)

    def receive_eof(self, reason: str, limit: Limit | None = None) -> None:
        inside = ", inside a frame" if self._gate.inside_frame else ""
        before = f"; before: {self._farewell}" if self._farewell else ""
        self.close(ErrorCode.NO_ERROR, f"{reason}{inside}{before}", Origin.TRANSPORT, limit=limit, goaway=False)

    def _joinable(self, stream_id: int) -> int:
        lane = self._lanes.get(stream_id)
        return 0 if lane is None else min(self._window.available, lane.joinable)

    def _on_frame(self, frame: Frame) -> None:
        _ON_FRAME[frame.type](self, frame)

    def _on_data(self, stream_id: int, payload: bytes, flow_size: int, end: bool) -> None:
        window = self._window
        if not window.received(flow_size):
            text = "the peer sent more than the connection's window"
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, text, Limit.CONNECTION_WINDOW)
        # Given back on arrival: an unread call holds up no other (FLOW-2), an ended one owes nothing (FLOW-5).
        window.owed += flow_size
        lane = self._lanes.get(stream_id)
        if lane is not None and lane.abort_code is None and RECEIVES[lane.state]:
            lane.on_data(payload, flow_size, end)
            if end and lane.abort_code is None:
                call = lane.call
                self._peer_ended(lane, headers=None)
                call.on_end()
            return
        if lane is None:
            self._check_opened(stream_id, "DATA")
        elif lane.abort_code is None:
            lane.fail(ErrorCode.STREAM_CLOSED, "the peer sent DATA after the end of its side")
            return
        if not payload and not end:
            self.flood.empty_data(0)
        self._drop_frame(lane, end)

    def _on_headers(self, stream_id: int, fragment: bytes, end: bool) -> None:
        headers = self._decoder.decode(fragment)  # always: the table must stay in step (MAL-2)
        lane = self._lanes.get(stream_id)
        if lane is None:
            if not self._client and stream_id > self._highest_peer_id:
                self._on_request(stream_id, headers, end)
            else:
                self._on_late_headers(stream_id, headers)
            return
        if lane.abort_code is None and RECEIVES[lane.state]:
            self._hand_over(lane, headers, end, _RESPONSE)
        elif lane.abort_code is not None:
            self._drop_frame(lane, end)
        else:
            lane.fail(ErrorCode.STREAM_CLOSED, "the peer sent HEADERS after the end of its side")

    def _hand_over(self, lane: Http2Lane, headers: HeaderList, end: bool, opening: Kind) -> None:
        kind = lane.on_headers(headers, end, opening)
        if kind is None:
            return
        if end:
            self._peer_ended(lane, headers=kind)
        elif kind is _RESPONSE and lane.headers_seen:
            self._core.headers(lane, kind, end=False)

    def _on_request(self, stream_id: int, headers: HeaderList, end: bool) -> None:
        if stream_id % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a client opened the even stream {stream_id}")
        self._highest_peer_id = stream_id
        if stream_id > self._accept_up_to or self.closed:
            return  # told by GOAWAY that it will not be served (DUP-26)
        lane = Http2Lane(self, self._config.stream_window)
        lane.stream_id = stream_id
        lane.step(_OPENED)
        lane.call = self._owner._accept(lane)
        self._lanes[stream_id] = lane
        self._core.opened(lane)
        self._hand_over(lane, headers, end, _REQUEST)
        if lane.place is _READY:
            self.answer_induced(lane)  # it was refused

    def _on_late_headers(self, stream_id: int, headers: HeaderList) -> None:
        """HEADERS of a stream that is over are decoded and dropped; anything else is a new stream with an old id."""
        self._check_opened(stream_id, "HEADERS")
        if any(name == b":method" for name, _ in headers.block.fields):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"stream {stream_id} is opened after a higher one")

    def _drop_frame(self, lane: Http2Lane | None, end: bool) -> None:
        """A frame of a stream whose reset waits to be written, if it has one: when both sides have ended before, there
        is nothing left to reset."""
        if lane is not None and end and lane.state is StreamState.HALF_CLOSED_LOCAL:
            self._peer_ended(lane, headers=None)

    def _peer_ended(self, lane: Http2Lane, headers: Kind | None) -> None:
        """END_STREAM has come, with a header list or with DATA."""
        if lane.state is _CLOSED:
            return
        if headers is None and not lane.headers_seen:
            headers = _RESPONSE  # h2 knows no end before headers
        if headers is _REQUEST or headers is None:
            self._core.end(lane)
        else:
            self._core.headers(lane, headers, end=True)
        if lane.step(_RECEIVE_END) is _CLOSED:
            self._remove(lane)

    def _on_reset(self, frame: Frame) -> None:
        lane = self._lane_of(frame.stream_id, "RST_STREAM")
        if lane is None:
            return
        code = int.from_bytes(frame.payload, "big")
        if not self._client:
            self.flood.peer_reset(self._now)
        self._core.reset(lane)
        lane.step(Step.RECEIVE_RESET)
        lane.call.on_reset(code, Origin.PEER, unprocessed=code == ErrorCode.REFUSED_STREAM)
        self._remove(lane)

    def _on_settings(self, frame: Frame) -> None:
        if frame.flags & ACK:
            self._core.settings_acked()
            self._decoder.settings_acked()
            self._owner._settings_acked()
            return
        values = read_settings(frame.payload, client=self._client)
        self._core.settings(values, self._lanes.values())
        self.peer_header_limit = values.get(SettingId.MAX_HEADER_LIST_SIZE, self.peer_header_limit)
        self.peer_stream_limit = values.get(SettingId.MAX_CONCURRENT_STREAMS, self.peer_stream_limit)
        if SettingId.INITIAL_WINDOW_SIZE in values:
            for lane in self._lanes.values():
                self.queues.unblock(lane)
        if not self._ready:
            self._ready = True
            self._owner._carrier_ready()
        self._owner._slots_changed()

    def _on_ping(self, frame: Frame) -> None:
        if frame.flags & ACK:
            self._owner._ping_acked(frame.payload)
            return
        self._core.ping(frame.payload)
        if self._strikes is not None:
            self._strikes.ping(self._now, calls=bool(self._lanes))

    def _on_window_update(self, stream_id: int, increment: int) -> None:
        if stream_id == 0:
            if increment == 0:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a WINDOW_UPDATE of 0 on the connection")
            if self._core.connection_window + increment > MAX_ID:
                text = f"a WINDOW_UPDATE of {increment} that the connection's window can not take"
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, text)
            self._core.window_update(None, increment)
            return
        lane = self._lane_of(stream_id, "WINDOW_UPDATE")
        if lane is None or lane.abort_code is not None:
            return
        if increment == 0 or self._core.stream_window(lane) + increment > MAX_ID:
            code = ErrorCode.FLOW_CONTROL_ERROR if increment else ErrorCode.PROTOCOL_ERROR
            lane.fail(code, f"a WINDOW_UPDATE of {increment} that the stream's window can not take")
            return
        self._core.window_update(lane, increment)
        self.queues.unblock(lane)

    def _on_goaway(self, frame: Frame) -> None:
        last_id = int.from_bytes(frame.payload[:4], "big") & MAX_ID
        code = int.from_bytes(frame.payload[4:8], "big")
        if self._peer_last_id is not None and last_id > self._peer_last_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a GOAWAY that raises its last stream id")
        if self._client and last_id and last_id % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a GOAWAY with the even stream id {last_id}")
        first, self._peer_last_id = self._peer_last_id is None, last_id
        self._farewell = reason = f"the peer is going away: {_describe(code, frame.payload[8:])}"
        if self._client:
            self.stop_opening(reason)
            for lane in [lane for stream_id, lane in self._lanes.items() if stream_id > last_id]:
                self._take_out(lane)
                self._drop(lane, reason, unprocessed=True)
        if first:
            self._owner._peer_going_away(code, reason)
        self._owner._slots_changed()

    def _lane_of(self, stream_id: int, what: str) -> Http2Lane | None:
        """The lane of a frame; None when the stream is over."""
        lane = self._lanes.get(stream_id)
        if lane is None:
            self._check_opened(stream_id, what)
        return lane

    def _check_opened(self, stream_id: int, what: str) -> None:
        ours = (stream_id % 2 == 1) is self._client
        if stream_id >= (self._next_own_id if ours else self._highest_peer_id + 1):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{what} on stream {stream_id}, which was never opened")

    # --- bytes out ------------------------------------------------------------------------------------------------

    def data_to_send(self, now: float, max_bytes: int) -> bytes:
        """Control frames first, then the calls in turn, until nothing can go or ``max_bytes`` are reached."""
        if not self.closed:
            if increment := self._window.due():
                self.credit(0, increment)
            try:
                self._frame_calls(now, max_bytes)
            except Exception as error:  # noqa: BLE001 - as in `receive`
                self.close(ErrorCode.INTERNAL_ERROR, f"internal error: {error!r}", Origin.LIBRARY)
        self.flood.written()
        data = self._core.take()
        if data and self._tap.observer is not None:
            try:
                for frame in frames.read_frames(data):
                    self._tap.observer("out", frame)
            except Exception as error:  # noqa: BLE001 - an observer's; the bytes must go all the same
                self.close(ErrorCode.INTERNAL_ERROR, f"internal error: {error!r}", Origin.LIBRARY)
        return data

    def _frame_calls(self, now: float, max_bytes: int) -> None:
        core, queues = self._core, self.queues
        while True:
            if queues.opening:  # before each turn, as if it were the first: the one before may have ended a stream
                self._open_streams(now, max_bytes)
            if core.pending >= max_bytes:
                break
            lane = queues.next(core.connection_window > 0)
            if lane is None:
                break
            self._frame_turn(lane, now, max_bytes)

    def _open_streams(self, now: float, max_bytes: int) -> None:
        opened = False
        core, queues = self._core, self.queues
        while queues.opening and self._may_open() and core.pending < max_bytes:
            lane = next(iter(queues.opening))
            if self._next_own_id > LAST_OPENED:
                reason = "the stream ids of the connection are used up"
                self.stop_opening(reason)
                self._owner._peer_going_away(ErrorCode.NO_ERROR, reason)
                break
            output = lane.call.pull(0, now)
            if lane.place is not _OPENING:
                continue  # it ended instead, and has withdrawn
            assert isinstance(output, Headers)
            lane.stream_id = self._next_own_id
            self._next_own_id += 2
            lane.step(_OPENED)
            self._lanes[lane.stream_id] = lane
            core.opened(lane)
            core.send_headers(lane, output.fields, output.end)
            queues.ready(lane)
            opened = True
        if opened:
            self._owner._slots_changed()

    def _frame_turn(self, lane: Http2Lane, now: float, max_bytes: int) -> None:
        """A call's turn: its header lists, and at most one DATA frame (FLOW-11); all the DATA up to ``max_bytes`` when
        nobody else has a turn between."""
        if lane.abort_code is not None:
            self._reset(lane, lane.abort_code)
            return
        if not SENDS[lane.state]:
            return
        core, turn = self._core, MAX_DATA
        if not self.queues.servable(True):
            turn *= -((core.pending - max_bytes) // (MAX_DATA + HEADER_SIZE))
        room = min(core.stream_window(lane), core.connection_window, turn)
        output = lane.call.pull(room, now)
        if output is not None and self._strikes is not None:
            self._strikes.sent()
        while output is not None:
            if isinstance(output, bytes):
                core.send_data(lane, output, MAX_DATA, False)
                return
            if isinstance(output, Headers):
                core.send_headers(lane, output.fields, output.end)
            else:
                core.send_data(lane, output.payload, MAX_DATA, output.end)
                if not (output.more or output.end):
                    return
                turn = room = 0  # what may follow is trailers
            if output.end:
                self._own_end(lane)
                return
            output = lane.call.pull(room, now)
        if not turn:
            self.queues.ready(lane)
        elif core.stream_window(lane) <= 0:
            self.queues.block(lane)
        elif core.connection_window <= 0:
            self.queues.hold(lane)

    def _own_end(self, lane: Http2Lane) -> None:
        if lane.step(_SEND_END) is _CLOSED:
            self._remove(lane)
        elif not self._client:
            # The answer is complete and the client still sends: tell it to stop, without blame (RFC 9113 8.1).
            self._reset(lane, ErrorCode.NO_ERROR)

    def _reset(self, lane: Http2Lane, code: ErrorCode) -> None:
        self._core.send_reset(lane, code)
        lane.step(Step.SEND_RESET)
        self._remove(lane)

    # --- ends -----------------------------------------------------------------------------------------------------

    def _remove(self, lane: Http2Lane) -> None:
        self._take_out(lane)
        lane.over()
        self._core.forget()
        self._owner._slots_changed()

    def _take_out(self, lane: Http2Lane) -> None:
        del self._lanes[lane.stream_id]
        if lane.place is not _AWAY:
            self.queues.remove(lane)
        if lane.answer_induced:
            self.flood.answered()
        if self.advances.busy:
            self.advances.settle(lane)
        if lane.unpacked:
            self.flood.unpacked(-lane.unpacked)
            lane.unpacked = 0

    def _drop(self, lane: Http2Lane, reason: str, *, unprocessed: bool = False, limit: Limit | None = None) -> None:
        call = lane.call
        self.queues.remove(lane)
        lane.over()
        call.on_reset(ErrorCode.NO_ERROR, Origin.TRANSPORT, reason, unprocessed=unprocessed, limit=limit)


_ON_FRAME: Final[dict[int, Callable[[Http2Carrier, Frame], None]]] = {
    FrameType.RST_STREAM: Http2Carrier._on_reset,
    FrameType.SETTINGS: Http2Carrier._on_settings,
    FrameType.PING: Http2Carrier._on_ping,
    FrameType.GOAWAY: Http2Carrier._on_goaway,
}


def _describe(code: int, debug: bytes) -> str:
    name = ErrorCode(code).name if code in ErrorCode.__members__.values() else f"error code {code}"
    text = debug[:DEBUG_SHOWN].decode("utf-8", "backslashreplace")
    return f"{name}, {text!r}" if text else name
