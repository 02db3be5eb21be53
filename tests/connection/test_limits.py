"""Whoever embeds the engine learns from a closed enum which limit was broken: each member of `Limit` is broken here."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest

from duplexcore import (
    AbuseLimits,
    CallEnded,
    CallRefused,
    ClientConfig,
    ConnectionClosed,
    ErrorCode,
    Limit,
    Origin,
    PeerWarning,
    ServerConfig,
    StatusCode,
    compression_named,
)
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from tests.support.bench import ClientBench, ServerBench, outcome, patient

REFUSED, ENDED = "call refused", "call ended"
#: What a breach does, where it does not end a single call: the error code of the GOAWAY.
CALM = ErrorCode.ENHANCE_YOUR_CALM


def server(**settings: Any) -> ServerBench:
    return ServerBench(patient(**settings))


def abused(**limits: Any) -> ServerBench:
    return ServerBench(patient(abuse=AbuseLimits(**limits)))


def later(bench: Any, seconds: float) -> Any:
    bench.now += seconds
    bench.engine.handle_timeout(bench.now)
    return bench


def with_call(bench: ServerBench, *chunks: bytes) -> ServerBench:
    bench.call(1)
    bench.give(*chunks)
    return bench


def fed(bench: ServerBench, *chunks: bytes) -> ServerBench:
    bench.give(*chunks)
    return bench


def a_long_message() -> ServerBench:
    return with_call(server(max_receive_message_size=10), raw.data(1, message(bytes(11))))


def a_message_that_unpacks_too_far() -> ServerBench:
    bench = server(max_receive_message_size=1_000)
    bench.give(bench.peer.request(1, "/a/b", ("grpc-encoding", "deflate")))
    bench.give(raw.data(1, message(zlib.compress(bytes(100_000)), flag=1)))
    return bench


def a_large_header_list() -> ServerBench:
    bench = server(max_header_list_size=500)
    return fed(bench, bench.peer.request(1, "/a/b", ("x", "y" * 500)))


def a_large_response() -> ClientBench:
    bench = ClientBench(ClientConfig(max_header_list_size=500))
    bench.call()
    bench.give(bench.peer.response(1, ("x", "y" * 500)))
    return bench


def one_call_too_many() -> ServerBench:
    bench = server(max_concurrent_calls=1)
    return fed(bench, bench.peer.request(1), bench.peer.request(3))


def a_hard_header_list() -> ServerBench:
    bench = server(max_header_list_size=500, hard_header_list_size=1_000)
    return fed(bench, bench.peer.request(1, "/a/b", ("x", "y" * 1_000)))


def a_large_table() -> ServerBench:
    bench = server(header_table_size=100)  # the bench's handshake has acknowledged it
    return fed(bench, raw.frame(raw.HEADERS, raw.EH, 1, b"\x3f\xe1\x1f" + bench.peer.block(raw.request_fields())))


def a_table_that_was_not_made_smaller() -> ServerBench:
    bench = server(header_table_size=100)
    return fed(bench, bench.peer.request(1, "/a/b", *((f"x-{at}", "y" * 20) for at in range(9))))


def table_size_updates() -> ServerBench:
    bench = server()
    return fed(bench, raw.frame(raw.HEADERS, raw.EH, 1, b"\x20\x20\x20" + bench.peer.block(raw.request_fields())))


def open_block(*continuations: bytes) -> bytes:
    parts = (raw.frame(raw.CONTINUATION, 0, 1, part) for part in continuations)
    return raw.frame(raw.HEADERS, 0, 1) + b"".join(parts)


def unread(*sizes: int) -> ServerBench:
    """Calls whose messages unpack to so much."""
    bench = abused(unread_bytes=10_000)
    streams = range(1, 2 * len(sizes), 2)
    packed = [message(compression_named("deflate").compress(bytes(size)), flag=1) for size in sizes]
    for stream in streams:
        bench.give(bench.peer.request(stream, "/a/b", ("grpc-encoding", "deflate")))
    return fed(bench, *(raw.data(stream, one) for stream, one in zip(streams, packed, strict=True)))


def unread_and_one_more() -> ServerBench:
    bench = unread(11_000)
    return fed(bench, bench.peer.request(9))


def resets(count: int) -> ServerBench:
    bench = abused(peer_resets=3)
    for stream in range(1, 2 * count, 2):
        bench.give(bench.peer.request(stream), raw.rst(stream))
    return bench


def broken_rules(count: int) -> ServerBench:
    bench = abused(own_resets=3)
    for stream in range(1, 2 * count, 2):
        bench.give(bench.peer.request(stream), raw.window_update(stream, 0))
    return bench


def interim_responses() -> ClientBench:
    bench = ClientBench(ClientConfig(abuse=AbuseLimits(interim_responses=3)))
    bench.call()
    bench.give(bench.peer.headers(1, [(":status", "100")]) * 4)
    return bench


def ping_strikes() -> ServerBench:
    return fed(ServerBench(ServerConfig()), raw.ping() * 4)


def silence() -> ServerBench:
    bench = later(ServerBench(ServerConfig(keepalive_time=100.0, keepalive_timeout=10.0, unused_timeout=1e9)), 100.0)
    bench.pull()
    return later(bench, 10.0)


def a_stalled_write() -> ServerBench:
    """The transport's to notice."""
    bench = server()
    bench.engine.transport_failed("the peer has read nothing for 60 s", 60.0, limit=Limit.WRITE_TIMEOUT)
    return bench


def drained(config: ServerConfig, seconds: float, *, used: bool = False) -> ServerBench:
    bench = ServerBench(config)
    if used:
        bench.call(1)
    later(bench, seconds)
    bench.pull()
    for _ in range(2):  # nobody answers the PING; and the calls of an old connection have had their grace
        later(bench, 1_000.0)
        bench.pull()
    return bench


#: Each limit: what breaks it, and what comes of that.
BREACHES: dict[str, tuple[Limit, Callable[[], Any], Any]] = {
    "message": (Limit.MAX_RECEIVE_MESSAGE_SIZE, a_long_message, ENDED),
    "unpacked message": (Limit.MAX_RECEIVE_MESSAGE_SIZE, a_message_that_unpacks_too_far, ENDED),
    "request": (Limit.MAX_HEADER_LIST_SIZE, a_large_header_list, REFUSED),
    "response": (Limit.MAX_HEADER_LIST_SIZE, a_large_response, ENDED),
    "stream window": (
        Limit.STREAM_WINDOW,
        lambda: with_call(server(stream_window=65_535), *[raw.data(1, bytes(16_384))] * 4),
        ENDED,
    ),
    "calls": (Limit.MAX_CONCURRENT_CALLS, one_call_too_many, REFUSED),
    "connection window": (
        Limit.CONNECTION_WINDOW,
        lambda: with_call(server(connection_window=65_535, max_frame_size=70_000), raw.data(1, bytes(65_536))),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "frame": (
        Limit.MAX_FRAME_SIZE,
        lambda: fed(server(), raw.frame(raw.DATA, 0, 1, bytes(16_385))),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "hard header list": (Limit.HARD_HEADER_LIST_SIZE, a_hard_header_list, CALM),
    "table": (Limit.HEADER_TABLE_SIZE, a_large_table, ErrorCode.COMPRESSION_ERROR),
    "table, as it was": (Limit.HEADER_TABLE_SIZE, a_table_that_was_not_made_smaller, ErrorCode.COMPRESSION_ERROR),
    "table updates": (Limit.TABLE_SIZE_UPDATES, table_size_updates, ErrorCode.COMPRESSION_ERROR),
    "compressed headers": (
        Limit.HEADER_BLOCK_RATIO,
        lambda: fed(abused(header_block_ratio=0.5), open_block(bytes(8_193))),
        CALM,
    ),
    "CONTINUATION": (
        Limit.CONTINUATION_FRAMES,
        lambda: fed(abused(continuation_frames=3), open_block(b"", b"", b"", b"")),
        CALM,
    ),
    "SETTINGS entries": (
        Limit.SETTINGS_ENTRIES,
        lambda: fed(abused(settings_entries=3), raw.settings([(9, 9)] * 4)),
        CALM,
    ),
    "acks": (Limit.CONTROL_FRAMES_CLOSE, lambda: fed(abused(control_frames_close=3), raw.ping() * 3), CALM),
    "unread bytes": (Limit.UNREAD_BYTES, lambda: unread(7_000, 7_000, 7_000), CALM),
    "call while much is unread": (Limit.UNREAD_BYTES, unread_and_one_more, REFUSED),
    "SETTINGS": (Limit.SETTINGS_FRAMES, lambda: fed(abused(settings_frames=3), raw.settings() * 4), CALM),
    "PRIORITY": (Limit.PRIORITY_FRAMES, lambda: fed(abused(priority_frames=3), raw.priority(1) * 4), CALM),
    "rapid reset": (Limit.PEER_RESETS, lambda: resets(4), CALM),
    "made you reset": (Limit.OWN_RESETS, lambda: broken_rules(4), CALM),
    "empty DATA": (
        Limit.EMPTY_DATA_IN_A_ROW,
        lambda: with_call(abused(empty_data_in_a_row=3), raw.data(1) * 4),
        CALM,
    ),
    "empty DATA, all": (
        Limit.EMPTY_DATA_ON_CONNECTION,
        lambda: with_call(abused(empty_data_on_connection=3), raw.data(1) * 4),
        CALM,
    ),
    "1xx": (Limit.INTERIM_RESPONSES, interim_responses, CALM),
    "pings": (Limit.MAX_PING_STRIKES, ping_strikes, CALM),
    "no preface": (
        Limit.HANDSHAKE_TIMEOUT,
        lambda: later(ServerBench(patient(handshake_timeout=5.0), greet=False), 5.0),
        ErrorCode.NO_ERROR,
    ),
    "half a preface": (
        Limit.HANDSHAKE_TIMEOUT,
        lambda: later(fed(ServerBench(patient(handshake_timeout=5.0), greet=False), raw.PREFACE[:11]), 5.0),
        ErrorCode.NO_ERROR,
    ),
    "no ack": (
        Limit.SETTINGS_ACK_TIMEOUT,
        lambda: later(
            fed(ServerBench(patient(settings_ack_timeout=90.0), greet=False), raw.PREFACE + raw.settings()), 90.0
        ),
        ErrorCode.SETTINGS_TIMEOUT,
    ),
    "frame header": (Limit.FRAME_TIMEOUT, lambda: later(fed(server(), raw.ping()[:5]), 60.0), CALM),
    "frame body": (Limit.FRAME_TIMEOUT, lambda: later(fed(server(), raw.ping()[:12]), 60.0), CALM),
    "header block": (Limit.HEADER_BLOCK_TIMEOUT, lambda: later(fed(server(), open_block(b"", b"")), 30.0), CALM),
    "stalled write": (Limit.WRITE_TIMEOUT, a_stalled_write, ErrorCode.NO_ERROR),
    "silence": (Limit.KEEPALIVE_TIMEOUT, silence, ErrorCode.NO_ERROR),
    "never used": (Limit.UNUSED_TIMEOUT, lambda: drained(ServerConfig(), 120.0), ErrorCode.NO_ERROR),
    "idle": (Limit.MAX_CONNECTION_IDLE, lambda: drained(ServerConfig(max_connection_idle=60.0), 60.0), 0),
    "old": (
        Limit.MAX_CONNECTION_AGE,
        lambda: drained(ServerConfig(max_connection_age=60.0, max_connection_age_grace=5.0), 60.0, used=True),
        ErrorCode.NO_ERROR,
    ),
}


@pytest.mark.req("SEC-1", "SEC-2", "SEC-3", "SEC-4", "SEC-5", "SEC-6", "SEC-7", "SEC-8", "SEC-9", "SEC-10", "SEC-11")
@pytest.mark.parametrize(("limit", "breach", "outcome_of"), BREACHES.values(), ids=BREACHES)
def test_the_event_names_the_limit(limit: Limit, breach: Callable[[], Any], outcome_of: Any) -> None:
    bench = breach()
    closed = bench.closed()
    calls = [event.call for event in bench.events if hasattr(event, "call")]
    if outcome_of == REFUSED:
        refused = [event for event in bench.events if isinstance(event, CallRefused)]
        assert [event.limit for event in refused] == [limit]
        assert refused[0].status.code in (StatusCode.RESOURCE_EXHAUSTED, StatusCode.UNAVAILABLE)
        assert closed is None
    elif outcome_of == ENDED:
        assert {outcome(call).limit for call in calls} == {limit}
        assert closed is None
    else:
        assert isinstance(closed, ConnectionClosed)
        assert (closed.limit, closed.code) == (limit, outcome_of)
        assert closed.reason
        for call in calls:  # they went down with it, or ended before
            assert call.ended is not None
            assert call.ended.limit in (limit, None)


def test_every_limit_is_broken_above() -> None:
    assert {limit for limit, _, _ in BREACHES.values()} == set(Limit)


@pytest.mark.parametrize("limit", Limit)
def test_every_limit_is_a_setting_with_a_default(limit: Limit) -> None:
    assert limit.name == limit.value.removeprefix("abuse.").upper()
    for config in (ServerConfig(), ClientConfig()):
        try:
            value = attrgetter(limit.value)(config)
        except AttributeError:
            continue
        assert value > 0
        return
    pytest.fail("no configuration has it")


def test_what_is_no_limit_says_so() -> None:
    """Other ends have none: a reset, a fault in the headers, the end of the transport."""
    bench = server()
    call = bench.call(1)
    bench.give(raw.rst(1))
    assert outcome(call) == CallEnded(outcome(call).status, origin=Origin.PEER, limit=None)
    bench.give(raw.data(99, b"never opened"))
    closed = bench.closed()
    assert closed is not None
    assert (closed.code, closed.limit) == (ErrorCode.PROTOCOL_ERROR, None)


@pytest.mark.req("SEC-6")
@pytest.mark.parametrize("size", [0, 100, 4_096, 65_536])
@pytest.mark.parametrize("bench_class", [ClientBench, ServerBench])
def test_the_table_can_be_sized(bench_class: Any, size: int) -> None:
    """It is told to the peer, ours never grows above it, and the two sides stay in step."""
    config: Any = ClientConfig if bench_class is ClientBench else patient
    bench = bench_class(config(header_table_size=size), settings={raw.TABLE_SIZE: 2**20})
    told = bench.hello[0].values.get(raw.TABLE_SIZE, 4_096)
    assert told == size
    bench.peer.decoder.max_allowed_table_size = 2**20
    bench.peer.encoder.header_table_size = size  # as the acknowledgement obliges it to
    for stream in (1, 3, 5):
        fields = [(f"x-{at}", "y" * 50) for at in range(40)]
        if isinstance(bench, ServerBench):
            bench.give(bench.peer.request(stream, "/a/b", *fields))
            (call,) = bench.calls()
            assert list(call.metadata) == fields
            call.finish(trailing_metadata=fields)
        else:
            asked = bench.engine.start_call("/a/b", fields)
            bench.pull()
            bench.give(bench.peer.trailers_only(stream, 0, *fields))
            assert list(outcome(asked).trailing_metadata) == fields
        bench.pull()  # decodes every block
    assert bench.peer.decoder.header_table.maxsize <= size


@pytest.mark.req("HDR-7")
def test_one_warning_for_requests_without_te() -> None:
    bench = server()
    lacking = [field for field in raw.request_fields() if field[0] != "te"]
    bench.give(bench.peer.request(1))
    assert not any(isinstance(event, PeerWarning) for event in bench.drain())
    for stream in (3, 5, 7):
        bench.give(bench.peer.headers(stream, lacking))
    assert len(bench.calls()) == 3
    (warning,) = [event for event in bench.events if isinstance(event, PeerWarning)]
    assert "te: trailers" in warning.text
