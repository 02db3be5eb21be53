"""A recorded run as text and as a diagram."""

from __future__ import annotations

from duplexcore.testing.sim.choosing import TapeChooser
from duplexcore.testing.sim.pictures import mermaid, text
from duplexcore.testing.sim.recording import Kind, Recording
from duplexcore.testing.sim.scripts import CallScript
from duplexcore.testing.sim.simulation import Scenario, Simulation


def recorded(*scripts: CallScript) -> Recording:
    recording = Recording()
    Simulation(Scenario(calls=scripts), TapeChooser([]), [recording]).run()
    return recording


def test_every_frame_sets_out_and_arrives_once() -> None:
    entries = recorded(CallScript(requests=(3, 0), responses=(40_000,))).entries
    framed = [entry.number for entry in entries if entry.kind is Kind.FRAMED]
    assert framed == [entry.number for entry in entries if entry.kind is Kind.ARRIVED]
    assert len(set(framed)) == len(framed)


def test_the_text_shows_both_sides() -> None:
    picture = text(recorded(CallScript(requests=(3,), responses=(5,), drains=True)).entries)
    for piece in ("app: half-close", "─▶ HEADERS 1 (:path: /sim.Calls/0)", "message of 3 B", "◀─", "OK by peer"):
        assert piece in picture
    assert max(map(len, picture.splitlines())) < 160


def test_the_diagram_names_who_speaks() -> None:
    diagram = mermaid(recorded(CallScript(requests=(3,), responses=(5,), drains=True)).entries, title="a call")
    assert diagram.startswith("---\ntitle: a call\n---\nsequenceDiagram\n")
    assert "  CA->>C: 0: send\n" in diagram
    assert "  S-->>SA: 0: message of 3 B 'c0.'\n" in diagram
