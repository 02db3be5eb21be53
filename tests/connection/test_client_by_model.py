"""What a client's connection does with calls that wait or that no server has taken, for any limits (CONN-7, RETRY-3,
RETRY-4); and when it asks whether its server is alive (KEEP-2)."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import (
    CallsAvailable,
    ClientConfig,
    ConnectionDraining,
    ConnectionReady,
    LocalProtocolError,
    Message,
    Origin,
    ReplayBudget,
    StatusCode,
)
from duplexcore.testing import raw
from tests.support.bench import CHAT, ClientBench, heard, outcome

HTTP2: st.SearchStrategy[Any] = st.sampled_from(("native", "h2"))


@pytest.mark.req("CONN-7")
@given(
    st.integers(0, 3),
    st.integers(0, 3),
    st.lists(
        st.one_of(
            st.tuples(st.just("start"), st.just(0)),
            st.tuples(st.just("start"), st.just(0)),
            st.tuples(st.just("finish"), st.just(0)),
            st.tuples(st.just("cancel"), st.integers(0, 5)),
            st.tuples(st.just("limit"), st.integers(0, 4)),
        ),
        max_size=14,
    ),
    HTTP2,
)
@settings(max_examples=80, database=None)
def test_calls_wait_for_streams_and_it_is_told_when_none_would(
    limit: int, most: int, steps: list[tuple[str, int]], http2: Any
) -> None:
    """After each step all is written: then as many calls are open as may be, the oldest first."""
    bench = ClientBench(ClientConfig(max_waiting_calls=most, http2=http2), settings={raw.MAX_STREAMS: limit})
    going: list[Any] = []  # the oldest first
    streams: dict[int, int] = {}  # of each call that has one
    opened, short = 0, False
    for step, what in [("none", 0), *steps]:
        waiting = sum(id(one) not in streams for one in going)
        if step == "start":
            if waiting >= most:
                with pytest.raises(LocalProtocolError, match="wait for CallsAvailable"):
                    bench.engine.start_call(CHAT)
            else:
                going.append(bench.engine.start_call(CHAT))
        elif step == "finish" and (open_ := [one for one in going if id(one) in streams]):
            going.remove(open_[0])
            bench.give(bench.peer.trailers_only(streams.pop(id(open_[0]))))
            assert outcome(open_[0]).status.ok
        elif step == "cancel" and going:
            one = going.pop(what % len(going))
            one.cancel()
            streams.pop(id(one), None)
        elif step == "limit":
            limit = what
            bench.give(raw.settings({raw.MAX_STREAMS: limit}))
        told = sum(isinstance(event, CallsAvailable) for event in bench.drain())
        waiting = sum(id(one) not in streams for one in going)
        short = short or waiting > max(0, limit - len(streams)) or waiting >= most
        frames: list[raw.RawFrame] = []
        while out := bench.engine.data_to_send(0.0):
            frames += [frame for frame in bench.peer.read(out) if frame.type == raw.HEADERS]
            told += sum(isinstance(event, CallsAvailable) for event in bench.drain())
        free = max(0, limit - len(streams))
        due = [one for one in going if id(one) not in streams][:free]
        assert [frame.stream for frame in frames] == [2 * opened + 1 + 2 * number for number in range(len(due))]
        streams |= {id(one): frame.stream for one, frame in zip(due, frames, strict=True)}
        opened += len(due)
        waiting = sum(id(one) not in streams for one in going)
        assert (bench.engine.waiting_calls, bench.engine.open_calls) == (waiting, len(streams))
        assert bench.drain() == []  # it was told with the write that made it so
        assert told == (short and not waiting and limit > len(streams) and most > 0)
        short = short and not told


@given(
    st.sampled_from((3, 40, 64, 2_000)),
    st.sampled_from((10, 100, 4_000)),
    st.lists(st.lists(st.sampled_from((0, 1, 16, 27, 59, 995)), max_size=4), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
    st.sampled_from(("refused", "goaway", "begun")),
    HTTP2,
)
@pytest.mark.req("RETRY-3", "RETRY-4", "STAT-15")
@settings(max_examples=80, database=None)
def test_what_no_server_has_taken_is_said_again(
    per_call: int, together: int, said: list[list[int]], half_closes: bool, single: bool, how: str, http2: Any
) -> None:
    """As long as all that has left may be kept; then the call goes on as if it had begun on the second connection."""
    config = ClientConfig(http2=http2)
    first, second, budget = ClientBench(config), ClientBench(config), ReplayBudget(per_call, together)
    kept, again = 0, []
    calls = [first.engine.start_call(CHAT, replay=budget, single_response=single) for _ in said]
    for call, sizes in zip(calls, said, strict=True):
        own, fits = 0, True
        for size in sizes:
            call.send_message(bytes((size % 251,)) * size)
            first.pull()
            fits = fits and own + 5 + size <= per_call and kept + own + 5 + size <= together
            own = own + 5 + size if fits else 0
        if half_closes:
            call.half_close()
            first.pull()
        kept += own
        again.append(fits)
        assert budget.kept == kept
    first.pull()
    for number in range(len(said)):
        if how == "refused":
            first.give(raw.rst(2 * number + 1, 7))
        elif how == "begun":
            first.give(first.peer.response(2 * number + 1), raw.rst(2 * number + 1, 7))
    if how == "goaway":
        first.give(raw.goaway(0))
    assert budget.kept == 0
    for number, (call, sizes, fits) in enumerate(zip(calls, said, again, strict=True)):
        assert outcome(call).status.code is StatusCode.UNAVAILABLE
        assert outcome(call).unprocessed is (how != "begun")
        heard(call)
        assert call.restartable is (fits and how != "begun")
        if not call.restartable:
            with pytest.raises(LocalProtocolError, match="again"):
                second.engine.restart_call(call)
            continue
        second.engine.restart_call(call)
        assert call.is_waiting
        frames = second.pull()
        stream = frames[0].stream
        payload = b"".join(frame.payload for frame in frames if frame.type == raw.DATA)
        assert payload == b"".join(raw.message(bytes((size % 251,)) * size) for size in sizes)
        assert frames[-1].end is half_closes
        answers = [b"one"] if number % 2 else [b"one", b"two"]
        second.give(second.peer.response(stream), *(raw.data(stream, raw.message(one)) for one in answers))
        if single and len(answers) > 1:
            assert outcome(call).status.code is StatusCode.UNIMPLEMENTED
            continue
        second.give(second.peer.trailers(stream))
        assert outcome(call).status.ok
        assert [one.payload for one in heard(call) if isinstance(one, Message)] == answers


CODES = {0: "NO_ERROR", 2: "INTERNAL_ERROR", 11: "ENHANCE_YOUR_CALM", 13: "HTTP_1_1_REQUIRED"}


@pytest.mark.req("GOAW-4", "GOAW-7", "DUP-26")
@given(
    st.sampled_from((*CODES, 14, 2**16, 2**24 + 3, 2**32 - 1)),
    st.lists(st.integers(0, 8), min_size=1, max_size=3),
    st.integers(0, 4),
    st.sampled_from((b"", b"too many", b"\xff", b"w" * 1_030)),
    HTTP2,
)
@settings(max_examples=80, database=None)
def test_a_farewell_is_told_as_it_was_said(
    code: int, last_ids: list[int], count: int, debug: bytes, http2: Any
) -> None:
    bench = ClientBench(ClientConfig(http2=http2))
    calls = {2 * number + 1: bench.call() for number in range(count)}
    left, so_far = dict(calls), 2**31
    texts = (CODES.get(code, str(code)), debug[:1024].decode(errors="backslashreplace").replace("\\", "\\\\"))
    for number, last in enumerate(last_ids):
        bench.give(raw.goaway(last, code, debug))
        if last > so_far or (last and last % 2 == 0):
            closed = bench.closed()
            assert closed is not None
            assert (closed.code, closed.origin) == (1, Origin.LIBRARY)
            return
        so_far = last
        gone = {stream: call for stream, call in left.items() if stream > last}
        left = {stream: call for stream, call in left.items() if stream <= last}
        for call in gone.values():
            assert outcome(call).unprocessed
            assert outcome(call).status.code is StatusCode.UNAVAILABLE
            assert all(text in outcome(call).status.message for text in texts)
            assert outcome(call).status.message.count("w") <= 1024 + 1
        assert all(call.ended is None for call in left.values())
        draining = [event for event in bench.drain() if isinstance(event, ConnectionDraining)]
        assert len(draining) == (number == 0)
        assert all(event.code == code and all(text in event.reason for text in texts) for event in draining)
        bench.pull()
        assert (bench.closed() is None) is bool(left)
        if not left:
            return
    for stream in left:
        bench.give(bench.peer.trailers_only(stream))
        bench.pull()
    assert bench.closed() is not None


@pytest.mark.req("KEEP-2")
@given(st.integers(10, 15), st.lists(st.integers(0, 16), max_size=6), st.booleans(), st.booleans(), HTTP2)
@settings(max_examples=80, database=None)
def test_it_asks_after_a_silence_but_not_before_its_server_has_greeted(
    time: int, waits: list[int], always: bool, calls: bool, http2: Any
) -> None:
    config = ClientConfig(
        keepalive_time=time, keepalive_timeout=1_000, keepalive_without_calls=always, handshake_timeout=inf, http2=http2
    )
    bench = ClientBench(config, greet=False)
    if calls:
        bench.engine.start_call(CHAT)
    for wait in waits:
        bench.now += wait
        bench.engine.handle_timeout(bench.now)
        assert all(frame.type != raw.PING for frame in bench.pull())
    bench.give(bench.peer.hello())
    assert any(isinstance(event, ConnectionReady) for event in bench.drain())
    assert all(frame.type != raw.PING for frame in bench.pull())
    heard_at, asked = bench.now, False
    for wait in waits:
        bench.now += wait
        bench.engine.handle_timeout(bench.now)
        pings = [frame for frame in bench.pull() if frame.type == raw.PING]
        due = (calls or always) and not asked and bench.now - heard_at >= time
        assert len(pings) == due
        asked = asked or due
        if due:
            bench.give(raw.frame(raw.PING, raw.ACK, 0, pings[0].payload))
            heard_at, asked = bench.now, False


@pytest.mark.req("HDR-9")
@given(st.text("az09.-_+ AZ;\n\u00e9", max_size=5))
@settings(max_examples=80, database=None)
def test_subtypes_are_of_few_characters(subtype: str) -> None:
    bench = ClientBench()
    if set(subtype) <= set("az09.-_"):
        bench.engine.start_call(CHAT, content_subtype=subtype)
        (frame,) = [frame for frame in bench.pull() if frame.type == raw.HEADERS]
        plain = b"application/grpc"
        assert frame.field(b"content-type") == (plain + b"+" + subtype.encode() if subtype else plain)
    else:
        with pytest.raises(LocalProtocolError, match="content_subtype"):
            bench.engine.start_call(CHAT, content_subtype=subtype)
        assert bench.pull() == []


@pytest.mark.req("CONN-9")
@given(st.sampled_from((1, 2**29 + 1, 2**30 + 1, 1_610_612_733, 1_610_612_737, 2**31 - 1)), st.integers(1, 2), HTTP2)
@settings(max_examples=30, database=None)
def test_a_quarter_of_the_ids_is_left(following: int, count: int, http2: Any) -> None:
    """Three of 2^31 - 1 in four are used, then no more calls begin and the connection drains."""
    bench = ClientBench(ClientConfig(http2=http2))
    bench.engine._carrier._next_own_id = following
    calls = [bench.call() for _ in range(count)]
    for number, call in enumerate(calls):
        begins = (following + 2 * number) / (2**31 - 1) <= 0.75
        if following == 1_610_612_733 and number:
            continue  # the edge itself may be on either side
        assert (call.ended is None) is begins
        assert begins or (outcome(call).unprocessed and outcome(call).status.code is StatusCode.UNAVAILABLE)
    draining = [event for event in bench.drain() if isinstance(event, ConnectionDraining)]
    assert len(draining) == (following > 1_610_612_733 or (following == 1_610_612_733 and calls[-1].ended is not None))
