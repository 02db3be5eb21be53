"""`duplexcore interop client`: runs the cases, and tells how they went."""

from __future__ import annotations

import textwrap
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence

import click

from duplexcore.interop.case import Case, CaseFailed, CaseOptions, CaseRun, Target
from duplexcore.interop.client import Outcome, Verdict, run_cases
from duplexcore.interop.suites import SUITES

__all__ = ["NOTHING_RAN", "exit_code", "list_cases", "run_and_tell"]

#: All that was asked for was skipped. The number by which test runners know a skip (automake, meson).
NOTHING_RAN = 77


async def run_and_tell(cases: Sequence[Case], target: Target, options: CaseOptions, *, debug: bool) -> int:
    """A line for each case, what there is to say below it, at last the sum; progress goes to stderr. The exit code."""
    _check(target)
    width = max(len(case.name) for case in cases)

    def tell(outcome: Outcome) -> None:
        click.echo(f"{outcome.case.name:{width}}  {outcome.verdict.value:7}  {outcome.seconds * 1000:6.0f} ms")
        for heading, text in outcome.details:
            click.echo(_indented(f"{heading:8}  ", text))
        if debug and outcome.error is not None and not isinstance(outcome.error, CaseFailed):
            click.echo("".join(traceback.format_exception(outcome.error)), err=True)

    def say(progress: str) -> None:
        click.echo(progress, err=True)

    outcomes = await run_cases(cases, target, options, say=say, done=tell)
    counted = Counter(outcome.verdict for outcome in outcomes)
    if len(outcomes) > 1:
        click.echo(", ".join(f"{counted[verdict]} {verdict.value}" for verdict in Verdict))
    return exit_code(outcomes)


def _check(target: Target) -> None:
    """Names that can be no server are wrong use; servers that cannot be reached fail their cases."""
    try:
        CaseRun(target).connect()
    except ValueError as error:
        raise click.UsageError(f"--server_host, --server_host_override: {error}") from None


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """0: what was run has passed; 1: something failed; NOTHING_RAN: all of it was skipped."""
    verdicts = {outcome.verdict for outcome in outcomes}
    if Verdict.FAILED in verdicts:
        return 1
    return 0 if Verdict.PASSED in verdicts else NOTHING_RAN


def list_cases(cases: Sequence[Case]) -> None:
    """Each case: its name, what it shows, by which rules; under a heading where a suite begins."""
    width = max(len(case.name) for case in cases)
    begins = {suite[0].name: name for name, suite in SUITES.items() if set(suite) <= set(cases)}
    for case in cases:
        if case.name in begins:
            click.echo(f"--test_case {begins[case.name]}")
        rules = f" [{', '.join(case.rules)}]" if case.rules else ""
        click.echo(f"  {case.name:{width}}  {case.summary}{rules}")


def _indented(heading: str, text: str) -> str:
    """Lines of their own stay so."""
    return textwrap.indent(heading + text.replace("\n", "\n" + " " * len(heading)), "    ")
