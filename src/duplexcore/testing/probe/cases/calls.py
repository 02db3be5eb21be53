"""STAT, DUP, CANC: what an answer looks like, and how calls end."""

from __future__ import annotations

from duplexcore.testing import raw
from duplexcore.testing.probe.answers import (
    CLOSED_STREAM,
    IGNORED,
    OTHER_CODE,
    Came,
    Kind,
    found,
    http,
    status,
    stream_error,
)
from duplexcore.testing.probe.model import UNKNOWN, Level, Need
from duplexcore.testing.probe.talk import Talk

from .table import case

RESPONSES = "gRPC over HTTP/2, Responses"
UNKNOWN_METHOD = "gRPC status codes: UNIMPLEMENTED"


@case(
    "STAT-1/shape",
    "an answer: :status 200, content-type application/grpc, grpc-status in the last block, no pseudo-header there",
    by=RESPONSES,
    allowed=[found("such an answer")],
)
async def shape(talk: Talk) -> Came:
    await talk.send(talk.call())
    came = await talk.outcome()
    blocks = talk.responses()
    if came.kind is not Kind.RESPONSE or not blocks:
        return came
    first, last = blocks[0], blocks[-1]
    names = [name for name, _ in last.fields or ()]
    wrong = [
        words
        for words, holds in (
            (f":status {first.field(b':status')!r}", first.field(b":status") == b"200"),
            (f"content-type {first.field(b'content-type')!r}", _is_grpc(first.field(b"content-type"))),
            (f"grpc-status {last.field(b'grpc-status')!r}", _is_code(last.field(b"grpc-status"))),
            ("the last block does not end the stream", last.end),
            ("a pseudo-header in trailers", last is first or not any(name.startswith(b":") for name in names)),
            ("an uppercase name", all(name == name.lower() for name in names)),
        )
        if not holds
    ]
    return talk.broken("; ".join(wrong)) if wrong else talk.held("such an answer")


@case(
    "STAT-12/unknown",
    "a method that nobody has",
    by=UNKNOWN_METHOD,
    allowed=[status(12)],
    tolerated=[http(404)],
)
async def unknown(talk: Talk) -> None:
    await talk.send(talk.call(path=UNKNOWN))


@case(
    "STAT-12/no-waiting",
    "a method that nobody has, and no message: the answer does not wait for one",
    by=UNKNOWN_METHOD,
    allowed=[status(12)],
    tolerated=[http(404)],
    level=Level.SHOULD,
)
async def no_waiting(talk: Talk) -> None:
    await talk.send(talk.request(path=UNKNOWN))


@case(
    "DUP-3/crossing",
    "messages and the half-close that cross the answer",
    by="RFC 9113 sections 5.1 and 8.1",
    allowed=[status(12)],
    tolerated=[http(404)],
)
async def crossing(talk: Talk) -> Came:
    """The stream is reset, or half-closed from the server: what is under way must be read and dropped."""
    await talk.send(talk.request(path=UNKNOWN))
    came = await talk.outcome()
    if came.kind is Kind.RESPONSE:
        await talk.send(talk.message(end=False), talk.message())
        return _later(came, await talk.fate())
    return came


@case(
    "DUP-17/after-end",
    "DATA after the half-close",
    by="RFC 9113 section 5.1, half-closed (remote)",
    allowed=stream_error(CLOSED_STREAM),
    tolerated=OTHER_CODE,
    needs=Need.METHOD,
    hello=False,
)
async def after_end(talk: Talk) -> None:
    await _while_answering(talk)
    await talk.send(raw.data(1, b"more"), raw.settings({raw.INITIAL_WINDOW: 65_535}))


@case(
    "DUP-17/headers-after-end",
    "HEADERS after the half-close",
    by="RFC 9113 section 5.1, half-closed (remote)",
    allowed=stream_error(CLOSED_STREAM),
    tolerated=OTHER_CODE,
    needs=Need.METHOD,
    hello=False,
)
async def headers_after_end(talk: Talk) -> None:
    await _while_answering(talk)
    odd = talk.peer.headers(1, [("x-odd", "1")], end=True)
    await talk.send(odd, raw.settings({raw.INITIAL_WINDOW: 65_535}))


@case(
    "DUP-37/after-answer",
    "WINDOW_UPDATE, RST_STREAM and PRIORITY on a stream that has ended",
    by="RFC 9113 section 5.1, closed",
    allowed=[IGNORED],
)
async def after_answer(talk: Talk) -> Came:
    await talk.send(talk.call())
    came = await talk.outcome()
    if came.kind is not Kind.RESPONSE:
        return came
    await talk.send(raw.window_update(1, 100), raw.rst(1), raw.priority(1))
    return await talk.fate()


@case(
    "CANC-1/open",
    "a call is cancelled while it is open, before any message",
    by="gRPC over HTTP/2, Errors; RFC 9113 section 6.4",
    allowed=[IGNORED],
)
async def cancelled(talk: Talk) -> Came:
    await talk.send(talk.request(), raw.rst(1))
    return await talk.fate()


@case(
    "CANC-2/any-code",
    "calls are cancelled with each code, also with one that is unknown",
    by="RFC 9113 section 7",
    allowed=[IGNORED],
)
async def any_code(talk: Talk) -> Came:
    for index, code in enumerate([*range(14), 0xFFFFFFFF]):
        await talk.send(talk.request(stream=2 * index + 1), raw.rst(2 * index + 1, code))
    return await talk.fate()


async def _while_answering(talk: Talk) -> None:
    """A whole call whose answer waits for a window: half-closed (remote) for certain, not closed already."""
    await talk.hello({raw.INITIAL_WINDOW: 0})
    await talk.acknowledgement()
    await talk.send(talk.call())
    await talk.responding()


def _later(before: Came, fate: Came) -> Came:
    return fate if fate.of_connection or fate.kind is Kind.SILENCE else before


def _is_grpc(value: bytes | None) -> bool:
    return value is not None and value.startswith(b"application/grpc")


def _is_code(value: bytes | None) -> bool:
    return value is not None and value.isdigit() and str(int(value)).encode() == value and int(value) <= 16
