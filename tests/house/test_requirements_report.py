"""The bookkeeping of ids: what counts as one, what the report says, and that a wrong one cannot go unnoticed."""

import tomllib

import pytest

from scripts.requirements import ROOT, Report, all_ids, check, excused, ids_in


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


def test_the_check_asks_for_every_id_so_that_a_lost_test_is_noticed() -> None:
    good = report(a1="passed", a2="passed", a3="passed")
    assert check(good, {"later": ["MD-1"]}) == []
    assert check(good, {}) == ["MD-1 has no passing test"]
    assert check(report(a1="passed", a2="skipped", a3="passed"), {"later": ["MD"]}) == ["FRM-2 has no passing test"]
    assert check(report(a1="failed", a2="passed", a3="passed"), {"later": ["MD-1", "FRM-1"]}) == [
        "FRM-1 has a failing test: t.py::a1"
    ]


def test_an_excuse_names_ids_or_groups_once_and_expires() -> None:
    good = report(a1="passed", a2="passed", a3="passed")
    assert check(good, {"later": ["MD", "FRM-1"]}) == ["FRM-1 has a passing test now: take it out of not-yet"]
    assert check(report(a2="passed"), {"later": ["MD", "FRM"]}) == [
        "FRM-2 has a passing test now: take it out of not-yet"
    ]
    assert check(good, {"later": ["MD-1", "NO", "MD-7"], "never": ["MD"], " ": ["MD-1"], "for nobody": []}) == [
        "not-yet names NO, which is no group and no id",
        "not-yet names MD-7, which is no group and no id",
        "not-yet names MD-1 twice",
        "not-yet names MD-1 twice",
        "not-yet gives no reason, or none an id: ' ' = ['MD-1']",
        "not-yet gives no reason, or none an id: 'for nobody' = []",
    ]


def test_the_excuses_of_the_project_name_what_exists() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)["tool"]["duplexcore"]["requirements"]
    assert excused(settings["not-yet"], all_ids())[1] == []
