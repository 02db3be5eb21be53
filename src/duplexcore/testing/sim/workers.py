"""One of many workers that look for faults together: in its own seeds, and near the tapes that others found worth it.

There is nobody who gives out work: worker ``index`` of ``workers`` takes every so many-th seed. What is shared, tapes
that reached something new and failures, goes through a database (`Shelf`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .choosing import Chooser, Recorder, Tape, TapeChooser
from .exchange import Exchange
from .hunting import seeds
from .mutating import mutant
from .novelty import Cells, Novelty
from .policies import Policy, PrngChooser
from .properties import PropertyError
from .sharing import Failure, Shelf
from .shrinking import shrink, trimmed
from .targets import Maker

__all__ = ["Tally", "Worker"]


@dataclass(frozen=True, slots=True)
class Tally:
    """How far a worker is.

    ``runs``, and the ``calls`` in them; ``replayed``: those among them that were tapes of others; ``mutated``: those
    near a tape; ``corpus``: tapes worth keeping, ``others``: those among them that came from others; ``marks``: what
    was reached; ``found``: failures that this worker was the first to find; ``known``: all that are known; ``met``:
    runs that failed, those of known failures included. ``alone``: the database does not answer; ``full``: it takes no
    more tapes.
    """

    runs: int
    calls: int
    replayed: int
    mutated: int
    corpus: int
    others: int
    marks: int
    found: int
    known: int
    met: int
    alone: bool
    full: bool


class Worker:
    """Looks for faults in a target, `once` after the other.

    ``make`` is the target's; what runs are like is the shelf's to say. ``shrinking``: how many runs making a failure
    small may take; ``stopped``: asked between two runs, also while a failure is made small, which then stays as it is;
    ``tell`` hears in a sentence what should be known, such as that the database is gone.
    """

    def __init__(
        self,
        make: Maker,
        shelf: Shelf,
        *,
        index: int = 0,
        workers: int = 1,
        policy: Policy = Policy.MIX,
        novelty: Novelty = Cells,
        shrinking: int = 5_000,
        stopped: Callable[[], bool] = lambda: False,
        tell: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= index < workers:
            raise ValueError(f"worker {index} of {workers}: the index is from 0 to {workers - 1}")
        self._make = make
        self._shelf = shelf
        self._seeds = seeds(index, workers)
        self._policy = policy
        self._novelty = novelty
        self._shrinking = shrinking
        self._stopped = stopped
        self._exchange = Exchange(shelf, clock=clock, tell=tell)
        self._corpus: list[Tape] = []
        self._marks: set[Any] = set()
        self._met: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    # --- what it does -------------------------------------------------------------------------------------------------

    def begin(self) -> Iterable[Failure]:
        """Takes what others have left, and yields those of their failures that still fail here."""
        self._exchange.look()
        for failure in list(self._exchange.known.values()):
            if self._stopped():
                return
            try:
                self._target()(TapeChooser(failure.tape))
            except PropertyError as error:
                self._met[error.number] += 1
                yield failure

    def once(self) -> Failure | None:
        """One run, and a look at what others have, if it is time. A failure that nobody knew, small."""
        self._exchange.look_if_due()
        self._counts["runs"] += 1
        return self._run(self._next())

    def end(self) -> None:
        """Gives what it still has."""
        self._exchange.look()

    @property
    def tally(self) -> Tally:
        counts, exchange = self._counts, self._exchange
        return Tally(
            runs=counts["runs"],
            calls=counts["calls"],
            replayed=counts["replayed"],
            mutated=counts["mutated"],
            corpus=len(self._corpus),
            others=counts["others"],
            marks=len(self._marks),
            found=counts["found"],
            known=len(exchange.known),
            met=self._met.total(),
            alone=exchange.alone,
            full=exchange.full,
        )

    # --- runs ---------------------------------------------------------------------------------------------------------

    def _next(self) -> Chooser:
        """In turns: a seed of its own; a tape of others as it is, while there are some; one near the corpus."""
        turn = self._counts["runs"] % 3
        if turn == 1 and self._exchange.come:
            self._counts["replayed"] += 1
            return _Given(self._exchange.come.popleft())
        chance = PrngChooser(next(self._seeds), self._policy)
        if turn and self._corpus:
            self._counts["mutated"] += 1
            return mutant(self._corpus, chance)
        return chance

    def _run(self, chooser: Chooser) -> Failure | None:
        marks = self._novelty()
        recorder = Recorder(marks.overhearing(chooser))
        target = self._make(self._shelf.options, lambda: marks.watchers)
        try:
            target(recorder)
        except PropertyError as error:
            self._met[error.number] += 1
            return self._failed(error, trimmed(recorder.tape))
        finally:
            self._counts["calls"] += 0 if target.simulation is None else len(target.simulation.clients)
        bounds = self._shelf.bounds
        if len(self._marks) < bounds.marks and len(self._corpus) < bounds.tapes and not marks.marks <= self._marks:
            self._marks |= marks.marks
            self._corpus.append(trimmed(recorder.tape))
            if isinstance(chooser, _Given):
                self._counts["others"] += 1
            else:
                self._exchange.offer_tape(self._corpus[-1])
        return None

    def _failed(self, error: PropertyError, tape: Tape) -> Failure | None:
        if self._exchange.is_known(error.number, tape):
            return None
        failure = self._smallest(error, tape)
        if not self._exchange.claim(failure):
            return None
        self._counts["found"] += 1
        return failure

    def _smallest(self, error: PropertyError, tape: Tape) -> Failure:
        target, begun = self._target(), False

        def unless_stopped(chooser: Chooser) -> None:
            nonlocal begun
            if not (begun and self._stopped()):  # what has been stopped fails no more, so nothing gets smaller
                begun = True
                target(chooser)

        try:
            smallest, tape = shrink(unless_stopped, tape, budget=self._shrinking)
        except ValueError:
            return Failure(error.number, f"{error} (not when it was run again: something here is left to chance)", tape)
        return Failure(smallest.number, str(smallest), tape)

    def _target(self) -> Callable[[Chooser], Any]:
        return self._make(self._shelf.options, tuple)


class _Given(TapeChooser):
    """A tape that came from others."""

    __slots__ = ()
