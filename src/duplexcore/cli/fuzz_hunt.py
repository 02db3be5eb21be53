"""A hunt of `duplexcore fuzz`: one run after the other, what is told of it, and what is left behind."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from .console import Console
from .problems import INTERRUPTED, write

if TYPE_CHECKING:
    from duplexcore.testing.sim.hunting import Finding
    from duplexcore.testing.sim.reports import Found, Report

    from .fuzz_known import KnownFailure
    from .fuzz_subjects import Subject

__all__ = ["Hunt", "Plan"]


#: So many times the runs that were asked for are made at most, while a known failure of drawn calls has not come.
PATIENCE = 10


@dataclass(frozen=True)
class Plan:
    """How a hunt goes: where it begins, and where what it finds is put."""

    seed: int
    policy: str
    folder: Path
    reports: dict[str, Path]
    known: list[KnownFailure] = field(default_factory=list)
    jobs: int = 1


@dataclass
class Hunt:
    """Runs a subject, tells what is going on, keeps what fails."""

    subject: Subject
    plan: Plan
    console: Console = field(default_factory=lambda: Console(highlight=False))

    def __post_init__(self) -> None:
        from duplexcore.testing.sim.reports import Report

        self.report: Report = Report(self.subject.name, self.subject.checks)
        self._began = time.monotonic()
        self._shrinking = ""  # how far that is, while it goes on

    def go(self, runs: int | None, max_time: float | None) -> bool:
        """Whether something was found that is not known, or something known was not found. Ends with
        `click.exceptions.Exit` when a bounded hunt is stopped by Ctrl-C and has found nothing."""
        stopped = False
        with Live(console=self.console, get_renderable=self._line, refresh_per_second=4, transient=True) as live:
            try:
                for finding in self._findings(runs, max_time):
                    self._take(finding)
            except KeyboardInterrupt:
                stopped = True
            live.update(Text())
        self.report.seconds = time.monotonic() - self._began
        self.report.remarks = getattr(self.subject, "remarks", [])
        self._judge_known(ended=not stopped)
        self._say_all()
        if stopped and not self.failed and (runs or max_time is not None):
            raise click.exceptions.Exit(INTERRUPTED)
        return self.failed

    @property
    def failed(self) -> bool:
        report = self.report
        return bool(report.passed) or len(report.known) < len(report.found)

    def _findings(self, runs: int | None, max_time: float | None) -> Iterator[Finding]:
        from duplexcore.testing.sim.hunting import hunt
        from duplexcore.testing.sim.policies import Policy

        from .fuzz_phases import AddressSubject
        from .fuzz_subjects import InProcess

        policy, seeds = Policy(self.plan.policy), self._seeds(runs, max_time)
        if isinstance(self.subject, AddressSubject):
            in_time = partial(self._in_time, max_time)
            return self.subject.findings(seeds, policy, self._count, in_time, self._count_shrinking)
        if self.plan.jobs > 1:
            assert isinstance(self.subject, InProcess)
            return self.subject.hunted_together(seeds, jobs=self.plan.jobs, policy=policy, progress=self._count_lot)
        return hunt(
            self.subject,
            seeds,
            policy=policy,
            shrinking=self.subject.shrinking,
            progress=self._count,
            shrink_progress=self._count_shrinking,
        )

    def _judge_known(self, *, ended: bool) -> None:
        """Which failures that are known were not found, of checks that were made."""
        from .fuzz_known import still_failing

        found = [(one.case.number, one.case.message) for one in self.report.found]
        judged: set[str] = getattr(self.subject, "judged", set()) if ended else set()
        self.report.passed += still_failing(self.plan.known, found, judged)

    def _in_time(self, max_time: float | None) -> bool:
        return max_time is None or time.monotonic() - self._began < max_time

    def _seeds(self, runs: int | None, max_time: float | None) -> Iterator[int]:
        for seed in itertools.count(self.plan.seed):
            done = seed - self.plan.seed
            if not self._in_time(max_time) or (runs is not None and done >= runs and not self._awaits(done, runs)):
                return
            yield seed

    def _awaits(self, done: int, runs: int) -> bool:
        """Whether a known failure that needs a moment of its own is still to come: it has `PATIENCE` times the runs,
        where nothing is news."""
        from duplexcore.testing.blackbox import CHECKS

        report = self.report
        if done >= PATIENCE * runs or len(report.known) < len(report.found):
            return False
        found = [(one.case.number, one.case.message) for one in report.found]
        return any(one.check in CHECKS and not any(one.fits(*failure) for failure in found) for one in self.plan.known)

    def _count(self, runs: int) -> None:
        self._shrinking = ""
        self.report.runs = runs
        self.report.calls += self.subject.calls

    def _count_shrinking(self, runs: int, steps: int) -> None:
        self._shrinking = f"; made smaller in {runs:,} runs" + (f", {steps:,} steps are left" if steps else "")

    def _count_lot(self, runs: int, calls: int) -> None:
        self.report.runs += runs
        self.report.calls += calls

    def _take(self, finding: Finding) -> None:
        from duplexcore.testing.sim.reports import Found

        from .fuzz_known import which

        case = self.subject.case(finding)
        kept = self.subject.keep(case, self.plan.folder)
        _, picture = self.subject.again(case.tape)
        entry = which(self.plan.known, case.number, case.message)
        found = Found(case, picture, f"duplexcore fuzz replay {kept.case}", kept, None if entry is None else entry.why)
        self.report.found.append(found)
        self._show(found)

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _line(self) -> Text:
        report, seconds = self.report, time.monotonic() - self._began
        rate = report.calls / seconds if seconds else 0.0
        return Text(
            f"{report.target}: {report.runs:,} runs, {report.calls:,} calls, {rate:,.0f} calls/s, "
            f"{len(report.checks)} checks, {len(report.found)} findings{self._shrinking}"
        )

    def _show(self, found: Found) -> None:
        case, show = found.case, self.console.print
        if found.known is not None:
            show(f"[yellow]known: {escape(case.message)}[/] ({escape(found.known)})\n", soft_wrap=True)
            return
        show(f"[red]{escape(case.message)}[/]", soft_wrap=True)
        if case.race is not None:
            show(f"the race: {escape(case.race.told)}", soft_wrap=True)
        show(escape(found.picture), soft_wrap=True, end="")
        if found.kept is not None and found.kept.page is not None:
            show(f"page:   {escape(str(found.kept.page))}", soft_wrap=True)
            show(f"test:   {escape(str(found.kept.test))}", soft_wrap=True)
        show(f"again:  {escape(found.again)}\n", soft_wrap=True)

    def _say_all(self) -> None:
        from duplexcore.testing.sim.reports import to_html, to_junit, to_ndjson

        report = self.report
        known = len(report.known)
        failures = len(report.found) - known
        colour, verdict = ("red", f"{failures} failures") if failures else ("green", "nothing found")
        for line in report.remarks:
            self.console.print(escape(line), soft_wrap=True)
        for line in report.passed:
            self.console.print(f"[red]{escape(line)}[/]", soft_wrap=True)
        if known or report.passed:
            colour = "red" if self.failed else "green"
            verdict += f", {known} known" + (f", {len(report.passed)} known that pass" if report.passed else "")
        rate = report.calls / report.seconds if report.seconds else 0.0
        self.console.print(
            f"[{colour}]{verdict}[/] in {report.runs:,} runs, {report.calls:,} calls, {report.seconds:.1f} s "
            f"({rate:,.0f} calls/s), {len(report.checks)} checks",
            soft_wrap=True,
        )
        writers = {"junit": to_junit, "ndjson": to_ndjson, "html": to_html}
        for form, path in self.plan.reports.items():
            write(path, writers[form](report))
