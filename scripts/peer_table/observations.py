"""What came, and the file that keeps it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

__all__ = ["FILE", "Breach", "Cell", "Half", "Observations", "Sight"]

FILE = Path(__file__).resolve().parents[2] / "docs" / "peers.json"


class Breach(Enum):
    """How much of a rule is broken by what came."""

    NONE = ""
    SHOULD = "should"
    MUST = "must"

    @property
    def weight(self) -> int:
        return list(Breach).index(self)


@dataclass(frozen=True, slots=True)
class Sight:
    """One run of one case: what came, in a few words, and what of it breaks a rule."""

    came: str
    breach: Breach = Breach.NONE


@dataclass(slots=True)
class Cell:
    """All runs of one case with one peer."""

    came: Counter[str] = field(default_factory=Counter[str])
    breach: Breach = Breach.NONE

    def add(self, sight: Sight) -> None:
        """Another run; the worst breach stays."""
        self.came[sight.came] += 1
        self.breach = max(self.breach, sight.breach, key=lambda one: one.weight)

    @property
    def varies(self) -> bool:
        return len(self.came) > 1

    def __str__(self) -> str:
        runs = self.came.total()
        if not self.varies:
            return next(iter(self.came))
        return ", ".join(f"{came} ({count} of {runs})" for came, count in sorted(self.came.items()))


#: Case -> peer -> what came.
Half = dict[str, dict[str, Cell]]


@dataclass(slots=True)
class Observations:
    """``made``: the day, as 2026-01-31. ``peers``: name -> what it is, with versions."""

    made: str
    peers: dict[str, str]
    servers: Half
    clients: Half

    @classmethod
    def read(cls, path: Path = FILE) -> Observations:
        """Raises OSError and ValueError."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        return cls(kept["made"], kept["peers"], _half(kept["servers"]), _half(kept["clients"]))

    def write(self, path: Path = FILE) -> None:
        """A line for each case: what has changed shows in a diff."""
        lines = [
            f'{{"made": {json.dumps(self.made)},',
            f'"peers": {json.dumps(self.peers, indent=1)},',
            *_lines("servers", self.servers, ","),
            *_lines("clients", self.clients, "}"),
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _half(kept: Mapping[str, Any]) -> Half:
    return {
        case: {peer: Cell(Counter(cell["came"]), Breach(cell["breaks"])) for peer, cell in cells.items()}
        for case, cells in kept.items()
    }


def _lines(name: str, half: Half, after: str) -> list[str]:
    plain = {
        case: {
            peer: {"came": dict(sorted(cell.came.items())), "breaks": cell.breach.value} for peer, cell in cells.items()
        }
        for case, cells in half.items()
    }
    rows = [f" {json.dumps(case)}: {json.dumps(cells, ensure_ascii=False)}" for case, cells in plain.items()]
    return [f'"{name}": {{', ",\n".join(rows), f"}}{after}"]
