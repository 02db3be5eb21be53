"""Length-prefixed messages: 1 byte of flags, 4 bytes of length, the body (PROTOCOL-HTTP2, FRM-1 to FRM-6)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ..compression import CompressionError, OversizedMessageError, compression_named
from ..config import Limit
from ..status import ErrorCode, StatusCode, quoted
from .tables import Fault

__all__ = ["PREFIX", "MessageDecoder", "frame_message"]

#: Bytes before each message's body.
PREFIX = 5
#: What is smaller is joined with what came before: an object for each part would take many times its size. Bytes.
SMALL = 1024
#: What Python takes for an unpacked message besides its bytes.
OBJECTS = 144
PREFIX_FORMAT: Final = struct.Struct(">BI")


def frame_message(payload: bytes | bytearray | memoryview, *, compressed: bool = False) -> bytes:
    """One message with its prefix."""
    return b"".join((prefix_of(payload, compressed=compressed), payload))


def prefix_of(payload: bytes | bytearray | memoryview, *, compressed: bool = False) -> bytes:
    return (b"\1" if compressed else b"\0") + size_of(payload).to_bytes(4, "big")


def size_of(payload: bytes | bytearray | memoryview) -> int:
    """Bytes: the length of a memoryview counts its items."""
    return payload.nbytes if isinstance(payload, memoryview) else len(payload)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A message that came compressed; ``wire_size``: its bytes then, without the prefix."""

    payload: bytes
    wire_size: int

    @property
    def gain(self) -> int:
        """Bytes of memory that it takes above those that came."""
        return max(0, OBJECTS + len(self.payload) - self.wire_size)


class Run:
    """Whole messages as they came, back to back, none of which needs unpacking. Each is cut out when it is taken: until
    then many tiny ones take no more memory and time than their bytes (SEC-11)."""

    __slots__ = ("at", "count", "data")

    def __init__(self, data: bytes, count: int) -> None:
        self.data = data
        #: Where the next message begins, and how many there are from there on.
        self.at = 0
        self.count = count

    def take(self) -> tuple[bytes, bool]:
        """The next message, and whether it was marked as compressed (which an empty one may be: COMP-9)."""
        flags, length = PREFIX_FORMAT.unpack_from(self.data, self.at)
        start = self.at + PREFIX
        self.at = end = start + length
        self.count -= 1
        return self.data[start:end], flags == 1

    def absorb(self, following: Run) -> bool:
        """Takes in the messages that came after its own, if both are small; nothing of ``following`` was taken yet."""
        if len(self.data) >= SMALL or len(following.data) >= SMALL:
            return False
        self.data += following.data
        self.count += following.count
        return True

    def fingerprint_state(self) -> bytes:
        return self.data[self.at :]


#: One message, or several; a large one that came plain is itself.
Item = Run | bytes | Unpacked


def payloads(items: Iterable[Item]) -> Iterator[bytes]:
    """Message by message, for who does not mind the memory."""
    for item in items:
        if isinstance(item, Run):
            while item.count:
                yield item.take()[0]
        else:
            yield item.payload if isinstance(item, Unpacked) else item


class MessageDecoder:
    """Turns the bytes of one direction into messages, however the bytes are cut (FRM-2).

    The length is judged when the prefix is complete, before anything of the body is kept, and memory grows with what
    came, never with what was announced (FRM-4, FRM-6). After a fault the rest of the direction is ignored.
    """

    __slots__ = ("_compressed", "_enabled", "_length", "_parts", "_prefix", "buffered", "encoding", "fault", "limit")

    def __init__(self, limit: int, enabled: tuple[str, ...] = ()) -> None:
        #: Bytes that one message may have.
        self.limit = limit
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

    def feed(self, data: bytes) -> Iterator[Item]:
        """The messages that ``data`` completes, those before a fault among them: to be iterated to its end."""
        at, end = 0, len(data)
        while at < end and self.fault is None:
            if self._length is None:
                if not self._prefix:
                    after, count = self._pass_over(data, at)
                    if count:
                        yield Run(data[at:after], count)
                        at = after
                        continue
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
                if (message := self._complete(part)) is not None:
                    yield message
            elif part:
                self._keep(part)
                self.buffered += len(part)
        if self._length is None:
            self.buffered = len(self._prefix)

    @property
    def missing(self) -> int:
        """Bytes of the unfinished message that have not come, once its prefix has; else 0."""
        return 0 if self._length is None else PREFIX + self._length - self.buffered

    def drop(self) -> None:
        """Nothing more comes: what came of an unfinished message is forgotten."""
        self._prefix, self._parts, self._length, self.buffered = b"", [], None, 0

    def _pass_over(self, data: bytes, at: int) -> tuple[int, int]:
        """Where the whole messages in a row end that can be kept as they are, and how many they are."""
        count, last, limit = 0, len(data) - PREFIX, self.limit
        read = PREFIX_FORMAT.unpack_from
        while at <= last:
            flags, length = read(data, at)
            if flags and (length or flags > 1 or not self._unpacks):
                break
            following: int = at + PREFIX + length
            if length > limit or following > len(data):
                break
            at = following
            count += 1
        return at, count

    def _complete(self, part: bytes) -> Item | None:
        """The message that ends with ``part``; None if it can not be unpacked."""
        body = b"".join((*self._parts, part)) if self._parts else part
        prefix = self._prefix
        self._prefix, self._parts, self._length, self.buffered = b"", [], None, 0
        if self._compressed:
            return self._unpack(body)
        return Run(prefix + body, 1) if len(body) < SMALL else body

    def _keep(self, part: bytes) -> None:
        """Small parts share a buffer: an object for each would take many times their size."""
        if len(part) >= SMALL:
            self._parts.append(part)
        elif self._parts and isinstance(self._parts[-1], bytearray):
            self._parts[-1] += part
        else:
            self._parts.append(bytearray(part))

    @property
    def _unpacks(self) -> bool:
        """Whether messages may be marked as compressed."""
        return self.encoding not in ("", "identity") and self.encoding in self._enabled

    def _judge_prefix(self, prefix: bytes) -> int | None:
        flags, length = prefix[0], int.from_bytes(prefix[1:], "big")
        if flags > 1:
            self._fail(StatusCode.INTERNAL, f"a message has the flags {flags}: only 0 and 1 are defined")
        elif flags and self.encoding in ("", "identity"):
            self._fail(StatusCode.INTERNAL, "a message is marked as compressed without an encoding")
        elif flags and self.encoding not in self._enabled:
            known = ", ".join(("identity", *self._enabled))
            self._fail(
                StatusCode.INTERNAL, f"a message is compressed with {quoted(self.encoding)}: supported are {known}"
            )
        elif length > self.limit:
            self._exceed(f"a message of {length} bytes is above the limit of {self.limit}")
        else:
            self._compressed = bool(flags)
            return length
        return None

    def _unpack(self, message: bytes) -> Unpacked | None:
        """An empty message is empty, however it is marked (COMP-9)."""
        if not message:
            return Unpacked(b"", 0)
        try:
            return Unpacked(compression_named(self.encoding).decompress(message, self.limit), len(message))
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
