"""The engine's rules as a driver sees them: which events come when, and that misuse changes nothing."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from duplexcore import (
    AbuseLimits,
    CallEnded,
    CallReadable,
    CallStarted,
    CallWritable,
    ClientConfig,
    ConnectionClosed,
    ConnectionReady,
    Frame,
    HalfClosed,
    InitialMetadata,
    LocalProtocolError,
    Message,
    ServerCall,
    ServerConfig,
    Status,
    StatusCode,
    TimerKind,
)
from duplexcore.testing import raw
from duplexcore.testing.raw import RawPeer, message
from tests.support.bench import ClientBench, ServerBench, heard, outcome
from tests.support.recordings import busy, drain, note, open_call

SIDES = [ClientBench, ServerBench]


# --- two kinds of queue -----------------------------------------------------------------------------------------------


@pytest.mark.req("DUP-39")
def test_queue_of_a_client_call() -> None:
    bench = ClientBench()
    call = bench.call()
    bench.give(bench.peer.response(1, ("a", "b")), raw.data(1, message(b"1") + message(b"")), bench.peer.trailers(1, 3))
    first, *rest = heard(call)
    assert isinstance(first, InitialMetadata)
    assert rest[:2] == [Message(b"1"), Message(b"")]
    assert isinstance(rest[2], CallEnded)
    assert len(rest) == 3
    assert rest[2] == call.ended


@pytest.mark.req("DUP-39")
@pytest.mark.parametrize("how", ["finish", "reset", "eof", "abort"])
def test_queue_of_a_server_call(how: str) -> None:
    bench = ServerBench()
    call = bench.call(1, "/a/b", b"1", b"2", end=True)
    assert heard(call) == [Message(b"1"), Message(b"2"), HalfClosed()]
    if how == "finish":
        call.finish(Status(StatusCode.ABORTED, "why"))
        assert call.ended is None
        assert heard(call) == []
        bench.pull()
        assert outcome(call).status == Status(StatusCode.ABORTED, "why")
    elif how == "reset":
        bench.give(raw.rst(1))
    elif how == "eof":
        bench.engine.receive_eof(0.0)
    else:
        call.abort()
    assert heard(call) == [outcome(call)]
    bench.pull()
    bench.give(raw.rst(1))
    bench.engine.receive_eof(0.0)
    assert heard(call) == []


def test_call_started_comes_before_its_other_events() -> None:
    bench = ServerBench()
    bench.give(bench.peer.request(1), raw.data(1, message(b"x")), raw.rst(1))
    events = bench.drain()
    assert [type(event) for event in events] == [CallStarted, CallReadable, CallReadable]
    assert len({id(event.call) for event in events}) == 1  # type: ignore[union-attr]


def test_call_readable_comes_again_once_the_queue_was_read_empty() -> None:
    bench = ServerBench()
    call = bench.call(1)

    def give() -> list[Any]:
        bench.give(raw.data(1, message(b"x")))
        return bench.drain()

    assert give() == [CallReadable(call)]
    assert give() == []
    assert call.take_message() == b"x"
    assert give() == []  # one is left, and nobody looked further
    assert [call.take_message(), call.take_message()] == [b"x", b"x"]
    assert give() == []  # taken, but not found empty
    assert [call.take_message(), call.take_message()] == [b"x", None]
    assert give() == [CallReadable(call)]
    assert call.next_event() == Message(b"x")
    assert call.next_event() is None
    assert give() == [CallReadable(call)]


def test_call_writable_is_an_edge() -> None:
    bench = ClientBench(ClientConfig(send_buffer=100), settings={raw.INITIAL_WINDOW: 0})
    call = bench.call()
    call.send_message(bytes(50))
    bench.feed(raw.window_update(1, 10))
    assert bench.drain() == []  # it was writable all the time
    call.send_message(bytes(200))
    assert not call.writable
    bench.feed(raw.window_update(1, 100))
    assert bench.drain() == []
    bench.feed(raw.window_update(1, 100))
    assert bench.drain() == [CallWritable(call)]
    bench.feed(raw.window_update(1, 10))
    assert bench.drain() == []


@pytest.mark.req("DUP-39", "CANC-1")
@pytest.mark.parametrize("bench_class", SIDES)
def test_the_outcome_is_known_before_anyone_reads(bench_class: Any) -> None:
    bench = bench_class()
    call = bench.call(1)
    if bench_class is ClientBench:
        bench.give(bench.peer.response(1), raw.data(1, message(b"x")), bench.peer.trailers(1, 2))
    else:
        bench.give(raw.data(1, message(b"x")), raw.rst(1))
    ended = outcome(call)
    assert call.take_message() == b"x"
    if bench_class is ClientBench:
        call.cancel()
    assert outcome(call) is ended
    assert heard(call) == [ended]


@pytest.mark.req("DEAD-9", "DUP-11")
def test_due_timers_come_before_input_of_the_same_moment() -> None:
    bench = ClientBench()
    call = bench.engine.start_call("/a/b", deadline=5.0)
    other = bench.engine.start_call("/a/b", deadline=5.1)
    bench.pull()
    assert (bench.engine.next_timeout(), bench.engine.timeout_reason) == (5.0, TimerKind.DEADLINE)
    bench.now = 5.0
    bench.give(bench.peer.trailers_only(1), bench.peer.trailers_only(3))
    assert outcome(call).status.code is StatusCode.DEADLINE_EXCEEDED
    assert outcome(other).status.code is StatusCode.OK
    assert bench.engine.next_timeout() is None


# --- misuse changes nothing -------------------------------------------------------------------------------------------


def unchanged(bench: Any, misuse: Callable[[], object]) -> None:
    before, backlog = bench.engine.fingerprint(), bench.engine.backlog
    with pytest.raises(LocalProtocolError):
        misuse()
    assert bench.engine.fingerprint() == before
    assert bench.engine.backlog == backlog
    assert bench.drain() == []
    assert bench.engine.data_to_send(bench.now) == b""
    assert bench.engine.fingerprint() == before


@pytest.mark.parametrize(
    "start",
    [
        {"method": "nothing"},
        {"method": "/nothing"},
        {"method": ""},
        {"method": "/a/b", "content_subtype": "UPPER"},
        {"method": "/a/b", "metadata": [("grpc-status", "0")]},
        {"method": "/a/b", "metadata": [("x", "line\nbreak")]},
        {"method": "/a/b", "metadata": [(":path", "/")]},
        {"method": "/a/b", "metadata": [("", "")]},
        {"method": "/a/b", "authority": "no spaces"},
        {"method": "/a/b", "deadline": math.nan},
    ],
    ids=str,
)
def test_a_call_that_can_not_be_started_changes_nothing(start: dict[str, Any]) -> None:
    bench = ClientBench()
    bench.call()
    unchanged(bench, lambda: bench.engine.start_call(**start))
    assert bench.call() is not None


def test_misuse_of_a_client_call_changes_nothing() -> None:
    bench = ClientBench(ClientConfig(max_send_message_size=1_000, send_buffer=10), settings={raw.INITIAL_WINDOW: 0})
    call = bench.call()
    unchanged(bench, lambda: call.send_message(bytes(1_001)))
    call.send_message(bytes(10))
    bench.pull()
    unchanged(bench, lambda: call.send_message(b""))  # not writable
    call.half_close()
    bench.pull()
    unchanged(bench, lambda: call.send_message(b""))
    call.half_close()
    bench.engine.shutdown()
    unchanged(bench, lambda: bench.engine.start_call("/a/b"))


def test_misuse_of_a_server_call_changes_nothing() -> None:
    bench = ServerBench(ServerConfig(max_send_message_size=1_000, send_buffer=10), settings={raw.INITIAL_WINDOW: 0})
    call = bench.call(1)
    unchanged(bench, lambda: call.send_initial_metadata([("te", "x")]))
    unchanged(bench, lambda: call.finish(Status(), [("grpc-message", "x")]))
    unchanged(bench, lambda: call.send_message(bytes(1_001)))
    call.send_initial_metadata()
    bench.pull()
    unchanged(bench, lambda: call.send_initial_metadata())
    call.send_message(bytes(10))
    bench.pull()
    unchanged(bench, lambda: call.send_message(b""))
    unchanged(bench, lambda: call.send_initial_metadata())
    call.finish()
    bench.pull()
    unchanged(bench, lambda: call.finish())
    unchanged(bench, lambda: call.send_message(b""))
    unchanged(bench, lambda: call.send_initial_metadata())
    bench.give(raw.rst(1))
    assert call.send_message(b"") is False


# --- pickling ---------------------------------------------------------------------------------------------------------


def client_session() -> list[Callable[[Any, Any], object]]:
    """Steps of a client; each takes the engine and its calls."""
    peer = RawPeer(client=False)
    chunks = [
        peer.hello({raw.MAX_STREAMS: 3, raw.INITIAL_WINDOW: 100}),
        peer.response(1, ("x", "y")),
        raw.data(1, message(b"one") + b"\0\0"),
        raw.window_update(1, 30),
        raw.settings({raw.INITIAL_WINDOW: 5_000}),
        peer.trailers_only(5, 9, ("x", "y")),
        raw.ping(),
        raw.data(1, b"\0\0\2hi"),
        raw.goaway(7, 0, b"bye"),
        peer.trailers(1, 0, ("x", "y"), end=True),
        raw.rst(3, 8),
        peer.trailers_only(7),
    ]
    steps: list[Callable[[Any, Any], object]] = []
    for chunk in chunks:
        for part in (chunk[:7], chunk[7:]):
            steps.append(lambda engine, calls, part=part: engine.receive_data(part, 1.0))  # type: ignore[misc]
        steps.append(lambda engine, calls: [call.send_message(b"more") for call in calls if call.writable])
    for index in range(5):
        steps.insert(3 * index, lambda engine, calls, index=index: calls.append(open_call(engine, index)))  # type: ignore[misc]
    steps.insert(12, lambda engine, calls: calls[1].cancel())
    return steps


def server_session() -> list[Callable[[Any, Any], object]]:
    peer = RawPeer(client=True)
    data = peer.hello({raw.INITIAL_WINDOW: 50, raw.TABLE_SIZE: 300})
    for stream in range(1, 9, 2):
        data += peer.request(stream, "/a/b", ("x", "y"), ("grpc-timeout", f"{stream}S"), cuts=(8,))
        data += raw.data(stream, message(b"m" * 40 * stream), pad=stream)
        data += raw.window_update(0, 1_000) + raw.window_update(stream, 20)
    data += raw.data(1, b"", end=True) + raw.rst(3) + raw.ping() + raw.goaway(0)
    steps: list[Callable[[Any, Any], object]] = []
    for at in range(0, len(data), 23):
        steps.append(lambda engine, calls, chunk=data[at : at + 23]: engine.receive_data(chunk, 1.0))  # type: ignore[misc]
    steps.append(lambda engine, calls: engine.shutdown(deadline=8.0))
    steps.extend(lambda engine, calls, now=now: engine.handle_timeout(float(now)) for now in range(2, 10))  # type: ignore[misc]
    return steps


def run(connection: type[Any], steps: list[Callable[[Any, Any], object]], *, through_pickle: bool, eager: bool) -> Any:
    engine = connection(now=0.0)
    calls: list[Any] = []
    said: list[object] = []
    for step in steps:
        step(engine, calls)
        if eager:
            said.append(engine.data_to_send(1.0, 200))
            said.append(busy(engine, calls))
        if through_pickle:
            before = engine.fingerprint()
            engine, calls = pickle.loads(pickle.dumps((engine, calls)))
            assert engine.fingerprint() == before
        said.append(engine.fingerprint())
        said.append((engine.next_timeout(), engine.timeout_reason, engine.backlog, engine.wants_read, engine.is_closed))
    said.append(note(drain(engine), calls))
    said.append(busy(engine, calls))
    while out := engine.data_to_send(1.0):
        said.append(out)
    return said


@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("eager", [False, True])
def test_pickling_at_every_step_changes_nothing(bench_class: Any, eager: bool) -> None:
    steps = client_session() if bench_class is ClientBench else server_session()
    connection = type(bench_class(greet=False).engine)
    plain = run(connection, steps, through_pickle=False, eager=eager)
    assert run(connection, steps, through_pickle=True, eager=eager) == plain
    assert any(isinstance(item, bytes) and len(item) > 100 for item in plain)


def test_what_pickling_leaves_behind() -> None:
    bench = ClientBench()
    call = bench.call()
    call.context = object()
    bench.engine.observer = lambda direction, frame: None
    engine, again = pickle.loads(pickle.dumps((bench.engine, call)))
    assert engine.observer is None
    assert again.context is None
    assert again.method == call.method


# --- the observer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bench_class", SIDES)
def test_an_observer_sees_every_frame_exactly(bench_class: Any) -> None:
    seen: list[tuple[str, Frame]] = []
    bench = bench_class(greet=False)
    engine = type(bench.engine)(now=0.0)
    engine.observer = lambda direction, frame: seen.append((direction, frame))
    peer = bench.peer
    client = bench_class is ClientBench
    given = [peer.hello({raw.MAX_STREAMS: 9})]
    if client:
        given += [
            peer.headers(1, raw.response_fields(("x", "y")), cuts=(4, 9), pad=3),
            raw.data(1, message(b"abc"), pad=9),
        ]
    else:
        given += [peer.headers(1, raw.request_fields(), cuts=(4, 9), prio=True), raw.data(1, message(b"abc"), pad=9)]
    given += [raw.ping(), raw.priority(7), raw.frame(0x99, 0x12, 5, b"odd"), raw.goaway(1, 0, b"x"), raw.rst(1, 8)]
    sent = b""
    for chunk in given:
        if client and chunk is given[1]:
            engine.start_call("/a/b").send_message(b"hello")
            sent += engine.data_to_send(0.0)
        for byte in chunk:
            engine.receive_data(bytes((byte,)), 0.0)
        while out := engine.data_to_send(0.0, 1):
            sent += out
    incoming = b"".join(bytes(frame) for direction, frame in seen if direction == "in")
    outgoing = b"".join(bytes(frame) for direction, frame in seen if direction == "out")
    received = b"".join(given)
    assert incoming == (received if client else received.removeprefix(raw.PREFACE))
    assert outgoing == (sent.removeprefix(raw.PREFACE) if client else sent)
    assert str(seen[0][1]).startswith("SETTINGS stream=0")


@pytest.mark.parametrize("way", ["in", "out"])
@pytest.mark.parametrize("bench_class", SIDES)
def test_an_observer_that_raises_ends_the_connection_and_loses_no_bytes(bench_class: Any, way: str) -> None:
    bench = bench_class()
    call = bench.call(1)

    def observe(direction: str, frame: Frame) -> None:
        if direction == way:
            raise KeyError("observer")

    bench.engine.observer = observe
    out = bench.feed(raw.frame(raw.PING, 0, 0, b"12345678"))
    assert out == [*(["PING ACK"] if way == "out" else []), out[-1]]
    assert out[-1].endswith("INTERNAL_ERROR")
    closed = bench.closed()
    assert closed is not None
    assert "KeyError" in closed.reason
    assert call.ended is not None


def test_an_observer_sees_the_frame_that_ends_the_connection() -> None:
    bench = ServerBench()
    seen: list[str] = []
    bench.engine.observer = lambda direction, frame: seen.append(f"{direction} {frame.type}")
    bench.feed(raw.ping() + raw.frame(raw.PING, 0, 0, b"short") + raw.ping())
    assert seen == ["in 6", "in 6", "out 6", "out 7"]


# --- faults of our own ------------------------------------------------------------------------------------------------


def test_a_defect_of_ours_ends_the_connection_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = ServerBench()
    bench.call(1)

    def broken(*arguments: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(ServerCall, "on_data", broken)
    bench.give(raw.data(1, b"x"))
    closed = bench.closed()
    assert isinstance(closed, ConnectionClosed)
    assert closed.code == 2
    assert closed.reason.startswith("internal error")


def test_ready_is_the_first_event_and_limits_are_typed() -> None:
    bench = ServerBench(ServerConfig(abuse=AbuseLimits(settings_frames=2)), greet=False)
    bench.give(bench.peer.hello(), raw.settings(), raw.settings())
    first, last = bench.drain()
    assert first == ConnectionReady()
    assert isinstance(last, ConnectionClosed)
