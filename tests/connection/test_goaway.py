"""Leaving: GOAWAY in both directions, shutdown, the end of the transport (GOAW, DUP-25 to DUP-33)."""

from typing import Any

import pytest

from duplexcore import (
    CallReadable,
    CallsAvailable,
    ClientConnection,
    ConnectionClosed,
    ConnectionDraining,
    ConnectionState,
    LocalProtocolError,
    Origin,
    Status,
    StatusCode,
    TimerKind,
)
from duplexcore.http2.carrier import LAST_OPENED
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from tests.support.bench import ClientBench, ServerBench, heard, outcome, patient

SIDES = [ClientBench, ServerBench]
FIRST = f"GOAWAY {raw.MAX_ID} NO_ERROR"


# --- a client hears GOAWAY --------------------------------------------------------------------------------------------


@pytest.mark.req("GOAW-4", "DUP-25", "DUP-26", "GOAW-6", "GOAW-7")
@pytest.mark.parametrize(("last", "alive"), [(0, 0), (1, 1), (3, 2), (5, 3), (7, 3), (raw.MAX_ID, 3)])
def test_client_keeps_what_the_server_took(last: int, alive: int) -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 3})
    calls = [bench.call() for _ in range(3)]
    waiting = bench.engine.start_call("/a/b")
    out = bench.feed(raw.goaway(last, 0, b"max_age"))
    assert [call.ended is None for call in calls] == [index < alive for index in range(3)]
    for call in (*calls[alive:], waiting):
        ended = outcome(call)
        assert (ended.status.code, ended.unprocessed) == (StatusCode.UNAVAILABLE, True)
        assert "max_age" in ended.status.message
        assert "NO_ERROR" in ended.status.message
    draining = [event for event in bench.drain() if isinstance(event, ConnectionDraining)]
    assert len(draining) == 1
    assert draining[0].code == 0
    assert out == ([] if alive else ["GOAWAY 0 NO_ERROR"])
    for stream in range(1, 2 * alive, 2):
        bench.give(bench.peer.trailers_only(stream))
    bench.pull()
    assert all(outcome(call).status.code is StatusCode.OK for call in calls[:alive])
    assert bench.closed() is not None


@pytest.mark.req("GOAW-4")
@pytest.mark.parametrize("leaver", ["server", "client"])
def test_no_call_is_available_on_a_connection_that_drains(leaver: str) -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 1})
    call, waiting = bench.call(), bench.engine.start_call("/a/b")
    if leaver == "server":
        bench.feed(raw.goaway(1))
    else:
        bench.engine.shutdown()
        waiting.cancel()
    bench.feed(bench.peer.trailers_only(1))
    assert outcome(call).status.ok
    assert waiting.ended is not None
    assert bench.closed() is not None
    assert not [event for event in bench.events if isinstance(event, CallsAvailable)]


@pytest.mark.req("CONN-9")
def test_a_client_leaves_before_its_stream_ids_are_used_up() -> None:
    bench = ClientBench()
    bench.engine._carrier._next_own_id = LAST_OPENED
    last = bench.call()
    assert bench.engine.state is ConnectionState.READY
    late = [bench.call(), bench.call()]
    for call in late:
        ended = outcome(call)
        assert (ended.status.code, ended.unprocessed) == (StatusCode.UNAVAILABLE, True)
        assert "ids" in ended.status.message
    assert [event for event in bench.drain() if isinstance(event, ConnectionDraining)]
    assert last.ended is None
    assert bench.closed() is None
    bench.feed(bench.peer.trailers_only(LAST_OPENED))
    assert outcome(last).status.ok
    assert bench.closed() is not None


@pytest.mark.req("GOAW-4", "DUP-26")
def test_frames_of_calls_above_the_last_id_are_decoded_and_ignored() -> None:
    bench = ClientBench()
    kept, lost = bench.call(), bench.call()
    bench.give(raw.goaway(1))
    assert bench.feed(bench.peer.response(3, ("x-a", "b")), raw.data(3, bytes(9)), bench.peer.trailers(3)) == []
    assert bench.feed(raw.rst(3, 7), raw.window_update(3, 1)) == []
    bench.give(bench.peer.trailers_only(1, 0, ("x-a", "b")))
    assert list(outcome(kept).trailing_metadata) == [("x-a", "b")]
    assert [type(event).__name__ for event in heard(lost)] == ["CallEnded"]


@pytest.mark.req("GOAW-4")
def test_later_goaways_may_only_lower_the_id() -> None:
    bench = ClientBench()
    calls = [bench.call() for _ in range(3)]
    for last in (raw.MAX_ID, 5, 5, 3):
        bench.give(raw.goaway(last))
        assert not bench.engine.is_closed
    assert [call.ended is None for call in calls] == [True, True, False]
    bench.give(raw.goaway(1))
    assert [call.ended is None for call in calls] == [True, False, False]
    assert len([event for event in bench.drain() if isinstance(event, ConnectionDraining)]) == 1
    assert bench.feed(raw.goaway(3)) == ["GOAWAY 0 PROTOCOL_ERROR"]
    closed = bench.closed()
    assert closed is not None
    assert closed.origin is Origin.LIBRARY
    assert (outcome(calls[0]).status.code, outcome(calls[0]).unprocessed) == (StatusCode.UNAVAILABLE, False)


@pytest.mark.req("GOAW-5")
@pytest.mark.parametrize("last", [2, 4, raw.MAX_ID - 1])
def test_even_last_id_is_a_connection_error(last: int) -> None:
    bench = ClientBench()
    bench.call()
    assert bench.feed(raw.goaway(last)) == ["GOAWAY 0 PROTOCOL_ERROR"]


@pytest.mark.req("GOAW-5")
@pytest.mark.parametrize("code", [0, 2, 11, 77])
def test_goaway_without_open_calls_closes(code: int) -> None:
    bench = ClientBench()
    assert bench.feed(raw.goaway(0, code, b"bye")) == ["GOAWAY 0 NO_ERROR"]
    closed = bench.closed()
    assert closed is not None
    assert closed.origin is Origin.PEER
    assert "bye" in closed.reason


@pytest.mark.req("GOAW-4", "CHAN-11")
def test_calls_after_goaway_fail_at_once_as_unprocessed() -> None:
    bench = ClientBench()
    bench.call()
    bench.give(raw.goaway(1, 0, b"elsewhere"))
    bench.drain()
    call = bench.engine.start_call("/a/b", deadline=9.0)
    assert (outcome(call).status.code, outcome(call).unprocessed) == (StatusCode.UNAVAILABLE, True)
    assert "elsewhere" in outcome(call).status.message
    assert bench.drain() == [CallReadable(call)]
    assert bench.briefs() == []
    assert bench.engine.next_timeout() is None
    assert call.send_message(b"x") is False


@pytest.mark.req("DUP-27", "GOAW-7")
@pytest.mark.parametrize("how", ["eof", "failure"])
def test_goaway_and_then_the_end_names_the_goaway(how: str) -> None:
    bench = ClientBench()
    call = bench.call()
    bench.give(raw.goaway(1, 11, b"too_many_pings" + b"x" * 2000))
    assert call.ended is None
    if how == "eof":
        bench.engine.receive_eof(0.0)
    else:
        bench.engine.transport_failed("reset by peer", 0.0)
    ended = outcome(call)
    assert ended.status.code is StatusCode.UNAVAILABLE
    assert not ended.unprocessed
    assert "ENHANCE_YOUR_CALM" in ended.status.message
    assert "too_many_pings" in ended.status.message
    assert len(ended.status.message) < 1_300
    if how == "failure":
        assert "reset by peer" in ended.status.message


# --- a server hears GOAWAY --------------------------------------------------------------------------------------------


@pytest.mark.req("DUP-32")
def test_server_finishes_calls_after_a_clients_goaway() -> None:
    bench = ServerBench()
    call, other = bench.call(1), bench.call(3)
    assert bench.feed(raw.goaway(0)) == []
    assert [type(event).__name__ for event in bench.drain()] == ["ConnectionDraining"]
    bench.give(raw.data(1, message(b"still sending"), end=True))
    assert call.take_message() == b"still sending"
    call.send_message(b"answer")
    call.finish()
    assert bench.briefs() == ["HEADERS 1", "DATA 1 11", "HEADERS 1 ES"]
    assert not bench.engine.is_closed
    other.finish()
    assert bench.briefs() == ["HEADERS 3 ES", "RST 3 NO_ERROR", "GOAWAY 3 NO_ERROR"]
    assert bench.closed() is not None


@pytest.mark.req("DUP-27", "DUP-29")
@pytest.mark.parametrize("goaway", [False, True])
@pytest.mark.parametrize("how", ["eof", "failure"])
def test_server_calls_are_cancelled_when_the_connection_is_lost(goaway: bool, how: str) -> None:
    bench = ServerBench(settings={raw.INITIAL_WINDOW: 10})
    reading, writing = bench.call(1), bench.call(3)
    writing.send_message(bytes(100))
    bench.feed(raw.goaway(0) if goaway else b"", raw.data(1, message(b"arrived")))
    if how == "eof":
        bench.engine.receive_eof(0.0)
    else:
        bench.engine.transport_failed("gone", 0.0)
    for call in (reading, writing):
        assert (outcome(call).status.code, outcome(call).origin) == (StatusCode.CANCELLED, Origin.TRANSPORT)
        assert call.send_message(b"x") is False
    assert reading.take_message() == b"arrived"
    reading.finish()
    writing.finish(Status(StatusCode.OK))
    assert bench.briefs() == []
    assert bench.engine.next_timeout() is None


# --- a server shuts down ----------------------------------------------------------------------------------------------


@pytest.mark.req("GOAW-1", "KEEP-1", "DUP-25", "DUP-26")
@pytest.mark.parametrize("trigger", ["ack", "time"])
def test_graceful_shutdown_of_a_server(trigger: str) -> None:
    bench = ServerBench(patient(drain_ping_timeout=5.0))
    one = bench.call(1)
    bench.engine.shutdown()
    assert bench.engine.state is ConnectionState.DRAINING
    assert bench.briefs() == [FIRST, "PING"]
    assert (bench.engine.next_timeout(), bench.engine.timeout_reason) == (5.0, TimerKind.DRAIN)
    two = bench.call(3)  # was on its way
    assert bench.feed(raw.ping(b"whatever"), raw.ping(b"no drain", ack=True)) == ["PING ACK"]
    if trigger == "ack":
        out = bench.feed(raw.ping(b"draining", ack=True))
    else:
        bench.now = 5.0
        bench.engine.handle_timeout(5.0)
        out = bench.briefs()
    assert out == ["GOAWAY 3 NO_ERROR"]
    assert bench.engine.next_timeout() is None
    # Streams above the final id: decoded, no handler; their DATA is dropped.
    assert bench.feed(bench.peer.request(5, "/a/b", ("x-a", "b")), raw.data(5, b"dropped")) == []
    assert bench.feed(raw.ping(b"draining", ack=True)) == []
    assert bench.calls() == []
    for call in (one, two):
        call.finish()
    assert bench.briefs() == ["HEADERS 1 ES", "RST 1 NO_ERROR", "HEADERS 3 ES", "RST 3 NO_ERROR"]
    closed = bench.closed()
    assert closed is not None
    assert (closed.code, closed.origin) == (0, Origin.LOCAL)


@pytest.mark.req("GOAW-1")
def test_graceful_shutdown_of_an_idle_server() -> None:
    bench = ServerBench()
    bench.engine.shutdown()
    bench.engine.shutdown()
    assert bench.briefs() == [FIRST, "PING"]
    assert bench.feed(raw.ping(b"draining", ack=True)) == ["GOAWAY 0 NO_ERROR"]
    assert bench.closed() is not None


@pytest.mark.req("GOAW-2", "DUP-31")
@pytest.mark.parametrize("calls", [0, 2])
def test_immediate_shutdown_of_a_server_is_one_goaway(calls: int) -> None:
    bench = ServerBench()
    opened = [bench.call(stream) for stream in range(1, 2 * calls, 2)]
    bench.engine.shutdown(deadline=0.0)
    bench.engine.handle_timeout(0.0)
    assert bench.briefs() == [f"GOAWAY {max(0, 2 * calls - 1)} NO_ERROR"]
    assert bench.closed() is not None
    for call in opened:
        assert outcome(call).status.code is StatusCode.CANCELLED


@pytest.mark.req("DUP-31", "GOAW-2")
@pytest.mark.parametrize("acked", [False, True])
def test_grace_of_a_server_expires(acked: bool) -> None:
    bench = ServerBench()
    call = bench.call(1)
    bench.engine.shutdown(deadline=3.0)
    bench.pull()
    if acked:
        bench.feed(raw.ping(b"draining", ack=True))
    bench.engine.shutdown(deadline=9.0)  # may only shorten it
    assert bench.engine.next_timeout() == 3.0
    assert bench.engine.timeout_reason is TimerKind.SHUTDOWN
    bench.now = 3.0
    bench.engine.handle_timeout(3.0)
    assert bench.briefs() == ["GOAWAY 1 NO_ERROR"]
    assert (outcome(call).status.code, outcome(call).origin) == (StatusCode.CANCELLED, Origin.TRANSPORT)
    closed = bench.closed()
    assert closed is not None
    assert closed.origin is Origin.LOCAL


@pytest.mark.req("DUP-31", "DUP-27")
def test_a_second_shutdown_shortens_the_grace() -> None:
    bench = ServerBench()
    bench.call(1)
    bench.engine.shutdown()
    bench.engine.shutdown(deadline=2.0)
    bench.engine.shutdown(deadline=1.0)
    assert bench.engine.next_timeout() == 1.0


# --- a client shuts down ----------------------------------------------------------------------------------------------


@pytest.mark.req("DUP-30", "CHAN-11")
def test_graceful_shutdown_of_a_client() -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 1})
    call, waiting = bench.call(half_close=True), bench.engine.start_call("/a/b")
    bench.engine.shutdown()
    bench.engine.shutdown()
    with pytest.raises(LocalProtocolError, match="shutting down"):
        bench.engine.start_call("/a/b")
    assert bench.briefs() == []
    assert bench.feed(bench.peer.trailers_only(1)) == ["HEADERS 3"]
    assert call.ended is not None
    waiting.half_close()
    assert bench.briefs() == ["DATA 3 0 ES"]
    assert bench.feed(bench.peer.trailers_only(3)) == ["GOAWAY 0 NO_ERROR"]
    assert outcome(waiting).status.code is StatusCode.OK
    closed = bench.closed()
    assert closed is not None
    assert (closed.code, closed.origin) == (0, Origin.LOCAL)


@pytest.mark.req("CHAN-11", "DUP-30")
def test_grace_of_a_client_expires() -> None:
    bench = ClientBench()
    call = bench.call()
    bench.engine.shutdown(deadline=1.0)
    bench.now = 1.0
    bench.engine.handle_timeout(1.0)
    assert outcome(call).status.code is StatusCode.CANCELLED
    assert bench.briefs() == ["RST 1 CANCEL", "GOAWAY 0 NO_ERROR"]
    assert bench.closed() is not None


@pytest.mark.req("DUP-30")
def test_shutdown_of_an_idle_client_and_before_the_handshake() -> None:
    bench = ClientBench()
    bench.engine.shutdown()
    assert bench.briefs() == ["GOAWAY 0 NO_ERROR"]
    assert bench.closed() is not None
    bench = ClientBench(greet=False)
    call = bench.engine.start_call("/a/b")
    bench.engine.shutdown()
    assert bench.briefs() == []
    assert bench.feed(bench.peer.hello()) == ["SETTINGS ACK", "HEADERS 1"]
    assert call.ended is None


@pytest.mark.req("CHAN-11")
def test_calls_on_a_closed_connection_fail_at_once() -> None:
    bench = ClientBench()
    bench.engine.transport_failed("the cable was cut", 0.0)
    call = bench.engine.start_call("/a/b")
    assert (outcome(call).status.code, outcome(call).unprocessed) == (StatusCode.UNAVAILABLE, True)
    assert "the cable was cut" in outcome(call).status.message
    bench.engine.shutdown()
    bench.engine.shutdown(deadline=0.0)
    assert bench.closed() is not None


# --- PING, also while draining ----------------------------------------------------------------------------------------


@pytest.mark.req("KEEP-1")
@pytest.mark.parametrize("bench_class", SIDES)
def test_every_ping_is_answered_with_its_bytes_ahead_of_data(bench_class: Any) -> None:
    bench = bench_class()
    call = bench.call(1)
    call.send_message(bytes(30_000))
    pings = [bytes([index]) * 8 for index in range(3)]
    bench.give(*(raw.ping(payload) for payload in pings))
    frames = bench.pull()
    assert [frame.payload for frame in frames[:3]] == pings
    assert all(frame.brief == "PING ACK" for frame in frames[:3])
    assert frames[-1].brief.startswith("DATA 1")
    if bench_class is ServerBench:
        bench.engine.shutdown()
        bench.pull()
    else:
        bench.give(raw.goaway(1))
    assert bench.feed(raw.ping()) == ["PING ACK"]
    assert bench.feed(raw.ping(ack=True)) == []


# --- the end of the transport -----------------------------------------------------------------------------------------


@pytest.mark.req("DUP-29")
@pytest.mark.parametrize("how", ["eof", "failure"])
def test_complete_trailers_win_over_the_end_in_the_same_read(how: str) -> None:
    bench = ClientBench()
    done, open_ = bench.call(), bench.call()
    bench.give(
        bench.peer.response(1) + raw.data(1, message(b"kept")) + bench.peer.trailers(1, 9),
        bench.peer.response(3) + raw.data(3, message(b"whole") + message(b"cut")[:6]),
    )
    if how == "eof":
        bench.engine.receive_eof(0.0)
        bench.engine.receive_eof(0.0)
    else:
        bench.engine.transport_failed("connection reset", 0.0)
    assert outcome(done).status.code is StatusCode.FAILED_PRECONDITION
    ended = outcome(open_)
    assert (ended.status.code, ended.origin, ended.unprocessed) == (StatusCode.UNAVAILABLE, Origin.TRANSPORT, False)
    assert [open_.take_message(), open_.take_message()] == [b"whole", None]
    closed = bench.closed()
    assert closed is not None
    assert closed.origin is Origin.TRANSPORT
    if how == "failure":
        assert "connection reset" in closed.reason
        assert "connection reset" in ended.status.message


@pytest.mark.req("DUP-33", "DUP-3")
@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize("how", ["status", "reset", "goaway", "eof", "failure", "fault"])
def test_a_blocked_sender_is_woken_by_the_end(how: str, read: bool) -> None:
    """Also when nobody has read what came before: the end is announced all the same."""
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 0})
    call = bench.call()
    call.send_message(bytes(100_000))
    bench.give(bench.peer.response(1), raw.data(1, message(b"unread")))
    bench.pull()
    assert bench.drain() == [CallReadable(call)]
    if read:
        heard(call)
    if how == "status":
        bench.give(bench.peer.trailers(1, 8))
    elif how == "reset":
        bench.give(raw.rst(1, 2))
    elif how == "goaway":
        bench.give(raw.goaway(0))
    elif how == "eof":
        bench.engine.receive_eof(0.0)
    elif how == "failure":
        bench.engine.transport_failed("gone", 0.0)
    else:
        bench.give(raw.frame(raw.PING, 0, 1, bytes(8)))
    outcome(call)
    assert CallReadable(call) in bench.drain()
    assert call.send_message(b"more") is False


@pytest.mark.req("DUP-33")
@pytest.mark.parametrize("how", ["reset", "eof"])
def test_a_servers_blocked_sender_is_woken_by_the_end(how: str) -> None:
    bench = ServerBench(settings={raw.INITIAL_WINDOW: 0})
    call = bench.call(1, "/a/b", b"unread")
    call.send_message(bytes(100_000))
    bench.pull()
    bench.drain()
    if how == "reset":
        bench.give(raw.rst(1))
    else:
        bench.engine.receive_eof(0.0)
    assert CallReadable(call) in bench.drain()
    assert call.send_message(b"more") is False


@pytest.mark.parametrize("bench_class", [ClientBench, ServerBench])
@pytest.mark.parametrize(("came", "inside"), [(0, False), (1, True), (16, True), (17, False)])
def test_the_reason_says_whether_the_peer_left_inside_a_frame(bench_class: Any, came: int, inside: bool) -> None:
    bench = bench_class()
    bench.give(raw.ping(b"whole?!?")[:came])
    bench.engine.receive_eof(0.0)
    closed = bench.closed()
    assert closed is not None
    assert closed.reason.endswith(", inside a frame") is inside


def test_1_kib_of_what_a_goaway_says_is_shown() -> None:
    bench = ClientBench()
    call = bench.call()
    bench.give(raw.goaway(0, 1, b"~" * 3_000))
    assert outcome(call).status.message.count("~") == 1_024


def test_64_bytes_of_a_malformed_name_are_shown() -> None:
    bench = ClientBench()
    call = bench.call()
    bench.give(bench.peer.headers(1, [*raw.response_fields(), ("X" * 100, "y")]))
    assert outcome(call).status.message.count("X") == 64


@pytest.mark.parametrize("payload", [b"", b"more"])
def test_what_comes_behind_the_end_is_answered_once(payload: bytes) -> None:
    """However often it ends the stream again before the reset is written."""
    bench = ServerBench()
    call = bench.call(1, "/a/b", b"all", end=True)
    bench.give(*3 * [raw.data(1, payload, end=True)])
    assert bench.briefs() == ["RST 1 STREAM_CLOSED"]
    assert not bench.engine.is_closed
    assert call.ended is not None


def test_closed_is_the_last_event() -> None:
    bench = ClientBench()
    for _ in range(3):
        bench.call()
    bench.engine.receive_eof(0.0)
    events = bench.drain()
    assert isinstance(events[-1], ConnectionClosed)
    assert sum(isinstance(event, CallReadable) for event in events) == 3
    assert not any(isinstance(event, CallsAvailable) for event in events)
    late = bench.engine.start_call("/a/b")
    bench.give(b"anything")
    bench.engine.handle_timeout(99.0)
    assert bench.drain() == [CallReadable(late)]
    assert isinstance(bench.engine, ClientConnection)
