"""CONN: how a connection begins, and SETTINGS."""

from __future__ import annotations

from duplexcore.testing import raw
from duplexcore.testing.link import protocol
from duplexcore.testing.probe.answers import (
    ANSWERED,
    CLOSED,
    FLOW,
    OTHER_GOAWAY,
    PROTOCOL,
    SIZE,
    Came,
    connection_error,
    found,
    goaway,
)
from duplexcore.testing.probe.model import Level, Need, Unjudged
from duplexcore.testing.probe.talk import Talk

from .table import add, case

PREFACE = "RFC 9113 section 3.4"
SETTINGS = "RFC 9113 section 6.5"
VALUES = "RFC 9113 section 6.5.2"

#: What begins a connection and must not: id, title, bytes.
OPENINGS: tuple[tuple[str, str, bytes], ...] = (
    ("http-1", "a request of HTTP/1.1", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("preface-wrong", "a preface with one byte changed", raw.PREFACE[:-5] + b"X" + raw.PREFACE[-4:] + raw.settings()),
    ("preface-missing", "SETTINGS without the preface", raw.settings() + raw.ping()),
    ("noise", "bytes that mean nothing", bytes(range(256)) * 2),
)
#: SETTINGS that are wrong: id, title, source, error code, frame.
WRONG: tuple[tuple[str, str, str, int, bytes], ...] = (
    ("length", "SETTINGS of 5 bytes", SETTINGS, SIZE, raw.frame(raw.SETTINGS, payload=bytes(5))),
    ("ack-payload", "an acknowledgement with a value", SETTINGS, SIZE, raw.frame(raw.SETTINGS, 1, 0, b"\0\3\0\0\0\1")),
    ("on-stream", "SETTINGS on stream 1", SETTINGS, PROTOCOL, raw.frame(raw.SETTINGS, stream=1)),
    ("push-2", "SETTINGS_ENABLE_PUSH 2", VALUES, PROTOCOL, raw.settings({raw.ENABLE_PUSH: 2})),
    ("window", "SETTINGS_INITIAL_WINDOW_SIZE 2^31", VALUES, FLOW, raw.settings({raw.INITIAL_WINDOW: 2**31})),
    ("frame-small", "SETTINGS_MAX_FRAME_SIZE 16383", VALUES, PROTOCOL, raw.settings({raw.MAX_FRAME: 16_383})),
    ("frame-large", "SETTINGS_MAX_FRAME_SIZE 2^24", VALUES, PROTOCOL, raw.settings({raw.MAX_FRAME: 2**24})),
)


def _opening(id_: str, title: str, data: bytes) -> None:
    async def script(talk: Talk) -> Came:
        await talk.send(data)
        return await talk.fate(fence=False)

    add(f"CONN-3/{id_}", title, script, PREFACE, connection_error(PROTOCOL), OTHER_GOAWAY, hello=False)


def _wrong(id_: str, title: str, by: str, code: int, data: bytes) -> None:
    async def script(talk: Talk) -> Came:
        await talk.send(data)
        return await talk.fate()

    add(f"CONN-7/{id_}", title, script, by, connection_error(code), OTHER_GOAWAY)


for _row in OPENINGS:
    _opening(*_row)
for _line in WRONG:
    _wrong(*_line)


@case(
    "CONN-1/alpn",
    "TLS: ALPN selects h2, version 1.2 or later",
    by="RFC 9113 sections 3.3 and 9.2",
    allowed=[found("h2")],
    needs=Need.TLS,
)
async def alpn(talk: Talk) -> Came:
    selected = protocol(talk.link)
    return talk.held("h2") if selected == "h2" else talk.broken(f"ALPN selects {selected!r}")


@case(
    "CONN-2/first",
    "the server's first frame is SETTINGS",
    by=PREFACE,
    allowed=[found("SETTINGS")],
)
async def first(talk: Talk) -> Came:
    await talk.server_settings()
    if not talk.link.frames:
        return await talk.fate()
    brief = talk.link.frames[0].brief
    return talk.held("SETTINGS") if brief == "SETTINGS" else talk.broken(f"{brief} is first")


@case(
    "CONN-2/values",
    "the server's SETTINGS have values that are allowed",
    by=VALUES,
    allowed=[found("values that are allowed")],
)
async def values(talk: Talk) -> Came:
    settings = await talk.server_settings()
    if not talk.link.frames:
        return await talk.fate()
    wrong = [
        words
        for words, holds in (
            ("ENABLE_PUSH other than 0", settings.get(raw.ENABLE_PUSH, 0) == 0),
            ("INITIAL_WINDOW_SIZE above 2^31-1", settings.get(raw.INITIAL_WINDOW, 0) < 2**31),
            ("MAX_FRAME_SIZE", 2**14 <= settings.get(raw.MAX_FRAME, 2**14) < 2**24),
        )
        if not holds
    ]
    return talk.broken("; ".join(wrong)) if wrong else talk.held("values that are allowed")


@case(
    "CONN-2/not-settings",
    "a PING where the client's SETTINGS should be",
    by=PREFACE,
    allowed=connection_error(PROTOCOL),
    tolerated=OTHER_GOAWAY,
    hello=False,
)
async def not_settings(talk: Talk) -> Came:
    await talk.send(raw.PREFACE, raw.ping())
    return await talk.fate(fence=False)


@case(
    "CONN-2/in-pieces",
    "preface, SETTINGS and HEADERS byte by byte",
    by="RFC 9113 section 3.4; RFC 9293 section 3.8",
    allowed=[ANSWERED],
    hello=False,
)
async def in_pieces(talk: Talk) -> None:
    whole = raw.PREFACE + raw.settings() + talk.call()
    for byte in whole[:40]:
        await talk.send(bytes((byte,)))
    await talk.send(whole[40:])


@case("CONN-7/acknowledged", "SETTINGS are acknowledged", by="RFC 9113 section 6.5.3", allowed=[found("the ACK")])
async def acknowledged(talk: Talk) -> Came:
    return talk.held("the ACK") if await talk.acknowledgement() else talk.broken("no ACK")


@case(
    "CONN-5/unknown-setting",
    "unknown SETTINGS, and one that comes twice",
    by=VALUES,
    allowed=[ANSWERED],
)
async def unknown_setting(talk: Talk) -> None:
    await talk.send(raw.settings([(0xF000, 1), (0x7A7A, 2**32 - 1), (raw.MAX_STREAMS, 5), (raw.MAX_STREAMS, 100)]))
    await talk.send(talk.call())


@case(
    "CONN-5/unknown-frame",
    "frames of unknown types, on the connection and on the call's stream",
    by="RFC 9113 sections 4.1 and 5.5",
    allowed=[ANSWERED],
)
async def unknown_frame(talk: Talk) -> None:
    odd = raw.frame(0x7A, 0xFF, 0, b"what is this") + raw.frame(0xFA, 0xFF, 1, b"and this")
    await talk.send(raw.frame(0x7A, 0, 0, b""), talk.request(), odd, talk.message())


@case(
    "CONN-5/unknown-flags",
    "flags that mean nothing, and the reserved bit of the stream id",
    by="RFC 9113 section 4.1",
    allowed=[ANSWERED],
)
async def unknown_flags(talk: Talk) -> None:
    await talk.send(raw.frame(raw.PING, 0xFE, 2**31, b"12345678"), raw.frame(raw.SETTINGS, 0x80))
    await talk.send(talk.request(), raw.frame(raw.DATA, raw.ES | 0xF0, 2**31 | 1, raw.message(talk.target.message)))


@case(
    "CONN-5/priority",
    "PRIORITY and a priority update, for streams that are idle",
    by="RFC 9113 section 5.3.2; RFC 9218 section 7.1",
    allowed=[ANSWERED],
)
async def priority(talk: Talk) -> None:
    await talk.send(raw.priority(7), raw.priority(9, 7), raw.frame(0x10, 0, 0, b"\0\0\0\1u=1"), talk.call())


@case(
    "CONN-6/no-streams",
    "a client that lets the server open no streams",
    by=VALUES,
    allowed=[ANSWERED],
    hello=False,
)
async def no_streams(talk: Talk) -> None:
    await talk.hello({raw.MAX_STREAMS: 0, raw.ENABLE_PUSH: 0})
    await talk.send(talk.call())


@case(
    "CONN-12/closes",
    "after a connection error the connection is closed, not left open",
    by="RFC 9113 section 5.4.1",
    allowed=[found("closed")],
    survives=False,
)
async def closes(talk: Talk) -> Came:
    await talk.send(raw.frame(raw.SETTINGS, payload=bytes(5)))
    return talk.held("closed") if await talk.closed() else talk.broken("still open")


@case(
    "CONN-12/says-why",
    "before a connection is closed for an error, GOAWAY says so",
    by="RFC 9113 section 5.4.1: SHOULD",
    allowed=[goaway()],
    level=Level.SHOULD,
)
async def says_why(talk: Talk) -> Came:
    await talk.fence()
    await talk.send(raw.frame(raw.SETTINGS, payload=bytes(5)))
    return await talk.fate(fence=False)


@case(
    "CONN-3/half-hello",
    "half a preface, then the end",
    by=PREFACE,
    allowed=[CLOSED, goaway()],
    level=Level.NOTE,
    hello=False,
)
async def half_hello(talk: Talk) -> Came:
    await talk.send(raw.PREFACE[:10])
    if not await talk.link.send_eof():
        raise Unjudged("over TLS no end can be sent without hanging up")
    return await talk.fate(fence=False)
