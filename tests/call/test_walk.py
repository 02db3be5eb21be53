"""Random walks over several calls on two joined connections: whatever happens in whatever order, the rules hold."""

from __future__ import annotations

import pickle
import random
from collections import defaultdict
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import (
    CallEnded,
    CallStarted,
    ClientCall,
    ClientConfig,
    ClientConnection,
    ConnectionClosed,
    Message,
    Origin,
    ServerCall,
    ServerConfig,
    ServerConnection,
    Status,
    StatusCode,
)
from duplexcore.testing.raw import RawPeer
from tests.support.calls import check_grammar

Call = ClientCall | ServerCall
STATUSES = [Status(), Status(StatusCode.ABORTED, "why"), Status(StatusCode.UNAVAILABLE)]
SIZES = [0, 1, 100, 5000, 70_000]


class Record:
    """What one side of one call has said and heard."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.said: list[bytes] = []
        self.events: list[Any] = []
        self.status: Status | None = None

    @property
    def messages(self) -> list[bytes]:
        return [event.payload for event in self.events if isinstance(event, Message)]

    def listen(self, most: int) -> None:
        for _ in range(most):
            if (event := self.call.next_event()) is None:
                break
            self.events.append(event)
        check_grammar(self.call, self.events)


class Walk:
    """Two connections, what is under way between them, and a clock; `step` does something that is possible."""

    def __init__(self, choose: Any) -> None:
        self.choose = choose
        self.now = 0.0
        self.client = ClientConnection(ClientConfig(stream_window=65_535), now=0.0)
        self.server = ServerConnection(ServerConfig(stream_window=65_535, max_concurrent_calls=3), now=0.0)
        self.wires: dict[str, bytes] = {"up": b"", "down": b""}
        self.readers = {"up": RawPeer(client=False), "down": RawPeer(client=True)}
        self.resets: dict[tuple[str, int], int] = defaultdict(int)
        self.ended_streams: set[tuple[str, int]] = set()
        self.asked: list[Record] = []
        self.answered: list[Record] = []
        self.numbers = count(1)

    # --- steps ------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        getattr(self, self.choose(STEPS))()
        self.check()

    def pick(self, records: list[Record]) -> Record | None:
        return self.choose(records[-3:]) if records else None

    def start(self) -> None:
        if len(self.asked) < 5:
            deadline = self.choose([None, None, self.now + 1.0, self.now + 5.0, self.now])
            number = next(self.numbers)
            call = self.client.start_call("/a/b", {"number": str(number)}, deadline=deadline)
            self.asked.append(Record(call))

    def say(self, records: list[Record]) -> None:
        if (record := self.pick(records)) is None:
            return
        payload = bytes((len(record.said) % 256,)) * self.choose(SIZES)
        open_ = record.call.ended is not None or record.call.writable
        if open_ and record.call.send_message(payload):
            record.said.append(payload)

    def client_says(self) -> None:
        self.say(self.asked)

    def server_says(self) -> None:
        self.say(self.answered)

    def half_close(self) -> None:
        if record := self.pick(self.asked):
            record.call.half_close()  # type: ignore[union-attr]

    def cancel(self) -> None:
        if record := self.pick(self.asked):
            record.call.cancel()  # type: ignore[union-attr]

    def server_opens(self) -> None:
        if (record := self.pick(self.answered)) and record.call.send_state.name == "IDLE":
            record.call.send_initial_metadata({"i": "1"})  # type: ignore[union-attr]

    def finish(self) -> None:
        if (record := self.pick(self.answered)) and record.call.send_state.name != "CLOSED":
            status = self.choose(STATUSES)
            if record.call.ended is None:
                record.status = status
            record.call.finish(status, {"t": "1"})  # type: ignore[union-attr]

    def abort(self) -> None:
        if record := self.pick(self.answered):
            record.call.abort()  # type: ignore[union-attr]

    def listen(self) -> None:
        if record := self.pick(self.asked + self.answered):
            record.listen(self.choose([1, 100]))

    def pull(self, way: str | None = None, most: int | None = None) -> bool:
        way = way or self.choose(["up", "down"])
        near = self.client if way == "up" else self.server
        data = near.data_to_send(self.now, most or self.choose([1, 2000, 1 << 16]))
        self.wires[way] += data
        for frame in self.readers[way].read(data):
            if frame.type == 3:
                self.resets[way, frame.stream] += 1
                assert self.resets[way, frame.stream] == 1  # P33: one at most,
                other = "down" if way == "up" else "up"
                done = {(way, frame.stream), (other, frame.stream)} <= self.ended_streams
                assert not done or self.wires[other]  # and none for a stream that both sides had closed
            elif frame.stream and frame.type in (0, 1):
                assert not self.resets[way, frame.stream]
                assert (way, frame.stream) not in self.ended_streams
                if frame.end:
                    self.ended_streams.add((way, frame.stream))
        return bool(data)

    def deliver(self, way: str | None = None, size: int | None = None) -> bool:
        way = way or self.choose(["up", "down"])
        far = self.server if way == "up" else self.client
        data = self.wires[way][: size or self.choose([1, 5, 9, 14, 200, 1 << 20])]
        self.wires[way] = self.wires[way][len(data) :]
        far.receive_data(data, self.now)
        self.hear()
        return bool(data)

    def pass_time(self) -> None:
        self.now += self.choose([0.1, 1.0, 3.0])
        for connection in (self.client, self.server):
            connection.handle_timeout(self.now)

    def snapshot(self) -> None:
        """P49: nothing is lost by being pickled."""
        records = [(record.call, record) for record in self.asked + self.answered]
        assert pickle.loads(pickle.dumps((self.client, self.server, [call for call, _ in records])))

    def lose(self) -> None:
        if self.choose([False] * 19 + [True]):
            self.client.transport_failed("the cable was cut", self.now)
            self.server.receive_eof(self.now)
            self.wires = {"up": b"", "down": b""}

    # --- what must hold ---------------------------------------------------------------------------------------------

    def hear(self) -> None:
        for connection in (self.client, self.server):
            while (event := connection.next_event()) is not None:
                if isinstance(event, CallStarted):
                    self.answered.append(Record(event.call))
                elif isinstance(event, ConnectionClosed):
                    assert event.origin is Origin.TRANSPORT, event

    def partner(self, record: Record) -> Record | None:
        """The other side of a client's call."""
        number = dict(record.call._custom)[b"number"].decode()
        return next((one for one in self.answered if one.call.metadata.get("number") == number), None)  # type: ignore[union-attr]

    def check(self) -> None:
        self.hear()
        for asked in self.asked:
            answered = self.partner(asked)
            if answered is None:
                assert asked.messages == []
                continue
            assert asked.messages == answered.said[: len(asked.messages)]  # P1
            assert answered.messages == asked.said[: len(answered.messages)]

    def settle(self) -> None:
        """Everybody reads, handlers finish, time goes by; then nothing may be left open."""
        for _ in range(4):
            moved = True
            while moved:
                self.hear()
                for record in self.asked + self.answered:
                    record.listen(10**6)
                moved = any([self.pull("up", 1 << 16), self.pull("down", 1 << 16), self.deliver("up", 1 << 20)])
                moved = self.deliver("down", 1 << 20) or moved
            self.check()
            for record in self.answered:
                if record.call.send_state.name != "CLOSED":
                    if record.call.ended is None:
                        record.status = Status()
                    record.call.finish()  # type: ignore[union-attr]
        for record in self.asked + self.answered:
            record.listen(10**6)
            ends = [event for event in record.events if isinstance(event, CallEnded)]
            assert ends == [record.call.ended]  # P4, P5: once, and last by the grammar
        for asked in self.asked:
            self.check_outcome(asked)
        assert self.client.open_calls == self.server.open_calls == 0
        assert self.server._running == 0

    def check_outcome(self, asked: Record) -> None:
        """P2, P6: a status that came from the server is the one it said, and all that it said before is there."""
        ended, answered = asked.call.ended, self.partner(asked)
        assert ended is not None
        if ended.unprocessed:
            assert answered is None
        if ended.origin is Origin.PEER and answered is not None:
            assert answered.call.ended is not None
            if answered.status is not None and answered.call.ended.status == answered.status:
                assert ended.status == answered.status
                assert asked.messages == answered.said
            else:
                assert ended.status.code in (StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED)


STEPS = [
    *["start"] * 2,
    *["client_says", "server_says"] * 4,
    *["half_close", "finish", "server_opens", "pass_time", "snapshot"],
    *["listen"] * 4,
    *["pull", "deliver"] * 8,
    *["cancel", "abort", "lose"],
]


@pytest.mark.req("DUP-39", "DUP-11", "DUP-29", "DUP-33", "D-4", "CANC-1", "FLOW-5", "CANC-3", "SEC-14")
@settings(max_examples=settings().max_examples * 2 // 5)
@given(st.data(), st.integers(20, 100))
def test_whatever_happens(data: st.DataObject, steps: int) -> None:
    """P1 to P6, P32, P33."""
    walk = Walk(lambda options: data.draw(st.sampled_from(options)))
    for _ in range(steps):
        walk.step()
    walk.settle()


@pytest.mark.req("DUP-39", "SEC-14")
@pytest.mark.parametrize("seed", range(40))
def test_long_walks(seed: int) -> None:
    rng = random.Random(seed)
    walk = Walk(rng.choice)
    for _ in range(250):
        walk.step()
        if rng.random() < 0.05 and (record := walk.pick(walk.asked)):  # P32
            record.call.cancel()  # type: ignore[union-attr]
            before = walk.client.fingerprint()
            record.call.cancel()  # type: ignore[union-attr]
            assert walk.client.fingerprint() == before
    walk.settle()
