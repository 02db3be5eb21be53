"""The parts of the mutation command that need no mutation tool."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from scripts.judge_mutant import PROPERTIES, SLOW, Reach, Replaced, in_turn, outcome
from scripts.mutants import ROOMS, ROOT, changed, is_imported, modules, room_of, statement_at, types_in


def test_every_module_of_the_engine_is_in_one_room() -> None:
    found = {room: modules([room]) for room in ROOMS}
    assert all(found.values())
    assert all(room_of(module) == room for room, its in found.items() for module in its)
    names = [module for its in found.values() for module in its]
    assert len(set(names)) == len(names)
    assert Path("src/duplexcore/call/inbox.py") in names


def test_types_are_no_place_for_mutants() -> None:
    source = "def f(a: int | None = 1 | 2) -> str | None:\n    b: int | None = a\n    return b\n"
    places = types_in(source)
    assert [source.splitlines()[begin[0] - 1][begin[1] : end[1]] for begin, end in places] == [
        "str | None",
        "int | None",
        "int | None",
    ]


def test_the_slow_tests_are_named_by_words_that_are_there() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    names = "\n".join(map(str, (ROOT / "tests").rglob("test_*.py")))
    for word in SLOW.split(" or "):
        assert word in tests or word in names


SOURCE = """TABLE = {1: 2}


@decorated
def f(a, b=1):
    if a == b:
        return (a +
                b)
    return 3
"""


@pytest.mark.parametrize(
    ("line", "statement", "imported"),
    [
        (1, (1, 1), True),
        (4, (4, 4), True),
        (5, (5, 5), True),
        (6, (6, 6), False),
        (8, (7, 8), False),
        (9, (9, 9), False),
    ],
)
def test_where_a_mutant_stands(line: int, statement: tuple[int, int], imported: bool) -> None:
    tree = ast.parse(SOURCE)
    assert statement_at(tree, line) == statement
    assert is_imported(tree, line) is imported


def test_a_mutant_is_shown_by_its_lines() -> None:
    assert changed(SOURCE, SOURCE.replace("==", "!=")) == ["-    if a == b:", "+    if a != b:"]


def test_only_the_tests_that_reach_a_line_are_asked() -> None:
    reach = Reach({"m.py": {"3": [0, 2], "4": [1]}}, ["a", "b", "c"])
    assert reach.of("m.py", 3, 3) == ["a", "c"]
    assert reach.of("m.py", 3, 4) == reach.all() == ["a", "b", "c"]
    assert reach.of("m.py", 5, 5) == reach.of("other.py", 3, 3) == []


def test_each_file_has_its_turn() -> None:
    assert in_turn(["x::1", "x::2", "x::3", "y::1", "z::1", "z::2"]) == ["x::1", "y::1", "z::1", "x::2", "z::2", "x::3"]


def test_a_process_of_its_own_passes_fails_or_hangs() -> None:
    def spins() -> bool:
        while True:
            pass

    assert outcome(lambda: True) == "passes"
    assert outcome(lambda: False) == "fails"
    assert outcome(lambda: 1 // 0 == 0) == "fails"
    assert outcome(spins, busy=1) == "hangs"


def test_a_module_is_replaced_as_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "src" / "duplexcore" / "call" / "timeout.py"
    monkeypatch.setattr(sys, "meta_path", [Replaced("timeout_of_nobody", path, "ANSWER = 42\n"), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "timeout_of_nobody", raising=False)
    assert __import__("timeout_of_nobody").ANSWER == 42
    sys.modules.pop("timeout_of_nobody")


def test_the_properties_own_tests_are_there() -> None:
    assert all((ROOT / path).exists() for path in PROPERTIES)
