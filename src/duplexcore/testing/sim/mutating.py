"""New tapes from those that were worth keeping: spliced, cut, or changed in one choice."""

from __future__ import annotations

from collections.abc import Sequence

from .choosing import Chooser, Tape, TapeChooser

__all__ = ["Onward", "mutant"]

#: A changed choice is one of so many: what is too big is the last option.
OPTIONS = 8
WAYS = ("change", "splice", "cut")


class Onward:
    """Replays a tape, and where it ends goes on with another chooser."""

    __slots__ = ("_left", "_tape", "_then")

    def __init__(self, tape: Tape, then: Chooser) -> None:
        self._tape = TapeChooser(tape)
        self._left = len(tape)
        self._then = then

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        if not self._left:
            return self._then.choose(n, kind, labels)
        self._left -= 1
        return self._tape.choose(n, kind, labels)


def mutant(corpus: Sequence[Tape], chance: Chooser) -> Chooser:
    """A run near one of the tapes of ``corpus``, which holds one at least; ``chance`` says near which, and how.

    - *change*: one choice is another, what follows stays;
    - *splice*: the beginning of the tape, then the rest of another one, as often as not from the same place on;
    - *cut*: the beginning of the tape, then ``chance`` goes on.
    """
    first = corpus[_below(chance, len(corpus), "tape")]
    at = _below(chance, len(first) + 1, "place")
    match WAYS[chance.choose(len(WAYS), "way", WAYS)]:
        case "change":
            return TapeChooser((*first[:at], chance.choose(OPTIONS, "change", ()), *first[at + 1 :]))
        case "splice":
            second = corpus[_below(chance, len(corpus), "tape")]
            there = at if chance.choose(2, "same place", ()) == 0 else _below(chance, len(second) + 1, "place")
            return TapeChooser(first[:at] + second[there:])
        case _:
            return Onward(first[:at], chance)


def _below(chance: Chooser, n: int, kind: str) -> int:
    """A number below ``n``, which is 1 at least: a choice among one is none."""
    return chance.choose(n, kind, ()) if n > 1 else 0
