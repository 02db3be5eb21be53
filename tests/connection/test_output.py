"""`data_to_send`: what goes first, what shares a frame, when there is nothing (rule 5 of the drive contract)."""

from typing import Any

import pytest

from duplexcore import CallReadable, ClientConnection, ServerConnection, Status, StatusCode
from duplexcore.testing import raw
from tests.support.bench import ClientBench, ServerBench, outcome

SIDES = [ClientBench, ServerBench]
WIDE = {raw.INITIAL_WINDOW: 2**24}


def wide(bench_class: Any) -> Any:
    """A bench whose peer grants more than is ever sent."""
    bench = bench_class(settings=WIDE)
    bench.give(raw.window_update(0, 2**24))
    return bench


@pytest.mark.req("FLOW-11", "KEEP-1")
@pytest.mark.parametrize("bench_class", SIDES)
def test_control_frames_come_first(bench_class: Any) -> None:
    bench = wide(bench_class)
    call = bench.call(1)
    if bench_class is ClientBench:
        bench.give(bench.peer.response(1))
    call.send_message(bytes(50_000))
    bench.give(raw.data(1, raw.message(bytes(16_000))) * 10)
    while call.next_event() is not None:
        pass
    bench.give(raw.ping(), raw.settings())
    out = bench.briefs()
    kinds = [brief.split()[0] for brief in out]
    first_data = kinds.index("DATA")
    assert {"PING", "SETTINGS", "WINDOW_UPDATE"} <= set(kinds[:first_data])
    assert not {"PING", "SETTINGS", "WINDOW_UPDATE"} & set(kinds[first_data:])


@pytest.mark.parametrize("lacking", [0, 1])
def test_not_much_more_than_64_kib_are_written_at_once(lacking: int) -> None:
    """The turn that reaches them is the last one."""
    bench = wide(ClientBench)
    calls = [bench.call() for _ in range(5)]
    for number, call in enumerate(calls):
        call.send_message(bytes(16 * 1024 - 9 - 5 - (lacking if number == 3 else 0)))
    assert len(bench.engine.data_to_send(0.0)) == (4 * 16 * 1024 if not lacking else 5 * 16 * 1024 - 1)


@pytest.mark.parametrize("more", [0, 1])
def test_no_stream_is_opened_once_enough_is_written(more: int) -> None:
    first = wide(ClientBench)
    first.engine.start_call("/a/b")
    size = len(first.engine.data_to_send(0.0))
    bench = wide(ClientBench)
    for _ in range(2):
        bench.engine.start_call("/a/b")
    out = bench.peer.read(bench.engine.data_to_send(0.0, size + more))
    assert [frame.brief for frame in out] == ["HEADERS 1", "HEADERS 3"][: 1 + more]


def test_the_order_within_a_call() -> None:
    bench = wide(ServerBench)
    call = bench.call(1)
    call.send_initial_metadata([("x", "y")])
    call.send_message(bytes(20_000))
    call.finish(Status(StatusCode.ABORTED))
    assert bench.briefs() == ["HEADERS 1", "DATA 1 16384", "DATA 1 3621", "HEADERS 1 ES", "RST 1 NO_ERROR"]
    client = wide(ClientBench)
    call = client.engine.start_call("/a/b")
    call.send_message(bytes(20_000))
    call.half_close()
    assert client.briefs() == ["HEADERS 1", "DATA 1 16384", "DATA 1 3621 ES"]


@pytest.mark.req("FRM-10")
@pytest.mark.parametrize("known", [False, True])
def test_the_end_stands_on_the_last_data_if_known_then(known: bool) -> None:
    bench = wide(ClientBench)
    call = bench.engine.start_call("/a/b")
    call.send_message(b"x")
    out = [] if known else bench.briefs()
    call.half_close()
    out += bench.briefs()
    assert out == ["HEADERS 1", "DATA 1 6 ES"] if known else ["HEADERS 1", "DATA 1 6", "DATA 1 0 ES"]


@pytest.mark.parametrize("bench_class", SIDES)
def test_small_messages_share_a_frame(bench_class: Any) -> None:
    bench = wide(bench_class)
    call = bench.call(1)
    for index in range(1_000):
        call.send_message(b"%05d" % index)
    frames = [frame for frame in bench.pull() if frame.type == raw.DATA]
    assert [len(frame.payload) for frame in frames] == [10_000]
    assert frames[0].payload == b"".join(raw.message(b"%05d" % index) for index in range(1_000))


def test_a_frame_is_filled_across_messages() -> None:
    bench = wide(ClientBench)
    call = bench.call()
    for size in (10_000, 10_000, 0, 20_000, 1):
        call.send_message(bytes(size))
    frames = bench.pull()
    total = sum((10_000, 10_000, 0, 20_000, 1)) + 25
    assert [len(frame.payload) for frame in frames] == [16_384, 16_384, total - 2 * 16_384]


@pytest.mark.req("FLOW-11")
def test_turns_go_on_where_they_stopped() -> None:
    """However small the pieces are that are asked for, nobody is passed over."""
    bench = wide(ClientBench)
    for _ in range(3):
        bench.engine.start_call("/a/b").send_message(bytes(60_000))
    order = []
    while out := bench.engine.data_to_send(0.0, 1):
        order += [frame.stream for frame in bench.peer.read(out) if frame.type == raw.DATA]
    assert order == [1, 3, 5] * 4


@pytest.mark.parametrize("max_bytes", [1, 100, 10_000, 16_393, 16_394, 50_000, 2**20])
def test_max_bytes_is_soft(max_bytes: int) -> None:
    """Control frames always go, no new frame begins past it, none is cut."""
    bench = wide(ServerBench)
    call = bench.call(1)
    call.send_initial_metadata()
    bench.pull()
    call.send_message(bytes(200_000))
    bench.give(raw.ping() * 100)
    first = bench.engine.data_to_send(0.0, max_bytes)
    assert len(first) >= 1_700
    assert len(first) < max(1_700, max_bytes) + 16_393
    sizes = [len(first)]
    frames = bench.peer.read(first)
    while out := bench.engine.data_to_send(0.0, max_bytes):
        sizes.append(len(out))
        frames += bench.peer.read(out)
        assert not bench.peer.inside_frame
    assert max(sizes[1:], default=0) < max_bytes + 16_393
    assert sum(len(frame.payload) for frame in frames if frame.type == raw.DATA) == 200_005


@pytest.mark.parametrize("max_bytes", [1, 300, 64 * 1024])
def test_opening_many_calls_respects_max_bytes(max_bytes: int) -> None:
    bench = wide(ClientBench)
    for _ in range(2_000):
        bench.engine.start_call("/a/b")
    streams = []
    while out := bench.engine.data_to_send(0.0, max_bytes):
        assert len(out) < max_bytes + 300
        streams += [frame.stream for frame in bench.peer.read(out)]
    assert streams == list(range(1, 4_001, 2))


@pytest.mark.parametrize("bench_class", SIDES)
def test_nothing_to_send_is_nothing(bench_class: Any) -> None:
    bench = bench_class(settings={raw.INITIAL_WINDOW: 0})
    assert bench.engine.data_to_send(0.0) == b""
    call = bench.call(1)
    call.send_message(b"blocked")
    bench.pull()
    for max_bytes in (0, 1, 2**20):
        assert bench.engine.data_to_send(0.0, max_bytes) == b""
    assert bench.engine.backlog == 0


@pytest.mark.parametrize("bench_class", SIDES)
def test_spurious_calls_are_harmless(bench_class: Any) -> None:
    bench = bench_class(settings={raw.INITIAL_WINDOW: 10})
    call = bench.call(1)
    call.send_message(bytes(100))
    bench.pull()
    while call.next_event() is not None:
        pass
    bench.drain()
    before = bench.engine.fingerprint()
    for _ in range(3):
        bench.engine.receive_data(b"", 0.0)
        bench.engine.receive_data(memoryview(b""), 0.0)
        bench.engine.handle_timeout(0.0)
        assert bench.engine.data_to_send(0.0) == b""
        assert bench.engine.next_event() is None
        assert bench.engine.next_timeout() is None
        assert call.next_event() is None
        assert call.take_message() is None
    assert bench.engine.fingerprint() == before


@pytest.mark.parametrize("bench_class", SIDES)
def test_calls_after_the_end_are_harmless(bench_class: Any) -> None:
    bench = bench_class()
    call = bench.call(1)
    bench.engine.receive_eof(0.0)
    bench.drain()
    while call.next_event() is not None:
        pass
    bench.pull()
    before = bench.engine.fingerprint()
    for _ in range(2):
        bench.engine.receive_data(raw.ping() + b"rubbish", 1.0)
        bench.engine.receive_eof(1.0)
        bench.engine.transport_failed("again", 1.0)
        bench.engine.handle_timeout(1.0)
        bench.engine.shutdown(deadline=2.0)
        assert call.send_message(b"x") is False
        assert call.take_message() is None
        assert bench.engine.data_to_send(1.0) == b""
        assert bench.engine.next_event() is None
    assert bench.engine.fingerprint() == before


def test_backlog_is_what_can_be_framed() -> None:
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 100_000, raw.MAX_STREAMS: 2})
    assert bench.engine.backlog == 0
    calls = [bench.engine.start_call("/a/b") for _ in range(3)]
    assert bench.engine.backlog >= 2
    bench.pull()
    assert bench.engine.backlog == 0
    for call in calls[:2]:
        call.send_message(bytes(60_000))
    assert bench.engine.backlog == 2
    bench.pull()  # the connection's window is used up
    assert bench.engine.backlog == 0
    bench.give(raw.window_update(0, 100))
    assert bench.engine.backlog > 0
    bench.pull()
    assert bench.engine.backlog == 0
    calls[0].cancel()
    assert bench.engine.backlog == 1


@pytest.mark.req("DEAD-2", "DUP-8")
def test_what_only_framing_shows_ends_the_call() -> None:
    bench = ClientBench()
    call = bench.engine.start_call("/a/b", deadline=5.0)
    assert bench.engine.data_to_send(5.0) == b""
    assert outcome(call).status.code is StatusCode.DEADLINE_EXCEEDED
    assert bench.drain() == [CallReadable(call)]


@pytest.mark.parametrize("engine_class", [ClientConnection, ServerConnection])
def test_the_first_bytes_wait_for_the_first_pull(engine_class: Any) -> None:
    engine = engine_class(now=0.0)
    first = engine.data_to_send(0.0)
    assert first
    assert engine.data_to_send(0.0) == b""
    assert engine_class(now=5.0).data_to_send(5.0) == first
