"""What people see while it runs, and at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from rich.console import Console
from rich.live import Live
from rich.table import Table

from .load import Count
from .scenarios import SCENARIOS
from .verdict import Check

__all__ = ["show_verdict", "watching"]

#: Seconds between two looks at a terminal, and between two lines elsewhere.
LOOK, LINE = 0.5, 10.0


def _table(count: Count, passed: float, seconds: float) -> Table:
    rate = count.calls / passed if passed else 0.0
    title = f"{passed:.0f} of {seconds:.0f} s, {count.calls:,} calls, {rate:,.0f}/s, {count.cuts} connections cut"
    table = Table(title=title)
    table.add_column("scenario")
    for column in ("right", "cut off", "wrong"):
        table.add_column(column, justify="right")
    for name in (row.name for row in SCENARIOS):
        wrong = count.wrong[name]
        shown = f"[bold red]{wrong:,}" if wrong else "0"
        table.add_row(name, f"{count.right[name]:,}", f"{count.cut[name]:,}", shown)
    return table


@contextmanager
def _terminal(count: Count, seconds: float, console: Console) -> Iterator[None]:
    started = time.monotonic()
    with Live(console=console, refresh_per_second=2, get_renderable=lambda: _table(count, _since(started), seconds)):
        yield


def _since(started: float) -> float:
    return time.monotonic() - started


async def watching(count: Count, seconds: float, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    """Shows the counts until it is cancelled: a table on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True)
    started = time.monotonic()
    task_status.started()
    if console.is_terminal:
        with _terminal(count, seconds, console):
            await anyio.sleep_forever()
    while True:
        await anyio.sleep(LINE)
        passed = _since(started)
        print(f"{passed:4.0f} s: {count.calls:,} calls, {count.wrong.total()} wrong", file=sys.stderr, flush=True)


def show_verdict(count: Count, checks: list[Check], passed: float) -> None:
    console = Console()
    console.print(_table(count, passed, passed))
    table = Table(title="at the end")
    for column in ("what", "due", "came", ""):
        table.add_column(column)
    for check in checks:
        table.add_row(check.what, check.due, check.came, "holds" if check.holds else "[bold red]DOES NOT HOLD")
    console.print(table)
    for failure in count.failures:
        console.print(failure, style="red", markup=False)
