"""`duplexcore fuzz run HOST:PORT --pid N`: what the process of a server holds, measured and judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from duplexcore.cli import fuzz_phases
from duplexcore.cli.app import command
from duplexcore.testing.blackbox import Held, Meter, ProcessError, growth, held
from tests.support.grpc_peer import UNARY

from .running import running, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process holds")

#: Calls that end soon; two of each run at least are answered. Half a dozen runs are those that are compared with.
ASKED = ("--phases", "stateful", "--runs", "16", "--calls", "1", "--method", UNARY)


def fuzz(*arguments: str | Path | int) -> Result:
    return CliRunner().invoke(command, ["fuzz", *map(str, arguments)])


@contextmanager
def keeping(what: str) -> Generator[tuple[str, int]]:
    """A server of grpcio that keeps files, memory or nothing of each call: its address and process."""
    with running(sys.executable, "-m", "tests.support.leaking_peer", what) as server:
        yield server.until("listening on ").split()[-1], server.process.pid


# --- in the command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "check", "says"), [("files", "B10", "more open files"), ("memory", "B11", "MiB more memory")]
)
def test_a_server_that_keeps_something_of_each_call_is_found_and_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, check: str, says: str
) -> None:
    monkeypatch.setattr(fuzz_phases, "SETTLING", 0.0)
    monkeypatch.setattr(fuzz_phases, "REPLAYED", 16)
    reports = {kind: tmp_path / kind for kind in ("junit", "ndjson", "html")}
    written = ",".join(f"{kind}={path}" for kind, path in reports.items())
    with keeping(what) as (address, pid):
        result = fuzz("run", address, "--pid", pid, *ASKED, "--cases", tmp_path / "cases", "--report", written)
        assert result.exit_code == 1, result.output
        *findings, last = map(json.loads, reports["ndjson"].read_text("utf-8").splitlines())
        [found] = [one for one in findings if one["number"] == check]
        assert says in found["message"]
        assert f"stateful: process {pid} held " in result.output
        [remark] = last["remarks"]
        assert remark in result.output
        case = found["file"]
        assert "pid" not in json.loads(Path(case).read_text("utf-8"))["options"]
        again = fuzz("replay", case, "--times", "1", "--pid", pid)
        assert again.exit_code == 1, again.output
        assert again.output.startswith(f"FAILED  {check}")
        nobody = fuzz("replay", case)
        assert nobody.exit_code == 2
        assert "--pid" in nobody.output
    suite = ET.parse(reports["junit"]).getroot()
    assert any(says in one.attrib["message"] for one in suite.iter("failure"))
    assert suite.findtext("system-out") == remark
    assert remark in reports["html"].read_text("utf-8")


@pytest.mark.parametrize("which", ["grpcio", "ours"])
def test_a_server_that_keeps_nothing_is_measured_and_sound(tmp_path: Path, which: str) -> None:
    with ExitStack() as stack:
        if which == "ours":
            server, address = stack.enter_context(serving())
            pid = server.process.pid
        else:
            address, pid = stack.enter_context(keeping("nothing"))
        result = fuzz("run", address, "--pid", pid, *ASKED, "--runs", 8, "--cases", tmp_path)
    assert result.exit_code == 0, result.output
    assert f"stateful: process {pid} held " in result.output


def test_a_process_that_can_not_be_measured_is_told() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as over:
        over.wait()
    for arguments, says in (
        (("127.0.0.1:1", "--pid", over.pid), f"there is no process {over.pid}"),
        (("127.0.0.1:1", "--pid", "0"), "0 is not in the range"),
        (("engine", "--pid", os.getpid()), "--pid is for a TARGET that is HOST:PORT"),
        (("192.0.2.1:1", "--i-may-test-this-target", "--pid", os.getpid()), "192.0.2.1 is another one"),
    ):
        result = fuzz("run", *arguments)
        assert result.exit_code == 2, result.output
        assert says in result.output


# --- the measure, of this process -------------------------------------------------------------------------------------


def measured() -> Meter:
    """A meter of this process, which has seen the first runs, and one more."""
    meter = Meter(os.getpid(), "stateful", 0.0)
    for _ in range(growth.WARM_UP + 1):
        meter.ran()
    return meter


def test_files_are_counted_and_a_few_are_no_leak() -> None:
    meter = measured()
    with ExitStack() as files:
        for _ in range(growth.FILES):
            files.enter_context(Path(os.devnull).open("rb"))
        assert not [one for one in meter.judge() if one.number == "B10"]
        files.enter_context(Path(os.devnull).open("rb"))
        assert [one.number for one in meter.judge() if one.number == "B10"] == ["B10"]
    assert not [one for one in meter.judge() if one.number == "B10"]


def test_memory_counts_beyond_what_allocators_keep_and_a_little_a_run() -> None:
    meter = measured()
    kept = b"\1" * (2 * growth.MEMORY)
    assert [one.number for one in meter.judge()] == ["B11"]
    meter.runs += len(kept) // growth.MEMORY_A_RUN
    assert not list(meter.judge())


def test_nothing_is_judged_before_there_are_runs_to_compare_with_or_when_the_process_is_gone() -> None:
    meter = Meter(os.getpid(), "stateful", 0.0)
    for _ in range(growth.WARM_UP):
        meter.ran()
    assert not list(meter.judge())
    assert str(meter) == f"stateful: process {os.getpid()} was not measured: that takes more than 5 runs"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        gone = Meter(process.pid, "hostile", 0.0)
        for _ in range(growth.WARM_UP + 1):
            gone.ran()
        process.kill()
        process.wait()
        assert not list(gone.judge())
    assert str(gone).endswith(f"was not measured to the end: there is no process {process.pid}")


def test_what_can_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert held(os.getpid()).memory > 1024**2
    assert str(Held(3 * 1024**2 // 2, 7)) == "1.5 MiB and 7 open files"
    monkeypatch.setattr(growth, "PROC", tmp_path)
    with pytest.raises(ProcessError, match="only told by Linux"):
        held(1)
    for name, status in (("self", ""), ("7", "Name: kthread\n")):
        (tmp_path / name / "fd").mkdir(parents=True)
        (tmp_path / name / "status").write_text(status, encoding="utf-8")
    with pytest.raises(ProcessError, match="process 7 has no memory"):
        held(7)
