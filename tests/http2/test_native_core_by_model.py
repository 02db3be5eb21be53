"""Our own HTTP/2 below the carrier, against the windows and frames of RFC 9113; the helpers that it is made of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ClientConfig, ServerConfig
from duplexcore.http2 import frames
from duplexcore.http2.faults import ConnectionFault
from duplexcore.http2.flow import ReceiveWindow
from duplexcore.http2.native_core import NativeCore
from duplexcore.http2.settings import own_settings, read_settings
from duplexcore.status import ErrorCode
from duplexcore.testing import raw

MOST = 2**31 - 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PATTERN = bytes(number % 251 for number in range(70_000))
Parts = list[tuple[int, int, int, bytes]]


def parsed(wire: bytes) -> Parts:
    """Type, flags, stream and payload of each frame."""
    found = []
    while wire:
        length = int.from_bytes(wire[:3], "big")
        assert len(wire) >= 9 + length
        found.append((wire[3], wire[4], int.from_bytes(wire[5:9], "big"), wire[9 : 9 + length]))
        wire = wire[9 + length :]
    return found


def setting(values: dict[int, int]) -> bytes:
    return b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values.items())


# -- the core ----------------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.integers(0, 70_000), st.sampled_from((0, 1, 16_384, 16_385, 33_000, MOST - 65_535, MOST)))
ACTS = st.tuples(
    st.sampled_from(
        [
            "headers",
            "large headers",
            "data",
            "data",
            "data",
            "long data",
            "reset",
            "ping",
            "answer",
            "update",
            "connection update",
            "frame size",
            "window",
            "window",
            "take",
            "take",
            "discard",
            "open",
        ]
    ),
    st.integers(0, 3),
    NUMBERS,
    st.booleans(),
)


@pytest.mark.req("FLOW-1")
@given(st.lists(ACTS, max_size=25), st.booleans(), st.sampled_from((65_535, 300_000)))
@settings(max_examples=150, database=None)
def test_frames_and_windows_are_those_of_the_rules(
    acts: list[tuple[str, int, int, bool]], client: bool, window: int
) -> None:
    config: Any = (ClientConfig if client else ServerConfig)(stream_window=window)
    core, reader = NativeCore(config, client=client), hpack.Decoder(max_header_list_size=10**7)
    lanes: list[Any] = []
    lane: Any
    initial = connection = 65_535
    longest, windows = 16_384, []
    due: Parts = [(4, 0, 0, setting(own_settings(config)))]
    start = len(PREFACE) if client else 0
    blocks: dict[int, list[tuple[bytes, bytes]]] = {}
    for what, which, number, end in [("open", 0, 0, False), *acts]:
        lane, flag = (lanes or [None])[which % max(1, len(lanes))], 1 if end else 0
        match what:
            case "open":
                lanes.append(SimpleNamespace(stream_id=2 * len(lanes) + 1, peer_window=-7))
                core.opened(lanes[-1])
                windows.append(initial)
            case "headers" | "large headers":
                fields = [(b"a", b"v" * (number % (50 if what == "headers" else 60_000)))]
                core.send_headers(lane, fields, end=end)
                blocks[len(due)] = fields
                due.append((1, flag, lane.stream_id, b""))
            case "data" | "long data":
                cut = longest if what == "data" else 700 + number % 9_000
                payload = PATTERN[: number % 70_000]
                core.send_data(lane, memoryview(payload) if which else payload, cut, end=end)
                connection -= len(payload)
                windows[lanes.index(lane)] -= len(payload)
                cuts = range(0, max(1, len(payload)), cut)
                due += [(0, flag if at == cuts[-1] else 0, lane.stream_id, payload[at : at + cut]) for at in cuts]
            case "reset":
                core.send_reset(lane, ErrorCode(number % 14))
                due.append((3, 0, lane.stream_id, (number % 14).to_bytes(4, "big")))
            case "ping":
                core.send_ping(number.to_bytes(8, "big"))
                due.append((6, 0, 0, number.to_bytes(8, "big")))
            case "answer":
                core.ping(number.to_bytes(8, "big"))
                due.append((6, 1, 0, number.to_bytes(8, "big")))
            case "update":
                core.window_update(lane, number)
                windows[lanes.index(lane)] += number
            case "connection update":
                core.window_update(None, number)
                connection += number
            case "frame size":
                longest = 16_384 + number % 20_000
                core.settings({5: longest}, lanes)
                due.append((4, 1, 0, b""))
            case "window":
                change, initial = number - initial, number
                windows = [one + change for one in windows]
                if max(windows) > MOST:
                    with pytest.raises(ConnectionFault) as fault:
                        core.settings({4: number}, lanes)
                    assert fault.value.code is ErrorCode.FLOW_CONTROL_ERROR
                    return
                core.settings({4: number}, lanes)
                due.append((4, 1, 0, b""))
            case "discard":
                if not blocks:
                    core.discard()
                    assert core.take() == b""
                    due, start = [], 0
            case _:
                size, wire = core.pending, core.take()
                assert (len(wire), core.pending) == (size, 0)
                assert wire[:start] == PREFACE[:start]
                assert whole(parsed(wire[start:]), due, blocks, reader, longest)
                due, start, blocks = [], 0, {}
        assert (core.connection_window, core.max_frame_size) == (connection, longest)
        assert [core.stream_window(one) for one in lanes] == windows
        assert [one.peer_window for one in lanes] == windows
        assert core.records == 0


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize(("size", "rest"), [(16_384, []), (16_385, [1]), (50_000, [16_384, 16_384, 848])])
def test_a_large_header_block_is_continued(size: int, rest: list[int], end: int) -> None:
    """The first frame says whether the stream ends, the last one that the block does."""
    core, lane = NativeCore(ServerConfig(), client=False), SimpleNamespace(stream_id=1)
    core.take()
    core._encoder = SimpleNamespace(encode=lambda fields: PATTERN[:size])  # type: ignore[assignment]
    core.send_headers(lane, [], end=bool(end))  # type: ignore[arg-type]
    told = parsed(core.take())
    assert [(type_, len(part)) for type_, _, _, part in told] == [(1, 16_384), *((9, part) for part in rest)]
    assert [flags for _, flags, _, _ in told] == [end | 4 * (not rest), *(0 for _ in rest[1:]), *(4 for _ in rest[:1])]


def whole(
    told: Parts, due: Parts, blocks: dict[int, list[tuple[bytes, bytes]]], reader: hpack.Decoder, longest: int
) -> bool:
    """Whether the frames are those that are due; header blocks are put together and read."""
    at = 0
    for number, (type_, flags, stream, payload) in enumerate(due):
        if type_ != 1:
            assert told[at] == (type_, flags, stream, payload)
            at += 1
            continue
        block, first = b"", at
        while True:
            kind, has, of, part = told[at]
            assert (kind, of) == (1 if at == first else 9, stream)
            assert has & ~4 == (flags if at == first else 0)
            assert len(part) <= 37_000
            block, at = block + part, at + 1
            if has & 4:
                break
            assert len(part) >= 16_384
        assert at - first == max(1, -(-len(block) // len(told[first][3])) if told[first][3] else 1)
        assert list(map(tuple, reader.decode(block, raw=True))) == blocks[number]
    return at == len(told)


# -- frames ------------------------------------------------------------------------------------------------------------

IDS = st.one_of(st.integers(0, 300), st.integers(0, MOST), st.just(MOST))
CODES = st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1))


@given(IDS, CODES, st.binary(max_size=20), st.dictionaries(st.integers(0, 2**16 - 1), CODES, max_size=5))
@settings(max_examples=60, database=None)
def test_frames_are_written_as_the_rules_say(stream: int, code: int, debug: bytes, values: dict[int, int]) -> None:
    ids = stream.to_bytes(4, "big")
    assert parsed(frames.goaway(stream, code, debug)) == [(7, 0, 0, ids + code.to_bytes(4, "big") + debug)]
    assert parsed(frames.window_update(stream, code)) == [(8, 0, stream, code.to_bytes(4, "big"))]
    assert parsed(frames.settings(values)) == [(4, 0, 0, setting(values))]
    wire = raw.frame(7, 3, 0, debug) + raw.frame(1, 4, stream, ids) + raw.frame(99, code % 256, stream, b"")
    for start in (b"", PREFACE):
        read = frames.read_frames(start + wire)
        assert [(one.type, one.flags, one.stream_id, one.payload) for one in read] == parsed(wire)
    reserved = bytearray(raw.frame(0, 0, stream, debug))
    reserved[5] |= 128
    assert frames.read_frames(bytes(reserved))[0].stream_id == stream
    names = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY"]
    names += ["WINDOW_UPDATE", "CONTINUATION"]
    assert [one.name for one in frames.FrameType] == names
    assert [*map(int, frames.FrameType)] == [*range(10)]
    number = code % 12
    shown = str(frames.Frame(number, 5, stream, debug))
    name = names[number] if number < 10 else f"type {number}"
    assert shown == f"{name} stream={stream} flags=0x5 length={len(debug)}"


# -- settings ----------------------------------------------------------------------------------------------------------

SETTINGS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 9), st.just(2**16 - 1)),
        st.one_of(
            st.sampled_from((0, 1, 2, 16_383, 16_384, 2**24 - 1, 2**24, 2**24 + 1, MOST, MOST + 1, 2**32 - 1)),
            st.integers(0, 2**32 - 1),
            st.integers(16_384, 70_000),
        ),
    ),
    max_size=4,
)


@pytest.mark.req("FLOW-9")
@given(st.lists(SETTINGS, min_size=4, max_size=4), st.booleans())
@settings(max_examples=150, database=None)
def test_settings_are_judged_by_their_ranges(drawn: list[list[tuple[int, int]]], client: bool) -> None:
    for pairs in drawn:
        values = {key: value for key, value in pairs if 1 <= key <= 6}
        wrong = []
        for key, value in values.items():
            if key == 2 and value > (0 if client else 1):
                wrong.append(ErrorCode.PROTOCOL_ERROR)
            if key == 4 and value >= 2**31:
                wrong.append(ErrorCode.FLOW_CONTROL_ERROR)
            if key == 5 and not 2**14 <= value < 2**24:
                wrong.append(ErrorCode.PROTOCOL_ERROR)
        payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs)
        if wrong:
            with pytest.raises(ConnectionFault) as fault:
                read_settings(payload, client=client)
            assert fault.value.code is wrong[0]
        else:
            assert read_settings(payload, client=client) == values


@given(
    st.sampled_from((65_535, 262_144, MOST)),
    st.sampled_from((16_384, 20_000)),
    st.integers(8_192, 10**6),
    st.sampled_from((0, 4_095, 4_096, 4_097, 65_536)),
    st.integers(1, 10**6),
)
@settings(max_examples=60, database=None)
def test_what_is_announced(window: int, longest: int, hard: int, table: int, calls: int) -> None:
    same: dict[str, int] = {
        "stream_window": window,
        "max_frame_size": longest,
        "hard_header_list_size": hard,
        "header_table_size": table,
    }
    announced = {4: window, 5: longest, 6: hard} | ({1: table} if table != 4_096 else {})
    assert own_settings(ClientConfig(**same)) == announced | {2: 0}  # type: ignore[arg-type]
    assert own_settings(ServerConfig(**same, max_concurrent_calls=calls)) == announced | {3: calls}  # type: ignore[arg-type]


# -- the windows that we grant ------------------------------------------------------------


@pytest.mark.req("FLOW-1", "FLOW-3", "FLOW-9")
@given(
    st.sampled_from((1, 7, 8, 100, 65_535, MOST - 3, MOST)),
    st.lists(
        st.tuples(
            st.sampled_from(("received", "consumed", "owe", "widen", "due", "advance", "all")), st.integers(0, 40)
        ),
        max_size=30,
    ),
)
@settings(max_examples=150, database=None)
def test_a_quarter_of_the_window_is_given_back_at_a_time(size: int, steps: list[tuple[str, int]]) -> None:
    """``advance``: credit for what has not come, as much as makes the window too large; ``all``: what may come;
    ``owe``: what is only announced when it is asked for."""
    window, held = ReceiveWindow(size), 0
    available, owed = size, 0
    for step, share in steps:
        number = size * share // 64 + share % 3
        if step == "all":
            step, number = "received", available
        if step == "received":
            available -= number
            held += number
            assert window.received(number) is (available >= 0)
            if available < 0:
                break
        elif step == "owe":
            owed += number
            window.owed += number
        elif step == "widen":
            change = number if number % 3 else -number // 2
            size, owed = size + change, owed + change
            window.widen(change)
        else:
            number = 0 if step == "due" else number if step == "advance" else min(number, held)
            held -= number if step == "consumed" else 0
            owed += number
            due = owed if owed >= size / 4 and available + owed <= MOST else 0
            assert (window.due() if step == "due" else window.consumed(number)) == due
            available, owed = available + due, owed - due
        assert (window.available, window.owed, window.size) == (available, owed, size)
