"""`duplexcore fuzz`: what it finds, keeps and runs again, and how it says what can not be run."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from duplexcore.cli.app import command

from .running import COMMAND, running

ROOT = Path(__file__).resolve().parents[2]
HASTY = ROOT / "examples" / "fuzzing"
DOCS = (ROOT / "docs" / "fuzzing.md").read_text(encoding="utf-8")
SMALL = ("--calls", "1", "--messages", "1", "--no-endings", "--no-leaves", "--no-faults", "--no-settings")


def fuzz(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, ["fuzz", *map(str, arguments)])


@pytest.fixture(autouse=True)
def in_the_folder_of_the_example(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules are found in the current folder; what the command adds to the path is taken off again."""
    monkeypatch.chdir(HASTY)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("hasty", None)


@pytest.fixture(scope="module")
def hunted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """The planted fault, found: what was said, and the folder of it all."""
    folder = tmp_path_factory.mktemp("hunt")
    reports = ",".join(f"{kind}={folder / kind}" for kind in ("junit", "ndjson", "html"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(HASTY)
        patch.setattr(sys, "path", [*sys.path])
        result = fuzz("run", "hasty:Hasty", *SMALL, "--runs", "60", "--cases", folder / "cases", "--report", reports)
    return result, folder


def case_of(folder: Path, number: str) -> Path:
    [path] = (folder / "cases").glob(f"{number}-*.dxcase")
    return path


def test_a_planted_fault_is_found_drawn_and_kept(hunted: tuple[Result, Path]) -> None:
    result, folder = hunted
    assert result.exit_code == 1, result.output
    assert "P2: c0 got the server's status after 0 of 1 messages" in result.output
    assert re.search(r"the race: step \d+ \(s0 finish\) comes before step \d+ \(server writes\)", result.output)
    case = case_of(folder, "P2")
    assert f"again:  duplexcore fuzz replay {case}" in result.output
    for suffix in (".html", ".mmd"):
        assert case.with_suffix(suffix).is_file()
    assert case.with_suffix(".mmd").read_text(encoding="utf-8").startswith("sequenceDiagram\n")


def test_the_reports_say_the_same(hunted: tuple[Result, Path]) -> None:
    _, folder = hunted
    suite = ET.fromstring((folder / "junit").read_text(encoding="utf-8"))
    failed = {case.attrib["name"].partition(":")[0] for case in suite if case.find("failure") is not None}
    lines = [json.loads(line) for line in (folder / "ndjson").read_text(encoding="utf-8").splitlines()]
    assert {line["number"] for line in lines[:-1]} == failed
    assert "P2" in failed
    assert int(suite.attrib["failures"]) == len(failed) == lines[-1]["findings"]
    assert len(suite) == int(suite.attrib["tests"]) > len(failed)
    assert lines[-1]["runs"] == 60
    assert "after 0 of 1 messages" in (folder / "html").read_text(encoding="utf-8")


def test_a_case_is_replayed_by_file_and_by_name(hunted: tuple[Result, Path], tmp_path: Path) -> None:
    _, folder = hunted
    page = tmp_path / "page.html"
    for name in (case_of(folder, "P2"), "P2"):
        result = fuzz("replay", name, "--cases", folder / "cases", "--html", page)
        assert result.exit_code == 1, result.output
        assert result.output.startswith("FAILED  P2: c0 got the server's status")
    assert "P2 does not hold" in page.read_text(encoding="utf-8")


def test_without_the_fault_it_is_fixed(hunted: tuple[Result, Path], tmp_path: Path) -> None:
    content = json.loads(case_of(hunted[1], "P2").read_text(encoding="utf-8"))
    sound = tmp_path / "sound.dxcase"
    sound.write_text(json.dumps(content | {"target": "engine"}), encoding="utf-8")
    result = fuzz("replay", sound)
    assert (result.exit_code, result.output[:5]) == (0, "FIXED")
    result = fuzz("shrink", sound)
    assert result.exit_code == 2
    assert "does not fail any more" in result.output


MOODY = """
import itertools
from hasty import Hasty
from duplexcore.testing.sim.targets import EngineTarget

runs = itertools.count()

class Moody(EngineTarget):
    def __call__(self, chooser):
        return (Hasty if next(runs) in (1, 3) else EngineTarget).__call__(self, chooser)
"""


def test_a_failure_that_comes_and_goes_is_flaky(
    hunted: tuple[Result, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads(case_of(hunted[1], "P2").read_text(encoding="utf-8"))
    (tmp_path / "moody.py").write_text(MOODY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    moody = tmp_path / "moody.dxcase"
    moody.write_text(json.dumps(content | {"target": "moody:Moody"}), encoding="utf-8")
    result = fuzz("replay", moody)
    assert result.exit_code == 1
    assert result.output.startswith("FLAKY 2 of 5  P2")


def test_a_long_case_is_made_smaller(hunted: tuple[Result, Path], tmp_path: Path) -> None:
    small = json.loads(case_of(hunted[1], "P2").read_text(encoding="utf-8"))
    long = tmp_path / "P2-long.dxcase"
    long.write_text(json.dumps(small | {"tape": [1, 0, 0, 0, 0, 1]}), encoding="utf-8")
    result = fuzz("shrink", long, "--cases", tmp_path / "cases")
    assert result.exit_code == 0, result.output
    [smaller] = (tmp_path / "cases").glob("*.dxcase")
    assert json.loads(smaller.read_text(encoding="utf-8"))["tape"] == small["tape"]
    assert "9 steps" in result.output
    again = fuzz("shrink", smaller)
    assert "as small as it gets" in again.output


def test_the_test_that_it_writes_fails_under_pytest_with_the_picture(hunted: tuple[Result, Path]) -> None:
    _, folder = hunted
    [test] = (folder / "cases").glob("test_p2_*.py")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", test],
        cwd=HASTY,
        env={"PYTHONPATH": str(HASTY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert "PropertyError: P2: c0 got the server's status after 0 of 1 messages" in run.stdout
    assert "app hears: OK by peer" in run.stdout


def test_nothing_is_found_in_the_engine(tmp_path: Path) -> None:
    result = fuzz("run", "engine", "--runs", "40", "--seed", "7", "--cases", tmp_path)
    assert result.exit_code == 0, result.output
    assert "nothing found in 40 runs" in result.output
    assert not list(tmp_path.iterdir())


def test_time_is_a_bound(tmp_path: Path) -> None:
    result = fuzz("run", "engine", "--max-time", "0", "--cases", tmp_path)
    assert (result.exit_code, "nothing found in 0 runs" in result.output) == (0, True)


def test_forever_ends_with_ctrl_c_and_tells(tmp_path: Path) -> None:
    with running(COMMAND, "fuzz", "forever", "hasty:Hasty", *SMALL, "--cases", tmp_path) as process:
        process.until("again:  duplexcore fuzz replay ")
        process.process.send_signal(signal.SIGINT)
        assert process.ends() == 1, process.errors
    assert re.match(r"\d failures in [\d,]+ runs", process.lines[-1])
    assert "Traceback" not in process.errors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nonsense"], "'nonsense' is no target"),
        (["run", "no_such_module:Service"], "there is no module 'no_such_module' here"),
        (["run", "json:Service"], "module 'json' has no 'Service'"),
        (["run", "json:loads"], "json:loads is no service"),
        (["run", "engine", "--method", "/a/b"], "--method is for a TARGET that is HOST:PORT"),
        (["run", "engine", "--report", "yaml=x"], "'yaml=x' is not one of junit=FILE"),
        (["run", "engine", "--report", "junit=/no/such/folder/x"], "cannot write"),
        (["replay", "P0-00000000"], "there is no case P0-00000000"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], says: str) -> None:
    result = fuzz(*arguments)
    assert result.exit_code == (1 if "cannot write" in says else 2), result.output
    assert says in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 99}, "is a case file of version 99"),
        ({"format": "x"}, "is not a case file"),
        ({"options": {"nonsense": 1}}, "of another version"),
        ({"target": "no_such_module:Service"}, "there is no module"),
    ],
)
def test_a_case_that_can_not_be_run_is_an_error(
    hunted: tuple[Result, Path], tmp_path: Path, change: dict[str, object], says: str
) -> None:
    content = json.loads(case_of(hunted[1], "P2").read_text(encoding="utf-8"))
    path = tmp_path / "other.dxcase"
    path.write_text(json.dumps(content | change), encoding="utf-8")
    result = fuzz("replay", path)
    assert result.exit_code == 2
    assert result.output.startswith("ERROR")
    assert says in result.output


HASTY_CHAT = """
from hasty_room import HastyRoom
from test_room import Chat

class HastyChat(Chat):
    def service(self):
        self.room = HastyRoom()
        return self.room.router
"""


def test_a_service_in_process_is_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hasty_chat.py").write_text(HASTY_CHAT, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(HASTY.parent / "chat_room")
    result = fuzz("run", "hasty_chat:HastyChat", "--runs", "100", "--cases", tmp_path / "cases")
    assert result.exit_code == 1, result.output
    assert "nobody_is_a_ghost: " in result.output
    [diagram] = (tmp_path / "cases").glob("nobody_is_a_ghost-*.mmd")
    assert "sequenceDiagram" in diagram.read_text(encoding="utf-8")
    assert re.search(r"the race: step \d+ \(.+\) comes before step \d+ \(.+\)", result.output)
    page = diagram.with_suffix(".html")
    assert f"page:   {page}" in result.output
    [test] = (tmp_path / "cases").glob("test_nobody_is_a_ghost_*.py")
    assert "from hasty_chat import HastyChat" in test.read_text(encoding="utf-8")
    one = fuzz("replay", diagram.with_suffix(".dxcase"), "--times", "1", "--html", tmp_path / "again.html")
    assert one.exit_code == 1, one.output
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
    again = fuzz("replay", diagram.with_suffix(".dxcase"), "--times", "2")
    assert (again.exit_code, again.output[:6]) == (1, "FAILED")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("pass", "no_service:Machine has no service"),
        ("def service(self): return None", "no_service:Machine has no calls"),
    ],
)
def test_a_machine_without_a_service_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, says: str
) -> None:
    source = f"from duplexcore.testing.service import ServiceMachine\nclass Machine(ServiceMachine):\n    {body}\n"
    (tmp_path / "no_service.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "no_service", raising=False)
    result = fuzz("run", "no_service:Machine", "--runs", "2")
    monkeypatch.delitem(sys.modules, "no_service", raising=False)
    assert result.exit_code == 2, result.output
    assert says in result.output
    content = {"target": "no_service:Machine", "options": {}, "tape": [], "number": "x", "message": "x"}
    case = tmp_path / "x.dxcase"
    case.write_text(json.dumps({"format": "duplexcore case", "version": 5} | content), encoding="utf-8")
    again = fuzz("replay", case)
    monkeypatch.delitem(sys.modules, "no_service", raising=False)
    assert (again.exit_code, again.output[:5]) == (2, "ERROR")


# --- the carriers beside each other -----------------------------------------------------------------------------------


def test_the_carriers_are_compared_by_several_processes(tmp_path: Path) -> None:
    result = fuzz("run", "engine", "--differential", "--jobs", "2", "--runs", "120", "--cases", tmp_path)
    assert result.exit_code == 0, result.output
    assert "nothing found in 120 runs" in result.output
    assert "1 checks" in result.output


def test_jobs_and_the_comparison_are_for_the_engine() -> None:
    result = fuzz("run", "hasty:Hasty", "--differential")
    assert (result.exit_code, "--differential is for the engine" in result.output) == (2, True)
    result = fuzz("run", "localhost:1", "--jobs", "2")
    assert (result.exit_code, "--jobs is for the engine" in result.output) == (2, True)


# --- what the tutorial shows ------------------------------------------------------------------------------------------


def test_the_tutorial_shows_the_diagram_that_the_tool_makes(hunted: tuple[Result, Path]) -> None:
    diagram = case_of(hunted[1], "P2").with_suffix(".mmd").read_text(encoding="utf-8")
    assert f"```mermaid\n{diagram}```\n" in DOCS, f"docs/fuzzing.md shows another diagram than this one:\n{diagram}"


def test_the_tutorial_shows_the_example_and_the_test_word_for_word(hunted: tuple[Result, Path]) -> None:
    assert f"```python\n{(HASTY / 'hasty.py').read_text(encoding='utf-8')}```\n" in DOCS
    [test] = (hunted[1] / "cases").glob("test_p2_*.py")
    text = test.read_text(encoding="utf-8")
    assert f"```python\n{text}```\n" in DOCS, text
