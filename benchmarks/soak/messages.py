"""Messages that tell by themselves which they are and whether they are whole."""

from __future__ import annotations

import random
import zlib

__all__ = ["Stream", "Wrong", "made", "size_of"]

_HEAD = 8  # the number of the message, and the checksum of the rest: 4 bytes each
#: What the sizes are drawn from: tiny, a few frames, more than a stream's window.
SIZES = (0, 1, 100, 100, 100, 1_000, 16_384, 100_000, 400_000)


class Wrong(AssertionError):
    """A message, a status or metadata that is not what was sent."""


def made(number: int, size: int) -> bytes:
    """The message ``number``: 8 bytes, and ``size`` more."""
    body = bytes((number + at) & 0xFF for at in range(min(size, 251))) * (size // 251 + 1)
    body = body[:size]
    return number.to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


def size_of(choice: random.Random) -> int:
    return choice.choice(SIZES)


class Stream:
    """One direction of a call, as its reader checks it: every message once, whole, in order."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, message: bytes) -> None:
        number, checksum = int.from_bytes(message[:4], "big"), int.from_bytes(message[4:_HEAD], "big")
        if number != self.count:
            raise Wrong(f"message {number} came where {self.count} was due")
        if zlib.crc32(message[_HEAD:]) != checksum:
            raise Wrong(f"message {number} of {len(message)} bytes is not what was sent")
        self.count += 1
