"""Reads the frames that an observer sees, for people: names, flags, header fields, messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from duplexcore.call.framing import MessageDecoder, payloads
from duplexcore.config import MAX_MESSAGE, ClientConfig
from duplexcore.http2 import Frame, FrameType
from duplexcore.http2.faults import ConnectionFault
from duplexcore.http2.frames import ACK, END_HEADERS, END_STREAM, HEADER_SIZE, PADDED, PRIORITY, SettingId
from duplexcore.http2.header_decoder import HeaderDecoder
from duplexcore.status import ErrorCode

__all__ = ["FrameReader", "FrameView", "Side"]

#: The reader only shows: what the engine accepted is not judged again.
_PATIENT = ClientConfig(hard_header_list_size=2**20)
_FLAGS = {
    FrameType.DATA: {END_STREAM: "END_STREAM", PADDED: "PADDED"},
    FrameType.HEADERS: {END_STREAM: "END_STREAM", END_HEADERS: "END_HEADERS", PADDED: "PADDED", PRIORITY: "PRIORITY"},
    FrameType.CONTINUATION: {END_HEADERS: "END_HEADERS"},
    FrameType.SETTINGS: {ACK: "ACK"},
    FrameType.PING: {ACK: "ACK"},
}


class Side(Enum):
    """Who sent a frame, or whose lane it is."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def other(self) -> Side:
        return Side.SERVER if self is Side.CLIENT else Side.CLIENT


@dataclass(frozen=True, slots=True)
class FrameView:
    """One frame as it is shown. ``time``: seconds since the trace began; ``size``: with the 9 bytes of its header."""

    number: int
    time: float
    sender: Side
    name: str
    flags: tuple[str, ...]
    stream: int
    size: int
    raw: bytes
    #: One line each: header fields, settings, codes.
    details: tuple[str, ...] = ()
    #: The payloads of the messages that this frame completes.
    messages: tuple[bytes, ...] = ()

    @property
    def ends_stream(self) -> bool:
        return "END_STREAM" in self.flags

    @property
    def title(self) -> str:
        """The name, with what tells it from others of its type."""
        if "ACK" in self.flags:
            return f"{self.name} ack"
        if self.name in ("RST_STREAM", "GOAWAY"):
            return f"{self.name} ({self.details[0].partition(',')[0]})"
        return self.name

    def __str__(self) -> str:
        return f"{self.title} {self.size} B"


class FrameReader:
    """Both directions of one connection, from its first frame on."""

    def __init__(self) -> None:
        self._count = 0
        self._headers = {side: HeaderDecoder(_PATIENT) for side in Side}
        self._blocks: dict[Side, bytes] = {}
        self._messages: dict[tuple[Side, int], MessageDecoder] = {}

    def read(self, frame: Frame, sender: Side, time: float) -> FrameView:
        """The frame with what can be said of it."""
        self._count += 1
        known = frame.type in FrameType.__members__.values()
        flags = _FLAGS.get(FrameType(frame.type), {}) if known else {}
        messages: tuple[bytes, ...] = ()
        details: list[str] = []
        match frame.type:
            case FrameType.DATA:
                messages = tuple(payloads(self._decoder(sender, frame.stream_id).feed(_payload(frame))))
                details += [f"completes a message of {len(message)} B" for message in messages]
            case FrameType.HEADERS | FrameType.CONTINUATION:
                details += self._fields(frame, sender)
            case _:
                details += _details(frame)
        return FrameView(
            number=self._count,
            time=time,
            sender=sender,
            name=FrameType(frame.type).name if known else f"type {frame.type}",
            flags=tuple(name for bit, name in flags.items() if frame.flags & bit),
            stream=frame.stream_id,
            size=HEADER_SIZE + len(frame.payload),
            raw=bytes(frame),
            details=tuple(details),
            messages=messages,
        )

    def _decoder(self, sender: Side, stream: int) -> MessageDecoder:
        return self._messages.setdefault((sender, stream), MessageDecoder(MAX_MESSAGE))

    def _fields(self, frame: Frame, sender: Side) -> Iterator[str]:
        block = self._blocks.pop(sender, b"") + _payload(frame)
        if not frame.flags & END_HEADERS:
            self._blocks[sender] = block
            yield "goes on in CONTINUATION"
            return
        try:
            for name, value in self._headers[sender].decode(block).block.fields:
                yield f"{name.decode('latin-1')}: {value.decode('latin-1')}"
        except ConnectionFault as fault:
            yield f"can not be read: {fault}"


def _payload(frame: Frame) -> bytes:
    """Without padding and priority; the engine has judged both already."""
    payload = frame.payload
    if frame.type == FrameType.CONTINUATION:
        return payload
    if frame.flags & PADDED and payload:
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if frame.type == FrameType.HEADERS and frame.flags & PRIORITY else payload


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _code(data: bytes) -> str:
    code = _number(data)
    return ErrorCode(code).name if code in ErrorCode.__members__.values() else f"error code {code}"


def _details(frame: Frame) -> Iterator[str]:
    payload = frame.payload
    match frame.type:
        case FrameType.SETTINGS:
            for at in range(0, len(payload) - 5, 6):
                id_, value = _number(payload[at : at + 2]), _number(payload[at + 2 : at + 6])
                name = SettingId(id_).name if id_ in SettingId.__members__.values() else f"setting {id_}"
                yield f"{name} = {value}"
        case FrameType.WINDOW_UPDATE:
            yield f"{_number(payload)} more bytes may come"
        case FrameType.PING:
            yield f"payload {payload.hex(' ')}"
        case FrameType.RST_STREAM:
            yield _code(payload)
        case FrameType.GOAWAY:
            yield f"{_code(payload[4:8])}, last stream {_number(payload[:4])}"
            if debug := payload[8:]:
                yield debug.decode("utf-8", "replace")
        case _:
            pass
