"""A failing run of a service as files: the race is marked, the page stands alone, case and test run it again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from duplexcore.testing.service import ServiceFailure, ServiceMachine
from duplexcore.testing.service.recording import ServiceRecording
from duplexcore.testing.sim.cases import Case
from duplexcore.testing.sim.choosing import TapeChooser
from duplexcore.testing.sim.recording import Entry, Kind, StepTaken
from duplexcore.testing.sim.reports import Kept
from tests.cli.test_page import FETCHING, Elements, browser, rendered

from .rooms import TALK, Ghosts, Hasty, HastyRoom

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "testing-services.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def failure() -> ServiceFailure:
    with pytest.raises(ServiceFailure) as failed:
        Ghosts.check()
    return failed.value


@pytest.fixture(scope="module")
def kept(failure: ServiceFailure, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return failure.keep(tmp_path_factory.mktemp("cases"))


def had(machine: type[ServiceMachine], tape: tuple[int, ...]) -> tuple[list[Entry], dict[int, StepTaken]]:
    recording = ServiceRecording()
    with suppress(AssertionError):
        machine.run(TapeChooser(tape), recording)
    return recording.entries, {step.number: step for step in recording.steps}


def shown(dom: str, kind: str) -> list[dict[str, str | None]]:
    return [attributes for _, attributes in Elements(dom).tags if kind in (attributes.get("class") or "").split()]


def test_the_race_of_the_ghost_is_that_the_handler_begins_before_the_server_hears_that_the_client_left(
    failure: ServiceFailure,
) -> None:
    race = failure.race
    assert race is not None
    entries, steps = had(Ghosts, failure.tape)
    assert steps[race.first].label == "server runs handler 0"
    assert steps[race.second].label == "server runs duplexcore reader"
    reset = next(one for one in entries if one.kind is Kind.ARRIVED and one.text.startswith("RST"))
    assert reset.step < race.second
    assert f"the race: step {race.first} (server runs handler 0) comes before" in str(failure)
    assert f"{race.first}»" in failure.picture
    assert f"{race.second}» server runs duplexcore reader" in failure.picture
    assert failure.diagram.count("Note over CA,SA: race: step") == failure.diagram.count("  rect ") == 2
    assert failure.diagram.count("  end\n") == 2
    assert f"  Note over CA,SA: {failure.case.message}" in failure.diagram


def test_each_step_has_its_clocks_and_windows(failure: ServiceFailure) -> None:
    entries, steps = had(Ghosts, failure.tape)
    assert [number for number, *_ in failure.case.clocks] == list(steps)
    assert steps[max(steps)].clocks[-1] > 0  # the server's went on
    windows = {(one.side, one.stream): one.credit for one in steps[max(steps)].windows}
    assert windows["client", 0] == 65_535 + 983_041  # what both have said in the handshake
    assert ("client", 1) in windows
    assert {entry.side for entry in entries if entry.wire} == {"client", "server"}


def test_two_connections_have_two_clocks_for_clients_and_wires_of_their_own() -> None:
    class Two(Hasty):
        calls = Hasty.calls
        max_calls = connections = 2

    # Another call, then the second call on the second connection.
    entries, steps = had(Two, (0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1))
    assert {entry.connection for entry in entries} == {0, 1}
    assert {len(step.clocks) for step in steps.values()} == {3}
    assert {one.side for one in steps[1].windows} == {"client", "server", "client 2", "server 2"}


def test_the_case_is_read_and_fails_again(failure: ServiceFailure, kept: Kept) -> None:
    case = Case.read(kept.case)
    assert case == failure.case
    assert case.target == "tests.testing_machines.rooms:Ghosts"
    assert bytes.fromhex(case.wire["client"]).startswith(b"PRI * HTTP/2.0")
    assert case.events[0].observed == ("CANCELLED local",)
    with pytest.raises(ServiceFailure) as again:
        Ghosts.replay(case.tape)
    assert again.value.case.race == case.race


def test_the_test_that_is_written_fails_with_the_picture(failure: ServiceFailure, kept: Kept) -> None:
    assert kept.test is not None
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(kept.test)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        command, cwd=kept.test.parent, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stdout
    assert failure.case.race is not None
    assert failure.case.race.told in done.stdout


def test_a_failing_test_leaves_the_files_and_says_where(tmp_path: Path) -> None:
    class Kept(Ghosts):
        cases = tmp_path / "cases"

    with pytest.raises(ServiceFailure) as failed:
        Kept.TestCase("test_in_every_order").test_in_every_order()  # type: ignore[attr-defined]
    [note] = failed.value.__notes__
    for suffix in (".dxcase", ".html", ".mmd"):
        [path] = (tmp_path / "cases").glob(f"*{suffix}")
        assert suffix == ".mmd" or str(path) in note
    assert "again:  duplexcore fuzz replay " in note


def test_the_page_asks_for_nothing(kept: Kept) -> None:
    assert kept.page is not None
    text = kept.page.read_text(encoding="utf-8")
    for tag, attributes in Elements(text).tags:
        fetched = {name: value for name, value in attributes.items() if name in FETCHING}
        assert set(fetched.values()) <= {"data:,"}, (tag, fetched)


@browser
def test_a_browser_draws_both_sides_and_marks_the_race(failure: ServiceFailure, kept: Kept, tmp_path: Path) -> None:
    assert kept.page is not None
    assert failure.race is not None
    dom, log = rendered(kept.page, tmp_path / "last")
    assert "CONSOLE" not in log, log
    assert [int(band["data-step"] or 0) for band in shown(dom, "race")] == [failure.race.first, failure.race.second]
    assert len(shown(dom, "waiting")) == dom.count("◆ 0: handler is ")
    assert "handler is waiting at hasty_room.py:" in dom
    assert failure.case.message in dom
    assert "CANCELLED local" in dom
    assert shown(dom, "later") == []
    dom, log = rendered(kept.page, tmp_path / "race", fragment=f"#step-{failure.race.first}")
    assert f"Race: {failure.race.told}." in dom
    assert "Step 5: server runs handler 0" in dom
    assert shown(dom, "later")
    assert "CONSOLE" not in log, log


def test_the_tutorial_shows_what_its_machine_says() -> None:
    [source] = re.findall(r"```python\n(from duplexcore.testing.service import .*?)```", DOCS, re.DOTALL)
    names: dict[str, Any] = {"HastyRoom": HastyRoom, "TALK": TALK, "__name__": "docs"}
    exec(source, names)
    with pytest.raises(ServiceFailure) as failed:
        names["Chat"].check()
    failure = failed.value
    # How many runs it took is left out: that changes with everything.
    head, _, rest = str(failure).partition("\n\n")
    told = f"```text\n{head}\n\n{rest.partition(chr(10) * 2)[2]}\n```\n"
    assert told in DOCS, f"docs/testing-services.md shows something else than this:\n{told}"
    drawn = f"```mermaid\n{failure.diagram}```\n"
    assert drawn in DOCS, f"docs/testing-services.md shows something else than this:\n{drawn}"
