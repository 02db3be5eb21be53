"""`duplexcore fuzz worker` and `pull`: many machines look for faults together, developers take home what they found."""

from __future__ import annotations

import importlib.util
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from .console import Console
from .fuzz_app import cases_option, engine_options
from .fuzz_app import run as fuzz_run
from .fuzz_hunt import Hunt, Plan
from .problems import check_writable

if TYPE_CHECKING:
    from hypothesis.database import ExampleDatabase

    from duplexcore.testing.sim.sharing import Bounds, Failure
    from duplexcore.testing.sim.targets import EngineOptions
    from duplexcore.testing.sim.workers import Worker

    from .fuzz_subjects import InProcess

__all__ = ["pull", "worker"]

#: What a run contains and where its failures go is said as in `duplexcore fuzz run`; not so these.
NOT_SHARED = {"seed", "runs", "max_time", "method", "kind", "message", "timeout", "authority", "mine"}
#: Seconds between two lines of progress where nobody watches.
LINE_EVERY = 30.0

database_option = click.option(
    "--db",
    "address",
    required=True,
    envvar="DUPLEXCORE_FUZZ_DB",
    show_envvar=True,
    metavar="ADDRESS",
    help="What is shared: redis://HOST:PORT/NUMBER, or a folder.",
)


@click.command()
@database_option
@click.option(
    "--read",
    multiple=True,
    metavar="ADDRESS",
    help="A database that is read beside --db, and not written to; may be said often.",
)
@click.option(
    "--index",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    envvar="JOB_COMPLETION_INDEX",
    show_envvar=True,
    help="Which worker this is.",
)
@click.option("--of", "workers", type=click.IntRange(1), default=1, show_default=True, help="How many there are.")
@click.option("--runs", type=click.IntRange(1), help="At most.")
@click.option("--max-time", type=click.FloatRange(0), metavar="SECONDS", help="At most. [default: until SIGTERM]")
@click.option(
    "--per-property", type=click.IntRange(1), default=3, show_default=True, help="Failures kept of each, at most."
)
def worker(
    address: str,
    read: tuple[str, ...],
    index: int,
    workers: int,
    runs: int | None,
    max_time: float | None,
    per_property: int,
    **given: Any,
) -> None:
    """Look for faults in TARGET together with other workers, on this machine or on others.

    Each worker takes every so many-th seed, by --index and --of, so nobody has to give out work. In --db they share
    the tapes that reached something new, which the others replay and change a little, and the failures, once each.
    Without the database a worker goes on alone, and comes back when it answers.

    \b
    Two on this machine
        duplexcore fuzz worker engine --db .fuzz --index 0 --of 2 --max-time 600
        duplexcore fuzz worker engine --db .fuzz --index 1 --of 2 --max-time 600

    SIGTERM and Ctrl-C end it, after it has shared what it has; a second one at once. The exit code is 1 also when it
    met nothing but failures that others had found before.
    """
    if index >= workers:
        raise click.UsageError(f"--index {index} --of {workers}: the index is from 0 to {workers - 1}")
    _check_packages()
    from duplexcore.testing.sim.sharing import Bounds

    for path in given["reports"].values():
        check_writable(path)
    subject = _subject(given["target"], engine_options(given))
    database = _database(address, read)
    plan = Plan(seed=index, policy=given["policy"], folder=given["folder"], reports=given["reports"])
    shift = Shift(subject, database, plan, workers, Bounds(per_property=per_property))
    if shift.go(runs, max_time):
        raise click.exceptions.Exit(1)


worker.params[:0] = [param for param in fuzz_run.params if param.name not in NOT_SHARED]


@click.command()
@click.argument("target", required=False)
@database_option
@cases_option
@click.option("--forget-fixed", is_flag=True, help="Take those that fail no more out of the database.")
def pull(target: str | None, address: str, folder: Path, forget_fixed: bool) -> None:
    """Take the failures that workers have found home, as cases for `duplexcore fuzz replay`.

    Of TARGET, or of all in the database whose targets are here. Each is run once: it is FAILED or FIXED. The exit code
    is 1 when one still fails.
    """
    _check_packages()
    from duplexcore.testing.sim.databases import DatabaseError

    database = _database(address, ())
    console = Console(highlight=False)
    try:
        outcomes = list(_pulled(database, target, folder, forget_fixed, console))
    except DatabaseError as error:
        raise _unusable(str(error)) from error
    console.print(f"{len(outcomes)} cases, {sum(outcomes)} of them fail; they are in {escape(str(folder))}")
    if any(outcomes):
        raise click.exceptions.Exit(1)


def _pulled(
    database: ExampleDatabase, target: str | None, folder: Path, forget_fixed: bool, console: Console
) -> Iterator[bool]:
    """Of each failure, whether it still fails."""
    from duplexcore.testing.sim.sharing import shelves

    from .fuzz_subjects import Unusable

    for shelf in shelves(database):
        if target not in (None, shelf.target):
            continue
        try:
            subject = _subject(shelf.target, shelf.options)
        except Unusable as problem:
            if target is not None:
                raise
            console.print(f"[yellow]left out[/]  {escape(problem.message)}", soft_wrap=True)
            continue
        for failure in shelf.failures():
            case = failure.case(shelf.target, shelf.options)
            subject.keep(case, folder)
            error, _ = subject.again(case.tape)
            verdict = "[green]FIXED[/] " if error is None else "[red]FAILED[/]"
            console.print(f"{verdict}  {escape(case.name)}  {escape(failure.message)}", soft_wrap=True)
            if forget_fixed and error is None:
                shelf.take_away(failure)
            yield error is not None


# --- a worker's time --------------------------------------------------------------------------------------------------


class Shift(Hunt):
    """A worker from its beginning to its end: what it says, keeps and reports."""

    def __init__(self, subject: InProcess, database: ExampleDatabase, plan: Plan, workers: int, bounds: Bounds) -> None:
        super().__init__(subject, plan)
        from duplexcore.testing.sim.novelty import Turns
        from duplexcore.testing.sim.novelty_coverage import Covered
        from duplexcore.testing.sim.policies import Policy
        from duplexcore.testing.sim.sharing import Shelf
        from duplexcore.testing.sim.targets import maker
        from duplexcore.testing.sim.workers import Worker

        self._options = subject.options
        self._stopped_by: Callable[[], bool] = lambda: False
        self._until = float("inf")
        self._said = time.monotonic()
        self._called = f"worker {plan.seed} of {workers}"
        self._worker: Worker = Worker(
            maker(subject.name),
            Shelf(database, subject.name, subject.options, bounds),
            index=plan.seed,
            workers=workers,
            policy=Policy(plan.policy),
            novelty=Covered if subject.name == "engine" else Turns,
            shrinking=subject.shrinking,
            stopped=self._stopped,
            tell=lambda text: self.console.print(f"[yellow]{escape(text)}[/]", soft_wrap=True),
        )

    def go(self, runs: int | None, max_time: float | None) -> bool:
        """Whether something failed, known or not."""
        if max_time is not None:
            self._until = self._began + max_time
        with (
            _stoppable() as self._stopped_by,
            Live(console=self.console, get_renderable=self._line, refresh_per_second=4, transient=True) as live,
        ):
            for failure in self._worker.begin():
                self.console.print(f"[red]known[/]  {escape(failure.message)}", soft_wrap=True)
            while not self._stopped() and (runs is None or self._worker.tally.runs < runs):
                if (new := self._worker.once()) is not None:
                    self._keep(new)
                self._say_now_and_then()
            self._worker.end()
            live.update(Text())
        tally = self._worker.tally
        self.report.runs, self.report.calls = tally.runs, tally.calls
        self.report.seconds = time.monotonic() - self._began
        self.console.print(self._line(), soft_wrap=True)
        if tally.full:
            self.console.print("[yellow]the database takes no more tapes[/]")
        if tally.met and not self.report.found:
            self.console.print(f"[red]{tally.met} runs failed[/], in ways that were known; besides them:")
        self._say_all()
        return tally.met > 0

    def _stopped(self) -> bool:
        return self._stopped_by() or time.monotonic() >= self._until

    def _keep(self, failure: Failure) -> None:
        from duplexcore.testing.sim.reports import Found

        case = failure.case(self.subject.name, self._options)
        kept = self.subject.keep(case, self.plan.folder)
        _, picture = self.subject.again(case.tape)
        found = Found(case, picture, f"duplexcore fuzz replay {kept.case}", kept)
        self.report.found.append(found)
        self._show(found)

    def _say_now_and_then(self) -> None:
        if not self.console.is_terminal and time.monotonic() - self._said >= LINE_EVERY:
            self._said = time.monotonic()
            self.console.print(self._line(), soft_wrap=True)

    def _line(self) -> Text:
        tally, seconds = self._worker.tally, time.monotonic() - self._began
        return Text(
            f"{self._called}: {tally.runs:,} runs, {tally.runs / max(seconds, 0.001):,.0f}/s, "
            f"{tally.replayed:,} replayed, {tally.mutated:,} mutated, "
            f"{tally.corpus:,} tapes ({tally.others:,} of others), {tally.marks:,} marks, "
            f"{tally.known:,} failures known, {tally.found:,} found here{', alone' if tally.alone else ''}"
        )


@contextmanager
def _stoppable() -> Generator[Callable[[], bool]]:
    """Whether SIGTERM or Ctrl-C has come; a second one does what it does elsewhere."""
    come: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def take(number: int, _: object) -> None:
        come.append(number)
        for one, handler in before.items():
            signal.signal(one, handler)

    for one in (signal.SIGTERM, signal.SIGINT):
        before[one] = signal.signal(one, take)
    try:
        yield lambda: bool(come)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


# --- what was asked ---------------------------------------------------------------------------------------------------


def _check_packages() -> None:
    """Raises `Unusable`."""
    if importlib.util.find_spec("hypothesis") is None:
        raise _unusable("workers share through hypothesis, which is not installed", "pip install 'duplexcore[testing]'")


def _subject(target: str, options: EngineOptions) -> InProcess:
    """Raises `Unusable`, click.UsageError."""
    from .fuzz_address import is_address
    from .fuzz_subjects import in_process

    if is_address(target):
        raise click.UsageError(f"{target!r} is a server: workers share tapes of what runs in this process")
    return in_process(target, options)


def _database(address: str, read: tuple[str, ...]) -> ExampleDatabase:
    """Raises `Unusable`, click.UsageError."""
    from duplexcore.testing.sim.databases import DatabaseError, MissingPackageError, opened

    try:
        return opened(address, read)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except MissingPackageError as error:
        raise _unusable(str(error), f"pip install 'duplexcore[{error.extra}]'") from error
    except DatabaseError as error:
        raise _unusable(str(error), "is the server running, and are address and password right?") from error


def _unusable(text: str, hint: str = "") -> click.ClickException:
    from .fuzz_subjects import Unusable

    return Unusable(text, hint)
