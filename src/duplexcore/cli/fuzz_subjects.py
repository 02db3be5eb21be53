"""What `duplexcore fuzz` can run: something in this process, or a server at an address."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click

from duplexcore.testing.sim.cases import Case, Replay, replay_tape
from duplexcore.testing.sim.choosing import Chooser, Tape
from duplexcore.testing.sim.crews import hunt_together
from duplexcore.testing.sim.hunting import Finding
from duplexcore.testing.sim.pictures import text
from duplexcore.testing.sim.policies import Policy
from duplexcore.testing.sim.properties import PropertyError
from duplexcore.testing.sim.reports import Kept, keep, sentences
from duplexcore.testing.sim.targets import EngineOptions, NoTargetError, maker, named

from .fuzz_address import AddressOptions, is_address
from .fuzz_known import KnownFailure
from .fuzz_phases import AddressSubject
from .problems import Problem

__all__ = ["InProcess", "Subject", "Unusable", "from_case", "from_name", "in_process"]


class Unusable(Problem):
    """It could not be run: wrong use, exit code 2."""

    exit_code = 2


class Subject(Protocol):
    """One target, ready to be run. Call it with a chooser: one run, `PropertyError` when it shows a fault."""

    name: str
    #: Number of each check -> its sentence.
    checks: dict[str, str]
    #: How many runs shrinking may take.
    shrinking: int

    def __call__(self, chooser: Chooser) -> object: ...

    @property
    def calls(self) -> int:
        """Of the last run."""
        ...

    def case(self, finding: Finding) -> Case: ...

    def again(self, tape: Tape) -> tuple[PropertyError | None, str]:
        """Runs a tape: what failed, and the picture of it."""
        ...

    def keep(self, case: Case, folder: Path) -> Kept:
        """Writes the files of a case."""
        ...


@dataclass
class InProcess:
    """The engine, or something of a module, in the simulator. Raises `NoTargetError`."""

    name: str
    options: EngineOptions

    def __post_init__(self) -> None:
        self._target = maker(self.name)(self.options, tuple)
        self.checks = sentences(self._target.properties)
        self.shrinking = 5_000

    def __call__(self, chooser: Chooser) -> object:
        return self._target(chooser)

    @property
    def calls(self) -> int:
        run = self._target.simulation
        return 0 if run is None else len(run.clients)

    def hunted_together(
        self, seeds: Iterable[int], *, jobs: int, policy: Policy, progress: Callable[[int, int], None]
    ) -> Iterator[Finding]:
        """As `hunt`, in several processes; ``progress`` is told of so many runs and calls more."""
        return hunt_together(
            self.name, self.options, seeds, jobs=jobs, policy=policy, shrinking=self.shrinking, progress=progress
        )

    def case(self, finding: Finding) -> Case:
        return Case.of(finding, self.options, self.name)

    def again(self, tape: Tape) -> tuple[PropertyError | None, str]:
        run = self.replay(tape)
        return run.error, text(run.recording.entries, handshake=False)

    def keep(self, case: Case, folder: Path) -> Kept:
        return keep(case, self.replay(case.tape), folder)

    def replay(self, tape: Tape) -> Replay:
        return replay_tape(self.name, self.options, tape)


def from_name(
    name: str, options: EngineOptions, address: AddressOptions, known: Sequence[KnownFailure] = ()
) -> Subject:
    """The subject of a TARGET. ``known``: what is known to fail at an address. Raises `Unusable`, click.UsageError."""
    if is_address(name):
        return AddressSubject(name, address, known)
    if address.given:
        raise click.UsageError(f"{address.given[0]} is for a TARGET that is HOST:PORT")
    _look_here()
    return _machine(name) or in_process(name, options)


def _machine(name: str) -> Subject | None:
    """The `ServiceMachine` of a name; None for what is something else, or not there."""
    from duplexcore.testing.service import ServiceMachine

    from .fuzz_machines import MachineSubject

    try:
        found = None if name == "engine" else named(name)
    except NoTargetError:
        return None
    return MachineSubject(name, found) if isinstance(found, type) and issubclass(found, ServiceMachine) else None


def in_process(name: str, options: EngineOptions) -> InProcess:
    """The subject of a TARGET that is no address. Raises `Unusable`."""
    _look_here()
    try:
        return InProcess(name, options)
    except NoTargetError as error:
        raise Unusable(str(error), "TARGET is 'engine', MODULE:NAME of a service, or HOST:PORT of a server") from error


def from_case(case: Case, *, mine: bool, metadata: tuple[str, ...] = (), pid: int | None = None) -> Subject:
    """The subject that a case was found in. Raises `Unusable`.

    ``mine``: it may be tested though it is elsewhere. ``metadata`` and ``pid``: what the case file does not keep
    of it.
    """
    try:
        if is_address(case.target):
            return AddressSubject(case.target, AddressOptions.of(case.options, mine=mine, metadata=metadata, pid=pid))
        _look_here()
        return _machine(case.target) or InProcess(case.target, EngineOptions(**case.options))
    except NoTargetError as error:
        raise Unusable(f"the case is of target {case.target!r}, but {error}") from error
    except (TypeError, ValueError) as error:
        raise Unusable(f"the options of the case are of another version: {error}") from error


def _look_here() -> None:
    """Modules of the current folder can be named, as with ``python -m``."""
    here: Any = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
