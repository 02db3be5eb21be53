"""MAL-7 and CONN-7: frames of the wrong size, at the wrong place, with the wrong stream."""

from __future__ import annotations

from duplexcore.testing import raw
from duplexcore.testing.probe.answers import (
    ANSWERED,
    IGNORED,
    OTHER_CODE,
    OTHER_GOAWAY,
    PROTOCOL,
    SIZE,
    Came,
    connection_error,
    reset,
)
from duplexcore.testing.probe.model import Level, Unjudged
from duplexcore.testing.probe.talk import Talk

from .table import add, case

#: Frames that end the connection: id, title, section of RFC 9113, error code, the frame.
FATAL: tuple[tuple[str, str, str, int, bytes], ...] = (
    ("ping-7", "PING of 7 bytes", "6.7", SIZE, raw.ping(b"1234567")),
    ("ping-9", "PING of 9 bytes", "6.7", SIZE, raw.ping(b"123456789")),
    ("ping-stream", "PING on stream 1", "6.7", PROTOCOL, raw.frame(raw.PING, 0, 1, b"12345678")),
    ("window-3", "WINDOW_UPDATE of 3 bytes", "6.9", SIZE, raw.frame(raw.WINDOW_UPDATE, 0, 0, b"\0\0\1")),
    ("goaway-stream", "GOAWAY on stream 1", "6.8", PROTOCOL, raw.frame(raw.GOAWAY, 0, 1, bytes(8))),
    ("goaway-7", "GOAWAY of 7 bytes", "4.2", SIZE, raw.frame(raw.GOAWAY, 0, 0, bytes(7))),
    ("data-0", "DATA on stream 0", "6.1", PROTOCOL, raw.data(0, b"abc")),
    ("headers-0", "HEADERS on stream 0", "6.2", PROTOCOL, raw.frame(raw.HEADERS, raw.EH | raw.ES, 0, b"\x83\x86")),
    ("rst-0", "RST_STREAM on stream 0", "6.4", PROTOCOL, raw.rst(0)),
    ("priority-0", "PRIORITY on stream 0", "6.3", PROTOCOL, raw.priority(0)),
    ("push", "PUSH_PROMISE from a client", "8.4", PROTOCOL, raw.frame(raw.PUSH_PROMISE, raw.EH, 1, b"\0\0\0\2\x83")),
    ("continuation", "CONTINUATION out of nowhere", "6.10", PROTOCOL, raw.frame(raw.CONTINUATION, raw.EH, 1, b"\x83")),
    ("data-idle", "DATA on a stream that is idle", "5.1", PROTOCOL, raw.data(5, b"abc")),
    ("rst-idle", "RST_STREAM on a stream that is idle", "5.1", PROTOCOL, raw.rst(5)),
    ("window-idle", "WINDOW_UPDATE on a stream that is idle", "5.1", PROTOCOL, raw.window_update(5, 10)),
)
#: What comes inside a header block: id, title, the frame.
INSIDE: tuple[tuple[str, str, bytes], ...] = (
    ("ping", "PING", raw.ping()),
    ("data", "DATA of the same stream", raw.data(1, b"abc")),
    ("unknown", "a frame of an unknown type", raw.frame(0x7A, 0, 1, b"abc")),
    ("other-stream", "CONTINUATION of another stream", raw.frame(raw.CONTINUATION, raw.EH, 3, b"\x83")),
    ("priority", "PRIORITY", raw.priority(3)),
)


def _fatal(id_: str, title: str, section: str, code: int, data: bytes) -> None:
    async def script(talk: Talk) -> Came:
        await talk.send(data)
        return await talk.fate()

    also = (PROTOCOL,) if id_ == "goaway-7" else ()  # the section on GOAWAY names no code
    allowed = connection_error(code, *also)
    add(f"MAL-7/{id_}", title, script, f"RFC 9113 section {section}", allowed, OTHER_GOAWAY)


def _inside(id_: str, title: str, data: bytes) -> None:
    async def script(talk: Talk) -> Came:
        block = talk.peer.block(talk.fields())
        await talk.send(raw.frame(raw.HEADERS, raw.ES, 1, block[:10]), data)
        await talk.send(raw.frame(raw.CONTINUATION, raw.EH, 1, block[10:]))
        return await talk.fate()

    add(
        f"MAL-7/inside-{id_}",
        f"{title} inside a header block",
        script,
        "RFC 9113 sections 4.3 and 6.10",
        connection_error(PROTOCOL),
        OTHER_GOAWAY,
    )


for _row in FATAL:
    _fatal(*_row)
for _line in INSIDE:
    _inside(*_line)


@case(
    "MAL-7/too-long",
    "a header block in one frame that is longer than SETTINGS_MAX_FRAME_SIZE",
    by="RFC 9113 section 4.2",
    allowed=connection_error(SIZE),
    tolerated=OTHER_GOAWAY,
)
async def too_long(talk: Talk) -> Came:
    await talk.server_settings()
    longest = talk.settings.get(raw.MAX_FRAME, 2**14)
    if longest > 2**21:
        raise Unjudged(f"frames may have {longest:,} bytes here: too much to send more")
    block = talk.peer.block(talk.fields())
    value = longest - len(block)
    block += b"\x00\x01x\x7f" + _integer(value - 127) + b"v" * value
    await talk.send(raw.frame(raw.HEADERS, raw.EH | raw.ES, 1, block))
    return await talk.fate()


@case(
    "MAL-7/padding",
    "HEADERS with more padding than the frame has bytes",
    by="RFC 9113 section 6.2",
    allowed=connection_error(PROTOCOL, SIZE),
    tolerated=OTHER_GOAWAY,
)
async def padding(talk: Talk) -> Came:
    block = talk.peer.block(talk.fields())
    await talk.send(raw.frame(raw.HEADERS, raw.EH | raw.ES | raw.PADDED, 1, b"\xff" + block[:20]))
    return await talk.fate()


@case(
    "MAL-7/rst-3",
    "RST_STREAM of 3 bytes on an open stream",
    by="RFC 9113 section 6.4",
    allowed=connection_error(SIZE),
    tolerated=OTHER_GOAWAY,
)
async def rst_3(talk: Talk) -> Came:
    await talk.send(talk.request(), raw.frame(raw.RST, 0, 1, bytes(3)))
    return await talk.fate()


@case(
    "MAL-7/priority-4",
    "PRIORITY of 4 bytes: a stream error; what no longer reads PRIORITY may drop it",
    by="RFC 9113 sections 5.3.2 and 6.3",
    allowed=[reset(SIZE), *connection_error(SIZE)],
    tolerated=[*OTHER_CODE, IGNORED, ANSWERED],
    level=Level.SHOULD,
)
async def priority_4(talk: Talk) -> Came:
    await talk.send(talk.request(), raw.frame(raw.PRIORITY, 0, 1, bytes(4)))
    fate = await talk.fate()
    return fate if fate.of_connection else await talk.last_word()


def _integer(value: int) -> bytes:
    """What follows a prefix that is full, of an integer of RFC 7541 section 5.1."""
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
