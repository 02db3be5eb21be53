"""The one choice point: whatever has an order or a chance in a simulation asks a `Chooser`.

Option 0 is always the dull one: the actor that acted last goes on, everything under way arrives at once, nothing
fails. So a run in which all choices are 0 is the plain one, and a failure whose tape has been shrunk toward zeros shows
the fewest changes of actor that it needs. A choice among one is no choice, and is neither asked nor recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["BytesChooser", "Chooser", "OdometerChooser", "Recorded", "Recorder", "Tape", "TapeChooser"]

#: The choices of one run, in order. With the scenario it is all that is needed to have the run again.
Tape = tuple[int, ...]


class Chooser(Protocol):
    """Where choices come from."""

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        """One of ``n`` options, 0 to n-1; n is 2 at least.

        ``kind`` names what is chosen ("step", "bytes", "messages"); ``labels`` are the options themselves, for those
        who weigh or show them; may be empty.

        A chooser that has a method ``forced(label)`` too is told of who acts where nobody else can.
        """
        ...


class TapeChooser:
    """Replays a tape. Where it is too short the dull option is taken, a number that is too big is the last option."""

    __slots__ = ("_at", "_tape")

    def __init__(self, tape: Sequence[int]) -> None:
        self._tape = tape
        self._at = 0

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        at = self._at
        if at >= len(self._tape):
            return 0
        self._at = at + 1
        return min(self._tape[at], n - 1)


class BytesChooser:
    """Reads a byte string, as coverage-guided fuzzers offer it; at its end the dull option is taken."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        size = 1 if n <= 256 else 2
        piece = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(piece, "big") % n


class OdometerChooser:
    """Counts through every tape: for scenarios so small that all of them can be run.

    ``for chooser in OdometerChooser.all(): run(chooser)`` ends when there is no other run.
    """

    __slots__ = ("_at", "_digits")

    def __init__(self, digits: list[list[int]]) -> None:
        self._digits = digits  # [choice, options]
        self._at = 0

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        at = self._at
        self._at = at + 1
        if at == len(self._digits):
            self._digits.append([0, n])
        assert self._digits[at][1] == n, "the run before had another number of options here: it is not deterministic"
        return self._digits[at][0]

    @classmethod
    def all(cls) -> Iterator[OdometerChooser]:
        """One for each run that there is, in lexical order; each must be run to its end before the next is taken."""
        digits: list[list[int]] = []
        while True:
            yield cls(digits)
            while digits and digits[-1][0] + 1 == digits[-1][1]:
                digits.pop()
            if not digits:
                return
            digits[-1][0] += 1


@dataclass(frozen=True, slots=True)
class Recorded:
    """One choice that was made: what it was about, between how many, which, and what that option was called."""

    kind: str
    options: int
    chosen: int
    label: str


class Recorder:
    """Asks another chooser and remembers."""

    __slots__ = ("_inner", "_made", "forced")

    def __init__(self, inner: Chooser) -> None:
        self._inner = inner
        self.forced: Callable[[object], None] | None = getattr(inner, "forced", None)
        self._made: list[tuple[str, int, int, str]] = []

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        chosen = self._inner.choose(n, kind, labels)
        self._made.append((kind, n, chosen, str(labels[chosen] if labels else chosen)))
        return chosen

    @property
    def tape(self) -> Tape:
        """What a `TapeChooser` replays."""
        return tuple(chosen for _, _, chosen, _ in self._made)

    @property
    def choices(self) -> list[Recorded]:
        """The same with names, for people."""
        return [Recorded(kind, n, chosen, label) for kind, n, chosen, label in self._made]
