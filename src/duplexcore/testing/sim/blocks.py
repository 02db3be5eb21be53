"""Header blocks read by nobody but the simulation, and each history of them once: runs say the same again and again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import hpack

__all__ = ["Fields", "HeaderReader"]

#: So many different histories are remembered, at most.
MOST = 20_000

#: What an encoder of ours may be told to keep: bytes.
LARGEST_TABLE = 65_536
#: What each field counts besides its own bytes (RFC 9113 section 6.5.2).
FIELD = 32


class Fields(dict[bytes, bytes]):
    """The fields of a header list; of those with the same name the last."""

    __slots__ = ("size",)

    def __init__(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        super().__init__(fields)
        #: As SETTINGS_MAX_HEADER_LIST_SIZE counts it: bytes.
        self.size = sum(len(name) + len(value) + FIELD for name, value in fields)


@dataclass(slots=True)
class _Known:
    """A history of one direction: what may come next, as far as it has come before."""

    following: dict[bytes, tuple[Fields, _Known]] = field(default_factory=dict)


_START = _Known()
_histories = itertools.count()


class HeaderReader:
    """Reads the header blocks of one direction of a connection, in order. What it gives belongs to all."""

    __slots__ = ("_decoder", "_history", "_known")

    def __init__(self) -> None:
        self._known = _START
        self._history: list[bytes] = []
        self._decoder: hpack.Decoder | None = None  # from the first block on that is new

    def read(self, block: bytes) -> Fields:
        """The fields. Raises hpack's errors."""
        if self._decoder is None:
            if (found := self._known.following.get(block)) is not None:
                self._history.append(block)
                fields, self._known = found
                return fields
            self._decoder = hpack.Decoder()
            self._decoder.max_allowed_table_size = LARGEST_TABLE
            for before in self._history:
                self._decoder.decode(before, raw=True)
        fields, known = Fields([(name, value) for name, value in self._decoder.decode(block, raw=True)]), _Known()
        if next(_histories) < MOST:
            self._known.following[block] = fields, known
        self._known = known
        return fields
