"""`duplexcore fuzz explore` and `coverage`, in worlds that are small: what they print, keep, and exit with."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner, Result

from duplexcore import CallEnded
from duplexcore.call.base import Call
from duplexcore.cli.app import command
from duplexcore.cli.explore_app import Way

SMALL = ("--requests", "0", "--responses", "0")
WHOLE = "(0,0,1): 24 states, 33 transitions, longest 10"


end = Call._end


def hastily(self: Call, ended: CallEnded) -> None:
    """A fault: what ends pushes out the last message that nobody has read."""
    inbox = self._inbox
    if inbox.waiting and self.ended is None:
        kept = inbox.waiting[:-1]
        inbox._first = inbox._rest = None
        for item in kept:
            inbox._append(item)
    end(self, ended)


def fuzz(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, ["fuzz", *map(str, arguments)])


# --- explore ----------------------------------------------------------------------------------------------------------


def test_a_small_world_is_explored_to_its_end() -> None:
    result = fuzz("explore", *SMALL)
    assert result.exit_code == 0, result.output
    assert WHOLE in result.output
    assert "8 states of the client, 7 of the server; ends:" in result.output
    assert "not complete" not in result.output


def test_what_is_left_is_estimated_once_it_becomes_less() -> None:
    """Half a new state is found for each that is explored: of 150 that wait 300 will come."""
    way = Way()
    assert [way.left(states, 200) for states in range(0, 500, 100)] == [None] * 5
    way = Way()
    for at in range(9):
        way.left(100 * at, 600 - 50 * at)
    assert way.left(900, 150) == 300


def test_features_add_states() -> None:
    result = fuzz("explore", *SMALL, "--feature", "cancels")
    assert result.exit_code == 0, result.output
    assert "CANCELLED local" in result.output
    assert WHOLE not in result.output


def test_what_is_left_is_exit_3_and_is_gone_on_with(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    part = fuzz("explore", *SMALL, "--max-states", "9", "--resume", kept)
    assert part.exit_code == 3, part.output
    assert "not complete: run it again with --resume" in part.output
    whole = fuzz("explore", *SMALL, "--resume", kept)
    assert whole.exit_code == 0, whole.output
    assert WHOLE in whole.output
    again = fuzz("explore", *SMALL, "--resume", kept)
    assert (again.exit_code, WHOLE in again.output) == (0, True)


def test_shards_do_it_together(tmp_path: Path) -> None:
    exchange, left = tmp_path / "exchange", {0, 1}
    counts = {}
    for _ in range(12):
        for shard in (0, 1):
            arguments = (*SMALL, "--shard", f"{shard}/2", "--exchange", exchange, "--resume", tmp_path / f"{shard}")
            result = fuzz("explore", *arguments)
            assert result.exit_code in (0, 3), result.output
            (left.discard if result.exit_code == 0 else left.add)(shard)
            line = next(line for line in result.output.splitlines() if " transitions" in line)
            counts[shard] = int(line.partition(": ")[2].partition(" ")[0])
        if not left:
            break
    assert not left
    assert sum(counts.values()) == 24


def test_a_fault_in_the_engine_is_exit_1() -> None:
    with mock.patch.object(Call, "_end", hastily):
        result = fuzz("explore", "--requests", "0", "--feature", "reads")
    assert result.exit_code == 1, result.output
    assert "does not hold: " in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--shard", "0/2"], "--shard and --exchange need each other"),
        (["--exchange", "x"], "--shard and --exchange need each other"),
        (["--shard", "2/2", "--exchange", "x"], "'2/2' is not of the form 0/4"),
        (["--shard", "x", "--exchange", "x"], "'x' is not of the form 0/4"),
        (["--feature", "odd"], "'odd' is not one of"),
        (["--requests", "9"], "--requests"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], says: str) -> None:
    result = fuzz("explore", *arguments)
    assert result.exit_code == 2, result.output
    assert says in result.output


def test_what_another_exploration_has_kept_is_wrong_use(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    assert fuzz("explore", *SMALL, "--resume", kept).exit_code == 0
    for arguments in (("--requests", "1", "--responses", "0"), (*SMALL, "--every-order")):
        result = fuzz("explore", *arguments, "--resume", kept)
        assert result.exit_code == 2, result.output
    kept.write_bytes(b"noise")
    noise = fuzz("explore", *SMALL, "--resume", kept)
    assert noise.exit_code == 2, noise.output
    assert "Traceback" not in noise.output


# --- coverage ---------------------------------------------------------------------------------------------------------


def test_few_runs_reach_some_and_say_what_is_missing() -> None:
    result = fuzz("coverage", "--runs", "3")
    assert result.exit_code == 1, result.output
    lines = result.output.splitlines()
    reached = {line.split()[0]: line.split() for line in lines if " of " in line and not line.startswith("not")}
    assert {"races", "marks"} <= reached.keys() or len(reached) >= 3, lines[:6]
    assert all(0 < int(words[-3]) < int(words[-1]) for words in reached.values())
    assert "not reached: mark: call ends as unprocessed" in lines


def test_a_fault_in_the_engine_ends_the_coverage() -> None:
    with mock.patch.object(Call, "_end", hastily):
        result = fuzz("coverage", "--runs", "20")
    assert result.exit_code == 1, result.output
    assert "does not hold: " in result.output
