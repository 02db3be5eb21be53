"""The parts of the mutation command that need no mutation tool."""

from __future__ import annotations

from pathlib import Path

from scripts.judge_mutant import SLOW
from scripts.mutants import ROOMS, ROOT, modules, room_of, types_in


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
