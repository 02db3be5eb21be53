"""What peers may put on the wire: SETTINGS as they are allowed, and what is not allowed at all."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from ..raw import (
    ACK,
    CONTINUATION,
    DATA,
    EH,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    MAX_FRAME,
    MAX_LIST,
    MAX_STREAMS,
    PADDED,
    PING,
    PUSH_PROMISE,
    RST,
    SETTINGS,
    TABLE_SIZE,
    WINDOW_UPDATE,
    data,
    frame,
    settings,
    window_update,
)

__all__ = ["VIOLATIONS", "Violation", "peer_violations", "settings_frames"]

LONGEST_WINDOW = 2**31 - 1
#: Values that each setting may have, the default first.
VALUES = {
    TABLE_SIZE: (4_096, 0, 1, 65_536),
    MAX_STREAMS: (100, 0, 1, 2**31 - 1),
    INITIAL_WINDOW: (65_535, 0, 1, 65_536, LONGEST_WINDOW),
    MAX_FRAME: (16_384, 16_385, 2**24 - 1),
    MAX_LIST: (8_192, 0, 1_000_000),
    0x7A: (0, 2**32 - 1),  # nobody knows it: to be ignored
}

#: Error codes.
PROTOCOL, FLOW, SIZE, COMPRESSION = 1, 3, 6, 9


def settings_frames() -> st.SearchStrategy[bytes]:
    """A SETTINGS frame that is allowed: any of the settings, some more than once, at the edges of what they may be."""
    pairs = st.sampled_from(tuple(VALUES)).flatmap(lambda key: st.tuples(st.just(key), st.sampled_from(VALUES[key])))
    return st.lists(pairs, max_size=6).map(settings)


#: On a connection with a violation: a stream that is open, and one that was never opened.
OPEN, IDLE = 1, 99


@dataclass(frozen=True, slots=True)
class Violation:
    """What no peer may send, whichever side it is: the connection ends, with the error ``code`` (RFC 9113).

    ``wire``: its bytes, on a connection whose stream 1 is open, and whose stream 99 is idle.
    """

    name: str
    code: int
    wire: bytes = field(repr=False)


#: Each ends the connection. RFC 9113, sections 4 to 6.
VIOLATIONS = (
    Violation("DATA on stream 0", PROTOCOL, data(0, b"x")),
    Violation("DATA on an idle stream", PROTOCOL, data(IDLE, b"x")),
    Violation("DATA with more padding than payload", PROTOCOL, frame(DATA, PADDED, OPEN, b"\x05x")),
    Violation("HEADERS on stream 0", PROTOCOL, frame(HEADERS, EH, 0, b"\x82")),
    Violation("HPACK that can not be decoded", COMPRESSION, frame(HEADERS, EH, OPEN, b"\xff" * 8)),
    Violation("CONTINUATION out of the blue", PROTOCOL, frame(CONTINUATION, EH, OPEN, b"")),
    Violation("a PING within a header block", PROTOCOL, frame(HEADERS, 0, OPEN, b"\x82") + frame(PING, 0, 0, bytes(8))),
    Violation("RST_STREAM on stream 0", PROTOCOL, frame(RST, 0, 0, bytes(4))),
    Violation("RST_STREAM on an idle stream", PROTOCOL, frame(RST, 0, IDLE, bytes(4))),
    Violation("RST_STREAM of three bytes", SIZE, frame(RST, 0, OPEN, bytes(3))),
    Violation("SETTINGS on a stream", PROTOCOL, frame(SETTINGS, 0, 1)),
    Violation("SETTINGS of five bytes", SIZE, frame(SETTINGS, 0, 0, bytes(5))),
    Violation("an ACK with a payload", SIZE, frame(SETTINGS, ACK, 0, bytes(6))),
    Violation("ENABLE_PUSH of 2", PROTOCOL, settings({2: 2})),
    Violation("INITIAL_WINDOW_SIZE of 2^31", FLOW, settings({INITIAL_WINDOW: 2**31})),
    Violation("MAX_FRAME_SIZE below 16,384", PROTOCOL, settings({MAX_FRAME: 16_383})),
    Violation("PUSH_PROMISE", PROTOCOL, frame(PUSH_PROMISE, EH, OPEN, b"\0\0\0\x02\x82")),
    Violation("PING on a stream", PROTOCOL, frame(PING, 0, 1, bytes(8))),
    Violation("PING of seven bytes", SIZE, frame(PING, 0, 0, bytes(7))),
    Violation("GOAWAY on a stream", PROTOCOL, frame(GOAWAY, 0, 1, bytes(8))),
    Violation("GOAWAY of seven bytes", SIZE, frame(GOAWAY, 0, 0, bytes(7))),
    Violation("WINDOW_UPDATE of nothing", PROTOCOL, window_update(0, 0)),
    Violation("WINDOW_UPDATE over 2^31-1", FLOW, window_update(0, LONGEST_WINDOW)),
    Violation("WINDOW_UPDATE of three bytes", SIZE, frame(WINDOW_UPDATE, 0, 0, bytes(3))),
    Violation("WINDOW_UPDATE on an idle stream", PROTOCOL, window_update(IDLE, 1)),
    Violation("a frame above MAX_FRAME_SIZE", SIZE, frame(DATA, 0, OPEN, bytes(2**20))),
)


def peer_violations() -> st.SearchStrategy[Violation]:
    """One thing that ends a connection; `Violation.wire` are its bytes."""
    return st.sampled_from(VIOLATIONS)
