"""Deadlines: each side's own clock, in the connection's hands."""

from __future__ import annotations

import pytest

from duplexcore import ClientConnection, Origin, StatusCode
from duplexcore.testing import raw
from tests.support.bench import ClientBench, ServerBench, heard
from tests.support.calls import NotingLane, Owner, client_call, code, ended, history


@pytest.mark.req("DEAD-2", "DUP-12")
@pytest.mark.parametrize("deadline", [-1.0, 0.0, 5.0])
def test_a_deadline_that_has_passed_before_the_headers_left(deadline: float) -> None:
    lane, owner = NotingLane(), Owner()
    call = client_call(lane, owner, deadline=deadline)
    assert call.pull(100, 5.0) is None
    assert code(call) == "DEADLINE_EXCEEDED"
    assert ended(call).unprocessed
    assert ended(call).origin is Origin.LOCAL
    assert call.pull(100, 6.0) is None
    assert history(call) == "DEADLINE_EXCEEDED"


@pytest.mark.req("DEAD-2", "CONN-7")
@pytest.mark.parametrize("when", ["at start", "waiting for the handshake", "waiting for a stream"])
def test_a_call_that_is_too_late_leaves_no_trace_on_the_wire(when: str) -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 1}, greet=when != "waiting for the handshake")
    if when == "waiting for a stream":
        bench.call()
    call = bench.engine.start_call("/a/b", deadline=0.0 if when == "at start" else 1.0)
    if when != "at start":
        assert bench.engine.next_timeout() == 1.0
        bench.now = 1.0
        bench.engine.handle_timeout(1.0)
        assert call.ended is not None
    assert not any("HEADERS" in frame for frame in bench.briefs())
    assert code(call) == "DEADLINE_EXCEEDED"
    assert bench.engine.waiting_calls == 0


@pytest.mark.req("DEAD-1", "DEAD-5")
def test_the_remaining_time_is_that_at_the_writing_of_the_headers() -> None:
    bench = ClientBench()
    bench.engine.start_call("/a/b", deadline=10.0)
    bench.now = 7.5
    (headers,) = [frame for frame in bench.pull() if frame.type == raw.HEADERS]
    assert headers.field(b"grpc-timeout") == b"2500000u"


@pytest.mark.req("DEAD-5", "DUP-12", "CANC-1")
def test_the_clients_clock_ends_the_call_and_late_answers_are_dropped() -> None:
    bench = ClientBench()
    call = bench.engine.start_call("/a/b", deadline=2.0)
    bench.pull()
    bench.engine.handle_timeout(1.999)
    assert call.ended is None
    assert bench.engine.next_timeout() == 2.0
    bench.now = 2.0
    bench.engine.handle_timeout(2.0)
    assert code(call) == "DEADLINE_EXCEEDED"
    assert bench.briefs() == ["RST 1 CANCEL"]
    assert bench.feed(bench.peer.response(1), raw.data(1, raw.message(b"late")), bench.peer.trailers(1)) == []
    assert history(call) == "DEADLINE_EXCEEDED"
    assert bench.engine.next_timeout() is None


@pytest.mark.req("DEAD-5", "DUP-13")
def test_the_servers_clock_cuts_the_handler_off_and_tells_the_client() -> None:
    bench = ServerBench()
    bench.now = 100.0
    bench.give(bench.peer.request(1, "/a/b", ("grpc-timeout", "1500m")))
    (call,) = bench.calls()
    assert call.deadline == 101.5
    assert bench.engine.next_timeout() == 101.5
    bench.engine.handle_timeout(101.4)
    assert call.ended is None
    bench.now = 101.5
    bench.engine.handle_timeout(101.5)
    assert history(call) == "DEADLINE_EXCEEDED"
    frames = bench.pull()
    assert [frame.brief for frame in frames] == ["HEADERS 1 ES", "RST 1 NO_ERROR"]
    assert frames[0].field(b"grpc-status") == b"4"
    assert call.send_message(b"late") is False
    call.finish()
    assert bench.briefs() == []


@pytest.mark.req("DEAD-5", "DUP-13", "DUP-35")
def test_with_a_message_partly_on_the_wire_the_server_can_only_reset() -> None:
    bench = ServerBench(settings={raw.INITIAL_WINDOW: 10})
    bench.give(bench.peer.request(1, "/a/b", ("grpc-timeout", "1S")))
    (call,) = bench.calls()
    call.send_message(bytes(30))
    assert bench.briefs() == ["HEADERS 1", "DATA 1 10"]
    bench.now = 1.0
    bench.engine.handle_timeout(1.0)
    assert bench.briefs() == ["RST 1 CANCEL"]
    assert code(call) == "DEADLINE_EXCEEDED"


@pytest.mark.req("DEAD-6", "DEAD-9", "DUP-13")
@pytest.mark.parametrize("what", ["RST_STREAM(CANCEL)", "trailers with CANCELLED", "trailers with OK"])
@pytest.mark.parametrize(("now", "early"), [(1.999, True), (2.0, False), (3.0, False)])
def test_what_comes_with_the_deadline_comes_too_late(what: str, now: float, early: bool) -> None:
    """P37: a due deadline is handled before the input that carries the same time."""
    bench = ClientBench()
    call = bench.engine.start_call("/a/b", deadline=2.0)
    bench.pull()
    bench.now = now
    if what.startswith("RST"):
        bench.give(raw.rst(1, 8))
    else:
        bench.give(bench.peer.trailers_only(1, 1 if "CANCELLED" in what else 0, ("x", "1")))
    outcome = ended(call)
    if early:
        assert outcome.status.code is (StatusCode.OK if what.endswith("OK") else StatusCode.CANCELLED)
        assert outcome.origin is Origin.PEER
    else:
        assert outcome.status.code is StatusCode.DEADLINE_EXCEEDED
        assert outcome.origin is Origin.LOCAL
        assert not outcome.trailing_metadata


@pytest.mark.req("DEAD-9")
def test_the_server_judges_time_before_input_as_well() -> None:
    bench = ServerBench()
    bench.give(bench.peer.request(1, "/a/b", ("grpc-timeout", "1S")))
    (call,) = bench.calls()
    bench.now = 1.0
    bench.give(raw.data(1, raw.message(b"late"), end=True))
    assert history(call) == "DEADLINE_EXCEEDED"


@pytest.mark.req("DEAD-4")
@pytest.mark.parametrize(("timeout", "deadline"), [(None, None), ("99999999H", 99_999_999 * 3600)])
def test_no_timeout_and_a_huge_one(timeout: str | None, deadline: float | None) -> None:
    bench = ServerBench()
    extra = [("grpc-timeout", timeout)] if timeout else []
    bench.give(bench.peer.request(1, "/a/b", *extra))
    (call,) = bench.calls()
    assert call.deadline == deadline
    assert bench.engine.next_timeout() == deadline
    bench.engine.handle_timeout(1e9)
    assert call.ended is None


@pytest.mark.req("DEAD-9")
def test_waking_early_does_nothing_and_ends_stop_their_timers() -> None:
    """P35."""
    connection = ClientConnection(now=0.0)
    call = connection.start_call("/a/b", deadline=5.0)
    before = connection.fingerprint()
    connection.handle_timeout(4.999)
    assert connection.fingerprint() == before
    call.cancel()
    connection.handle_timeout(10.0)
    assert [type(event).__name__ for event in heard(call)] == ["CallEnded"]
    assert code(call) == "CANCELLED"
