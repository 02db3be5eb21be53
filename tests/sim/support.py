"""What the tests of the simulator share: a target made of drawn scripts, on the real engine."""

from __future__ import annotations

from collections.abc import Sequence

from duplexcore.testing.sim.choosing import Chooser
from duplexcore.testing.sim.properties import ALL, Property
from duplexcore.testing.sim.scripts import draw_script
from duplexcore.testing.sim.simulation import Scenario, Simulation


def drawn(
    chooser: Chooser,
    *,
    max_calls: int = 4,
    leaves: bool = False,
    faults: bool = False,
    properties: Sequence[type[Property]] = ALL,
) -> Simulation:
    """A simulation of a drawn scenario that has not begun."""
    count = 1 + chooser.choose(max_calls, "calls", range(1, max_calls + 1))
    scripts = tuple(draw_script(chooser) for _ in range(count))
    scenario = Scenario(calls=scripts, leaves=leaves, faults=faults)
    return Simulation(scenario, chooser, [one() for one in properties])


def run(chooser: Chooser) -> Simulation:
    """The target of these tests."""
    simulation = drawn(chooser)
    simulation.run()
    return simulation
