"""The client of the suite: runs cases one after another, and says of each how it went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

import anyio

from duplexcore import RpcError
from duplexcore_anyio import ConnectError

from .case import Case, CaseFailed, CaseOptions, CaseRun, CaseSkipped, Target

__all__ = ["Outcome", "Verdict", "run_case", "run_cases"]


class Verdict(Enum):
    """How a case went."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case that was run, the seconds that it took, and what there is to say, as pairs of a heading and a text."""

    case: Case
    verdict: Verdict
    seconds: float
    details: tuple[tuple[str, str], ...] = ()
    #: What was raised, if it was no verdict of the case: for who looks for a mistake in it.
    error: Exception | None = None


async def run_cases(
    cases: Iterable[Case],
    target: Target,
    options: CaseOptions,
    *,
    say: Callable[[str], None] | None = None,
    done: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Runs the cases in order. ``say`` is told progress, ``done`` each outcome as it comes. Whatever the server does is
    an outcome, and none takes longer than its case may."""
    outcomes: list[Outcome] = []
    for case in cases:
        outcomes.append(await run_case(case, CaseRun(target, options, say)))
        done(outcomes[-1])
    return outcomes


async def run_case(case: Case, run: CaseRun) -> Outcome:
    """One case, within its time."""
    limit = case.limit(run.options)
    raised: Exception | None = None
    start = time.monotonic()
    with anyio.move_on_after(limit) as scope:
        try:
            await case.run(run)
        except Exception as error:
            raised = _first(error)
    seconds = time.monotonic() - start
    if scope.cancelled_caught:
        late = _failure(run.doing, "an end", f"nothing for so long that the case was {limit:g} s old")
        return Outcome(case, Verdict.FAILED, seconds, late)
    if raised is None:
        return Outcome(case, Verdict.PASSED, seconds)
    if isinstance(raised, CaseSkipped):
        return Outcome(case, Verdict.SKIPPED, seconds, (("why", str(raised)),))
    return Outcome(case, Verdict.FAILED, seconds, _explain(raised, run), raised)


def _first(error: Exception) -> Exception:
    """Of tasks that fail together, one speaks."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _explain(error: Exception, run: CaseRun) -> tuple[tuple[str, str], ...]:
    match error:
        case CaseFailed():
            return _failure(error.what, error.expected, error.came, error.rule)
        case ConnectError():
            return _failure(f"connecting to {run.target.address}", "a connection", str(error))
        case RpcError():
            return _failure(run.doing, "OK", str(error.status))
        case _:
            return _failure(run.doing, "no surprise", f"{type(error).__name__}: {error}")


def _failure(what: str, expected: str, came: str, rule: str = "") -> tuple[tuple[str, str], ...]:
    rows = (("what", what), ("expected", expected), ("came", came), ("rule", rule))
    return tuple((heading, text) for heading, text in rows if text)
