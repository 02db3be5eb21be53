"""HPACK, bounded and quick: header blocks that go (RFC 7541; SEC-6, H2-10, MD-15)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hpack.table import HeaderTable

from ..config import Config
from ..metadata import SENSITIVE, Field, FieldList, field_list_size
from .settings import INITIAL_TABLE_SIZE

__all__: list[str] = []

# How a field begins (RFC 7541 section 6): the bits, and how many are left for the index or the length.
_INDEXED: Final = 0x80, 7
_INSERTED: Final = 0x40, 6
_SIZE_UPDATE: Final = 0x20, 5
_NEVER_INDEXED: Final = 0x10, 4
_PLAIN: Final = 0x00, 4

_STATIC_FIELDS: Final = {field: index for index, field in reversed([*enumerate(HeaderTable.STATIC_TABLE, 1)])}
_STATIC_NAMES: Final = {name: index for (name, _), index in _STATIC_FIELDS.items()}
_FIRST_DYNAMIC: Final = len(HeaderTable.STATIC_TABLE) + 1
#: Names whose values are new nearly each time: in the table they would only take room.
_VARYING: Final = frozenset({b"grpc-timeout"})
#: How many fields are remembered to have been sent once.
_ONCE: Final = 64
#: How many whole lists are remembered.
_LISTS: Final = 64


class FieldEncoder:
    """Encodes the header lists of one connection.

    A field enters the dynamic table when it is sent for the second time, as long as there is room. Nothing is ever
    evicted: so what was inserted is encoded by looking it up, and only what varies is written out.
    """

    __slots__ = ("_entries", "_known", "_lists", "_most", "_once", "_room", "_sensitive", "_size", "_updates")

    def __init__(self, config: Config) -> None:
        #: The largest dynamic table, whatever the peer offers (H2-10).
        self._most = config.header_table_size
        self._sensitive = frozenset(name.lower().encode() for name in SENSITIVE | config.sensitive_metadata)
        self._size = min(self._most, INITIAL_TABLE_SIZE)
        self._room = self._size
        self._updates = _integer(self._size, _SIZE_UPDATE) if self._size < INITIAL_TABLE_SIZE else b""
        self._entries: list[Field] = []  # of the dynamic table, the oldest first
        self._once: dict[Field, None] = {}
        self._known: dict[Field, bytes] = {}  # how fields of either table are encoded, as the table stands,
        self._lists: dict[FieldList, bytes] = {}  # and lists of nothing but such fields

    @property
    def header_table_size(self) -> int:
        return self._size

    @header_table_size.setter
    def header_table_size(self, offered: int) -> None:
        """The peer has set it. A table of another size begins empty, which the next block announces (section 4.2)."""
        size = min(offered, self._most)
        if size != self._size:
            self._size = self._room = size
            self._updates = _integer(0, _SIZE_UPDATE) + (_integer(size, _SIZE_UPDATE) if size else b"")
            self._entries.clear()
            self._known.clear()
            self._lists.clear()

    def encode(self, fields: Iterable[Field]) -> bytes:
        """The block of a header list."""
        if type(fields) is not FieldList:
            return self._announced(self._encode(fields))
        block = self._lists.get(fields)
        if block is None:
            block = self._encode(fields)
            if all(map(self._known.__contains__, fields)):  # it will be the same until the table changes
                if len(self._lists) >= _LISTS:
                    self._lists.clear()
                self._lists[fields] = self._encode(fields)
        return self._announced(block) if self._updates else block

    def _encode(self, fields: Iterable[Field]) -> bytes:
        known, anew = self._known.get, self._encode_anew
        return b"".join([known(field) or anew(field) for field in fields])

    def _announced(self, block: bytes) -> bytes:
        """Behind the table's new size, if it is new."""
        block, self._updates = self._updates + block, b""
        return block

    def _encode_anew(self, field: Field) -> bytes:
        name, value = field
        if name in self._sensitive:
            return _literal(_NEVER_INDEXED, name, value)
        if (index := _STATIC_FIELDS.get(field)) is not None:
            self._known[field] = encoded = _integer(index, _INDEXED)
            return encoded
        size = field_list_size((field,))
        if name in _VARYING or size > min(self._room, self._size // 4):
            return _literal(_PLAIN, name, value)
        if field not in self._once:
            if len(self._once) >= _ONCE:
                self._once.clear()
            self._once[field] = None
            return _literal(_PLAIN, name, value)
        del self._once[field]
        self._room -= size
        self._entries.append(field)
        self._lists.clear()
        for index, entry in enumerate(reversed(self._entries), _FIRST_DYNAMIC):
            self._known[entry] = _integer(index, _INDEXED)
        return _literal(_INSERTED, name, value)

    def fingerprint_state(self) -> object:
        """All but what follows from the rest."""
        return (self._size, self._room, self._updates, self._entries, list(self._once))


def _integer(value: int, prefix: tuple[int, int]) -> bytes:
    """RFC 7541 section 5.1."""
    bits, room = prefix
    most = (1 << room) - 1
    if value < most:
        return bytes((bits | value,))
    encoded, value = bytearray((bits | most,)), value - most
    while value >= 128:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _string(text: bytes) -> bytes:
    """Not Huffman-coded: that would save bytes of what is sent once, and cost time for what varies."""
    return _integer(len(text), (0, 7)) + text


def _literal(kind: tuple[int, int], name: bytes, value: bytes) -> bytes:
    index = _STATIC_NAMES.get(name, 0)
    return _integer(index, kind) + (b"" if index else _string(name)) + _string(value)
