"""HTTP/2 frames as bytes (RFC 9113 sections 4 and 6): what the gate reads, and the few that are written without h2."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import islice
from typing import Final

__all__ = ["ACK", "END_HEADERS", "END_STREAM", "PADDED", "PRIORITY", "Frame", "FrameType", "SettingId", "write_frame"]

#: What a frame begins with: the length of its payload, in two parts, its type with its flags, its stream (negative: the
#: reserved bit is set).
HEAD: Final = struct.Struct(">BHHl")
HEADER_SIZE: Final = HEAD.size
MAX_ID: Final = 2**31 - 1
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY: Final = 0x20


class FrameType(IntEnum):
    """The types of RFC 9113 section 6."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


#: Types with their flags, of nearly all frames: DATA, and header lists in one piece, with nothing else in them.
DATA: Final = int(FrameType.DATA) << 8
DATA_END: Final = DATA | END_STREAM
HEADERS: Final = FrameType.HEADERS << 8 | END_HEADERS
HEADERS_END: Final = HEADERS | END_STREAM
WINDOW_UPDATE: Final = FrameType.WINDOW_UPDATE << 8
#: Frames that are alike and in a row are read and written together, as many: what is done for each of them is C's.
ROW: Final = 64


class SettingId(IntEnum):
    """The settings of RFC 9113 section 6.5.2."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. ``type`` is an int, since unknown types may come; ``payload`` is what follows the 9-byte header."""

    type: int
    flags: int
    stream_id: int
    payload: bytes = b""

    def __bytes__(self) -> bytes:
        return write_frame(self.type, self.flags, self.stream_id, self.payload)

    def __str__(self) -> str:
        name = FrameType(self.type).name if self.type in FrameType.__members__.values() else f"type {self.type}"
        return f"{name} stream={self.stream_id} flags={self.flags:#x} length={len(self.payload)}"


def write_frame(type_: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((type_, flags)) + stream_id.to_bytes(4, "big")
    return head + payload


def cut(data: memoryview, first: int, size: int, step: int, count: int) -> Iterator[memoryview]:
    """``count`` pieces, `ROW` at most, of ``size`` bytes: the first begins at ``first``, each other ``step`` later."""
    return map(data.__getitem__, islice(_pieces(first, size, step), count))


@lru_cache(maxsize=16)  # peers choose the sizes: nearly all the same one
def _pieces(first: int, size: int, step: int) -> list[slice]:
    return [slice(at, at + size) for at in range(first, first + ROW * step, step)]


def read_frames(data: bytes) -> list[Frame]:
    """The frames of a byte string that holds whole ones only, the client's preface passed over."""
    at, frames = len(PREFACE) if data.startswith(PREFACE) else 0, []
    while at < len(data):
        high, low, kind, stream_id = HEAD.unpack_from(data, at)
        at += HEADER_SIZE
        payload = data[at : at + (high << 16 | low)]
        frames.append(Frame(kind >> 8, kind & 0xFF, stream_id & MAX_ID, payload))
        at += len(payload)
    return frames


def goaway(last_id: int, code: int, debug: bytes = b"") -> bytes:
    payload = last_id.to_bytes(4, "big") + code.to_bytes(4, "big") + debug
    return write_frame(FrameType.GOAWAY, 0, 0, payload)


def window_update(stream_id: int, increment: int) -> bytes:
    return write_frame(FrameType.WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def settings(values: dict[int, int]) -> bytes:
    entries = (key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values.items())
    return write_frame(FrameType.SETTINGS, 0, 0, b"".join(entries))
