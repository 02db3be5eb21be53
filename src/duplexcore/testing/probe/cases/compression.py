"""COMP: compressed messages, also those that are not."""

from __future__ import annotations

import gzip
import zlib

from duplexcore.testing import raw
from duplexcore.testing.probe.answers import ANSWERED, NOT_OK, Came, Kind, found, reset, status
from duplexcore.testing.probe.model import Level, Need, Unjudged
from duplexcore.testing.probe.talk import Talk

from .table import case

CMP = "gRPC compression"
#: A server need not have gzip.
NO_GZIP = status(12)
#: What the bomb unpacks to, in bytes.
BOMB = 64 * 2**20


def _compressed(talk: Talk, coding: str | None, payload: bytes) -> bytes:
    """A whole call with a message that says it is compressed."""
    extra = [("grpc-encoding", coding)] if coding is not None else []
    return talk.request(*extra) + raw.data(1, raw.message(payload, flag=1), end=True)


@case(
    "COMP-3/unknown",
    "a message in a coding that nobody has",
    by=f"{CMP}: UNIMPLEMENTED",
    allowed=[status(12)],
    tolerated=[NOT_OK, reset()],
    needs=Need.METHOD,
)
async def unknown(talk: Talk) -> None:
    await talk.send(_compressed(talk, "x-odd", talk.target.message or b"abc"))


@case(
    "COMP-3/told",
    "the answer to a coding that nobody has names the codings that there are",
    by=f"{CMP}: grpc-accept-encoding in the response",
    allowed=[found("grpc-accept-encoding, without that coding")],
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def told(talk: Talk) -> Came:
    await talk.send(_compressed(talk, "x-odd", talk.target.message or b"abc"))
    came = await talk.outcome()
    if came.kind is not Kind.RESPONSE:
        return came
    known = [value for block in talk.responses() if (value := block.field(b"grpc-accept-encoding")) is not None]
    if not known:
        return talk.broken(f"{came}, and no grpc-accept-encoding")
    if b"x-odd" in known[0]:
        return talk.broken(f"grpc-accept-encoding: {known[0]!r}")
    return talk.held("grpc-accept-encoding, without that coding")


@case(
    "COMP-2/no-encoding",
    "a message that says it is compressed, without grpc-encoding",
    by=f"{CMP}: INTERNAL",
    allowed=[status(13)],
    tolerated=[NOT_OK, reset()],
    needs=Need.METHOD,
)
async def no_encoding(talk: Talk) -> None:
    await talk.send(_compressed(talk, None, talk.target.message or b"abc"))


@case(
    "COMP-2/identity",
    "a message that says it is compressed, with grpc-encoding: identity",
    by=f"{CMP}: INTERNAL",
    allowed=[status(13)],
    tolerated=[NOT_OK, reset()],
    needs=Need.METHOD,
)
async def identity(talk: Talk) -> None:
    await talk.send(_compressed(talk, "identity", talk.target.message or b"abc"))


@case(
    "COMP-2/plain",
    "a plain message under grpc-encoding: gzip",
    by="gRPC over HTTP/2, Compressed-Flag",
    allowed=[ANSWERED],
    tolerated=[NO_GZIP],
    needs=Need.METHOD,
)
async def plain(talk: Talk) -> None:
    await talk.send(talk.call(("grpc-encoding", "gzip")))


@case("COMP-1/gzip", "a message in gzip", by=CMP, allowed=[ANSWERED], tolerated=[NO_GZIP], needs=Need.METHOD)
async def packed(talk: Talk) -> None:
    await talk.send(_compressed(talk, "gzip", gzip.compress(talk.target.message)))


@case(
    "COMP-1/deflate",
    "a message in deflate, which is the zlib format",
    by=f"{CMP}; RFC 9110 section 8.4.1.2",
    allowed=[ANSWERED],
    tolerated=[NO_GZIP],
    needs=Need.METHOD,
)
async def deflated(talk: Talk) -> None:
    await talk.send(_compressed(talk, "deflate", zlib.compress(talk.target.message)))


@case(
    "COMP-5/corrupt",
    "a message in gzip with bytes changed",
    by="gRPC status codes: INTERNAL",
    allowed=[NOT_OK, reset()],
    needs=Need.METHOD,
)
async def corrupt(talk: Talk) -> None:
    good = bytearray(gzip.compress(b"some bytes, more than a few" * 10))
    good[12:20] = bytes(8)
    await talk.send(_compressed(talk, "gzip", bytes(good)))


@case(
    "COMP-5/cut",
    "a message in gzip that ends too early",
    by="gRPC status codes: INTERNAL",
    allowed=[NOT_OK, reset()],
    needs=Need.METHOD,
)
async def cut(talk: Talk) -> None:
    await talk.send(_compressed(talk, "gzip", gzip.compress(talk.target.message * 10 + b"some bytes")[:-9]))


@case(
    "COMP-5/no-gzip",
    "a message that is no gzip at all",
    by="gRPC status codes: INTERNAL",
    allowed=[NOT_OK, reset()],
    needs=Need.METHOD,
)
async def no_gzip(talk: Talk) -> None:
    await talk.send(_compressed(talk, "gzip", b"this was never packed"))


@case(
    "COMP-6/bomb",
    f"64 KiB that unpack to {BOMB // 2**20} MiB",
    by="gRPC status codes: RESOURCE_EXHAUSTED",
    allowed=[status(8)],
    tolerated=[NOT_OK, reset()],
    level=Level.SHOULD,
    needs=(Need.METHOD, Need.FLOODS),
)
async def bomb(talk: Talk) -> Came | None:
    packer = zlib.compressobj(wbits=31)
    packed = b"".join([*(packer.compress(bytes(2**20)) for _ in range(BOMB // 2**20)), packer.flush()])
    await talk.server_settings()
    await talk.fence()
    window = min(talk.window, talk.settings.get(raw.INITIAL_WINDOW, 65_535))
    whole = raw.message(packed, flag=1)
    if len(whole) > window:
        raise Unjudged(f"the window is {window:,} bytes: the bomb has {len(whole):,}")
    parts = [whole[at : at + 16_384] for at in range(0, len(whole), 16_384)]
    await talk.send(talk.request(("grpc-encoding", "gzip")), *(raw.data(1, part) for part in parts))
    await talk.send(raw.data(1, end=True))
    return None
