"""The commands that need no other peer: the engine in memory, two revisions of it, and the leak check."""

from __future__ import annotations

from pathlib import Path

import click

from .command import FILE, command, console, progress
from .engine import OPEN
from .engines import EngineError, Measured, compared, load, measure, revision_of, revisions, save
from .leak import FULL, SHORT, leak
from .processes import PeerError
from .report import show_table
from .run import revision
from .table import PEERS, ROOT

__all__ = ["command"]

#: Of each timing, and times that each of two revisions is measured.
SECONDS, ROUNDS = 1.0, 5
SECONDS_EACH = click.option(
    "--seconds",
    type=click.FloatRange(0.01),
    default=SECONDS,
    metavar="S",
    help=f"Of each timing. Default: {SECONDS:g}.",
)
MOST = click.option(
    "--most",
    type=click.IntRange(1),
    default=OPEN[-1],
    metavar="N",
    help="Calls that are open at most where it is timed.",
)


@command.command("engine")
@SECONDS_EACH
@MOST
@click.option("--json", "json_file", type=FILE, help="Write the figures there, for `compare`.")
def engine_command(seconds: float, most: int, json_file: Path | None) -> None:
    """The engine in memory, without sockets: CPU time and memory of a message and of a call, with each carrier."""
    measured = _engine(seconds, most)
    show_table(console(), "the engine in memory", *compared(measured), texts=3)
    if json_file:
        save(json_file, measured, {"revision": revision(), "seconds": seconds})


def _engine(seconds: float, most: int) -> Measured:
    try:
        return measure(ROOT, seconds, most)
    except EngineError as error:
        raise click.ClickException(str(error)) from error


@command.command("compare")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B", default=".")
@SECONDS_EACH
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=ROUNDS,
    metavar="N",
    help=f"Times that each is measured. Default: {ROUNDS}.",
)
@MOST
def compare_command(first: str, second: str, seconds: float, rounds: int, most: int) -> None:
    """Compare the engine of two git revisions, or two files that `engine --json` wrote.

    Revisions are copied into temporary folders and measured in turn; "." is the tree as it is, and B unless it
    is named.

    \b
    python -m benchmarks compare HEAD~1
    python -m benchmarks compare v0.1 main
    python -m benchmarks compare before.json after.json
    """
    try:
        one, other = _both(first, second, seconds, rounds, most)
    except EngineError as error:
        raise click.ClickException(str(error)) from error
    show_table(console(), f"A is {first}, B is {second}", *compared(one, other), texts=3)


def _both(first: str, second: str, seconds: float, rounds: int, most: int) -> list[Measured]:
    files = [Path(text) for text in (first, second) if Path(text).is_file()]
    if len(files) == 2:
        return [load(file) for file in files]
    for text in (first, second):
        if text != "." and Path(text).is_file():
            raise click.UsageError(
                f"{text} is a file, and {second if text == first else first} is none: name two of a kind"
            )
        if text != "." and revision_of(text) is None:
            raise click.UsageError(f"{text!r} is neither a file nor a revision that git knows")
    with progress(2 * rounds) as (_, step):
        return revisions(first, second, seconds, rounds, most, step)


@command.command("leak")
@click.option("--peer", default="duplexcore-asyncio-native", metavar="NAME", help="Default: duplexcore-asyncio-native.")
@click.option(
    "--calls", type=click.IntRange(100), default=SHORT, metavar="N", help=f"Default: {SHORT:,}, in a minute or so."
)
@click.option("--full", is_flag=True, help=f"{FULL:,} calls.")
def leak_command(peer: str, calls: int, full: bool) -> None:
    """Is memory after many calls, and ten times as many messages, what it was after the first hundredth of them?

    Exit code 1 if either side has grown by more than 2 %.
    """
    if peer not in PEERS:
        raise click.UsageError(f"no peer {peer!r}; there are: {', '.join(PEERS)}")
    try:
        kept = leak(PEERS[peer], FULL if full else calls)
    except PeerError as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{peer}: {kept.calls:,} calls and {kept.messages:,} messages: "
        f"server {kept.server - 1:+.2%}, client {kept.client - 1:+.2%}; "
        f"in blocks {kept.server_blocks - 1:+.2%}, {kept.client_blocks - 1:+.2%}"
    )
    if kept.leaks:
        raise SystemExit(1)
