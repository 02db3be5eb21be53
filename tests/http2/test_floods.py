"""Peers that make work: each budget, one below and one above (SEC-1 to SEC-11)."""

import pickle
from typing import Any

import pytest

from duplexcore import AbuseLimits, CallStarted, ClientConfig, Origin, ServerConfig, compression_named
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from tests.support.bench import ClientBench, ServerBench, patient

SIDES = [ClientBench, ServerBench]
CALM = "ENHANCE_YOUR_CALM"


def bench_of(bench_class: Any, **limits: Any) -> Any:
    config_class: Any = ClientConfig if bench_class is ClientBench else patient
    return bench_class(config_class(abuse=AbuseLimits(**limits)))


def calmed(bench: Any) -> bool:
    """Whether the connection was ended for a flood, with a GOAWAY as the last frame and a typed event."""
    out = bench.briefs()
    closed = bench.closed()
    if closed is None:
        return False
    assert out[-1].endswith(CALM)
    assert closed.code == 11
    assert closed.reason
    assert closed.origin is Origin.LIBRARY
    assert closed.limit is not None
    return True


@pytest.mark.req("SEC-4", "H2-8")
def test_unread_ping_acks() -> None:
    """The defaults; `test_what_counts_as_induced` does the same for both sides."""
    bench = ServerBench()
    bench.give(raw.ping() * 9_999)
    reading = [bench.engine.wants_read]
    bench.give(raw.ping())
    reading.append(bench.engine.wants_read)  # 10,000 wait
    assert bench.briefs() == ["PING ACK"] * 10_000
    assert [*reading, bench.engine.wants_read] == [True, False, True]
    bench.give(raw.ping() * 19_999)
    assert not bench.engine.is_closed
    bench.give(raw.ping())
    assert calmed(bench)


@pytest.mark.req("SEC-4")
@pytest.mark.parametrize("bench_class", SIDES)
def test_what_counts_as_induced(bench_class: Any) -> None:
    for induced in (raw.ping(), raw.settings()):
        bench = bench_of(bench_class, control_frames_stop_reading=5, control_frames_close=10)
        bench.give(induced * 4)
        assert bench.engine.wants_read
        bench.give(induced)
        assert not bench.engine.wants_read
        bench.pull()
        bench.give(induced * 10)
        assert calmed(bench)
    for free in (raw.ping(ack=True), raw.settings_ack(), raw.window_update(0, 1), raw.priority(1)):
        bench = bench_of(bench_class, control_frames_stop_reading=5, control_frames_close=10)
        bench.give(free * 20)
        assert bench.engine.wants_read
        assert not calmed(bench)


REFUSALS: dict[str, list[tuple[str, str]]] = {
    "malformed": [("Upper", "case")],
    "not gRPC": [("content-type", "text/plain")],
    "bad timeout": [("grpc-timeout", "soon")],
}


@pytest.mark.req("SEC-4", "HDR-15")
@pytest.mark.parametrize("extra", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("end", [False, True])
def test_unread_refusals_are_induced_frames(extra: Any, end: bool) -> None:
    bench = bench_of(ServerBench, control_frames_stop_reading=5, control_frames_close=10)
    fields = [field for field in raw.request_fields() if extra[0][0] != "content-type" or field[0] != "content-type"]
    for stream in range(1, 11, 2):
        assert bench.engine.wants_read
        bench.give(bench.peer.headers(stream, fields + extra, end=end))
    assert not bench.engine.wants_read
    for stream in range(11, 21, 2):
        bench.give(bench.peer.headers(stream, fields + extra, end=end))
    assert calmed(bench)
    assert not any(isinstance(event, CallStarted) for event in bench.events)


@pytest.mark.req("SEC-4", "CONN-8")
def test_unread_refused_streams_are_induced_frames() -> None:
    bench = ServerBench(
        ServerConfig(max_concurrent_calls=1, abuse=AbuseLimits(control_frames_stop_reading=5, control_frames_close=10))
    )
    bench.call(1)
    for stream in range(3, 23, 2):
        assert not bench.engine.is_closed
        bench.give(bench.peer.request(stream))
    assert calmed(bench)


@pytest.mark.req("SEC-4")
def test_a_slow_reader_can_not_pile_up_refusals() -> None:
    """It reads a little, and makes more: what waits is bounded all the same."""
    bench = bench_of(ServerBench, control_frames_stop_reading=50, control_frames_close=100)
    stream, most = 1, 0
    for _ in range(200):
        for _ in range(40):
            bench.give(bench.peer.headers(stream, [*raw.request_fields(), ("Upper", "case")]))
            stream += 2
        bench.peer.read(bench.engine.data_to_send(0.0, 100))  # room for a few of them
        most = max(most, bench.engine.open_calls)
        if bench.engine.is_closed or not bench.engine.wants_read:
            break
    assert most <= 100


@pytest.mark.req("SEC-4")
def test_calls_that_the_peer_reset_leave_the_queues() -> None:
    """Nothing is pulled: what the peer opens and resets must not wait to be written for ever."""
    bench = ServerBench()
    for stream in range(1, 1001, 2):
        bench.give(bench.peer.request(stream))
        (call,) = bench.calls()
        call.send_message(b"answer")
        call.finish()
        bench.give(raw.rst(stream))
        assert bench.engine.open_calls == 0
    assert bench.engine.backlog == 0
    assert bench.briefs() == []


@pytest.mark.req("SEC-4", "DUP-41")
def test_calls_that_waited_for_the_connections_window_leave_it() -> None:
    bench = ServerBench(settings={raw.INITIAL_WINDOW: 2**20})
    first = bench.call(1)
    first.send_message(bytes(100_000))
    bench.pull()  # the connection's window is used up
    for stream in range(3, 403, 2):
        call = bench.call(stream)
        call.send_message(b"x")
        bench.pull()
        bench.give(raw.rst(stream))
        call.finish()
    queues = bench.engine._carrier.queues
    assert queues.servable(window=True) <= 2
    out = bench.feed(raw.window_update(0, 2**20))
    assert {brief.split()[1] for brief in out} == {"1"}


@pytest.mark.req("SEC-5")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("payload", [b"", b"\x83"])
@pytest.mark.parametrize(("count", "passes"), [(5, True), (6, False), (1000, False)])
def test_continuations(bench_class: Any, payload: bytes, count: int, passes: bool) -> None:
    bench = bench_class()
    bench.call(1)
    stream = 1 if bench_class is ClientBench else 3
    block = raw.frame(raw.HEADERS, 0, stream, b"\x83") + raw.frame(raw.CONTINUATION, 0, stream, payload) * (count - 1)
    bench.give(block)
    bench.give(raw.frame(raw.CONTINUATION, raw.EH, stream, payload))
    assert calmed(bench) is not passes


@pytest.mark.req("SEC-5")
@pytest.mark.parametrize("bench_class", SIDES)
def test_continuations_scale_with_the_hard_limit(bench_class: Any) -> None:
    config_class = ClientConfig if bench_class is ClientBench else ServerConfig
    bench = bench_class(config_class(hard_header_list_size=16_384 * 8))  # 10 CONTINUATIONs
    bench.call(1)
    stream = 1 if bench_class is ClientBench else 3
    bench.give(raw.frame(raw.HEADERS, 0, stream) + raw.frame(raw.CONTINUATION, 0, stream) * 10)
    assert not calmed(bench)
    bench.give(raw.frame(raw.CONTINUATION, 0, stream))
    assert calmed(bench)


@pytest.mark.req("SEC-5")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("over", [0, 1])
def test_compressed_bytes_of_a_block(bench_class: Any, over: int) -> None:
    bench = bench_class()
    bench.call(1)
    stream = 1 if bench_class is ClientBench else 3
    bench.give(raw.frame(raw.HEADERS, 0, stream, bytes(16_384)))
    bench.give(raw.frame(raw.CONTINUATION, 0, stream, bytes(16_384)))
    bench.give(raw.frame(raw.CONTINUATION, 0, stream, bytes(over)))
    assert calmed(bench) is bool(over)


@pytest.mark.req("SEC-7")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("pad", [None, 0, 3])
def test_empty_data_in_a_row(bench_class: Any, pad: int | None) -> None:
    bench = bench_class()
    bench.call(1)
    if bench_class is ClientBench:
        bench.give(bench.peer.response(1))
    bench.give(raw.data(1, b"", pad=pad) * 100)
    bench.give(raw.data(1, message(b"progress")))
    bench.give(raw.data(1, b"", pad=pad) * 100)
    assert not calmed(bench)
    bench.give(raw.data(1, b"", pad=pad))
    assert calmed(bench)


@pytest.mark.req("SEC-7")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("late", [False, True])
def test_empty_data_on_the_connection(bench_class: Any, late: bool) -> None:
    """On many streams in turn, or on streams that are over."""
    bench = bench_class()
    streams = range(1, 401, 2)
    for stream in streams:
        if bench_class is ClientBench:
            bench.call(half_close=True)
            bench.give(bench.peer.trailers_only(stream) if late else bench.peer.response(stream))
        else:
            call = bench.call(stream)
            if late:
                call.finish()
                bench.pull()
    empty = b"".join(raw.data(stream) for stream in streams)
    for _ in range(16_384 // 200):
        bench.give(empty)
    assert not calmed(bench)
    bench.give(empty)
    assert calmed(bench)


@pytest.mark.req("SEC-7")
def test_an_empty_end_is_not_counted() -> None:
    bench = bench_of(ServerBench, empty_data_on_connection=3)
    for stream in range(1, 21, 2):
        bench.call(stream)
        bench.give(raw.data(stream, b"", end=True))
    assert not calmed(bench)


@pytest.mark.req("MAL-5", "SEC-7")
def test_interim_responses() -> None:
    """Any number may come, but not without a final one, or data, in between."""
    bench = bench_of(ClientBench, interim_responses=20)
    for stream in (1, 3, 5):
        bench.call()
        bench.give(bench.peer.headers(stream, [(":status", "103")]) * 20, bench.peer.response(stream))
    for _ in range(3):
        bench.call()
    for stream in (7, 9):  # taken together, whatever their stream
        bench.give(bench.peer.headers(stream, [(":status", "100")]) * 10)
        assert not calmed(bench)
    bench.give(raw.data(1, message(b"x")), bench.peer.headers(11, [(":status", "100")]) * 20)
    assert not calmed(bench)
    bench.give(bench.peer.headers(11, [(":status", "100")]))
    assert calmed(bench)


@pytest.mark.req("SEC-8")
@pytest.mark.parametrize("bench_class", SIDES)
def test_settings_frames(bench_class: Any) -> None:
    bench = bench_class()
    bench.now = 10.0  # the handshake's was at 0
    bench.feed(raw.settings() * 100)
    assert not bench.engine.is_closed
    bench.now = 19.9
    bench.give(raw.settings())
    assert calmed(bench)
    bench = bench_class()
    for _ in range(50):  # spread over time
        bench.now += 1
        bench.feed(raw.settings() * 9)
    assert not bench.engine.is_closed


@pytest.mark.req("SEC-8")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize(("entries", "passes"), [(32, True), (33, False), (2_000, False)])
def test_entries_of_a_settings_frame(bench_class: Any, entries: int, passes: bool) -> None:
    bench = bench_class()
    bench.give(raw.settings([(raw.MAX_STREAMS, index) for index in range(entries)]))
    assert calmed(bench) is not passes
    if passes and bench_class is ClientBench:
        assert bench.engine._carrier.peer_stream_limit == entries - 1  # the last value counts


@pytest.mark.req("SEC-8")
@pytest.mark.parametrize("bench_class", SIDES)
def test_priority_frames(bench_class: Any) -> None:
    bench = bench_class()
    bench.give(raw.priority(1) * 10_000)
    assert not calmed(bench)
    bench.now = 10.0
    bench.give(raw.priority(1) * 10_000)
    assert not calmed(bench)
    bench.now = 19.0
    bench.give(raw.priority(1))
    assert calmed(bench)


@pytest.mark.req("SEC-4", "SEC-5", "SEC-7", "SEC-8")
def test_every_limit_is_configurable() -> None:
    limits = AbuseLimits(settings_frames=3, priority_frames=3, settings_entries=3, empty_data_in_a_row=3, period=1.0)
    for flood in (raw.settings() * 3, raw.priority(1) * 4, raw.settings([(9, 9)] * 4), raw.data(1) * 4):
        bench = ServerBench(ServerConfig(abuse=limits))
        bench.call(1)
        bench.give(flood)
        assert calmed(bench), flood


@pytest.mark.req("SEC-2")
def test_rapid_reset() -> None:
    """Streams that are opened and reset at once; handlers that finish at once do not make it cheaper for the peer."""
    bench = bench_of(ServerBench, peer_resets=10)

    def open_and_reset(count: int, first: int) -> None:
        for stream in range(first, first + 2 * count, 2):
            bench.give(bench.peer.request(stream), raw.rst(stream))
        for call in bench.calls():
            call.finish()

    open_and_reset(10, 1)
    assert not calmed(bench)
    bench.now = 30.0  # the next period
    open_and_reset(10, 101)
    assert not calmed(bench)
    open_and_reset(1, 201)
    assert calmed(bench)


@pytest.mark.req("SEC-2")
def test_resets_after_the_answer_do_not_count() -> None:
    bench = bench_of(ServerBench, peer_resets=10)
    for stream in range(1, 101, 2):
        bench.call(stream).finish()
        assert bench.briefs()[0] == f"HEADERS {stream} ES"  # whole, before the reset comes
        bench.give(raw.rst(stream, 0))
    assert not calmed(bench)


@pytest.mark.req("SEC-3")
@pytest.mark.parametrize(
    "breach",
    [
        lambda bench, stream: bench.give(raw.window_update(stream, 0)),
        lambda bench, stream: bench.give(raw.window_update(stream, 2**31 - 1)),
        lambda bench, stream: bench.give(raw.data(stream, end=True), raw.data(stream, b"late")),
        lambda bench, stream: bench.give(bench.peer.headers(stream, [("Upper", "case")], end=True)),
    ],
    ids=["zero increment", "window overflow", "data after the end", "malformed trailers"],
)
def test_streams_that_the_peer_makes_us_reset(breach: Any) -> None:
    """ "MadeYouReset": every answer is read, so nothing piles up; the rate alone gives the peer away."""
    bench = bench_of(ServerBench, own_resets=10)
    for stream in range(1, 21, 2):
        call = bench.call(stream)
        breach(bench, stream)
        assert any(line.startswith(f"RST {stream} ") for line in bench.briefs())
        call.finish()
    assert not calmed(bench)
    bench.call(21)
    breach(bench, 21)
    assert calmed(bench)


# --- handlers, and bytes that nobody reads ----------------------------------------------------------------------------


@pytest.mark.req("SEC-1")
def test_handlers_of_reset_streams_count() -> None:
    """Rapid reset: a stream that is over makes no room while its handler runs."""
    bench = ServerBench(patient(max_concurrent_calls=3))
    running = []
    for stream in range(1, 201, 2):
        bench.give(bench.peer.request(stream), raw.rst(stream))
        running += bench.calls()
    assert len(running) == 3
    assert bench.engine.open_calls == 0
    out = bench.feed(bench.peer.request(201))
    assert out == ["RST 201 REFUSED_STREAM"]
    running[0].finish()
    bench.give(bench.peer.request(203))
    assert len(bench.calls()) == 1
    assert bench.feed(bench.peer.request(205)) == ["RST 205 REFUSED_STREAM"]


def packed(size: int) -> bytes:
    """A message of so many bytes, which comes as a few."""
    return message(compression_named("gzip").compress(bytes(size)), flag=1)


GZIP = ("grpc-encoding", "gzip")


def packing(bench: Any, stream: int, *sizes: int) -> Any:
    """A call whose messages to us unpack to these sizes."""
    if isinstance(bench, ClientBench):
        call = bench.call(half_close=True)
        bench.give(bench.peer.response(stream, GZIP))
    else:
        bench.give(bench.peer.request(stream, "/a/b", GZIP))
        (call,) = bench.calls()
    for size in sizes:
        bench.give(raw.data(stream, packed(size)))
    return call


@pytest.mark.req("SEC-11", "COMP-6")
def test_unread_bytes_of_all_calls() -> None:
    """What came within the windows is not counted, what unpacking has made of it is."""
    assert ServerConfig().abuse.unread_bytes == 64 * 1024 * 1024
    bench = bench_of(ServerBench, unread_bytes=100_000)
    call = packing(bench, 1, 50_000)
    packing(bench, 3, 49_000, 0, 0)
    packing(bench, 5, 2_000)
    assert bench.feed(bench.peer.request(7)) == ["RST 7 REFUSED_STREAM"]
    bench.give(raw.data(5, packed(98_000)))
    assert not bench.engine.is_closed  # nearly at twice the budget
    assert call.ended is None
    bench.give(raw.data(5, packed(2_000)))
    assert calmed(bench)


@pytest.mark.req("SEC-11")
@pytest.mark.parametrize("how", ["read", "reset", "finished"])
def test_what_is_read_or_over_makes_room(how: str) -> None:
    bench = bench_of(ServerBench, unread_bytes=10_000)
    for stream in range(1, 41, 4):
        call = packing(bench, stream, 9_000, 0, 2_000)
        assert bench.feed(bench.peer.request(stream + 2)) == [f"RST {stream + 2} REFUSED_STREAM"]
        if how == "read":
            assert [len(call.take_message() or b"") for _ in range(3)] == [9_000, 0, 2_000]
        elif how == "reset":
            bench.give(raw.rst(stream))
        else:
            call.finish()
            bench.pull()
    assert bench.engine._carrier.flood._unpacked == 0
    bench.call(41)


@pytest.mark.req("SEC-11", "COMP-6")
def test_a_small_frame_of_much_is_cut_off_inside() -> None:
    """The connection ends at the first message too many, not after the frame that has them all."""
    bench = bench_of(ServerBench, unread_bytes=2**20)
    call = packing(bench, 1)
    bench.give(raw.data(1, packed(2**18) * 40))
    assert calmed(bench)
    taken = [call.take_message() for _ in range(10)]
    assert [len(one or b"") for one in taken] == [2**18] * 8 + [0] * 2


@pytest.mark.req("SEC-11")
def test_a_client_is_bounded_as_well() -> None:
    bench = bench_of(ClientBench, unread_bytes=10_000)
    calls = []
    for stream in range(1, 21, 2):
        calls.append(packing(bench, stream, 15_000))
        bench.give(bench.peer.trailers(stream))
    assert not bench.engine.is_closed  # the application has what is over
    assert calls[0].take_message() == bytes(15_000)
    packing(bench, 21, 15_000, 6_000)
    assert calmed(bench)


# --- each flood leaves nothing behind ---------------------------------------------------------------------------------


@pytest.mark.req("SEC-2", "SEC-4", "SEC-11")
@pytest.mark.parametrize("flood", ["rapid reset", "pings", "settings", "bad streams", "window updates"])
def test_what_a_flood_leaves_in_memory(flood: str) -> None:
    """Answers are read, so only a rate would end it; the state after many rounds is not larger than after a few."""
    bench = bench_of(ServerBench, peer_resets=10**6, own_resets=10**6, settings_frames=10**6)
    sizes = []
    stream = 1
    for _ in range(12):
        for _ in range(100):
            match flood:
                case "rapid reset":
                    bench.give(bench.peer.request(stream), raw.rst(stream))
                    for call in bench.calls():
                        call.finish()
                case "bad streams":
                    bench.give(bench.peer.headers(stream, [*raw.request_fields(), ("Upper", "case")]))
                case "pings":
                    bench.give(raw.ping())
                case "settings":
                    bench.give(raw.settings({raw.INITIAL_WINDOW: stream}))
                case _:
                    bench.give(raw.window_update(0, 1))
            stream += 2
            bench.pull()
            bench.drain()
        sizes.append(len(pickle.dumps(bench.engine)))
    assert not bench.engine.is_closed
    assert max(sizes) < 32_000  # what is over leaves h2 once in so many streams, not at once
    assert max(sizes[6:]) < max(sizes[:6]) + 2_000
