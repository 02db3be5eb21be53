"""h2, strict as it comes, on the other side: it takes whatever we send, over either core, and both send the same."""

import random
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ClientConfig, ClientConnection
from duplexcore.config import Http2
from duplexcore.http2.frames import PREFACE, read_frames

Codes = h2.settings.SettingCodes
SETTINGS = {
    Codes.INITIAL_WINDOW_SIZE: (0, 1, 100, 5_000, 65_535, 2**20),
    Codes.MAX_FRAME_SIZE: (16_384, 16_385, 100_000),
    Codes.HEADER_TABLE_SIZE: (0, 100, 4096, 65_536),
    Codes.MAX_CONCURRENT_STREAMS: (0, 2, 100),
}
EXAMPLES = max(20, settings().max_examples // 2)


class Walk:
    """A client, and a strict server that answers at random."""

    def __init__(self, http2: Http2, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self.client = ClientConnection(ClientConfig(http2=http2, hard_header_list_size=2**20), now=0.0)
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.server.initiate_connection()
        self.streams: list[int] = []
        self.open: set[int] = set()
        self.calls: list[Any] = []
        self.seen: list[str] = []
        self.received: dict[int, int] = {}
        steps = (self.start, self.send, self.send, self.half_close, self.cancel, self.answer, self.credit, self.tune)
        for _ in range(chance.randrange(10, 60)):
            chance.choice(steps)()
            if chance.random() < 0.6:
                self.exchange()
        self.exchange()

    def exchange(self) -> None:
        for _ in range(3):
            while data := self.client.data_to_send(0.0, self.chance.choice((1, 1_000, 70_000))):
                # Frame by frame: what an ack allows, h2 allows from the next bytes on that it is given.
                greeting = [PREFACE] if data.startswith(PREFACE) else []
                for piece in (*greeting, *map(bytes, read_frames(data))):
                    for event in self.server.receive_data(piece):
                        self.hear(event)
            self.client.receive_data(self.server.data_to_send(), 0.0)
        while (told := self.client.next_event()) is not None:
            self.seen.append(type(told).__name__)

    def hear(self, event: h2.events.Event) -> None:
        stream = getattr(event, "stream_id", None)
        self.seen.append(f"{type(event).__name__} {stream}")
        if isinstance(event, h2.events.RequestReceived):
            self.seen.append(repr(event.headers))
            self.streams.append(event.stream_id)
            self.open.add(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.open.discard(event.stream_id)
        elif isinstance(event, h2.events.DataReceived):
            self.seen.append(f"{event.flow_controlled_length}")
            self.received[event.stream_id] = self.received.get(event.stream_id, 0) + event.flow_controlled_length

    def start(self) -> None:
        chance = self.chance
        names = chance.sample(("authorization", "x-same", "x-trace", "x-big", "x-binary-bin"), chance.randrange(4))
        values: dict[str, str | bytes] = {
            "authorization": "secret",
            "x-same": "same",
            "x-trace": str(chance.random()),
            "x-big": "b" * chance.choice((200, 20_000)),
            "x-binary-bin": chance.randbytes(9),
        }
        deadline = chance.choice((None, None, 1.0, chance.random() + 1))
        self.calls.append(self.client.start_call("/a/b", {name: values[name] for name in names}, deadline=deadline))

    def some_call(self) -> Any:
        return self.chance.choice(self.calls) if self.calls else None

    def send(self) -> None:
        call, size = self.some_call(), self.chance.choice((0, 1, 100, 5_000, 70_000))
        if call is not None and call.send_state.name == "OPEN" and call.writable:
            call.send_message(bytes(size))

    def half_close(self) -> None:
        call = self.some_call()
        if call is not None and call.send_state.name == "OPEN":
            call.half_close()

    def cancel(self) -> None:
        if (call := self.some_call()) is not None and self.chance.random() < 0.3:
            call.cancel()

    def answer(self) -> None:
        if self.open:
            stream = self.chance.choice(sorted(self.open))
            self.open.discard(stream)
            if self.chance.random() < 0.3:
                self.server.reset_stream(stream)
            else:
                fields = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")]
                self.server.send_headers(stream, fields, end_stream=True)

    def credit(self) -> None:
        stream = self.chance.choice([0, *sorted(self.open)])
        if owed := self.received.get(stream, 0) if stream else sum(self.received.values()):
            self.server.increment_flow_control_window(owed, stream or None)
            if stream:
                del self.received[stream]
            else:
                self.received.clear()

    def tune(self) -> None:
        self.exchange()  # h2 takes an ack for one of all SETTINGS that are under way
        code = self.chance.choice(list(SETTINGS))
        value = self.chance.choice(SETTINGS[code])
        if code is Codes.INITIAL_WINDOW_SIZE and self.calls:
            # A window below zero is legal, and so is an empty DATA then (FLOW-8): h2 takes it for an overdraft.
            value = max(value, self.server.local_settings.initial_window_size)
        self.server.update_settings({code: value})
        if self.chance.random() < 0.3:
            self.server.ping(b"are you?")


@pytest.mark.req("FLOW-7", "FLOW-8", "FLOW-12", "MD-13", "H2-10")
@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32))
def test_a_strict_server_takes_what_a_client_sends(seed: int) -> None:
    assert Walk("native", seed).seen == Walk("h2", seed).seen
