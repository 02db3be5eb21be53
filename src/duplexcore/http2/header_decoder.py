"""HPACK, bounded and quick: header blocks that come (RFC 7541; SEC-6, MAL-2, MAL-3)."""

from __future__ import annotations

from typing import Final

import hpack
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from ..config import Config, Limit
from ..metadata import Field, field_list_size
from ..status import ErrorCode
from .faults import ConnectionFault, too_much
from .header_rules import HeaderList
from .settings import INITIAL_TABLE_SIZE

__all__: list[str] = []

_STATIC: Final[tuple[Field, ...]] = ((b"", b""), *HeaderTable.STATIC_TABLE)
_FIRST_DYNAMIC: Final = len(_STATIC)
#: How many blocks are remembered, and how long each may be: bytes.
_BLOCKS: Final = 64
_BLOCK_SIZE: Final = 128


class HeaderDecoder:
    """Decodes every block that comes, also those of streams that are over, so that the table stays in step.

    hpack does it, and decides what is an error. But most blocks consist of fields that stand in a table, and of a few
    that are written out and leave the table as it is: those are read here, and a block without any of the latter is
    looked up when it comes again. As soon as hpack has decoded a block, the table may be another one.
    """

    __slots__ = ("_blocks", "_config", "_decoder")

    def __init__(self, config: Config) -> None:
        self._config = config
        self._decoder = hpack.Decoder(max_header_list_size=config.hard_header_list_size)
        self._decoder.max_allowed_table_size = max(INITIAL_TABLE_SIZE, config.header_table_size)
        self._blocks: dict[bytes, HeaderList] = {}  # what they mean, as the table stands

    def settings_acked(self) -> None:
        """From here on the peer keeps to the table that we offer, also if it is smaller than the initial one."""
        self._decoder.max_allowed_table_size = self._config.header_table_size
        self._blocks.clear()

    def decode(self, fragment: bytes) -> HeaderList:
        """What a whole block says; its fields are not to be changed. Raises `ConnectionFault`: the tables of the two
        sides differ from here on."""
        return self._blocks.get(fragment) or self._read(fragment) or self._decode(fragment)

    def _read(self, fragment: bytes) -> HeaderList | None:
        """As `decode`, if the block is as simple as most are; None: hpack is to do it, nothing has changed yet."""
        table = self._decoder.header_table.dynamic_entries
        fields: list[Field] = []
        at, end, looked_up = 0, len(fragment), True
        try:
            while at < end:
                first = fragment[at]
                at += 1
                if first & 0x80:
                    index = first & 0x7F
                    if index == 0x7F:
                        index, at = _long_index(fragment, at, 0x7F)
                    elif not index:
                        return None
                    fields.append(_STATIC[index] if index < _FIRST_DYNAMIC else table[index - _FIRST_DYNAMIC])
                    continue
                looked_up = False
                if first & 0x60:
                    return None  # it changes the table
                if index := first & 0x0F:
                    if index == 0x0F:
                        index, at = _long_index(fragment, at, 0x0F)
                    name = (_STATIC[index] if index < _FIRST_DYNAMIC else table[index - _FIRST_DYNAMIC])[0]
                else:
                    name, at = _string(fragment, at)
                value, at = _string(fragment, at)
                fields.append((name, value))
        except (IndexError, hpack.HPACKError):
            return None
        decoder = self._decoder
        oversized = (size := field_list_size(fields)) > decoder.max_header_list_size
        if at != end or oversized or decoder.header_table_size > decoder.max_allowed_table_size:
            return None
        read = HeaderList(fields, size)
        if looked_up and end <= _BLOCK_SIZE:
            if len(self._blocks) >= _BLOCKS:
                self._blocks.clear()
            self._blocks[fragment] = read
        return read

    def _decode(self, fragment: bytes) -> HeaderList:
        self._blocks.clear()
        if size_updates(fragment) > self._config.abuse.table_size_updates:
            text = "a header block with too many table size updates"
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, text, Limit.TABLE_SIZE_UPDATES)
        try:
            fields = [(name, value) for name, value in self._decoder.decode(fragment, raw=True)]
        except hpack.OversizedHeaderListError:
            text = f"a header list above the hard limit of {self._config.hard_header_list_size} bytes"
            raise too_much(Limit.HARD_HEADER_LIST_SIZE, text) from None
        except hpack.HPACKError as error:
            text = f"a header block can not be decoded: {error}"
            limit = Limit.HEADER_TABLE_SIZE if isinstance(error, hpack.InvalidTableSizeError) else None
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, text, limit) from None
        return HeaderList(fields, field_list_size(fields))

    def fingerprint_state(self) -> object:
        """What is remembered follows from the rest."""
        return self._decoder


def _long_index(fragment: bytes, at: int, most: int) -> tuple[int, int]:
    """An index of two bytes, whose second is there, and where it ends; IndexError if it is longer."""
    if fragment[at] & 0x80:
        raise IndexError
    return most + fragment[at], at + 1


def _string(fragment: bytes, at: int) -> tuple[bytes, int]:
    """A string that begins there, and where it ends; IndexError if it is long."""
    size = fragment[at]
    at += 1
    if size < 0x7F:
        return fragment[at : at + size], at + size
    size &= 0x7F
    if size == 0x7F:
        raise IndexError
    return decode_huffman(fragment[at : at + size]), at + size


def size_updates(fragment: bytes) -> int:
    """How many table size updates a block begins with (RFC 7541 section 6.3)."""
    count = at = 0
    while at < len(fragment) and fragment[at] & 0xE0 == 0x20:
        count += 1
        continued = fragment[at] & 0x1F == 0x1F
        at += 1
        while continued and at < len(fragment):
            continued = fragment[at] >= 0x80
            at += 1
    return count
