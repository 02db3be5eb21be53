"""Calls that no server has worked on are started again on another connection (RETRY-3, RETRY-4)."""

from __future__ import annotations

import pickle
from math import inf

import pytest

from duplexcore import ClientCall, ErrorCode, LocalProtocolError, Origin, ReplayBudget, StatusCode
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from tests.support.bench import CHAT, ClientBench, outcome

REFUSED = int(ErrorCode.REFUSED_STREAM)


def started(bench: ClientBench, budget: ReplayBudget | None = None, **options: object) -> ClientCall:
    return bench.engine.start_call(CHAT, replay=budget or ReplayBudget(), **options)  # type: ignore[arg-type]


def sent(bench: ClientBench) -> list[tuple[str, bytes]]:
    """What leaves now: frames of calls with their payloads."""
    return [(frame.brief, b"" if frame.type == raw.HEADERS else frame.payload) for frame in bench.pull()]


@pytest.mark.req("RETRY-3", "DUP-26")
@pytest.mark.parametrize("half_closed", [True, False])
@pytest.mark.parametrize("how", ["refused", "goaway"])
def test_a_call_that_the_server_has_not_taken_is_said_again(how: str, half_closed: bool) -> None:
    first, second = ClientBench(), ClientBench()
    call = started(first)
    call.send_message(b"one")
    first.pull()
    call.send_message(b"two")
    if half_closed:
        call.half_close()
    first.give(raw.rst(1, REFUSED) if how == "refused" else raw.goaway(0))
    assert outcome(call).unprocessed
    assert call.restartable

    second.engine.restart_call(call)
    assert (call.ended, call.is_waiting) == (None, True)
    assert call.next_event() is None  # nothing of it is seen
    frames = sent(second)
    assert b"".join(payload for _, payload in frames) == message(b"one") + message(b"two")
    assert frames[-1][0].endswith(" ES") == half_closed
    assert not call.is_waiting
    second.give(second.peer.response(1), raw.data(1, message(b"hi")), second.peer.trailers(1))
    assert call.take_message() == b"hi"
    assert outcome(call).status.ok


@pytest.mark.req("RETRY-3")
def test_only_once_when_the_server_has_refused() -> None:
    benches = [ClientBench() for _ in range(2)]
    call = started(benches[0])
    for bench in benches:
        bench.pull()
        bench.give(raw.rst(1, REFUSED))
        if call.restartable:
            benches[1].engine.restart_call(call)
    assert outcome(call).status.code is StatusCode.UNAVAILABLE
    assert outcome(call).unprocessed
    with pytest.raises(LocalProtocolError, match="again"):
        benches[1].engine.restart_call(call)


@pytest.mark.req("RETRY-3", "DUP-26")
def test_waiting_in_between_does_not_make_it_once_more() -> None:
    first, waiting, second = ClientBench(), ClientBench(settings={raw.MAX_STREAMS: 0}), ClientBench()
    call = started(first)
    first.pull()
    first.give(raw.goaway(0))
    waiting.engine.restart_call(call)
    waiting.engine.transport_failed("no way", 0.0)
    assert call.restartable  # nothing of it has left this time
    second.engine.restart_call(call)
    second.pull()
    second.give(raw.goaway(0))
    assert outcome(call).status.code is StatusCode.UNAVAILABLE
    assert not call.restartable


@pytest.mark.req("RETRY-3", "GOAW-6", "CONN-9")
def test_as_often_as_needed_while_it_has_not_left() -> None:
    call = None
    for way in range(5):
        bench = ClientBench(greet=way % 2 == 0, settings={raw.MAX_STREAMS: 0})
        if call is None:
            call = started(bench, ReplayBudget(0, 0))
            call.send_message(bytes(300_000))  # nothing is bounded by the budget that has not left
            call.half_close()
        else:
            bench.engine.restart_call(call)
        assert bench.engine.waiting_calls == 1
        if way == 1:
            bench.engine.transport_failed("no way", 0.0)
        elif way == 3:
            bench.engine.receive_eof(0.0)
        else:
            bench.give(raw.goaway(0))
        assert call.ended is not None
        assert call.ended.origin is Origin.TRANSPORT
    assert call is not None
    last = ClientBench(settings={raw.INITIAL_WINDOW: 400_000})
    last.engine.restart_call(call)
    last.give(raw.window_update(0, 400_000))
    frames = last.pull()
    assert sum(len(frame.payload) for frame in frames if frame.type == raw.DATA) == 300_005
    assert frames[-1].end


@pytest.mark.req("RETRY-3", "RETRY-4")
def test_what_the_server_has_begun_to_answer_is_not_said_again() -> None:
    bench, budget = ClientBench(), ReplayBudget()
    call = started(bench, budget)
    call.send_message(b"one")
    bench.pull()
    assert budget.kept == len(message(b"one"))
    bench.give(bench.peer.response(1))
    assert budget.kept == 0
    bench.give(raw.rst(1, REFUSED))
    assert call.ended is not None
    assert not call.restartable


@pytest.mark.req("RETRY-4")
@pytest.mark.parametrize(("per_call", "together", "again"), [(1000, 5000, [True] * 4), (1000, 1500, [1, 0, 0, 0])])
def test_what_is_kept_is_bounded(per_call: int, together: int, again: list[bool]) -> None:
    bench, budget = ClientBench(), ReplayBudget(per_call, together)
    calls = [started(bench, budget) for _ in range(4)]
    for call in calls:
        call.send_message(bytes(900))
    bench.pull()
    assert budget.kept <= together
    large = started(bench, budget)
    large.send_message(bytes(1001))
    bench.pull()
    bench.give(raw.goaway(0))
    assert [call.restartable for call in calls] == [bool(one) for one in again]
    assert not large.restartable
    assert budget.kept == 0


@pytest.mark.req("DEAD-7")
def test_the_remaining_time_is_encoded_anew() -> None:
    first, second = ClientBench(), ClientBench()
    call = started(first, deadline=10.0)
    first.pull()
    first.give(raw.rst(1, REFUSED))
    assert first.engine.next_timeout() is None or first.engine.next_timeout() > 10  # type: ignore[operator]
    second.now = 7.0
    second.engine.restart_call(call)
    (frame,) = [frame for frame in second.pull() if frame.type == raw.HEADERS]
    assert frame.field(b"grpc-timeout") in (b"3S", b"3000m", b"3000000u")
    assert second.engine.next_timeout() == 10.0
    second.engine.handle_timeout(10.0)
    assert outcome(call).status.code is StatusCode.DEADLINE_EXCEEDED
    assert not call.restartable


@pytest.mark.req("RETRY-3")
def test_what_this_side_has_ended_is_not_started_again() -> None:
    bench = ClientBench(settings={raw.MAX_STREAMS: 0})
    cancelled, late = started(bench), started(bench, deadline=1.0)
    cancelled.cancel()
    bench.engine.handle_timeout(1.0)
    plain = bench.engine.start_call(CHAT)  # without a budget
    bench.engine.receive_eof(inf)
    assert [call.ended.unprocessed for call in (cancelled, late, plain) if call.ended] == [True] * 3
    assert not any(call.restartable for call in (cancelled, late, plain))
    with pytest.raises(LocalProtocolError):
        ClientBench().engine.restart_call(plain)


@pytest.mark.req("RETRY-3")
def test_not_on_a_connection_that_this_side_leaves() -> None:
    first, second = ClientBench(), ClientBench()
    call = started(first)
    first.engine.receive_eof(0.0)
    second.engine.shutdown()
    with pytest.raises(LocalProtocolError, match="shutting down"):
        second.engine.restart_call(call)
    third = ClientBench()
    third.give(raw.goaway(0))
    third.engine.restart_call(call)  # it ends there at once, and can be started again
    assert call.restartable


def test_a_call_that_keeps_messages_pickles() -> None:
    bench = ClientBench()
    call = started(bench)
    call.send_message(b"one")
    bench.pull()
    copy = pickle.loads(pickle.dumps(bench.engine))
    assert copy.fingerprint() == bench.engine.fingerprint()


def test_budgets_are_not_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        ReplayBudget(-1)
