"""The HTTP/2 carriers under the same choices: 2,000 tapes of them, and that a difference is seen."""

from __future__ import annotations

from typing import Any

import pytest

from duplexcore.http2.native_core import NativeCore
from duplexcore.testing.sim.choosing import TapeChooser
from duplexcore.testing.sim.crews import hunt_together
from duplexcore.testing.sim.differential import D1, NAME, PAIRS, Differential
from duplexcore.testing.sim.hunting import hunt
from duplexcore.testing.sim.policies import Policy, PrngChooser
from duplexcore.testing.sim.properties import PropertyError
from duplexcore.testing.sim.simulation import Simulation
from duplexcore.testing.sim.targets import EngineOptions, EngineTarget

#: So many tapes, in parts that may run at the same time.
TAPES, PARTS = 2_000, 8


@pytest.mark.parametrize("part", range(PARTS))
def test_the_same_choices_give_the_same_over_each_carrier(part: int) -> None:
    target = Differential()
    for seed in range(part, TAPES, PARTS):
        target(PrngChooser(seed))


def test_what_is_compared_says_something() -> None:
    """Among the tapes are calls that end in each way, connections that end, and each carrier at each side."""
    target, seen = Differential(), set()
    for seed in range(120):
        simulation = target(PrngChooser(seed))
        seen |= {ended.status.code.name for pair in simulation.ends() for ended in pair if ended is not None}
        seen |= {side.closed.origin.name for side in (simulation.client, simulation.server) if side.closed is not None}
        assert simulation.scenario.client.http2 == "h2"
    assert {"OK", "NOT_FOUND", "CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "LOCAL", "PEER", "TRANSPORT"} <= seen
    assert len(set(PAIRS)) == 4


def test_no_frame_is_cut() -> None:
    class Whole(Differential):
        def execute(self, chooser: Any) -> Simulation:
            simulation = super().execute(chooser)
            assert all(not wire._inside for wire in (simulation.up, simulation.down))
            return simulation

    target = Whole()
    for seed in range(30):
        target(PrngChooser(seed))


def ignored(core: Any, *rest: Any, **more: Any) -> None:
    """Does nothing."""


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("window_update", lambda _: ignored),
        (
            "send_data",
            lambda send: lambda core, lane, payload, *, end: send(core, lane, bytes(payload)[::-1], end=end),
        ),
        ("ping", lambda _: ignored),
    ],
    ids=["credit is not heard", "bytes are turned round", "a PING is not answered"],
)
def test_a_difference_is_found_and_made_small(name: str, fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NativeCore, name, fault(getattr(NativeCore, name)))
    target = Differential()
    finding = next(hunt(target, range(400)))
    assert finding.number == D1.number
    assert finding.message.startswith("D1: over ")
    with pytest.raises(PropertyError):
        target(TapeChooser(finding.tape))
    assert len(finding.tape) < finding.choices


def test_a_hunt_in_several_processes_has_each_seed_once() -> None:
    done: list[tuple[int, int]] = []
    options = EngineOptions(calls=2, messages=1)
    found = hunt_together(
        NAME, options, range(120), jobs=2, policy=Policy.SWARM, progress=lambda runs, calls: done.append((runs, calls))
    )
    assert list(found) == []
    assert sum(runs for runs, _ in done) == 120
    target, calls = Differential(options), 0
    for seed in range(120):
        calls += len(target(PrngChooser(seed, Policy.SWARM)).clients)
    assert sum(calls for _, calls in done) == calls


def test_the_simulator_draws_each_carrier() -> None:
    target, drawn = EngineTarget(), set()
    for seed in range(60):
        scenario = target(PrngChooser(seed)).scenario
        drawn.add(None if scenario.in_process else (scenario.client.http2, scenario.server.http2))
    assert drawn == {None, *PAIRS}
