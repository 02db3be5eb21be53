"""What h2 does, and what is done about it: one test for each row, seen from outside through whole connections."""

import random
from typing import Any

import pytest

from duplexcore import ClientConfig, ErrorCode, Origin, ServerConfig, StatusCode
from duplexcore.config import Http2
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from tests.support.bench import ClientBench, ServerBench, heard, outcome
from tests.support.work import calls_made

SIDES = [ClientBench, ServerBench]


# --- any GOAWAY closes h2's whole connection state --------------------------------------------------------------------


@pytest.mark.req("H2-1", "DUP-25", "GOAW-4")
def test_goaway_that_came_lets_calls_finish() -> None:
    bench = ClientBench()
    one, two = bench.call(), bench.call()
    assert bench.feed(raw.goaway(3)) == []
    assert one.send_message(b"more")
    assert two.send_message(b"and more")
    two.half_close()
    assert bench.briefs() == ["DATA 1 9", "DATA 3 13 ES"]
    bench.give(bench.peer.response(3), raw.data(3, message(b"late answer")), bench.peer.trailers(3))
    assert two.take_message() == b"late answer"
    assert outcome(two).status.code is StatusCode.OK
    assert bench.feed(raw.ping(b"still up")) == ["PING ACK"]
    assert bench.feed(bench.peer.trailers_only(1, 5)) == ["RST 1 NO_ERROR", "GOAWAY 0 NO_ERROR"]
    assert outcome(one).status.code is StatusCode.NOT_FOUND
    assert bench.closed() is not None


@pytest.mark.req("H2-1", "GOAW-1")
def test_goaway_that_we_sent_lets_calls_finish() -> None:
    bench = ServerBench()
    call = bench.call(1, "/a/b", b"request")
    bench.engine.shutdown()
    assert bench.briefs() == [f"GOAWAY {raw.MAX_ID} NO_ERROR", "PING"]
    assert bench.feed(raw.ping(b"draining", ack=True)) == ["GOAWAY 1 NO_ERROR"]
    assert bench.feed(raw.data(1, message(b"second"))) == []
    assert call.take_message() == b"request"
    assert call.take_message() == b"second"
    call.send_message(b"answer")
    call.finish()
    assert bench.briefs() == ["HEADERS 1", "DATA 1 11", "HEADERS 1 ES", "RST 1 NO_ERROR"]
    closed = bench.closed()
    assert closed is not None
    assert closed.code == 0


@pytest.mark.req("H2-1")
@pytest.mark.parametrize("max_bytes", [1, 100, 20_000, 64 * 1024])
def test_goaway_stands_between_whole_frames(max_bytes: int) -> None:
    """`pull` reads every frame: one that was cut by the GOAWAY would show."""
    bench = ServerBench(settings={raw.INITIAL_WINDOW: 2**20})
    call = bench.call()
    call.send_message(bytes(60_000))
    first = bench.peer.read(bench.engine.data_to_send(0.0, max_bytes))
    bench.engine.shutdown()
    rest = [frame.brief for frame in first + bench.pull(max_bytes)]
    assert f"GOAWAY {raw.MAX_ID} NO_ERROR" in rest
    assert sum(int(brief.split()[2]) for brief in rest if brief.startswith("DATA")) == 60_005


@pytest.mark.req("MAL-7")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("type_", [raw.DATA, raw.HEADERS, raw.SETTINGS, raw.CONTINUATION, 0x55])
def test_oversized_length_is_refused_before_its_payload_comes(bench_class: Any, type_: int) -> None:
    bench = bench_class()
    head = raw.frame(type_, 0, 1, length=16_385)
    assert bench.feed(head[:8]) == []
    assert bench.feed(head[8:]) == ["GOAWAY 0 FRAME_SIZE_ERROR"]
    assert bench.closed() is not None


def test_frame_of_the_advertised_length_passes() -> None:
    bench = ServerBench(ServerConfig(max_frame_size=20_000))
    assert bench.hello[0].values[raw.MAX_FRAME] == 20_000
    call = bench.call()
    assert bench.feed(raw.data(1, message(bytes(20_000 - 5)))) == []
    taken = call.take_message()
    assert taken is not None
    assert len(taken) == 19_995
    assert bench.feed(raw.frame(raw.DATA, 0, 1, length=20_001)) == ["GOAWAY 1 FRAME_SIZE_ERROR"]


# --- a refused send leaves HPACK out of step --------------------------------------------------------------------------


@pytest.mark.req("MD-12", "H2-7")
def test_header_list_that_can_not_go_leaves_hpack_in_step() -> None:
    bench = ClientBench(settings={raw.MAX_LIST: 600})
    refused = bench.engine.start_call("/a/Big", [("x-new", "v" * 600), ("x-other", "w")])
    assert bench.briefs() == []
    assert outcome(refused).status.code is StatusCode.INTERNAL
    assert outcome(refused).unprocessed
    for _ in range(3):  # the second and third are decoded from the dynamic table
        bench.engine.start_call("/a/Small", [("x-new", "v"), ("x-other", "w")])
    frames = bench.pull()
    assert [frame.brief for frame in frames] == ["HEADERS 1", "HEADERS 3", "HEADERS 5"]
    assert all(frame.field(b"x-new") == b"v" and frame.field(b"x-other") == b"w" for frame in frames)


@pytest.mark.req("MD-12", "ERR-D")
def test_trailers_that_can_not_go_leave_hpack_in_step() -> None:
    bench = ServerBench(settings={raw.MAX_LIST: 120})
    first = bench.call(1)
    first.finish(trailing_metadata=[("x-big", "b" * 100)])
    assert bench.briefs() == ["RST 1 INTERNAL_ERROR"]  # not even the status fits
    bench = ServerBench(settings={raw.MAX_LIST: 250})
    first = bench.call(1)
    first.finish(trailing_metadata=[("x-big", "b" * 100)])
    (trailers, reset) = bench.pull()
    assert trailers.field(b"x-big") is None
    assert trailers.field(b"grpc-status") == b"0"
    assert reset.brief == "RST 1 NO_ERROR"
    second = bench.call(3)
    second.finish(trailing_metadata=[("x-big", "small")])
    assert bench.pull()[0].field(b"x-big") == b"small"


@pytest.mark.req("MD-15")
@pytest.mark.parametrize("name", ["authorization", "cookie", "proxy-authorization"])
def test_sensitive_fields_are_never_indexed_on_the_wire(name: str) -> None:
    bench = ClientBench()
    for _ in range(2):
        bench.engine.start_call("/a/b", [(name, "secret"), ("x-plain", "open")])
        (frame,) = bench.pull()
        assert frame.never_indexed == {name.encode()}
        assert frame.field(name.encode()) == b"secret"
        assert b"secret" not in str(list(bench.peer.decoder.header_table.dynamic_entries)).encode()


@pytest.mark.req("MD-15")
def test_sensitive_fields_of_a_server_and_of_the_application() -> None:
    bench = ServerBench(ServerConfig(sensitive_metadata=frozenset({"x-secret"})))
    call = bench.call()
    call.send_initial_metadata([("x-secret", "1"), ("x-plain", "2")])
    call.finish(trailing_metadata=[("x-secret", "3")])
    headers, trailers, _ = bench.pull()
    assert headers.never_indexed == trailers.never_indexed == {b"x-secret"}


# --- receive_data raises and loses events parsed before the bad frame -------------------------------------------------


@pytest.mark.req("H2-12", "DUP-40", "DUP-29")
def test_frames_before_a_bad_one_in_the_same_chunk_count() -> None:
    bench = ClientBench()
    done, half = bench.call(half_close=True), bench.call()
    bench.give(
        bench.peer.response(1)
        + raw.data(1, message(b"kept"))
        + bench.peer.trailers(1)
        + bench.peer.response(3)
        + raw.data(3, message(b"kept too") + b"\0\0")
        + raw.frame(raw.PING, 0, 0, b"short")  # a connection error
        + raw.data(3, b"lost")
    )
    assert bench.briefs()[-1] == "GOAWAY 0 FRAME_SIZE_ERROR"
    assert done.take_message() == b"kept"
    assert outcome(done).status.code is StatusCode.OK
    assert half.take_message() == b"kept too"
    assert outcome(half).status.code is StatusCode.UNAVAILABLE


@pytest.mark.req("DUP-40", "MAL-1")
def test_a_stream_fault_drops_nothing_of_other_streams_in_the_chunk() -> None:
    bench = ServerBench()
    first = bench.call(1)
    out = bench.feed(
        raw.data(1, message(b"one")),
        bench.peer.headers(3, [*raw.request_fields(), ("Upper", "case")]),
        raw.data(1, message(b"two"), end=True),
        bench.peer.request(5),
    )
    assert out == ["RST 3 PROTOCOL_ERROR"]
    assert [first.take_message(), first.take_message()] == [b"one", b"two"]
    assert len(bench.calls()) == 1


# --- malformed headers or one stream too many end every call ----------------------------------------------------------


@pytest.mark.req("H2-2", "H2-3", "CONN-8", "MAL-2", "DUP-40")
def test_one_stream_too_many_is_refused_and_hpack_stays_in_step() -> None:
    bench = ServerBench(ServerConfig(max_concurrent_calls=2))
    assert bench.hello[0].values[raw.MAX_STREAMS] == 2
    calls = [bench.call(1), bench.call(3)]
    for stream in (5, 7):  # its fields enter the dynamic table all the same
        assert bench.feed(bench.peer.request(stream, "/a/Refused", ("x-a", "first"))) == [
            f"RST {stream} REFUSED_STREAM"
        ]
    assert bench.feed(raw.data(1, message(b"lives"))) == []
    assert calls[0].take_message() == b"lives"
    calls[1].finish()
    bench.pull()
    bench.give(bench.peer.request(9, "/a/Refused", ("x-a", "first")))
    (accepted,) = bench.calls()
    assert accepted.method == "/a/Refused"
    assert list(accepted.metadata) == [("x-a", "first")]


@pytest.mark.req("CONN-8")
def test_before_the_settings_ack_excess_streams_are_only_refused_too() -> None:
    bench = ServerBench(ServerConfig(max_concurrent_calls=1), greet=False)
    out = bench.feed(bench.peer.hello(ack=False), bench.peer.request(1), bench.peer.request(3))
    assert out == ["SETTINGS ACK", "RST 3 REFUSED_STREAM"]
    assert not bench.engine.is_closed


# --- with all validation off, h2 still closes the connection for ------------------------------------------------------


@pytest.mark.req("MAL-1", "H2-2", "H2-6")
@pytest.mark.parametrize(
    "fields",
    [
        [(":status", "200"), *raw.request_fields()],
        [*raw.request_fields(), (":status", "200")],
        [*raw.request_fields(), ("content-length", "x")],
        [*raw.request_fields(), ("content-length", "1"), ("content-length", "2")],
    ],
    ids=["status first", "status last", "content-length no number", "two content-lengths"],
)
def test_fields_that_close_h2_end_one_request(fields: Any) -> None:
    bench = ServerBench()
    call = bench.call(1)
    assert bench.feed(bench.peer.headers(3, fields)) == ["RST 3 PROTOCOL_ERROR"]
    assert bench.feed(raw.data(1, message(b"fine"))) == []
    assert call.take_message() == b"fine"


@pytest.mark.req("MAL-5", "H2-6")
def test_interim_response_that_ends_the_stream_ends_one_call() -> None:
    bench = ClientBench()
    bad, good = bench.call(half_close=True), bench.call()
    assert bench.feed(bench.peer.headers(1, [(":status", "103")], end=True)) == ["RST 1 PROTOCOL_ERROR"]
    assert outcome(bad).status.code is StatusCode.INTERNAL
    bench.give(bench.peer.trailers_only(3))
    assert outcome(good).status.code is StatusCode.OK


@pytest.mark.req("MAL-4", "H2-6")
@pytest.mark.parametrize(
    ("length", "sizes", "end"),
    [(10, [10], True), (3, [10], False), (11, [10], True), (20, [10, 5], True), (0, [1], False)],
    ids=["equal", "too much", "too little", "too little of two", "nothing was promised"],
)
@pytest.mark.parametrize("half_closed", [False, True])
def test_content_length_that_does_not_match_ends_one_call(
    length: int, sizes: list[int], end: bool, half_closed: bool
) -> None:
    fields = [*raw.response_fields(), ("content-length", str(length))]
    bench = ClientBench()
    call = bench.call(half_close=half_closed)
    chunks = [raw.data(1, bytes(size), end=end and index == len(sizes)) for index, size in enumerate(sizes, 1)]
    out = bench.feed(bench.peer.headers(1, fields), *chunks)
    if sum(sizes) != length:
        assert out == ["RST 1 PROTOCOL_ERROR"]
        assert "content-length" in outcome(call).status.message
    else:
        assert "content-length" not in outcome(call).status.message
    assert outcome(call).status.code is StatusCode.INTERNAL
    assert not bench.engine.is_closed

    server = ServerBench()
    request = [*raw.request_fields(), ("content-length", str(length))]
    out = server.feed(server.peer.headers(1, request), *chunks)
    assert ("RST 1 PROTOCOL_ERROR" in out) is (sum(sizes) != length)
    assert not server.engine.is_closed


@pytest.mark.req("MAL-4")
@pytest.mark.parametrize("length", [0, 7])
def test_content_length_of_a_list_that_ends_the_stream(length: int) -> None:
    bench = ServerBench()
    out = bench.feed(bench.peer.headers(1, [*raw.request_fields(), ("content-length", str(length))], end=True))
    assert out == (["RST 1 PROTOCOL_ERROR"] if length else [])


@pytest.mark.req("MAL-4")
@pytest.mark.parametrize("digits", [18, 19])
def test_content_length_has_18_digits_at_most(digits: int) -> None:
    bench = ServerBench()
    fields = [*raw.request_fields(), ("content-length", "7".zfill(digits))]
    assert bench.feed(bench.peer.headers(1, fields)) == ([] if digits == 18 else ["RST 1 PROTOCOL_ERROR"])


@pytest.mark.req("MAL-4")
def test_content_length_is_never_sent() -> None:
    client, server = ClientBench(), ServerBench()
    client.engine.start_call("/a/b").half_close()
    call = server.call(1)
    call.send_message(b"x")
    call.finish()
    assert all(frame.field(b"content-length") is None for frame in (*client.pull(), *server.pull()))


# --- a window opened by SETTINGS or going negative is not announced ---------------------------------------------------


@pytest.mark.req("FLOW-7", "FLOW-8")
def test_settings_reopen_every_window_at_once() -> None:
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 10})
    calls = [bench.call(None, "/a/b", bytes(95)) for _ in range(3)]
    assert bench.briefs() == []
    assert bench.feed(raw.settings({raw.INITIAL_WINDOW: 5})) == ["SETTINGS ACK"]  # now at -5
    assert bench.feed(raw.settings({raw.INITIAL_WINDOW: 10})) == ["SETTINGS ACK"]  # and 0
    out = bench.feed(raw.settings({raw.INITIAL_WINDOW: 50}))
    assert out == ["SETTINGS ACK", "DATA 1 40", "DATA 3 40", "DATA 5 40"]
    assert bench.feed(raw.settings({raw.INITIAL_WINDOW: 0})) == ["SETTINGS ACK"]  # -50
    assert bench.feed(raw.window_update(3, 50)) == []
    assert bench.feed(raw.window_update(3, 1)) == ["DATA 3 1"]
    calls[0].half_close()
    assert bench.briefs() == []  # the end comes after the data
    out = bench.feed(raw.settings({raw.INITIAL_WINDOW: 1000}))
    assert sorted(out) == ["DATA 1 50 ES", "DATA 3 49", "DATA 5 50", "SETTINGS ACK"]


@pytest.mark.req("FLOW-8")
def test_an_empty_end_goes_at_a_closed_window() -> None:
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 5})
    call = bench.call(None, "/a/b", b"")
    assert bench.feed(raw.settings({raw.INITIAL_WINDOW: 0})) == ["SETTINGS ACK"]
    call.half_close()
    assert bench.briefs() == ["DATA 1 0 ES"]


@pytest.mark.req("FLOW-7")
def test_a_streams_window_update_wakes_that_stream_alone() -> None:
    """The work of one WINDOW_UPDATE does not depend on how many other calls are blocked."""
    counts = []
    for others in (10, 400):
        bench = ClientBench(settings={raw.INITIAL_WINDOW: 1})
        for _ in range(others):
            bench.call(None, "/a/b", bytes(50))
        bench.give(raw.window_update(1, 1))
        assert bench.engine.backlog == 1
        assert bench.briefs() == ["DATA 1 1"]
        update = raw.window_update(3, 1)
        counts.append(calls_made(lambda bench=bench, update=update: bench.feed(update)))
    assert counts[0] == counts[1]


# --- credit is withheld -----------------------------------------------------------------------------------------------


@pytest.mark.req("H2-9", "FLOW-3")
def test_credit_is_explicit() -> None:
    """h2's own rule would keep back up to 1,024 bytes at window 0; here a quarter of the window is what is kept."""
    bench = ServerBench(ServerConfig(stream_window=65_535, connection_window=2**20))
    call = bench.call()
    chunk = message(bytes(1019))
    for _ in range(63):
        bench.give(raw.data(1, chunk))
    bench.give(raw.data(1, message(bytes(1018))))  # 65,535 bytes: the window is used up
    assert bench.briefs() == []
    given = 0
    for _ in range(64):
        assert call.take_message() is not None
        given += sum(int(brief.split()[2]) for brief in bench.briefs() if brief.startswith("WINDOW_UPDATE 1 "))
    assert given > 65_535 * 3 // 4
    assert bench.feed(raw.data(1, bytes(given))) != ["RST 1 FLOW_CONTROL_ERROR"]


# --- initial settings -------------------------------------------------------------------------------------------------


@pytest.mark.req("H2-4", "H2-5", "FLOW-6", "MAL-6", "MD-10", "CONN-2", "CONN-8")
def test_initial_settings_stand_in_the_first_frame() -> None:
    client, server = ClientBench(greet=False), ServerBench(greet=False)
    assert [frame.brief for frame in client.hello] == ["SETTINGS", f"WINDOW_UPDATE 0 {2**20 - 65_535}"]
    common = {raw.INITIAL_WINDOW: 256 * 1024, raw.MAX_FRAME: 16_384, raw.MAX_LIST: 16 * 1024}
    assert client.hello[0].values.items() >= (common | {raw.ENABLE_PUSH: 0}).items()
    assert raw.MAX_STREAMS not in client.hello[0].values
    assert [frame.brief for frame in server.hello] == ["SETTINGS", f"WINDOW_UPDATE 0 {2**20 - 65_535}"]
    assert server.hello[0].values.items() >= (common | {raw.MAX_STREAMS: 1000}).items()


@pytest.mark.req("FLOW-6")
@pytest.mark.parametrize("stream", [65_535, 100_000, 2**31 - 1])
@pytest.mark.parametrize("connection", [65_535, 100_000, 2**31 - 1])
def test_windows_as_configured(stream: int, connection: int) -> None:
    bench = ClientBench(ClientConfig(stream_window=stream, connection_window=connection), greet=False)
    settings, *updates = bench.hello
    assert settings.values[raw.INITIAL_WINDOW] == stream
    increment = connection - 65_535
    assert [frame.brief for frame in updates] == ([f"WINDOW_UPDATE 0 {increment}"] if increment else [])


@pytest.mark.req("FLOW-6")
@pytest.mark.parametrize("field", ["stream_window", "connection_window"])
@pytest.mark.parametrize("size", [65_534, 2**31])
def test_windows_out_of_range(field: str, size: int) -> None:
    with pytest.raises(ValueError, match=field):
        ClientConfig(**{field: size})  # type: ignore[arg-type]


# --- opening a stream scans all open ones -----------------------------------------------------------------------------


def test_opening_a_call_costs_the_same_however_many_are_open() -> None:
    """Work at 10, 1,000 and 10,000 open. `python -m benchmarks engine` prints the time."""
    bench = ClientBench()
    counts = {}
    for open_ in (10, 1_000, 10_000):
        for _ in range(open_ - bench.engine.open_calls):
            bench.engine.start_call("/a/b")
        while bench.engine.data_to_send(0.0):
            pass
        counts[open_] = calls_made(lambda: (bench.engine.start_call("/a/b"), bench.engine.data_to_send(0.0)))
    assert counts[10] == counts[1_000] == counts[10_000]


def test_accepting_a_call_costs_the_same_however_many_are_open() -> None:
    bench = ServerBench(ServerConfig(max_concurrent_calls=10_001))
    counts = {}
    stream = 1
    for open_ in (10, 1_000, 2_000):
        while bench.engine.open_calls < open_:
            bench.give(bench.peer.request(stream))
            stream += 2
        opening = bench.peer.request(stream)
        stream += 2
        counts[open_] = calls_made(lambda opening=opening: bench.give(opening))
    assert counts[10] == counts[1_000] == counts[2_000]


def test_opening_and_ending_costs_the_same_however_many_are_open() -> None:
    """Amortised over 600 calls: the clean-up of h2's records is among them."""
    counts = {}
    for open_ in (10, 1_000):
        bench = ClientBench()
        for _ in range(open_):
            bench.engine.start_call("/a/b")
        bench.pull()
        streams = range(2 * open_ + 1, 2 * open_ + 1_201, 2)
        answers = [bench.peer.trailers_only(stream) for stream in streams]

        def many(bench: ClientBench = bench, answers: list[bytes] = answers) -> None:
            for answer in answers:
                bench.engine.start_call("/a/b").half_close()
                bench.engine.data_to_send(0.0)
                bench.give(answer)

        counts[open_] = calls_made(many)
    assert counts[1_000] < 1.5 * counts[10]


def test_many_waiting_calls_open_in_linear_work() -> None:
    counts = []
    for waiting in (500, 1_000):
        bench = ClientBench(settings={raw.MAX_STREAMS: 0})
        for _ in range(waiting):
            bench.engine.start_call("/a/b")
        bench.give(raw.settings({raw.MAX_STREAMS: 10_000}))
        counts.append(calls_made(bench.pull))
        assert bench.engine.open_calls == waiting
    assert counts[1] < 2.2 * counts[0]


# --- closed streams are remembered ------------------------------------------------------------------------------------


@pytest.mark.parametrize("bench_class", SIDES)
def test_records_of_closed_streams_stay_bounded(bench_class: Any) -> None:
    """Reaches into h2, whose records they are."""
    bench = bench_class()
    for stream in range(1, 2001, 2):
        if bench_class is ClientBench:
            bench.call(half_close=True)
            bench.feed(bench.peer.trailers_only(stream))
        else:
            bench.call(stream, end=True).finish()
            bench.pull()
    core = bench.engine._carrier._core
    assert core.records <= 64
    if bench.engine.config.http2 == "h2":
        assert len(core._h2._closed_streams) <= 64
    assert bench.engine.open_calls == 0


@pytest.mark.parametrize(("open_", "bound"), [(0, 63), (100, 198)])
def test_records_stay_bounded_beside_streams_that_stay_open(open_: int, bound: int) -> None:
    """Nearly as many again may be over, or 63."""
    bench = ServerBench(ServerConfig(http2="h2"))
    for stream in range(1, 2 * open_, 2):
        bench.call(stream)
    core, most = bench.engine._carrier._core, 0
    for stream in range(2 * open_ + 1, 2 * open_ + 601, 2):
        bench.call(stream, end=True).finish()
        bench.pull()
        most = max(most, core.records)
    assert most == bound


@pytest.mark.req("MAL-2", "MAL-8", "H2-8", "FLOW-5")
@pytest.mark.parametrize("bench_class", SIDES)
def test_late_frames_of_forgotten_streams_are_decoded_and_dropped(bench_class: Any) -> None:
    bench = bench_class()
    client = bench_class is ClientBench
    for stream in range(1, 401, 2):
        if client:
            bench.call(half_close=True)
            bench.feed(bench.peer.trailers_only(stream))
        else:
            bench.call(stream, end=True).finish()
            bench.pull()
    for stream in (1, 77, 399):
        fields = [("x-late", f"value {stream}"), ("grpc-status", "0")]
        out = bench.feed(
            bench.peer.headers(stream, fields, end=True),
            raw.data(stream, b"late"),
            raw.data(stream, b"", end=True),
            raw.window_update(stream, 5),
            raw.rst(stream, 5),
            raw.priority(stream),
        )
        assert out == []
    assert not bench.engine.is_closed
    if client:  # what the late lists put into the dynamic table is known
        call = bench.call()
        bench.give(bench.peer.trailers_only(401, 0, ("x-late", "value 77")))
        assert list(outcome(call).trailing_metadata) == [("x-late", "value 77")]
    else:
        bench.give(bench.peer.request(401, "/a/b", ("x-late", "value 77")))
        assert list(bench.calls()[0].metadata) == [("x-late", "value 77")]


# --- the rest of section 20 -------------------------------------------------------------------------------------------


@pytest.mark.req("H2-10", "SEC-6")
@pytest.mark.parametrize("offered", [0, 100, 4096, 2**16, 2**32 - 1])
def test_our_table_follows_the_peers_only_down(offered: int) -> None:
    bench = ClientBench(settings={raw.TABLE_SIZE: offered})
    bench.peer.decoder.max_allowed_table_size = offered
    for index in range(200):
        bench.engine.start_call("/a/b", [(f"x-{index}", "v" * 40)])
    frames = bench.pull()
    assert [frame.field(b"x-%d" % index) for index, frame in enumerate(frames)] == [b"v" * 40] * 200
    assert bench.peer.decoder.header_table_size <= min(offered, 4096)
    table = bench.peer.decoder.header_table
    assert table._current_size <= min(offered, 4096)


@pytest.mark.req("H2-10", "SEC-6")
def test_a_smaller_table_is_announced_however_often_it_was_said() -> None:
    """Also when the last SETTINGS before the block change nothing any more (RFC 7541 section 4.2)."""
    bench = ClientBench()
    bench.feed(raw.settings({raw.TABLE_SIZE: 100}), raw.settings({raw.TABLE_SIZE: 100}))
    bench.peer.decoder.max_allowed_table_size = 100
    bench.engine.start_call("/a/b", [("x", "y" * 50)])
    (frame,) = bench.pull()  # decodes only if the block says that the table has shrunk
    assert frame.field(b"x") == b"y" * 50


@pytest.mark.req("H2-11")
def test_reset_right_after_the_end_in_one_chunk() -> None:
    bench = ServerBench()
    call = bench.call(1)
    bench.give(raw.data(1, message(b"last"), end=True) + raw.rst(1, 8))
    assert outcome(call).status.code is StatusCode.CANCELLED
    assert [type(event).__name__ for event in heard(call)] == ["Message", "HalfClosed", "CallEnded"]


@pytest.mark.req("H2-11", "HDR-16")
def test_request_trailers_are_a_half_close() -> None:
    bench = ServerBench()
    call = bench.call(1, "/a/b", b"one")
    assert bench.feed(bench.peer.headers(1, [("x-trailer", "dropped")], end=True)) == []
    assert [type(event).__name__ for event in heard(call)] == ["Message", "HalfClosed"]
    call.finish()
    assert bench.briefs() == ["HEADERS 1 ES"]


@pytest.mark.req("H2-6", "DUP-21")
def test_headers_in_the_middle_end_one_call() -> None:
    for bench in (ClientBench(), ServerBench()):
        call = bench.call() if isinstance(bench, ClientBench) else bench.call(1)
        if isinstance(bench, ClientBench):
            bench.give(bench.peer.response(1))
            out = bench.feed(bench.peer.trailers(1, end=False))
        else:
            out = bench.feed(bench.peer.headers(1, [("x", "y")]))
        assert out == ["RST 1 PROTOCOL_ERROR"]
        assert outcome(call).status.code is StatusCode.INTERNAL
        assert outcome(call).origin is Origin.LIBRARY
        assert not bench.engine.is_closed


@pytest.mark.req("H2-6")
@pytest.mark.parametrize("bench_class", SIDES)
def test_reset_of_an_idle_stream_closes_the_connection(bench_class: Any) -> None:
    bench = bench_class()
    assert bench.feed(raw.rst(1)) == ["GOAWAY 0 PROTOCOL_ERROR"]


@pytest.mark.req("H2-7", "H2-8", "DUP-10", "DUP-36")
def test_h2_stays_usable_after_thousands_of_odd_endings() -> None:
    """Whatever order a stream's frames come in after its call was cancelled, h2 never objects."""
    chance = random.Random(1)
    bench = ClientBench()
    for stream in range(1, 1001, 2):
        call = bench.call(half_close=chance.random() < 0.5)
        steps = [
            bench.peer.response(stream) if chance.random() < 0.7 else b"",
            raw.data(stream, message(b"x")) if chance.random() < 0.5 else b"",
        ]
        late = [raw.data(stream, b"late"), raw.window_update(stream, 1), raw.rst(stream, chance.randrange(14))]
        chance.shuffle(late)
        cut = chance.randrange(3)
        bench.give(*steps[:cut])
        call.cancel()
        if chance.random() < 0.5:
            bench.pull()
        bench.give(*steps[cut:], *late)
        bench.pull()
        outcome(call)
    closed = bench.closed()
    assert closed is None, closed
    assert bench.engine.open_calls == 0
    last = bench.call(half_close=True)
    bench.give(bench.peer.trailers_only(1001))
    assert outcome(last).status.code is StatusCode.OK


@pytest.mark.req("FLOW-7")
@pytest.mark.parametrize("http2", ["h2", "native"])
def test_settings_that_take_a_window_above_its_limit_close_the_connection(http2: Http2) -> None:
    """It is the core that finds it: what it says becomes the reason."""
    bench = ClientBench(ClientConfig(http2=http2))
    bench.call()
    assert bench.feed(raw.settings({raw.INITIAL_WINDOW: raw.MAX_ID}), raw.window_update(1, 0)) == [
        "SETTINGS ACK",
        "RST 1 PROTOCOL_ERROR",
    ]
    bench.call()
    assert bench.feed(raw.settings({raw.INITIAL_WINDOW: raw.MAX_ID - 1}), raw.window_update(3, 1)) == ["SETTINGS ACK"]
    assert bench.feed(raw.settings({raw.INITIAL_WINDOW: raw.MAX_ID})) == ["GOAWAY 0 FLOW_CONTROL_ERROR"]
    closed = bench.closed()
    assert closed is not None
    assert closed.code == ErrorCode.FLOW_CONTROL_ERROR
    assert "flow control window" in closed.reason if http2 == "h2" else "the window of stream 3" in closed.reason


def test_code_of_h2s_own_objections_is_kept() -> None:
    bench = ClientBench()
    assert bench.feed(raw.settings({raw.INITIAL_WINDOW: 2**31})) == ["GOAWAY 0 FLOW_CONTROL_ERROR"]
    bench = ClientBench()
    assert bench.feed(raw.settings({raw.MAX_FRAME: 100})) == ["GOAWAY 0 PROTOCOL_ERROR"]
    closed = bench.closed()
    assert closed is not None
    assert closed.code == ErrorCode.PROTOCOL_ERROR
