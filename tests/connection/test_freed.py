"""A call that is over is freed with its last user: the garbage collector, which costs a quarter of all time when it has
many calls to find, has nothing to do for them."""

from collections.abc import Callable

import pytest

from duplexcore import CallStarted, ClientConnection, ServerConnection
from tests.support.freed import without_collecting


class Pair:
    """A client and a server, joined in memory."""

    def __init__(self) -> None:
        self.client, self.server = ClientConnection(now=0.0), ServerConnection(now=0.0)
        self.carry()

    def carry(self) -> None:
        moved = True
        while moved:
            moved = False
            for source, target in ((self.client, self.server), (self.server, self.client)):
                while data := source.data_to_send(now=0.0):
                    target.receive_data(data, now=0.0)
                    moved = True

    def forget(self) -> None:
        """The events that announce calls."""
        for side in (self.client, self.server):
            while side.next_event() is not None:
                pass


def answered(pair: Pair) -> None:
    asked = pair.client.start_call("/a/b")
    asked.send_message(b"request")
    asked.half_close()
    pair.carry()
    call = next(event.call for event in iter(pair.server.next_event, None) if isinstance(event, CallStarted))
    assert call.take_message() == b"request"
    call.send_message(b"response")
    call.finish()
    pair.carry()
    assert asked.take_message() == b"response"
    assert asked.ended is not None
    assert asked.ended.status.ok


def cancelled(pair: Pair) -> None:
    asked = pair.client.start_call("/a/b")
    pair.carry()
    asked.cancel()
    pair.carry()


def never_left(pair: Pair) -> None:
    pair.client.start_call("/a/b").cancel()


def lost(pair: Pair) -> None:
    for _ in range(2):
        pair.client.start_call("/a/b")
        pair.carry()
    pair.client.start_call("/a/b")  # has no stream yet
    for side in (pair.client, pair.server):
        side.transport_failed("lost", now=0.0)
    pair.carry()


def refused(pair: Pair) -> None:
    pair.server.shutdown(deadline=0.0)
    pair.client.start_call("/a/b")
    pair.carry()
    pair.client.start_call("/a/b")


@pytest.mark.parametrize("live", [answered, cancelled, never_left, lost, refused], ids=lambda live: live.__name__)
def test_a_call_that_is_over_is_no_garbage(live: Callable[[Pair], None]) -> None:
    pair = Pair()
    pair.forget()
    with without_collecting() as left:
        live(pair)
        pair.forget()
        assert left() == []
