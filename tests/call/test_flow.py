"""Buffers and credit of one call: when it is writable, when it is readable, what is given back."""

from typing import Any

import pytest

from duplexcore import ClientConfig, HalfClosed, InitialMetadata, LocalProtocolError, Message, MessageTooLargeError
from duplexcore.call.framing import PREFIX, SMALL, frame_message
from duplexcore.call.inbox import AHEAD
from duplexcore.call.lane import Block, Data, Headers
from duplexcore.call.outbox import LARGE, Outbox
from tests.support.calls import REQUEST, Joined, NotingLane, Owner, client_call, history, server_call

SIDES = pytest.mark.parametrize("side", ["client", "server"])
KIB = 1024


def payload_of(output: Data | bytes) -> bytes:
    return output if isinstance(output, bytes) else bytes(output.payload)


def opened(side: str, config: ClientConfig | None = None) -> tuple[Any, NotingLane, Owner]:
    """A call of that side which may send and receive."""
    lane, owner = NotingLane(), Owner()
    if side == "client":
        call = client_call(lane, owner, config)
        assert isinstance(call.pull(0, 0.0), Headers)
        call.on_headers(Block.of([(b":status", b"200"), (b"content-type", b"application/grpc")]), False)
        assert isinstance(call.next_event(), InitialMetadata)
        assert call.next_event() is None
        owner.notes.clear()
        return call, lane, owner
    server = server_call(lane, owner)
    server.on_headers(Block.of(REQUEST), False)
    server.send_initial_metadata()
    assert isinstance(server.pull(0, 0.0), Headers)
    assert server.next_event() is None
    owner.notes.clear()
    return server, lane, owner


@pytest.mark.req("FLOW-10")
@SIDES
def test_a_call_is_writable_below_the_mark_and_a_message_offered_then_is_taken_whole(side: str) -> None:
    call, _, owner = opened(side)
    assert call.send_message(bytes(64 * KIB - 6))
    assert call.writable  # one byte is missing
    assert call.send_message(bytes(1024 * KIB))
    assert not call.writable
    before = call.fingerprint_state()
    with pytest.raises(LocalProtocolError, match="wait for CallWritable"):
        call.send_message(b"")
    assert call.offer_message(b"") is False
    assert call.fingerprint_state() == before
    queued = 64 * KIB - 1 + 1024 * KIB + 5
    while not call.writable:
        assert owner.notes == []
        output = call.pull(16_384, 0.0)
        assert isinstance(output, Data)
        queued -= len(output.payload)
    assert queued < 64 * KIB
    assert owner.notes == ["writable"]  # once, as the mark is passed
    assert call.offer_message(b"") is True
    if side == "client":
        call.half_close()
    else:
        call.finish()
    assert call.offer_message(b"") is False


@pytest.mark.req("FRM-5")
@SIDES
def test_a_message_above_the_limit_is_refused_here(side: str) -> None:
    call, lane, _ = opened(side)
    call.config = ClientConfig(max_send_message_size=10)
    before = call.fingerprint_state()
    with pytest.raises(MessageTooLargeError, match="max_send_message_size") as raised:
        call.send_message(bytes(11))
    assert raised.value.status.code.name == "RESOURCE_EXHAUSTED"
    assert call.fingerprint_state() == before
    assert lane.wanted == int(side == "server")
    assert call.send_message(bytes(10))


@pytest.mark.req("FRM-5")
@SIDES
@pytest.mark.parametrize("payload", ["text", 7, None, memoryview(b"abcd")[::2]])
def test_what_is_no_bytes_changes_nothing(side: str, payload: object) -> None:
    """P29."""
    call, lane, _ = opened(side)
    before, wanted = call.fingerprint_state(), lane.wanted
    with pytest.raises((TypeError, BufferError, AttributeError)):
        call.send_message(payload)
    assert (call.fingerprint_state(), lane.wanted) == (before, wanted)


@pytest.mark.req("FLOW-8", "FRM-10")
def test_an_empty_end_needs_no_room_and_the_last_data_carries_it() -> None:
    call, _, _ = opened("client")
    call.half_close()
    assert call.pull(0, 0.0) == Data(b"", end=True)
    call, _, _ = opened("client")
    call.send_message(b"abc")
    call.half_close()
    assert call.pull(-5, 0.0) is None
    assert call.pull(6, 0.0) == Data(b"\0\0\0\0\3a")
    assert call.pull(0, 0.0) is None
    assert call.pull(6, 0.0) == Data(b"bc", end=True)
    call, _, _ = opened("client")
    call.send_message(b"")
    assert call.pull(100, 0.0) == b"\0\0\0\0\0"
    call.half_close()
    assert call.pull(100, 0.0) == Data(b"", end=True)


@pytest.mark.req("FLOW-8")
def test_trailers_wait_for_the_data_before_them_and_need_no_room() -> None:
    call, _, _ = opened("server")
    call.send_message(b"abc")
    call.finish()
    assert call.pull(0, 0.0) is None
    assert call.pull(100, 0.0) == Data(b"\0\0\0\0\3abc")
    assert call.pull(-1, 0.0) == Headers([(b"grpc-status", b"0")], end=True)


@pytest.mark.req("FLOW-11", "FRM-2")
def test_small_messages_share_a_frame() -> None:
    call, _, _ = opened("client")
    for text in (b"a", b"", b"bc"):
        call.send_message(text)
    assert call.pull(100, 0.0) == frame_message(b"a") + frame_message(b"") + frame_message(b"bc")


@pytest.mark.req("RETRY-3")
def test_large_messages_that_are_said_once_more_come_as_they_were() -> None:
    outbox, said = Outbox(), [frame_message(bytes(size)) for size in (7, LARGE, 0, 2 * LARGE)]
    outbox.refill(said)
    outbox.parts += (frame_message(b"x" * LARGE)[:PREFIX], b"x" * LARGE)
    outbox.size += PREFIX + LARGE
    assert bytes(outbox.pull(10**6)) == b"".join((*said, frame_message(b"x" * LARGE)))
    assert (outbox.parts, outbox.size) == ([], 0)


@pytest.mark.req("FLOW-3")
@SIDES
@pytest.mark.parametrize("how", ["take_message", "next_event"])
def test_credit_is_given_back_as_messages_are_taken(side: str, how: str) -> None:
    call, lane, _ = opened(side)
    messages = [bytes(100), b"", b"abc", bytes(SMALL - 200), bytes(3), bytes(5000), b"x"]
    call.on_data(b"".join(map(frame_message, messages)))
    assert lane.consumed_bytes == 0
    taken = 0
    for message in messages:
        assert getattr(call, how)() is not None
        taken += PREFIX + len(message)
        assert taken - SMALL < lane.consumed_bytes <= taken  # small ones together
    assert lane.consumed_bytes == taken  # all, once nothing waits
    assert getattr(call, how)() is None
    assert lane.consumed_bytes == taken


@pytest.mark.req("FLOW-4")
@SIDES
def test_while_a_reader_waits_an_unfinished_message_is_credited_ahead_and_once(side: str) -> None:
    call, lane, owner = opened(side)  # whose reader has found nothing
    framed = frame_message(bytes(1000)) + frame_message(b"next")
    call.on_data(framed[:3])
    assert lane.consumed_bytes == 3  # what it will be is not known yet
    call.on_data(framed[3:500])
    assert lane.consumed_bytes == 1005
    assert owner.notes == []
    call.on_data(framed[500:1008])
    assert lane.consumed_bytes == 1005
    assert owner.notes == ["readable"]
    assert call.take_message() == bytes(1000)
    assert lane.consumed_bytes == 1005
    call.on_data(framed[1008:1010])
    assert lane.consumed_bytes == 1005  # nobody waits
    assert call.take_message() is None
    assert lane.consumed_bytes == len(framed)
    call.on_data(framed[1010:])
    assert call.take_message() == b"next"
    assert lane.consumed_bytes == len(framed)


@pytest.mark.req("FLOW-4")
def test_who_has_never_asked_is_told_of_an_unfinished_message() -> None:
    """Otherwise a first message above the window would wait for a reader that waits for it."""
    lane, owner = NotingLane(), Owner()
    call = server_call(lane, owner)
    call.on_headers(Block.of(REQUEST), False)
    call.on_data(b"\0\0\1\0\0")
    assert owner.notes == ["started", "readable"]
    assert call.take_message() is None
    assert lane.consumed_bytes == 5 + 65_536


@pytest.mark.req("FLOW-4")
@SIDES
def test_credit_is_no_more_than_a_mebibyte_ahead_and_no_less_than_half_of_it(side: str) -> None:
    call, lane, _ = opened(side)
    framed = frame_message(bytes(3 * AHEAD))
    for at in range(0, len(framed), 100_000):
        call.on_data(framed[at : at + 100_000])
        came = min(at + 100_000, len(framed))
        assert min(came + AHEAD // 2, len(framed)) <= lane.consumed_bytes <= min(came + AHEAD, len(framed))
    assert call.take_message() == framed[PREFIX:]
    assert lane.consumed_bytes == len(framed)


@pytest.mark.req("FLOW-11", "FRM-2")
@SIDES
@pytest.mark.parametrize("room", [1, 4, 5, 6, 1000, 16_384, 40_000, 10**6])
def test_large_and_small_messages_leave_in_order_however_much_is_pulled(side: str, room: int) -> None:
    """Also those that were offered while another was framed in part; rooms that are tiny first, then larger."""
    call, _, _ = opened(side)
    sizes = [0, 3, LARGE - 1, LARGE, 7, LARGE + 1, 0, 2 * LARGE, LARGE, 5]
    expected = b"".join(frame_message(bytes((size % 251,)) * size) for size in sizes)
    got = b""
    for size in sizes:
        while not call.writable:
            got += payload_of(call.pull(room, 0.0))
        assert call.send_message(bytes((size % 251,)) * size)
    while (output := call.pull(room if len(got) < 100 else max(room, 997), 0.0)) is not None:
        assert 0 < len(payload_of(output)) <= max(room, 997)
        got += payload_of(output)
    assert got == expected


@pytest.mark.req("FLOW-4", "DUP-33")
def test_a_single_response_above_the_window_needs_no_reader() -> None:
    """The client still sends: it would wait for a server that has answered already, and that waits for its reader."""
    joined = Joined(window=100, single_response=True)
    client, server = joined.run().client, joined.server
    server.send_message(bytes(1000))
    server.finish()
    client.send_message(bytes(1000))
    for _ in range(50):
        joined.run()
    assert client.ended is not None
    assert client.ended.status.ok
    assert client.take_message() == bytes(1000)


@pytest.mark.req("FLOW-4")
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_message_larger_than_the_window_comes_through(direction: str, single: bool) -> None:
    joined = Joined(window=100, single_response=single)
    client, server = joined.run().client, joined.server
    if single:
        server.expect_single_request()
    sender, receiver = (client, server) if direction == "up" else (server, client)
    if direction == "up":
        client.send_message(bytes(1000))
        client.half_close()
    else:
        server.send_message(bytes(1000))
        server.finish()
    taken = None
    for _ in range(50):
        joined.run()
        taken = taken or receiver.take_message()
    assert taken == bytes(1000)
    assert not sender.writable


@pytest.mark.req("FLOW-3", "FLOW-10", "D-4", "D-23", "D-27")
def test_without_a_reader_the_sender_stops_and_memory_stays_bounded() -> None:
    joined = Joined(window=1000)
    client, server = joined.run().client, joined.server
    sent = 0
    while client.writable:
        client.send_message(bytes(500))
        joined.run()
        sent += 1
    assert joined.client_owner.notes == []
    assert sum(505 for _ in range(sent)) < 64 * KIB + 505 + 1000
    got = 0
    while server.take_message() is not None:
        got += 1
        joined.run()
    assert got == sent
    assert joined.client_owner.notes == ["writable"]


@SIDES
def test_readable_is_said_again_only_after_the_queue_was_read_empty(side: str) -> None:
    call, _, owner = opened(side)
    call.on_data(frame_message(b"a"))
    call.on_data(frame_message(b"b"))
    assert owner.notes == ["readable"]
    assert call.next_event() == Message(b"a")
    call.on_data(frame_message(b"c"))
    assert owner.notes == ["readable"]
    assert [call.take_message() for _ in range(3)] == [b"b", b"c", None]
    call.on_data(frame_message(b"d"))
    assert owner.notes == ["readable", "readable"]


def test_taking_messages_passes_over_initial_metadata_and_stops_before_other_events() -> None:
    lane = NotingLane()
    client = client_call(lane)
    client.pull(0, 0.0)
    client.on_headers(Block.of([(b":status", b"200"), (b"content-type", b"application/grpc")]), False)
    client.on_data(frame_message(b"a"))
    client.on_headers(Block.of([(b"grpc-status", b"0")]), True)
    assert [client.take_message() for _ in range(2)] == [b"a", None]
    assert history(client) == "OK"
    server = server_call(lane)
    server.on_headers(Block.of(REQUEST), False)
    server.on_data(frame_message(b"a"))
    server.on_end()
    assert [server.take_message() for _ in range(2)] == [b"a", None]
    assert server.next_event() == HalfClosed()


@pytest.mark.req("D-32", "DUP-33", "D-8a")
@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("read", [False, True])
def test_the_end_is_announced_also_to_who_does_not_read(side: str, read: bool) -> None:
    """A sender that is parked, or whoever waits for the end alone, hears of it though no one takes the messages."""
    call, _, owner = opened(side)
    call.on_data(frame_message(b"unread"))
    if read:
        call.take_message()
    while call.writable:
        call.send_message(bytes(30 * KIB))
    owner.notes.clear()
    if side == "client":
        call.on_headers(Block.of([(b"grpc-status", b"0")]), True)
    else:
        call.on_reset(8, 0)
    assert owner.notes == ["readable"]
    assert call.ended is not None
    assert not call.writable
    assert call.send_message(b"late") is False
