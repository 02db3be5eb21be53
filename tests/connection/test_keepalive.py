"""Keepalive, of both sides, and a server's patience with that of its clients (KEEP-2 to KEEP-9)."""

from math import inf
from typing import Any

import pytest

from duplexcore import ClientConfig, ErrorCode, Origin, ServerConfig, Status, StatusCode, TimerKind
from duplexcore.connection.keepalive import Keepalive
from duplexcore.connection.timers import Timers
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from tests.support.bench import ClientBench, ServerBench, outcome

HOUR = 3600.0


def client(**settings: Any) -> ClientBench:
    return ClientBench(ClientConfig(keepalive_time=30.0, **settings))


def server(**settings: Any) -> ServerBench:
    return ServerBench(ServerConfig(**settings, unused_timeout=inf))


def at(bench: Any, now: float) -> list[str]:
    """What the engine writes when the clock has come to ``now``."""
    bench.now = now
    bench.engine.handle_timeout(now)
    return bench.briefs()


# --- the defaults -----------------------------------------------------------------------------------------------------


@pytest.mark.req("KEEP-2")
def test_a_clients_settings() -> None:
    config = ClientConfig()
    assert (config.keepalive_time, config.keepalive_timeout, config.keepalive_without_calls) == (inf, 20.0, False)
    assert ClientConfig(keepalive_time=10.0).keepalive_time == 10.0
    for wrong in (9.999, 0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="keepalive_time"):
            ClientConfig(keepalive_time=wrong)
    with pytest.raises(ValueError, match="keepalive_timeout"):
        ClientConfig(keepalive_timeout=0.0)


@pytest.mark.req("KEEP-2")
def test_a_client_does_not_ask_unless_told_to() -> None:
    bench = ClientBench()
    bench.call()
    assert bench.engine.next_timeout() is None
    assert at(bench, 1e9) == []


@pytest.mark.req("KEEP-3")
def test_a_servers_settings() -> None:
    config = ServerConfig()
    assert (config.keepalive_time, config.keepalive_timeout, config.keepalive_without_calls) == (7200.0, 20.0, True)
    assert ServerConfig(keepalive_time=1.0).keepalive_time == 1.0  # a server has no floor


@pytest.mark.req("KEEP-3", "KEEP-6")
@pytest.mark.parametrize("calls", [False, True])
def test_a_server_asks_with_and_without_calls(calls: bool) -> None:
    bench = server()
    call = bench.call(1) if calls else None
    assert at(bench, 7199.9) == []
    assert at(bench, 7200.0) == ["PING"]
    assert (bench.engine.next_timeout(), bench.engine.timeout_reason) == (7220.0, TimerKind.KEEPALIVE_TIMEOUT)
    assert at(bench, 7219.9) == []
    assert at(bench, 7220.0) == [f"GOAWAY {int(calls)} NO_ERROR"]
    closed = bench.closed()
    assert closed is not None
    assert "silent" in closed.reason
    if call is not None:
        assert outcome(call).status.code is StatusCode.CANCELLED


# --- what counts as silence -------------------------------------------------------------------------------------------


@pytest.mark.req("KEEP-4")
@pytest.mark.parametrize("bench_class", [ClientBench, ServerBench])
def test_the_time_runs_from_the_last_byte_read(bench_class: Any) -> None:
    bench = client() if bench_class is ClientBench else server(keepalive_time=30.0)
    bench.call(1)
    for now in range(20, 120, 20):
        assert at(bench, now) == []
        bench.give(raw.settings_ack()[:1] if now == 20 else raw.settings_ack()[1:] if now == 40 else raw.ping(ack=True))
    assert at(bench, 129.9) == []
    assert at(bench, 130.0) == ["PING"]  # 30 s after the byte at 100
    bench.now = 140.0
    bench.give(raw.window_update(0, 1))  # not the ack, but a sign of life
    assert at(bench, 169.9) == []  # from the byte, not from the PING
    assert at(bench, 170.0) == ["PING"]
    assert at(bench, 189.9) == []
    bench.give(raw.ping()[:3])  # not even a whole frame
    assert not bench.engine.is_closed
    assert at(bench, 219.8) == []
    assert at(bench, 219.9) == ["PING"]


@pytest.mark.req("KEEP-4")
def test_what_is_written_is_no_sign_of_life() -> None:
    bench = client()
    call = bench.call()
    bench.now = 25.0
    call.send_message(b"anybody there?")
    bench.pull()
    assert at(bench, 30.0) == ["PING"]
    call.send_message(b"hello?")
    bench.pull()
    at(bench, 50.0)
    assert bench.engine.is_closed


@pytest.mark.req("KEEP-4", "KEEP-6")
def test_bytes_that_come_with_the_timeout_are_too_late() -> None:
    """Due timers come before the bytes (DEAD-9)."""
    bench = client()
    bench.call()
    at(bench, 30.0)
    bench.now = 50.0
    bench.give(raw.ping(ack=True))
    assert bench.engine.is_closed
    bench.give(raw.ping(ack=True))
    assert bench.engine.next_timeout() is None


# --- with and without calls -------------------------------------------------------------------------------------------


@pytest.mark.req("KEEP-5")
def test_a_client_without_calls_sleeps() -> None:
    bench = client()
    assert bench.engine.next_timeout() is None
    assert at(bench, 1000.0) == []
    bench.call(half_close=True)
    bench.give(bench.peer.trailers_only(1))
    assert at(bench, 1030.0) == []  # it was still running, and goes to sleep
    assert bench.engine.next_timeout() is None
    assert at(bench, 9000.0) == []
    assert not bench.engine.is_closed


@pytest.mark.req("KEEP-5")
@pytest.mark.parametrize(("silence", "asks"), [(29.9, False), (30.0, True), (5000.0, True)])
def test_a_call_after_a_long_silence_asks_at_once(silence: float, asks: bool) -> None:
    bench = client()
    bench.now = silence
    bench.engine.start_call("/a/b")
    assert bench.briefs() == (["PING", "HEADERS 1"] if asks else ["HEADERS 1"])
    assert bench.engine.next_timeout() == (silence + 20.0 if asks else 30.0)
    bench.give(bench.peer.response(1))
    assert bench.engine.next_timeout() == (silence + 30.0 if asks else 30.0)


@pytest.mark.req("KEEP-5")
def test_a_call_that_waits_for_a_stream_is_a_call() -> None:
    bench = ClientBench(ClientConfig(keepalive_time=30.0), settings={raw.MAX_STREAMS: 0})
    bench.engine.start_call("/a/b")
    assert bench.briefs() == []
    assert at(bench, 30.0) == ["PING"]


@pytest.mark.req("KEEP-2", "KEEP-5")
def test_a_client_may_ask_without_calls() -> None:
    bench = client(keepalive_without_calls=True)
    assert at(bench, 30.0) == ["PING"]
    bench.give(raw.ping(ack=True))
    assert at(bench, 60.0) == ["PING"]
    assert at(bench, 80.0) == ["GOAWAY 0 NO_ERROR"]


# --- no answer --------------------------------------------------------------------------------------------------------


@pytest.mark.req("KEEP-6")
def test_a_client_closes_after_the_timeout() -> None:
    bench = ClientBench(ClientConfig(keepalive_time=30.0, keepalive_timeout=5.0), settings={raw.MAX_STREAMS: 1})
    calls = [bench.call(), bench.engine.start_call("/a/b")]
    at(bench, 30.0)
    assert at(bench, 34.9) == []
    assert at(bench, 35.0) == ["GOAWAY 0 NO_ERROR"]
    closed = bench.closed()
    assert closed is not None
    assert (closed.code, closed.origin) == (ErrorCode.NO_ERROR, Origin.LOCAL)
    for call in calls:
        assert outcome(call).status.code is StatusCode.UNAVAILABLE
        assert "keepalive" in outcome(call).status.message
    assert [outcome(call).unprocessed for call in calls] == [False, True]
    assert bench.engine.next_timeout() is None


@pytest.mark.req("KEEP-6", "GOAW-1")
def test_a_silent_peer_is_found_out_while_draining() -> None:
    bench = client()
    call = bench.call()
    bench.engine.shutdown()
    bench.give(raw.goaway(1))
    assert at(bench, 30.0) == ["PING"]
    at(bench, 50.0)
    assert outcome(call).status.code is StatusCode.UNAVAILABLE


# --- strikes ----------------------------------------------------------------------------------------------------------


def pings(bench: ServerBench, *times: float) -> list[list[str]]:
    """What a PING at each of these times is answered with."""
    answers = []
    for now in times:
        bench.now = now
        answers.append(bench.feed(raw.ping()))
    return answers


ACK = ["PING ACK"]
CALM = "GOAWAY {} ENHANCE_YOUR_CALM"


@pytest.mark.req("KEEP-8", "KEEP-9")
@pytest.mark.parametrize(("calls", "gap"), [(True, 300.0), (False, 7200.0)])
def test_pings_that_come_too_early_are_strikes(calls: bool, gap: float) -> None:
    bench = server(keepalive_time=inf)
    if calls:
        bench.call(1)
    assert pings(bench, 0.0, gap, 2 * gap, 3 * gap, 4 * gap) == [ACK] * 5  # on time, for ever
    start = 4 * gap
    assert pings(bench, start + 1, start + 2) == [ACK] * 2
    assert not bench.engine.is_closed  # two strikes are tolerated
    bench.now = start + gap - 0.1  # since the last good one: strikes do not count as that (KEEP-9)
    bench.give(raw.ping(b"the last"))
    out = bench.pull()
    assert [frame.brief for frame in out] == [*ACK, CALM.format(int(calls))]
    assert out[0].payload == b"the last"
    assert out[1].payload[8:] == b"too_many_pings"
    closed = bench.closed()
    assert closed is not None
    assert (closed.code, closed.reason) == (ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")


@pytest.mark.req("KEEP-9")
def test_a_strike_does_not_move_the_time_of_the_next_good_one() -> None:
    bench = server(keepalive_time=inf)
    bench.call(1)
    assert pings(bench, 0.0, 299.0, 300.0, 599.0, 600.0, 900.0) == [ACK] * 6


@pytest.mark.req("KEEP-8")
def test_a_good_ping_forgives_no_strikes() -> None:
    bench = server(keepalive_time=inf)
    bench.call(1)
    assert pings(bench, 0.0, 1.0, 300.0, 301.0, 600.0) == [ACK] * 5
    assert pings(bench, 601.0) == [[*ACK, CALM.format(1)]]


@pytest.mark.req("KEEP-8")
@pytest.mark.parametrize("what", ["headers", "data", "trailers", "trailers only"])
def test_what_the_server_sends_forgives_all(what: str) -> None:
    bench = server(keepalive_time=inf)
    bench.call(1)
    said = what in ("data", "trailers")
    calls = [bench.call(stream) for stream in (3, 5, 7)]
    for call in calls if said else []:
        call.send_initial_metadata()
    bench.pull()
    for now, call in zip((0.0, 10.0, 20.0), calls, strict=True):
        pings(bench, now, now + 1, now + 2)
        assert not bench.engine.is_closed
        if what == "headers":
            call.send_initial_metadata()
        elif what == "data":
            call.send_message(b"x")
        else:
            call.finish(Status(StatusCode.ABORTED))
        bench.pull()
    assert pings(bench, 30.0, 30.0, 30.0) == [ACK] * 3  # the first one was good again: nothing is remembered
    assert pings(bench, 30.0) == [[*ACK, CALM.format(7)]]


@pytest.mark.req("KEEP-8")
def test_control_frames_forgive_nothing() -> None:
    bench = server(keepalive_time=inf)
    call = bench.call(1)
    for _ in range(3):
        assert bench.feed(raw.ping(), raw.settings()) == [*ACK, "SETTINGS ACK"]
    call.abort()
    bench.give(raw.rst(1))
    assert not bench.engine.is_closed
    assert pings(bench, 0.0) == [[*ACK, CALM.format(1)]]


@pytest.mark.req("KEEP-8")
def test_pings_without_calls_can_be_permitted() -> None:
    bench = server(keepalive_time=inf, permit_keepalive_without_calls=True, permit_keepalive_time=10.0)
    assert pings(bench, *range(0, 1000, 10)) == [ACK] * 100
    assert pings(bench, 991.0, 992.0, 993.0)[-1] == [*ACK, CALM.format(0)]


@pytest.mark.req("KEEP-8")
@pytest.mark.parametrize(("most", "tolerated"), [(1, 2), (5, 6), (0, 1000)])
def test_the_number_of_strikes(most: int, tolerated: int) -> None:
    bench = server(keepalive_time=inf, max_ping_strikes=most)
    assert pings(bench, *[0.0] * tolerated) == [ACK] * tolerated
    pings(bench, 0.0)
    assert bench.engine.is_closed is (most > 0)


@pytest.mark.req("KEEP-8")
def test_acks_are_no_strikes_and_clients_have_no_opinion() -> None:
    bench = server(keepalive_time=inf)
    assert bench.feed(raw.ping(ack=True) * 100) == []
    assert not bench.engine.is_closed
    asked = ClientBench()
    assert asked.feed(raw.ping() * 100) == ACK * 100


@pytest.mark.req("KEEP-4", "KEEP-8")
def test_our_client_is_no_nuisance_to_our_server() -> None:
    """Its keepalive at the server's pace, through calls and none."""
    bench = server(keepalive_time=inf)
    bench.call(1)
    other = ClientBench(ClientConfig(keepalive_time=300.0))
    other.call()
    for now in range(300, 30_000, 300):
        assert at(other, now) == ["PING"]
        other.give(raw.ping(b"is alive", ack=True))
        bench.now = now
        assert bench.feed(raw.ping(b"is alive")) == ACK
    bench.give(raw.data(1, message(b"still there")))
    assert not bench.engine.is_closed


@pytest.mark.req("KEEP-4")
@pytest.mark.parametrize("read", [2.3, 5.3, 22.74])
def test_it_asks_at_the_moment_that_it_has_named(read: float) -> None:
    """Though the difference of the two may be less than the time, as floats are: else it would name that moment again,
    and again."""
    timers, asked = Timers(), list[bytes]()
    keepalive = Keepalive(ClientConfig(keepalive_time=11.1), timers, read)
    keepalive.wanted(calls=True, ping=asked.append, now=read)
    due = timers.when(TimerKind.KEEPALIVE)
    assert due == read + 11.1
    keepalive.on_timer(calls=True, ping=asked.append, now=due)
    assert asked
