"""The matrix as people read it: Markdown, JSON, and a page that stands alone."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files

from .matrix import Cell

__all__ = ["Report", "html_page", "json_text", "markdown"]

_HOW = {False: "plain", True: "TLS"}
_SIGNS = {"passed": "✓", "failed": "✗", "skipped": "–"}


@dataclass(frozen=True, slots=True)
class Report:
    """What a run has found. ``versions``: peer -> what it is, with its version; ``date``: as people write it."""

    cells: Sequence[Cell]
    clients: Sequence[str]
    servers: Sequence[str]
    cases: Sequence[str]
    versions: dict[str, str]
    date: str

    @property
    def tls(self) -> list[bool]:
        """Which of plain and TLS were run."""
        return sorted({cell.tls for cell in self.cells})

    def counted(self, client: str, server: str, tls: bool) -> Counter[str]:
        """Verdict -> how many cases of a pair."""
        pair = (client, server, tls)
        return Counter(cell.verdict for cell in self.cells if (cell.client, cell.server, cell.tls) == pair)

    @property
    def sum(self) -> str:
        """All verdicts in a line."""
        counted = Counter(cell.verdict for cell in self.cells)
        return ", ".join(f"{counted[verdict]} {verdict}" for verdict in _SIGNS)

    def grouped(self, verdict: str) -> dict[str, list[Cell]]:
        """What there is to say -> the cells that it is said of: each thing once."""
        groups: dict[str, list[Cell]] = {}
        for cell in self.cells:
            said = f"{cell.note}. Known: {cell.known}" if cell.known and verdict == "failed" else cell.note
            if cell.verdict == verdict and said:
                groups.setdefault(said, []).append(cell)
        return groups


def markdown(report: Report) -> str:
    """Tables of pairs, and below them each reason once."""
    lines = [
        "# The interop matrix",
        "",
        f"{report.date}: {len(report.cases)} cases of the official interop suite for each pair of programs.",
        f"{report.sum}. Written by `duplexcore interop matrix --markdown FILE`, which runs it again.",
        "",
        "| peer | what it is |",
        "| --- | --- |",
        *(f"| {name} | {versions} |" for name, versions in report.versions.items()),
        "",
        "✓ passed, ✗ failed, – skipped, since a side lacks what the case needs.",
    ]
    for tls in report.tls:
        lines += ["", f"## {'Over TLS' if tls else 'Plain'}", "", *_table(report, tls)]
    headings = {"failed": "Failed", "skipped": "Skipped, and why", "passed": "Passed, with a remark"}
    for verdict, heading in headings.items():
        groups = report.grouped(verdict)
        if groups:
            lines += [
                "",
                f"## {heading}",
                "",
                *(f"* {_cell(note)}<br>{_where(cells)}" for note, cells in groups.items()),
            ]
    return "\n".join(lines) + "\n"


def _table(report: Report, tls: bool) -> list[str]:
    rows = [f"| client ↓ server → | {' | '.join(report.servers)} |", f"| --- |{' --- |' * len(report.servers)}"]
    for client in report.clients:
        cells = [_counts(report.counted(client, server, tls)) for server in report.servers]
        rows.append(f"| {client} | {' | '.join(cells)} |")
    return rows


def _counts(counted: Counter[str]) -> str:
    return " ".join(f"{counted[verdict]}{sign}" for verdict, sign in _SIGNS.items() if counted[verdict])


def _cell(text: str) -> str:
    """Text that Markdown leaves as it is."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _where(cells: Sequence[Cell]) -> str:
    """The cases, then the pairs, as short as they can be said."""
    cases = _listed(f"`{cell.case}`" for cell in cells)
    pairs = dict.fromkeys((cell.client, cell.server) for cell in cells)
    clients, servers = dict.fromkeys(client for client, _ in pairs), dict.fromkeys(server for _, server in pairs)
    if len(pairs) == len(clients) * len(servers):  # each with each
        who = f"{_listed(clients)} → {_listed(servers)}"
    else:
        who = _listed(f"{client} → {server}" for client, server in pairs)
    how = {cell.tls for cell in cells}
    return f"{cases}: {who}{'' if len(how) > 1 else f' ({_HOW[how.pop()]})'}"


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def json_text(report: Report) -> str:
    """Everything, for programs: the fields of `Report` and `Cell`."""
    return json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n"


def html_page(report: Report) -> str:
    """One page with its styles, script and data in it; it asks no network."""
    # In a script element only "</" and "<!--" could end the data early.
    data = json.dumps(asdict(report), separators=(",", ":")).replace("<", "\\u003c")
    page = (files("duplexcore.interop") / "matrix_page.html").read_text(encoding="utf-8")
    for name, value in {"sum": html.escape(report.sum), "data": data}.items():
        page = page.replace(f"{{{{{name}}}}}", value)
    return page
