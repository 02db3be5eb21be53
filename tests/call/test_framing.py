"""Length-prefixed messages, in any cut."""

import array
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexcore import StatusCode
from duplexcore.call.framing import PREFIX, MessageDecoder, Unpacked, frame_message
from duplexcore.fingerprint import fingerprint
from tests.support.calls import decoded

MESSAGES = [b"", b"a", b"", b"bc" * 40, b"def"]
STREAM = b"".join(map(frame_message, MESSAGES))


def decode(*parts: bytes, limit: int = 1000) -> list[bytes | Unpacked]:
    decoder = MessageDecoder(limit)
    found = [message for part in parts for message in decoded(decoder, part)]
    assert decoder.fault is None
    assert decoder.buffered == 0
    return found


@pytest.mark.req("FRM-1", "FRM-3")
@pytest.mark.parametrize(
    ("payload", "framed"),
    [
        (b"", b"\0\0\0\0\0"),
        (b"a", b"\0\0\0\0\1a"),
        (b"x" * 258, b"\0\0\0\1\2" + b"x" * 258),
        (bytearray(b"ab"), b"\0\0\0\0\2ab"),
        (memoryview(b"abc")[1:], b"\0\0\0\0\2bc"),
        (memoryview(array.array("H", [0x4141, 0x4242])), b"\0\0\0\0\4AABB"),
    ],
)
def test_a_message_gets_its_prefix(payload: bytes, framed: bytes) -> None:
    assert frame_message(payload) == framed
    assert decode(framed) == [bytes(payload)]


@pytest.mark.req("FRM-2", "FRM-3")
def test_many_messages_in_one_piece() -> None:
    assert decode(STREAM) == MESSAGES
    assert decode() == []
    assert decode(b"", frame_message(b""), b"") == [b""]  # one empty message is not none


@pytest.mark.req("FRM-2")
def test_one_byte_at_a_time_with_nothing_between() -> None:
    assert decode(*(part for byte in STREAM for part in (bytes((byte,)), b""))) == MESSAGES


@pytest.mark.req("FRM-2")
@pytest.mark.parametrize("cut", range(len(frame_message(b"abc")) + 1))
def test_a_cut_at_every_place_of_prefix_and_body(cut: int) -> None:
    framed = frame_message(b"abc")
    assert decode(framed[:cut], framed[cut:]) == [b"abc"]


@pytest.mark.req("FRM-2")
@given(st.lists(st.binary(max_size=30), max_size=6), st.data())
def test_any_cut_of_any_messages_gives_the_messages(messages: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(map(frame_message, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    assert decode(*(whole[a:b] for a, b in pairwise([0, *cuts, len(whole)]))) == messages


@pytest.mark.req("FRM-2")
@given(st.binary(max_size=40), st.integers(0, 40))
def test_state_and_faults_do_not_depend_on_the_cut(raw: bytes, cut: int) -> None:
    """P11, for one direction of one call."""
    whole, parts = MessageDecoder(20), MessageDecoder(20)
    assert decoded(whole, raw) == decoded(parts, raw[:cut]) + decoded(parts, raw[cut:])
    assert fingerprint(whole) == fingerprint(parts)
    assert (whole.buffered, whole.fault) == (parts.buffered, parts.fault)
    parts.encoding = "gzip"  # of which a fault would speak
    assert fingerprint(whole) != fingerprint(parts)


@pytest.mark.req("FRM-1")
@pytest.mark.parametrize("flags", [2, 3, 128, 255])
def test_flags_other_than_0_and_1_are_a_fault(flags: int) -> None:
    decoder = MessageDecoder(100)
    assert decoded(decoder, frame_message(b"good") + bytes((flags, 0, 0, 0, 1)) + b"x" + frame_message(b"late")) == [
        b"good"
    ]
    assert decoder.fault is not None
    assert decoder.fault.code is StatusCode.INTERNAL
    assert str(flags) in decoder.fault.text
    assert decoded(decoder, frame_message(b"later still")) == []


@pytest.mark.req("COMP-2", "COMP-4", "FRM-1")
@pytest.mark.parametrize(("encoding", "says"), [("", "without an encoding"), ("gzip", "'gzip'")])
def test_a_compressed_message_is_a_fault_as_long_as_nothing_is_understood(encoding: str, says: str) -> None:
    decoder = MessageDecoder(100)
    decoder.encoding = encoding
    assert decoded(decoder, b"\1\0\0\0\1x") == []
    assert decoder.fault is not None
    assert decoder.fault.code is StatusCode.INTERNAL
    assert says in decoder.fault.text


@pytest.mark.req("FRM-4")
@pytest.mark.parametrize("limit", [0, 1, 100])
def test_the_limit_itself_passes_and_one_more_does_not(limit: int) -> None:
    assert decode(frame_message(b"x" * limit), limit=limit) == [b"x" * limit]
    prefix = b"\0" + (limit + 1).to_bytes(4, "big")
    early, late = MessageDecoder(limit), MessageDecoder(limit)
    assert decoded(early, prefix[:4]) == decoded(late, prefix) == []
    assert early.fault is None
    assert late.fault is not None  # judged with the fifth byte, before any of the body
    assert late.fault.code is StatusCode.RESOURCE_EXHAUSTED
    assert late.buffered == 0


@pytest.mark.req("FRM-4", "FRM-6")
def test_no_memory_is_taken_for_what_was_only_announced() -> None:
    announced = b"\0" + (2**32 - 1).to_bytes(4, "big")
    decoder, refusing = MessageDecoder(2**32 - 1), MessageDecoder(4 * 2**20)
    tracemalloc.start()
    try:
        decoded(decoder, announced + b"x" * 100)
        decoded(refusing, announced + b"x" * 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert decoder.buffered == PREFIX + 100
    assert refusing.fault is not None
    assert peak < 10_000


@pytest.mark.req("FRM-6")
def test_memory_grows_with_what_came() -> None:
    decoder = MessageDecoder(2**32 - 1)
    tracemalloc.start()
    try:
        decoded(decoder, b"\0" + (2**31).to_bytes(4, "big"))
        for _ in range(64):
            decoded(decoder, bytes(16_384))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert decoder.buffered == PREFIX + 2**20
    assert held <= peak < 2 * 2**20


@pytest.mark.req("FRM-6")
@pytest.mark.parametrize("sizes", [[2], [1, 2, 3, 300], [2, 4_000]], ids=str)
def test_small_pieces_take_no_more_memory_than_large_ones(sizes: list[int]) -> None:
    body = bytes(range(256)) * 1024
    pieces: list[tuple[int, int]] = []
    at = 0
    while at < len(body):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append((at, at + size))
        at += size
    decoder = MessageDecoder(2**20)
    tracemalloc.start()
    try:
        decoded(decoder, b"\0" + len(body).to_bytes(4, "big"))
        for start, end in pieces[:-1]:
            decoded(decoder, body[start:end])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.5 * len(body)
    assert decoded(decoder, body[slice(*pieces[-1])]) == [body]
