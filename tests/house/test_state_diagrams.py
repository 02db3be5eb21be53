"""docs/states.md is drawn from the tables, and loses nothing of them."""

from pathlib import Path

import pytest

from scripts import state_diagrams
from scripts.state_diagrams import MACHINES, Machine


@pytest.fixture(params=MACHINES, ids=[machine.source.rpartition(".")[2] for machine in MACHINES])
def machine(request: pytest.FixtureRequest) -> Machine:
    chosen: Machine = request.param
    return chosen


def test_the_page_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert state_diagrams.main(["--check"]) == 0, capsys.readouterr().out


def test_the_grid_says_what_the_table_says(machine: Machine) -> None:
    head, _, *rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in state_diagrams.grid(machine)]
    read = {(row[0], what): cell for row in rows for what, cell in zip(head[1:], row[1:], strict=True) if cell != "·"}
    assert read == {(state.name, what.name): following.name for (state, what), following in machine.table.items()}


def test_the_diagram_draws_every_way_on(machine: Machine) -> None:
    lines = [line.strip() for line in state_diagrams.diagram(machine)]
    assert lines[1] == "stateDiagram-v2"
    assert f"[*] --> {machine.initial.name}" in lines
    drawn = set()
    for line in lines:
        way, _, names = line.partition(": ")
        if names:
            state, _, following = way.partition(" --> ")
            drawn |= {(state, name, following) for name in names.split(", ")}
    assert drawn == {
        (state.name, what.name, following.name)
        for (state, what), following in machine.table.items()
        if state != machine.final
    }


def test_a_stale_page_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "states.md"
    monkeypatch.setattr(state_diagrams, "PAGE", page)
    assert state_diagrams.main(["--check"]) == 1
    assert "make diagrams" in capsys.readouterr().err
    assert state_diagrams.main([]) == 0
    assert state_diagrams.main(["--check"]) == 0
