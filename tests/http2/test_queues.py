"""A lane with something to send is in exactly one queue, or blocked: walked at random, looked at after each step."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ClientCall, ClientConfig, ServerCall
from duplexcore.http2.queues import Place, SendQueues
from duplexcore.testing import raw
from tests.support.bench import ClientBench, ServerBench, patient

WINDOW = 3_000
#: What an application and a peer can do; the number picks the call, or says how much.
STEPS = ["open", "send", "end", "cancel", "peer resets", "window", "connection window", "smaller", "larger", "pull"]
Step = tuple[str, int]


def check(bench: ClientBench | ServerBench) -> None:
    """The invariant, over every lane that there is."""
    carrier = bench.engine._carrier
    queues = carrier.queues
    standing = {
        Place.OPENING: list(queues.opening),
        Place.READY: list(queues._ready),
        Place.HELD: list(queues._held),
    }
    everywhere = [lane for lanes in standing.values() for lane in lanes]
    assert len(everywhere) == len(set(everywhere)), "a lane is in two queues"
    for place, lanes in standing.items():
        assert all(lane.place is place for lane in lanes)
    alive = {*carrier._lanes.values(), *queues.opening}
    assert set(everywhere) <= alive, "a lane that is over is in a queue"
    for lane in alive:
        call: Any = lane.call
        assert (lane.place in standing) is (lane in everywhere)
        if call._outbox.size or lane.abort_code is not None:
            assert lane.place is not Place.AWAY, "nobody will ask for what it has to send"
        if lane.place is Place.BLOCKED:
            assert carrier._core.stream_window(lane) <= 0


class Walk:
    """One engine, the calls that it has, and a peer that opens windows as it pleases."""

    def __init__(self, bench: ClientBench | ServerBench) -> None:
        self.bench = bench
        self.calls: list[ClientCall | ServerCall] = []
        self.streams = iter(range(1, 2001, 2))
        self.heard: dict[int, int] = {}

    def step(self, what: str, number: int) -> None:
        bench = self.bench
        call = self.calls[number % len(self.calls)] if self.calls else None
        stream = call._lane.stream_id if call is not None else 0  # type: ignore[attr-defined]
        match what:
            case "open" if isinstance(bench, ClientBench):
                self.calls.append(bench.engine.start_call("/a.B/C"))
            case "open" if isinstance(bench, ServerBench):
                self.calls.append(bench.call(next(self.streams)))
            case "send" if call is not None and call.writable:
                call.send_message(bytes(number * 40))
            case "end" if isinstance(call, ClientCall):
                call.half_close()
            case "end" if isinstance(call, ServerCall) and not call._finished:
                call.finish()
            case "cancel" if isinstance(call, ClientCall):
                call.cancel()
            case "cancel" if isinstance(call, ServerCall):
                call.abort()
            case "peer resets" if stream:
                bench.give(raw.rst(stream))
            case "window" if stream:
                bench.give(raw.window_update(stream, 1 + number * 20))
            case "connection window":
                bench.give(raw.window_update(0, 1 + number * 20))
            case "smaller" | "larger":
                bench.give(raw.settings({raw.INITIAL_WINDOW: WINDOW // 2 if what == "smaller" else WINDOW * 2}))
            case "pull":
                self.pull(number * 100)
            case _:
                pass
        bench.drain()
        check(bench)

    def pull(self, most: int) -> None:
        for frame in self.bench.peer.read(self.bench.engine.data_to_send(0.0, most)):
            if frame.type == raw.DATA:
                self.heard[frame.stream] = self.heard.get(frame.stream, 0) + len(frame.payload)
        check(self.bench)


@pytest.mark.req("FLOW-11", "DUP-33")
@pytest.mark.parametrize("side", ["client", "server"])
@settings(deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 100)), max_size=60))
def test_a_lane_with_something_to_send_is_in_one_place(side: str, steps: list[Step]) -> None:
    bench: ClientBench | ServerBench
    values = {raw.INITIAL_WINDOW: WINDOW, raw.MAX_STREAMS: 5}
    if side == "client":
        bench = ClientBench(ClientConfig(send_buffer=2_000), settings=values)
    else:
        bench = ServerBench(patient(send_buffer=2_000), settings=values)
    walk = Walk(bench)
    for what, number in steps:
        walk.step(what, number)
    # With every window open, all that was taken leaves, and nobody stands in line any more.
    for _ in range(20):
        bench.give(raw.window_update(0, 100_000), raw.settings({raw.INITIAL_WINDOW: 2**20, raw.MAX_STREAMS: 1_000}))
        walk.pull(2**20)
    assert bench.engine.backlog == 0
    assert not any(call._outbox.size for call in walk.calls)


class Lane:
    """All that the queues look at."""

    place = Place.AWAY


@pytest.mark.req("FLOW-11")
def test_turns() -> None:
    """In the order of arrival; who stands in line keeps its place; those that a window held up come first."""
    queues, (a, b, c) = SendQueues(), (Lane(), Lane(), Lane())
    served: Any = queues
    for lane in (a, b, a, c):
        served.ready(lane)
    assert [served.next(window=True) for _ in range(4)] == [a, b, c, None]
    served.hold(b)
    served.ready(a)
    assert (queues.servable(window=False), queues.servable(window=True)) == (1, 2)
    assert served.next(window=False) is a
    assert served.next(window=False) is None
    served.ready(c)
    assert [served.next(window=True) for _ in range(2)] == [b, c]


@pytest.mark.req("CONN-7")
def test_who_waits_for_a_stream_waits_in_order_and_can_leave() -> None:
    queues, (a, b, c) = SendQueues(), (Lane(), Lane(), Lane())
    waited: Any = queues
    for lane in (a, b, c):
        waited.await_stream(lane)
    waited.remove(b)
    assert (waited.waiting(), list(waited.opening)) == ([a, c], [a, c])
    waited.ready(a)  # its headers are framed
    assert (waited.waiting(), waited.next(window=True), b.place) == ([c], a, Place.AWAY)


@pytest.mark.req("FLOW-7")
def test_only_a_blocked_lane_is_unblocked() -> None:
    queues, lane = SendQueues(), Lane()
    asked: Any = queues
    asked.unblock(lane)
    assert asked.next(window=True) is None
    asked.block(lane)
    assert asked.next(window=True) is None
    asked.unblock(lane)
    assert asked.next(window=True) is lane
