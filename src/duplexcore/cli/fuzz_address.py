"""`duplexcore fuzz HOST:PORT`: a server that is known by its frames alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click

from duplexcore.testing.blackbox import CHECKS, CheckError, Limits, Log, converse, plain_call
from duplexcore.testing.probe import Target
from duplexcore.testing.sim.cases import Case
from duplexcore.testing.sim.choosing import Chooser, Recorder, Tape, TapeChooser
from duplexcore.testing.sim.hunting import Finding
from duplexcore.testing.sim.properties import PropertyError
from duplexcore.testing.sim.reports import Kept

from .addresses import is_here, parsed
from .problems import Problem

__all__ = ["AddressOptions", "AddressSubject"]

#: Runs that shrinking may take: each has a connection of its own, and one that fails may wait for a whole grace.
SHRINKING = 40
ADDRESS = re.compile(r"unix:.+|.*:\d+")


class _NotAsked(Problem):
    """Nobody answers there: exit code 2."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class AddressOptions:
    """What is known of the server, as case files keep it, and how large a run is.

    ``given``: the flags that were used. ``mine``: it may be tested wherever it is. Raises click.UsageError.
    """

    method: str | None = None
    kind: str = "unary"
    message: str = ""
    timeout: float = 5.0
    authority: str | None = None
    calls: int = 4
    messages: int = 3
    given: tuple[str, ...] = ()
    mine: bool = False

    @classmethod
    def from_flags(cls, said: Mapping[str, Any], *, calls: int, messages: int, mine: bool) -> AddressOptions:
        return cls(**said, calls=calls, messages=messages, mine=mine, given=tuple(f"--{name}" for name in said))

    @classmethod
    def of(cls, options: Mapping[str, Any], *, mine: bool) -> AddressOptions:
        """Those of a case file. Raises TypeError for others."""
        return cls(**options, mine=mine)

    def as_dict(self) -> dict[str, Any]:
        names = ("method", "kind", "message", "timeout", "authority", "calls", "messages")
        return {name: getattr(self, name) for name in names}


class AddressSubject:
    """A server. Raises click.UsageError for an address that is none, and a `Problem` when nobody answers there."""

    def __init__(self, name: str, options: AddressOptions) -> None:
        self.name, self.options = name, options
        self.checks = dict(CHECKS)
        self.shrinking = SHRINKING
        self.log = Log()
        host, port = parsed(name)
        if not (options.mine or is_here(host)):
            raise click.UsageError(
                f"{host} is not this machine, and fuzzing is a burden: --i-may-test-this-target says that you may"
            )
        if not re.fullmatch(r"([0-9a-fA-F]{2})*", options.message):
            raise click.UsageError(f"--message is hexadecimal, two digits for a byte: not {options.message!r}")
        try:
            self._target = Target(
                host,
                port,
                method=options.method,
                kind=options.kind,
                message=bytes.fromhex(options.message),
                timeout=options.timeout,
                authority=options.authority,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        self._limits = Limits(calls=options.calls, messages=options.messages)
        try:
            self.usual = anyio.run(plain_call, self._target)
        except OSError as error:
            raise _NotAsked(
                f"{name}: {str(error) or type(error).__name__}", "check that a gRPC server listens there"
            ) from error

    @staticmethod
    def is_address(name: str) -> bool:
        return ADDRESS.fullmatch(name) is not None

    def __call__(self, chooser: Chooser) -> object:
        self.log = Log()
        try:
            anyio.run(partial(converse, self._target, chooser, self._limits, self.log, self.usual))
        except CheckError as error:
            raise PropertyError(error.number, str(error).partition(": ")[2]) from error
        except OSError as error:
            raise PropertyError("B5", f"no connection: {error}") from error
        return None

    @property
    def calls(self) -> int:
        return self.log.calls

    def case(self, finding: Finding) -> Case:
        recorder = Recorder(TapeChooser(finding.tape))
        self._fails(recorder)
        return Case(
            target=self.name,
            options=self.options.as_dict(),
            tape=finding.tape,
            number=finding.number,
            message=finding.message,
            seed=finding.seed,
            policy=finding.policy.value,
            choices=[(one.kind, one.options, one.chosen, one.label) for one in recorder.choices],
        )

    def again(self, tape: Tape) -> tuple[PropertyError | None, str]:
        error = self._fails(TapeChooser(tape))
        return error, str(self.log)

    def keep(self, case: Case, folder: Path) -> Kept:
        """Of a server there is no more than the case file: what went on inside is not known."""
        return Kept(case.write(folder))

    def _fails(self, chooser: Chooser) -> PropertyError | None:
        try:
            self(chooser)
        except PropertyError as error:
            return error
        return None
