"""Case files: a failure that can be sent to somebody, who runs it again with one command."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .choosing import Recorder, Tape, TapeChooser
from .hunting import Finding
from .properties import PropertyError
from .recording import Kind, Recording
from .targets import EngineOptions, EngineTarget

__all__ = ["SUFFIX", "Case", "CaseFileError", "Replay", "replay"]

SUFFIX = ".dxcase"
FORMAT, VERSION = "duplexcore case", 1
#: What a run depends on.
PACKAGES = ("duplexcore", "h2", "hpack", "hyperframe")


class CaseFileError(ValueError):
    """It is no case file, or one of another version of the format. The text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One failing run: what was run, the choices, and the property that did not hold, by its ``number``.

    ``choices`` are for people: kind, number of options, which, its name. ``wire``: side -> all bytes that it made.
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
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, finding: Finding, options: EngineOptions) -> Case:
        """The case of what a hunt has found in the engine."""
        run = replay_engine(options, finding.tape)
        wire = {"client": "", "server": ""}
        for entry in run.recording.entries:
            if entry.kind is Kind.FRAMED:
                wire[entry.side] += entry.wire.hex()
        return cls(
            target="engine",
            options=options.as_dict(),
            tape=finding.tape,
            number=finding.number,
            message=finding.message,
            seed=finding.seed,
            policy=finding.policy.value,
            choices=[(one.kind, one.options, one.chosen, one.label) for one in run.recorder.choices],
            wire=wire,
            versions=_versions(),
        )

    @property
    def name(self) -> str:
        """Of its file: the same fault gives the same name."""
        return f"{self.number}-{abs(hash_of(self.tape)):08x}"

    def write(self, folder: Path) -> Path:
        """Writes the file; its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}{SUFFIX}"
        content = {"format": FORMAT, "version": VERSION} | {name: getattr(self, name) for name in self.__slots__}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
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
            raise CaseFileError(f"{path} is a case file of version {found}; this is duplexcore with version {VERSION}")
        try:
            case = cls(**content)
        except TypeError as error:
            raise CaseFileError(f"{path} is damaged: {error}") from error
        tape = tuple(case.tape)
        if not all(type(one) is int and one >= 0 for one in tape):
            raise CaseFileError(f"{path} is damaged: the tape holds more than numbers")
        return cls(**(content | {"tape": tape, "choices": [tuple(one) for one in case.choices]}))


@dataclass(frozen=True, slots=True)
class Replay:
    """A run that was had again: what failed (None: nothing), and all that happened."""

    error: PropertyError | None
    recording: Recording
    recorder: Recorder
    target: EngineTarget


def replay(case: Case) -> Replay:
    """Runs a case. Raises `CaseFileError` for a target that is not here."""
    if case.target != "engine":
        raise CaseFileError(f"the case is of target {case.target!r}, which only the command that made it can run")
    try:
        options = EngineOptions(**case.options)
    except (TypeError, ValueError) as error:
        raise CaseFileError(f"the options of the case are of another version: {error}") from error
    return replay_engine(options, case.tape)


def replay_engine(options: EngineOptions, tape: Tape) -> Replay:
    """The same, by options and tape."""
    recording, recorder = Recording(), Recorder(TapeChooser(tape))
    target = EngineTarget(options, lambda: (recording,))
    error = None
    try:
        target(recorder)
    except PropertyError as failure:
        error = failure
    return Replay(error, recording, recorder, target)


def hash_of(tape: Tape) -> int:
    """32 bits, the same in every process."""
    value = 2166136261
    for one in tape:
        value = ((value ^ one) * 16777619) & 0xFFFFFFFF
    return value


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "?"
    return found
