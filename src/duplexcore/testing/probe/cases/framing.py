"""FRM: the messages inside DATA. Only a method that is there reads them."""

from __future__ import annotations

from duplexcore.testing import raw
from duplexcore.testing.probe.answers import ANSWERED, ANY_STATUS, NOT_OK, reset, status
from duplexcore.testing.probe.model import Level, Need
from duplexcore.testing.probe.talk import Talk

from .table import case

P2 = "gRPC over HTTP/2, Length-Prefixed-Message"
DATA = "gRPC over HTTP/2, Data Frames"
CODES = "gRPC status codes"


@case(
    "FRM-1/flag-2",
    "a message with the flag 2",
    by=f"{P2}: 0 or 1",
    allowed=[NOT_OK, reset()],
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def flag_2(talk: Talk) -> None:
    await talk.send(talk.request(), raw.data(1, raw.message(talk.target.message, flag=2), end=True))


@case(
    "FRM-1/flag-255",
    "a message with the flag 255",
    by=f"{P2}: 0 or 1",
    allowed=[NOT_OK, reset()],
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def flag_255(talk: Talk) -> None:
    await talk.send(talk.request(), raw.data(1, raw.message(talk.target.message, flag=255), end=True))


@case(
    "FRM-2/pieces",
    "a message in DATA frames of one byte, with empty ones between",
    by=DATA,
    allowed=[ANSWERED],
    needs=Need.METHOD,
)
async def pieces(talk: Talk) -> None:
    whole = raw.message(talk.target.message)[:64]
    rest = raw.message(talk.target.message)[64:]
    bits = [raw.data(1, whole[at : at + 1]) + (raw.data(1) if at < 8 else b"") for at in range(len(whole))]
    await talk.send(talk.request(), *bits, raw.data(1, rest, end=True))


@case(
    "FRM-2/end-apart",
    "the half-close in an empty DATA frame after the message",
    by="gRPC over HTTP/2, Requests",
    allowed=[ANSWERED],
)
async def end_apart(talk: Talk) -> None:
    await talk.send(talk.request(), talk.message(end=False), raw.data(1, end=True))


@case(
    "FRM-2/padded",
    "a message in DATA with padding",
    by="RFC 9113 section 6.1",
    allowed=[ANSWERED],
)
async def padded(talk: Talk) -> None:
    await talk.send(talk.request(), raw.data(1, raw.message(talk.target.message), pad=200, end=True))


@case(
    "FRM-2/two-in-one",
    "two messages in one DATA frame",
    by=DATA,
    allowed=[ANSWERED],
    needs=Need.DUPLEX,
)
async def two_in_one(talk: Talk) -> None:
    await talk.send(talk.request(), raw.data(1, raw.message(talk.target.message) * 2, end=True))


@case(
    "FRM-4/huge",
    "a prefix that announces 4 GiB; what has a limit says so before the bytes come",
    by=f"{CODES}: RESOURCE_EXHAUSTED",
    allowed=[status(8)],
    tolerated=[NOT_OK, reset()],
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def huge(talk: Talk) -> None:
    await talk.send(talk.request(), raw.data(1, raw.message(length=2**32 - 1)))


@case(
    "FRM-4/huge-end",
    "a prefix that announces 4 GiB, then a few bytes and the half-close",
    by=P2,
    allowed=[NOT_OK, reset()],
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def huge_end(talk: Talk) -> None:
    await talk.send(talk.request(), raw.data(1, raw.message(bytes(100), length=2**32 - 1), end=True))


@case(
    "FRM-7/cut-prefix",
    "the half-close inside the prefix of a message",
    by=P2,
    allowed=[NOT_OK, reset()],
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def cut_prefix(talk: Talk) -> None:
    await talk.send(talk.request(), raw.data(1, raw.message(b"abc")[:3], end=True))


@case(
    "FRM-7/cut-message",
    "the half-close inside a message",
    by=P2,
    allowed=[NOT_OK, reset()],
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def cut_message(talk: Talk) -> None:
    await talk.send(talk.request(), raw.data(1, raw.message(b"abc", length=1_000), end=True))


@case(
    "STAT-14/none",
    "no request message at all for a unary method",
    by=f"{CODES}: UNIMPLEMENTED (others send INTERNAL)",
    allowed=[status(12, 13)],
    tolerated=[NOT_OK, reset()],
    needs=Need.UNARY,
)
async def no_message(talk: Talk) -> None:
    await talk.send(talk.request(end=True))


@case(
    "STAT-14/two",
    "two request messages for a unary method",
    by=f"{CODES}: UNIMPLEMENTED (others send INTERNAL)",
    allowed=[status(12, 13)],
    tolerated=[NOT_OK, reset()],
    needs=Need.UNARY,
)
async def two_messages(talk: Talk) -> None:
    await talk.send(talk.request(), talk.message(end=False), talk.message())


@case(
    "DUP-34/at-once",
    "the half-close on the HEADERS of a duplex method",
    by="gRPC interop: empty_stream",
    allowed=[ANY_STATUS],
    needs=Need.DUPLEX,
)
async def at_once(talk: Talk) -> None:
    await talk.send(talk.request(end=True))
