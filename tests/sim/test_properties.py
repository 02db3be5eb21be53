"""The costly properties, and that each property can fail."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from duplexcore import ClientConfig
from duplexcore.http2 import carrier
from duplexcore.testing.sim import twin
from duplexcore.testing.sim.policies import Policy, PrngChooser
from duplexcore.testing.sim.properties import ALL, COSTLY, PropertyError
from duplexcore.testing.sim.properties.endings import P9, P37
from duplexcore.testing.sim.properties.oracle import Oracle
from duplexcore.testing.sim.scripts import CallScript
from duplexcore.testing.sim.simulation import Scenario, Simulation
from duplexcore.testing.sim.targets import EngineOptions, EngineTarget
from duplexcore.testing.sim.twin import TwinTarget

from .support import drawn


def test_the_costly_properties_hold() -> None:
    for seed in range(20):
        drawn(PrngChooser(seed), leaves=True, faults=bool(seed % 2), properties=COSTLY).run()


def test_every_property_has_its_number_and_its_sentence() -> None:
    numbers = [one.number for one in (*ALL, *COSTLY)]
    assert len(set(numbers)) == len(numbers)
    for one in (*ALL, *COSTLY):
        assert one.__name__ == one.number or one is Oracle
        assert one.__doc__
        assert one.__doc__.endswith(".")


def test_the_costly_properties_hold_where_settings_change() -> None:
    """A lower limit of streams crosses requests in some of them, which a strict parser would not take."""
    target = EngineTarget(EngineOptions(costly=True))
    tuned = 0
    for seed in range(1_000_045, 1_000_070):
        tuned += target(PrngChooser(seed, Policy.MIX)).scenario.tunes
    assert tuned


def test_what_is_behind_a_message_above_the_limit_ends_no_call() -> None:
    """P9, P37: both may come in one read, and the message is what ends the call."""
    client = ClientConfig(max_receive_message_size=2)
    for script in (CallScript(responses=(3,)), CallScript(responses=(40_000,), aborts=True)):
        scenario = Scenario(calls=(script,), client=client)
        for seed in range(100):
            Simulation(scenario, PrngChooser(seed), [P9(), P37()]).run()


@pytest.fixture
def twins() -> Iterator[TwinTarget]:
    target = TwinTarget()
    yield target
    target.twin.close()


def test_the_same_choices_give_the_same_run_in_another_process(twins: TwinTarget) -> None:
    """P49, run by run."""
    for seed in range(10):
        twins(PrngChooser(seed))


def test_the_other_process_is_changed_now_and_then(twins: TwinTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """P49: two strings in a set have the same order in half of all processes."""
    seeds: list[str] = []
    popen: Any = subprocess.Popen

    def begin(*args: Any, env: dict[str, str], **options: Any) -> Any:
        seeds.append(env["PYTHONHASHSEED"])
        return popen(*args, env=env, **options)

    monkeypatch.setattr(twin, "TRUSTED", 2)
    monkeypatch.setattr(subprocess, "Popen", begin)
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    for seed in range(5):
        twins(PrngChooser(seed))
    assert seeds == ["1", "3", "4"]


def test_what_depends_on_the_process_is_noticed(twins: TwinTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """P49 can fail: here, and not in the other process, frames are smaller."""
    monkeypatch.setattr(carrier, "MAX_DATA", 100)
    with pytest.raises(PropertyError, match="P49"):
        for seed in range(20):
            twins(PrngChooser(seed))
