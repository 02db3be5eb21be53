"""A failing run as a page, in a real browser, without a network; and the race that it marks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from duplexcore.testing.sim.cases import Case, Replay, replay
from duplexcore.testing.sim.hunting import hunt
from duplexcore.testing.sim.page import page
from duplexcore.testing.sim.recording import Entry, Kind
from duplexcore.testing.sim.targets import EngineOptions, EngineTarget
from tests.cli.test_page import FETCHING, Elements, browser, rendered

from .planted import overtaken

OPTIONS = EngineOptions(calls=1, messages=1, endings=False, leaves=False, settings=False, faults=False)


@pytest.fixture(scope="module")
def failure() -> tuple[Case, Replay]:
    with overtaken():
        finding = next(one for one in hunt(EngineTarget(OPTIONS), range(100)) if one.number == "P2")
        case = Case.of(finding, OPTIONS)
        return case, replay(case)


@pytest.fixture(scope="module")
def file(failure: tuple[Case, Replay], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "case.html"
    path.write_text(page(*failure), encoding="utf-8")
    return path


def response(run: Replay) -> Entry:
    """The DATA of the server, as it sets out."""
    return next(
        one
        for one in run.recording.entries
        if one.kind is Kind.FRAMED and one.side == "server" and one.text.startswith("DATA")
    )


def shown(dom: str, kind: str) -> list[dict[str, str | None]]:
    """The attributes of all groups and rectangles that are of a class."""
    return [attributes for tag, attributes in Elements(dom).tags if kind in (attributes.get("class") or "").split()]


def test_the_race_is_the_two_steps_whose_order_matters(failure: tuple[Case, Replay]) -> None:
    case, run = failure
    assert case.race is not None
    actors = {step.number: step.actor for step in run.recording.steps}
    assert (actors[case.race.first], actors[case.race.second]) == ("s0 writer", "server")
    assert "s0 finish" in case.race.told


def test_each_step_has_its_clocks_and_windows(failure: tuple[Case, Replay]) -> None:
    case, run = failure
    assert [number for number, *_ in case.clocks] == list(range(len(run.simulation.trace) + 1))
    sent = response(run)
    before, after = (
        next(one for one in run.recording.steps[sent.step + more].windows if (one.side, one.stream) == ("server", 0))
        for more in (-1, 0)
    )
    assert before.credit - after.credit == after.under_way == len(sent.wire) - 9 > 0
    assert run.recording.steps[-1].windows[0].under_way == 0


def test_what_was_expected_stands_beside_what_came(failure: tuple[Case, Replay]) -> None:
    client = next(one for one in failure[0].events if one.side == "client")
    assert client.expected == ("INITIAL_METADATA", "MESSAGE", "OK peer")
    assert client.observed == ("INITIAL_METADATA", "OK peer")


def test_it_asks_for_nothing(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for tag, attributes in Elements(text).tags:
        fetched = {name: value for name, value in attributes.items() if name in FETCHING}
        assert set(fetched.values()) <= {"data:,"}, (tag, fetched)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(|WebSocket", text)
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) == {"http://www.w3.org/2000/svg"}


def test_texts_of_others_can_not_end_the_data(failure: tuple[Case, Replay]) -> None:
    case, run = failure
    hostile = Case(target="</script><b>", options=case.options, tape=case.tape, number="P2", message="<!-- </script>")
    text = page(hostile, run)
    found = re.search(r'<script type="application/json" id="run">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    assert json.loads(found[1])["message"] == "<!-- </script>"


@browser
def test_a_browser_draws_the_run_at_its_last_step(file: Path, failure: tuple[Case, Replay], tmp_path: Path) -> None:
    case, run = failure
    dom, log = rendered(file, tmp_path)
    last = run.recording.steps[-1]
    arrived = {one.number for one in run.recording.entries if one.kind is Kind.ARRIVED}
    drawn = [
        one for one in run.recording.entries if one.step and not (one.kind is Kind.FRAMED and one.number in arrived)
    ]
    assert len(shown(dom, "entry")) == len(drawn)
    assert [int(band["data-step"] or 0) for band in shown(dom, "now")] == [last.number]
    assert case.race is not None
    assert [int(band["data-step"] or 0) for band in shown(dom, "race")] == [case.race.first, case.race.second]
    assert shown(dom, "later") == []
    assert case.message in dom
    assert "INITIAL_METADATA, MESSAGE, OK peer" in dom
    assert "CONSOLE" not in log, log


KEYS = """<script>for (const key of {keys}) document.dispatchEvent(new KeyboardEvent("keydown", {{key}}));</script>"""


@browser
def test_keys_step_and_the_slider_follows(file: Path, failure: tuple[Case, Replay], tmp_path: Path) -> None:
    """The keys are pressed by a script in a copy of the page."""
    copy = tmp_path / "copy.html"
    pressed = KEYS.format(keys=json.dumps(["Home", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowRight"]))
    copy.write_text(file.read_text(encoding="utf-8").replace("</body>", pressed + "</body>"), encoding="utf-8")
    dom, log = rendered(copy, tmp_path / "profile")
    step = failure[1].recording.steps[3]
    assert f"Step 3: {step.label}" in dom
    assert 'data-step="3"' in dom.split(">", 2)[1]
    assert shown(dom, "later")
    assert "CONSOLE" not in log, log


@browser
def test_a_step_shows_its_windows_and_a_frame_its_bytes(
    file: Path, failure: tuple[Case, Replay], tmp_path: Path
) -> None:
    case, run = failure
    assert case.race is not None
    sent = response(run)
    dom, _ = rendered(file, tmp_path / "one", fragment=f"#step-{sent.step}")
    assert dom.count('<td class="moved">') == 4  # what is left of its windows, and DATA under way
    dom, _ = rendered(file, tmp_path / "two", fragment=f"#step-{case.race.first}")
    assert "Race: step" in dom
    dom, log = rendered(file, tmp_path / "three", fragment=f"#frame-{sent.number}")
    assert f"frame #{sent.number}, from the server, {len(sent.wire)} bytes" in dom
    assert " ".join(re.findall("..", sent.wire[:8].hex())) in dom
    assert "CONSOLE" not in log, log
