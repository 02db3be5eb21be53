"""The command line."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .document import DocumentError, write
from .goals import HEADINGS, judge, lines
from .report import markdown, show, show_table
from .results import Results, ResultsError
from .run import Pair, Plan, run
from .table import CROSSED, CROSSED_WORKLOADS, PEERS, ROOT, WORKLOADS, Peer, Workload

__all__ = ["command", "console", "progress"]

#: What runs when nobody chooses.
REPETITIONS, SECONDS = 5, 1.0
#: What ``--quick`` means: a look, not a measurement.
QUICK_REPETITIONS, QUICK_SECONDS, QUICK_WORKLOADS = 2, 0.3, ("unary-64", "ping-64", "firehose", "bulk")

FILE = click.Path(dir_okay=False, path_type=Path)
#: Where a run leaves its figures, and the other commands look for them.
FIGURES = ROOT / ".build" / "bench.json"


def _or_the_last(_context: click.Context, _parameter: click.Parameter, files: tuple[Path, ...]) -> tuple[Path, ...]:
    return files or (FIGURES,)


SOME_FIGURES = click.argument("figures", type=FILE, nargs=-1, callback=_or_the_last)

T = TypeVar("T")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def command() -> None:
    """How fast duplexcore is, beside the other Python implementations of gRPC."""


@command.command("run")
@click.option("--quick", is_flag=True, help="A look in a minute or two: few workloads, short, twice.")
@click.option("--peers", metavar="A,B:C", help="Only these; B:C is the client C against the server B. Default: all.")
@click.option("--workloads", metavar="A,B", help="Only these. Default: all.")
@click.option(
    "--repetitions", type=click.IntRange(1), metavar="N", help=f"Times that each is run. Default: {REPETITIONS}."
)
@click.option("--seconds", type=click.FloatRange(0.01), metavar="S", help=f"Time of each. Default: {SECONDS:g}.")
@click.option(
    "--operations", type=click.IntRange(1), metavar="N", help="So many of each that run at once, instead of a time."
)
@click.option(
    "--json", "json_file", type=FILE, default=FIGURES, help="Write all figures there. Default: .build/bench.json."
)
@click.option("--out", type=FILE, help="Write the tables there, as Markdown.")
@click.option(
    "--nice", type=click.IntRange(-20, 19), metavar="N", help="Niceness; below 0, on a busy machine, as root."
)
@click.option(
    "--imports/--no-imports", default=None, help="Imports and installed sizes. Default: unless some are chosen."
)
@click.option("--list", "listed", is_flag=True, help="List peers and workloads, run nothing.")
def run_command(
    quick: bool,
    peers: str | None,
    workloads: str | None,
    repetitions: int | None,
    seconds: float | None,
    operations: int | None,
    json_file: Path,
    out: Path | None,
    nice: int | None,
    imports: bool | None,
    listed: bool,
) -> None:
    """Run peers and workloads in turn, and print what came.

    Server and client are processes of their own, each on a core of its own where there are two. Every repetition takes
    each workload in turn, and for it each peer, so that a slow moment of the machine hits all alike. The others are
    installed on first use, each in an environment below .peers (or DUPLEXCORE_PEERS).

    \b
    python -m benchmarks run --quick
    python -m benchmarks run --peers duplexcore-asyncio-h2,grpc.aio --workloads unary-64,firehose
    python -m benchmarks run --peers grpc.aio:duplexcore-asyncio-h2 --workloads ping-64    # our client, their server
    """
    if listed:
        _list()
        return
    chosen = _chosen(workloads, WORKLOADS, "workload") if workloads else _default_workloads(quick)
    plan = Plan(
        pairs=_pairs(peers) if peers else [*((peer, peer) for peer in PEERS.values()), *CROSSED],
        crossed=None if peers else CROSSED_WORKLOADS,
        workloads=chosen,
        repetitions=repetitions or (QUICK_REPETITIONS if quick else REPETITIONS),
        seconds=seconds or (QUICK_SECONDS if quick else SECONDS),
        operations=operations or 0,
        footprint=not (quick or peers or workloads) if imports is None else imports,
    )
    _set_niceness(nice)
    with progress(plan.steps) as (say, step):
        results = run(plan, say=say, step=step, keep=lambda results: results.write(json_file))
    show(results, console())
    if out:
        out.write_text(markdown(results), encoding="utf-8")
    if not any(cell.runs for cell in results.cells):
        sys.exit("nothing could be measured")


@command.command("goals")
@SOME_FIGURES
def goals_command(figures: tuple[Path, ...]) -> None:
    """What the figures of a run must reach, and whether they do. FIGURES: what `run` wrote; .build/bench.json. Of
    several, a later one gives its workloads as a whole.

    Rates decide; "by CPU" is the same by the CPU time of both sides, which a busy machine disturbs less.
    """
    show_table(console(), "goals", HEADINGS, lines(judge(_read(figures))))


@command.command("report")
@SOME_FIGURES
def report_command(figures: tuple[Path, ...]) -> None:
    """Put the figures of a run into docs/performance.md, with the goals and a picture. FIGURES: as for `goals`."""
    try:
        for path in write(_read(figures)):
            click.echo(path.relative_to(ROOT))
    except DocumentError as error:
        raise click.ClickException(str(error)) from error


def _read(figures: tuple[Path, ...]) -> Results:
    try:
        return functools.reduce(Results.joined, map(Results.read, figures))
    except ResultsError as error:
        raise click.UsageError(f"{error}\n`python -m benchmarks run` makes such a file") from error


def _set_niceness(nice: int | None) -> None:
    """Of this process and all that it starts."""
    if nice is None:
        return
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError as error:
        raise click.UsageError(f"--nice {nice}: {error.strerror}; below 0 needs root") from error


def _default_workloads(quick: bool) -> list[Workload]:
    return [WORKLOADS[name] for name in QUICK_WORKLOADS] if quick else list(WORKLOADS.values())


def _chosen(text: str, known: Mapping[str, T], what: str) -> list[T]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise click.UsageError(f"no {what} {name!r}; there are: {', '.join(known)}")
    if not names:
        raise click.UsageError(f"no {what} is named; there are: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]


def _pairs(text: str) -> list[Pair]:
    pairs = []
    for part in filter(None, map(str.strip, text.split(","))):
        server, _, client = part.partition(":")
        [serving] = _chosen(server, PEERS, "peer")
        [asking] = _chosen(client or server, PEERS, "peer")
        pairs.append((serving, asking))
    if not pairs:
        raise click.UsageError(f"no peer is named; there are: {', '.join(PEERS)}")
    return pairs


def _list() -> None:
    for heading, rows in (("peers", PEERS), ("workloads", {n: w.what for n, w in WORKLOADS.items()})):
        click.echo(f"{heading}:")
        for name, what in rows.items():
            click.echo(f"  {name:<32}{'' if isinstance(what, Peer) else what}".rstrip())


@contextlib.contextmanager
def progress(steps: int) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """What is told what matters, and each step. A bar on a terminal, plain lines elsewhere."""
    errors = Console(stderr=True)
    if not errors.is_terminal:
        count = iter(range(1, steps + 1))
        yield _plain, lambda text: _plain(f"[{next(count)}/{steps}] {text}")
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task("", total=steps)

        def step(text: str) -> None:
            progress.update(task, description=text)
            progress.advance(task)

        yield lambda text: errors.print(text, markup=False, highlight=False), step


def console() -> Console:
    """Where tables go; wide where nobody says how wide it is."""
    return Console() if sys.stdout.isatty() else Console(width=170)


def _plain(text: str) -> None:
    click.echo(text, err=True)
