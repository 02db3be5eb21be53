"""How long a connection without calls lives, for any limits and moments at which it is looked at (GOAW-1, GOAW-3)."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ConnectionClosed, Origin, ServerConfig, ServerConnection
from duplexcore.config import AbuseLimits, Limit
from duplexcore.connection.timers import TimerKind
from duplexcore.testing import raw

SPANS = st.one_of(st.just(inf), st.integers(1, 12).map(float))


@given(
    SPANS,
    SPANS,
    SPANS,
    st.integers(1, 5).map(float),
    st.integers(0, 10),
    st.lists(st.integers(0, 4), max_size=20),
    st.booleans(),
)
@settings(max_examples=150, database=None)
def test_a_connection_without_calls_ends_in_time(
    idle: float, age: float, unused: float, patience: float, jitter: int, waits: list[int], answers: bool
) -> None:
    config = ServerConfig(
        max_connection_idle=idle,
        max_connection_age=age,
        unused_timeout=unused,
        drain_ping_timeout=patience,
        handshake_timeout=1_000,
        keepalive_time=inf,
    )
    server = ServerConnection(config, now=0.0, jitter=jitter / 10)
    peer = raw.RawPeer(client=True)
    server.receive_data(peer.hello(), 0.0)
    peer.read(server.data_to_send(0.0))
    aged = age * (1 + jitter / 100)
    begins = min(idle, aged, unused)
    now, began, ends = 0.0, None, None
    for wait in [*waits, 3, 3, 3, 3, 3, 3]:
        now += wait
        server.handle_timeout(now)
        frames = peer.read(server.data_to_send(now))
        kinds = [frame.type for frame in frames]
        if began is None and now >= begins:
            began = now
            assert kinds == [raw.GOAWAY, raw.PING]
            assert frames[0].last_id == 2**31 - 1
            if answers:
                server.receive_data(raw.frame(raw.PING, 1, 0, frames[1].payload), now)
                kinds = [frame.type for frame in peer.read(server.data_to_send(now))]
                assert kinds == [raw.GOAWAY]
                ends = now
        elif began is not None and ends is None and now >= began + patience:
            assert kinds == [raw.GOAWAY]
            assert frames[0].last_id == 0
            ends = now
        else:
            assert kinds == []
        assert server.is_closed is (ends is not None)
        if ends is None:
            timeout = server.next_timeout()
            due = [began + patience] if began is not None else [begins]
            assert timeout is None or timeout <= due[0] or due[0] == inf
            assert timeout is None or timeout > now
            assert (timeout is not None) or due == [inf]
            kinds_due = {TimerKind.IDLE: idle, TimerKind.AGE: aged, TimerKind.UNUSED: unused}
            first = {kind for kind, when in kinds_due.items() if when == begins}
            assert timeout is None or began is not None or server.timeout_reason in first
            assert timeout is not None or server.timeout_reason is None
    if ends is not None:
        closed = [event for event in iter(server.next_event, None) if isinstance(event, ConnectionClosed)]
        limits = {Limit.MAX_CONNECTION_IDLE: idle, Limit.MAX_CONNECTION_AGE: aged, Limit.UNUSED_TIMEOUT: unused}
        assert [event.origin for event in closed] == [Origin.LOCAL]
        assert closed[0].limit is not None
        assert limits[closed[0].limit] == pytest.approx(begins)


@pytest.mark.req("SEC-10")
@given(
    st.sampled_from(("headers", "continuation", "ping", "data")),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
    st.tuples(st.integers(1, 13), st.integers(1, 13)),
    st.sampled_from((5, 9)),
    st.sampled_from((6, 8)),
)
@settings(max_examples=100, database=None)
def test_what_has_begun_has_a_time_to_end(
    what: str, waits: list[int], sizes: tuple[int, int], block_timeout: int, frame_timeout: int
) -> None:
    """From its first byte, whatever comes of it later; a header block as a whole."""
    abuse = AbuseLimits(header_block_timeout=block_timeout, frame_timeout=frame_timeout)
    config = ServerConfig(handshake_timeout=1_000, keepalive_time=inf, unused_timeout=inf, abuse=abuse)
    server, peer = ServerConnection(config, now=0.0), raw.RawPeer(client=True)
    now = float(waits[0])
    server.receive_data(peer.hello(), now)
    peer.read(server.data_to_send(now))
    block = peer.block(raw.request_fields())
    frames = {
        "headers": raw.frame(raw.HEADERS, raw.EH, 1, block),
        "continuation": raw.frame(raw.HEADERS, 0, 1, block[:1]) + raw.frame(raw.CONTINUATION, raw.EH, 1, block[1:]),
        "ping": raw.ping(),
        "data": raw.data(1, bytes(20)),
    }
    data = frames[what]
    now += waits[1]
    begun, come, due, in_block = now, 0, now, False
    for size, wait in zip(sizes, waits[2:], strict=True):
        server.receive_data(data[come : come + size], now)
        come += size
        if come >= len(data):
            assert server.next_timeout() is None or server.timeout_reason is not TimerKind.UNFINISHED
            return
        in_block = what in ("headers", "continuation") and come > 3
        due = begun + (block_timeout if in_block else frame_timeout)
        assert (server.next_timeout(), server.timeout_reason) == (due, TimerKind.UNFINISHED)
        now = min(now + wait, due - 0.5)
        server.handle_timeout(now)
        assert not server.is_closed
    server.handle_timeout(due)
    assert server.is_closed
    closed = [event for event in iter(server.next_event, None) if isinstance(event, ConnectionClosed)]
    assert [event.limit for event in closed] == [Limit.HEADER_BLOCK_TIMEOUT if in_block else Limit.FRAME_TIMEOUT]
