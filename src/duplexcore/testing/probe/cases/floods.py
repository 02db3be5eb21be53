"""SEC: much of what is cheap to send. A server may end the connection for it; it must go on to serve others, also while
it is flooded."""

from __future__ import annotations

from collections.abc import Callable

from duplexcore.testing import raw
from duplexcore.testing.probe.answers import ANY_END, Came, found
from duplexcore.testing.probe.model import Need
from duplexcore.testing.probe.talk import Talk

from .table import add, case

ABUSE = "RFC 9113 section 10.5"
#: Frames in one write.
TOGETHER = 100
SERVED = "others are served meanwhile; the connection goes on, or is ended"

#: One frame, or a few, of a flood; the number says which it is.
Flood = Callable[[Talk, int], bytes]


def _rapid_reset(talk: Talk, number: int) -> bytes:
    return talk.request(stream=2 * number + 1) + raw.rst(2 * number + 1)


def _bad_update(talk: Talk, number: int) -> bytes:
    """Makes the server reset the stream."""
    return talk.request(stream=2 * number + 1) + raw.window_update(2 * number + 1, 0)


def _empty_data(talk: Talk, number: int) -> bytes:
    return raw.data(1) if number else talk.request()


def _endless_block(talk: Talk, number: int) -> bytes:
    if number == 0:
        return raw.frame(raw.HEADERS, 0, 1, talk.peer.block(talk.fields()))
    return raw.frame(raw.CONTINUATION, 0, 1, b"\x00\x01x\x40" + b"v" * 64)


def _empty_continuations(talk: Talk, number: int) -> bytes:
    return raw.frame(raw.CONTINUATION, 0, 1) if number else raw.frame(raw.HEADERS, 0, 1, talk.peer.block(talk.fields()))


def _settings(_: Talk, __: int) -> bytes:
    return raw.settings({raw.MAX_STREAMS: 100})


#: id, title, one step of it.
FLOODS: tuple[tuple[str, str, Flood], ...] = (
    ("SEC-1/rapid-reset", "calls that are reset at once (CVE-2023-44487)", _rapid_reset),
    ("SEC-3/made-you-reset", "calls that the server must reset (CVE-2025-8671)", _bad_update),
    ("SEC-4/ping", "PINGs (CVE-2019-9512)", lambda _, number: raw.ping(number.to_bytes(8, "big"))),
    ("SEC-8/settings", "SETTINGS (CVE-2019-9515)", _settings),
    ("SEC-8/priority", "PRIORITY (CVE-2019-9513)", lambda _, number: raw.priority(2 * number + 1)),
    ("SEC-7/empty-data", "DATA without bytes (CVE-2019-9518)", _empty_data),
    ("SEC-5/endless-block", "a header block that never ends (CVE-2024-27316)", _endless_block),
    ("SEC-5/empty-continuation", "CONTINUATION without bytes (CVE-2024-30255)", _empty_continuations),
)


def _enter(id_: str, title: str, step: Flood) -> None:
    async def script(talk: Talk) -> Came:
        frames = talk.target.floods
        for start in range(0, frames, TOGETHER):
            await talk.send(*(step(talk, number) for number in range(start, min(start + TOGETHER, frames))))
            if talk.link.deaf or talk.link.ended:
                break
        if (other := await talk.elsewhere()) is not None:
            return talk.broken(f"while it is flooded, a good call elsewhere gets: {other}")
        return talk.held(SERVED)

    add(id_, f"a flood of {title}", script, ABUSE, [found(SERVED)], (), needs=Need.FLOODS, survives=False)


for _row in FLOODS:
    _enter(*_row)


@case(
    "SEC-6/bomb",
    "a header block of a few KiB that unpacks to 4 MiB by references to one long entry",
    by="RFC 7541 section 7.3; RFC 9113 section 10.5.1",
    allowed=ANY_END,
)
async def bomb(talk: Talk) -> None:
    """One field of 4,000 bytes goes into the table, then 1,000 times its index."""
    block = talk.peer.block([*talk.fields(), ("x-bomb", "v" * 3_900)])
    await talk.send(talk.headers_of(block + b"\xbe" * 1_000), talk.message())


@case(
    "SEC-6/sizes",
    "a header block that changes the table's size a hundred times",
    by="RFC 7541 section 4.2",
    allowed=ANY_END,
)
async def sizes(talk: Talk) -> None:
    # The last one is the size of before: both sides' tables are alike when the fields come.
    changes = b"\x20\x3f\x01" * 50 + b"\x3f\xe1\x1f"
    await talk.send(talk.headers_of(changes + talk.peer.block(talk.fields())), talk.message())


@case(
    "SEC-14/noise",
    "after SETTINGS, bytes that mean nothing",
    by=ABUSE,
    allowed=[found("others are served")],
    survives=False,
)
async def noise(talk: Talk) -> Came:
    """Frames of any type and length: some may be legal."""
    state, out = 1, bytearray()
    for _ in range(4_096):
        state = state * 1_103_515_245 + 12_345 & 0x7FFFFFFF
        out.append(state >> 16 & 0xFF)
    await talk.send(bytes(out))
    await talk.fence()
    return await _others_are_served(talk)


@case(
    "SEC-10/torn",
    "a connection that ends inside a frame",
    by="RFC 9113 section 5.4.1",
    allowed=[found("others are served")],
    survives=False,
)
async def torn(talk: Talk) -> Came:
    await talk.send(talk.request(), talk.message()[:-1])
    await talk.link.aclose()
    return await _others_are_served(talk)


async def _others_are_served(talk: Talk) -> Came:
    other = await talk.elsewhere()
    return talk.held("others are served") if other is None else talk.broken(f"a good call elsewhere gets: {other}")
