"""What machines over the simulator share: rules say who acts next, by name."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis.stateful import RuleBasedStateMachine, invariant

from ..sim.properties import ALL
from ..sim.simulation import Scenario, Simulation

__all__ = ["DirectedMachine"]


class Director:
    """A chooser that does as it is told."""

    def __init__(self) -> None:
        self.actor = ""
        #: What to take of all other choices: 0 is the dull one.
        self.detail = 0

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        if kind != "step":
            return min(self.detail, n - 1)
        return next(index for index, one in enumerate(labels) if getattr(one, "name", "") == self.actor)


class DirectedMachine(RuleBasedStateMachine):
    """A simulation whose steps are taken by rules. Methods that begin with ``invariant_`` are called after each."""

    #: What is checked: classes of `duplexcore.testing.sim.properties`.
    properties = ALL

    def __init__(self) -> None:
        super().__init__()
        self.director = Director()
        self.simulation: Simulation | None = None

    def begin(self, scenario: Scenario) -> None:
        """Both engines have shaken hands; nothing else has happened."""
        self.simulation = Simulation(scenario, self.director, [one() for one in self.properties])

    def can(self, actor: str) -> bool:
        """Whether an actor could take its step now."""
        return self.simulation is not None and any(one.name == actor and one.ready() for one in self.simulation.actors)

    def let(self, actor: str, detail: int = 0) -> None:
        """An actor takes its step, if it could; ``detail`` is for the choices within it."""
        if self.can(actor):
            assert self.simulation is not None
            self.director.actor, self.director.detail = actor, detail
            self.simulation.step()

    @invariant()
    def own_invariants(self) -> None:
        """Each ``invariant_*`` of a subclass."""
        if self.simulation is not None:
            for name in dir(self):
                if name.startswith("invariant_"):
                    getattr(self, name)()

    def teardown(self) -> None:
        """All that is left goes on, and must come to rest."""
        if self.simulation is not None:
            self.director.detail = 0
            self.simulation.settle()
