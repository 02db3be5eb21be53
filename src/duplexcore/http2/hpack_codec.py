"""HPACK, bounded: header blocks in and out (RFC 7541; SEC-6, MAL-2, MAL-3, MD-15)."""

from __future__ import annotations

from collections.abc import Iterable

import hpack

from ..config import Config, Limit
from ..metadata import Field
from ..status import ErrorCode
from .faults import ConnectionFault, too_much

__all__: list[str] = []

#: The dynamic table of either direction as long as no SETTINGS say otherwise (RFC 9113 section 6.5.2): bytes.
INITIAL_TABLE_SIZE = 4096


class HeaderDecoder:
    """Decodes every block that comes, also those of streams that are over, so that the table stays in step."""

    __slots__ = ("_config", "_decoder")

    def __init__(self, config: Config) -> None:
        self._config = config
        self._decoder = hpack.Decoder(max_header_list_size=config.hard_header_list_size)
        self._decoder.max_allowed_table_size = max(INITIAL_TABLE_SIZE, config.header_table_size)

    def settings_acked(self) -> None:
        """From here on the peer keeps to the table that we offer, also if it is smaller than the initial one."""
        self._decoder.max_allowed_table_size = self._config.header_table_size

    def decode(self, fragment: bytes) -> list[Field]:
        """The fields of a whole block. Raises `ConnectionFault`: the tables of the two sides differ from here on."""
        if size_updates(fragment) > self._config.abuse.table_size_updates:
            text = "a header block with too many table size updates"
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, text, Limit.TABLE_SIZE_UPDATES)
        try:
            return [(name, value) for name, value in self._decoder.decode(fragment, raw=True)]
        except hpack.OversizedHeaderListError:
            text = f"a header list above the hard limit of {self._config.hard_header_list_size} bytes"
            raise too_much(Limit.HARD_HEADER_LIST_SIZE, text) from None
        except hpack.HPACKError as error:
            text = f"a header block can not be decoded: {error}"
            limit = Limit.HEADER_TABLE_SIZE if isinstance(error, hpack.InvalidTableSizeError) else None
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, text, limit) from None


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
    """h2's encoder with a bound: whatever table the peer offers, ours is at most ``most`` bytes (H2-10)."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        if most < INITIAL_TABLE_SIZE:
            self.header_table_size = most

    @property
    def header_table_size(self) -> int:
        return int(self.header_table.maxsize)

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        waiting = self.header_table.resized  # a change that the next block has to announce
        self.header_table.maxsize = min(value, self._most)
        if self.header_table.resized:
            changes = [*self.table_size_changes, self.header_table.maxsize]
            # The smallest and the last are what a block has to announce (RFC 7541 section 4.2).
            self.table_size_changes = [min(changes), changes[-1]] if len(changes) > 1 else changes
        self.header_table.resized |= waiting


def marked(fields: Iterable[Field], sensitive: frozenset[bytes]) -> list[Field]:
    """The same fields, those with sensitive names marked as never to be indexed."""
    return [hpack.NeverIndexedHeaderTuple(*field) if field[0] in sensitive else field for field in fields]
