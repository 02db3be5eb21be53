"""Length-prefixed messages: 1 byte of flags, 4 bytes of length, the body (PROTOCOL-HTTP2, FRM-1 to FRM-6)."""

from __future__ import annotations

from dataclasses import dataclass

from ..compression import CompressionError, OversizedMessageError, compression_named
from ..config import Limit
from ..status import ErrorCode, StatusCode
from .tables import Fault

__all__ = ["PREFIX", "MessageDecoder", "frame_message"]

#: Bytes before each message's body.
PREFIX = 5
#: Parts of an unfinished message below this are joined as they come: bytes.
SMALL = 1024


def frame_message(payload: bytes | bytearray | memoryview, *, compressed: bool = False) -> bytes:
    """One message with its prefix."""
    return b"".join((b"\1" if compressed else b"\0", size_of(payload).to_bytes(4, "big"), payload))


def size_of(payload: bytes | bytearray | memoryview) -> int:
    """Bytes: the length of a memoryview counts its items."""
    return payload.nbytes if isinstance(payload, memoryview) else len(payload)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A message that came compressed; ``wire_size``: its bytes then, without the prefix."""

    payload: bytes
    wire_size: int


class MessageDecoder:
    """Turns the bytes of one direction into messages, however the bytes are cut (FRM-2).

    The length is judged when the prefix is complete, before anything of the body is kept, and memory grows with what
    came, never with what was announced (FRM-4, FRM-6). After a fault the rest of the direction is ignored.
    """

    __slots__ = ("_compressed", "_enabled", "_length", "_limit", "_parts", "_prefix", "buffered", "encoding", "fault")

    def __init__(self, limit: int, enabled: tuple[str, ...] = ()) -> None:
        self._limit = limit
        self._enabled = enabled
        self._compressed = False
        self._prefix = b""
        self._parts: list[bytes | bytearray] = []
        self._length: int | None = None
        #: Bytes of the unfinished message that have come, its prefix included.
        self.buffered = 0
        self.fault: Fault | None = None
        #: The peer's ``grpc-encoding``; "" and "identity": none.
        self.encoding = ""

    def feed(self, data: bytes) -> list[bytes | Unpacked]:
        """The messages that ``data`` completes; those before a fault are among them."""
        messages: list[bytes | Unpacked] = []
        at, end = 0, len(data)
        while at < end and self.fault is None:
            if self._length is None:
                taken = PREFIX - len(self._prefix)
                self._prefix += data[at : at + taken]
                at += taken
                if at > end:
                    break
                self._length = self._judge_prefix(self._prefix)
                if self._length is None:
                    break
                self.buffered = PREFIX
            missing = self._length + PREFIX - self.buffered
            part = data[at : at + missing]
            at += len(part)
            if len(part) == missing:
                message = b"".join((*self._parts, part)) if self._parts else part
                self._prefix, self._parts, self._length, self.buffered = b"", [], None, 0
                if not self._compressed:
                    messages.append(message)
                elif (unpacked := self._unpack(message)) is not None:
                    messages.append(unpacked)
            elif part:
                self._keep(part)
                self.buffered += len(part)
        if self._length is None:
            self.buffered = len(self._prefix)
        return messages

    def _keep(self, part: bytes) -> None:
        """Small parts share a buffer: an object for each would take many times their size."""
        if len(part) >= SMALL:
            self._parts.append(part)
        elif self._parts and isinstance(self._parts[-1], bytearray):
            self._parts[-1] += part
        else:
            self._parts.append(bytearray(part))

    def _judge_prefix(self, prefix: bytes) -> int | None:
        flags, length = prefix[0], int.from_bytes(prefix[1:], "big")
        if flags > 1:
            self._fail(StatusCode.INTERNAL, f"a message has the flags {flags}: only 0 and 1 are defined")
        elif flags == 1 and self.encoding in ("", "identity"):
            self._fail(StatusCode.INTERNAL, "a message is marked as compressed without an encoding")
        elif flags == 1 and self.encoding not in self._enabled:
            known = ", ".join(("identity", *self._enabled))
            self._fail(StatusCode.INTERNAL, f"a message is compressed with {self.encoding!r}: supported are {known}")
        elif length > self._limit:
            self._exceed(f"a message of {length} bytes is above the limit of {self._limit}")
        else:
            self._compressed = flags == 1
            return length
        return None

    def _unpack(self, message: bytes) -> Unpacked | None:
        """An empty message is empty, however it is marked (COMP-9)."""
        if not message:
            return Unpacked(b"", 0)
        try:
            return Unpacked(compression_named(self.encoding).decompress(message, self._limit), len(message))
        except OversizedMessageError as error:
            self._exceed(str(error))
        except CompressionError as error:
            self._fail(StatusCode.INTERNAL, f"a message can not be unpacked with {self.encoding}: {error}")
        return None

    def _exceed(self, text: str) -> None:
        self._fail(StatusCode.RESOURCE_EXHAUSTED, text, Limit.MAX_RECEIVE_MESSAGE_SIZE)

    def _fail(self, code: StatusCode, text: str, limit: Limit | None = None) -> None:
        self.fault = Fault(code, ErrorCode.CANCEL, text, limit)
        self._prefix, self._parts, self._length = b"", [], None

    def fingerprint_state(self) -> tuple[object, ...]:
        """Its state without the accident of how the bytes were cut."""
        return (self._prefix, b"".join(self._parts), self.fault, self.encoding)
