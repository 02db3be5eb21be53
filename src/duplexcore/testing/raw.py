"""An HTTP/2 peer written by hand: frames as bytes, header blocks by `hpack`, nothing of the engine.

The functions write one frame each, also wrong ones. `RawPeer` adds what a peer must remember: its two HPACK tables and
what it has read. `RawFrame.brief` is what tests compare: ``HEADERS 1 ES``, ``RST 1 CANCEL``, ``DATA 3 16384``. No I/O.
Sources: RFC 9113 sections 4 and 6, RFC 7541; the message prefix is that of gRPC over HTTP/2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
NAMES = (
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
)

ES = 0x1  # END_STREAM of DATA and HEADERS
ACK = 0x1  # of SETTINGS and PING
EH = 0x4  # END_HEADERS
PADDED = 0x8
PRIO = 0x20

# Names of SETTINGS.
TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_LIST = range(1, 7)

CODES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)

MAX_ID = 2**31 - 1

Field = tuple[bytes, bytes]
#: What a SETTINGS frame says; pairs where an id comes twice.
Settings = dict[int, int] | Sequence[tuple[int, int]]
#: A field to be written; text is latin-1.
AnyField = tuple[bytes | str, bytes | str]


class WireError(Exception):
    """The other side has sent what no peer can read: no preface, a torn header block, HPACK that does not decode."""


# --- writing: one frame each ------------------------------------------------------------------------------------------


def frame(type_: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """``length``: what the header claims, if not the truth."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((type_, flags)) + stream.to_bytes(4, "big") + payload


def data(stream: int, payload: bytes = b"", *, end: bool = False, pad: int | None = None) -> bytes:
    flags = ES if end else 0
    if pad is not None:
        flags, payload = flags | PADDED, bytes((pad,)) + payload + bytes(pad)
    return frame(DATA, flags, stream, payload)


def rst(stream: int, code: int = 8) -> bytes:
    return frame(RST, 0, stream, code.to_bytes(4, "big"))


def settings(values: Settings = ()) -> bytes:
    pairs = values.items() if isinstance(values, dict) else values
    return frame(SETTINGS, 0, 0, b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs))


def settings_ack() -> bytes:
    return frame(SETTINGS, ACK)


def ping(payload: bytes = b"12345678", *, ack: bool = False) -> bytes:
    return frame(PING, ACK if ack else 0, 0, payload)


def goaway(last: int, code: int = 0, debug: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def priority(stream: int, on: int = 0) -> bytes:
    return frame(PRIORITY, 0, stream, on.to_bytes(4, "big") + b"\x10")


def message(payload: bytes = b"", *, flag: int = 0, length: int | None = None) -> bytes:
    """A gRPC message with its prefix."""
    return bytes((flag,)) + (len(payload) if length is None else length).to_bytes(4, "big") + payload


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A frame that was read; ``fields`` when it completed a header block (of the HEADERS frame, then)."""

    type: int
    flags: int
    stream: int
    payload: bytes
    fields: tuple[Field, ...] | None = None
    never_indexed: frozenset[bytes] = frozenset()
    frames: int = 1  # HEADERS and its CONTINUATIONs

    @property
    def code(self) -> int:
        """Of RST_STREAM and GOAWAY."""
        at = 0 if self.type == RST else 4
        return int.from_bytes(self.payload[at : at + 4], "big")

    @property
    def last_id(self) -> int:
        """Of GOAWAY."""
        return int.from_bytes(self.payload[:4], "big")

    @property
    def values(self) -> dict[int, int]:
        """Of SETTINGS."""
        entries = (self.payload[at : at + 6] for at in range(0, len(self.payload), 6))
        return {int.from_bytes(entry[:2], "big"): int.from_bytes(entry[2:], "big") for entry in entries}

    @property
    def end(self) -> bool:
        """Whether the other side ends its half of the stream with this."""
        return self.type in (DATA, HEADERS) and bool(self.flags & ES)

    def field(self, name: bytes) -> bytes | None:
        """The first value of that name, of HEADERS."""
        return next((value for key, value in self.fields or () if key == name), None)

    @property
    def brief(self) -> str:
        """The frame in a few words."""
        name = NAMES[self.type] if self.type < len(NAMES) else f"TYPE {self.type}"
        ended = " ES" if self.end else ""
        match self.type:
            case 0:
                return f"DATA {self.stream} {len(self.payload)}{ended}"
            case 1:
                return f"HEADERS {self.stream}{ended}"
            case 3:
                return f"RST {self.stream} {code_name(self.code)}"
            case 4 | 6:
                return f"{name} ACK" if self.flags & ACK else name
            case 7:
                return f"GOAWAY {self.last_id} {code_name(self.code)}"
            case 8:
                return f"WINDOW_UPDATE {self.stream} {int.from_bytes(self.payload, 'big')}"
            case _:
                return f"{name} {self.stream}"


def code_name(code: int) -> str:
    """An error code of HTTP/2 by its name, RFC 9113 section 7."""
    return CODES[code] if code < len(CODES) else f"CODE {code:#x}"


class RawPeer:
    """One side's memory: HPACK in both directions, and the bytes of a frame that has not come whole."""

    def __init__(self, *, client: bool) -> None:
        self.client = client
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self._buffer = b""
        self._preface = b"" if client else PREFACE  # what it expects, not what it says
        self._block: list[RawFrame] = []

    # --- writing ------------------------------------------------------------------------------------------------------

    def hello(self, values: Settings = (), *, ack: bool = True) -> bytes:
        """What it has to say first; with ``ack`` also that it has seen the other side's SETTINGS."""
        return (PREFACE if self.client else b"") + settings(values) + (settings_ack() if ack else b"")

    def block(self, fields: Iterable[AnyField]) -> bytes:
        """A header block: for HEADERS that are written by hand."""
        pairs = [(_raw(name), _raw(value)) for name, value in fields]
        return self.encoder.encode(pairs, huffman=False)

    def headers(
        self,
        stream: int,
        fields: Iterable[AnyField],
        *,
        end: bool = False,
        pad: int | None = None,
        prio: bool = False,
        cuts: Sequence[int] = (),
    ) -> bytes:
        """HEADERS; with ``cuts`` also CONTINUATIONs: the block is cut at these places."""
        block = self.block(fields)
        edges = [0, *cuts, len(block)]
        parts = [block[a:b] for a, b in pairwise(edges)]
        flags = (ES if end else 0) | (EH if len(parts) == 1 else 0)
        first = parts[0]
        if prio:
            flags, first = flags | PRIO, b"\0\0\0\0\x10" + first
        if pad is not None:
            flags, first = flags | PADDED, bytes((pad,)) + first + bytes(pad)
        out = frame(HEADERS, flags, stream, first)
        for index, part in enumerate(parts[1:], 2):
            out += frame(CONTINUATION, EH if index == len(parts) else 0, stream, part)
        return out

    def request(
        self, stream: int, path: str = "/test.Echo/Chat", *extra: tuple[str, str], end: bool = False, **more: object
    ) -> bytes:
        return self.headers(stream, request_fields(path, *extra), end=end, **more)  # type: ignore[arg-type]

    def response(self, stream: int, *extra: tuple[str, str], end: bool = False) -> bytes:
        return self.headers(stream, response_fields(*extra), end=end)

    def trailers(self, stream: int, status: int = 0, *extra: tuple[str, str], end: bool = True) -> bytes:
        return self.headers(stream, [("grpc-status", str(status)), *extra], end=end)

    def trailers_only(self, stream: int, status: int = 0, *extra: tuple[str, str]) -> bytes:
        return self.headers(stream, [*response_fields(), ("grpc-status", str(status)), *extra], end=True)

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self, incoming: bytes) -> list[RawFrame]:
        """The frames that ``incoming`` completes; every header block is decoded, so the tables must be in step.

        Raises `WireError`; then nothing more can be read.
        """
        self._buffer += incoming
        frames = []
        if self._preface:
            if len(self._buffer) < len(self._preface):
                return []
            if not self._buffer.startswith(self._preface):
                raise WireError(f"no preface, but {self._buffer[:40]!r}")
            self._buffer, self._preface = self._buffer[len(self._preface) :], b""
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 9:
            end = at + 9 + int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) < end:
                break
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
            one = RawFrame(buffer[at + 3], buffer[at + 4], stream, buffer[at + 9 : end])
            at = end
            if (done := self._join(one)) is not None:
                frames.append(done)
        self._buffer = buffer[at:]
        return frames

    @property
    def inside_frame(self) -> bool:
        """Whether a frame, or a header block, has not come whole."""
        return bool(self._buffer or self._block)

    @property
    def held(self) -> int:
        """How many bytes of an incomplete frame and header block are kept."""
        return len(self._buffer) + sum(len(part.payload) + 9 for part in self._block)

    def _join(self, one: RawFrame) -> RawFrame | None:
        if not self._block and one.type != HEADERS:
            if one.type == CONTINUATION:
                raise WireError("CONTINUATION without HEADERS")
            return one
        if self._block and (one.type != CONTINUATION or one.stream != self._block[0].stream):
            raise WireError(f"{one.brief} inside the header block of stream {self._block[0].stream}")
        self._block.append(one)
        if not one.flags & EH:
            return None
        frames, self._block = self._block, []
        first, block = frames[0], b"".join(part.payload for part in frames)
        try:
            decoded = list(self.decoder.decode(block, raw=True))
        except hpack.HPACKError as error:
            raise WireError(f"a header block that does not decode: {error}") from error
        never = frozenset(field[0] for field in decoded if isinstance(field, hpack.NeverIndexedHeaderTuple))
        fields = tuple((bytes(field[0]), bytes(field[1])) for field in decoded)
        return RawFrame(HEADERS, first.flags, first.stream, block, fields, never, len(frames))


def request_fields(path: str = "/test.Echo/Chat", *extra: tuple[str, str]) -> list[AnyField]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *extra,
    ]


def response_fields(*extra: tuple[str, str]) -> list[AnyField]:
    return [(":status", "200"), ("content-type", "application/grpc"), *extra]


def _raw(text: bytes | str) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text
