"""Whether a decoded header list is well-formed HTTP/2 (RFC 9113 section 8, MAL-1, MAL-4). Knows nothing of gRPC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ..call.lane import Block
from ..metadata import Field

__all__: list[str] = []


class Kind(Enum):
    """What a header list opens or ends, with the pseudo-headers that it must and may have."""

    REQUEST = (frozenset({b":method", b":scheme", b":path"}), frozenset({b":authority"}))
    RESPONSE = (frozenset({b":status"}), frozenset[bytes]())
    TRAILERS = (frozenset[bytes](), frozenset[bytes]())

    def __init__(self, required: frozenset[bytes], optional: frozenset[bytes]) -> None:
        self.required = required
        self.allowed = required | optional


@dataclass(frozen=True, slots=True)
class Verdict:
    """``malformed``: why the list can not be used, or "". ``interim``: a 1xx response. ``length``: content-length."""

    malformed: str = ""
    interim: bool = False
    length: int | None = None


_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE: Final = re.compile(rb"[\0\r\n]")
_CONNECTION: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_STATUS: Final = re.compile(rb"[0-9]{3}")
GOOD: Final = Verdict()


def judge(fields: Sequence[Field], kind: Kind, *, end: bool) -> Verdict:
    """Judges a whole list; ``end``: it carries END_STREAM."""
    seen: set[bytes] = set()
    regular = False
    length: int | None = None
    for name, value in fields:
        if _BAD_VALUE.search(value):
            return Verdict(f"the value of {_shown(name)} has a NUL, CR or LF")
        if name.startswith(b":"):
            if regular or name in seen or name not in kind.allowed:
                return Verdict(f"the pseudo-header {_shown(name)} is late, repeated or does not belong here")
            seen.add(name)
            continue
        regular = True
        if not _NAME.fullmatch(name):
            return Verdict(f"the field name {_shown(name)} is empty, has upper-case or other illegal characters")
        if name in _CONNECTION or (name == b"te" and value != b"trailers"):
            return Verdict(f"the field {_shown(name)} belongs to HTTP/1.1 connections")
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18 or length not in (None, int(value)):
                return Verdict("content-length is not one number")
            length = int(value)
    if missing := kind.required - seen:
        return Verdict(f"the pseudo-header {_shown(min(missing))} is missing")
    if kind is Kind.RESPONSE:
        status = fields[0][1]
        if not _STATUS.fullmatch(status):
            return Verdict(f"the status {_shown(status)} is not three digits")
        if status.startswith(b"1"):
            return Verdict("an interim response ends the stream" if end else "", interim=True)
    return Verdict(length=length) if length is not None else GOOD


class HeaderList:
    """A decoded block: what is found out about it is kept, for when it comes again."""

    __slots__ = ("_end", "_kind", "_verdict", "block")

    def __init__(self, fields: Sequence[Field], size: int) -> None:
        self.block = Block(fields, size)
        self._kind: Kind | None = None  # what it was judged as,
        self._end = False  # with END_STREAM or without,
        self._verdict = GOOD  # and the verdict

    def verdict(self, kind: Kind, end: bool) -> Verdict:
        """See `judge`."""
        if self._kind is not kind or self._end is not end:
            self._verdict = judge(self.block.fields, kind, end=end)
            self._kind, self._end = kind, end
        return self._verdict


def _shown(text: bytes) -> str:
    return repr(text[:64].decode("latin-1"))
