"""The part of docs/performance.md that is made from a run: between two markers, and the picture beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .goals import HEADINGS, judge, lines
from .plot import svg
from .report import as_markdown, markdown
from .results import Results
from .table import ROOT

__all__ = ["BEGIN", "END", "DocumentError", "section", "write"]

DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN = "<!-- figures: begin (python -m benchmarks report) -->"
END = "<!-- figures: end -->"


class DocumentError(Exception):
    """The document has no place for the figures."""


def section(results: Results, picture: str) -> str:
    """What stands between the markers."""
    about = results.about
    runs = [f"{_of_run(about)}, {about['python']}, {about['system']}, {about['cores']} cores. Medians."]
    runs += [f"In a run of their own, {', '.join(row['workloads'])}: {_of_run(row['about'])}." for row in results.also]
    return "\n\n".join(
        [
            *runs,
            f"![rates of each peer]({picture})",
            "### Goals",
            as_markdown(HEADINGS, lines(judge(results))),
            "### Figures",
            markdown(results).strip(),
        ]
    )


def _of_run(about: Mapping[str, Any]) -> str:
    return (
        f"{about['when'][:10]}, revision {about['revision']}, load {about['load']:.1f} at the beginning, "
        f"{about['repetitions']} repetition{'s' * (about['repetitions'] > 1)} of {about['seconds']:g} s, interleaved"
    )


def write(results: Results, document: Path = DOCUMENT) -> list[Path]:
    """Puts the figures into the document, and the picture and the JSON beside it; the files that it wrote. Raises
    `DocumentError`."""
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DocumentError(f"{document}: needs the lines {BEGIN} and {END}")
    picture, figures = document.with_suffix(".svg"), document.with_suffix(".json")
    picture.write_text(svg(results), encoding="utf-8")
    results.write(figures)
    document.write_text(f"{before}{BEGIN}\n\n{section(results, picture.name)}\n\n{END}{after}", encoding="utf-8")
    return [document, picture, figures]
