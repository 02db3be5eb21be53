"""Streams: the client's limit and its queue, what happens on closed ones, and which RST_STREAM answers what."""

import pytest

from duplexcore import (
    CallsAvailable,
    ClientConfig,
    LocalProtocolError,
    Origin,
    ServerConfig,
    Status,
    StatusCode,
)
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from tests.support.bench import ClientBench, ServerBench, heard, outcome

# --- the limit of the peer (CONN-6, CONN-7) ---------------------------------------------------------------------------


@pytest.mark.req("CONN-6")
def test_no_limit_in_the_first_settings_is_no_limit() -> None:
    bench = ClientBench()
    for _ in range(300):
        bench.engine.start_call("/a/b")
    assert len(bench.pull()) == 300


@pytest.mark.req("CONN-6", "CONN-2")
def test_nothing_leaves_before_the_limit_is_known() -> None:
    bench = ClientBench(greet=False)
    for _ in range(3):
        bench.engine.start_call("/a/b").send_message(b"early")
    assert bench.briefs() == []
    assert bench.feed(bench.peer.hello({raw.MAX_STREAMS: 1})) == ["SETTINGS ACK", "HEADERS 1", "DATA 1 10"]


@pytest.mark.req("CONN-6", "CONN-7")
@pytest.mark.parametrize("limit", [0, 1, 3])
def test_calls_over_the_limit_wait_in_order(limit: int) -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: limit})
    calls = [bench.engine.start_call(f"/a/m{index}") for index in range(6)]
    sent = [frame.field(b":path") for frame in bench.pull()]
    assert sent == [b"/a/m%d" % index for index in range(limit)]
    assert bench.engine.waiting_calls == 6 - limit
    assert bench.engine.open_calls == limit
    bench.give(raw.settings({raw.MAX_STREAMS: 100}))
    ack, *rest = bench.pull()
    assert ack.brief == "SETTINGS ACK"
    assert [frame.field(b":path") for frame in rest] == [b"/a/m%d" % index for index in range(limit, 6)]
    assert all(call.ended is None for call in calls)


@pytest.mark.req("CONN-7", "CANC-3")
def test_a_slot_frees_at_the_end_and_at_a_written_reset() -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 1})
    calls = [bench.engine.start_call("/a/b") for _ in range(3)]
    assert bench.briefs() == ["HEADERS 1"]
    calls[0].half_close()
    assert bench.briefs() == ["DATA 1 0 ES"]
    assert bench.feed(bench.peer.trailers_only(1)) == ["HEADERS 3"]
    calls[1].cancel()
    assert bench.engine.open_calls == 1  # the reset is not written yet
    assert bench.briefs() == ["RST 3 CANCEL", "HEADERS 5"]


@pytest.mark.req("CONN-7")
@pytest.mark.parametrize("most", [1, 65_536])
def test_a_slot_that_frees_is_used_at_once_however_much_is_taken(most: int) -> None:
    """Found by P15: two resets wait, and a call for a stream."""
    bench = ClientBench(settings={raw.MAX_STREAMS: 2})
    calls = [bench.engine.start_call("/a/b") for _ in range(3)]
    bench.pull()
    calls[0].cancel()
    calls[1].cancel()
    assert [frame.brief for frame in bench.pull(most)] == ["RST 1 CANCEL", "HEADERS 5", "RST 3 CANCEL"]


@pytest.mark.req("CONN-6")
def test_a_limit_lowered_below_the_use() -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 3})
    for _ in range(3):
        bench.call(half_close=True)
    bench.engine.start_call("/a/b")
    assert bench.feed(raw.settings({raw.MAX_STREAMS: 1})) == ["SETTINGS ACK"]
    assert bench.feed(bench.peer.trailers_only(1)) == []
    assert bench.feed(bench.peer.trailers_only(3)) == []
    assert bench.feed(bench.peer.trailers_only(5)) == ["HEADERS 7"]


@pytest.mark.req("CONN-7", "DUP-8")
def test_waiting_calls_keep_their_deadline_and_can_be_cancelled() -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 0})
    late = bench.engine.start_call("/a/late", deadline=5.0)
    cancelled = bench.engine.start_call("/a/cancelled")
    last = bench.engine.start_call("/a/last")
    assert bench.engine.next_timeout() == 5.0
    cancelled.cancel()
    bench.now = 5.0
    bench.engine.handle_timeout(5.0)
    assert (outcome(late).status.code, outcome(late).unprocessed) == (StatusCode.DEADLINE_EXCEEDED, True)
    assert (outcome(cancelled).status.code, outcome(cancelled).unprocessed) == (StatusCode.CANCELLED, True)
    assert bench.briefs() == []
    bench.give(raw.settings({raw.MAX_STREAMS: 9}))
    frames = bench.pull()
    assert [(frame.stream, frame.field(b":path")) for frame in frames[1:]] == [(1, b"/a/last")]
    assert last.ended is None


@pytest.mark.req("CONN-7", "GOAW-6", "DUP-26")
@pytest.mark.parametrize("how", ["goaway", "eof", "failure", "fault"])
def test_waiting_calls_are_never_sent_after_the_connection_is_left(how: str) -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 1})
    bench.call()
    waiting = bench.engine.start_call("/a/b")
    if how == "goaway":
        bench.give(raw.goaway(1))
    elif how == "eof":
        bench.engine.receive_eof(0.0)
    elif how == "failure":
        bench.engine.transport_failed("gone", 0.0)
    else:
        bench.give(raw.frame(raw.PING, 0, 1, bytes(8)))
    assert all("HEADERS" not in brief for brief in bench.briefs())
    ended = outcome(waiting)
    assert (ended.status.code, ended.unprocessed, ended.origin) == (StatusCode.UNAVAILABLE, True, Origin.TRANSPORT)


@pytest.mark.req("CONN-7")
def test_new_settings_hold_before_their_ack() -> None:
    """After the ACK no frame may follow the old settings."""
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 0})
    bench.call(1, "/a/b", bytes(20_000))
    out = bench.feed(raw.settings({raw.INITIAL_WINDOW: 30_000, raw.MAX_STREAMS: 1}))
    assert out == ["SETTINGS ACK", "DATA 1 16384", "DATA 1 3621"]
    bench.engine.start_call("/a/b")
    assert bench.briefs() == []


@pytest.mark.req("CONN-7")
def test_calls_available() -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 1})
    first, second = bench.engine.start_call("/a/b"), bench.engine.start_call("/a/b")
    bench.pull()
    assert bench.drain() == []
    first.cancel()
    bench.pull()
    assert bench.engine.open_calls == 1
    assert [event for event in bench.drain() if isinstance(event, CallsAvailable)] == []
    second.cancel()
    bench.pull()
    assert [event for event in bench.drain() if isinstance(event, CallsAvailable)] == [CallsAvailable()]
    bench.call().cancel()
    bench.pull()
    assert [event for event in bench.drain() if isinstance(event, CallsAvailable)] == []  # nobody had to wait


@pytest.mark.req("CONN-7")
def test_a_limit_below_the_calls_that_live_makes_nobody_wait() -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 2})
    bench.engine.start_call("/a/b")
    bench.pull()
    bench.feed(raw.settings({raw.MAX_STREAMS: 0}))
    bench.feed(raw.settings({raw.MAX_STREAMS: 2}))
    assert bench.drain() == []


@pytest.mark.req("CONN-7")
def test_calls_available_after_the_limit_rose() -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 0})
    bench.engine.start_call("/a/b")
    bench.feed(raw.settings({raw.MAX_STREAMS: 2}))
    assert bench.drain() == [CallsAvailable()]


def test_a_bound_for_waiting_calls() -> None:
    bench = ClientBench(ClientConfig(max_waiting_calls=2), settings={raw.MAX_STREAMS: 0})
    one, _ = bench.engine.start_call("/a/b"), bench.engine.start_call("/a/b")
    before = bench.engine.fingerprint()
    with pytest.raises(LocalProtocolError, match="CallsAvailable"):
        bench.engine.start_call("/a/b")
    assert bench.engine.fingerprint() == before
    one.cancel()
    bench.engine.start_call("/a/b")


@pytest.mark.req("CONN-7")
def test_refused_before_the_handshake_hears_when_calls_are_available() -> None:
    bench = ClientBench(ClientConfig(max_waiting_calls=1), greet=False)
    bench.engine.start_call("/a/b")
    before = bench.engine.fingerprint()
    with pytest.raises(LocalProtocolError):
        bench.engine.start_call("/a/b")
    assert bench.engine.fingerprint() == before
    bench.feed(bench.peer.hello())
    assert CallsAvailable() in bench.drain()


# --- slots of the server (CANC-3, CONN-8) -----------------------------------------------------------------------------


@pytest.mark.req("CANC-3", "SEC-1")
@pytest.mark.parametrize("how", ["reset", "data after the end", "deadline"])
def test_a_servers_slot_frees_when_the_handler_has_finished(how: str) -> None:
    bench = ServerBench(ServerConfig(max_concurrent_calls=1))
    extra = [("grpc-timeout", "1S")] if how == "deadline" else []
    bench.give(bench.peer.request(1, "/a/b", *extra))
    (call,) = bench.calls()
    if how == "reset":
        bench.give(raw.rst(1))
    elif how == "deadline":
        bench.now = 1.0
        bench.engine.handle_timeout(1.0)
    else:
        bench.give(raw.data(1, b"", end=True), raw.data(1, b""))
    outcome(call)
    bench.pull()
    assert bench.engine.open_calls == 0
    assert bench.feed(bench.peer.request(3)) == ["RST 3 REFUSED_STREAM"]
    call.finish(Status(StatusCode.OK))  # DUP-16: discarded
    assert bench.briefs() == []
    assert bench.feed(bench.peer.request(5)) == []
    assert len(bench.calls()) == 1


@pytest.mark.req("HDR-15")
@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({":method": "GET"}, b"405"),
        ({"content-type": "text/html"}, b"415"),
        ({"grpc-timeout": "x"}, b"400"),
        ({":path": "nope"}, b"200"),
        ({"grpc-encoding": "snappy"}, b"200"),
        ({":scheme": "ftp"}, b"200"),
        ({"x-bin": "!"}, b"200"),
        ({"grpc-timeout": "0n"}, b"200"),
        ({"x": "v" * 9_000}, b"200"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_rejections_use_one_headers_frame(changes: dict[str, str], status: bytes, end: bool) -> None:
    bench = ServerBench(ServerConfig(max_concurrent_calls=1))
    for stream in (1, 3):  # twice: it does not count as a call
        fields = dict(raw.request_fields()) | changes
        bench.give(bench.peer.headers(stream, fields.items(), end=end))
        frames = bench.pull()
        expected = [f"HEADERS {stream} ES"] + ([] if end else [f"RST {stream} NO_ERROR"])
        assert [frame.brief for frame in frames] == expected
        assert frames[0].field(b":status") == status
    assert bench.calls() == []
    assert bench.engine.open_calls == 0


# --- frames of streams that are over ----------------------------------------------------------------------------------


@pytest.mark.req("DUP-17", "ERR-D")
@pytest.mark.parametrize("how", ["DATA", "HEADERS", "trailers"])
def test_frames_after_the_clients_end(how: str) -> None:
    bench = ServerBench()
    call = bench.call(1, "/a/b", b"one", end=True)
    frames = {
        "DATA": raw.data(1, message(b"late")),
        "HEADERS": bench.peer.headers(1, [("x", "y")]),
        "trailers": bench.peer.headers(1, [("x", "y")], end=True),
    }
    assert bench.feed(frames[how]) == ["RST 1 STREAM_CLOSED"]
    assert outcome(call).status.code is StatusCode.CANCELLED
    assert [type(event).__name__ for event in heard(call)] == ["Message", "HalfClosed", "CallEnded"]


@pytest.mark.req("DUP-5", "DUP-4")
@pytest.mark.parametrize("code", range(15))
@pytest.mark.parametrize("half_close", [False, True])
def test_reset_after_trailers_changes_nothing(code: int, half_close: bool) -> None:
    bench = ClientBench()
    call = bench.call(half_close=half_close)
    answer = bench.peer.response(1) + raw.data(1, message(b"kept")) + bench.peer.trailers(1, 5)
    assert bench.feed(answer, raw.rst(1, code)) == []
    assert call.take_message() == b"kept"
    assert outcome(call).status.code is StatusCode.NOT_FOUND
    assert [type(event).__name__ for event in heard(call)] == ["CallEnded"]


@pytest.mark.req("DUP-36", "DUP-10")
@pytest.mark.parametrize("pulled", [False, True])
def test_both_sides_reset(pulled: bool) -> None:
    client, server = ClientBench(), ServerBench()
    call = client.call()
    call.cancel()
    if pulled:
        assert client.briefs() == ["RST 1 CANCEL"]
    assert client.feed(raw.rst(1, 2)) == []
    assert outcome(call).status.code is StatusCode.CANCELLED
    assert client.engine.open_calls == 0
    handled = server.call(1)
    handled.send_message(bytes(10))
    server.peer.read(server.engine.data_to_send(0.0))
    handled.abort()
    assert server.feed(raw.rst(1)) == []
    assert server.engine.open_calls == 0


@pytest.mark.req("DUP-37", "DUP-14")
@pytest.mark.parametrize("how", ["finished", "reset by us", "reset by the peer"])
def test_frames_on_closed_streams_are_ignored(how: str) -> None:
    client, server = ClientBench(), ServerBench()
    call, handled = client.call(), server.call(1)
    if how == "finished":
        call.half_close()
        client.pull()
        client.give(client.peer.trailers_only(1))
        handled.finish()
    elif how == "reset by us":
        call.cancel()
        handled.abort()
    else:
        client.give(raw.rst(1, 2))
        server.give(raw.rst(1, 8))
    for bench in (client, server):
        bench.pull()
        late = (
            raw.rst(1),
            raw.window_update(1, 1),
            raw.window_update(1, 2**31 - 1),
            raw.priority(1),
            raw.data(1, b"x"),
        )
        assert bench.feed(*late) == []
        assert bench.feed(bench.peer.headers(1, [("grpc-status", "3")], end=True)) == []
        assert not bench.engine.is_closed
    outcome(call)
    outcome(handled)


@pytest.mark.req("DUP-14", "DUP-34")
def test_a_half_close_that_crosses_the_answer() -> None:
    client, server = ClientBench(), ServerBench()
    call = client.call()
    client.give(client.peer.trailers_only(1, 5) + raw.rst(1, 0))
    call.half_close()
    call.cancel()
    assert client.briefs() == []
    assert outcome(call).status.code is StatusCode.NOT_FOUND
    handled = server.call(1)
    handled.finish(Status(StatusCode.NOT_FOUND))
    assert server.briefs() == ["HEADERS 1 ES", "RST 1 NO_ERROR"]
    assert server.feed(raw.data(1, message(b"late"), end=True)) == []
    assert outcome(handled).status.code is StatusCode.NOT_FOUND
    assert not server.engine.is_closed


@pytest.mark.req("DUP-41", "DUP-33")
@pytest.mark.parametrize("code", [0, 2, 8])
def test_reset_closes_both_directions_and_drops_what_waits(code: int) -> None:
    client = ClientBench(settings={raw.INITIAL_WINDOW: 100})
    server = ServerBench(settings={raw.INITIAL_WINDOW: 100})
    for bench, call in ((client, client.call()), (server, server.call(1))):
        call.send_message(bytes(100_000))
        bench.pull()
        assert bench.feed(raw.rst(1, code)) == []
        assert bench.feed(raw.window_update(0, 1000), raw.settings({raw.INITIAL_WINDOW: 10_000})) == ["SETTINGS ACK"]
        assert call.send_message(b"more") is False
        assert not call.writable
        assert bench.engine.backlog == 0
        outcome(call)


@pytest.mark.req("CANC-5", "CANC-4", "DUP-9", "DUP-10")
@pytest.mark.parametrize("framed", [0, 1, 2])
def test_cancel_drops_what_was_not_framed(framed: int) -> None:
    """0: nothing was pulled, 1: the headers, 2: headers and a part of the message."""
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 100 if framed == 2 else 0})
    call = bench.engine.start_call("/a/b")
    call.send_message(bytes(50_000))
    call.half_close()
    out = bench.briefs() if framed else []
    call.cancel()
    call.cancel()
    out += bench.feed(raw.settings({raw.INITIAL_WINDOW: 2**20}))
    expected = [["SETTINGS ACK"], ["HEADERS 1", "SETTINGS ACK", "RST 1 CANCEL"]]
    expected += [["HEADERS 1", "DATA 1 100", "SETTINGS ACK", "RST 1 CANCEL"]]
    assert out == expected[framed]
    assert outcome(call).unprocessed is (framed == 0)
    assert bench.feed(bench.peer.response(1) + bench.peer.trailers(1) if framed else b"") == []
    assert outcome(call).status.code is StatusCode.CANCELLED


@pytest.mark.req("CANC-4")
@pytest.mark.parametrize("max_bytes", [1, 50, 20_000])
def test_cancel_never_cuts_a_frame(max_bytes: int) -> None:
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 2**20})
    other, call = bench.call(), bench.call()
    call.send_message(bytes(60_000))
    other.send_message(bytes(20_000))
    frames = bench.peer.read(bench.engine.data_to_send(0.0, max_bytes))
    assert not bench.peer.inside_frame
    call.cancel()
    frames += bench.pull()
    assert [frame.brief for frame in frames][-1] in ("RST 3 CANCEL", "DATA 1 3621")
    assert sum(len(frame.payload) for frame in frames if frame.stream == 1) == 20_005
    assert not bench.engine.is_closed


# --- which code goes out (Table D) ------------------------------------------------------------------------------------


@pytest.mark.req("ERR-D", "FRM-9", "DUP-3")
@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        (lambda peer: peer.trailers_only(1, 0), "NO_ERROR", StatusCode.OK),
        (lambda peer: peer.response(1) + raw.data(1, end=True), "NO_ERROR", StatusCode.INTERNAL),
        (lambda peer: peer.response(1) + peer.response(1), "PROTOCOL_ERROR", StatusCode.INTERNAL),
        (lambda peer: raw.data(1, b"x"), "PROTOCOL_ERROR", StatusCode.INTERNAL),
        (lambda peer: raw.data(1, b"x", end=True), "PROTOCOL_ERROR", StatusCode.INTERNAL),
        (lambda peer: peer.response(1) + raw.data(1, b"\2\0\0\0\0"), "CANCEL", StatusCode.INTERNAL),
        (lambda peer: peer.response(1) + raw.data(1, b"\1\0\0\0\1x"), "CANCEL", StatusCode.INTERNAL),
        (lambda peer: peer.response(1) + raw.data(1, b"\0\xff\0\0\0"), "CANCEL", StatusCode.RESOURCE_EXHAUSTED),
        (lambda peer: peer.response(1, ("x", "v" * 9000)), "CANCEL", StatusCode.RESOURCE_EXHAUSTED),
        (lambda peer: peer.response(1, ("x-bin", "!")), "PROTOCOL_ERROR", StatusCode.INTERNAL),
        (lambda peer: peer.trailers_only(1, 0, ("x-bin", "!")), "PROTOCOL_ERROR", StatusCode.INTERNAL),
        (lambda peer: peer.headers(1, [(":status", "503")], end=True), "NO_ERROR", StatusCode.UNAVAILABLE),
        (
            lambda peer: peer.headers(1, [(":status", "503")]) + raw.data(1, b"x" * 1024),
            "CANCEL",
            StatusCode.UNAVAILABLE,
        ),
    ],
)
def test_what_a_client_sends_for_what_it_hears(answer: object, code: str, status: StatusCode) -> None:
    bench = ClientBench()
    call, other = bench.call(), bench.call()
    assert bench.feed(answer(bench.peer)) == [f"RST 1 {code}"]  # type: ignore[operator]
    assert outcome(call).status.code is status
    assert other.ended is None
    assert bench.engine.open_calls == 1


@pytest.mark.req("ERR-D", "DUP-12", "DUP-10")
def test_cancel_and_deadline_are_cancel() -> None:
    bench = ClientBench()
    bench.call().cancel()
    bench.engine.start_call("/a/b", deadline=1.0)
    assert sorted(bench.briefs()) == ["HEADERS 3", "RST 1 CANCEL"]
    bench.now = 1.0
    bench.engine.handle_timeout(1.0)
    assert bench.briefs() == ["RST 3 CANCEL"]


@pytest.mark.req("ERR-D", "DUP-35", "FRM-9", "DUP-3")
def test_what_a_server_sends() -> None:
    bench = ServerBench(settings={raw.INITIAL_WINDOW: 100})
    early, partly, bad = bench.call(1), bench.call(3), bench.call(5)
    early.finish(Status(StatusCode.NOT_FOUND))
    assert bench.briefs() == ["HEADERS 1 ES", "RST 1 NO_ERROR"]
    partly.send_message(bytes(200))
    assert bench.briefs() == ["HEADERS 3", "DATA 3 100"]
    partly.abort()
    assert bench.briefs() == ["RST 3 CANCEL"]
    assert bench.feed(raw.data(5, b"\7\0\0\0\0")) == ["HEADERS 5 ES", "RST 5 NO_ERROR"]
    assert outcome(bad).status.code is StatusCode.INTERNAL


@pytest.mark.req("ERR-A", "ERR-1", "ERR-2", "ERR-D")
@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (431, 13)]
    + [(status, 2) for status in (200, 201, 204, 301, 405, 408, 409, 415, 418, 500, 501, 505, 599, 800)],
)
@pytest.mark.parametrize("how", ["at once", "with a body", "with an endless body"])
def test_what_a_client_makes_of_an_answer_that_is_not_grpc(status: int, code: int, how: str) -> None:
    bench = ClientBench()
    call = bench.call()
    fields = [(":status", str(status)), ("content-type", "text/html")]
    out = bench.feed(bench.peer.headers(1, fields, end=how == "at once"))
    if how == "with a body":
        out += bench.feed(raw.data(1, b"<html>", end=True))
    elif how == "with an endless body":
        out += bench.feed(raw.data(1, b"<html>" * 1_000))
    assert outcome(call).status.code == code
    assert ("<html>" in outcome(call).status.message) is (how != "at once")
    assert out == ["RST 1 NO_ERROR" if how == "at once" else "RST 1 CANCEL"]


@pytest.mark.req("ERR-B", "DUP-7", "DUP-6", "DUP-28")
@pytest.mark.parametrize("code", [*range(14), 99])
@pytest.mark.parametrize("after", ["nothing", "headers", "a message"])
def test_what_a_client_makes_of_a_reset(code: int, after: str) -> None:
    bench = ClientBench()
    call = bench.call(half_close=True)
    if after != "nothing":
        bench.give(bench.peer.response(1))
    if after == "a message":
        bench.give(raw.data(1, message(b"kept") + b"\0"))
    assert bench.feed(raw.rst(1, code)) == []
    special = {7: 14, 8: 1, 11: 8, 12: 7}
    assert outcome(call).status.code == special.get(code, 13)
    assert outcome(call).origin is Origin.PEER
    assert outcome(call).unprocessed is (code == 7 and after == "nothing")  # an answer has begun: RETRY-4
    assert call.take_message() == (b"kept" if after == "a message" else None)


@pytest.mark.req("CANC-2", "ERR-B")
@pytest.mark.parametrize("code", [*range(14), 99])
def test_any_reset_cancels_a_servers_call(code: int) -> None:
    bench = ServerBench()
    call = bench.call(1)
    assert bench.feed(raw.rst(1, code)) == []
    assert (outcome(call).status.code, outcome(call).origin) == (StatusCode.CANCELLED, Origin.PEER)
