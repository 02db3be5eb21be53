"""Makes a failing tape smaller: the same property still fails, with fewer and duller choices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from .choosing import Chooser, Recorder, Tape, TapeChooser
from .properties import PropertyError

__all__ = ["Target", "fails", "shrink"]

#: Runs one simulation, all of it by the chooser; raises `PropertyError` when it shows a fault. What it returns is of no
#: interest here.
Target = Callable[[Chooser], Any]


def fails(target: Target, tape: Tape) -> tuple[PropertyError, Tape] | None:
    """The failure that a tape leads to, and the tape as it was used; None when nothing fails."""
    recorder = Recorder(TapeChooser(tape))
    try:
        target(recorder)
    except PropertyError as error:
        return error, trimmed(recorder.tape)
    return None


def shrink(
    target: Target, tape: Tape, *, budget: int = 5_000, kind: Callable[[PropertyError], object] = attrgetter("number")
) -> tuple[PropertyError, Tape]:
    """The smallest tape found within ``budget`` runs on which the same property fails: shorter first, then smaller.

    ``kind``: what else must be the same of both failures. Raises ValueError when the tape that is given does not fail.
    """
    found = fails(target, tape)
    if found is None:
        raise ValueError("this tape does not fail")
    same, (_, best) = kind(found[0]), found
    seen: set[Tape] = set()
    improved = True
    while improved and len(seen) < budget:
        improved = False
        for candidate in _candidates(lambda: best):  # noqa: B023 - it is to see the newest
            if len(seen) >= budget:
                break
            if candidate in seen or _size(candidate) >= _size(best):
                continue
            seen.add(candidate)
            smaller = fails(target, candidate)
            if smaller is not None and kind(smaller[0]) == same and _size(smaller[1]) < _size(best):
                found, best, improved = smaller, smaller[1], True
    return found


def trimmed(tape: Tape) -> Tape:
    """Without the zeros at its end, which a replay takes anyway."""
    end = len(tape)
    while end and not tape[end - 1]:
        end -= 1
    return tape[:end]


def _size(tape: Tape) -> tuple[int, int, Tape]:
    return len(tape), sum(tape), tape


def _candidates(current: Callable[[], Tape]) -> Iterator[Tape]:
    """Smaller neighbours of the tape, which may change under it: spans left out, spans zeroed, numbers lowered."""
    for make in (_without, _zeroed):
        size = max(1, len(current()) // 2)
        while size:
            at = 0
            while at < len(current()):
                before = current()
                yield make(before, at, size)
                if current() is before:
                    at += size
            size //= 2
    for at in range(len(current())):
        value = current()[at] if at < len(current()) else 0
        for lower in sorted({0, value // 2, value - 1}):
            if 0 <= lower < value and at < len(current()):
                yield (*current()[:at], lower, *current()[at + 1 :])
                # One less here may ask for one choice less behind.
                yield (*current()[:at], lower, *current()[at + 2 :])


def _without(tape: Tape, at: int, size: int) -> Tape:
    return tape[:at] + tape[at + size :]


def _zeroed(tape: Tape, at: int, size: int) -> Tape:
    return tape[:at] + (0,) * min(size, len(tape) - at) + tape[at + size :]
