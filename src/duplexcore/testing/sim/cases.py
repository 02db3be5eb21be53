"""Case files: a failure that can be sent to somebody, who runs it again with one command."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from duplexcore import CallEnded, HalfClosed, InitialMetadata, Message
from duplexcore.testing.model import history

from .choosing import Recorder, Tape, TapeChooser
from .hunting import Finding
from .pictures import text
from .properties import PropertyError
from .recording import Kind, Recording, Written
from .simulation import Simulation
from .swapping import Race, find_race
from .targets import EngineOptions, NoTargetError, Runnable, maker

__all__ = ["SUFFIX", "Case", "CaseFileError", "Events", "Replay", "Run", "check", "replay", "replay_tape", "say"]

SUFFIX = ".dxcase"
FORMAT, VERSION = "duplexcore case", 5
#: What a run depends on.
PACKAGES = ("duplexcore", "h2", "hpack", "hyperframe")
#: Events that applications hear, as the model of a call names them.
NAMES: dict[type, str] = {
    InitialMetadata: "INITIAL_METADATA",
    Message: "MESSAGE",
    HalfClosed: "HALF_CLOSED",
}


class CaseFileError(ValueError):
    """It is no case file, or one of another version of the format. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Events:
    """What one side of a call was told, and what it should have been told by the reference model, each in order.

    Where the run has failed in the middle, the model has not seen what failed. ``expected`` None: there is no model.
    """

    side: str
    call: int
    expected: tuple[str, ...] | None
    observed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One failing run: what was run, the choices, and the property that did not hold, by its ``number``.

    All below ``policy`` is for people. ``choices``: kind, number of options, which, its name; ``wire``: side -> all
    bytes that it made, in hexadecimal; ``clocks``: for each step its number, what was done, and the seconds that the
    clocks of the client (of each, where there are several connections) and of the server showed after it.
    """

    target: str
    options: dict[str, Any]
    tape: Tape
    number: str
    message: str
    seed: int | None = None
    policy: str | None = None
    choices: list[tuple[str, int, int, str]] = field(default_factory=list)
    wire: dict[str, str] = field(default_factory=dict)
    clocks: list[tuple[int, str, *tuple[float, ...]]] = field(default_factory=list)
    events: list[Events] = field(default_factory=list)
    race: Race | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, finding: Finding, options: EngineOptions, target: str = "engine") -> Case:
        """The case of what a hunt has found. Raises `NoTargetError`."""
        run = replay_tape(target, options, finding.tape)
        make = maker(target)
        return cls.of_run(
            run,
            target=target,
            options=options.as_dict(),
            tape=finding.tape,
            number=finding.number,
            message=finding.message,
            seed=finding.seed,
            policy=finding.policy.value,
            race=find_race(lambda watchers: make(options, lambda: watchers), finding.tape),
        )

    @classmethod
    def of_run(cls, run: Run, **facts: Any) -> Case:
        """The case of a run; ``facts``: all that the run itself does not tell."""
        wire = {"client": "", "server": ""}
        for entry in run.recording.entries:
            if entry.kind is Kind.FRAMED:
                name = f"{entry.side} {entry.connection + 1}" if entry.connection else entry.side
                wire[name] = wire.get(name, "") + entry.wire.hex()
        return cls(
            choices=[(one.kind, one.options, one.chosen, one.label) for one in run.recorder.choices],
            wire=wire,
            clocks=[(step.number, step.label, *step.clocks) for step in run.recording.steps],
            events=run.events,
            versions=_versions(),
            **facts,
        )

    @property
    def name(self) -> str:
        """Of its file: the same fault gives the same name."""
        return f"{self.number}-{hash_of(self.tape):08x}"

    def write(self, folder: Path) -> Path:
        """Writes the file; its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}{SUFFIX}"
        content = {"format": FORMAT, "version": VERSION} | {name: getattr(self, name) for name in self.__slots__}
        path.write_text(json.dumps(content, indent=1, default=_plain) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Case:
        """Raises `CaseFileError`, OSError."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CaseFileError(f"{path} is not a case file: {error}") from error
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise CaseFileError(f"{path} is not a case file of duplexcore")
        if (found := content.pop("version", None)) != VERSION:
            raise CaseFileError(
                f"{path} is a case file of version {found}; this is duplexcore with version {VERSION}: "
                "run it with the duplexcore that made it"
            )
        try:
            return cls(**content | _typed(content))
        except (TypeError, KeyError, ValueError) as error:
            raise CaseFileError(f"{path} is damaged: {error}") from error


class Run(Protocol):
    """A run, as cases and pages need it: what failed (None: nothing), and all that happened."""

    @property
    def error(self) -> PropertyError | None: ...

    @property
    def recording(self) -> Written: ...

    @property
    def recorder(self) -> Recorder: ...

    @property
    def events(self) -> list[Events]: ...


@dataclass(frozen=True, slots=True)
class Replay:
    """A run of the engine that was had again: what failed (None: nothing), and all that happened."""

    error: PropertyError | None
    recording: Recording
    recorder: Recorder
    target: Runnable

    @property
    def simulation(self) -> Simulation:
        """The run, at its end."""
        assert self.target.simulation is not None
        return self.target.simulation

    @property
    def events(self) -> list[Events]:
        """What both sides of each call were told, beside what they should have been."""
        models = {} if self.target.oracle is None else self.target.oracle._models
        found = []
        for app in self.simulation.apps():
            at = models.get((app.side, app.index))
            expected = () if at is None else tuple(_name(event) for event in history(at))
            told = [say(event) for event in app.events]
            if app.who == "s":
                told.insert(0, "STARTED")
            found.append(Events(app.side.name, app.index, expected, tuple(told)))
        return found


def replay(case: Case) -> Replay:
    """Runs a case. Raises `CaseFileError` for options of another version, and for a target that is not here."""
    try:
        options = EngineOptions(**case.options)
    except (TypeError, ValueError) as error:
        raise CaseFileError(f"the options of the case are of another version: {error}") from error
    try:
        return replay_tape(case.target, options, case.tape)
    except NoTargetError as error:
        raise CaseFileError(f"the case is of target {case.target!r}, but {error}") from error


def replay_tape(target: str, options: EngineOptions, tape: Tape) -> Replay:
    """The same, by the target's name, options and tape. Raises `NoTargetError`."""
    recording, recorder = Recording(), Recorder(TapeChooser(tape))
    runnable = maker(target)(options, lambda: (recording,))
    error = None
    try:
        runnable(recorder)
    except PropertyError as failure:
        error = failure
    recording.close()
    return Replay(error, recording, recorder, runnable)


def check(target: str, tape: Tape, **options: Any) -> None:
    """For tests: runs a tape, and raises `PropertyError` when something fails. ``options``: of `EngineOptions`.

    The text of the error has the picture. Raises `NoTargetError`, too.
    """
    run = replay_tape(target, EngineOptions(**options), tape)
    if run.error is not None:
        run.error.add_note(text(run.recording.entries, handshake=False))
        raise run.error


def hash_of(tape: Tape) -> int:
    """32 bits, the same in every process."""
    value = 2166136261
    for one in tape:
        value = ((value ^ one) * 16777619) & 0xFFFFFFFF
    return value


def _race(content: dict[str, Any]) -> Race:
    first, second = content.get("labels", ("", ""))
    return Race(content["first"], content["second"], content["told"], (first, second))


def _typed(content: dict[str, Any]) -> dict[str, Any]:
    """What JSON has made lists and objects of. Raises KeyError, TypeError and ValueError for what is something else."""
    tape = tuple(content["tape"])
    if not all(type(one) is int and one >= 0 for one in tape):
        raise ValueError("the tape holds more than numbers")
    race: dict[str, Any] | None = content.get("race")
    rows: Callable[[str], list[tuple[Any, ...]]] = lambda name: [tuple(one) for one in content.get(name, ())]  # noqa: E731
    return {
        "tape": tape,
        "choices": rows("choices"),
        "clocks": rows("clocks"),
        "race": None if race is None else _race(race),
        "events": [
            Events(
                one["side"],
                one["call"],
                None if one["expected"] is None else tuple(one["expected"]),
                tuple(one["observed"]),
            )
            for one in content.get("events", ())
        ],
    }


def _plain(one: object) -> dict[str, Any]:
    """For JSON: the dataclasses of a case."""
    return {name: getattr(one, name) for name in type(one).__slots__}  # type: ignore[attr-defined]


def _name(event: Any) -> str:
    return event.name if hasattr(event, "name") else str(event)


def say(event: Any) -> str:
    """An event that an application has heard, as the model would say it."""
    if isinstance(event, CallEnded):
        unprocessed = " unprocessed" if event.unprocessed else ""
        return f"{event.status.code.name} {event.origin.name.lower()}{unprocessed}"
    return NAMES[type(event)]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "?"
    return found
