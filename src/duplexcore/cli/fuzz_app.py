"""`duplexcore fuzz`: runs with every order of things, what they show as pictures, and again as often as wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.markup import escape

from .console import Console
from .fuzz_hunt import Hunt, Plan
from .fuzz_options import metadata_option, mine_option, pid_option, server_options
from .problems import check_writable, write

if TYPE_CHECKING:
    from duplexcore.testing.sim.cases import Case
    from duplexcore.testing.sim.targets import EngineOptions

    from .fuzz_address import AddressOptions
    from .fuzz_subjects import Subject

__all__ = ["fuzz"]

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
CASES = Path(".duplexcore") / "cases"
POLICIES = ("mix", "weighted", "swarm", "pct", "urw")
FORMATS = ("junit", "ndjson", "html")
#: How often a replay runs a case, to tell a flaky one.
TIMES = 5
#: Runs of `fuzz run`, where neither runs nor time are given: in process, and over a socket.
RUNS, RUNS_ADDRESS = 5_000, 200
JOBS_ARE_FOR = "--jobs is for the engine, and for targets derived from it"


class Reports(click.ParamType):  # type: ignore[type-arg] # generic from click 8.4 on
    """``junit=FILE,ndjson=FILE,html=FILE``, in any number."""

    name = "reports"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Path]:
        if isinstance(value, dict):
            return value
        found = {}
        for piece in str(value).split(","):
            form, _, path = piece.partition("=")
            if form not in FORMATS or not path:
                self.fail(f"{piece!r} is not one of {', '.join(f'{one}=FILE' for one in FORMATS)}", param, ctx)
            found[form] = Path(path)
        return found


def _options(*all_of_them: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for one in reversed(all_of_them):
            function = one(function)
        return function

    return apply


cases_option = click.option(
    "--cases",
    "folder",
    type=FOLDER,
    default=CASES,
    show_default=True,
    metavar="DIR",
    help="Where failing cases are kept.",
)

hunting = _options(
    click.argument("target", metavar="TARGET"),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first seed."),
    click.option(
        "--policy", type=click.Choice(POLICIES), default="mix", show_default=True, help="How steps are taken."
    ),
    click.option(
        "--calls", type=click.IntRange(1, 100), default=4, show_default=True, help="On a connection, at most."
    ),
    click.option("--messages", type=click.IntRange(1, 100), default=3, show_default=True, help="Each way, at most."),
    click.option("--no-endings", is_flag=True, help="No cancellations, deadlines and aborts."),
    click.option("--no-leaves", is_flag=True, help="No side shuts down."),
    click.option("--no-settings", is_flag=True, help="All windows are large, and no settings change on the way."),
    click.option("--no-faults", is_flag=True, help="The network neither stalls nor breaks."),
    click.option("--costly", is_flag=True, help="Also check what needs copies of the engines; several times slower."),
    click.option("--differential", is_flag=True, help="For `engine`: compare the HTTP/2 carriers, run by run."),
    click.option(
        "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that share the runs."
    ),
    cases_option,
    click.option(
        "--report",
        "reports",
        type=Reports(),
        default={},
        metavar="KIND=FILE,...",
        help="Write reports: junit=FILE, ndjson=FILE, html=FILE.",
    ),
    *server_options,
    mine_option,
)


@click.group()
def fuzz() -> None:
    """Try every order of things, and draw what goes wrong.

    Both sides of a connection run in one process, and whatever has an order or a chance is a choice: who acts next, how
    many bytes arrive, whether the network breaks. What must hold is checked after each step. A failure is made as small
    as it gets, and kept: as a case file, a page that steps through it, a diagram, and a test for pytest.

    \b
    The engine itself, for a minute
        duplexcore fuzz run engine --max-time 60

    \b
    Something of yours, in a module of this folder
        duplexcore fuzz run mymodule:MyService

    \b
    Any gRPC server, by its frames: legal calls, many at once, cancelled, out of time, short of credit
        duplexcore fuzz run localhost:50051 --reflection

    \b
    A failure again
        duplexcore fuzz replay P2-0badcafe

    Exit codes, of all of them: 0 nothing fails, 1 something does, 2 it could not be run.
    """


@fuzz.command()
@hunting
@click.option("--runs", type=click.IntRange(1), help=f"At most. [default: {RUNS}; {RUNS_ADDRESS} for HOST:PORT]")
@click.option("--max-time", type=click.FloatRange(0), metavar="SECONDS", help="At most; without --runs the only bound.")
def run(target: str, runs: int | None, max_time: float | None, **given: Any) -> None:
    """Run TARGET with one seed after the other, up to a bound.

    TARGET is `engine`, MODULE:NAME, or HOST:PORT. Each kind of failure is reported once. Shrinking what was found may
    take a while longer than --max-time. Cases are kept in --cases.

    The methods of HOST:PORT and their messages are known by --reflection or --descriptor; or it is --method alone, and
    each request has the same bytes. --runs are those of the stateful phase.

    \b
    A server of this machine, and what its process holds after so many calls
        duplexcore fuzz run localhost:50051 --reflection --pid $(pidof my-server)
    """
    plan, subject = _prepared(target, given)
    if runs is None and max_time is None:
        runs = RUNS_ADDRESS if _is_address(target) else RUNS
    _exit(Hunt(subject, plan).go(runs, max_time))


@fuzz.command()
@hunting
def forever(target: str, **given: Any) -> None:
    """Run TARGET until Ctrl-C.

    As `run`, without a bound; its options are explained there. Ctrl-C is its usual end: the exit code tells whether
    something was found.
    """
    plan, subject = _prepared(target, given)
    hunt = Hunt(subject, plan)
    hunt.go(None, None)
    _exit(bool(hunt.report.found))


@fuzz.command()
@click.argument("case", metavar="FILE|ID")
@cases_option
@click.option("--times", type=click.IntRange(1, 1_000), default=TIMES, show_default=True, help="How often it runs.")
@click.option("--html", type=FILE, metavar="FILE", help="Write the page of it.")
@metadata_option
@pid_option
@mine_option
def replay(
    case: str, folder: Path, times: int, html: Path | None, metadata: tuple[str, ...], pid: int | None, mine: bool
) -> None:
    """Run a case that failed once more.

    FILE is a case file; ID the name of one in --cases, or how it begins. The answer is FIXED (exit code 0), FAILED or
    FLAKY n of 5 (exit code 1), or ERROR: it could not be run (exit code 2).
    """
    from .fuzz_subjects import Unusable, from_case

    check_writable(html)
    console = Console(highlight=False)
    try:
        read = _case(case, folder)
        subject = from_case(read, mine=mine, metadata=metadata, pid=pid)
        results = [subject.again(read.tape) for _ in range(times)]
    except click.ClickException:
        console.print("[red]ERROR[/]")
        raise
    except Exception as error:
        console.print("[red]ERROR[/]")
        raise Unusable(f"unexpected {type(error).__name__}: {error}") from error
    failures = [(error, picture) for error, picture in results if error is not None]
    if html is not None:
        write(html, _page(read, subject))
    if not failures:
        console.print(f"[green]FIXED[/]  {escape(read.message)}", soft_wrap=True)
        return
    failure, picture = failures[-1]
    verdict = "FAILED" if len(failures) == times else f"FLAKY {len(failures)} of {times}"
    console.print(f"[red]{verdict}[/]  {escape(str(failure))}", soft_wrap=True)
    if failure.number != read.number:
        console.print(f"it was {escape(read.number)}, and is now {escape(failure.number)}")
    console.print(escape(picture), soft_wrap=True, end="")
    _exit(True)


@fuzz.command()
@click.argument("case", metavar="FILE|ID")
@cases_option
@click.option("--budget", type=click.IntRange(1), default=50_000, show_default=True, help="Runs, at most.")
@metadata_option
@pid_option
@mine_option
def shrink(case: str, folder: Path, budget: int, metadata: tuple[str, ...], pid: int | None, mine: bool) -> None:
    """Make a case smaller, if it can be.

    What comes out is kept beside the old one, under a name of its own. The exit code is 0 also when it is as small as
    it gets, and 2 when nothing fails any more.
    """
    from duplexcore.testing.sim.hunting import Finding
    from duplexcore.testing.sim.policies import Policy
    from duplexcore.testing.sim.shrinking import shrink as made_smaller

    from .fuzz_subjects import Unusable, from_case

    console = Console(highlight=False)
    read = _case(case, folder)
    subject = from_case(read, mine=mine, metadata=metadata, pid=pid)
    steps = 0
    try:
        with console.status("it is made smaller") as status:

            def progress(runs: int, left: int) -> None:
                nonlocal steps
                steps = left
                status.update(f"{runs:,} runs, {steps:,} steps are left")

            error, tape = made_smaller(subject, read.tape, budget=budget, progress=progress)
    except ValueError as problem:
        raise Unusable(f"{read.name} does not fail any more", "duplexcore fuzz replay says the same") from problem
    if tape == read.tape:
        console.print(f"{escape(read.name)} is as small as it gets: {len(tape)} choices")
        return
    policy = Policy(read.policy) if read.policy else Policy.MIX
    smaller = subject.case(Finding(error.number, str(error), read.seed or 0, policy, tape, 0, len(read.tape)))
    kept = subject.keep(smaller, folder)
    console.print(f"{steps} steps with {len(tape)} choices are left: {escape(str(kept.case))}", soft_wrap=True)


# --- what was asked ---------------------------------------------------------------------------------------------------


def _prepared(target: str, given: dict[str, Any]) -> tuple[Plan, Subject]:
    from .fuzz_known import read_known
    from .fuzz_phases import every_check
    from .fuzz_subjects import InProcess, from_name

    for path in given["reports"].values():
        check_writable(path)
    path = given["known_failures"]
    if path is not None and not _is_address(target):
        raise click.UsageError("--known-failures is for a TARGET that is HOST:PORT")
    known = [] if path is None else read_known(path, target, every_check())
    if given["differential"]:
        from duplexcore.testing.sim.differential import NAME

        if target != "engine":
            raise click.UsageError("--differential is for the engine: it compares its HTTP/2 carriers")
        target = NAME
    if given["jobs"] > 1 and _is_address(target):
        raise click.UsageError(JOBS_ARE_FOR)
    subject = from_name(target, engine_options(given), _address_options(given), known)
    if given["jobs"] > 1 and not isinstance(subject, InProcess):
        raise click.UsageError(JOBS_ARE_FOR)
    return Plan(given["seed"], given["policy"], given["folder"], given["reports"], known, given["jobs"]), subject


def engine_options(given: dict[str, Any]) -> EngineOptions:
    """What runs contain, by the options of the command."""
    from duplexcore.testing.sim.targets import EngineOptions

    return EngineOptions(
        calls=given["calls"],
        messages=given["messages"],
        endings=not given["no_endings"],
        leaves=not given["no_leaves"],
        settings=not given["no_settings"],
        faults=not given["no_faults"],
        costly=given["costly"],
    )


def _address_options(given: dict[str, Any]) -> AddressOptions:
    from .fuzz_address import AddressOptions
    from .fuzz_options import FLAGS

    said = {name: given[name] for name in FLAGS if given[name] not in (None, (), False)}
    return AddressOptions.from_flags(said, calls=given["calls"], messages=given["messages"], mine=given["mine"])


def _is_address(target: str) -> bool:
    from .fuzz_address import is_address

    return is_address(target)


def _case(name: str, folder: Path) -> Case:
    """A case by its file, or by how its name in the folder begins. Raises `Unusable`."""
    from duplexcore.testing.sim.cases import SUFFIX, Case, CaseFileError

    from .fuzz_subjects import Unusable

    path = Path(name)
    if not path.is_file():
        there = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
        fitting = [one for one in there if one.stem == name] or [one for one in there if one.stem.startswith(name)]
        if len(fitting) > 1:
            raise Unusable(f"{name} may be {', '.join(one.stem for one in fitting)}", "say more of its name")
        if not fitting:
            raise Unusable(f"there is no case {name}", f"it is neither a file nor the name of a case in {folder}")
        [path] = fitting
    try:
        return Case.read(path)
    except CaseFileError as error:
        raise Unusable(str(error)) from error
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from error


def _page(case: Case, subject: Subject) -> str:
    from duplexcore.testing.sim.page import page

    from .fuzz_machines import MachineSubject
    from .fuzz_subjects import InProcess, Unusable

    if not isinstance(subject, InProcess | MachineSubject):
        raise Unusable("the page is for what runs in the simulator", "leave --html out")
    return page(case, subject.replay(case.tape))


def _exit(failed: bool) -> None:
    if failed:
        raise click.exceptions.Exit(1)
