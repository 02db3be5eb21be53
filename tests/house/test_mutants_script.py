"""The parts of the mutation command that need no mutation tool."""

from __future__ import annotations

import ast
import gc
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.judge_mutant import (
    PROPERTIES,
    PROPERTY,
    SIMULATOR,
    SLOW,
    TEST,
    Check,
    Reach,
    Replaced,
    exchange,
    name_of,
    outcome,
)
from scripts.mutants import ROOMS, ROOT, changed, defined_at, is_imported, modules, room_of, statement_at
from scripts.mutants_left_out import LeftOut


def test_every_module_of_the_engine_is_in_one_room() -> None:
    found = {room: modules([room]) for room in ROOMS}
    assert all(found.values())
    assert all(room_of(module) == room for room, its in found.items() for module in its)
    names = [module for its in found.values() for module in its]
    assert len(set(names)) == len(names)
    assert Path("src/duplexcore/call/inbox.py") in names
    assert [__import__(name_of(str(one)), fromlist=["*"]).__file__ for one in names] == [
        str(ROOT / one) for one in names
    ]


LEFT_OUT_SOURCE = """
from dataclasses import dataclass
@dataclass(frozen=True, slots=True)
class C:
    a: int | None = 1 | 3
    @lru_cache(SIZE)
    def f(self) -> str | None:
        assert self.a > 1
        if self.a is None or self.a == 300 or self.a is Kind.ONE or self.a == Kind.ONE:
            raise ValueError(f"{self.a + 1}")
        return self.a + 1
    def __repr__(self):
        return 1 + 1
SIZE: Final = 128
_ONE: Final = Kind.ONE
_TWO: Final = 300
BOTH = x is _ONE or x is _TWO or type(x) is C
def g(x, y=2 * 3, *, z: int = 2 * 3): ...
def h(*, z): ...
class Low(IntEnum):
    LEAST = 0
    MORE = 1
    MOST = 2
class Above:
    state: Low
class Below(Above):
    def f(self, other: Above, n: int, maybe: Low | None, x: float):
        return self.state is Low.LEAST or other.state != _MOST or n % 2 == 0 or len(x) == 0
    def g(self, other: Above, n: int, maybe: Low | None, x: float):
        return self.state is Low.MORE or maybe is Low.LEAST or x % 2 == 0 or n == 0 or self.word is Low.MOST
    def h(self, other: Above):
        other = Others()
        return other.state is Low.LEAST
_MOST: Final = Low.MOST
FLAG: Final = 4
TWICE: Final = 4
MORE = 4
class Local(Above):
    def f(self, x):
        one: Low = x.low()
        two: Low = x.low()
        two = x.other()
        for three in (one for one in x): pass
        return two is Low.LEAST or self.limit != inf or self.limit == inf or inf != self.limit
    def g(self, x, TWICE):
        one: Low = x.low()
        return one is Low.LEAST or one is Low.MOST or one is not Low.MORE or (lambda two: two)
def bits(x, y):
    a = x & 3 | 4, x << 3 | FLAG, x << 3 | TWICE, x & 3 | MORE, x & 12 | FLAG, x | 4, 0 + x
    b = (x & 1) + (y << 1), FLAG ^ (8 if x else 16), FLAG ^ (8 if x else 5), x << y | 0, x & 3 | 0.0
    return a, b
"""


@pytest.mark.parametrize(
    ("line", "text", "operator", "rule"),
    [
        (3, "True", "ReplaceTrueWithFalse", "manners"),
        (3, "@data", "RemoveDecorator", None),
        (5, "| None", "ReplaceBinaryOperator_BitOr_Add", "types"),
        (5, "| 3", "ReplaceBinaryOperator_BitOr_Add", None),
        (6, "@lru", "RemoveDecorator", "marks"),
        (7, "| None", "ReplaceBinaryOperator_BitOr_Add", "types"),
        (8, "> 1", "ReplaceComparisonOperator_Gt_Lt", "promises"),
        (9, "is None", "ReplaceComparisonOperator_Is_Eq", "identity"),
        (9, "is None", "ReplaceComparisonOperator_Is_IsNot", None),
        (9, "== 300", "ReplaceComparisonOperator_Eq_Is", None),
        (9, "is Kind", "ReplaceComparisonOperator_Is_Eq", "identity"),
        (9, "== Kind", "ReplaceComparisonOperator_Eq_Is", None),
        (10, "+ 1", "ReplaceBinaryOperator_Add_Sub", "words"),
        (11, "+ 1", "ReplaceBinaryOperator_Add_Sub", None),
        (13, "+ 1", "ReplaceBinaryOperator_Add_Sub", "words"),
        (14, "128", "NumberReplacer", "marks"),
        (17, "is _ONE", "ReplaceComparisonOperator_Is_Eq", "identity"),
        (17, "is _TWO", "ReplaceComparisonOperator_Is_Eq", None),
        (17, "is C", "ReplaceComparisonOperator_Is_Eq", "identity"),
        (17, "is C", "ReplaceComparisonOperator_Is_IsNot", None),
        (18, "*, z", "ReplaceBinaryOperator_Mul_Div", "signatures"),
        (18, "* 3, *", "ReplaceBinaryOperator_Mul_Div", None),
        (18, "* 3):", "ReplaceBinaryOperator_Mul_Div", None),
        (19, "*, z", "ReplaceBinaryOperator_Mul_Div", "signatures"),
        (28, "is Low.LEAST", "ReplaceComparisonOperator_Is_LtE", "bounds"),
        (28, "is Low.LEAST", "ReplaceComparisonOperator_Is_GtE", None),
        (28, "is Low.LEAST", "ReplaceComparisonOperator_Is_Gt", None),
        (28, "is Low.LEAST", "ReplaceComparisonOperator_Is_Eq", "identity"),
        (28, "!= _MOST", "ReplaceComparisonOperator_NotEq_Lt", "bounds"),
        (28, "!= _MOST", "ReplaceComparisonOperator_NotEq_Gt", None),
        (28, "== 0 or len", "ReplaceComparisonOperator_Eq_LtE", "bounds"),
        (28, "== 0 or len", "ReplaceComparisonOperator_Eq_Lt", None),
        (28, "== 0\n", "ReplaceComparisonOperator_Eq_LtE", "bounds"),
        (28, "== 0\n", "ReplaceComparisonOperator_Eq_GtE", None),
        (30, "is Low.MORE", "ReplaceComparisonOperator_Is_LtE", None),
        (30, "is Low.LEAST", "ReplaceComparisonOperator_Is_LtE", None),
        (30, "== 0 or n", "ReplaceComparisonOperator_Eq_LtE", None),
        (30, "== 0 or self", "ReplaceComparisonOperator_Eq_LtE", None),
        (30, "is Low.MOST", "ReplaceComparisonOperator_Is_GtE", None),
        (33, "is Low.LEAST", "ReplaceComparisonOperator_Is_LtE", None),
        (44, "is Low.LEAST", "ReplaceComparisonOperator_Is_LtE", None),
        (44, "!= inf", "ReplaceComparisonOperator_NotEq_Lt", "infinity"),
        (44, "!= inf", "ReplaceComparisonOperator_NotEq_LtE", None),
        (44, "!= inf", "ReplaceComparisonOperator_NotEq_IsNot", None),
        (44, "== inf", "ReplaceComparisonOperator_Eq_Lt", None),
        (44, "!= self", "ReplaceComparisonOperator_NotEq_Lt", None),
        (47, "is Low.LEAST", "ReplaceComparisonOperator_Is_LtE", "bounds"),
        (47, "is Low.LEAST", "ReplaceComparisonOperator_Is_GtE", None),
        (47, "is Low.MOST", "ReplaceComparisonOperator_Is_GtE", "bounds"),
        (47, "is not Low.MORE", "ReplaceComparisonOperator_IsNot_Lt", None),
        (49, "| 4, x << 3", "ReplaceBinaryOperator_BitOr_Add", "bits"),
        (49, "| 4, x << 3", "ReplaceBinaryOperator_BitOr_BitXor", "bits"),
        (49, "| 4, x << 3", "ReplaceBinaryOperator_BitOr_Sub", None),
        (49, "| FLAG, x", "ReplaceBinaryOperator_BitOr_Add", "bits"),
        (49, "| TWICE", "ReplaceBinaryOperator_BitOr_Add", None),
        (49, "| MORE", "ReplaceBinaryOperator_BitOr_Add", None),
        (49, "| FLAG, x | 4", "ReplaceBinaryOperator_BitOr_Add", None),
        (49, "| 4, 0", "ReplaceBinaryOperator_BitOr_Add", None),
        (49, "+ x", "ReplaceBinaryOperator_Add_BitOr", None),
        (50, "+ (y", "ReplaceBinaryOperator_Add_BitXor", "bits"),
        (50, "^ (8 if x else 16", "ReplaceBinaryOperator_BitXor_BitOr", "bits"),
        (50, "^ (8 if x else 5", "ReplaceBinaryOperator_BitXor_BitOr", None),
        (50, "| 0, x", "ReplaceBinaryOperator_BitOr_Add", None),
        (50, "| 0.0", "ReplaceBinaryOperator_BitOr_Add", None),
    ],
)
def test_what_nothing_could_notice_is_left_out(line: int, text: str, operator: str, rule: str | None) -> None:
    at = line, LEFT_OUT_SOURCE.splitlines(keepends=True)[line - 1].index(text)
    assert LeftOut(LEFT_OUT_SOURCE).by(f"core/{operator}", at) == rule


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


@pytest.mark.parametrize(("line", "names"), [(1, {"TABLE"}), (4, {"f"}), (5, {"f"}), (9, {"f"})])
def test_what_a_statement_defines(line: int, names: set[str]) -> None:
    found, within = defined_at(ast.parse(SOURCE), line)
    assert found == names
    assert list(within) == ([1] if line == 1 else [4, 5, 6, 7, 8, 9])


def test_only_the_checks_that_reach_a_line_are_asked_near_ones_and_properties_first() -> None:
    names = ["tests/http2/test_x.py::1", "tests/call/test_x.py::1", "tests/call/test_inbox.py::1"]
    tests = [Check(name, TEST, 0.1) for name in names]
    checks = [*tests, Check("tests/p.py::1", PROPERTY, 2.0), Check("cheap 1", SIMULATOR, 1.0)]
    inbox = "src/duplexcore/call/inbox.py"
    reach = Reach({inbox: {"3": [0, 1, 2, 3, 4], "4": [1], "5": [-1]}}, checks)
    assert reach.of(inbox, {inbox: [3]}) == [checks[4], checks[3], tests[2], tests[1], tests[0]]
    assert reach.of(inbox, {inbox: [4, 5]}) == [tests[1]]
    assert reach.of(inbox, {inbox: [6], "other.py": [3]}) == []
    assert reach.of_imported(inbox, {inbox: [4]}) == [tests[2], tests[1]]
    assert reach.of_imported("src/duplexcore/errors.py", {}) == [checks[4], checks[3], tests[2], tests[1], tests[0]]
    assert reach.imported(inbox, [4, 5])
    assert not reach.imported(inbox, [3, 4])


def test_a_process_of_its_own_passes_or_not_and_tells_how_far_it_came() -> None:
    def spins(tell: Callable[[str], None]) -> bool:
        tell("begun")
        signal.setitimer(signal.ITIMER_PROF, 0.05)
        while True:
            pass

    def fails(tell: Callable[[str], None]) -> bool:
        tell("begun")
        tell("gone on")
        return False

    assert outcome(lambda tell: True) == (True, "")
    assert outcome(fails) == (False, "gone on")
    assert outcome(lambda tell: 1 // 0 == 0) == (False, "")
    assert outcome(spins) == (False, "begun")


def test_functions_get_the_code_of_a_mutant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "module_of_nobody.py"
    before = """
from functools import lru_cache
class C:
    @property
    def two(self):
        return 2
@lru_cache
def three():
    return 3
"""
    path.write_text(before, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("module_of_nobody")
    one = module.C()
    assert (one.two, module.three()) == (2, 3)
    gc.freeze()  # as when all tests are collected
    exchange(path, before.replace("return 2", "return 20").replace("return 3", "return 30"))
    gc.freeze()
    assert (one.two, module.three()) == (20, 30)
    sys.modules.pop("module_of_nobody")


def test_a_module_is_replaced_as_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "src" / "duplexcore" / "call" / "timeout.py"
    monkeypatch.setattr(sys, "meta_path", [Replaced("timeout_of_nobody", path, "ANSWER = 42\n"), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "timeout_of_nobody", raising=False)
    assert __import__("timeout_of_nobody").ANSWER == 42
    sys.modules.pop("timeout_of_nobody")


def test_the_properties_own_tests_are_there() -> None:
    assert all((ROOT / path).exists() for path in PROPERTIES)
