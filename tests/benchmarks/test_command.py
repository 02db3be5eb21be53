"""``python -m benchmarks run``: what it prints and writes, and what it says about wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.alone import command
from benchmarks.results import Results, ResultsError


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, ["run", *map(str, arguments)], prog_name="python -m benchmarks")


def test_a_run_prints_a_table_and_writes_json_and_markdown(tmp_path: Path) -> None:
    ours = "duplexcore-asyncio-h2"
    done = run(
        "--peers", ours, "--workloads", "ping-1,unary-64", "--repetitions", "2", "--operations", "2",
        "--json", tmp_path / "figures.json", "--out", tmp_path / "tables.md",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert f"[4/4] 2/2 unary-64: {ours}" in done.stderr
    assert "ping-1: round trips on one duplex stream" in done.stdout
    content = json.loads((tmp_path / "figures.json").read_text())
    assert content["format"] == 1
    assert content["about"]["repetitions"] == 2
    assert content["libraries"][ours].startswith("duplexcore ")
    assert [(cell["workload"], len(cell["runs"]), cell["failures"]) for cell in content["cells"]] == [
        ("ping-1", 2, []),
        ("unary-64", 2, []),
    ]
    assert "| duplexcore-asyncio-h2 | " in (tmp_path / "tables.md").read_text()
    read = Results.read(tmp_path / "figures.json")
    spread = read.cells[0].spread("rate")
    assert spread is not None
    assert spread.low <= spread.middle <= spread.high
    assert read.middle(ours, "ping-1", "rate") == spread.middle


def test_the_list_has_every_peer_and_workload() -> None:
    done = run("--list")
    assert done.exit_code == 0
    for name in ("duplexcore-asyncio-native", "grpc.aio", "firehose", "unary-64/dressed"):
        assert name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--peers", "grpc.oai"], "no peer 'grpc.oai'; there are: duplexcore-asyncio-native, "),
        (["--peers", "grpc.aio:nobody"], "no peer 'nobody'"),
        (["--peers", ","], "no peer is named"),
        (["--workloads", "fire"], "no workload 'fire'; there are: unary-1, "),
        (["--repetitions", "0"], "0 is not in the range"),
        (["--seconds", "-1"], "-1.0 is not in the range"),
        (["now"], "unexpected extra argument"),
    ],
)
def test_wrong_use_is_told_and_exits_with_2(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert says in done.stderr


def test_a_failure_is_told_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUPLEXCORE_PEERS", str(tmp_path / "nowhere"))
    (tmp_path / "nowhere").write_text("a file, so that nothing can be installed there")
    done = run(
        "--peers", "grpclib,duplexcore-asyncio-h2", "--workloads", "ping-1", "--repetitions", "1", "--operations", "1",
        "--json", tmp_path / "figures.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "grpclib is left out: grpclib: cannot write" in done.stderr
    assert "left out: grpclib: " in done.stdout


def test_a_file_that_is_no_result_is_told(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(ResultsError, match="no results of a benchmark run"):
        Results.read(tmp_path / "other.json")
    with pytest.raises(ResultsError, match="No such file"):
        Results.read(tmp_path / "absent.json")
