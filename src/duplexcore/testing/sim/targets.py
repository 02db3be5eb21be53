"""What is simulated: scenarios drawn by the chooser, with the properties that must hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from .choosing import Chooser
from .configurations import capped, draw_configurations
from .properties import ALL, COSTLY, Property
from .scripts import draw_script
from .simulation import Scenario, Simulation
from .watching import Watcher

__all__ = ["EngineOptions", "EngineTarget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What runs of the engine contain. Raises ValueError for values that can not be.

    ``calls``: on one connection, at most; ``messages``: each way, at most. ``endings``: cancels, deadlines, aborts;
    ``leaves``: shutdowns; ``settings``: small windows, and settings that change; ``faults``: stalls, ends and breaks of
    the transport; ``costly``: the properties that look at copies of the engines, too.
    """

    calls: int = 4
    messages: int = 3
    endings: bool = True
    leaves: bool = True
    settings: bool = True
    faults: bool = True
    costly: bool = False

    def __post_init__(self) -> None:
        for name in ("calls", "messages"):
            if not 1 <= getattr(self, name) <= 100:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be from 1 to 100")

    def as_dict(self) -> dict[str, Any]:
        """For case files: `EngineOptions(**options.as_dict())` is equal."""
        return asdict(self)

    @property
    def properties(self) -> Sequence[type[Property]]:
        """What is checked."""
        return (*ALL, *COSTLY) if self.costly else ALL


class EngineTarget:
    """Both engines, under scripts that the chooser draws. Call it with a chooser: one run."""

    def __init__(self, options: EngineOptions | None = None, watchers: Callable[[], Sequence[Watcher]] = tuple) -> None:
        self.options = options or EngineOptions()
        self._watchers = watchers
        #: The run that was begun last.
        self.simulation: Simulation | None = None

    def __call__(self, chooser: Chooser) -> Simulation:
        self.simulation = simulation = self.prepare(chooser)
        simulation.run()
        return simulation

    def prepare(self, chooser: Chooser) -> Simulation:
        """A run that has not begun."""
        options = self.options
        counts = range(1, options.calls + 1)
        count = 1 + (chooser.choose(len(counts), "calls", counts) if len(counts) > 1 else 0)
        scripts = [draw_script(chooser, max_messages=options.messages, endings=options.endings) for _ in range(count)]
        scenario = Scenario(calls=tuple(scripts), leaves=options.leaves, faults=options.faults)
        if options.settings:
            client, server = draw_configurations(chooser)
            calls = [capped(script, client.stream_window) for script in scripts]
            scenario = replace(scenario, calls=calls, client=client, server=server, tunes=True)
        return Simulation(scenario, chooser, [*self._watchers(), *(one() for one in options.properties)])
