"""The tables of docs/peers.md, made of what came."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from duplexcore.testing.misbehaving import CASES as CLIENT_CASES
from duplexcore.testing.misbehaving import ServerCase
from duplexcore.testing.probe import CASES as SERVER_CASES
from duplexcore.testing.probe import Case, Level

from .decisions import DECISIONS
from .observations import Breach, Cell, Half, Observations

__all__ = ["DOCUMENT", "made"]

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "peers.md"
RULES = ROOT / "docs" / "requirements.md"
_BEGIN, _END = "<!-- {}: begin -->\n", "<!-- {}: end -->\n"
_HEADING = re.compile(r"^## \d+\. (.+) \(([A-Z]+)\)$", re.MULTILINE)
_MARKS = {Breach.NONE: "", Breach.SHOULD: "~ ", Breach.MUST: "✗ "}
OURS = "duplexcore"


def made(text: str, seen: Observations) -> str:
    """The document with the tables of these observations."""
    for name, lines in (
        ("peers", _peers(seen)),
        ("servers", _half(seen.servers, _server_row)),
        ("clients", _half(seen.clients, _client_row)),
    ):
        begin, end = _BEGIN.format(name), _END.format(name)
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = before + begin + "\n" + "\n".join([*lines, ""]) + end + after
    return text


def _peers(seen: Observations) -> Iterator[str]:
    """Who was asked, when, and how often each breaks a rule."""
    yield f"Seen on {seen.made}, on Linux, over plain TCP, with each library's own defaults."
    yield ""
    yield "| | what ran | server: ✗ | ~ | client: ✗ | ~ |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, versions in seen.peers.items():
        counts = [
            _count(half, name, breach)
            for half in (seen.servers, seen.clients)
            for breach in (Breach.MUST, Breach.SHOULD)
        ]
        yield f"| {name} | {versions} | {' | '.join(counts)} |"
    yield ""


def _count(half: Half, peer: str, breach: Breach) -> str:
    cells = [cells[peer] for cells in half.values() if peer in cells]
    return str(sum(cell.breach is breach for cell in cells)) if cells else "–"


# -- the tables --------------------------------------------------------------------------------------------------------

#: A case's group, its two cells of words, and its name in `DECISIONS`.
_Row = tuple[str, str, str]


def _server_row(name: str) -> _Row | None:
    case = SERVER_CASES.get(name)
    return None if case is None else (case.group, f"{case.title} (`{case.id}`)", _expected(case))


def _expected(case: Case) -> str:
    answers = case.expected
    for pattern, shorter in (
        (r"RST_STREAM (\w+); or GOAWAY \1; or the connection closed", r"stream error \1"),
        (r"GOAWAY ([\w ]+); or the connection closed", r"connection error \1"),
        (r"; or ", ", or "),
    ):
        answers = re.sub(pattern, shorter, answers)
    return answers if case.level is Level.MUST else f"{answers} ({case.level.value})"


def _client_row(name: str) -> _Row | None:
    case = CLIENT_CASES.get(name)
    return None if case is None else (case.rules[0].partition("-")[0], f"{case.does} (`{case.name}`)", _demanded(case))


def _demanded(case: ServerCase) -> str:
    status = " or ".join(code.name for code in case.status)
    return f"{', '.join(case.rules)}: {case.must}; {status}"


def _half(half: Half, words: Callable[[str], _Row | None]) -> Iterator[str]:
    peers = list(dict.fromkeys(name for cells in half.values() for name in cells))
    groups: dict[str, list[tuple[str, _Row, Mapping[str, Cell]]]] = {}
    for name, cells in half.items():
        if (row := words(name)) is not None:  # a case that is gone tells nothing
            groups.setdefault(row[0], []).append((name, row, cells))
    titles = {id_: title for title, id_ in _HEADING.findall(RULES.read_text(encoding="utf-8"))}
    for id_, title in titles.items():
        if id_ in groups:
            yield from _group(f"{title} ({id_})", groups[id_], peers)


def _group(title: str, rows: list[tuple[str, _Row, Mapping[str, Cell]]], peers: list[str]) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    differ = [row for row in rows if not _agree(row[2])]
    if agreed := len(rows) - len(differ):
        which = (
            f"{agreed} other case{'s' * (agreed > 1)}"
            if differ
            else f"all {agreed} cases"
            if agreed > 1
            else "the only case"
        )
        yield f"In {which} everybody does the same, as the rule says."
        yield ""
    if differ:
        yield f"| input | the rule | {' | '.join(peers)} |"
        yield "| --- " * (len(peers) + 2) + "|"
        for name, (_, words, rule), cells in differ:
            shown = [_cell(name, peer, cells.get(peer)) for peer in peers]
            yield f"| {_safe(words)} | {_safe(rule)} | {' | '.join(shown)} |"
        yield ""


def _agree(cells: Mapping[str, Cell]) -> bool:
    breaks = any(cell.breach is not Breach.NONE or cell.varies for cell in cells.values())
    return not breaks and len({str(cell) for cell in cells.values()}) == 1


def _cell(case: str, peer: str, cell: Cell | None) -> str:
    if cell is None:
        return "–"
    decision = f" <br>({DECISIONS[case]})" if peer == OURS and case in DECISIONS else ""
    return _safe(f"{_MARKS[cell.breach]}{cell}") + decision


def _safe(text: str) -> str:
    """For a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")
