"""Expectations of a case: what does not hold raises `CaseFailed`, and its text says what was expected and what came."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import anyio

from duplexcore import RpcError, Status, StatusCode

from .case import CaseFailed
from .proto.interop_pb2 import Payload
from .stub import OutputCall, TalkCall

__all__ = ["Ending", "body", "code", "compressed", "equal", "failing", "holds", "no_more", "reply"]


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


# --- what the service sends -----------------------------------------------------------------------------------------


def body(what: str, payload: Payload, size: int, *, rule: str = "") -> None:
    """A payload has so many bytes."""
    came = len(payload.body)
    holds(what, came == size, expected=f"a body of {size} bytes", came=f"one of {came}", rule=rule)


async def reply(what: str, call: OutputCall | TalkCall, size: int, *, rule: str = "") -> None:
    """The next response of a call is there, with a body of so many bytes."""
    try:
        response = await call.receive()
    except anyio.EndOfStream:
        raise CaseFailed(what, expected=f"a body of {size} bytes", came="the end of the call, OK", rule=rule) from None
    body(what, response.payload, size, rule=rule)


async def no_more(what: str, call: OutputCall | TalkCall, *, rule: str = "") -> None:
    """The call ends with OK, and without another response."""
    try:
        response = await call.receive()
    except anyio.EndOfStream:
        return
    came = f"a response with a body of {len(response.payload.body)} bytes"
    raise CaseFailed(what, expected="the end of the call, OK", came=came, rule=rule)


def compressed(what: str, came: bool, expected: bool, *, rule: str = "") -> None:
    """The compressed flag of the message that came."""
    holds(what, came == expected, expected=_PACKED[expected], came=_PACKED[came], rule=rule)


_PACKED = {True: "a message with the compressed flag set", False: "a message with the compressed flag clear"}
