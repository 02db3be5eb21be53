"""The examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import running

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


def run(*command: str | Path) -> str:
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_every_example_is_tested() -> None:
    assert [path.name for path in SCRIPTS] == ["duplex_client.py", "duplex_server.py", "engine_in_memory.py"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_it_is_short(path: Path) -> None:
    code = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(code) <= 32


@pytest.mark.req("D-11", "D-12", "D-14")
def test_client_and_server() -> None:
    with running(sys.executable, EXAMPLES / "duplex_server.py", "127.0.0.1:0") as server:
        target = server.until("listening on ").split()[2]
        for _ in range(2):
            assert run(EXAMPLES / "duplex_client.py", target).splitlines() == [
                "first: welcome",
                "then: you said hello",
                "then: and I am still listening",
                "then: you said bye",
                "then: and I am still listening",
                "status: OK",
            ]


@pytest.mark.req("D-11", "D-13", "D-14")
def test_two_engines_in_memory() -> None:
    lines = run(EXAMPLES / "engine_in_memory.py").splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "server hears",
        "client hears",
        "server hears",
        "client hears",
        "client hears",
        "client hears",
    ]
    assert lines[1] == "client hears: b'welcome'"
    assert "timeless" in lines[-1]
