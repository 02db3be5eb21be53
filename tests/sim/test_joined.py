"""The simulator over the in-process lane, and calls that a full server refuses, over either carrier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from duplexcore import ServerConfig, StatusCode
from duplexcore.call.in_process import InProcessLane, InProcessLink
from duplexcore.connection import ServerConnection
from duplexcore.testing.sim.choosing import Recorder, TapeChooser
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.properties import PropertyError
from duplexcore.testing.sim.scripts import CallScript, draw_script
from duplexcore.testing.sim.simulation import Scenario, Simulation
from duplexcore.testing.sim.targets import ANYWHERE, EngineTarget

STALLS = ("up stalls", "up goes on", "down stalls", "down goes on")


def joined(seed: int, server: ServerConfig | None = None, calls: Sequence[CallScript] = ()) -> Simulation:
    """A run over the in-process lane."""
    chooser = PrngChooser(seed)
    scripts = calls or tuple(draw_script(chooser) for _ in range(1 + seed % 4))
    scenario = Scenario(calls=scripts, server=server or ServerConfig(), faults=True, in_process=True)
    simulation = Simulation(scenario, chooser, [one() for one in sorted(ANYWHERE, key=lambda one: one.number)])
    simulation.run()
    return simulation


def test_the_properties_hold_over_the_in_process_lane() -> None:
    ends: Counter[Any] = Counter()
    for seed in range(200):
        ends += Counter(
            (client.status.code, server and server.status.code) for client, server in joined(seed).ends() if client
        )
    assert {StatusCode.OK, StatusCode.NOT_FOUND, StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED} <= {
        client for client, _ in ends
    }
    assert (StatusCode.CANCELLED, StatusCode.OK) in ends  # the cancel crossed the status
    assert (StatusCode.CANCELLED, None) in ends  # and came before anything had left


def test_what_stalls_there_goes_on() -> None:
    assert any(step in STALLS for seed in range(20) for step in joined(seed).trace)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("deliver", lambda deliver: lambda link, way: deliver(link, way) and deliver(link, way)),
        ("abort", lambda abort: lambda lane, code: None),
        ("consumed", lambda consumed: lambda lane, size: None),
    ],
    ids=["two items arrive for one", "a reset is lost", "credit is lost"],
)
def test_a_fault_of_the_lane_is_found(name: str, fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = InProcessLink if name == "deliver" else InProcessLane
    monkeypatch.setattr(owner, name, fault(getattr(owner, name)))
    target = EngineTarget()
    with pytest.raises(PropertyError):
        for seed in range(400):
            target(PrngChooser(seed))
    assert target.simulation is not None
    assert target.simulation.scenario.in_process


def test_it_has_neither_shutdowns_nor_settings() -> None:
    with pytest.raises(ValueError, match="neither shutdowns nor settings"):
        Scenario(in_process=True, leaves=True)
    with pytest.raises(ValueError, match="neither shutdowns nor settings"):
        Scenario(in_process=True, tunes=True)


def test_a_configuration_draws_it_and_its_tape_gives_the_same_run() -> None:
    target = EngineTarget()
    found = [seed for seed in range(40) if target(PrngChooser(seed)).scenario.in_process]
    assert 3 < len(found) < 30
    recorder = Recorder(PrngChooser(found[0]))
    first = target(recorder)
    assert target(TapeChooser(recorder.tape)).trace == first.trace


# --- no place for another call ----------------------------------------------------------------------------------------

#: Handlers that go on when their clients have left: the calls count until they are done.
LEAVING = CallScript(requests=(3,), responses=(3, 3), half_close=False, cancels=True)


def crowded(seed: int, *, in_process: bool) -> Simulation:
    if in_process:
        return joined(seed, ServerConfig(max_concurrent_calls=1), (LEAVING,) * 3)
    chooser, target = PrngChooser(seed), EngineTarget()
    scenario = Scenario(calls=(LEAVING,) * 3, server=ServerConfig(max_concurrent_calls=1))
    simulation = Simulation(scenario, chooser, target.watchers())
    simulation.run()
    return simulation


@pytest.mark.parametrize("in_process", [False, True], ids=["HTTP/2", "in process"])
def test_a_full_server_refuses_and_the_model_knows_when(in_process: bool) -> None:
    """P44 and CONN-8: refused is unprocessed, and nobody was shown it."""
    refused = 0
    for seed in range(60):
        simulation = crowded(seed, in_process=in_process)
        for index, (client, _) in enumerate(simulation.ends()):
            if client is not None and "REFUSED_STREAM" in client.status.message:
                refused += 1
                assert client.unprocessed
                assert client.status.code is StatusCode.UNAVAILABLE
                assert index not in simulation.servers
    assert refused > 5


@pytest.mark.parametrize("limit", [0, 2])
def test_a_server_that_counts_wrong_is_found(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    full = ServerConnection._full.fget  # type: ignore[attr-defined]

    def wrong(server: Any) -> Any:
        server._running += 1 - limit
        try:
            return full(server)
        finally:
            server._running -= 1 - limit

    monkeypatch.setattr(ServerConnection, "_full", property(wrong))
    with pytest.raises(PropertyError):
        for seed in range(60):
            crowded(seed, in_process=False)
