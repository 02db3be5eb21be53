"""Flags that are defined for no frame of its type, and the reserved bit, change nothing (RFC 9113, 4.1)."""

from __future__ import annotations

from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ServerConfig
from duplexcore.config import Http2
from duplexcore.testing import raw
from tests.support.bench import ServerBench

#: The flags that a type has; of all others nobody may mean anything.
DEFINED = {
    raw.DATA: 0x09,
    raw.HEADERS: 0x2D,
    raw.SETTINGS: 0x01,
    raw.PING: 0x01,
    raw.CONTINUATION: 0x04,
    raw.WINDOW_UPDATE: 0,
    raw.RST: 0,
    raw.GOAWAY: 0,
}


def conversation(http2: Http2, add: list[int], reserved: list[bool]) -> tuple[object, ...]:
    """What a server says and tells when a client opens two calls, with flags and bits added to its frames."""
    bench = ServerBench(ServerConfig(http2=http2))
    block = bench.peer.block(raw.request_fields())
    third = len(block) // 3
    frames = [
        raw.ping(),
        raw.ping(ack=True),
        raw.settings([(4, 70_000)]),
        raw.frame(raw.HEADERS, 0, 1, block[:third]),
        raw.frame(raw.CONTINUATION, 0, 1, block[third : 2 * third]),
        raw.frame(raw.CONTINUATION, raw.EH, 1, block[2 * third :]),
        raw.data(1, raw.message(b"padded"), pad=7),
        raw.data(1, raw.message(b"plain")),
        raw.window_update(1, 10),
        raw.window_update(0, 10),
        bench.peer.headers(3, raw.request_fields(), end=False),
        raw.data(3, raw.message(b"last"), end=True),
        raw.rst(1),
        raw.goaway(0),
    ]
    said = []
    for number, frame in enumerate(frames):
        changed = bytearray(frame)
        changed[4] |= add[number] & ~DEFINED[frame[3]]
        changed[5] |= 0x80 * reserved[number]
        said.append(bench.feed(bytes(changed)))
    events = [type(event).__name__ for event in bench.drain()]
    return said, events


@given(
    st.sampled_from(get_args(Http2)),
    st.lists(st.integers(0, 255), min_size=14, max_size=14),
    st.lists(st.booleans(), min_size=14, max_size=14),
)
@settings(max_examples=60, database=None)
def test_what_is_not_defined_is_ignored(http2: Http2, add: list[int], reserved: list[bool]) -> None:
    nothing = conversation(http2, [0] * 14, [False] * 14)
    assert conversation(http2, add, reserved) == nothing
    assert "CallStarted" in str(nothing)
