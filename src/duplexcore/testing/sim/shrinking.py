"""Makes a failing run smaller: the same property still fails, in fewer steps, and with duller choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from .choosing import Chooser, Tape, TapeChooser
from .mirrored import mirrored
from .properties import PropertyError
from .smaller import WAYS, Plan, Run, Way, strays
from .turns import TooLongError, TurnRecorder

__all__ = ["Target", "fails", "shrink", "trimmed"]

#: Runs one simulation, all of it by the chooser; raises `PropertyError` when it shows a fault. What it returns is of no
#: interest here.
Target = Callable[[Chooser], Any]


class Failed(NamedTuple):
    """A run that has failed, and how."""

    error: PropertyError
    run: Run


def fails(target: Target, tape: Tape) -> tuple[PropertyError, Tape] | None:
    """The failure that a tape leads to, and the tape as it was used; None when nothing fails."""
    failed = _failed(target, TapeChooser(tape))
    return None if failed is None else (failed.error, failed.run.tape)


def shrink(
    target: Target,
    tape: Tape,
    *,
    budget: int = 5_000,
    kind: Callable[[PropertyError], object] = attrgetter("number"),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[PropertyError, Tape]:
    """The smallest run found within ``budget`` runs in which the same property fails, as a tape; see `Run.size`.

    It ends when no way to make it smaller leads further. ``kind``: what else must be the same of both failures.
    ``progress`` is called with the number of runs and the steps of the smallest after each. Raises ValueError when the
    tape that is given does not fail.
    """
    failed = _failed(target, TapeChooser(tape))
    if failed is None:
        raise ValueError("this tape does not fail")
    search = _Search(target, failed, budget, kind, progress)
    search.goes_on()
    search.goes_round(mirrored)
    while search.leads([strays]):
        search.goes_on()
    return search.best.error, search.best.run.tape


class _Search:
    """What has been tried, and the best of it."""

    def __init__(
        self,
        target: Target,
        best: Failed,
        budget: int,
        kind: Callable[[PropertyError], object],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.best = self._now = best
        self._target = target
        self._kind = kind
        self._budget = budget
        self._progress = progress
        self._seen: set[Plan] = set()

    def goes_on(self) -> None:
        """Until no way leads further."""
        while self.leads(WAYS):
            pass

    def goes_round(self, way: Way) -> None:
        """By what may be larger at first, each until no way leads further."""
        for plan in way(lambda: self.best.run):
            if len(self._seen) < self._budget and (found := self._tried(plan)) is not None:
                self._now = found
                self.goes_on()
                self._now = self.best

    def leads(self, ways: Sequence[Way]) -> bool:
        """Whether these ways, one after the other, have led to a smaller run."""
        before = self._now
        for way in ways:
            for plan in way(lambda: self._now.run):
                if len(self._seen) >= self._budget:
                    return False
                found = self._tried(plan, len(self._now.run.turns))
                if found is not None and found.run.size < self._now.run.size:
                    self._now = found
        return self._now is not before

    def _tried(self, plan: Plan, most: int | None = None) -> Failed | None:
        """The run of a plan, with so many turns at most, if it fails as the others do and has not been tried."""
        if plan in self._seen:
            return None
        self._seen.add(plan)
        found = _failed(self._target, plan.chooser(), most)
        if found is not None and self._kind(found.error) != self._kind(self.best.error):
            found = None
        if found is not None and found.run.size < self.best.run.size:
            self.best = found
        if self._progress is not None:
            self._progress(len(self._seen), self.best.run.steps)
        return found


def trimmed(tape: Tape) -> Tape:
    """Without the zeros at its end, which a replay takes anyway."""
    end = len(tape)
    while end and not tape[end - 1]:
        end -= 1
    return tape[:end]


def _failed(target: Target, chooser: Chooser, most: int | None = None) -> Failed | None:
    """The failure of a run with so many turns at most; None: there is none."""
    recorder = TurnRecorder(chooser, most)
    try:
        target(recorder)
    except TooLongError:
        return None
    except PropertyError as error:
        return Failed(error, Run(trimmed(recorder.tape), recorder.turns))
    return None
