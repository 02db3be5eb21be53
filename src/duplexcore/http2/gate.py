"""The frame gate: splits the byte stream into frames and judges each by itself, before anything else sees it.

It refuses what no stream is needed to refuse: lengths, ids, the order of header blocks, floods. Header blocks leave it
whole; PRIORITY frames and unknown types do not leave it at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..config import Config, Limit
from ..status import ErrorCode
from .faults import ConnectionFault, too_much
from .frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADER_SIZE,
    MAX_ID,
    PADDED,
    PREFACE,
    PRIORITY,
    Frame,
    FrameType,
)
from .limits import FloodGuard
from .tap import Tap

__all__: list[str] = []


@dataclass(frozen=True, slots=True)
class DataFrame:
    """DATA without its padding; ``flow_size`` with it (FLOW-1)."""

    stream_id: int
    payload: bytes
    flow_size: int
    end: bool


@dataclass(frozen=True, slots=True)
class HeaderBlock:
    """A HEADERS frame joined with its CONTINUATIONs, padding and priority removed."""

    stream_id: int
    fragment: bytes
    end: bool


Unit = DataFrame | HeaderBlock | Frame

_ANY = range(2**24)


def _exactly(size: int) -> range:
    return range(size, size + 1)


#: Frame type -> (on stream 0 or not, payload lengths that are possible) (RFC 9113 section 6).
_SHAPES: Final[dict[int, tuple[bool, range]]] = {
    FrameType.DATA: (False, _ANY),
    FrameType.HEADERS: (False, _ANY),
    FrameType.PRIORITY: (False, _exactly(5)),
    FrameType.RST_STREAM: (False, _exactly(4)),
    FrameType.SETTINGS: (True, range(0, 2**24, 6)),
    FrameType.PUSH_PROMISE: (False, _ANY),
    FrameType.PING: (True, _exactly(8)),
    FrameType.GOAWAY: (True, range(8, 2**24)),
    FrameType.CONTINUATION: (False, _ANY),
}


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
        "_preface",
        "_settings_seen",
        "_since",
        "_tap",
    )

    def __init__(self, config: Config, flood: FloodGuard, tap: Tap, *, expect_preface: bool) -> None:
        self._config = config
        self._flood = flood
        self._tap = tap
        self._preface = PREFACE if expect_preface else b""
        self._settings_seen = False
        self._buffer = bytearray()
        self._block: bytearray | None = None  # the header block under way,
        self._block_stream = 0  # its stream,
        self._block_end = False  # whether it ends the stream,
        self._block_frames = 0  # and its CONTINUATION frames so far
        self._since = 0.0  # when the first byte of what is unfinished came, if anything is

    def split(self, data: bytes | bytearray | memoryview, now: float) -> Iterator[Unit]:
        """The frames that ``data`` completes. Raises `ConnectionFault`, after the frames before the bad one."""
        buffer = self._buffer
        if not self.inside_frame:
            self._since = now
        buffer += data
        if self._preface and not self._take_preface():
            return
        at = 0
        try:
            while len(buffer) - at >= HEADER_SIZE:
                length = int.from_bytes(buffer[at : at + 3], "big")
                self._judge_length(buffer, at, length)
                end = at + HEADER_SIZE + length
                if len(buffer) < end:
                    break
                stream_id = int.from_bytes(buffer[at + 5 : at + 9], "big") & MAX_ID
                frame = Frame(buffer[at + 3], buffer[at + 4], stream_id, bytes(buffer[at + HEADER_SIZE : end]))
                at = end
                if self._tap.observer is not None:
                    self._tap.observer("in", frame)
                unit = self._judge(frame, now)
                if self._block is None:
                    self._since = now  # for what follows the frame
                if unit is not None:
                    yield unit
        finally:
            del buffer[:at]

    @property
    def unfinished(self) -> tuple[float, bool] | None:
        """Since when a frame or header block is under way, and whether it is a header block; None: nothing is."""
        if self._preface or not self.inside_frame:
            return None
        in_block = self._block is not None or (len(self._buffer) > 3 and self._buffer[3] == FrameType.HEADERS)
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
        """The connection is over: what has come and was not used is forgotten."""
        self._buffer.clear()
        self._block = None

    def _take_preface(self) -> bool:
        """Whether the whole preface has come; what differs from it is not HTTP/2 (CONN-3)."""
        buffer, expected = self._buffer, self._preface
        if len(buffer) < HEADER_SIZE:
            return False  # enough to tell what else it may be
        if not expected.startswith(bytes(buffer[: len(expected)])):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"the peer does not speak HTTP/2{_looks_like(buffer)}")
        if len(buffer) < len(expected):
            return False
        del buffer[: len(expected)]
        self._preface = b""
        return True

    def _judge_length(self, buffer: bytearray, at: int, length: int) -> None:
        if not self._settings_seen and (buffer[at + 3] != FrameType.SETTINGS or buffer[at + 4] & ACK):
            text = f"the first frame is not SETTINGS{_looks_like(buffer)}"
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, text)
        if length > self._config.max_frame_size:
            text = f"a frame of {length} bytes is above the limit of {self._config.max_frame_size}"
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, text, Limit.MAX_FRAME_SIZE)

    def _judge(self, frame: Frame, now: float) -> Unit | None:
        self._settings_seen = True
        if self._block is not None:
            return self._continue_block(frame)
        shape = _SHAPES.get(frame.type)
        if shape is not None:
            on_connection, lengths = shape
            if (frame.stream_id == 0) is not on_connection:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame on the wrong stream: {frame}")
            if len(frame.payload) not in lengths:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of the wrong length: {frame}")
        match frame.type:
            case FrameType.DATA:
                return self._data(frame)
            case FrameType.HEADERS:
                return self._begin_block(frame)
            case FrameType.CONTINUATION:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
            case FrameType.PUSH_PROMISE:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, though push is off")
            case FrameType.WINDOW_UPDATE if len(frame.payload) != 4:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of the wrong length: {frame}")
            case FrameType.SETTINGS:
                return self._settings(frame, now)
            case FrameType.PING:
                if not frame.flags & ACK:
                    self._flood.induced()
                return frame
            case FrameType.RST_STREAM | FrameType.GOAWAY | FrameType.WINDOW_UPDATE:
                return frame
            case FrameType.PRIORITY:
                self._flood.priority(now)
                return None
            case _:
                return None

    def _settings(self, frame: Frame, now: float) -> Frame:
        if frame.flags & ACK:
            if frame.payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a SETTINGS ack with a payload")
        else:
            self._flood.settings(len(frame.payload) // 6, now)
            self._flood.induced()
        return frame

    def _data(self, frame: Frame) -> DataFrame:
        payload = _unpad(frame)
        end = bool(frame.flags & END_STREAM)
        if payload:
            self._flood.progress()
        return DataFrame(frame.stream_id, payload, len(frame.payload), end)

    def _begin_block(self, frame: Frame) -> HeaderBlock | None:
        fragment = _unpad(frame)
        if frame.flags & PRIORITY:
            if len(fragment) < 5:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of the wrong length: {frame}")
            fragment = fragment[5:]
        end = bool(frame.flags & END_STREAM)
        self._check_block_size(len(fragment))
        if frame.flags & END_HEADERS:
            return HeaderBlock(frame.stream_id, fragment, end)
        self._block, self._block_stream, self._block_end, self._block_frames = (
            bytearray(fragment),
            frame.stream_id,
            end,
            0,
        )
        return None

    def _continue_block(self, frame: Frame) -> HeaderBlock | None:
        assert self._block is not None
        if frame.type != FrameType.CONTINUATION or frame.stream_id != self._block_stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame inside a header block: {frame}")
        self._block_frames += 1
        most = max(self._config.abuse.continuation_frames, self._config.hard_header_list_size * 5 // 4 // 16_384)
        if self._block_frames > most:
            raise too_much(Limit.CONTINUATION_FRAMES, f"a header block of more than {most} CONTINUATIONs")
        self._check_block_size(len(self._block) + len(frame.payload))
        self._block += frame.payload
        if not frame.flags & END_HEADERS:
            return None
        fragment, self._block = bytes(self._block), None
        return HeaderBlock(self._block_stream, fragment, self._block_end)

    def _check_block_size(self, size: int) -> None:
        most = self._config.abuse.header_block_ratio * self._config.hard_header_list_size
        if size > most:
            raise too_much(Limit.HEADER_BLOCK_RATIO, f"a header block of more than {most:g} bytes")


def _unpad(frame: Frame) -> bytes:
    if not frame.flags & PADDED:
        return frame.payload
    payload = frame.payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"padding longer than its frame: {frame}")
    return payload[1 : len(payload) - payload[0]]


def _looks_like(buffer: bytes | bytearray) -> str:
    """A hint for people who have connected to the wrong port."""
    text = bytes(buffer[:16])
    if text.startswith((b"HTTP/1", b"GET ", b"POST ", b"HEAD ", b"PUT ")):
        return ": it speaks HTTP/1.1"
    if text.startswith((b"\x16\x03", b"\x15\x03")):
        return ": it speaks TLS, this side does not"
    return ""
