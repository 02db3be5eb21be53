"""What a run has measured: cells of runs, as they stand in the JSON, and their medians."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["Cell", "Results", "ResultsError", "Spread"]

FORMAT = 1


class ResultsError(Exception):
    """A file that is not one of ours. The text says which and why."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one figure over the repetitions."""

    middle: float
    low: float
    high: float


@dataclass(slots=True)
class Cell:
    """One workload between two peers, or of one with itself. ``runs``: figure -> value, a repetition each."""

    server: str
    client: str
    workload: str
    runs: list[dict[str, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The pair, for people."""
        return self.server if self.server == self.client else f"{self.client} to {self.server}"

    def spread(self, figure: str) -> Spread | None:
        """None when no repetition has it."""
        values = [run[figure] for run in self.runs if figure in run]
        return Spread(median(values), min(values), max(values)) if values else None

    def middle(self, figure: str) -> float | None:
        """The median."""
        spread = self.spread(figure)
        return spread.middle if spread else None


@dataclass(slots=True)
class Results:
    """A whole run. ``about``: when, where, which code; ``libraries``: peer -> what it was; ``lacking``: peer -> why
    there is nothing of it; ``also``: what other runs gave, a row each with its ``about`` and its ``workloads``."""

    about: dict[str, Any] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    footprint: dict[str, dict[str, float]] = field(default_factory=dict)
    also: list[dict[str, Any]] = field(default_factory=list)

    def joined(self, other: Results) -> Results:
        """With what another run has measured: its workloads as a whole, in place of any of the same name, since ratios
        hold within a run only; its footprint, if it has one."""
        theirs = other.workloads() + ["imports and sizes"] * bool(other.footprint)
        also = [{**row, "workloads": [name for name in row["workloads"] if name not in theirs]} for row in self.also]
        return Results(
            about=self.about,
            libraries=self.libraries | other.libraries,
            lacking=self.lacking | other.lacking,
            cells=[*(cell for cell in self.cells if cell.workload not in theirs), *other.cells],
            footprint=other.footprint or self.footprint,
            also=[
                *(row for row in also if row["workloads"]),
                {"about": other.about, "workloads": theirs},
                *other.also,
            ],
        )

    def cell(self, server: str, client: str, workload: str) -> Cell:
        """The cell, made when it is not there."""
        for cell in self.cells:
            if (cell.server, cell.client, cell.workload) == (server, client, workload):
                return cell
        self.cells.append(Cell(server, client, workload))
        return self.cells[-1]

    def of(self, workload: str) -> Iterator[Cell]:
        """The cells of a workload."""
        return (cell for cell in self.cells if cell.workload == workload)

    def workloads(self) -> list[str]:
        """In the order in which they were run."""
        return list(dict.fromkeys(cell.workload for cell in self.cells))

    def middle(self, peer: str, workload: str, figure: str) -> float | None:
        """The median of a peer against itself; None where there is none."""
        for cell in self.of(workload):
            if cell.server == cell.client == peer:
                return cell.middle(figure)
        return None

    def write(self, path: Path) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Raises `ResultsError`."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ResultsError(f"{path}: of another format; run it again")
            cells = [Cell(**cell) for cell in content.pop("cells")]
            return cls(cells=cells, **content)
        except OSError as error:
            raise ResultsError(f"{path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResultsError(f"{path}: no results of a benchmark run") from error
