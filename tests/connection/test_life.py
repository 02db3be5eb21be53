"""How long a connection lives: the timers that no call sets (CONN-4, GOAW-3, SEC-10), on virtual time."""

from math import inf
from typing import Any

import pytest

from duplexcore import (
    AbuseLimits,
    ClientConfig,
    ErrorCode,
    Origin,
    ServerConfig,
    ServerConnection,
    StatusCode,
    TimerKind,
)
from duplexcore.connection.timers import Timers
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from tests.support.bench import ClientBench, ServerBench, outcome, patient

SIDES = [ClientBench, ServerBench]
FIRST = f"GOAWAY {raw.MAX_ID} NO_ERROR"
DRAINED = raw.ping(b"draining", ack=True)


def at(bench: Any, now: float) -> list[str]:
    """What the engine writes when the clock has come to ``now``."""
    bench.now = now
    bench.engine.handle_timeout(now)
    return bench.briefs()


def farewells(bench: ServerBench, now: float) -> list[bytes]:
    """The debug data of the GOAWAYs that are sent at that time."""
    bench.now = now
    bench.engine.handle_timeout(now)
    return [frame.payload[8:] for frame in bench.pull() if frame.type == raw.GOAWAY]


# --- our SETTINGS -----------------------------------------------------------------------------------------------------


@pytest.mark.req("CONN-4")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize(("keepalive_timeout", "patience"), [(20.0, 60.0), (30.0, 60.0), (45.0, 90.0)])
def test_settings_must_be_acknowledged(bench_class: Any, keepalive_timeout: float, patience: float) -> None:
    config: Any = ClientConfig if bench_class is ClientBench else patient
    bench = bench_class(config(keepalive_timeout=keepalive_timeout), greet=False)
    bench.now = 5.0
    bench.give(bench.peer.hello(ack=False))
    bench.call(1)
    assert (bench.engine.next_timeout(), bench.engine.timeout_reason) == (5.0 + patience, TimerKind.SETTINGS)
    bench.pull()
    assert at(bench, patience + 4.9) == []
    (goaway,) = at(bench, patience + 5.0)
    assert goaway.endswith("SETTINGS_TIMEOUT")
    closed = bench.closed()
    assert closed is not None
    assert (closed.code, closed.origin) == (ErrorCode.SETTINGS_TIMEOUT, Origin.LOCAL)
    assert bench.engine.next_timeout() is None


@pytest.mark.req("CONN-4")
@pytest.mark.parametrize("bench_class", SIDES)
def test_acknowledged_settings_set_no_timer(bench_class: Any) -> None:
    bench = bench_class(greet=False)
    bench.give(bench.peer.hello(ack=False))
    bench.now = 59.9
    bench.give(raw.settings_ack())
    assert bench.engine.next_timeout() is None
    at(bench, 1e6)
    assert not bench.engine.is_closed


# --- idle -------------------------------------------------------------------------------------------------------------


@pytest.mark.req("GOAW-3")
def test_all_three_are_infinite_unless_set() -> None:
    config = ServerConfig()
    assert (config.max_connection_idle, config.max_connection_age, config.max_connection_age_grace) == (inf, inf, inf)
    for name in ("max_connection_idle", "max_connection_age", "max_connection_age_grace", "unused_timeout"):
        with pytest.raises(ValueError, match=name):
            ServerConfig(**{name: 0.0})  # type: ignore[arg-type]
    bench = ServerBench()
    assert bench.engine.next_timeout() is None


@pytest.mark.req("GOAW-3")
def test_idle_counts_from_connecting() -> None:
    bench = ServerBench(patient(max_connection_idle=10.0))
    assert (bench.engine.next_timeout(), bench.engine.timeout_reason) == (10.0, TimerKind.IDLE)
    assert farewells(bench, 9.9) == []
    assert farewells(bench, 10.0) == [b"max_idle"]
    bench.give(DRAINED)
    assert farewells(bench, 10.1) == [b"max_idle"]
    closed = bench.closed()
    assert closed is not None
    assert closed.code == ErrorCode.NO_ERROR


@pytest.mark.req("GOAW-3")
def test_idle_counts_from_the_end_of_the_last_stream() -> None:
    bench = ServerBench(patient(max_connection_idle=10.0))
    bench.now = 9.0
    calls = [bench.call(1, end=True), bench.call(3, end=True)]
    assert at(bench, 50.0) == []
    calls[0].finish()
    at(bench, 60.0)
    assert bench.engine.next_timeout() is None  # one is left
    calls[1].finish()
    bench.now = 70.0
    assert bench.engine.next_timeout() is None  # its trailers are not sent yet
    bench.pull()
    assert bench.engine.next_timeout() == 80.0
    bench.now = 75.0
    bench.feed(raw.ping(), raw.settings())  # no stream: idle all the same
    assert bench.engine.next_timeout() == 80.0
    assert at(bench, 80.0) == [FIRST, "PING"]


@pytest.mark.req("GOAW-3")
def test_streams_that_are_no_calls_are_streams() -> None:
    """Refused ones, and such as the client resets."""
    bench = ServerBench(patient(max_connection_idle=10.0))
    bench.now = 5.0
    bench.give(bench.peer.headers(1, [*raw.request_fields(), ("Upper", "case")], end=True))
    assert bench.engine.next_timeout() is None
    bench.pull()
    assert bench.engine.next_timeout() == 15.0
    bench.now = 6.0
    bench.call(3)
    bench.give(raw.rst(3))
    assert bench.engine.next_timeout() == 16.0


@pytest.mark.req("GOAW-3", "GOAW-1")
def test_a_call_that_crosses_the_goaway_is_served() -> None:
    bench = ServerBench(patient(max_connection_idle=10.0))
    at(bench, 10.0)
    call = bench.call(1, end=True)
    assert bench.feed(DRAINED) == ["GOAWAY 1 NO_ERROR"]
    call.finish()
    assert bench.briefs() == ["HEADERS 1 ES"]
    assert bench.closed() is not None


# --- age --------------------------------------------------------------------------------------------------------------


@pytest.mark.req("GOAW-3")
@pytest.mark.parametrize(("jitter", "age"), [(0.0, 100.0), (1.0, 110.0), (-1.0, 90.0), (0.5, 105.0)])
def test_age_has_jitter(jitter: float, age: float) -> None:
    bench = ServerBench(patient(max_connection_age=100.0), jitter=jitter)
    bench.call(1)
    assert bench.engine.next_timeout() == pytest.approx(age)
    assert bench.engine.timeout_reason is TimerKind.AGE
    assert farewells(bench, age - 0.1) == []
    assert farewells(bench, age + 0.001) == [b"max_age"]


@pytest.mark.req("GOAW-3")
def test_what_lasts_for_ever_has_no_timer() -> None:
    """Whichever object says so."""
    ever = float("inf")
    config = ServerConfig(
        keepalive_time=ever,
        max_connection_idle=ever,
        max_connection_age=ever,
        max_connection_age_grace=ever,
        unused_timeout=ever,
    )
    bench = ServerBench(config)
    assert bench.engine.next_timeout() is None
    bench.call(1)
    bench.engine.shutdown()
    assert bench.briefs() == [FIRST, "PING"]
    assert bench.feed(DRAINED) == ["GOAWAY 1 NO_ERROR"]
    assert bench.engine.next_timeout() is None
    aged = ServerBench(patient(max_connection_age=100.0, max_connection_age_grace=ever))
    aged.call(1)
    assert at(aged, 100.0) == [FIRST, "PING"]
    assert aged.feed(DRAINED) == ["GOAWAY 1 NO_ERROR"]
    assert aged.engine.next_timeout() is None
    client = ClientBench(ClientConfig(keepalive_time=ever))
    client.call()
    assert client.engine.next_timeout() is None


@pytest.mark.req("SEC-10")
def test_the_time_of_a_frame_is_started_once() -> None:
    """Not with each piece of it."""
    bench = ServerBench()
    frame, timers = raw.data(1, bytes(100)), bench.engine._timers
    bench.call(1)
    bench.give(frame[:20])
    started = timers._serial
    for at in range(20, 100):
        bench.give(frame[at : at + 1])
    assert timers._serial == started


@pytest.mark.req("GOAW-3")
def test_age_has_no_jitter_that_was_not_given() -> None:
    server = ServerConnection(patient(max_connection_age=100.0), now=0.0)
    while server.timeout_reason is not TimerKind.AGE and (due := server.next_timeout()) is not None:
        server.handle_timeout(due)
    assert server.next_timeout() == 100.0


@pytest.mark.req("GOAW-3")
@pytest.mark.parametrize("answer", [True, False])
def test_grace_counts_from_the_second_goaway(answer: bool) -> None:
    bench = ServerBench(patient(max_connection_age=100.0, max_connection_age_grace=30.0), jitter=0.0)
    call, other = bench.call(1), bench.call(3, end=True)
    assert at(bench, 100.0) == [FIRST, "PING"]
    if answer:
        bench.now = 103.0
        bench.give(DRAINED)
    second = 103.0 if answer else 105.0
    assert farewells(bench, second) == [b"max_age"]
    other.finish()
    assert at(bench, second + 29.9) == ["HEADERS 3 ES"]
    assert call.ended is None
    assert bench.engine.next_timeout() == second + 30.0  # no jitter
    assert at(bench, second + 30.0) == ["GOAWAY 3 NO_ERROR"]
    assert bench.engine.is_closed
    assert outcome(call).status.code is StatusCode.CANCELLED


@pytest.mark.req("GOAW-3")
def test_without_grace_calls_may_take_their_time() -> None:
    bench = ServerBench(patient(max_connection_age=100.0))
    call = bench.call(1, end=True)
    at(bench, 100.0)
    bench.feed(DRAINED)
    assert bench.engine.next_timeout() is None
    call.finish()
    at(bench, 1e6)
    assert bench.closed() is not None


@pytest.mark.req("GOAW-3")
def test_an_old_connection_without_calls_closes() -> None:
    bench = ServerBench(patient(max_connection_age=100.0, max_connection_age_grace=30.0))
    at(bench, 100.0)
    assert bench.feed(DRAINED) == ["GOAWAY 0 NO_ERROR"]
    assert bench.closed() is not None


@pytest.mark.req("GOAW-3")
def test_a_shutdown_is_no_age() -> None:
    """Neither its grace nor its words come in when the connection grows old while it drains."""
    bench = ServerBench(patient(max_connection_age=100.0, max_connection_age_grace=1.0))
    bench.call(1)
    bench.now = 99.0
    bench.engine.handle_timeout(99.0)
    bench.engine.shutdown()
    assert farewells(bench, 99.0) == [b"shutting down"]
    assert farewells(bench, 100.0) == []
    assert farewells(bench, 104.0) == [b"shutting down"]
    assert bench.engine.next_timeout() is None


# --- nothing, or nothing whole, comes (SEC-10) ------------------------------------------------------------------------


@pytest.mark.req("SEC-10")
def test_an_unused_connection_is_drained() -> None:
    bench = ServerBench(ServerConfig())
    assert (bench.engine.next_timeout(), bench.engine.timeout_reason) == (120.0, TimerKind.UNUSED)
    for now in range(20, 120, 20):
        bench.now = now
        bench.give(raw.settings())  # no stream, whatever else comes
    assert at(bench, 119.9) == ["SETTINGS ACK"] * 5
    assert at(bench, 120.0) == [FIRST, "PING"]
    assert at(bench, 125.0) == ["GOAWAY 0 NO_ERROR"]
    assert bench.closed() is not None


@pytest.mark.req("SEC-10")
@pytest.mark.parametrize("refused", [False, True])
def test_a_connection_that_was_used_may_stay(refused: bool) -> None:
    bench = ServerBench(ServerConfig(keepalive_time=inf))
    bench.now = 119.0
    extra = [("Upper", "case")] if refused else []
    bench.feed(bench.peer.headers(1, [*raw.request_fields(), *extra], end=True))
    for call in bench.calls():
        call.finish()
    bench.pull()
    at(bench, 1e6)
    assert not bench.engine.is_closed


HEAD = raw.frame(raw.HEADERS, 0, 1, b"\x83")
SLOW = {
    "a frame's first byte": (raw.ping()[:1], 60.0),
    "a frame's header": (raw.ping()[:9], 60.0),
    "a part of DATA": (raw.data(1, bytes(100))[:50], 60.0),
    "a part of HEADERS": (HEAD[:9], 30.0),
    "a block without its end": (HEAD, 30.0),
    "a part of a CONTINUATION": (HEAD + raw.frame(raw.CONTINUATION, 0, 1, b"\x84")[:5], 30.0),
}


@pytest.mark.req("SEC-10")
@pytest.mark.parametrize(("begun", "patience"), SLOW.values(), ids=SLOW)
def test_what_begins_must_end(begun: bytes, patience: float) -> None:
    bench = ServerBench()
    bench.call(99)
    bench.now = 7.0
    bench.give(raw.ping() + begun)
    assert (bench.engine.next_timeout(), bench.engine.timeout_reason) == (7.0 + patience, TimerKind.UNFINISHED)
    bench.pull()
    assert at(bench, patience + 6.9) == []
    assert at(bench, patience + 7.0) == ["GOAWAY 99 ENHANCE_YOUR_CALM"]
    closed = bench.closed()
    assert closed is not None
    assert "did not finish" in closed.reason


@pytest.mark.req("SEC-10")
def test_bytes_one_by_one_gain_no_time() -> None:
    bench = ServerBench()
    block = bench.peer.headers(1, raw.request_fields(), cuts=[20, 40])
    for now, one in enumerate(block[:30]):
        assert not bench.engine.is_closed
        bench.now = float(now)
        bench.give(bytes((one,)))
    assert bench.engine.next_timeout() == 30.0
    at(bench, 30.0)
    assert bench.engine.is_closed


@pytest.mark.req("SEC-10")
def test_the_time_of_each_frame_is_its_own() -> None:
    """Every chunk ends inside a frame, and none of the frames is slow."""
    bench = ServerBench()
    bench.call(1)
    wire = raw.ping() * 100
    for at_byte in range(0, len(wire), 20):
        bench.now += 29.0
        bench.give(wire[at_byte : at_byte + 20])
        assert not bench.engine.is_closed
    bench.pull()
    assert bench.engine.next_timeout() is None
    bench.give(raw.data(1, message(bytes(50)))[:40])
    begun = bench.now
    bench.now += 50.0
    head = bench.peer.headers(3, raw.request_fields(), cuts=[2])
    bench.give(raw.data(1, message(bytes(50)))[40:] + head[:11])
    assert bench.engine.next_timeout() == begun + 80.0  # the block's own 30 s, not the frame's before it
    bench.give(head[11:])
    assert bench.engine.next_timeout() is None
    assert len(bench.calls()) == 1


@pytest.mark.req("SEC-10", "SEC-11")
def test_timers_that_move_take_no_memory() -> None:
    timers = Timers()
    for when in range(10_000):
        timers.start(TimerKind.UNFINISHED, float(when))
    assert len(timers._heap) < 100
    assert timers.next() == (9999.0, TimerKind.UNFINISHED)


@pytest.mark.req("SEC-10", "CONN-3")
def test_the_preface_has_the_time_of_the_handshake() -> None:
    bench = ServerBench(patient(handshake_timeout=120.0), greet=False)
    bench.give(raw.PREFACE[:3])
    assert (bench.engine.next_timeout(), bench.engine.timeout_reason) == (120.0, TimerKind.HANDSHAKE)
    at(bench, 120.0)
    assert bench.engine.is_closed


@pytest.mark.req("SEC-10")
def test_the_times_are_configurable_and_a_server_s() -> None:
    bench = ServerBench(patient(abuse=AbuseLimits(header_block_timeout=3.0, frame_timeout=4.0)))
    bench.give(raw.ping()[:4])
    assert bench.engine.next_timeout() == 4.0
    bench.give(raw.ping()[4:] + HEAD)
    assert bench.engine.next_timeout() == 3.0
    client = ClientBench()
    client.call()
    client.give(raw.ping()[:4])
    assert client.engine.next_timeout() is None
