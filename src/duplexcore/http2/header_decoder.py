"""HPACK, bounded: header blocks that come (RFC 7541; SEC-6, MAL-2, MAL-3)."""

from __future__ import annotations

import hpack

from ..config import Config, Limit
from ..metadata import Field
from ..status import ErrorCode
from .faults import ConnectionFault, too_much
from .settings import INITIAL_TABLE_SIZE

__all__: list[str] = []


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
