"""Expectations of a case: what does not hold raises `CaseFailed`, and its text says what was expected and what came."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from duplexcore import RpcError, Status, StatusCode

from .case import CaseFailed

__all__ = ["Ending", "code", "equal", "failing", "holds"]


class Ending:
    """The error that a block of `failing` ended with, once it has."""

    error: RpcError


def holds(what: str, condition: object, *, expected: object, came: object, rule: str = "") -> None:
    """The condition is true."""
    if not condition:
        raise CaseFailed(what, expected=expected, came=came, rule=rule)


def equal(what: str, came: object, expected: object, *, rule: str = "") -> None:
    """Both are equal."""
    if came != expected:
        raise CaseFailed(what, expected=_shown(expected), came=_shown(came), rule=rule)


def code(what: str, came: Status | None, *expected: StatusCode, rule: str = "") -> None:
    """A call has ended, with one of the codes."""
    if came is None or came.code not in expected:
        raise CaseFailed(what, expected=_either(expected), came="no status" if came is None else came, rule=rule)


@contextmanager
def failing(what: str, *expected: StatusCode, rule: str = "") -> Generator[Ending, None, None]:
    """The block raises `RpcError` with one of the codes; it stands in what is yielded, for more questions."""
    ending = Ending()
    try:
        yield ending
    except RpcError as error:
        ending.error = error
        code(what, error.status, *expected, rule=rule)
    else:
        raise CaseFailed(what, expected=_either(expected), came="OK", rule=rule)


def _either(codes: tuple[StatusCode, ...]) -> str:
    return " or ".join(code.name for code in codes)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"
