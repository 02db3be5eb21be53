"""A hunt in several processes: seeds go out in small lots, what is found comes back."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import get_context

from .hunting import Finding, hunt
from .policies import Policy
from .targets import EngineOptions, maker

__all__ = ["hunt_together"]

#: Seeds that a process takes at a time.
LOT = 50


@dataclass(frozen=True, slots=True)
class _Lot:
    """Some seeds, and all that is needed to run them."""

    target: str
    options: EngineOptions
    seeds: tuple[int, ...]
    policy: Policy
    shrinking: int
    known: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Done:
    """What came of a lot."""

    runs: int
    calls: int
    findings: tuple[Finding, ...]


def hunt_together(
    target: str,
    options: EngineOptions,
    source: Iterable[int],
    *,
    jobs: int,
    policy: Policy = Policy.MIX,
    shrinking: int = 5_000,
    progress: Callable[[int, int], None],
) -> Iterator[Finding]:
    """As `duplexcore.testing.sim.hunting.hunt` of the target with that name, in ``jobs`` processes.

    ``progress`` is told of the runs and calls of each lot. Raises `NoTargetError`.
    """
    maker(target)  # a wrong name is told here, not by every process
    seeds, known, runs = iter(source), set[str](), 0
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (list(sys.path),)) as pool:
        waiting: set[Future[_Done]] = set()
        try:
            while True:
                while len(waiting) < 2 * jobs and (lot := tuple(islice(seeds, LOT))):
                    waiting.add(pool.submit(_run, _Lot(target, options, lot, policy, shrinking, frozenset(known))))
                if not waiting:
                    return
                over, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for done in [one.result() for one in over]:
                    progress(done.runs, done.calls)
                    for finding in done.findings:
                        if finding.number not in known:
                            known.add(finding.number)
                            yield replace(finding, runs=runs + finding.runs)
                    runs += done.runs
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin(path: list[str]) -> None:
    """Modules are found as in the process that hunts; Ctrl-C is its business."""
    sys.path[:] = path
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(lot: _Lot) -> _Done:
    target = maker(lot.target)(lot.options, tuple)
    calls = 0

    def count(_: int) -> None:
        nonlocal calls
        calls += 0 if target.simulation is None else len(target.simulation.clients)

    found = tuple(hunt(target, lot.seeds, policy=lot.policy, shrinking=lot.shrinking, progress=count, known=lot.known))
    return _Done(len(lot.seeds), calls, found)
