"""`duplexcore fuzz HOST:PORT`: what is said of a server, and how it is reached."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import click

from duplexcore.testing.blackbox import GROWTH, Callee, ProcessError, Server, held, survey
from duplexcore.testing.probe import Target
from duplexcore.testing.sim.choosing import Chooser

from .addresses import is_here, parsed
from .fuzz_options import KINDS, USUAL_PHASES
from .problems import Problem
from .tls_options import tls_of

__all__ = ["AddressOptions", "NotAsked", "is_address", "reached"]

ADDRESS = re.compile(r"unix:.+|.*:\d+")
REDACTED = "(not kept)"


class NotAsked(Problem):
    """Nobody answers there, or not as a gRPC server: exit code 2."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class AddressOptions:
    """What is known of the server, as case files keep it, and how large a run is.

    ``numbers``: the largest that requests hold. ``metadata``: ``NAME: VALUE`` of each call; case files keep the names.
    ``only``: patterns of the cases that are run. ``phase`` and ``case``: of the part that a case file is about.
    ``pid``: of the server's process on this machine; case files do not keep it. ``given``: the flags that were used.
    ``mine``: the server may be tested wherever it is.
    """

    method: str | None = None
    kind: str = "unary"
    message: str = ""
    reflection: bool = False
    descriptor: str | None = None
    numbers: int | None = None
    timeout: float = 5.0
    authority: str | None = None
    metadata: tuple[str, ...] = ()
    tls: bool = False
    ca: str | None = None
    server_name: str | None = None
    phases: tuple[str, ...] = USUAL_PHASES
    only: tuple[str, ...] = ()
    rate: float | None = None
    pid: int | None = None
    calls: int = 4
    messages: int = 3
    phase: str = "stateful"
    case: str | None = None
    given: tuple[str, ...] = ()
    mine: bool = False

    @classmethod
    def from_flags(cls, said: Mapping[str, Any], *, calls: int, messages: int, mine: bool) -> AddressOptions:
        """``said``: by the names of `FLAGS`, those that were used."""
        given = tuple(f"--{name.replace('_', '-')}" for name in said)
        plain: dict[str, Any] = {name: str(value) if isinstance(value, Path) else value for name, value in said.items()}
        return cls(**plain, calls=calls, messages=messages, mine=mine, given=given)

    @classmethod
    def of(
        cls, options: Mapping[str, Any], *, mine: bool, metadata: Sequence[str] = (), pid: int | None = None
    ) -> AddressOptions:
        """Those of a case file, and the metadata and the process that it does not keep. Raises TypeError for others,
        `NotAsked` without what it needs of these."""
        made: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
        }
        names = sorted(one.partition(":")[0] for one in made.get("metadata", ()))
        if names != sorted(_pair(one)[0] for one in metadata):
            raise NotAsked(
                f"the case was found with metadata: {', '.join(names) or 'none'}",
                "case files do not keep the values: give them with --metadata",
            )
        made["metadata"] = tuple(metadata)
        if made.get("case") in GROWTH and pid is None:
            raise NotAsked("the case is about what a process holds", "say with --pid which one it is now")
        return cls(**made, mine=mine, pid=pid)

    def as_dict(self) -> dict[str, Any]:
        """For case files: what is not as usual, and no values of metadata."""
        usual = AddressOptions()
        names = {one.name for one in fields(self)} - {"given", "mine", "phases", "only", "rate", "pid"}
        found = {name: getattr(self, name) for name in sorted(names) if getattr(self, name) != getattr(usual, name)}
        if self.metadata:
            found["metadata"] = [f"{_pair(one)[0]}: {REDACTED}" for one in self.metadata]
        return found

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The metadata."""
        return tuple(map(_pair, self.metadata))

    def redacted(self, text: str) -> str:
        """Without the values of metadata, wherever they turn up."""
        for _, value in self.pairs:
            if value:
                text = text.replace(value, REDACTED)
        return text


def is_address(name: str) -> bool:
    return ADDRESS.fullmatch(name) is not None


def reached(name: str, options: AddressOptions) -> Server:
    """The server, its methods, and how plain calls to them end.

    Raises click.UsageError for what contradicts itself, and a `Problem` when nobody answers there.
    """
    target = _target(name, options)
    try:
        return anyio.run(partial(survey, target, _callees(target, options)))
    except OSError as error:
        raise NotAsked(
            options.redacted(f"{name}: {str(error) or type(error).__name__}"),
            "check that a gRPC server listens there, and --tls",
        ) from error


def _target(name: str, options: AddressOptions) -> Target:
    host, port = parsed(name)
    if not (options.mine or is_here(host)):
        raise click.UsageError(
            f"{host} is not this machine, and fuzzing is a burden: --i-may-test-this-target says that you may"
        )
    if options.pid is not None:
        _check_process(host, options.pid)
    if not re.fullmatch(r"([0-9a-fA-F]{2})*", options.message):
        raise click.UsageError(f"--message is hexadecimal, two digits for a byte: not {options.message!r}")
    if options.reflection and options.descriptor:
        raise click.UsageError("--reflection and --descriptor both say what the methods are: give one of them")
    if (options.reflection or options.descriptor) and (options.message or "--kind" in options.given):
        raise click.UsageError("--kind and --message are for --method alone: descriptors say what they are")
    try:
        return Target(
            host,
            port,
            tls=tls_of(options.tls, Path(options.ca) if options.ca else None, options.server_name),
            server_name=options.server_name,
            method=None if options.reflection or options.descriptor else options.method,
            kind="duplex" if KINDS[options.kind][0] else "unary",
            message=bytes.fromhex(options.message),
            timeout=options.timeout,
            authority=options.authority,
            metadata=options.pairs,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _check_process(host: str, pid: int) -> None:
    if not is_here(host):
        raise click.UsageError(f"--pid is for a process on this machine, and {host} is another one")
    try:
        held(pid)
    except ProcessError as error:
        raise NotAsked(f"--pid {pid}: {error}") from error


def _callees(target: Target, options: AddressOptions) -> list[Callee]:
    if not (options.reflection or options.descriptor):
        many_requests, one_response = KINDS[options.kind]
        return [replace(Callee.of(target), many_requests=many_requests, one_response=one_response)]
    from duplexcore.testing.descriptors import ChooserSource, DescribedMethod, DescriptorError, draw, methods_of_file
    from duplexcore.testing.descriptors import reflect as ask
    from duplexcore.testing.sim.choosing import TapeChooser

    try:
        if options.descriptor:
            found = methods_of_file(Path(options.descriptor))
        else:
            reflect = partial(
                ask,
                str(target),
                tls=target.tls,
                server_name=target.server_name,
                authority=target.authority,
                metadata=target.metadata,
                timeout=target.timeout,
            )
            found = anyio.run(reflect)
    except DescriptorError as error:
        raise NotAsked(options.redacted(str(error))) from error
    except OSError as error:
        raise NotAsked(f"{options.descriptor or target}: {error.strerror or error}") from error
    wanted = [one for one in found if options.method is None or fnmatchcase(one.path, options.method)]
    if not wanted:
        paths = ", ".join(one.path for one in found) or "none"
        raise click.UsageError(f"there is no method {options.method or ''!r}; there are: {paths}")

    def callee(method: DescribedMethod) -> Callee:
        def drawn(chooser: Chooser) -> bytes:
            message = draw(method.request, ChooserSource(chooser, options.numbers))
            return bytes(message.SerializeToString(deterministic=True))

        return Callee(
            path=method.path,
            many_requests=method.many_requests,
            one_response=not method.many_responses,
            draw=drawn,
            plain=drawn(TapeChooser(())),
        )

    return [callee(method) for method in wanted]


def _pair(text: str) -> tuple[str, str]:
    """Of ``NAME: VALUE``. Raises click.UsageError."""
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[0-9a-z_.-]+", name.strip().lower()):
        raise click.UsageError("--metadata is NAME:VALUE")
    return name.strip().lower(), value.strip()
