"""Measures what simulated runs reach, and writes docs/coverage-states.md: a table, and the state diagrams with counts.

python scripts/coverage_states.py             measure, write the page; exit 1 if something was not reached
python scripts/coverage_states.py --explore   find the denominators anew first: minutes
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from duplexcore.testing.sim import coverage as package
from duplexcore.testing.sim.coverage import FILE, Coverage, Denominators, denominators, explored, measure
from duplexcore.testing.sim.coverage_cells import TABLES, Cell, Table
from duplexcore.testing.sim.coverage_marks import MARKS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "coverage-states.md"
RUNS = 1_600
HEADER = """\
# What simulated runs reach

Measured by `make coverage-states` on {runs:,} runs of two real engines, and written by it. A run fails the tests if a
cell, an order or a mark that can be reached is not.

* A *cell* is a place in a state table: something that happens in a state. The tables execute, so each look-up counts.
* An *order*: two steps that were both possible and do not commute, and which of them came first. Which there are is
  found by the explorer, on the engines themselves.
* A *mark* is a situation that is worth reaching, with a name.

A cell in brackets is in the table, and neither runs nor the explorer reach it: it takes a peer that is not our engine,
or a connection that ends before its handshake has.
"""


def page(coverage: Coverage, known: Denominators) -> str:
    """The whole document."""
    lines = [HEADER.format(runs=coverage.runs), "| | reached | of |", "|---|---|---|"]
    lines += [f"| {name} | {got} | {most} |" for name, (got, most) in coverage.reached(known).items()]
    for table in TABLES:
        lines += ["", f"## {table.name}", "", *diagram(table, coverage, known)]
    lines += ["", "## Marks", "", *(f"* {name}" for name in MARKS)]
    lines += ["", "## Orders", "", "Each was seen both ways.", ""]
    lines += [f"* {one.first} / {one.second}" for one in sorted(known.races) if one.first < one.second]
    return "\n".join(lines) + "\n"


def diagram(table: Table, coverage: Coverage, known: Denominators) -> Iterator[str]:
    """The states as a Mermaid diagram: on each arrow what leads along it, in brackets what was not reached."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), following in table.cells.items():
        cell = Cell(table.name, state.name, event.name)
        reached = bool(coverage.cells[cell])
        arrows.setdefault((state.name, following.name), []).append(event.name if reached else f"({event.name})")
    yield from ("```mermaid", "stateDiagram-v2", "    direction LR")
    for (before, after), names in arrows.items():
        yield f"    {before} --> {after}: {', '.join(names)}"
    yield "```"
    legal = table.legal
    yield ""
    yield f"{sum(bool(coverage.cells[cell]) for cell in legal)} of {len(legal)} cells; unreachable between our engines:"
    unreachable = [f"{cell.event} in {cell.state}" for cell in legal if cell not in known.cells]
    yield (", ".join(unreachable) if unreachable else "none") + "."


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="What simulated runs reach, as numbers.")
    parser.add_argument("--explore", action="store_true", help="find the denominators anew: minutes")
    if parser.parse_args(argv).explore:
        content = json.dumps(explored().as_dict(), indent=0) + "\n"
        Path(package.__file__).with_name(FILE).write_text(content, encoding="utf-8")
    known = denominators()
    coverage = measure(range(RUNS), known.races)
    PAGE.write_text(page(coverage, known), encoding="utf-8")
    for name, (got, most) in coverage.reached(known).items():
        print(f"{name:12} {got:4} of {most}")
    missing = coverage.missing(known)
    print("\n".join(missing))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
