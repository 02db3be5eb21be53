"""The bookkeeping of ids: what counts as one, what the report says, and that a wrong one cannot go unnoticed."""

import pytest

from scripts.requirements import Report, all_ids, check, ids_in


def test_ids_come_from_bullets_rows_and_lettered_tables() -> None:
    text = """
- **FRM-4** (both) text that mentions **FRM-9** and DUP-3
| id | situation |
| DUP-1 | C msgs |
| D-8a | Status at once |
Table A, HTTP status → gRPC: 400 INTERNAL
- **H2-1** text
| NO_ERROR 0 | INTERNAL |
"""
    assert ids_in(text) == ["FRM-4", "DUP-1", "D-8a", "ERR-A", "H2-1"]


def test_an_id_is_defined_once() -> None:
    with pytest.raises(ValueError, match=r"FRM-4"):
        ids_in("- **FRM-4** a\n- **FRM-4** b\n")


def test_the_documents_hold_all_groups() -> None:
    ids = all_ids()
    assert {
        "HDR-1",
        "MAL-8",
        "FRM-10",
        "MD-15",
        "STAT-21",
        "DUP-41",
        "H2-12",
        "ERR-D",
        "SEC-15",
        "D-8c",
        "D-38",
    } <= set(ids)
    assert len(ids) == len(set(ids))


def report(**outcomes: str) -> Report:
    tests: dict[str, dict[str, object]] = {
        f"t.py::{name}": {"ids": [f"FRM-{name[-1]}"], "outcome": outcome} for name, outcome in outcomes.items()
    }
    return Report.of(["FRM-1", "FRM-2", "FRM-3", "MD-1"], tests)


def test_the_report_counts_passing_and_names_missing_and_failing() -> None:
    lines = list(report(a1="passed", b1="passed", a2="failed", b2="passed", a3="skipped").lines())
    assert lines == [
        "FRM     1 of   3 with a passing test; without: 3",
        "          FAILING FRM-2: t.py::a2",
        "MD      0 of   1 with a passing test; without: 1",
        "total   1 of   4; ids proved, counted per passing test: 3",
    ]


def test_the_check_asks_for_the_scope_and_for_honest_exceptions() -> None:
    good = report(a1="passed", a2="passed", a3="passed")
    assert check(good, ["FRM"], {}) == []
    assert check(good, ["FRM", "MD-1"], {"MD-1": "later"}) == []
    assert check(good, ["MD"], {}) == ["MD-1 is in scope and has no passing test"]
    assert check(good, ["FRM"], {"FRM-1": "later"}) == ["FRM-1 has a passing test now: take it out of not-yet"]
    assert check(good, ["NO", "FRM-9"], {"MD-7": "later"}) == [
        "the scope names NO, which is no group and no id",
        "the scope names FRM-9, which is no group and no id",
        "not-yet names MD-7, which is no id",
    ]
    assert check(report(a1="failed"), ["MD-1"], {"MD-1": "later"}) == ["FRM-1 has a failing test: t.py::a1"]
