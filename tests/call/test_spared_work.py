"""What calls spare themselves: copies, reading what was read before. Nothing that is sent or heard differs by it."""

from __future__ import annotations

import functools

import pytest

from duplexcore import ClientConfig, ServerConfig, Status, StatusCode
from duplexcore.call.framing import MessageDecoder, Run, frame_message
from duplexcore.call.headers import (
    Request,
    Response,
    _define,
    _judge_response,
    read_request,
    read_response,
)
from duplexcore.call.inbox import Inbox
from duplexcore.call.lane import Data, Headers
from duplexcore.call.outbox import Outbox
from duplexcore.metadata import Field
from tests.support.calls import REQUEST, NotingLane, block, client_call, server_call
from tests.support.work import calls_made

RESPONSE: list[Field] = [(b":status", b"200"), (b"content-type", b"application/grpc")]


def again(text: str) -> str:
    """The same text, as another object."""
    return "".join(list(text))


@pytest.mark.parametrize("size", [1_023, 1_024, 1_025])
def test_a_large_piece_of_a_message_is_kept_as_it_came(size: int) -> None:
    decoder = MessageDecoder(10**6)
    framed = frame_message(bytes(3 * size))
    assert list(decoder.feed(framed[:5])) == []
    pieces = [framed[5 : 5 + size], framed[5 + size : 5 + 2 * size]]
    for piece in pieces:
        assert list(decoder.feed(piece)) == []
    kept = decoder._parts
    if size >= 1_024:
        assert [part is piece for part, piece in zip(kept, pieces, strict=True)] == [True, True]
    else:
        assert [type(part) for part in kept] == [bytearray]


@pytest.mark.parametrize("bodies", [(b"", b"", b""), (b"a", b"", b"bc", b""), (b"", bytes(10), bytes(10))])
def test_small_messages_that_come_together_are_one_object(bodies: tuple[bytes, ...]) -> None:
    """As long as none is above the limit, which is 10 here."""
    (run,) = MessageDecoder(10).feed(b"".join(map(frame_message, bodies)))
    assert isinstance(run, Run)
    assert run.count == len(bodies)


@pytest.mark.parametrize(("own", "other", "joined"), [(1_023, 1_023, True), (1_024, 5, False), (5, 1_024, False)])
def test_runs_below_1_kib_become_one(own: int, other: int, joined: bool) -> None:
    run = Run(frame_message(bytes(own - 5)), 1)
    assert run.absorb(Run(frame_message(bytes(other - 5)), 1)) is joined
    assert run.count == 1 + joined


@pytest.mark.parametrize("size", [1_023, 1_024])
def test_a_message_of_1_kib_that_came_in_pieces_needs_no_object_around_it(size: int) -> None:
    decoder, framed = MessageDecoder(10_000), frame_message(bytes(size))
    (item,) = [*decoder.feed(framed[:100]), *decoder.feed(framed[100:])]
    assert isinstance(item, Run if size < 1_024 else bytes)


@pytest.mark.parametrize("size", [0, 99, 100])
def test_a_message_that_comes_whole_needs_no_decoder(size: int) -> None:
    """Also the longest that may come."""
    inbox = Inbox(NotingLane(), ServerConfig(max_receive_message_size=100))
    assert inbox.receive(frame_message(bytes(size)))
    assert inbox.receive(frame_message(bytes(size))) is False
    assert inbox._decoder is None
    assert [inbox.take_message(), inbox.take_message()] == [bytes(size)] * 2


@pytest.mark.parametrize("cut", [1, 4, 5])
def test_a_large_message_whose_prefix_has_left_leaves_as_views_of_itself(cut: int) -> None:
    body, outbox = bytes(16_384), Outbox()
    framed = frame_message(body)
    outbox.parts = [framed[:5], body]
    outbox.size = len(framed)
    assert outbox.pull(cut) == framed[:cut]
    rest = outbox.pull(100)
    assert rest == framed[cut : cut + 100]
    assert isinstance(rest, memoryview) is (cut == 5)


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385])
def test_bodies_below_16_kib_are_joined_and_others_stay_what_they_are(size: int) -> None:
    bodies, outbox = [bytes(size) for _ in range(3)], Outbox()
    for body in bodies:
        outbox.parts += (frame_message(body)[:5], body)
        outbox.size += 5 + len(body)
    outbox.pull(10)
    kept = [any(part is body for part in outbox.parts) for body in bodies]
    assert kept == [size >= 16_384] * 3
    assert len(outbox.parts) == (1 if size < 16_384 else 6)


@pytest.mark.parametrize("small", [(), (0,), (10, 0, 300)])
def test_small_messages_are_joined_as_far_as_a_large_one(small: tuple[int, ...]) -> None:
    bodies, outbox = [bytes(size) for size in (*small, 100_000, 7)], Outbox()
    for body in bodies:
        outbox.parts += (frame_message(body)[:5], body)
        outbox.size += 5 + len(body)
    outbox.pull(3)
    assert len(outbox.parts) == 4 + bool(small)
    assert outbox.parts[-3] is bodies[-2]


@pytest.mark.parametrize(("second", "joined"), [(16_374, True), (16_375, False)])
def test_a_large_message_is_joined_where_it_is_at_most_half_of_what_may_be_joined(second: int, joined: bool) -> None:
    """To look for it would cost more than to copy it."""
    bodies, outbox = [bytes(16_384), bytes(second)], Outbox()
    for body in bodies:
        outbox.parts += (frame_message(body)[:5], body)
        outbox.size += 5 + len(body)
    outbox.pull(3)
    assert any(part is bodies[0] for part in outbox.parts) is not joined


def test_what_fits_exactly_leaves_as_quickly_as_what_fits() -> None:
    counts = []
    for more in (0, 1):
        outbox = Outbox()
        for _ in range(20):
            outbox.parts += (frame_message(bytes(7))[:5], bytes(7))
            outbox.size += 12
        counts.append(calls_made(functools.partial(outbox.pull, 240 + more)))
        assert outbox.size == 0
    assert counts[0] == counts[1]


def test_a_block_that_was_read_is_not_read_again() -> None:
    """The same object, whatever objects say for what it is read."""
    asked, config = "proto", ClientConfig()
    answer = block(*RESPONSE)
    first = read_response(answer, asked, config)
    assert isinstance(first, Response)
    assert read_response(answer, again(asked), config) is first
    assert read_response(answer, "json", config) is not first
    request = block(*REQUEST)
    made = read_request(request, ServerConfig(), full=None)
    assert isinstance(made, Request)
    assert read_request(request, ServerConfig(), full=None) is made


@pytest.mark.parametrize("more", [0, 1])
def test_what_small_blocks_say_is_remembered_and_large_ones_are_not(more: int) -> None:
    for fields, memory in ((RESPONSE, _judge_response), (REQUEST, _define)):
        rest = 1_024 - block(*fields).size - 32 - len(b"x")
        one = block(*fields, (b"x", b"v" * (rest + more)))
        assert one.size == 1_024 + more
        memory.cache_clear()
        if memory is _define:
            read_request(one, ServerConfig(), full=None)
        else:
            read_response(one, "proto", ClientConfig())
        assert memory.cache_info().currsize == 1 - more
        assert (one.known is None) is bool(more)


def test_messages_leave_as_plain_bytes_while_nothing_is_to_be_said_of_them() -> None:
    client, server = client_call(NotingLane()), server_call(NotingLane())
    server.on_headers(block(*REQUEST), end=False)
    for call in (client, server):
        call.send_message(b"abc")
        assert isinstance(call.pull(100, 0.0), Headers)
        assert call.pull(100, 0.0) == frame_message(b"abc")
        assert call.pull(100, 0.0) is None
        call.send_message(b"abc")
        first, last = call.pull(5, 0.0), call.pull(5, 0.0)
        assert isinstance(first, Data)
        assert (first.payload, first.end, first.more) == (frame_message(b"abc")[:5], False, True)
        assert last == b"abc"


def test_usual_ends_are_one_object() -> None:
    ends = []
    for status in (None, Status(StatusCode.OK), Status(StatusCode.OK, again(""))):
        call = server_call(NotingLane())
        call.on_headers(block(*REQUEST), end=True)
        call.finish() if status is None else call.finish(status)
        ends.append(call._final)
    assert ends[0] is not None
    assert all(one is ends[0] for one in ends)
