"""`duplexcore fuzz MODULE:NAME` for a `ServiceMachine`: handlers of users, in process, on virtual time."""

from __future__ import annotations

from pathlib import Path

from duplexcore.testing.service import ServiceMachine
from duplexcore.testing.service.recording import ServiceRecording
from duplexcore.testing.sim.cases import Case
from duplexcore.testing.sim.choosing import Chooser, Recorder, Tape, TapeChooser
from duplexcore.testing.sim.hunting import Finding
from duplexcore.testing.sim.pictures import mermaid, text
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
        self._recording = ServiceRecording()

    def __call__(self, chooser: Chooser) -> object:
        return self._machine.run(chooser)

    @property
    def calls(self) -> int:
        """Counted as one: how many a run has is drawn inside it."""
        return 1

    def case(self, finding: Finding) -> Case:
        recorder = Recorder(TapeChooser(finding.tape))
        self._fails(recorder)
        return Case(
            target=self.name,
            options={},
            tape=finding.tape,
            number=finding.number,
            message=finding.message,
            seed=finding.seed,
            policy=finding.policy.value,
            choices=[(one.kind, one.options, one.chosen, one.label) for one in recorder.choices],
        )

    def again(self, tape: Tape) -> tuple[PropertyError | None, str]:
        error = self._fails(TapeChooser(tape))
        return error, text(self._recording.entries)

    def keep(self, case: Case, folder: Path) -> Kept:
        """The case and its diagram; the page is for what runs between two bare engines."""
        path = case.write(folder)
        self._fails(TapeChooser(case.tape))
        diagram = path.with_suffix(".mmd")
        diagram.write_text(mermaid(self._recording.entries, fault=case.message), encoding="utf-8")
        return Kept(path, mermaid=diagram)

    def _fails(self, chooser: Chooser) -> PropertyError | None:
        self._recording = ServiceRecording()
        try:
            self._machine.run(chooser, self._recording)
        except PropertyError as error:
            return error
        return None
