"""HPACK, bounded: header blocks in and out (RFC 7541; SEC-6, MAL-2, MAL-3, MD-15)."""

from __future__ import annotations

from collections.abc import Iterable

import hpack

from ..metadata import Field
from ..status import ErrorCode
from .faults import ConnectionFault

__all__: list[str] = []

#: The dynamic table of either direction: bytes.
TABLE_SIZE = 4096
#: Changes of the table size that one block may begin with (RFC 7541 section 4.2).
MAX_SIZE_UPDATES = 2


class HeaderDecoder:
    """Decodes every block that comes, also those of streams that are over, so that the table stays in step."""

    __slots__ = ("_decoder",)

    def __init__(self, hard_limit: int) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=hard_limit)
        self._decoder.max_allowed_table_size = TABLE_SIZE

    def decode(self, fragment: bytes) -> list[Field]:
        """The fields of a whole block. Raises `ConnectionFault`: the tables of the two sides differ from here on."""
        if size_updates(fragment) > MAX_SIZE_UPDATES:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "a header block with too many table size updates")
        try:
            return [(name, value) for name, value in self._decoder.decode(fragment, raw=True)]
        except hpack.OversizedHeaderListError:
            text = f"a header list above the hard limit of {self._decoder.max_header_list_size} bytes"
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, text) from None
        except hpack.HPACKError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"a header block can not be decoded: {error}") from None


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


class HeaderEncoder(hpack.Encoder):
    """h2's encoder with a bound: whatever table the peer offers, ours is at most `TABLE_SIZE` (H2-10)."""

    @property
    def header_table_size(self) -> int:
        return int(self.header_table.maxsize)

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        self.header_table.maxsize = min(value, TABLE_SIZE)
        if self.header_table.resized:
            changes = [*self.table_size_changes, self.header_table.maxsize]
            # The smallest and the last are what a block has to announce (RFC 7541 section 4.2).
            self.table_size_changes = [min(changes), changes[-1]] if len(changes) > 1 else changes


def marked(fields: Iterable[Field], sensitive: frozenset[bytes]) -> list[Field]:
    """The same fields, those with sensitive names marked as never to be indexed."""
    return [hpack.NeverIndexedHeaderTuple(*field) if field[0] in sensitive else field for field in fields]
