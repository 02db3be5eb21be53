"""Metadata: an ordered multi-map of names to text, or to bytes for names that end in ``-bin``.

Rules MD-1 to MD-15 (PROTOCOL-HTTP2 "Custom-Metadata").
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final, cast, overload

__all__ = ["EMPTY", "Field", "Metadata", "MetadataLike", "Value"]

Value = str | bytes
#: One header field as it is on the wire: lower-case name, value.
Field = tuple[bytes, bytes]

_NAME = re.compile(r"[0-9a-z_.\-]+")
_PADDING = (b"", b"", b"==", b"=")

#: Names that the library itself reads or writes: hidden from incoming metadata (MD-9).
HIDDEN: Final = frozenset(
    {
        b"te",
        b"content-type",
        b"content-length",
        b"host",
        b"user-agent",
        b"grpc-timeout",
        b"grpc-encoding",
        b"grpc-accept-encoding",
        b"grpc-status",
        b"grpc-message",
        b"grpc-message-type",
    }
)
#: Names that applications may not set (MD-2): HIDDEN, those tied to a connection, and all of ``grpc-*`` but ALLOWED.
FORBIDDEN: Final = frozenset(name.decode() for name in HIDDEN) | {
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
}
#: Reserved names that applications may set (MD-3); the last two on servers only.
ALLOWED: Final = frozenset({"grpc-trace-bin", "grpc-tags-bin"})
ALLOWED_ON_SERVERS: Final = ALLOWED | {"grpc-retry-pushback-ms", "grpc-status-details-bin"}
SENSITIVE: Final = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})


class Metadata(Sequence[tuple[str, Value]]):
    """An immutable ordered multi-map; also a sequence of ``(name, value)`` pairs.

    Made from a mapping or from pairs. Names become lower-case; nothing else is checked here, but when it is sent.
    Values of names that end in ``-bin`` are ``bytes``, all others ``str``. A received value that is not printable
    ASCII stays ``bytes`` (MD-7) and can not be sent on: see `echoable`.
    """

    __slots__ = ("_pairs", "_redacted")
    _pairs: tuple[tuple[str, Value], ...]
    _redacted: frozenset[str]  # names whose values `repr` hides

    def __init__(self, pairs: MetadataLike = ()) -> None:
        if isinstance(pairs, Metadata):
            self._pairs, self._redacted = pairs._pairs, pairs._redacted
            return
        items: Iterable[tuple[str, Value]]
        if isinstance(pairs, (tuple, list)):  # before the question whether it is a mapping, which takes longer
            items = pairs
        else:
            items = cast("Iterable[tuple[str, Value]]", pairs.items() if isinstance(pairs, Mapping) else pairs)
        self._pairs = tuple([(name.lower(), value) for name, value in items])
        self._redacted = SENSITIVE

    @overload
    def __getitem__(self, index: int) -> tuple[str, Value]: ...
    @overload
    def __getitem__(self, index: slice) -> Metadata: ...
    def __getitem__(self, index: int | slice) -> tuple[str, Value] | Metadata:
        try:
            return self._pairs[index] if isinstance(index, int) else self._with(self._pairs[index])
        except TypeError:  # no index at all, but a name
            text = f"a name may stand in metadata more than once: use .get({index!r}) or .all({index!r})"
            raise TypeError(text) from None

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        return iter(self._pairs)

    def __contains__(self, item: object) -> bool:
        """Whether a name (``str``) or a whole pair is present."""
        if isinstance(item, str):
            return any(name == item.lower() for name, _ in self._pairs)
        return item in self._pairs

    def __eq__(self, other: object) -> bool:
        return self._pairs == other._pairs if isinstance(other, Metadata) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __add__(self, other: MetadataLike) -> Metadata:
        more = Metadata(other)
        return self._with((*self._pairs, *more)).redacting(more._redacted)

    def get(self, name: str, default: Value | None = None) -> Value | None:
        """The first value of a name, or the default. Names are asked for in any case."""
        return next((value for key, value in self._pairs if key == name.lower()), default)

    def all(self, name: str) -> list[Value]:
        """Every value of a name, in order."""
        return [value for key, value in self._pairs if key == name.lower()]

    def echoable(self) -> Metadata:
        """What of it can be sent as it stands: without the names that a peer may write and an application may not, and
        without the values that came as raw bytes under a text name (MD-7)."""
        return self._with(
            (name, value)
            for name, value in self._pairs
            if isinstance(value, bytes) == name.endswith("-bin")
            and _NAME.fullmatch(name)
            and not _reserved(name, ALLOWED_ON_SERVERS)
        )

    def redacting(self, names: Iterable[str]) -> Metadata:
        """The same, but that `repr` hides the values of these names, too: "authorization", "cookie" and their like it
        hides always (MD-15)."""
        if not (more := {name.lower() for name in names} - self._redacted):
            return self
        found = self._with(self._pairs)
        found._redacted = self._redacted | more
        return found

    def _with(self, pairs: Iterable[tuple[str, Value]]) -> Metadata:
        """Other pairs, hidden alike."""
        found = Metadata(pairs)
        found._redacted = self._redacted
        return found

    def __repr__(self) -> str:
        shown = [(name, "[redacted]" if name in self._redacted else value) for name, value in self._pairs]
        return f"Metadata({shown!r})"


#: What is taken wherever metadata is sent: `Metadata`, a mapping, or pairs of name and value.
MetadataLike = Metadata | Mapping[str, Value] | Iterable[tuple[str, Value]]
EMPTY: Final = Metadata()


class InvalidMetadataError(ValueError):
    """Metadata that can not be sent, or bytes that are not metadata; the text says which and why."""


def encode_metadata(metadata: MetadataLike, allowed: frozenset[str] = ALLOWED) -> list[Field]:
    """Outgoing metadata as header fields (MD-1 to MD-4).

    Raises `InvalidMetadataError` when a name or value can not be sent; nothing is dropped silently.
    """
    if metadata is EMPTY or metadata == ():
        return []
    fields: list[Field] = []
    for name, value in Metadata(metadata)._pairs:
        sent, binary = _outgoing(name, allowed)
        if binary:
            if not isinstance(value, bytes):
                raise InvalidMetadataError(f"metadata {name!r}: names that end in '-bin' take bytes, not text")
            fields.append((sent, binascii.b2a_base64(value, newline=False).rstrip(b"=")))
        elif not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise InvalidMetadataError(
                f"metadata {name!r}: the value must be text of printable ASCII; other bytes need a name in '-bin'"
            )
        else:
            fields.append((sent, value.encode()))
    return fields


@lru_cache(maxsize=256)
def _outgoing(name: str, allowed: frozenset[str]) -> tuple[bytes, bool]:
    """A name as it is sent, and whether its values are bytes. Applications use the same few names again and again."""
    if not _NAME.fullmatch(name):
        raise InvalidMetadataError(f"metadata name {name!r}: use only 0-9, a-z, '_', '-' and '.'")
    if _reserved(name, allowed):
        raise InvalidMetadataError(f"metadata name {name!r} is reserved by gRPC or HTTP/2: choose another")
    return name.encode(), name.endswith("-bin")


def _reserved(name: str, allowed: frozenset[str]) -> bool:
    return name in FORBIDDEN or (name.startswith("grpc-") and name not in allowed)


def decode_metadata(fields: Iterable[Field], sensitive: Iterable[str] = ()) -> Metadata:
    """Received header fields as metadata, those that the library reads itself left out (MD-5 to MD-9).

    ``sensitive``: names whose values its `repr` hides.

    Raises `InvalidMetadataError` when a ``-bin`` value is not base64.
    """
    pairs: list[tuple[str, Value]] = []
    for name, value in fields:
        if name in HIDDEN or name[:1] == b":":
            continue
        key = name.decode("latin-1")
        if name.endswith(b"-bin"):
            pairs.extend((key, _decode_binary(key, part)) for part in value.split(b","))
        elif value.isascii() and (text := value.decode()).isprintable():
            pairs.append((key, text))
        else:
            pairs.append((key, value))
    if not pairs:
        return EMPTY
    found = Metadata(pairs)
    return found.redacting(sensitive) if sensitive else found


def _decode_binary(name: str, part: bytes) -> bytes:
    digits = part.strip(b" ")
    try:
        if digits.endswith(b"=") and len(digits) % 4:
            raise ValueError("its padding does not fit its length")
        return binascii.a2b_base64(digits + _PADDING[len(digits) % 4], strict_mode=True)
    except ValueError as error:
        raise InvalidMetadataError(f"metadata {name[:256]!r} is not base64: {error}") from None


class FieldList(list[Field]):
    """A header list that is sent again and again, and never changed: it knows its size, and is looked up by what it is,
    not by what it holds."""

    __slots__ = ("size",)
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, fields: Iterable[Field]) -> None:
        super().__init__(fields)
        self.size = field_list_size(self[:])


def field_list_size(fields: Sequence[Field]) -> int:
    """The size of a header list as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 6.5.2, MD-10): bytes."""
    if type(fields) is FieldList:
        return fields.size
    return 32 * len(fields) + sum(map(len, chain.from_iterable(fields)))
