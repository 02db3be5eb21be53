"""The engine's benchmark in processes of its own: this revision, or two of them in turn."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from .engine import FIGURES, OPEN, Figures
from .table import ROOT

__all__ = ["EngineError", "Measured", "compared", "load", "measure", "revision_of", "revisions", "save", "source"]

FORMAT = 1
SIDES = ("client", "server", "both")
#: Carrier -> figures.
Measured = dict[str, Figures]


class EngineError(Exception):
    """What can not be measured, read or found. The text says why."""


def measure(source: Path, seconds: float, most: int = OPEN[-1]) -> Measured:
    """The engine below a checkout, in a process of its own."""
    paths = [str(source / "src"), str(source / "transports"), str(ROOT)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.engine", str(seconds), str(most)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EngineError("\n".join(done.stderr.strip().splitlines()[-8:]))
    measured: Measured = json.loads(done.stdout)
    return measured


def revisions(
    first: str, second: str, seconds: float, rounds: int, most: int, say: Callable[[str], None]
) -> list[Measured]:
    """Two revisions in turn, and the median of their rounds."""
    with source(first) as one, source(second) as other:
        runs: list[list[Measured]] = [[], []]
        for number in range(rounds):
            for revision, place, kept in ((first, one, runs[0]), (second, other, runs[1])):
                say(f"{number + 1}/{rounds} {revision}")
                kept.append(measure(place, seconds, most))
    return [_middle(each) for each in runs]


def _middle(runs: list[Measured]) -> Measured:
    return {
        carrier: {
            figure: {side: median(run[carrier][figure][side] for run in runs) for side in sides}
            for figure, sides in figures.items()
        }
        for carrier, figures in runs[0].items()
    }


@contextlib.contextmanager
def source(revision: str) -> Iterator[Path]:
    """The code of a revision in a temporary folder, for as long as it is needed; the tree as it is for ".". Raises
    `EngineError`."""
    if revision == ".":
        yield ROOT
        return
    with tempfile.TemporaryDirectory(prefix="duplexcore-bench-") as folder:
        packed = Path(folder) / "revision.tar"
        _git("archive", "--output", str(packed), revision, "src", "transports")
        with tarfile.open(packed) as tar:
            tar.extractall(folder, filter="data")
        yield Path(folder)


def revision_of(text: str) -> str | None:
    """The commit that a text names; None if it names none."""
    try:
        return _git("rev-parse", "--verify", "--quiet", f"{text}^{{commit}}").strip()
    except EngineError:
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(f"git {' '.join(arguments)}: {done.stderr.strip() or 'failed'}")
    return done.stdout


def save(path: Path, measured: Measured, about: dict[str, Any]) -> None:
    """As JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "about": about, "carriers": measured}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Measured:
    """Raises `EngineError`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise EngineError(f"{path}: of another format; measure again")
        carriers: Measured = content["carriers"]
    except OSError as error:
        raise EngineError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path}: no figures of the engine") from error
    return carriers


def compared(first: Measured, second: Measured | None = None) -> tuple[list[str], list[list[str]]]:
    """A table: headings, and a line for each carrier, figure and side; with a second one, both and their ratio."""
    headings = ["carrier", "figure", "side", *(["A", "B", "B / A"] if second else [""])]
    lines = []
    for carrier in dict.fromkeys([*first, *(second or {})]):
        for figure, side in itertools.product(FIGURES, SIDES):
            one = _value(first, carrier, figure, side)
            other = _value(second, carrier, figure, side) if second else None
            if one is not None or other is not None:
                values = [_shown(one)] if second is None else [_shown(one), _shown(other), _ratio(one, other)]
                lines.append([carrier, f"{figure}: {FIGURES[figure]}", side, *values])
    return headings, lines


def _value(measured: Measured | None, carrier: str, figure: str, side: str) -> float | None:
    return (measured or {}).get(carrier, {}).get(figure, {}).get(side)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def _ratio(one: float | None, other: float | None) -> str:
    return f"{other / one:.2f}" if one and other is not None else ""
