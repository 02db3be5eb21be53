"""Case files: written, read, run again; those that are none are told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from duplexcore.testing.sim.cases import Case, CaseFileError, replay
from duplexcore.testing.sim.hunting import hunt
from duplexcore.testing.sim.pictures import text
from duplexcore.testing.sim.targets import EngineOptions, EngineTarget

from .planted import overtaken

OPTIONS = EngineOptions(calls=2, leaves=False, faults=False)


def found() -> Case:
    with overtaken():
        return Case.of(next(hunt(EngineTarget(OPTIONS), range(100))), OPTIONS)


def test_a_case_is_written_read_and_replayed(tmp_path: Path) -> None:
    case = found()
    path = case.write(tmp_path)
    again = Case.read(path)
    assert again == case
    assert again.versions["h2"]
    assert bytes.fromhex(again.wire["client"])
    with overtaken():
        run = replay(again)
    assert run.error is not None
    assert run.error.number == case.number
    assert "by peer" in text(run.recording.entries)
    assert replay(again).error is None  # without the fault


def test_the_same_fault_has_the_same_name() -> None:
    assert found().name == found().name


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not a case file"),
        ("[]", "is not a case file"),
        ('{"format": "something"}', "is not a case file"),
        ('{"format": "duplexcore case", "version": 99}', "version 99; this is duplexcore with version 5"),
        ('{"format": "duplexcore case", "version": 5}', "is damaged"),
    ],
)
def test_what_is_no_case_file_is_told(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "x.dxcase"
    path.write_text(content)
    with pytest.raises(CaseFileError, match=says):
        Case.read(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tape": ["x"]}, "more than numbers"),
        ({"options": {"nonsense": 1}}, "of another version"),
        ({"options": {"calls": 0}}, "must be from 1 to 100"),
        ({"target": "other:Service"}, "but there is no module 'other' here"),
    ],
)
def test_a_damaged_case_is_told(tmp_path: Path, change: dict[str, object], says: str) -> None:
    path = found().write(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CaseFileError, match=says):
        replay(Case.read(path))
