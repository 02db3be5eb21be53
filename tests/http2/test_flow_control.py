"""Windows in both directions (FLOW-1 to FLOW-12)."""

from typing import Any

import pytest

from duplexcore import (
    AbuseLimits,
    CallReadable,
    CallWritable,
    ClientConfig,
    LocalProtocolError,
    Origin,
    ServerConfig,
    StatusCode,
)
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from tests.support.bench import ClientBench, ServerBench, heard, outcome

SIDES = [ClientBench, ServerBench]
SMALL = 65_535


def bench_with(bench_class: Any, **config: Any) -> Any:
    config_class = ClientConfig if bench_class is ClientBench else ServerConfig
    return bench_class(config_class(**config))


def opened(bench: Any, stream: int = 1) -> Any:
    """A call that can receive DATA."""
    call = bench.call(stream)
    if isinstance(bench, ClientBench):
        bench.give(bench.peer.response(stream))
    return call


def credit(briefs: list[str], stream: int) -> int:
    found = [brief.split() for brief in briefs]
    return sum(int(words[2]) for words in found if words[:2] == ["WINDOW_UPDATE", str(stream)])


# --- what we grant ----------------------------------------------------------------------------------------------------


@pytest.mark.req("FLOW-1")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("pad", [0, 5, 255])
def test_padding_counts_and_comes_back(bench_class: Any, pad: int) -> None:
    """A body in 5-byte pieces with padding: many times the windows, and no stall."""
    bench = bench_with(bench_class, stream_window=SMALL, connection_window=SMALL)
    call = opened(bench)
    windows = {0: SMALL, 1: SMALL}
    body = message(bytes(6_000))
    for at in range(0, len(body), 5):
        chunk = raw.data(1, body[at : at + 5], pad=pad)
        size = len(chunk) - 9
        windows = {stream: window - size for stream, window in windows.items()}
        assert min(windows.values()) >= 0, "the peer would stall"
        heard(call)
        out = bench.feed(chunk)
        for stream in windows:
            windows[stream] += credit(out, stream)
    assert call.take_message() == bytes(6_000)
    assert windows[1] <= SMALL
    assert windows[0] <= SMALL + len(body)  # wider by what was credited early


@pytest.mark.req("FLOW-1", "FLOW-9")
@pytest.mark.parametrize("over", [0, 1])
def test_padding_counts_against_the_stream_window(over: int) -> None:
    bench = bench_with(ServerBench, stream_window=SMALL)
    opened(bench)
    for _ in range(255):
        bench.give(raw.data(1, b"\0" * 1, pad=255))  # 257 bytes each: 65,535 in all
    out = bench.feed(raw.data(1, b"", pad=255) if over else b"")
    # The padding's credit has come back meanwhile: only what was not read fills the window.
    assert "RST 1 FLOW_CONTROL_ERROR" not in out
    assert credit(out, 1) % 256 == 0


@pytest.mark.req("FLOW-2", "FLOW-3")
@pytest.mark.parametrize("bench_class", SIDES)
def test_an_unread_call_holds_up_no_other(bench_class: Any) -> None:
    bench = bench_with(bench_class, stream_window=SMALL, connection_window=SMALL)
    unread, other = opened(bench, 1), opened(bench, 3)
    out = bench.feed(*(raw.data(1, message(bytes(8_187))) for _ in range(7)))  # 57,344 bytes, nobody reads
    assert credit(out, 0) >= SMALL // 2
    assert credit(out, 1) == 0
    for _ in range(20):
        out = bench.feed(raw.data(3, message(bytes(16_379))))
        assert credit(out, 0) > 0
        assert other.take_message() is not None
        bench.pull()
    assert len([event for event in heard(unread) if type(event).__name__ == "Message"]) == 7


@pytest.mark.req("FLOW-2", "FLOW-3")
@pytest.mark.parametrize("bench_class", SIDES)
def test_credit_comes_by_the_quarter(bench_class: Any) -> None:
    bench = bench_with(bench_class, stream_window=100_000, connection_window=200_000)
    call = opened(bench)
    for _ in range(4):
        assert bench.feed(raw.data(1, message(bytes(9_995)))) == []
    assert bench.feed(raw.data(1, message(bytes(9_995)))) == ["WINDOW_UPDATE 0 50000"]  # a quarter of 200,000
    assert [call.take_message() is not None, bench.briefs()] == [True, []]
    assert [call.take_message() is not None, bench.briefs()] == [True, []]
    assert [call.take_message() is not None, bench.briefs()] == [True, ["WINDOW_UPDATE 1 30000"]]


@pytest.mark.req("FLOW-3")
@pytest.mark.parametrize("bench_class", SIDES)
def test_no_stream_credit_before_the_application_takes(bench_class: Any) -> None:
    bench = bench_with(bench_class, stream_window=SMALL)
    call = opened(bench)
    for _ in range(4):
        assert credit(bench.feed(raw.data(1, message(bytes(16_000)))), 1) == 0
    assert credit(bench.feed(raw.data(1, b"\0\0\0\1\0" + bytes(255))), 1) == 0
    taken = 0
    while call.take_message() is not None:
        taken += 1
    assert taken == 4
    assert credit(bench.briefs(), 1) > SMALL // 2


@pytest.mark.req("FLOW-4")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("first", ["ask", "data"])
@pytest.mark.parametrize("how", ["take_message", "next_event"])
def test_a_message_larger_than_the_window_comes_through(bench_class: Any, first: str, how: str) -> None:
    bench = bench_with(bench_class, stream_window=SMALL, connection_window=SMALL, max_receive_message_size=500_000)
    call = opened(bench)
    while call.next_event() is not None:  # the client's initial metadata
        pass
    if first == "ask":
        assert getattr(call, how)() is None
    bench.drain()
    body = message(bytes(500_000))
    windows = {0: SMALL, 1: SMALL}
    for _ in range(3):  # what was credited early must not be missing, or come twice, later
        at = 0
        while at < len(body):
            size = min(16_384, len(body) - at, *windows.values())
            assert size > 0, "deadlock"
            out = bench.feed(raw.data(1, body[at : at + size]))
            at += size
            windows = {stream: window - size + credit(out, stream) for stream, window in windows.items()}
            if CallReadable(call) in bench.drain() and at < len(body):
                assert getattr(call, how)() is None
                windows[1] += credit(bench.briefs(), 1)
        assert call.take_message() == bytes(500_000)
        assert getattr(call, how)() is None  # waits for the next
        windows[1] += credit(bench.briefs(), 1)
        assert SMALL * 3 // 4 + len(body) <= windows[1] <= SMALL + len(body)


@pytest.mark.req("FLOW-3", "FLOW-4", "SEC-11")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("slack", [-1, 0, None])
def test_credit_of_a_large_message_stays_for_the_next_and_small_ones_pay_it_back(
    bench_class: Any, slack: int | None
) -> None:
    """Both windows are wider by it, while it is less than half of what may be out; ``slack``: beyond that half."""
    body, small = message(bytes(300_000)), message(bytes(16_000))
    budget = 10**9 if slack is None else 2 * len(body) + 2 * slack
    limits = AbuseLimits(unread_bytes=budget)
    bench = bench_with(bench_class, stream_window=SMALL, connection_window=SMALL, abuse=limits)
    call = opened(bench)
    assert call.take_message() is None
    windows = {0: SMALL, 1: SMALL}

    def feed(wire: bytes) -> None:
        for at in range(0, len(wire), 16_384):
            chunk = wire[at : at + 16_384]
            out = bench.feed(raw.data(1, chunk))
            for stream in windows:
                windows[stream] += credit(out, stream) - len(chunk)
            assert min(windows.values()) >= 0, "the peer would stall"
        assert call.take_message() == wire[5:]
        assert call.take_message() is None
        out = bench.briefs()
        for stream in windows:
            windows[stream] += credit(out, stream)

    for _ in range(2):
        feed(body)
        stays = 0 if slack == -1 else len(body)
        assert SMALL * 3 // 4 + stays <= windows[1] <= SMALL + stays
        assert (SMALL + stays) * 3 // 4 <= windows[0] <= SMALL + len(body)
    for _ in range(len(body) // len(small) + 8):
        feed(small)
    assert SMALL * 3 // 4 <= min(windows.values()) <= max(windows.values()) <= SMALL


@pytest.mark.req("FLOW-1", "FLOW-2", "FLOW-4", "DUP-39")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("sizes", [(16_384,), (5_000, 16_384, 16_384, 5_000)])
@pytest.mark.parametrize("beyond", [False, True])
def test_frames_of_a_large_message_count_the_same_one_by_one_and_in_a_row(
    bench_class: Any, asked: bool, sizes: tuple[int, ...], beyond: bool
) -> None:
    """Credit, its order, and the whole state; also of a peer that goes beyond its window half-way."""
    body = message(bytes(range(251)) * 8_000) * 2
    frames: list[bytes] = []
    at = 0
    while at < len(body):
        frames.append(raw.data(1, body[at : at + sizes[len(frames) % len(sizes)]]))
        at += len(frames[-1]) - 9
    seen = []
    for step in (1, 10**9, 70_001):
        bench = bench_with(bench_class, connection_window=300_000 if beyond else 8_000_000)
        call = opened(bench)
        while asked and call.next_event() is not None:
            pass
        data = b"".join(frames)
        for piece in frames if step == 1 else [data[at : at + step] for at in range(0, len(data), step)]:
            bench.give(piece)
        seen.append((bench.engine.fingerprint(), bench.briefs(), call.take_message(), call.ended))
    assert seen[0] == seen[1] == seen[2]
    assert (asked and not beyond) is (seen[0][2] is not None)


@pytest.mark.req("FLOW-4")
def test_nothing_is_credited_early_for_a_reader_that_does_not_ask() -> None:
    bench = bench_with(ServerBench, stream_window=SMALL)
    call = opened(bench)
    bench.give(raw.data(1, message(b"first")))
    out = bench.feed(*(raw.data(1, (message(bytes(200_000)))[at : at + 16_000]) for at in range(0, 64_000, 16_000)))
    assert credit(out, 1) == 0
    assert call.take_message() == b"first"
    assert credit(bench.briefs(), 1) == 0
    assert call.take_message() is None
    assert credit(bench.briefs(), 1) >= 64_000


@pytest.mark.req("FLOW-5")
@pytest.mark.parametrize("bench_class", SIDES)
def test_bytes_of_calls_that_are_over_return_to_the_connection(bench_class: Any) -> None:
    """Reset, cancelled, refused, finished: the connection's window never shrinks for good."""
    bench = bench_with(bench_class, connection_window=SMALL)
    window, stream = SMALL, 1
    for round_ in range(60):
        call = opened(bench, stream)
        chunk = message(bytes(8_000))
        frames = [raw.data(stream, chunk)]
        if round_ % 3 == 0:
            frames += [raw.rst(stream), raw.data(stream, chunk)]  # DATA after its own reset
        out = bench.feed(*frames[:1])
        if bench_class is ClientBench:
            call.cancel()
        else:
            call.finish()
        out += bench.feed(*frames[1:], raw.data(stream, chunk))  # late
        window += credit(out, 0) - len(chunk) * (2 + (round_ % 3 == 0))
        assert window > SMALL // 2
        stream += 2
    assert not bench.engine.is_closed


@pytest.mark.req("FLOW-5", "CONN-8")
def test_bytes_of_refused_streams_return_to_the_connection() -> None:
    bench = bench_with(ServerBench, connection_window=SMALL, max_concurrent_calls=1)
    bench.call(1)
    window = SMALL
    for stream in range(3, 43, 2):
        out = bench.feed(bench.peer.request(stream), raw.data(stream, bytes(10_000)))
        assert f"RST {stream} REFUSED_STREAM" in out
        window += credit(out, 0) - 10_000
        assert window > 0


@pytest.mark.req("FLOW-9", "ERR-D", "ERR-B")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("over", [0, 1])
def test_peer_that_exceeds_the_stream_window(bench_class: Any, over: int) -> None:
    bench = bench_with(bench_class, stream_window=SMALL)
    call, other = opened(bench, 1), opened(bench, 3)
    sizes = [16_384, 16_384, 16_384, 16_383 + over]
    out = bench.feed(*(raw.data(1, bytes(size)) for size in sizes))  # empty messages: 5 bytes each
    if not over:
        assert "RST 1 FLOW_CONTROL_ERROR" not in out
        return
    assert out[-1] == "RST 1 FLOW_CONTROL_ERROR"
    expected = StatusCode.INTERNAL if bench_class is ClientBench else StatusCode.CANCELLED
    assert outcome(call).status.code is expected
    assert outcome(call).origin is Origin.LIBRARY
    assert not bench.engine.is_closed
    assert other.ended is None


@pytest.mark.req("FLOW-9", "ERR-D")
@pytest.mark.parametrize("bench_class", SIDES)
def test_peer_that_exceeds_the_connection_window(bench_class: Any) -> None:
    """Credit for the connection comes back on arrival, so only what was not announced yet can be exceeded."""
    bench = bench_with(bench_class, stream_window=2**20, connection_window=SMALL)
    opened(bench)
    window = SMALL
    while True:
        bench.give(raw.data(1, bytes(16_384)))
        window -= 16_384
        out = [] if bench.engine.is_closed else bench.briefs()
        window += credit(out, 0)
        if bench.engine.is_closed or window > SMALL // 2:
            break
    assert not bench.engine.is_closed
    bench = bench_with(bench_class, stream_window=2**20, connection_window=SMALL, max_frame_size=100_000)
    opened(bench)
    out = bench.feed(raw.data(1, bytes(65_536)))
    assert out == [f"GOAWAY {0 if bench_class is ClientBench else 1} FLOW_CONTROL_ERROR"]


# --- what the peer grants ---------------------------------------------------------------------------------------------


@pytest.mark.req("FLOW-9", "ERR-D")
@pytest.mark.parametrize("bench_class", SIDES)
def test_window_overflow(bench_class: Any) -> None:
    bench = bench_class()
    call, other = opened(bench, 1), opened(bench, 3)
    assert bench.feed(raw.window_update(1, 2**31 - 1 - SMALL)) == []  # exactly full
    assert bench.feed(raw.window_update(1, 1)) == ["RST 1 FLOW_CONTROL_ERROR"]
    assert outcome(call).origin is Origin.LIBRARY
    assert other.ended is None
    assert bench.feed(raw.window_update(0, 2**31 - 1 - SMALL)) == []
    last = 0 if bench_class is ClientBench else 3
    assert bench.feed(raw.window_update(0, 1)) == [f"GOAWAY {last} FLOW_CONTROL_ERROR"]


@pytest.mark.req("FLOW-9", "FLOW-7")
@pytest.mark.parametrize("bench_class", SIDES)
def test_window_overflow_by_settings(bench_class: Any) -> None:
    bench = bench_class()
    opened(bench)
    bench.give(raw.window_update(1, 2**31 - 1 - SMALL))
    last = 0 if bench_class is ClientBench else 1
    assert bench.feed(raw.settings({raw.INITIAL_WINDOW: SMALL + 1})) == [f"GOAWAY {last} FLOW_CONTROL_ERROR"]


@pytest.mark.req("FLOW-9", "FLOW-7")
@pytest.mark.parametrize("bench_class", SIDES)
def test_windows_of_streams_that_are_over_can_not_overflow(bench_class: Any) -> None:
    bench = bench_class()
    call = opened(bench)
    bench.give(raw.window_update(1, 2**31 - 1 - SMALL))
    if bench_class is ClientBench:
        call.cancel()
    else:
        call.finish()
    bench.pull()
    assert bench.feed(raw.settings({raw.INITIAL_WINDOW: SMALL + 1})) == ["SETTINGS ACK"]


@pytest.mark.req("FLOW-9", "H2-6")
@pytest.mark.parametrize("bench_class", SIDES)
def test_window_update_of_zero(bench_class: Any) -> None:
    bench = bench_class()
    call = opened(bench)
    assert bench.feed(raw.window_update(1, 0)) == ["RST 1 PROTOCOL_ERROR"]
    assert call.ended is not None
    assert not bench.engine.is_closed


@pytest.mark.req("FLOW-7")
@pytest.mark.parametrize("bench_class", SIDES)
def test_negative_windows(bench_class: Any) -> None:
    bench = bench_class()
    call = opened(bench)
    if bench_class is ServerBench:
        call.send_initial_metadata()
    call.send_message(bytes(40_000))
    sent = sum(int(brief.split()[2]) for brief in bench.briefs() if brief.startswith("DATA"))
    assert sent == 40_005
    call.send_message(bytes(60_000))
    assert bench.feed(raw.settings({raw.INITIAL_WINDOW: 0}))[0] == "SETTINGS ACK"  # -40,005
    assert bench.feed(raw.window_update(1, 40_000)) == []
    assert bench.feed(raw.window_update(1, 5)) == []  # 0
    assert bench.feed(raw.window_update(1, 1)) == ["DATA 1 1"]


@pytest.mark.req("FLOW-8")
def test_trailers_are_not_flow_controlled_but_follow_the_data() -> None:
    bench = ServerBench(settings={raw.INITIAL_WINDOW: 0})
    empty, full = bench.call(1), bench.call(3)
    empty.send_initial_metadata()
    empty.finish()
    assert bench.briefs() == ["HEADERS 1", "HEADERS 1 ES", "RST 1 NO_ERROR"]
    full.send_message(b"x")
    full.finish()
    assert bench.briefs() == ["HEADERS 3"]
    assert bench.feed(raw.window_update(3, 5)) == ["DATA 3 5"]
    assert full.ended is None
    assert bench.feed(raw.window_update(3, 5)) == ["DATA 3 1", "HEADERS 3 ES", "RST 3 NO_ERROR"]


@pytest.mark.req("FLOW-10")
@pytest.mark.parametrize("bench_class", SIDES)
def test_the_send_buffer_is_bounded(bench_class: Any) -> None:
    bench = bench_class(settings={raw.INITIAL_WINDOW: 0})
    call = opened(bench)
    sent = 0
    while call.writable:
        assert call.send_message(bytes(1_000))
        sent += 1_005
    assert 64 * 1024 <= sent < 64 * 1024 + 1_005
    with pytest.raises(LocalProtocolError, match="full"):
        call.send_message(b"")
    bench.pull()
    bench.drain()
    bench.feed(raw.window_update(1, 2_000))
    assert call.writable is (sent - 2_000 < 64 * 1024)
    assert bench.drain() == [CallWritable(call)]


@pytest.mark.req("FLOW-10")
def test_a_large_message_is_taken_whole_while_writable() -> None:
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 0})
    call = bench.call()
    assert call.send_message(bytes(10**6))
    seen = [call.writable]
    bench.feed(raw.window_update(1, 10**6 - 64 * 1024 + 5), raw.window_update(0, 10**6))
    seen.append(call.writable)  # exactly the mark is left
    assert bench.drain() == []
    bench.feed(raw.window_update(1, 1))
    assert [*seen, call.writable] == [False, False, True]
    assert bench.drain() == [CallWritable(call)]


@pytest.mark.req("FLOW-10")
def test_hundreds_of_calls_over_small_windows_all_come_through() -> None:
    """Large messages both ways on many calls, through a peer that grants little at a time."""
    bench = ServerBench(settings={raw.INITIAL_WINDOW: 1_000})
    for stream in range(1, 401, 2):
        call = bench.call(stream)
        call.send_message(bytes(5_000))
        call.finish()
    got = dict.fromkeys(range(1, 401, 2), 0)
    finished: set[int] = set()
    rounds = 0
    while len(finished) < 200:
        rounds += 1
        assert rounds < 2_000, "a stall"
        for frame in bench.pull():
            if frame.type == raw.DATA:
                got[frame.stream] += len(frame.payload)
                bench.give(
                    raw.window_update(0, len(frame.payload)), raw.window_update(frame.stream, len(frame.payload))
                )
            elif frame.end:
                finished.add(frame.stream)
    assert set(got.values()) == {5_005}


@pytest.mark.req("FLOW-11")
def test_round_robin_with_one_data_frame_per_turn() -> None:
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 2**20})
    bench.give(raw.window_update(0, 2**20))
    for size in (40_000, 10, 70_000):
        call = bench.engine.start_call("/a/b")
        call.send_message(bytes(size - 5))
    out = bench.briefs()
    assert out == [
        *("HEADERS 1", "HEADERS 3", "HEADERS 5"),
        *("DATA 1 16384", "DATA 3 10", "DATA 5 16384"),
        *("DATA 1 16384", "DATA 5 16384"),
        *("DATA 1 7232", "DATA 5 16384"),
        *("DATA 5 16384", "DATA 5 4464"),
    ]


@pytest.mark.req("FLOW-11")
def test_the_connections_window_is_shared_in_turn() -> None:
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 2**20})
    for _ in range(4):
        bench.engine.start_call("/a/b").send_message(bytes(99_995))
    got = dict.fromkeys((1, 3, 5, 7), 0)
    for _ in range(30):
        for frame in bench.pull():
            if frame.type == raw.DATA:
                got[frame.stream] += len(frame.payload)
        assert max(got.values()) - min(got.values()) <= 2 * 16_384
        bench.give(raw.window_update(0, 10_000))
    assert bench.engine.backlog > 0


@pytest.mark.req("FLOW-12")
@pytest.mark.parametrize("bench_class", SIDES)
def test_the_peers_frame_size_is_honoured_after_any_change(bench_class: Any) -> None:
    bench = bench_class(settings={raw.MAX_FRAME: 2**24 - 1, raw.INITIAL_WINDOW: 2**20})
    bench.give(raw.window_update(0, 2**20))
    call = opened(bench)
    call.send_message(bytes(60_000))
    sizes = [len(frame.payload) for frame in bench.pull() if frame.type == raw.DATA]
    assert max(sizes) == 16_384  # never more: calls take turns
    bench.feed(raw.settings({raw.MAX_FRAME: 16_384}))
    if bench_class is ServerBench:
        call.finish(trailing_metadata=[("x-big", "v" * 20_000)])
    else:
        bench.engine.start_call("/a/b", [("x-big", "v" * 40_000)])
    frame = next(frame for frame in bench.pull() if frame.type == raw.HEADERS)
    assert frame.frames >= 2


@pytest.mark.req("FLOW-12")
@pytest.mark.parametrize("bench_class", SIDES)
def test_our_own_frame_size(bench_class: Any) -> None:
    assert bench_class().hello[0].values[raw.MAX_FRAME] == 16_384
    bench = bench_with(bench_class, max_frame_size=2**24 - 1)
    assert bench.hello[0].values[raw.MAX_FRAME] == 2**24 - 1
    with pytest.raises(ValueError, match="max_frame_size"):
        bench_with(bench_class, max_frame_size=2**24)


@pytest.mark.req("FLOW-9")
@pytest.mark.parametrize("stream", [0, 1])
def test_the_reserved_bit_of_an_increment_is_ignored(stream: int) -> None:
    """RFC 9113 section 6.9."""
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 5})
    bench.call(1, "/a/b", b"x" * 100)
    assert bench.feed(raw.frame(raw.WINDOW_UPDATE, 0, stream, (0x8000_0010).to_bytes(4, "big"))) == (
        ["DATA 1 16"] if stream else []
    )
    assert not bench.engine.is_closed
