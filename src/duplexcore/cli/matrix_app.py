"""`duplexcore interop peers` and `duplexcore interop matrix`: the other implementations, and all against all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from duplexcore.interop.matrix import CASES, Cell, Limits, Matrix
from duplexcore.interop.matrix_report import Report, html_page, json_text, markdown
from duplexcore.interop.peers.environments import Environment, InstallError, default_folder
from duplexcore.interop.peers.table import PEERS, Peer

from .console import Console
from .problems import Problem, check_writable, need, run, write

__all__ = ["matrix", "peers"]

F = TypeVar("F", bound=Callable[..., Any])

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

_folder = click.option(
    "--dir",
    "folder",
    type=FOLDER,
    metavar="DIR",
    help="Where the peers' environments are. [default: $DUPLEXCORE_PEERS, or duplexcore/peers in the cache folder]",
)


@click.command()
@click.option(
    "--install",
    "names",
    multiple=True,
    metavar="NAME,...",
    help="Make the environments of these peers; `all`, or `python` for those that need no more than Python.",
)
@_folder
def peers(names: tuple[str, ...], folder: Path | None) -> None:
    """Tell which implementations are here, or install others.

    Each runs in an environment of its own, with pinned versions, apart from duplexcore's: a venv, a folder of Go
    programs, a folder of npm packages. The Go peer needs Go, the JavaScript one node and npm.

    \b
    Examples
        duplexcore interop peers
        duplexcore interop peers --install grpcio,grpclib
        duplexcore interop peers --install all --dir .peers
    """
    folder = folder or default_folder()
    if names:
        _install(_named(names, "--install", groups=True), folder)
    _list(folder)


def _install(chosen: Sequence[Peer], folder: Path) -> None:
    """Every environment that can be made is; what went wrong is told at the end."""
    environments: dict[str, Environment] = {peer.environment.name: peer.environment for peer in chosen}
    faults = []
    for environment in environments.values():
        if not environment.missing(folder):
            click.echo(f"{environment.name}: is there", err=True)
            continue
        try:
            environment.install(folder, lambda step: click.echo(step, err=True))
        except InstallError as error:
            faults.append(str(error))
    if faults:
        raise Problem("not installed:\n" + "\n".join(faults), "the others are there; run it again when this is mended")


def _list(folder: Path) -> None:
    """A line for each peer, for people and for grep."""
    for peer in PEERS.values():
        missing = peer.environment.missing(folder)
        what = f"{peer.environment.versions(folder)}, {peer.language}"
        click.echo(f"{peer.name:17}  {missing or 'is here':7}  {'' if missing else what}".rstrip())


@click.command()
@click.option("--client", "clients", multiple=True, metavar="NAME,...", help="Only these clients. [default: all here]")
@click.option("--server", "servers", multiple=True, metavar="NAME,...", help="Only these servers. [default: all here]")
@click.option("--case", "cases", multiple=True, metavar="NAME,...", help="Only these cases. [default: all]")
@click.option("--plain", is_flag=True, help="Only without TLS.")
@click.option("--tls", is_flag=True, help="Only over TLS, with a certificate made for this once.")
@click.option("--strict", is_flag=True, help="Exit 1 also for known faults, and for failures between two others.")
@click.option("--markdown", "markdown_file", type=FILE, metavar="FILE", help="Write the table as Markdown.")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write every cell as JSON.")
@click.option("--html", "html_file", type=FILE, metavar="FILE", help="Write a page that stands alone.")
@click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="Servers that run at once. [default: one for each core]"
)
@click.option(
    "--case-time", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True, help="Seconds for a case."
)
@click.option(
    "--pair-time",
    type=click.FloatRange(0, min_open=True),
    default=180.0,
    show_default=True,
    help="Seconds for all cases of a client with a server.",
)
@_folder
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def matrix(
    clients: tuple[str, ...],
    servers: tuple[str, ...],
    cases: tuple[str, ...],
    plain: bool,
    tls: bool,
    strict: bool,
    markdown_file: Path | None,
    json_file: Path | None,
    html_file: Path | None,
    jobs: int | None,
    case_time: float,
    pair_time: float,
    folder: Path | None,
    debug: bool,
) -> None:
    """Run all implementations that are here against each other.

    Runs every interop case for each client and server, plain and over TLS, and tells how many passed. A case that one
    side can not do is skipped and says why; it never counts as passed. `duplexcore interop peers` tells what is here,
    and installs.

    \b
    Exit code
        0   nothing failed with duplexcore on a side, but for known faults of the other
        1   a case has failed (with --strict: any, between any two)
        2   wrong use: a peer, a case, a file
    \b
    Examples
        duplexcore interop matrix --html matrix.html
        duplexcore interop matrix --client duplexcore --server grpcio,grpclib --plain
        duplexcore interop matrix --case ping_pong,cancel_after_begin
    """
    from .signals import interruptible

    folder = folder or default_folder()
    need("trustme")
    if plain and tls:
        raise click.UsageError("--plain and --tls leave nothing: give one of them, or none for both")
    work = Matrix(
        clients=_here(clients, "--client", folder),
        servers=_here(servers, "--server", folder),
        cases=_cases(cases),
        folder=folder,
        tls=[True] if tls else [False] if plain else [False, True],
        limits=Limits(case=case_time, pair=pair_time),
    )
    try:
        for file in (markdown_file, json_file, html_file):
            check_writable(file)
    except Problem as problem:
        raise click.UsageError(f"{problem.message}: {problem.hint}") from None
    cells = run("asyncio", debug, lambda: interruptible(lambda: _run(work, jobs or os.cpu_count() or 1)))
    report = _report(work, cells)
    _tell(report)
    for file, text in ((markdown_file, markdown), (json_file, json_text), (html_file, html_page)):
        if file is not None:
            write(file, text(report))
    raise click.exceptions.Exit(1 if any(_counts(cell, strict) for cell in cells) else 0)


async def _run(work: Matrix, jobs: int) -> list[Cell]:
    """All cells, with a bar on standard error that says where it is; failures are told as they come."""
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=work.size)

        def tell(cell: Cell) -> None:
            where = f"{cell.client} → {cell.server} {'TLS' if cell.tls else 'plain'} {cell.case}"
            progress.update(task, advance=1, description=where)
            if cell.verdict == "failed":
                console.print(f"failed  {where}: {cell.note}", markup=False, soft_wrap=True)

        return await work.run(at_once=jobs, tell=tell)


def _report(work: Matrix, cells: Sequence[Cell]) -> Report:
    used = {peer.name: peer for peer in (*work.clients, *work.servers)}
    return Report(
        cells=cells,
        clients=[peer.name for peer in work.clients],
        servers=[peer.name for peer in work.servers],
        cases=list(work.cases),
        versions={name: peer.environment.versions(work.folder) for name, peer in used.items()},
        date=datetime.now(UTC).date().isoformat(),
    )


_COLOURS = {"passed": "green", "failed": "bold red", "skipped": "bright_black"}


def _tell(report: Report) -> None:
    console = Console(highlight=False)
    for tls in report.tls:
        table = Table(title="over TLS" if tls else "plain", title_justify="left", header_style="bold")
        table.add_column("client ↓ server →")
        for server in report.servers:
            table.add_column(server)
        for client in report.clients:
            counts = [report.counted(client, server, tls) for server in report.servers]
            table.add_row(client, *(_shown(counted) for counted in counts))
        console.print(table)
    console.print(report.sum)


def _shown(counted: Any) -> str:
    parts = [f"[{colour}]{counted[verdict]} {verdict}[/]" for verdict, colour in _COLOURS.items() if counted[verdict]]
    return "\n".join(parts)


def _counts(cell: Cell, strict: bool) -> bool:
    """Whether a cell makes the exit code 1."""
    ours = PEERS[cell.client].ours or PEERS[cell.server].ours
    return cell.verdict == "failed" and (strict or (ours and not cell.known))


# --- what the flags mean --------------------------------------------------------------------------------------------


def _split(texts: Sequence[str]) -> list[str]:
    names = [name.strip() for text in texts for name in text.split(",")]
    return list(dict.fromkeys(name for name in names if name))


def _named(texts: Sequence[str], flag: str, *, groups: bool = False) -> list[Peer]:
    """The peers of names; with ``groups`` also of `all` and `python`, which are the other implementations."""
    found: dict[str, Peer] = {}
    for name in _split(texts):
        if groups and name in ("all", "python"):
            others = [peer for peer in PEERS.values() if not peer.ours]
            found |= {peer.name: peer for peer in others if name == "all" or peer.language == "Python"}
        elif name in PEERS:
            found[name] = PEERS[name]
        else:
            raise click.UsageError(f"{flag}: there is no peer {name!r}; there are {', '.join(PEERS)}")
    return list(found.values())


def _here(texts: Sequence[str], flag: str, folder: Path) -> list[Peer]:
    """The peers that are named; if none is, all that can run. One that is named must be here."""
    if not texts:
        return [peer for peer in PEERS.values() if not peer.environment.missing(folder)]
    chosen = _named(texts, flag)
    if not chosen:
        raise click.UsageError(f"{flag} names no peer; there are {', '.join(PEERS)}")
    for peer in chosen:
        if missing := peer.environment.missing(folder):
            raise click.UsageError(f"{flag}: {peer.name} can not run: {missing}")
    return chosen


def _cases(texts: Sequence[str]) -> Sequence[str]:
    names = _split(texts)
    if texts and not names:
        raise click.UsageError(f"--case names no case; there are {', '.join(CASES)}")
    if unknown := [name for name in names if name not in CASES]:
        raise click.UsageError(f"--case: there is no case {unknown[0]!r} in the matrix; there are {', '.join(CASES)}")
    return names or CASES
