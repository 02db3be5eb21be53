"""Properties that compare two runs: P31, P38 and P49."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from duplexcore import InitialMetadata
from duplexcore.call.server import ServerCall
from duplexcore.testing.sim.choosing import Recorder, TapeChooser
from duplexcore.testing.sim.configurations import CARRIERS
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.scripts import CallScript, draw_script
from duplexcore.testing.sim.simulation import Scenario, Simulation

#: Exact in a float, so that sums with it are exact, too.
SHIFT = (2.0**20, 2.0**24)
STEADY = (
    CallScript(requests=(3, 200), responses=(5,), drains=True, trailing_metadata=(("left", "1"),)),
    CallScript(requests=(0,), responses=(200, 40_000), initial_metadata=True),
)


def observed(simulation: Simulation) -> list[Any]:
    return [(simulation.trace, app.who, app.index, app.events) for app in simulation.apps()]


def shifted(seed: int, clocks: tuple[float, float]) -> Simulation:
    chooser = PrngChooser(seed)
    scripts = tuple(draw_script(chooser) for _ in range(2))
    simulation = Simulation(Scenario(calls=scripts, leaves=True, faults=True, clocks=clocks), chooser)
    simulation.run()
    return simulation


def test_a_constant_added_to_the_clocks_changes_nothing() -> None:
    """P38."""
    for seed in range(60):
        assert observed(shifted(seed, SHIFT)) == observed(shifted(seed, (0.0, 0.0)))


def test_a_clock_that_starts_later_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """P38 can fail: an engine that looks at the time itself."""
    begin = ServerCall._begin

    def late(call: ServerCall, block: Any) -> bool:
        begun = begin(call, block)
        if call.deadline is not None and call.deadline > 1_000:
            call.on_deadline()
        return begun

    monkeypatch.setattr(ServerCall, "_begin", late)
    assert any(observed(shifted(seed, SHIFT)) != observed(shifted(seed, (0.0, 0.0))) for seed in range(60))


def heard(seed: int, script: CallScript) -> list[Any]:
    """What the clients of the steady calls hear beside another call."""
    simulation = Simulation(Scenario(calls=(script, *STEADY)), PrngChooser(seed))
    simulation.run()
    return [[event for event in app.events if type(event) is not InitialMetadata] for app in simulation.clients[1:]]


def test_another_calls_script_changes_nothing_for_a_call() -> None:
    """P31: whatever the first call does, at whatever time, the others hear the same."""
    alone = heard(0, CallScript())
    for seed in range(80):
        assert heard(seed, draw_script(PrngChooser(seed + 1_000))) == alone


def test_a_call_that_disturbs_others_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """P31 can fail: a server that answers the second of two calls with what the first has set."""
    finish = ServerCall.finish

    def mixed(call: ServerCall, status: Any, trailing: Any = ()) -> None:
        others = call._owner._carrier.live  # type: ignore[attr-defined]
        finish(call, replace(status, message=f"{others} calls"), trailing)

    monkeypatch.setattr(ServerCall, "finish", mixed)
    alone = heard(0, CallScript())
    assert any(heard(seed, draw_script(PrngChooser(seed + 1_000))) != alone for seed in range(80))


TRACE = """
import sys
from hashlib import sha256
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.targets import EngineTarget
for seed in range(0, 2_000, 50):
    simulation = EngineTarget()(PrngChooser(seed))
    told = [app.events for app in simulation.apps()]
    prints = [side.engine.fingerprint().hex() for side in (simulation.client, simulation.server)]
    scenario = simulation.scenario
    print("in process" if scenario.in_process else (scenario.client.http2, scenario.server.http2))
    print(seed, sha256(repr((simulation.trace, told, prints)).encode()).hexdigest())
"""


def test_every_fiftieth_example_is_the_same_in_two_processes() -> None:
    """P49: traces, events and fingerprints; `PrngChooser` seeds stand for tapes, which they determine.

    Among them is each carrier, at each side.
    """
    outputs = {
        subprocess.run(
            [sys.executable, "-c", TRACE], capture_output=True, check=True, env=os.environ | {"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "31337")
    }
    assert len(outputs) == 1
    lines = outputs.pop().decode().splitlines()
    assert len(lines) == 80
    assert set(lines[::2]) == {str(pair or "in process") for pair in CARRIERS.values()}


def test_a_tape_gives_the_run_of_its_seed() -> None:
    for seed in range(0, 500, 50):
        recorder = Recorder(PrngChooser(seed))
        first = Simulation(Scenario(calls=STEADY, faults=True), recorder)
        first.run()
        again = Simulation(Scenario(calls=STEADY, faults=True), TapeChooser(recorder.tape))
        again.run()
        assert observed(first) == observed(again)
