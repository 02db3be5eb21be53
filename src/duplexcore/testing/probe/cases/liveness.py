"""KEEP and GOAW: PING, and leaving."""

from __future__ import annotations

from duplexcore.testing import raw
from duplexcore.testing.probe.answers import ANSWERED, Came, found
from duplexcore.testing.probe.model import Need
from duplexcore.testing.probe.talk import Talk

from .table import case

PING = "RFC 9113 section 6.7"


@case("KEEP-1/echo", "a PING comes back, with the same 8 bytes", by=PING, allowed=[found("the same bytes")])
async def echo(talk: Talk) -> Came:
    await talk.send(raw.ping(b"\x00\xff\x01\xfe\x02\xfd\x03\xfc"))
    await talk.fence()
    return _echoed(talk, b"\x00\xff\x01\xfe\x02\xfd\x03\xfc")


@case(
    "KEEP-1/within",
    "a PING between the HEADERS and the message of a call",
    by=f"{PING}; gRPC interop: ping",
    allowed=[found("the same bytes, and the answer to the call")],
)
async def within(talk: Talk) -> Came:
    await talk.send(talk.request(), raw.ping(b"withinit"), talk.message())
    came = await talk.outcome()
    if not talk.is_answered(came):
        return came
    echoed = _echoed(talk, b"withinit")
    return talk.held("the same bytes, and the answer to the call") if echoed.text == "the same bytes" else echoed


@case(
    "KEEP-1/unasked",
    "an acknowledgement of a PING that was never sent",
    by=f"{PING}: no answer to an acknowledgement",
    allowed=[found("no answer to it")],
)
async def unasked(talk: Talk) -> Came:
    await talk.send(raw.ping(b"notasked", ack=True))
    fate = await talk.fate()
    if fate.of_connection:
        return fate
    if not talk.pongs:
        return talk.broken("no PING is answered at all")
    return talk.broken("it is answered") if b"notasked" in talk.pongs else talk.held("no answer to it")


@case(
    "GOAW-1/open-call",
    "GOAWAY from the client while a call is open: the call goes on",
    by="RFC 9113 section 6.8",
    allowed=[ANSWERED],
    needs=Need.METHOD,
    survives=False,
)
async def open_call(talk: Talk) -> Came:
    await talk.send(talk.request(), raw.goaway(0))
    await talk.send(talk.message())
    return await talk.last_word()


@case(
    "GOAW-2/debug",
    "GOAWAY with an unknown code and debug data that is no text, while a call is open",
    by="RFC 9113 sections 6.8 and 7",
    allowed=[found("an end of any kind")],
    survives=False,
)
async def debug(talk: Talk) -> Came:
    await talk.send(talk.request(), raw.goaway(0, 0xABCDEF, b"\xff\x00\r\n" * 100), talk.message())
    came = await talk.outcome()
    return came if came.kind.name in {"SILENCE", "UNREADABLE"} else talk.held("an end of any kind")


def _echoed(talk: Talk, payload: bytes) -> Came:
    if payload in talk.pongs:
        return talk.held("the same bytes")
    return talk.broken(f"answered with {talk.pongs[0]!r}" if talk.pongs else "no answer")
