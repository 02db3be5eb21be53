"""A window is a promise: a peer that stays within those that we granted is neither refused nor cut off (SEC-11).

What we keep is bounded all the same: credit for messages larger than their windows goes to a few calls at a time.
"""

from __future__ import annotations

from typing import Any

import pytest

from duplexcore import AbuseLimits, CallReadable, CallRefused, CallStarted, ClientConfig, ServerConfig
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from tests.support.bench import ClientBench, ServerBench, patient

KIB = 1024


class Peer:
    """Sends one message on each of many calls, as fast as the windows that it was granted allow, all in turn; the
    application takes each as soon as it can."""

    def __init__(self, bench: Any, calls: int, size: int, *, stalled: int = 0) -> None:
        self.bench = bench
        self.serving = isinstance(bench, ClientBench)
        self.framed = message(bytes(size))
        self.streams = range(1, 2 * calls, 2)
        #: Of each stream that goes on: what was sent, and what may be. The first ``stalled`` stop inside the message.
        self.sent = dict.fromkeys(self.streams, 0)
        window: int = bench.engine.config.stream_window
        self.room = dict.fromkeys(self.streams, window)
        self.stalled = self.streams[:stalled]
        self.connection_room = bench.engine.config.connection_window
        self.taken = 0
        #: The most bytes that were sent and not taken.
        self.most = 0
        for stream in self.streams:
            if self.serving:
                call = bench.engine.start_call("/a/b", single_response=True)
                call.half_close()
                bench.pull()
                bench.give(bench.peer.response(stream))
            else:
                bench.give(bench.peer.request(stream))
                self.take()

    def run(self) -> Peer:
        """Until every message was sent, or nothing may be."""
        self.read()
        while True:
            going = [stream for stream, sent in self.sent.items() if sent < len(self.framed)]
            before = sum(self.sent.values())
            for stream in going:
                self.send(stream)
            self.read()
            self.most = max(self.most, sum(self.sent.values()) - self.taken * len(self.framed))
            self.take()
            self.read()
            if self.bench.engine.is_closed or before == sum(self.sent.values()):
                return self

    def send(self, stream: int) -> None:
        at = self.sent[stream]
        size = min(16 * KIB, len(self.framed) - at - (stream in self.stalled), self.room[stream])
        if size <= 0:
            return
        if size > self.connection_room:
            self.read()
        if size > self.connection_room:
            return
        last = at + size == len(self.framed)
        self.bench.give(raw.data(stream, self.framed[at : at + size], end=last and not self.serving))
        if last and self.serving:
            self.bench.give(self.bench.peer.trailers(stream))
        self.sent[stream] = at + size
        self.room[stream] -= size
        self.connection_room -= size

    def read(self) -> None:
        for frame in self.bench.pull():
            if frame.type == raw.WINDOW_UPDATE:
                increment = int.from_bytes(frame.payload, "big")
                if frame.stream == 0:
                    self.connection_room += increment
                else:
                    self.room[frame.stream] += increment

    def take(self) -> None:
        for event in self.bench.drain():
            if isinstance(event, CallStarted):
                event.call.expect_single_request()
            elif isinstance(event, CallReadable):
                self.taken += event.call.take_message() is not None

    def refused(self) -> int:
        return sum(isinstance(event, CallRefused) for event in self.bench.events)


def limited(side: Any, unread_bytes: int) -> Any:
    config: Any = ClientConfig if side is ClientBench else patient
    return side(config(abuse=AbuseLimits(unread_bytes=unread_bytes)))


@pytest.mark.req("SEC-11", "FLOW-4", "FLOW-6", "CONN-8")
@pytest.mark.parametrize(
    ("side", "config", "calls", "size"),
    [(ServerBench, ServerConfig(), 1_000, 271_828), (ClientBench, ClientConfig(), 500, 314_159)],
    ids=["a thousand requests", "500 responses"],
)
def test_large_messages_at_once_with_the_defaults(side: Any, config: Any, calls: int, size: int) -> None:
    peer = Peer(side(config), calls, size).run()
    assert (peer.bench.closed(), peer.refused(), peer.taken) == (None, 0, calls)
    window = config.stream_window
    assert calls * window < peer.most < calls * window + config.abuse.unread_bytes + size


@pytest.mark.req("SEC-11", "FLOW-4")
@pytest.mark.parametrize("side", [ClientBench, ServerBench])
def test_messages_above_the_window_come_through_one_after_another_if_need_be(side: Any) -> None:
    peer = Peer(limited(side, 1), 5, 2_000 * KIB).run()
    assert (peer.bench.closed(), peer.refused(), peer.taken) == (None, 0, 5)
    assert peer.most < 5 * 256 * KIB + 2_000 * KIB + 64 * KIB


@pytest.mark.req("SEC-11", "FLOW-4")
@pytest.mark.parametrize("side", [ClientBench, ServerBench])
def test_messages_that_never_end_hold_what_is_allowed_and_no_more(side: Any) -> None:
    """Others wait behind them, but only for what is above their windows; an end makes room."""
    peer = Peer(limited(side, 1_000 * KIB), 10, 1_000 * KIB, stalled=4).run()
    assert (peer.bench.closed(), peer.taken) == (None, 0)
    assert 9 * 256 * KIB + 1_000 * KIB < peer.most < 10 * 256 * KIB + 2_000 * KIB
    for stream in peer.stalled:
        peer.bench.give(raw.rst(stream))
    peer.sent = {stream: sent for stream, sent in peer.sent.items() if stream not in peer.stalled}
    assert peer.run().taken == 6


@pytest.mark.req("SEC-11")
@pytest.mark.parametrize("side", [ClientBench, ServerBench])
@pytest.mark.parametrize("size", [0, 1, 100, 5_000])
def test_what_lies_within_windows_costs_nothing_but_memory(side: Any, size: int) -> None:
    """Streams of messages, tiny ones too, that nobody reads."""
    bench = limited(side, 1)
    one = message(bytes(size))
    sent = (one * (256 * KIB // len(one) + 1))[: 256 * KIB]
    for stream in range(1, 41, 2):
        if side is ClientBench:
            bench.call()
            bench.give(bench.peer.response(stream))
        else:
            bench.call(stream)
        for at in range(0, len(sent), 16 * KIB):
            bench.give(raw.data(stream, sent[at : at + 16 * KIB]))
        bench.pull()
    if side is ServerBench:
        bench.call(41)
    assert bench.closed() is None
