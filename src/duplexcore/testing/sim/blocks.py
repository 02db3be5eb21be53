"""Header blocks that nobody but the simulation reads or writes, and each history of them once: runs say the same again
and again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import hpack

__all__ = ["Fields", "HeaderReader", "HeaderWriter"]

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


FieldList = tuple[tuple[bytes, bytes], ...]
Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(slots=True)
class _Known(Generic[Given, Made]):
    """A history of one direction: what may come next, as far as it has come before, and what was made of it."""

    following: dict[Given, tuple[Made, _Known[Given, Made]]] = field(default_factory=dict)


_histories = itertools.count()


class _Coder(Generic[Given, Made]):
    """Makes one thing of another, where each depends on all before: of histories that are known without any work."""

    __slots__ = ("_begun", "_history", "_known")

    def __init__(self, start: _Known[Given, Made]) -> None:
        self._known: _Known[Given, Made] = start
        self._history: list[Given] = []
        self._begun = False  # from the first on that is new

    def _begin(self) -> None:
        raise NotImplementedError

    def _make(self, given: Given) -> Made:
        raise NotImplementedError

    def _next(self, given: Given) -> Made:
        found = None if self._begun else self._known.following.get(given)
        if found is None:
            if not self._begun:
                self._begun = True
                self._begin()
                for before in self._history:
                    self._make(before)
            made: Made = self._make(given)
            following: _Known[Given, Made] = _Known()
            found = made, following
            if next(_histories) < MOST:
                self._known.following[given] = found
        self._history.append(given)
        made, self._known = found
        return made

    def fingerprint_state(self) -> object:
        """What has come; what has come to others is no part of it."""
        return self._history


_READ: _Known[bytes, Fields] = _Known()
_WRITTEN: _Known[FieldList, bytes] = _Known()


class HeaderReader(_Coder[bytes, Fields]):
    """Reads the header blocks of one direction of a connection, in order. What it gives belongs to all."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        super().__init__(_READ)

    def read(self, block: bytes) -> Fields:
        """The fields. Raises hpack's errors."""
        return self._next(block)

    def _begin(self) -> None:
        self._decoder = hpack.Decoder()
        self._decoder.max_allowed_table_size = LARGEST_TABLE

    def _make(self, given: bytes) -> Fields:
        return Fields([(name, value) for name, value in self._decoder.decode(given, raw=True)])


class HeaderWriter(_Coder[FieldList, bytes]):
    """Writes the header blocks of one direction of a connection, in order."""

    __slots__ = ("_encoder",)

    def __init__(self) -> None:
        super().__init__(_WRITTEN)

    def write(self, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The block of a header list."""
        return self._next(tuple(fields))

    def _begin(self) -> None:
        self._encoder = hpack.Encoder()

    def _make(self, given: FieldList) -> bytes:
        return self._encoder.encode(given)
