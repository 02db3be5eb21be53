"""The engine's benchmark, the comparison of two of them, and the leak check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.alone import command
from benchmarks.engine import FIGURES, carriers
from benchmarks.engines import compared
from benchmarks.leak import Kept


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)), prog_name="python -m benchmarks")


def test_the_engine_is_measured_and_two_files_are_compared(tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    done = run("engine", "--seconds", "0.01", "--most", "10", "--json", file)
    assert done.exit_code == 0, done.output
    content = json.loads(file.read_text())
    assert list(content["carriers"]) == carriers()
    for figures in content["carriers"].values():
        assert set(figures) == set(FIGURES) - {"opening-1000", "opening-10000"}
        assert figures["call"].keys() == {"client", "server"}
        assert all(side["client"] > 0 for side in figures.values() if "client" in side)
        # What is counted and not timed is the same on every machine, within reason.
        assert 0 <= figures["call-left"]["both"] < 10
        assert 1_000 < figures["open-call-bytes"]["both"] < 20_000
    done = run("compare", file, file)
    assert done.exit_code == 0, done.output
    assert "1.00" in done.stdout


def test_a_revision_is_compared_with_the_tree_as_it_is() -> None:
    done = run("compare", "HEAD", "--seconds", "0.01", "--rounds", "1", "--most", "1")
    assert done.exit_code == 0, done.output
    assert "A is HEAD, B is ." in done.stdout
    assert "[2/2] 1/1 ." in done.stderr


def test_a_comparison_has_the_ratio_of_what_both_have() -> None:
    first = {"h2": {"call": {"client": 100.0, "server": 50.0}}}
    second = {"h2": {"call": {"client": 80.0, "server": 50.0}}, "native": {"call": {"client": 20.0}}}
    headings, lines = compared(first, second)
    assert headings[-3:] == ["A", "B", "B / A"]
    assert [line[0] for line in lines] == ["h2", "h2", "native"]
    assert [line[2:] for line in lines] == [
        ["client", "100", "80.00", "0.80"],
        ["server", "50.00", "50.00", "1.00"],
        ["client", "", "20.00", ""],
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["compare", "no-such-revision"], 2, "'no-such-revision' is neither a file nor a revision"),
        (["compare"], 2, "Missing argument 'A'"),
        (["leak", "--peer", "nobody"], 2, "no peer 'nobody'"),
        (["leak", "--calls", "3"], 2, "3 is not in the range"),
        (["goals", "absent.json"], 2, "`python -m benchmarks run` makes such a file"),
        (["sideways"], 2, "No such command"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], code: int, says: str) -> None:
    done = run(*arguments)
    assert done.exit_code == code
    assert says in done.stderr


def test_one_file_and_one_revision_can_not_be_compared(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert "name two of a kind" in run("compare", tmp_path / "a.json", "HEAD").stderr
    (tmp_path / "b.json").write_text("{}")
    done = run("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert done.exit_code == 1
    assert "no figures of the engine" in done.stderr


def test_the_leak_check_measures_both_sides() -> None:
    done = run("leak", "--calls", "200")
    assert done.exit_code in (0, 1), done.output  # so few calls are no evidence either way
    assert "200 calls and 2,000 messages: server " in done.stdout


def test_a_leak_is_growth_of_either_side() -> None:
    assert not Kept(1, 10, server=1.02, client=0.9).leaks
    assert Kept(1, 10, server=1.0, client=1.03).leaks
