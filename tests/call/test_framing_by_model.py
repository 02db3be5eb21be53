"""Messages out of bytes, against a decoder of a few lines: whatever comes, however it is cut (FRM-1 to FRM-6, P11)."""

from __future__ import annotations

import itertools
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import StatusCode
from duplexcore.call.framing import OBJECTS, PREFIX, SMALL, MessageDecoder, Run, Unpacked, frame_message, payloads
from duplexcore.config import Limit

MANY = settings(max_examples=150, database=None)
BODIES = st.one_of(
    st.binary(max_size=40), st.integers(0, 2_500).map(lambda size: bytes(range(256)) * (size // 256 + 1))
)


@st.composite
def wires(draw: st.DrawFn) -> bytes:
    """Messages back to back, some with flags that are wrong or bodies that can not be unpacked; the last may be cut."""
    parts = []
    for _ in range(draw(st.integers(0, 6))):
        body, flags = draw(BODIES), draw(st.sampled_from((0, 0, 0, 1, 1, 1, 2, 128)))
        if not draw(st.integers(0, 5)):
            parts.append(bytes((flags & 1, 0, 0, 0, 0)))  # empty, and perhaps marked as compressed
            continue
        if flags == 1 and draw(st.integers(0, 4)):
            body = zlib.compress(body)
        parts.append(bytes((flags,)) + len(body).to_bytes(4, "big") + body)
    wire = b"".join(parts)
    return wire[: len(wire) - draw(st.integers(0, 12))] if draw(st.booleans()) else wire


def model(wire: bytes, limit: int, encoding: str, enabled: tuple[str, ...]) -> tuple[list[bytes], object, int]:
    """The messages; the status of what is wrong, and the limit; how many bytes are kept of an unfinished message."""
    found: list[bytes] = []
    while len(wire) >= 5:
        flags, length = wire[0], int.from_bytes(wire[1:5], "big")
        if flags > 1 or (flags and encoding not in enabled):
            return found, (StatusCode.INTERNAL, None), 0
        if length > limit:
            return found, (StatusCode.RESOURCE_EXHAUSTED, Limit.MAX_RECEIVE_MESSAGE_SIZE), 0
        if len(wire) < 5 + length:
            break
        body, wire = wire[5 : 5 + length], wire[5 + length :]
        if flags and body:
            unpacker = zlib.decompressobj()
            try:
                body = unpacker.decompress(body)
            except zlib.error:
                return found, (StatusCode.INTERNAL, None), 0
            if len(body) > limit:
                return found, (StatusCode.RESOURCE_EXHAUSTED, Limit.MAX_RECEIVE_MESSAGE_SIZE), 0
            if not unpacker.eof or unpacker.unused_data:
                return found, (StatusCode.INTERNAL, None), 0
        found.append(body)
    return found, None, len(wire)


@given(
    wires(),
    st.lists(st.integers(0, 400), max_size=12),
    st.sampled_from((3, 40, 1_100, 10_000)),
    st.sampled_from(("deflate", "", "identity", "snappy")),
)
@MANY
def test_messages_are_those_of_the_model(wire: bytes, cuts: list[int], limit: int, encoding: str) -> None:
    enabled = ("deflate",)
    decoder = MessageDecoder(limit, enabled)
    decoder.encoding = encoding
    places = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    got: list[bytes] = []
    for begin, end in itertools.pairwise(places):
        got += payloads(decoder.feed(wire[begin:end]))
        if decoder.fault is None:
            assert decoder.buffered == model(wire[:end], limit, encoding, enabled)[2]
    messages, wrong, kept = model(wire, limit, encoding, enabled)
    assert got == messages
    assert (decoder.fault and (decoder.fault.code, decoder.fault.limit)) == wrong
    if decoder.fault is None:
        assert decoder.buffered == kept
    else:
        plain = "marked as compressed without an encoding" in decoder.fault.text
        assert not plain or encoding in ("", "identity")
        assert not ("supported are" in decoder.fault.text and encoding in ("", "identity"))
        assert decoder.fingerprint_state()[:2] == (b"", b"")
        assert list(decoder.feed(frame_message(b"more"))) == []
    decoder.drop()
    assert decoder.buffered == 0
    assert decoder.fingerprint_state()[:2] == (b"", b"")


@given(st.lists(st.tuples(BODIES, st.booleans()), min_size=1, max_size=8), st.integers(1, 6_000))
@MANY
def test_runs_hold_what_they_count(messages: list[tuple[bytes, bool]], cut: int) -> None:
    """What is small comes in runs that can be joined, one after the other, and can be half taken."""
    wire = b"".join(frame_message(body, compressed=mark and not body) for body, mark in messages)
    decoder = MessageDecoder(10_000, ("deflate",))
    decoder.encoding = "deflate"
    items = [*decoder.feed(wire[:cut]), *decoder.feed(wire[cut:])]
    taken: list[tuple[bytes, bool]] = []
    joined: Run | None = None
    for item in items:
        if isinstance(item, Run) and joined is not None:
            both = len(joined.data) < SMALL and len(item.data) < SMALL
            size, count = len(joined.data), joined.count
            assert joined.absorb(item) is both
            assert (len(joined.data), joined.count) == (
                (size + len(item.data), count + item.count) if both else (size, count)
            )
            if both:
                continue
        taken += drained(joined)
        joined = item if isinstance(item, Run) else None
        if isinstance(item, Unpacked):
            taken.append((item.payload, True))
        elif isinstance(item, bytes):
            assert len(item) >= SMALL
            taken.append((item, False))
    taken += drained(joined)
    assert taken == [(body, mark and not body) for body, mark in messages]


def drained(run: Run | None) -> list[tuple[bytes, bool]]:
    found = []
    while run is not None and run.count:
        left = run.fingerprint_state()
        found.append(run.take())
        assert run.fingerprint_state() == left[PREFIX + len(found[-1][0]) :]
    return found


@given(st.binary(max_size=600), st.integers(0, 600))
@MANY
def test_what_a_message_takes_beyond_what_came(payload: bytes, wire_size: int) -> None:
    assert Unpacked(payload, wire_size).gain == max(0, len(payload) + OBJECTS - wire_size)
