"""Streams and windows as a peer sees them, against counters of a few lines, over both HTTP/2 (RFC 9113; MAL, FLOW)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from duplexcore import CallRefused, ClientConfig, HalfClosed, Limit, Message
from duplexcore.config import AbuseLimits
from duplexcore.connection.events import CallStarted
from duplexcore.testing import raw
from tests.support.bench import ClientBench, ServerBench, heard, patient

HTTP2: st.SearchStrategy[Any] = st.sampled_from(("native", "h2"))
MOST = 2**31 - 1
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, REFUSED_STREAM = 1, 3, 5, 7


def server(http2: Any, **more: Any) -> ServerBench:
    return ServerBench(patient(http2=http2, **more))


@pytest.mark.req("FLOW-9")
@given(
    st.lists(
        st.tuples(
            st.sampled_from((0, 1, 1, 3)),
            st.one_of(st.sampled_from((0, 1, MOST - 65_535, MOST - 65_536, MOST)), st.integers(0, 2**30)),
        ),
        max_size=6,
    ),
    HTTP2,
)
@settings(max_examples=80, database=None)
def test_credit_is_added_up_to_the_most_that_a_window_can_be(credits: list[tuple[int, int]], http2: Any) -> None:
    bench = server(http2)
    calls = {stream: bench.call(stream) for stream in (1, 3)}
    windows = dict.fromkeys((0, 1, 3), 65_535)
    for stream, increment in credits:
        if stream not in windows:
            continue
        bench.give(raw.window_update(stream, increment))
        windows[stream] += increment
        wrong = None if increment and windows[stream] <= MOST else FLOW_CONTROL_ERROR if increment else PROTOCOL_ERROR
        if wrong is None:
            assert bench.pull() == []
        elif stream:
            assert [(frame.type, frame.stream, frame.code) for frame in bench.pull()] == [(raw.RST, stream, wrong)]
            assert calls[stream].ended is not None
            del windows[stream]
        else:
            closed = bench.closed()
            assert closed is not None
            assert closed.code == wrong
            return
        assert bench.closed() is None
    for stream in sorted(set(windows) - {0}):  # what was granted can be used, and nothing more
        call, size = calls[stream], 65_531 if stream == 1 else 65_530
        call.send_message(bytes(size))
        sent = sum(len(frame.payload) for frame in bench.pull(2**20) if frame.type == raw.DATA)
        assert sent == min(5 + size, windows[stream], windows[0])
        windows[0] -= sent


@pytest.mark.req("MAL-4")
@given(
    st.sampled_from((None, 0, 5, 6, 11, 12, 40)),
    st.lists(st.sampled_from((b"", b"a", b"two")), max_size=3),
    st.sampled_from(("data", "alone", "trailers", "headers")),
    st.sampled_from((None, 0, 7)),
    HTTP2,
)
@settings(max_examples=80, database=None)
def test_a_length_that_is_announced_is_kept(
    length: int | None, messages: list[bytes], ends: str, pad: int | None, http2: Any
) -> None:
    """Padding does not count."""
    bench = server(http2)
    extra = () if length is None else (("content-length", str(length)),)
    alone = ends == "headers"
    bench.give(bench.peer.request(1, "/a/b", *extra, end=alone))
    total, wrong = 0, alone and bool(length)
    for number, payload in enumerate(() if alone else messages, 1):
        last = number == len(messages) and ends == "data"
        if not wrong:
            bench.give(raw.data(1, raw.message(payload), end=last, pad=pad))
        total += 5 + len(payload)
        wrong = wrong or (length is not None and (total > length or (last and total < length)))
    if not wrong and not alone and not (ends == "data" and messages):
        bench.give(bench.peer.headers(1, [("x", "1")], end=True) if ends == "trailers" else raw.data(1, end=True))
        wrong = length is not None and total != length
    assert [(frame.brief) for frame in bench.pull() if frame.type == raw.RST] == ["RST 1 PROTOCOL_ERROR"] * wrong
    started = [event.call for event in bench.drain() if isinstance(event, CallStarted)]
    assert len(started) == (not (alone and wrong))
    for call in started:
        assert (call.ended is not None) is wrong
        if not wrong:
            *events, final = heard(call)
            assert [one.payload for one in events if isinstance(one, Message)] == ([] if alone else messages)
            assert isinstance(final, HalfClosed)
    assert bench.closed() is None


@pytest.mark.req("MAL-8", "DUP-24")
@given(
    st.lists(st.tuples(st.sampled_from((1, 3, 5, 7)), st.sampled_from("odewr")), max_size=10),
    st.sampled_from(("reads", "writes late")),
    HTTP2,
)
@example([(3, "o"), (1, "o")], "reads", "native")
@settings(max_examples=80, database=None)
def test_frames_are_for_streams_that_are_there(steps: list[tuple[int, str]], writes: str, http2: Any) -> None:
    """o: a request, d: DATA, e: DATA that ends, w: WINDOW_UPDATE, r: RST_STREAM; nothing is answered."""
    bench = server(http2)
    states: dict[int, str] = {}  # of each stream that was opened: open, ended, over; late: it is reset, but not yet
    highest = 0
    for stream, what in steps:
        frame = {
            "o": lambda stream=stream: bench.peer.request(stream),
            "d": lambda stream=stream: raw.data(stream, raw.message()),
            "e": lambda stream=stream: raw.data(stream, end=True),
            "w": lambda stream=stream: raw.window_update(stream, 1),
            "r": lambda stream=stream: raw.rst(stream),
        }[what]()
        bench.give(frame)
        state = states.get(stream)
        resets = ""
        if state is None and stream < highest and what != "o":
            pass  # ids that were passed over are of streams that are over
        elif state is None and (what != "o" or stream < highest):
            closed = bench.closed()
            assert closed is not None
            assert closed.code == PROTOCOL_ERROR
            return
        elif what == "o" and state is None:
            highest = stream
            states[stream] = "open"
        elif state == "over" and what == "o":
            closed = bench.closed()
            assert closed is not None
            assert closed.code == PROTOCOL_ERROR
            return
        elif state in ("open", "ended") and what == "r":
            states[stream] = "over"
        elif state == "ended" and what in "ode":
            states[stream], resets = ("over" if writes == "reads" else "late"), f"RST {stream} STREAM_CLOSED"
        elif state == "open" and what == "e":
            states[stream] = "ended"
        elif state == "open" and what == "o":  # a second request in a stream is malformed
            states[stream], resets = ("over" if writes == "reads" else "late"), f"RST {stream} PROTOCOL_ERROR"
        elif state == "late" and what == "r":
            states[stream] = "over"
        if writes == "reads":
            assert [one.brief for one in bench.pull() if one.type == raw.RST] == ([resets] if resets else [])
        assert bench.closed() is None
        assert bench.engine.open_calls == sum(state != "over" for state in states.values())


@pytest.mark.req("FLOW-11", "FRM-1")
@given(
    st.sampled_from((16_384, 16_385, 40_000, 2**24 - 1)),
    st.sampled_from((0, 1, 16_379, 16_380, 40_000, 65_530, 200_000)),
    st.sampled_from((10, 16_300, 65_400, 66_000, 140_000)),
    st.sampled_from((1, 1_000, 16_384, 64 * 1024, None)),
    HTTP2,
)
@settings(max_examples=60, database=None)
def test_frames_are_as_long_as_they_may_be(longest: int, size: int, header: int, most: int | None, http2: Any) -> None:
    """HEADERS as long as the peer takes them, DATA of 16,384 bytes at most; a write stops with the frame that reaches
    its bound, 64 KiB unless it has another."""
    bench = ClientBench(ClientConfig(http2=http2), settings={raw.MAX_FRAME: longest, raw.INITIAL_WINDOW: 2**20})
    bench.peer.decoder.max_header_list_size = 2**20
    bench.give(raw.window_update(0, 2**20))
    call = bench.engine.start_call("/a/b", [("x", "v" * header)])
    call.send_message(bytes(size))
    call.half_close()
    bound, data = most or 64 * 1024, b""
    while out := bench.engine.data_to_send(0.0) if most is None else bench.engine.data_to_send(0.0, most):
        frames = bench.peer.read(out)
        for frame in frames:
            if frame.type == raw.HEADERS:
                assert (frame.field(b"x"), frame.frames) == (b"v" * header, -(-len(frame.payload) // longest))
            else:
                assert len(frame.payload) == min(16_384, 5 + size - len(data))
                data += frame.payload
                assert frame.end is (len(data) == 5 + size)
        assert len(out) >= bound or frames[-1].end
        assert len(out) < bound + 9 + len(frames[-1].payload) or frames[-1].type == raw.HEADERS
    assert data == raw.message(bytes(size))


@pytest.mark.req("HDR-15", "CONN-8")
@given(
    st.permutations([(":method", "POST"), (":scheme", "http"), (":path", "/test.Echo/Chat"), (":authority", "z")]),
    st.sampled_from(("application/grpc", "text/html")),
    st.integers(1, 2),
    HTTP2,
)
@settings(max_examples=40, database=None)
def test_who_is_refused_is_told_with_its_method(
    pseudo: list[tuple[str, str]], content_type: str, most: int, http2: Any
) -> None:
    bench = server(http2, max_concurrent_calls=most)
    fields = [*pseudo, ("te", "trailers"), ("content-type", content_type)]
    for number in range(3):
        bench.give(bench.peer.headers(2 * number + 1, fields))
        (event,) = bench.drain()
        assert event.call.method == "/test.Echo/Chat" if isinstance(event, CallStarted) else True
        frames = [frame for frame in bench.pull() if frame.stream == 2 * number + 1]
        if content_type == "text/html":
            assert isinstance(event, CallRefused)
            assert (event.method, event.limit) == ("/test.Echo/Chat", None)
            assert [frame.brief for frame in frames] == [
                f"HEADERS {2 * number + 1} ES",
                f"RST {2 * number + 1} NO_ERROR",
            ]
            assert frames[0].fields == ((b":status", b"415"),)
        elif number < most:
            assert isinstance(event, CallStarted)
            assert frames == []
        else:
            assert isinstance(event, CallRefused)
            assert (event.method, event.limit) == ("/test.Echo/Chat", Limit.MAX_CONCURRENT_CALLS)
            assert [frame.code for frame in frames] == [REFUSED_STREAM]


@pytest.mark.req("CONN-3", "MAL-3")
@given(st.integers(0, 10), st.sampled_from((0, 1, 4, 5)), st.booleans(), HTTP2)
@settings(max_examples=60, database=None)
def test_the_first_frame_is_a_settings_frame(type_: int, flags: int, client: bool, http2: Any) -> None:
    """And no acknowledgement: who begins otherwise is told by GOAWAY."""
    bench: ClientBench | ServerBench
    if client:
        bench = ClientBench(ClientConfig(http2=http2), greet=False)
    else:
        bench = ServerBench(patient(http2=http2), greet=False)
        bench.give(raw.PREFACE)
    bench.give(raw.frame(type_, flags, 0 if type_ == raw.SETTINGS else 1, b""))
    closed = bench.closed()
    if type_ == raw.SETTINGS and not flags & raw.ACK:
        assert closed is None
        assert [frame.brief for frame in bench.pull()] == ["SETTINGS ACK"]
    else:
        assert closed is not None
        assert closed.code == PROTOCOL_ERROR
        assert [frame.type for frame in bench.pull()] == [raw.GOAWAY]


@pytest.mark.req("SEC-5")
@given(st.integers(1, 3), st.lists(st.integers(0, 5), min_size=1, max_size=4), HTTP2)
@settings(max_examples=60, database=None)
def test_a_header_block_is_in_so_many_frames_at_most(most: int, counts: list[int], http2: Any) -> None:
    limits = AbuseLimits(continuation_frames=most)
    bench = server(http2, abuse=limits, hard_header_list_size=16_384)
    for number, count in enumerate(counts):
        bench.give(bench.peer.request(2 * number + 1, cuts=range(1, count + 1)))
        closed = bench.closed()
        if count > most:
            assert closed is not None
            assert (closed.code, closed.limit) == (11, Limit.CONTINUATION_FRAMES)
            return
        assert closed is None
        assert bench.engine.open_calls == number + 1


@pytest.mark.req("FLOW-8", "FLOW-9", "FLOW-10")
@given(
    st.booleans(),
    st.integers(0, 9),
    st.lists(st.lists(st.sampled_from((0, 1, 2, 11, 200)), max_size=3), min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from((0, 1, 2, 3)), st.sampled_from((1, 1, 2, 4, 7, 30, 300))), max_size=12),
    st.sampled_from((1, 64 * 1024)),
    HTTP2,
)
@settings(max_examples=80, database=None)
def test_every_byte_of_a_window_is_used_and_no_more(
    client: bool, initial: int, said: list[list[int]], grants: list[tuple[int, int]], most: int, http2: Any
) -> None:
    """Of windows of single bytes, too; 3 is for all streams together, by SETTINGS."""
    settings_ = {raw.INITIAL_WINDOW: initial}
    bench: ClientBench | ServerBench
    if client:
        bench = ClientBench(ClientConfig(http2=http2), settings=settings_)
    else:
        bench = ServerBench(patient(http2=http2), settings=settings_)
    calls: list[Any] = [bench.call(2 * number + 1) for number in range(len(said))]
    for call, sizes in zip(calls, said, strict=True):
        for size in sizes:
            call.send_message(bytes((size,)) * size)
        call.half_close() if client else call.finish()
    wires = [b"".join(raw.message(bytes((size,)) * size) for size in sizes) for sizes in said]
    sent, ended, windows = [b""] * len(said), [False] * len(said), [initial] * len(said)
    for which, increment in [(-1, 0), *grants]:
        if which == 3:
            initial += increment
            windows = [window + increment for window in windows]
            bench.give(raw.settings({raw.INITIAL_WINDOW: initial}))
        elif 0 <= which < len(said):
            windows[which] += increment
            bench.give(raw.window_update(2 * which + 1, increment))
        for frame in bench.pull(most):
            number = frame.stream // 2
            if frame.type == raw.DATA:
                sent[number] += frame.payload
            ended[number] = ended[number] or frame.end
        for number, wire in enumerate(wires):
            assert sent[number] == wire[: max(0, windows[number])]
            assert ended[number] is (len(sent[number]) == len(wire))


@pytest.mark.req("SEC-7")
@given(
    st.integers(1, 3),
    st.integers(2, 6),
    st.lists(
        st.tuples(st.sampled_from((1, 1, 3, 5)), st.sampled_from(("empty", "empty", "full", "reset"))), max_size=14
    ),
    HTTP2,
)
@settings(max_examples=80, database=None)
def test_frames_without_anything_in_them_are_counted(
    row: int, total: int, steps: list[tuple[int, str]], http2: Any
) -> None:
    """In a row of a stream, and in all without progress; those of streams that are over, too."""
    limits = AbuseLimits(empty_data_in_a_row=row, empty_data_on_connection=total)
    bench = server(http2, abuse=limits)
    for stream in (1, 3, 5):
        bench.call(stream)
    rows: dict[int, int] = {1: 0, 3: 0, 5: 0}
    empty, over = 0, set[int]()
    for stream, what in steps:
        if what == "reset":
            if stream not in over:
                bench.give(raw.rst(stream))
            over.add(stream)
            continue
        bench.give(raw.data(stream, raw.message() if what == "full" else b""))
        if what == "full":
            rows[stream] = empty = 0
            continue
        empty += 1
        rows[stream] += stream not in over
        closed, broken = bench.closed(), None
        if rows[stream] > row and stream not in over:
            broken = Limit.EMPTY_DATA_IN_A_ROW
        elif empty > total:
            broken = Limit.EMPTY_DATA_ON_CONNECTION
        assert (closed.limit if closed else None) is broken
        if broken is not None:
            return


@pytest.mark.req("SEC-4")
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.lists(st.sampled_from(("open", "open", "refused", "ping", "broken", "write", "write")), max_size=14),
    HTTP2,
)
@settings(max_examples=80, database=None)
def test_a_peer_that_makes_us_answer_is_read_as_long_as_it_reads(
    stop: int, more: int, steps: list[str], http2: Any
) -> None:
    """Acks, refusals and resets that wait to be written count, calls that are served do not."""
    limits = AbuseLimits(control_frames_stop_reading=stop, control_frames_close=stop + more)
    bench = server(http2, abuse=limits)
    streams, healthy, waiting = iter(range(1, 99, 2)), list[int](), 0
    for step in steps:
        if step == "open":
            healthy.append(next(streams))
            bench.give(bench.peer.request(healthy[-1]))
        elif step == "refused":
            bench.give(bench.peer.headers(next(streams), [*raw.request_fields()[:-1], ("content-type", "text/html")]))
            waiting += 1
        elif step == "ping":
            bench.give(raw.ping())
            waiting += 1
        elif step == "broken" and healthy:
            bench.give(raw.window_update(healthy.pop(), 0))
            waiting += 1
        elif step == "write":
            bench.pull()
            waiting = 0
        closed = bench.closed()
        assert (closed.limit if closed else None) is (Limit.CONTROL_FRAMES_CLOSE if waiting >= stop + more else None)
        if closed is not None:
            return
        assert bench.engine.wants_read is (waiting < stop)
