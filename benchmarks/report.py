"""The results as tables: on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from .figures import COLUMNS
from .results import Cell, Results, Spread
from .table import WORKLOADS

__all__ = ["as_markdown", "markdown", "rows", "short", "show", "show_table", "title"]

#: What the columns of ratios compare with.
BASE = "grpc.aio"


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
    for name, headings, lines in _tables(results):
        show_table(console, name, headings, lines)
    for line in _left_out(results):
        console.print(line, markup=False, highlight=False)


def show_table(
    console: Console, name: str, headings: Sequence[str], lines: Sequence[Sequence[str]], texts: int = 1
) -> None:
    """One table; so many of its first columns are text, the others are numbers."""
    table = Table(title=name, title_justify="left")
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="left" if position < texts else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    console.print(table, markup=False)


def markdown(results: Results) -> str:
    """As a part of a document."""
    parts = [f"**{name}**\n\n{as_markdown(headings, lines)}" for name, headings, lines in _tables(results)]
    lacking = [f"* {line}" for line in _left_out(results)]
    return "\n\n".join([*parts, *(["\n".join(lacking)] if lacking else [])]) + "\n"


def as_markdown(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """One table."""
    table = [headings, ["---"] + ["---:"] * (len(headings) - 1), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def _left_out(results: Results) -> list[str]:
    """A line for each reason: who and what."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in results.lacking.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"left out: {'; '.join(names)}: {reason}" for reason, names in by_reason.items()]


def _tables(results: Results) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    for workload in results.workloads():
        yield (title(workload), *rows(results, workload))
    if results.footprint:
        yield (
            "imports and sizes with all that they need: CPU time and MiB",
            ["what", "import ms", "least to most", "MiB"],
            [
                [
                    name,
                    short(row["import"]),
                    f"{short(row['import_low'])} to {short(row['import_high'])}",
                    short(row["size"]) if row["size"] else "",
                ]
                for name, row in results.footprint.items()
            ],
        )
