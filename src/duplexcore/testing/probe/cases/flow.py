"""FLOW: windows. The server keeps to ours, and gives back what it has read."""

from __future__ import annotations

from duplexcore.testing import raw
from duplexcore.testing.probe.answers import (
    ANSWERED,
    FLOW,
    OTHER_CODE,
    OTHER_GOAWAY,
    PROTOCOL,
    Came,
    connection_error,
    found,
    stream_error,
)
from duplexcore.testing.probe.model import UNKNOWN, Level, Need, Unjudged
from duplexcore.testing.probe.talk import Talk

from .table import case

#: Windows larger than this are not filled.
MOST = 4 * 2**20


@case(
    "FLOW-7/window-0",
    "a client with a window of 0, which it opens later",
    by="RFC 9113 sections 5.2.1 and 6.9.2",
    allowed=[found("no DATA before there is a window, then the answer")],
    needs=Need.METHOD,
    hello=False,
)
async def window_0(talk: Talk) -> Came:
    await talk.hello({raw.INITIAL_WINDOW: 0})
    if not await talk.acknowledgement():
        return await talk.outcome()
    await talk.send(talk.call())
    await talk.responding()
    if not await talk.fence():
        return await talk.outcome()
    if early := talk.data():
        return talk.broken(f"{early} bytes of DATA without a window")
    await talk.send(raw.window_update(1, 2**20))
    came = await talk.outcome()
    await talk.send(raw.settings({raw.INITIAL_WINDOW: 65_535}))
    return talk.held("no DATA before there is a window, then the answer") if talk.is_answered(came) else came


@case(
    "FLOW-7/window-1",
    "a client that opens its window by SETTINGS, after the request",
    by="RFC 9113 section 6.9.2",
    allowed=[ANSWERED],
    needs=Need.METHOD,
    hello=False,
)
async def window_1(talk: Talk) -> None:
    await talk.hello({raw.INITIAL_WINDOW: 0})
    await talk.send(talk.call(), raw.settings({raw.INITIAL_WINDOW: 65_535}))


@case(
    "FLOW-9/connection",
    "WINDOW_UPDATE that takes the connection's window beyond 2^31-1",
    by="RFC 9113 section 6.9.1",
    allowed=connection_error(FLOW),
    tolerated=OTHER_GOAWAY,
)
async def connection_overflow(talk: Talk) -> Came:
    await talk.send(raw.window_update(0, 2**31 - 1))
    return await talk.fate()


@case(
    "FLOW-9/stream",
    "WINDOW_UPDATE that takes an open stream's window beyond 2^31-1",
    by="RFC 9113 section 6.9.1",
    allowed=stream_error(FLOW),
    tolerated=OTHER_CODE,
    needs=Need.METHOD,
)
async def stream_overflow(talk: Talk) -> None:
    await talk.send(talk.request(), raw.window_update(1, 2**31 - 1))


@case(
    "FLOW-9/zero",
    "WINDOW_UPDATE of 0 for an open stream",
    by="RFC 9113 section 6.9",
    allowed=stream_error(PROTOCOL),
    tolerated=OTHER_CODE,
    needs=Need.METHOD,
)
async def zero(talk: Talk) -> None:
    await talk.send(talk.request(), raw.window_update(1, 0))


@case(
    "FLOW-9/zero-connection",
    "WINDOW_UPDATE of 0 for the connection",
    by="RFC 9113 section 6.9",
    allowed=connection_error(PROTOCOL),
    tolerated=OTHER_GOAWAY,
)
async def zero_connection(talk: Talk) -> Came:
    await talk.send(raw.window_update(0, 0))
    return await talk.fate()


@case(
    "FLOW-9/settings",
    "SETTINGS that take an open stream's window beyond 2^31-1",
    by="RFC 9113 section 6.9.2",
    allowed=connection_error(FLOW),
    tolerated=OTHER_CODE,
    needs=Need.METHOD,
)
async def settings_overflow(talk: Talk) -> None:
    """The stream's window is 65,535, grown by as much again as the initial window then lacks of 2^31-1."""
    await talk.send(talk.request(), raw.window_update(1, 65_535), raw.settings({raw.INITIAL_WINDOW: 2**31 - 1}))


@case(
    "FLOW-5/credit",
    "calls of a method that nobody has, with messages that are more than the connection's window",
    by="RFC 9113 sections 5.2.2 and 6.9.1",
    allowed=[found("the window is given back")],
    level=Level.SHOULD,
)
async def credit(talk: Talk) -> Came:
    await talk.server_settings()
    await talk.fence()
    size = min(talk.settings.get(raw.INITIAL_WINDOW, 65_535), 16_384)
    if talk.window > MOST:
        raise Unjudged(f"the connection's window is {talk.window:,} bytes: too much to fill")
    if size < 5:
        raise Unjudged(f"streams begin with a window of {size} bytes")
    payload = raw.message(bytes(size - 5))
    goal, sent, stream = talk.window + 4 * size, 0, 1
    while sent < goal:
        if not await talk.credit(sent + size):
            return talk.broken(f"no window any more after {sent:,} bytes")
        await talk.send(talk.request(stream=stream, path=UNKNOWN), raw.data(stream, payload, end=True))
        if not await talk.responding(stream):
            return await talk.outcome(stream)
        sent, stream = sent + size, stream + 2
    return talk.held("the window is given back")


@case(
    "FLOW-1/padding",
    "padding that is all of the frame, and more",
    by="RFC 9113 section 6.1",
    allowed=connection_error(PROTOCOL),
    tolerated=OTHER_CODE,
    needs=Need.METHOD,
)
async def too_much_padding(talk: Talk) -> None:
    await talk.send(talk.request(), raw.frame(raw.DATA, raw.PADDED, 1, b"\x20" + bytes(10)))
