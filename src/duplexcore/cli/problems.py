"""What goes wrong, told to people: what it is, what to do, a non-zero exit code, and a traceback only with --debug."""

from __future__ import annotations

import importlib.util
import os
import ssl
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import click

from duplexcore import LocalProtocolError, RpcError, StatusCode
from duplexcore_anyio import CallClosedError, ConnectError, ListenError

__all__ = [
    "INTERRUPTED",
    "Problem",
    "WrongUse",
    "check_writable",
    "explain",
    "need",
    "run",
    "told_as_wrong_use",
    "write",
]

T = TypeVar("T")

#: What shells expect of a program that was left by Ctrl-C.
INTERRUPTED = 130
_EXTRA = {
    "grpc": ("grpcio", "peers"),
    "trio": ("trio", "trio"),
    "trustme": ("trustme", "cli"),
    "uvloop": ("uvloop", "uvloop"),
}


class Problem(click.ClickException):
    """An end that is not the program's fault. ``hint``: what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: Any = None) -> None:
        click.echo(f"duplexcore: {self.message}", err=True)
        if self.hint:
            click.echo(f"  {self.hint}", err=True)


class WrongUse(Problem):
    """What was asked for can not be done: exit code 2, where 1 is an answer."""

    exit_code = 2


@contextmanager
def told_as_wrong_use() -> Generator[None, None, None]:
    """Problems with what flags name are wrong use."""
    try:
        yield
    except Problem as problem:
        raise WrongUse(problem.message, problem.hint) from problem


def need(module: str) -> None:
    """Raises `Problem` when a module is missing that only some options need."""
    if importlib.util.find_spec(module) is None:
        name, extra = _EXTRA[module]
        raise Problem(f"this needs {name}, which is not installed", f"pip install 'duplexcore[{extra}]'")


def check_writable(path: Path | None) -> None:
    """Finds out before the work that a file can not be written; what stands in it stays."""
    if path is None:
        return
    there = path.exists()
    try:
        with path.open("ab"):
            pass
        if not there:
            path.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def write(path: Path, text: str) -> None:
    """Writes a file, or raises `Problem`."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> Problem:
    return Problem(
        f"cannot write {path}: {error.strerror}", "name a file in a folder that exists and that you may write"
    )


def run(backend: str, debug: bool, function: Callable[[], Awaitable[T]]) -> T:
    """Runs an async function to its end; what goes wrong becomes a `Problem`, with ``debug`` a traceback.

    ``backend``: asyncio, trio or uvloop.
    """
    name, options = ("asyncio", {"use_uvloop": True}) if backend == "uvloop" else (backend, None)
    if backend != "asyncio":
        need(backend)
    try:
        return anyio.run(function, backend=name, backend_options=options)
    except BaseException as error:
        if debug:
            raise
        known = [problem for leaf in _leaves(error) if (problem := explain(leaf)) is not None]
        if not known:
            raise
        raise known[0] from None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def explain(error: BaseException) -> BaseException | None:
    """What to raise instead of an exception; None for those that are not told but obeyed."""
    match error:
        case click.ClickException() | click.exceptions.Exit() | BrokenPipeError():
            return error  # click makes a silent exit of the last
        case KeyboardInterrupt():
            return click.exceptions.Exit(INTERRUPTED)
        case RpcError():
            return _explain_status(error)
        case ConnectError() | ListenError() | CallClosedError() | LocalProtocolError():
            return Problem(str(error))
        case ssl.SSLError():
            return Problem(f"TLS: {error.reason or error}", "check the files given to --cert, --key and --ca")
        case OSError():
            where = f"{os.fspath(error.filename)}: " if isinstance(error.filename, str | os.PathLike) else ""
            return Problem(f"{where}{error.strerror or error}")
        case Exception():
            said = f": {error}" if str(error) else ""
            return Problem(f"unexpected {type(error).__name__}{said}", "run it again with --debug for the traceback")
        case _:
            return None


_STATUS_HINTS = {
    StatusCode.UNIMPLEMENTED: "the server does not have this method: is it `duplexcore serve`?",
    StatusCode.UNAVAILABLE: "the server is gone, or going: start it again and try once more",
    StatusCode.DEADLINE_EXCEEDED: "the server did not answer in time",
    StatusCode.UNAUTHENTICATED: "the server wants to know who you are",
    StatusCode.PERMISSION_DENIED: "the server does not allow this",
}


def _explain_status(error: RpcError) -> Problem:
    return Problem(f"the call ended with {error.status}", _STATUS_HINTS.get(error.code, ""))
