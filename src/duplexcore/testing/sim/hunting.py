"""Looks for faults: runs a target with one seed after the other, and makes what it finds small."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .choosing import Recorder, Tape
from .policies import Policy, PrngChooser
from .properties import PropertyError
from .shrinking import Target, shrink

__all__ = ["Finding", "hunt", "seeds"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault: which property does not hold, the seed that led to it, and the smallest tape that does.

    ``runs``: in the how manyth run it was found; ``choices``: how many the run with the seed had.
    """

    number: str
    message: str
    seed: int
    policy: Policy
    tape: Tape
    runs: int
    choices: int


def seeds(worker: int = 0, workers: int = 1) -> Iterator[int]:
    """Every seed once among so many workers, without a word between them."""
    return itertools.count(worker, workers)


def hunt(
    target: Target,
    source: Iterable[int],
    *,
    policy: Policy = Policy.MIX,
    shrinking: int = 5_000,
    progress: Callable[[int], None] | None = None,
    shrink_progress: Callable[[int, int], None] | None = None,
    known: Iterable[str] = (),
) -> Iterator[Finding]:
    """The faults that the seeds of ``source`` lead to, each kind (by its property) once, and none that is ``known``.

    ``progress`` is called with the number of runs after each; raise in it, or stop iterating, to end the hunt.
    ``shrink_progress``: as the ``progress`` of `shrink`, while a fault is made smaller.
    """
    known = set(known)
    for runs, seed in enumerate(source, 1):
        recorder = Recorder(PrngChooser(seed, policy))
        try:
            target(recorder)
        except PropertyError as error:
            if error.number not in known:
                known.add(error.number)
                choices = len(recorder.tape)
                smallest, tape = shrink(target, recorder.tape, budget=shrinking, progress=shrink_progress)
                yield Finding(smallest.number, str(smallest), seed, policy, tape, runs, choices)
        if progress is not None:
            progress(runs)
