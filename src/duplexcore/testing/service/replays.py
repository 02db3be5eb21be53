"""A run of a machine had again: recorded, with its race, as a case with files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sim.cases import Case, Events, say
from ..sim.choosing import Chooser, Recorder, Tape, TapeChooser
from ..sim.properties import PropertyError
from ..sim.reports import Kept, keep, one_test
from ..sim.swapping import Following, Race, find_race
from ..sim.watching import Watcher
from .recording import ServiceRecording
from .simulation import ServiceSimulation

if TYPE_CHECKING:
    from .machine import ServiceMachine

__all__ = ["ServiceReplay", "case_of", "keep_case", "name_of_machine", "race_of", "replay_machine"]


#: The race is looked for in runs of at most so many steps.
LONG = 400


@dataclass(frozen=True, slots=True)
class ServiceReplay:
    """A run of a service that was had again: what failed (None: nothing), and all that happened."""

    error: PropertyError | None
    recording: ServiceRecording
    recorder: Recorder

    @property
    def events(self) -> list[Events]:
        """What the clients were told; nobody knows what a service should have said."""
        return [
            Events("client", caller.index, None, tuple(say(event) for event in caller.events))
            for caller in self.recording.simulation.callers
        ]


def replay_machine(machine: type[ServiceMachine], tape: Tape) -> ServiceReplay:
    """Runs a tape."""
    recording, recorder = ServiceRecording(), Recorder(TapeChooser(tape))
    error = None
    try:
        machine.run(recorder, recording)
    except PropertyError as failure:
        error = failure
    return ServiceReplay(error, recording, recorder)


def race_of(machine: type[ServiceMachine], run: ServiceReplay, tape: Tape) -> Race | None:
    """The race in a run that fails; None where the order of two steps makes no difference.

    None as well for a run so long that hundreds like it would take minutes: one in which somebody spins.
    """

    def make(watchers: Sequence[Watcher]) -> Any:
        [watcher] = watchers

        def target(chooser: Chooser) -> None:
            machine.run(chooser, Overseen(watcher))

        return target

    return None if len(run.recording.steps) > LONG else find_race(make, tape)


def name_of_machine(machine: type[ServiceMachine]) -> str:
    """By which `duplexcore fuzz` finds it."""
    return f"{machine.__module__}:{machine.__qualname__}"


def case_of(machine: type[ServiceMachine], run: ServiceReplay, tape: Tape, **facts: Any) -> Case:
    """The case of a run that has failed, with its race. ``facts``: its seed and policy, another target's name."""
    assert run.error is not None
    number, message, race = run.error.number, str(run.error), race_of(machine, run, tape)
    usual = {"target": name_of_machine(machine)}
    return Case.of_run(run, options={}, tape=tape, number=number, message=message, race=race, **usual | facts)


def keep_case(case: Case, run: ServiceReplay, folder: Path) -> Kept:
    """Writes the case, its page, its diagram and its test beside each other. Raises OSError."""
    return keep(case, run, folder, _test_file)


def _test_file(case: Case) -> str:
    """A test that runs the tape and fails as long as anything does."""
    module, _, name = case.target.partition(":")
    return one_test(case, f"from {module} import {name}", f"{name}.replay(tape)")


class Overseen:
    """Lets a watcher of the simulator, of those that look for races, hear of a service's run."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def attach(self, simulation: ServiceSimulation) -> None:
        watcher = self._watcher
        watcher.sim = simulation  # type: ignore[assignment] # those that look for races ask for its steps only
        simulation.impatient = isinstance(watcher, Following)
        simulation.on_begun, simulation.on_taken = watcher.begin, watcher.on_step
        for link in simulation.links:
            link.up.on_framed = partial(watcher.on_framed, link.client)
            for wire in (link.up, link.down):
                wire.on_arrived = partial(watcher.on_arrived, link.client)
