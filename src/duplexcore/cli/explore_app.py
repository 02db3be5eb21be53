"""`duplexcore fuzz explore` and `coverage`: everything that can happen to a call, and what simulated runs reach."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from duplexcore.testing.sim.explorer import Explorer

__all__ = ["coverage", "explore"]

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
FEATURES = ("cancels", "deadlines", "aborts", "goaway", "shutdown", "loss", "reads")
#: Seconds between two saves of an exploration.
SAVE_EVERY = 60.0


def _shard(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, int]:
    which, _, of = value.partition("/")
    if not (which.isdigit() and of.isdigit() and int(which) < int(of)):
        raise click.BadParameter(f"{value!r} is not of the form 0/4, the first of four")
    return int(which), int(of)


@click.command()
@click.option("--requests", type=click.IntRange(0, 8), default=1, show_default=True, help="Messages of the client.")
@click.option("--responses", type=click.IntRange(0, 8), default=1, show_default=True, help="Messages of the server.")
@click.option("--window", type=click.IntRange(1, 8), default=1, show_default=True, help="Of a stream, in messages.")
@click.option(
    "--feature",
    "features",
    type=click.Choice([*FEATURES, "cuts", "all"]),
    multiple=True,
    help="What else may happen; repeat. All: all but cuts.",
)
@click.option("--every-order", is_flag=True, help="Also orders that no side can tell apart: many times the states.")
@click.option("--resume", type=FILE, metavar="FILE", help="Keep the exploration there, and go on with what is there.")
@click.option("--shard", callback=_shard, default="0/1", metavar="K/N", help="Be one of N; needs --exchange.")
@click.option("--exchange", type=FOLDER, metavar="FOLDER", help="Where shards leave states for each other.")
@click.option("--max-states", type=click.IntRange(1), help="Stop after so many.")
def explore(
    requests: int,
    responses: int,
    window: int,
    features: tuple[str, ...],
    every_order: bool,
    resume: Path | None,
    shard: tuple[int, int],
    exchange: Path | None,
    max_states: int | None,
) -> None:
    """Every interleaving of one call on two real engines, breadth first.

    With shards each explores its part; run all of them again, with --resume, until none has anything left.

    Exit codes: 0 complete, 1 a property does not hold, 2 wrong use, 3 something is left to explore.
    """
    from duplexcore.testing.sim.explorer import ExplorationError, Explorer
    from duplexcore.testing.sim.explorer_bounds import Bounds, Feature
    from duplexcore.testing.sim.properties import PropertyError

    if (shard[1] > 1) != (exchange is not None):
        raise click.UsageError("--shard and --exchange need each other")
    chosen = Feature(0)
    for name in {*features} - {"all"} | {*(FEATURES if "all" in features else ())}:
        chosen |= Feature[name.upper()]
    bounds = Bounds(requests=requests, responses=responses, window=window, features=chosen)
    try:
        if resume is not None and resume.exists():
            explorer = Explorer.load(resume, bounds, reduced=not every_order, shard=shard)
        else:
            explorer = Explorer(bounds, reduced=not every_order, shard=shard)
        if exchange is not None:
            _take_in(explorer, exchange)
        _go(explorer, max_states, resume)
    except ExplorationError as error:
        raise click.UsageError(str(error)) from error
    except PropertyError as error:
        click.echo(f"does not hold: {error}")
        raise SystemExit(1) from error
    left = explorer.frontier
    if exchange is not None:
        left += _hand_over(explorer, exchange)
    if resume is not None:
        explorer.save(resume)
    _show(explorer)
    if left:
        click.echo("not complete: run it again with --resume")
        raise SystemExit(3)


def _go(explorer: Explorer, most: int | None, resume: Path | None) -> None:
    begun = saved = time.monotonic()
    before = explorer.found.states
    way = Way()

    def progress(at: Explorer) -> None:
        nonlocal saved
        now = time.monotonic()
        speed = (at.found.states - before) / max(now - begun, 0.001)
        line = f"{at.found.states:,} states, {at.frontier:,} waiting, {speed:,.0f}/s, {way.told(at, speed)}"
        click.echo(f"\r{line:<100}", nl=False, err=True)
        if resume is not None and now - saved > SAVE_EVERY:
            saved = now
            at.save(resume)

    explorer.run(most, progress)
    click.echo("\r", nl=False, err=True)


class Way:
    """How far an exploration has come.

    It is breadth first, so what waits grows, then shrinks: once fewer new states are found than are explored, what is
    left follows from the two, as they were over the last fifth of the way.
    """

    def __init__(self) -> None:
        self._been: list[tuple[int, int]] = []

    def left(self, states: int, waiting: int) -> int | None:
        """About how many states there are still to explore; None: they are becoming more."""
        self._been.append((states, states + waiting))
        explored, found = self._been[len(self._been) * 4 // 5]
        new, done = states + waiting - found, states - explored
        return waiting * done // (done - new) if new < done else None

    def told(self, at: Explorer, speed: float) -> str:
        """In words."""
        left = self.left(at.found.states, at.frontier)
        return "growing" if left is None else f"about {left:,} left, {left / max(speed, 1):,.0f} s"


def _show(explorer: Explorer) -> None:
    found = explorer.found
    click.echo(
        f"{explorer.bounds}: {found.states:,} states, {found.transitions:,} transitions, longest {found.longest}"
    )
    click.echo(f"{found.clients:,} states of the client, {found.servers:,} of the server; ends:")
    for (client, server), count in sorted(found.ends.items()):
        click.echo(f"  {client} / {server}: {count}")


def _take_in(explorer: Explorer, exchange: Path) -> None:
    for path in sorted(exchange.glob(f"*-to-{explorer.shard[0]}.*")):
        explorer.take_in(path.read_bytes())
        path.unlink()


def _hand_over(explorer: Explorer, exchange: Path) -> int:
    exchange.mkdir(parents=True, exist_ok=True)
    handed = 0
    for other in range(explorer.shard[1]):
        if other != explorer.shard[0] and (states := explorer.hand_over(other)) is not None:
            name = f"{explorer.shard[0]}-to-{other}.{explorer.found.states}"
            partly = exchange / f"{explorer.shard[0]}.partly"
            partly.write_bytes(states)
            partly.replace(exchange / name)
            handed += 1
    return handed


@click.command()
@click.option("--runs", type=click.IntRange(1), default=1_600, show_default=True, help="How many.")
def coverage(runs: int) -> None:
    """What simulated runs of the engine reach: cells of the state tables, orders of races, marks.

    Exit codes: 0 everything, 1 not everything, or a property does not hold.
    """
    from duplexcore.testing.sim.coverage import denominators, measure
    from duplexcore.testing.sim.properties import PropertyError

    known = denominators()
    try:
        measured = measure(range(runs), known.races)
    except PropertyError as error:
        click.echo(f"does not hold: {error}")
        raise SystemExit(1) from error
    for name, (got, most) in measured.reached(known).items():
        click.echo(f"{name:12} {got:4} of {most}")
    missing = measured.missing(known)
    for line in missing:
        click.echo(f"not reached: {line}")
    raise SystemExit(1 if missing else 0)
