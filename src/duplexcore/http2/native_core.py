"""Our own HTTP/2 below the carrier: frames, windows and settings, without a state that the lanes have already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

from ..config import Config
from ..metadata import Field
from ..status import ErrorCode
from . import frames
from .faults import ConnectionFault
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
    ROW,
    FrameType,
    SettingId,
)
from .header_encoder import FieldEncoder
from .header_rules import Kind
from .settings import INITIAL_FRAME_SIZE, INITIAL_WINDOW, own_settings

if TYPE_CHECKING:
    from .lane import Http2Lane

__all__: list[str] = []

_SETTINGS_ACK: Final = frames.write_frame(FrameType.SETTINGS, ACK, 0)


class NativeCore:
    """See `Core`. A stream's window is kept in its lane, ``peer_window``; nothing else of a stream is needed here."""

    __slots__ = ("_encoder", "_initial_window", "_parts", "connection_window", "max_frame_size", "pending")

    def __init__(self, config: Config, *, client: bool) -> None:
        self._encoder = FieldEncoder(config)
        self._initial_window = INITIAL_WINDOW
        self.connection_window = INITIAL_WINDOW
        self.max_frame_size = INITIAL_FRAME_SIZE
        self._parts: list[bytes | memoryview] = []  # what is to be sent, not joined yet,
        self.pending = 0  # and its size
        self.write((frames.PREFACE if client else b"") + frames.settings(own_settings(config)))

    # --- in -------------------------------------------------------------------------------------------------------

    def settings(self, values: dict[int, int], lanes: Collection[Http2Lane]) -> None:
        self.max_frame_size = values.get(SettingId.MAX_FRAME_SIZE, self.max_frame_size)
        if SettingId.HEADER_TABLE_SIZE in values:
            self._encoder.header_table_size = values[SettingId.HEADER_TABLE_SIZE]
        if SettingId.INITIAL_WINDOW_SIZE in values:
            change = values[SettingId.INITIAL_WINDOW_SIZE] - self._initial_window
            self._initial_window += change
            for lane in lanes:
                lane.peer_window += change
                if lane.peer_window > MAX_ID:
                    text = f"SETTINGS_INITIAL_WINDOW_SIZE takes the window of stream {lane.stream_id} above its limit"
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, text)
        self.write(_SETTINGS_ACK)

    def settings_acked(self) -> None:
        """What we have set holds from the start."""

    def ping(self, payload: bytes) -> None:
        self.write(frames.write_frame(FrameType.PING, ACK, 0, payload))

    def opened(self, lane: Http2Lane) -> None:
        lane.peer_window = self._initial_window

    def headers(self, lane: Http2Lane, kind: Kind, *, end: bool) -> None:
        """The lane knows what it has to."""

    def end(self, lane: Http2Lane) -> None:
        """As above."""

    def reset(self, lane: Http2Lane) -> None:
        """As above."""

    def window_update(self, lane: Http2Lane | None, increment: int) -> None:
        if lane is None:
            self.connection_window += increment
        else:
            lane.peer_window += increment

    # --- out ------------------------------------------------------------------------------------------------------

    def send_headers(self, lane: Http2Lane, fields: Sequence[Field], end: bool) -> None:
        block, most = self._encoder.encode(fields), self.max_frame_size
        size = len(block)
        if size <= most:  # as `_frame`, without a call: every call has two or three of these and of the next
            kind = HEADERS_END if end else HEADERS
            self._parts += (HEAD.pack(size >> 16, size & 0xFFFF, kind, lane.stream_id), block)
            self.pending += HEADER_SIZE + size
            return
        self._frame(FrameType.HEADERS << 8 | (END_STREAM if end else 0), lane.stream_id, block[:most])
        for at in range(most, len(block), most):
            last = END_HEADERS if at + most >= len(block) else 0
            self._frame(FrameType.CONTINUATION << 8 | last, lane.stream_id, block[at : at + most])

    def send_data(self, lane: Http2Lane, payload: bytes | memoryview, longest: int, end: bool) -> None:
        size = len(payload)
        self.connection_window -= size
        lane.peer_window -= size
        stream_id = lane.stream_id
        if size > longest:
            payload = self._full_frames(stream_id, memoryview(payload), longest)
            size = len(payload)
        kind = DATA_END if end else DATA  # as above
        self._parts += (HEAD.pack(size >> 16, size & 0xFFFF, kind, stream_id), payload)
        self.pending += HEADER_SIZE + size

    def _full_frames(self, stream_id: int, payload: memoryview, longest: int) -> memoryview:
        """All but the last frame of a large payload, whose heads are the same; what is left for the last."""
        head, last = HEAD.pack(longest >> 16, longest & 0xFFFF, DATA, stream_id), (len(payload) - 1) // longest
        for done in range(0, last, ROW):
            row = frames.cut(payload[done * longest :], 0, longest, longest, min(ROW, last - done))
            self._parts += chain.from_iterable(zip(repeat(head), row))
        self.pending += last * (HEADER_SIZE + longest)
        return payload[last * longest :]

    def send_reset(self, lane: Http2Lane, code: ErrorCode) -> None:
        self._frame(FrameType.RST_STREAM << 8, lane.stream_id, code.to_bytes(4, "big"))

    def send_ping(self, payload: bytes) -> None:
        self._frame(FrameType.PING << 8, 0, payload)

    def write(self, frame: bytes) -> None:
        self._parts.append(frame)
        self.pending += len(frame)

    def _frame(self, kind: int, stream_id: int, payload: bytes | memoryview) -> None:
        """``kind``: type and flags."""
        size = len(payload)
        self._parts += (HEAD.pack(size >> 16, size & 0xFFFF, kind, stream_id), payload)
        self.pending += HEADER_SIZE + size

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self.discard()
        return data

    def discard(self) -> None:
        self._parts.clear()
        self.pending = 0

    # --- windows --------------------------------------------------------------------------------------------------

    def stream_window(self, lane: Http2Lane) -> int:
        return lane.peer_window

    # --- house-keeping --------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Nothing is kept."""

    @property
    def records(self) -> int:
        return 0

    def fingerprint_state(self) -> object:
        """What is to be sent counts, not in how many parts it lies."""
        return (
            self._encoder.fingerprint_state(),
            self._initial_window,
            self.connection_window,
            self.max_frame_size,
            b"".join(self._parts),
        )
