"""The frame gate: splits the byte stream into frames and judges each by itself, before anything else sees it.

It refuses what no stream is needed to refuse: lengths, ids, the order of header blocks, floods. Header blocks leave it
whole; PRIORITY frames and unknown types do not leave it at all.
"""

from __future__ import annotations

from typing import Final, Protocol

from ..config import Config, Limit
from ..status import ErrorCode
from .faults import ConnectionFault, too_much
from .frames import (
    ACK,
    DATA,
    DATA_END,
    END_HEADERS,
    END_STREAM,
    HEAD,
    HEADER_SIZE,
    HEADERS,
    HEADERS_END,
    MAX_ID,
    PADDED,
    PREFACE,
    PRIORITY,
    ROW,
    WINDOW_UPDATE,
    Frame,
    FrameType,
    cut,
)
from .limits import FloodGuard
from .tap import Tap

__all__: list[str] = []


_HEADERS: Final = int(FrameType.HEADERS)
_ANY: Final = range(MAX_ID)  # lengths have 24 bits: any is below
#: Shorter DATA frames are not looked at for what follows them: bytes.
LONG: Final = 4096
#: As much is copied as a whole, before frames are cut out of it: to cut bytes takes a third of cutting views.
SHORT: Final = 16_384


def _exactly(size: int) -> range:
    return range(size, size + 1)


#: Frame type -> (on stream 0 or not, payload lengths that are possible) (RFC 9113 section 6).
_SHAPES: Final[dict[int, tuple[bool, range]]] = {
    FrameType.DATA: (False, _ANY),
    FrameType.HEADERS: (False, _ANY),
    FrameType.PRIORITY: (False, _exactly(5)),
    FrameType.RST_STREAM: (False, _exactly(4)),
    FrameType.SETTINGS: (True, _ANY[::6]),
    FrameType.PUSH_PROMISE: (False, _ANY),
    FrameType.PING: (True, _exactly(8)),
    FrameType.GOAWAY: (True, _ANY[8:]),
    FrameType.CONTINUATION: (False, _ANY),
}


class Sink(Protocol):
    """Who takes the frames."""

    def _on_data(self, stream_id: int, payload: bytes, flow_size: int, end: bool) -> None:
        """DATA without its padding; ``flow_size`` with it (FLOW-1)."""

    def _joinable(self, stream_id: int) -> int:
        """So many bytes of a stream's DATA may be handed over in one piece, and come to the same as frame by frame."""
        ...

    def _on_headers(self, stream_id: int, fragment: bytes, end: bool) -> None:
        """A HEADERS frame joined with its CONTINUATIONs, padding and priority removed."""

    def _on_window_update(self, stream_id: int, increment: int) -> None:
        """WINDOW_UPDATE; on stream 0 it is the connection's."""

    def _on_frame(self, frame: Frame) -> None:
        """RST_STREAM, SETTINGS, PING or GOAWAY."""


class FrameGate:
    """Bytes in, judged frames out."""

    __slots__ = (
        "_block",
        "_block_end",
        "_block_frames",
        "_block_stream",
        "_buffer",
        "_config",
        "_flood",
        "_most",
        "_most_block",
        "_over",
        "_preface",
        "_settings_seen",
        "_since",
        "_sink",
        "_tap",
    )

    def __init__(self, config: Config, flood: FloodGuard, tap: Tap, sink: Sink, *, expect_preface: bool) -> None:
        self._config = config
        self._flood = flood
        self._tap = tap
        self._sink = sink
        self._preface = PREFACE if expect_preface else b""
        self._settings_seen = False
        self._over = False
        self._most = config.max_frame_size
        self._most_block = config.abuse.header_block_ratio * config.hard_header_list_size
        self._buffer = bytearray()  # of a frame that has come in part, or of the preface
        self._block: bytearray | None = None  # the header block under way,
        self._block_stream = 0  # its stream,
        self._block_end = False  # whether it ends the stream,
        self._block_frames = 0  # and its CONTINUATION frames so far
        self._since = 0.0  # when the first byte of what is unfinished came, if anything is

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Hands the frames that ``data`` completes to the sink. Raises `ConnectionFault`, after those before the bad
        one. Nothing of ``data`` is kept; a short one is copied as a whole, of a long one each payload."""
        if self._preface or not self.inside_frame:
            self._since = now
        at = self._take_preface(data) if self._preface else 0
        if self._buffer and not self._preface:
            at = self._complete(data, at, now)
        end, most, most_block = len(data), self._most, self._most_block
        short = end <= SHORT
        if short:
            data = bytes(data)
        unpack, from_bytes, sink, flood, usual = HEAD.unpack_from, int.from_bytes, self._sink, self._flood, self._usual
        while (start := at + HEADER_SIZE) <= end and not self._over:
            high, low, kind, stream_id = unpack(data, at)
            length = high << 16 | low
            if length > most or not usual:
                self._judge_head(data[at:], length)
            following = start + length
            if following > end:
                break
            if length >= LONG and kind == DATA and (after := self._take_row(data, at, length, stream_id & MAX_ID)):
                at = after
                continue
            at = following
            payload: bytes = data[start:following] if short else bytes(data[start:following])  # type: ignore[assignment]
            if usual and kind <= HEADERS_END and stream_id > 0:  # as nearly all: straight to the sink
                if kind <= DATA_END:
                    if length and flood.fruitless:
                        flood.progress()
                    sink._on_data(stream_id, payload, length, kind == DATA_END)
                    continue
                if kind >= HEADERS and length <= most_block:
                    sink._on_headers(stream_id, payload, kind == HEADERS_END)
                    continue
            elif usual and kind == WINDOW_UPDATE and length == 4 and stream_id >= 0:
                sink._on_window_update(stream_id, from_bytes(payload, "big") & MAX_ID)
                continue
            self._frame(kind, stream_id, payload, now)
            usual = self._usual
        if at < end and not self._over:
            self._buffer += data[at:]

    @property
    def _usual(self) -> bool:
        """Whether frames need not be judged further than by their type and flags, if these are of the plain kinds."""
        return self._settings_seen and self._block is None and self._tap.observer is None

    def _take_row(self, data: bytes | bytearray | memoryview, at: int, length: int, stream_id: int) -> int:
        """Hands over DATA frames that are alike and in a row, the middle of a large message, in one piece, as far as
        that comes to the same. Where they end; 0: they are to go one by one."""
        step = HEADER_SIZE + length
        count = (len(data) - at) // step
        if count < 2 or not self._usual:
            return 0
        count = min(count, self._sink._joinable(stream_id) // length, ROW)
        if count < 2:
            return 0
        row = memoryview(data)[at:]
        heads = b"".join(cut(row, 0, HEADER_SIZE, step, count))
        if heads != (head := heads[:HEADER_SIZE]) * count:
            count = 1
            while heads.startswith(head, count * HEADER_SIZE):
                count += 1
            if count == 1:
                return 0
        payload = b"".join(cut(row, HEADER_SIZE, length, step, count))
        if self._flood.fruitless:
            self._flood.progress()
        self._sink._on_data(stream_id, payload, len(payload), False)
        return at + count * step

    def _complete(self, data: bytes | bytearray | memoryview, at: int, now: float) -> int:
        """Goes on with the frame that has come in part; where in ``data`` it ends."""
        buffer = self._buffer
        judged = len(buffer) >= HEADER_SIZE
        if not judged:
            at = self._fill(HEADER_SIZE, data, at)
            if len(buffer) < HEADER_SIZE:
                return at
        length = int.from_bytes(buffer[:3], "big")
        if not judged:
            self._judge_head(buffer, length)
        at = self._fill(HEADER_SIZE + length, data, at)
        if len(buffer) < HEADER_SIZE + length:
            return at
        _, _, kind, stream_id = HEAD.unpack_from(buffer)
        with memoryview(buffer) as whole:
            payload = bytes(whole[HEADER_SIZE:])
        buffer.clear()
        self._frame(kind, stream_id, payload, now)
        if self._block is None:
            self._since = now  # for what follows the frame
        return at

    def _fill(self, size: int, data: bytes | bytearray | memoryview, at: int) -> int:
        """Takes from there what the buffer lacks of ``size``; where that ends."""
        taken = data[at : at + size - len(self._buffer)]
        self._buffer += taken
        return at + len(taken)

    def _frame(self, kind: int, stream_id: int, payload: bytes, now: float) -> None:
        """What is not of the plain kinds, or came in parts; ``kind``: type and flags, as in `HEAD`."""
        frame = Frame(kind >> 8, kind & 0xFF, stream_id & MAX_ID, payload)
        if self._tap.observer is not None:
            self._tap.observer("in", frame)
        self._settings_seen = True
        self._judge(frame, now)

    @property
    def unfinished(self) -> tuple[float, bool] | None:
        """Since when a frame or header block is under way, and whether it is a header block; None: nothing is."""
        if self._preface or not self.inside_frame:
            return None
        in_block = self._block is not None or (len(self._buffer) > 3 and self._buffer[3] == _HEADERS)
        return self._since, in_block

    @property
    def greeted(self) -> bool:
        """Whether the preface has come, if one is expected."""
        return not self._preface

    @property
    def inside_frame(self) -> bool:
        """Whether part of a frame, or of a header block, has come."""
        return bool(self._buffer) or self._block is not None

    def drop(self) -> None:
        """The connection is over: what has come and was not used is forgotten, and no more is taken."""
        self._over = True
        self._buffer.clear()
        self._block = None

    def _take_preface(self, data: bytes | bytearray | memoryview) -> int:
        """Where it ends in ``data``, or ``data`` does; what differs from it is not HTTP/2 (CONN-3)."""
        buffer, expected = self._buffer, self._preface
        taken = data[: len(expected) - len(buffer)]
        buffer += taken
        if len(buffer) >= HEADER_SIZE and not expected.startswith(buffer):  # enough to tell what else it may be
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"the peer does not speak HTTP/2{_looks_like(buffer)}")
        if len(buffer) == len(expected):
            buffer.clear()
            self._preface = b""
        return len(taken)

    def _judge_head(self, head: bytes | bytearray | memoryview, length: int) -> None:
        if not self._settings_seen and (head[3] != FrameType.SETTINGS or head[4] & ACK):
            text = f"the first frame is not SETTINGS{_looks_like(head)}"
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, text)
        if length > self._most:
            text = f"a frame of {length} bytes is above the limit of {self._most}"
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, text, Limit.MAX_FRAME_SIZE)

    def _judge(self, frame: Frame, now: float) -> None:
        if self._block is not None:
            self._continue_block(frame, now)
            return
        shape = _SHAPES.get(frame.type)
        if shape is not None:
            on_connection, lengths = shape
            if (frame.stream_id == 0) is not on_connection:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame on the wrong stream: {frame}")
            if len(frame.payload) not in lengths:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of the wrong length: {frame}")
        match frame.type:
            case FrameType.DATA:
                payload = _unpad(frame)
                if payload and self._flood.fruitless:
                    self._flood.progress()
                self._sink._on_data(frame.stream_id, payload, len(frame.payload), bool(frame.flags & END_STREAM))
            case FrameType.HEADERS:
                self._begin_block(frame)
            case FrameType.CONTINUATION:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
            case FrameType.PUSH_PROMISE:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, though push is off")
            case FrameType.WINDOW_UPDATE if len(frame.payload) != 4:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of the wrong length: {frame}")
            case FrameType.SETTINGS:
                self._settings(frame, now)
                self._sink._on_frame(frame)
            case FrameType.PING:
                if not frame.flags & ACK:
                    self._flood.induced()
                self._sink._on_frame(frame)
            case FrameType.WINDOW_UPDATE:
                self._sink._on_window_update(frame.stream_id, int.from_bytes(frame.payload, "big") & MAX_ID)
            case FrameType.RST_STREAM | FrameType.GOAWAY:
                self._sink._on_frame(frame)
            case FrameType.PRIORITY:
                self._flood.priority(now)
            case _:
                pass

    def _settings(self, frame: Frame, now: float) -> None:
        if frame.flags & ACK:
            if frame.payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a SETTINGS ack with a payload")
        else:
            self._flood.settings(len(frame.payload) // 6, now)
            self._flood.induced()

    def _begin_block(self, frame: Frame) -> None:
        fragment = _unpad(frame)
        if frame.flags & PRIORITY:
            if len(fragment) < 5:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of the wrong length: {frame}")
            fragment = fragment[5:]
        end = bool(frame.flags & END_STREAM)
        self._check_block_size(len(fragment))
        if frame.flags & END_HEADERS:
            self._sink._on_headers(frame.stream_id, fragment, end)
        else:
            self._block, self._block_stream, self._block_end = bytearray(fragment), frame.stream_id, end
            self._block_frames = 0

    def _continue_block(self, frame: Frame, now: float) -> None:
        assert self._block is not None
        if frame.type != FrameType.CONTINUATION or frame.stream_id != self._block_stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame inside a header block: {frame}")
        self._block_frames += 1
        most = max(self._config.abuse.continuation_frames, self._config.hard_header_list_size * 5 // 4 // 16_384)
        if self._block_frames > most:
            raise too_much(Limit.CONTINUATION_FRAMES, f"a header block of more than {most} CONTINUATIONs")
        self._check_block_size(len(self._block) + len(frame.payload))
        self._block += frame.payload
        if frame.flags & END_HEADERS:
            fragment, self._block = bytes(self._block), None
            self._since = now  # for what follows the block
            self._sink._on_headers(self._block_stream, fragment, self._block_end)

    def _check_block_size(self, size: int) -> None:
        if size > self._most_block:
            raise too_much(Limit.HEADER_BLOCK_RATIO, f"a header block of more than {self._most_block:g} bytes")


def _unpad(frame: Frame) -> bytes:
    if not frame.flags & PADDED:
        return frame.payload
    payload = frame.payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"padding longer than its frame: {frame}")
    return payload[1 : len(payload) - payload[0]]


def _looks_like(buffer: bytes | bytearray | memoryview) -> str:
    """A hint for people who have connected to the wrong port."""
    text = bytes(buffer[:16])
    if text.startswith((b"HTTP/1", b"GET ", b"POST ", b"HEAD ", b"PUT ")):
        return ": it speaks HTTP/1.1"
    if text.startswith((b"\x16\x03", b"\x15\x03")):
        return ": it speaks TLS, this side does not"
    return ""
