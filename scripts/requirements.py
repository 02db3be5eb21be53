"""Which rules of docs/requirements.md and scenarios of docs/scenarios.md have a passing test.

    python scripts/requirements.py            per group: how many ids have a passing test, and which have not
    python scripts/requirements.py --check    exit 1 if an id has none, or a failing one, and is not excused

Every id is asked for, so a lost test is noticed. Excused are those in `not-yet` of pyproject.toml, each with its
reason, for as long as they have no passing test.

Tests name the ids they prove: ``@pytest.mark.req("FRM-4", "D-13")``. tests/plugins/requirements.py writes what came of
them to .requirements/results.json.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / ".requirements" / "results.json"
DOCUMENTS = (ROOT / "docs" / "requirements.md", ROOT / "docs" / "scenarios.md")

#: The three ways in which an id is introduced: as a bullet, as the first cell of a table's row, as a lettered table.
_BULLET = re.compile(r"- \*\*([A-Z][A-Z0-9]*-[0-9]+[a-z]?)\*\*")
_ROW = re.compile(r"\| ([A-Z]+-[0-9]+[a-z]?) \|")
_TABLE = re.compile(r"Table ([A-Z])[,:] ")


def ids_in(text: str) -> list[str]:
    """The ids that ``text`` defines, in its order; ValueError for one that is defined twice."""
    found: list[str] = []
    for line in text.splitlines():
        if match := _BULLET.match(line) or _ROW.match(line):
            found.append(match[1])
        elif match := _TABLE.match(line):
            found.append(f"ERR-{match[1]}")
    twice = sorted({id_ for id_ in found if found.count(id_) > 1})
    if twice:
        raise ValueError(f"defined more than once: {', '.join(twice)}")
    return found


@functools.cache
def all_ids() -> tuple[str, ...]:
    """Every id of both documents."""
    return tuple(id_ for document in DOCUMENTS for id_ in ids_in(document.read_text(encoding="utf-8")))


def group_of(id_: str) -> str:
    """``FRM`` for ``FRM-4``."""
    return id_.rpartition("-")[0]


def excused(not_yet: dict[str, list[str]], ids: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Each id that may lack a test, with the reason; and what is wrong with that list.

    ``not_yet`` is a table of reasons, each with the ids and whole groups that it holds for.
    """
    reasons: dict[str, str] = {}
    wrong = []
    for reason, entries in not_yet.items():
        for entry in entries:
            members = [id_ for id_ in ids if entry in (id_, group_of(id_))]
            if not members:
                wrong.append(f"not-yet names {entry}, which is no group and no id")
            wrong += [f"not-yet names {id_} twice" for id_ in members if id_ in reasons]
            reasons.update(dict.fromkeys(members, reason))
        if not reason.strip() or not entries:
            wrong.append(f"not-yet gives no reason, or none an id: {reason!r} = {entries}")
    return reasons, wrong


@dataclass(frozen=True)
class Report:
    """What the last run says about each id."""

    ids: Sequence[str]
    passed: dict[str, int]
    failed: dict[str, list[str]]

    @classmethod
    def of(cls, ids: Sequence[str], tests: dict[str, dict[str, object]]) -> Report:
        """From the tests as the plugin recorded them: node id to ``{"ids": [...], "outcome": ...}``."""
        passed: dict[str, int] = {}
        failed: dict[str, list[str]] = {}
        for node, test in sorted(tests.items()):
            proved = test["ids"]
            assert isinstance(proved, list)
            for id_ in proved:
                if test["outcome"] == "passed":
                    passed[id_] = passed.get(id_, 0) + 1
                elif test["outcome"] == "failed":
                    failed.setdefault(id_, []).append(node)
        return cls(ids, passed, failed)

    def lines(self) -> Iterable[str]:
        """The report for people."""
        groups: dict[str, list[str]] = {}
        for id_ in self.ids:
            groups.setdefault(group_of(id_), []).append(id_)
        width = max(map(len, [*groups, "total"]))
        for group, members in groups.items():
            good = [id_ for id_ in members if id_ in self.passed and id_ not in self.failed]
            missing = [id_.rpartition("-")[2] for id_ in members if id_ not in self.passed and id_ not in self.failed]
            line = f"{group:<{width}} {len(good):>3} of {len(members):>3} with a passing test"
            yield line + (f"; without: {' '.join(missing)}" if missing else "")
            for id_ in members:
                for node in self.failed.get(id_, ()):
                    yield f"{'':<{width}}     FAILING {id_}: {node}"
        good = [id_ for id_ in self.ids if id_ in self.passed and id_ not in self.failed]
        tests = sum(self.passed.values())
        yield f"{'total':<{width}} {len(good):>3} of {len(self.ids):>3}; ids proved, counted per passing test: {tests}"


def check(report: Report, not_yet: dict[str, list[str]]) -> list[str]:
    """What is wrong: ids without a passing test, failing ones, and excuses that hold no longer."""
    reasons, wrong = excused(not_yet, report.ids)
    for id_ in report.ids:
        if id_ in report.failed:
            wrong.append(f"{id_} has a failing test: {', '.join(report.failed[id_])}")
        elif id_ in report.passed:
            if id_ in reasons:
                wrong.append(f"{id_} has a passing test now: take it out of not-yet")
        elif id_ not in reasons:
            wrong.append(f"{id_} has no passing test")
    return wrong


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Which requirement and scenario ids have a passing test.")
    parser.add_argument("--check", action="store_true", help="exit 1 if an id that is not excused has no passing test")
    arguments = parser.parse_args(argv)
    if not RESULTS.exists():
        print("no test run has been recorded yet: run `make test` first", file=sys.stderr)
        return 1
    report = Report.of(all_ids(), json.loads(RESULTS.read_text(encoding="utf-8"))["tests"])
    if not arguments.check:
        print("\n".join(report.lines()))
        return 0
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)["tool"]["duplexcore"]["requirements"]
    not_yet = settings["not-yet"]
    wrong = check(report, not_yet)
    good = f"requirements: every id has a passing test, but the {len(excused(not_yet, report.ids)[0])} in not-yet"
    print("\n".join(wrong) if wrong else good)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
