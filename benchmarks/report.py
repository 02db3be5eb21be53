"""The results as tables: on the terminal and in Markdown."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from .results import Cell, Results, Spread
from .table import WORKLOADS

__all__ = ["markdown", "rows", "short", "show", "title"]

#: What the columns of ratios compare with.
BASE = "grpc.aio"
#: Figure -> heading of its column.
COLUMNS = {
    "rate": "rate",
    "p50": "p50 µs",
    "p99": "p99 µs",
    "server": "server CPU µs",
    "client": "client CPU µs",
}


def rows(results: Results, workload: str) -> tuple[list[str], list[list[str]]]:
    """Headings, and a line for each pair: medians, the least and the most rate, and how often as fast as grpc.aio it
    is, by rate and by the CPU time of both sides."""
    cells = list(results.of(workload))
    base = next((cell for cell in cells if cell.server == cell.client == BASE and cell.runs), None)
    figures = [figure for figure in COLUMNS if any(cell.spread(figure) for cell in cells)]
    headings = ["peer", *(COLUMNS[figure] for figure in figures), "least to most"]
    lines = [_row(cell, figures) for cell in cells]
    if base and "rate" in figures:
        headings += [f"× {BASE}", "by CPU"]
        for line, cell in zip(lines, cells, strict=True):
            line += [_times(_ratio(cell, base)), _times(_ratio_by_cpu(cell, base))] if cell.runs else ["", ""]
    return headings, lines


def _row(cell: Cell, figures: list[str]) -> list[str]:
    if not cell.runs:
        return [f"{cell.name}: failed", *[""] * (len(figures) + 1)]
    spreads = [cell.spread(figure) for figure in figures]
    return [cell.name, *(_number(spread) for spread in spreads), _range(spreads[0])]


def _ratio(cell: Cell, base: Cell) -> float | None:
    ours, theirs = cell.middle("rate"), base.middle("rate")
    return ours / theirs if ours and theirs else None


def _ratio_by_cpu(cell: Cell, base: Cell) -> float | None:
    ours, theirs = cell.middle("cpu"), base.middle("cpu")
    return theirs / ours if ours and theirs else None


def _times(ratio: float | None) -> str:
    return "" if ratio is None else short(ratio)


def _number(spread: Spread | None) -> str:
    return "" if spread is None else short(spread.middle)


def _range(spread: Spread | None) -> str:
    return "" if spread is None else f"{short(spread.low)} to {short(spread.high)}"


def short(value: float) -> str:
    """Three digits that count, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def title(workload: str) -> str:
    """The name of a workload, and what it is."""
    known = WORKLOADS.get(workload)
    return f"{workload}: {known.what} ({known.unit})" if known else workload


def show(results: Results, console: Console) -> None:
    """On the terminal."""
    for workload in results.workloads():
        headings, lines = rows(results, workload)
        table = Table(title=title(workload), title_justify="left")
        for position, heading in enumerate(headings):
            table.add_column(heading, justify="right" if position else "left", no_wrap=True)
        for line in lines:
            table.add_row(*line)
        console.print(table)
    for name, reason in results.lacking.items():
        console.print(f"left out: {name}: {reason}", markup=False, highlight=False)


def markdown(results: Results) -> str:
    """As a part of a document."""
    parts = []
    for workload in results.workloads():
        headings, lines = rows(results, workload)
        table = [headings, ["---"] + ["---:"] * (len(headings) - 1), *lines]
        parts.append("\n".join([f"**{title(workload)}**", "", *(f"| {' | '.join(line)} |" for line in table)]))
    lacking = [f"* {name} is left out: {reason}" for name, reason in results.lacking.items()]
    return "\n\n".join([*parts, *(["\n".join(lacking)] if lacking else [])]) + "\n"
