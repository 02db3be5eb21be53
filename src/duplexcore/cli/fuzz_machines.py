"""`duplexcore fuzz MODULE:NAME` for a `ServiceMachine`: handlers of users, in process, on virtual time."""

from __future__ import annotations

from pathlib import Path

from duplexcore.testing.service import ServiceMachine
from duplexcore.testing.service.replays import ServiceReplay, case_of, keep_case, replay_machine
from duplexcore.testing.sim.cases import Case
from duplexcore.testing.sim.choosing import Chooser, Tape
from duplexcore.testing.sim.hunting import Finding
from duplexcore.testing.sim.pictures import text
from duplexcore.testing.sim.properties import PropertyError
from duplexcore.testing.sim.reports import Kept

from .problems import WrongUse

__all__ = ["MachineSubject"]


class MachineSubject:
    """A machine, run as its tests run it: what it contains is said in its class, not by flags.

    Raises `WrongUse` for one that has no service, or whose clients call nothing.
    """

    def __init__(self, name: str, machine: type[ServiceMachine]) -> None:
        if machine.service is ServiceMachine.service:
            raise WrongUse(f"{name} has no service", "override service() to return the router of a new one")
        if not machine.calls:
            raise WrongUse(f"{name} has no calls", "set calls to what its clients may call")
        self.name = name
        self._machine = machine
        kinds = ("always", "at_rest")
        self.checks = {check: check.replace("_", " ") for kind in kinds for check in machine._checks(kind)}
        self.shrinking = 2_000

    def __call__(self, chooser: Chooser) -> object:
        return self._machine.run(chooser)

    @property
    def calls(self) -> int:
        """Counted as one: how many a run has is drawn inside it."""
        return 1

    def case(self, finding: Finding) -> Case:
        run, policy = self.replay(finding.tape), finding.policy.value
        return case_of(self._machine, run, finding.tape, target=self.name, seed=finding.seed, policy=policy)

    def again(self, tape: Tape) -> tuple[PropertyError | None, str]:
        run = self.replay(tape)
        return run.error, text(run.recording.entries, handshake=False)

    def keep(self, case: Case, folder: Path) -> Kept:
        return keep_case(case, self.replay(case.tape), folder)

    def replay(self, tape: Tape) -> ServiceReplay:
        return replay_machine(self._machine, tape)
