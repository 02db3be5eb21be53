"""CONN-8 and CONN-11: the ids of streams, and how many there may be."""

from __future__ import annotations

from duplexcore.testing import raw
from duplexcore.testing.probe.answers import (
    CLOSED_STREAM,
    OTHER_CODE,
    OTHER_GOAWAY,
    PROTOCOL,
    REFUSED,
    Came,
    connection_error,
    found,
    goaway,
    reset,
    stream_error,
)
from duplexcore.testing.probe.model import Need, Unjudged
from duplexcore.testing.probe.talk import Talk

from .table import case

IDS = "RFC 9113 section 5.1.1"


@case("CONN-11/even", "a request on stream 2", by=IDS, allowed=connection_error(PROTOCOL), tolerated=OTHER_GOAWAY)
async def even(talk: Talk) -> Came:
    await talk.send(talk.request(stream=2, end=True))
    return await talk.fate()


@case(
    "CONN-11/lower",
    "a request on stream 3 after one on stream 5",
    by=IDS,
    allowed=[*connection_error(PROTOCOL), *stream_error(CLOSED_STREAM)],
    tolerated=OTHER_CODE,
)
async def lower(talk: Talk) -> Came:
    await talk.send(talk.call(stream=5), talk.request(stream=3, end=True))
    return await talk.outcome(3)


@case(
    "CONN-11/again",
    "a second request on a stream that has ended",
    by=f"{IDS}; section 5.1, closed",
    allowed=[*connection_error(PROTOCOL), *stream_error(CLOSED_STREAM)],
    tolerated=OTHER_CODE,
)
async def again(talk: Talk) -> Came:
    """The first has been answered, so a reset can only be for the second."""
    await talk.send(talk.call())
    await talk.outcome()
    await talk.send(talk.request(end=True))
    return await talk.fate()


@case(
    "CONN-11/highest",
    "a request on stream 2^31-1, the last that there can be",
    by=IDS,
    allowed=[found("an answer on that stream")],
    survives=False,
)
async def highest(talk: Talk) -> Came:
    await talk.send(talk.call(stream=2**31 - 1))
    came = await talk.last_word(2**31 - 1)
    return talk.held("an answer on that stream") if talk.is_answered(came) else came


@case(
    "CONN-8/one-more",
    "one stream more than SETTINGS_MAX_CONCURRENT_STREAMS: refused, alone",
    by="RFC 9113 section 5.1.2",
    allowed=[reset(REFUSED, PROTOCOL), goaway()],
    tolerated=OTHER_CODE,
    needs=(Need.METHOD, Need.FLOODS),
    survives=False,
)
async def one_more(talk: Talk) -> Came:
    await talk.server_settings()
    await talk.acknowledgement()
    limit = talk.settings.get(raw.MAX_STREAMS)
    if limit is None or limit > talk.target.floods:
        said = "no limit" if limit is None else f"a limit of {limit:,} streams, more than the floods may have frames"
        raise Unjudged(f"the server has {said}")
    requests = [talk.request(stream=2 * number + 1) for number in range(limit + 1)]
    for start in range(0, len(requests), 100):
        await talk.send(*requests[start : start + 100])
    return await talk.outcome(2 * limit + 1)


@case(
    "CONN-8/many-at-once",
    "ten calls in one write",
    by="RFC 9113 section 5.1.2",
    allowed=[found("ten answers")],
)
async def many_at_once(talk: Talk) -> Came:
    await talk.server_settings()
    if talk.settings.get(raw.MAX_STREAMS, 100) < 10:
        raise Unjudged("the server takes fewer streams at a time")
    streams = range(1, 21, 2)
    await talk.send(*(talk.call(stream=stream) for stream in streams))
    for came in await talk.outcomes(streams):
        if not talk.is_answered(came):
            return came
    return talk.held("ten answers")
