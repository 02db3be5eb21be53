"""The table of docs/negative-cases.md, made from the cases themselves.

python scripts/negative_cases.py             write it
python scripts/negative_cases.py --check     exit 1 if the document is not what the cases say
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from duplexcore.testing.misbehaving.case import Exercise, ServerCase
from duplexcore.testing.misbehaving.cases import GROUPS

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "negative-cases.md"
BEGIN, END = "<!-- cases: begin -->\n", "<!-- cases: end -->\n"
TITLES = {
    "official": "The official ones",
    "headers": "Headers",
    "statuses": "HTTP status and RST_STREAM",
    "trailers": "Ends of calls",
    "messages": "Messages and compression",
    "frames": "Frames and HPACK",
    "settings": "SETTINGS and windows",
    "goaways": "Ends of connections",
}


def table() -> Iterator[str]:
    """The lines between the marks."""
    for group, cases in GROUPS.items():
        yield f"### {TITLES[group]}\n"
        yield "| case | the server sends | the client must | status of the call | rules |"
        yield "| --- | --- | --- | --- | --- |"
        yield from map(row, cases)
        yield ""


def row(case: ServerCase) -> str:
    """One case. What is not "one call, then another one" is said."""
    status = " or ".join(code.name for code in case.status)
    own = f" (duplexcore: {', '.join(code.name for code in case.own)})" if case.ours != case.status else ""
    calls = "" if case.exercise is Exercise.TWO else f" [{case.exercise.name}]"
    return f"| `{case.name}`{calls} | {case.does} | {case.must} | {status}{own} | {', '.join(case.rules)} |"


def exercises() -> Iterator[str]:
    """What the words in brackets mean."""
    yield "| | the client makes |"
    yield "| --- | --- |"
    yield from (f"| {exercise.name} | {exercise.value} |" for exercise in Exercise)
    yield ""


def document(text: str) -> str:
    """The document with the tables of now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + "\n".join([*exercises(), *table()]) + END + after


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="The table of the negative cases.")
    parser.add_argument("--check", action="store_true", help="exit 1 if the document is stale")
    text = DOCUMENT.read_text(encoding="utf-8")
    if parser.parse_args(argv).check:
        return int(document(text) != text)
    DOCUMENT.write_text(document(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
