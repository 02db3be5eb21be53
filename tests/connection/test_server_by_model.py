"""How a server's connection comes to its end while calls come and go, against an account in words (GOAW)."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from duplexcore import ConnectionClosed, ConnectionDraining, Origin, ServerConfig, Status, StatusCode
from duplexcore.testing import raw
from tests.support.bench import ServerBench, outcome, patient

HTTP2: st.SearchStrategy[Any] = st.sampled_from(("native", "h2"))
MOST = 2**31 - 1


@pytest.mark.req("GOAW-3")
@given(
    st.sampled_from((inf, 3.0, 7.0)),
    st.sampled_from((inf, 5.0)),
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(("open", "end", "reset", "none"))), max_size=12),
    HTTP2,
)
@settings(max_examples=80, database=None)
def test_it_leaves_after_a_time_without_calls(
    idle: float, unused: float, steps: list[tuple[int, str]], http2: Any
) -> None:
    """From the end of the last stream, or from the beginning; ``unused`` only before the first call."""
    config = ServerConfig(keepalive_time=inf, unused_timeout=unused, max_connection_idle=idle, http2=http2)
    bench = ServerBench(config)
    calls: dict[int, Any] = {}
    opened, since = 0, 0.0
    for wait, what in steps:
        bench.now += wait
        bench.engine.handle_timeout(bench.now)
        frames = [frame.brief for frame in bench.pull()]
        due = min(since + idle, inf if opened else unused) if not calls else inf
        if bench.now >= due:
            assert [frame.split()[0] for frame in frames] == ["GOAWAY", "PING"]
            return
        assert frames == []
        assert bench.engine.next_timeout() == (None if due == inf else due)
        if what == "open":
            stream, opened = 2 * opened + 1, opened + 1
            bench.give(bench.peer.request(stream, end=True))
            (calls[stream],) = bench.calls()
        elif what != "none" and calls:
            stream, call = calls.popitem()
            if what == "reset":
                bench.give(raw.rst(stream))
            call.finish()
            bench.pull()
            since = bench.now
        assert bench.engine.open_calls == len(calls)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("open", "open", "end", "ack", "other ack", "leave", "peer leaves")), st.just(0)),
        st.tuples(st.sampled_from(("wait", "leave by", "leave at once")), st.integers(1, 6)),
    ),
    max_size=12,
)


@pytest.mark.req("GOAW-1", "GOAW-2", "GOAW-5", "DUP-30")
@given(STEPS, HTTP2)
@example([("open", 0), ("peer leaves", 0), ("end", 0)], "native")
@example([("peer leaves", 0)], "h2")
@example([("open", 0), ("leave by", 5), ("leave by", 2), ("wait", 3)], "native")
@example([("open", 0), ("leave by", 2), ("leave by", 5), ("wait", 3)], "native")
@settings(max_examples=80, database=None)
def test_it_leaves_when_all_is_done(steps: list[tuple[str, int]], http2: Any) -> None:
    bench = ServerBench(patient(http2=http2, drain_ping_timeout=4.0))
    calls: dict[int, Any] = {}
    opened, refused_above, asked = 0, MOST, b""
    phase, patience, deadline, told = "serving", inf, inf, False
    for what, number in steps:
        due: list[str] = []
        match what:
            case "open":
                stream, opened = 2 * opened + 1, opened + 1
                bench.give(bench.peer.request(stream))
                if stream <= refused_above:
                    (calls[stream],) = bench.calls()
                assert bench.calls() == []
            case "end" if calls:
                stream, call = calls.popitem()
                call.finish(Status(StatusCode.ABORTED))
                due += [f"HEADERS {stream} ES", f"RST {stream} NO_ERROR"]
            case "leave" | "leave by":
                bench.engine.shutdown(deadline=bench.now + number if number else None)
                if phase == "serving":
                    phase, patience = "asked", bench.now + 4
                    due += ["GOAWAY", "PING"]
                if number:
                    deadline = min(deadline, bench.now + number)
            case "leave at once":
                bench.engine.shutdown(deadline=bench.now)
                deadline = bench.now
            case "peer leaves":
                bench.give(raw.goaway(0))
                assert sum(isinstance(event, ConnectionDraining) for event in bench.drain()) == (not told)
                told = True
            case "ack" | "other ack" if phase == "asked":
                payload = asked if what == "ack" else b"8 octets"
                bench.give(raw.frame(raw.PING, raw.ACK, 0, payload))
                if what == "ack":
                    phase, due = "final", ["GOAWAY"]
            case "wait":
                bench.now += number
            case _:
                continue
        bench.engine.handle_timeout(bench.now)
        if bench.now >= deadline:
            closed = bench.closed()
            assert closed is not None
            assert closed.origin is Origin.LOCAL
            assert all(outcome(call).status.code is StatusCode.CANCELLED for call in calls.values())
            last = [frame for frame in bench.pull() if frame.type == raw.GOAWAY][-1]
            assert last.last_id == min(max(0, 2 * opened - 1), refused_above)
            return
        if phase == "asked" and bench.now >= patience:
            phase, due = "final", [*due, "GOAWAY"]
        frames = bench.pull()
        if phase == "final" and refused_above == MOST:
            refused_above = max(0, 2 * opened - 1)
        done = not calls and (phase == "final" or (told and phase == "serving"))
        if done and phase == "serving":
            due.append("GOAWAY")
        assert sorted(one.brief if one.stream else one.brief.split()[0] for one in frames) == sorted(due)
        for frame in frames:
            if frame.type == raw.GOAWAY:
                assert frame.last_id == (MOST if phase == "asked" else max(0, 2 * opened - 1))
            elif frame.type == raw.PING:
                asked = frame.payload
        closed = bench.closed()
        assert (closed is not None) is done
        if closed is not None:
            assert closed == ConnectionClosed(0, "the connection has drained", closed.origin)
            assert closed.origin is (Origin.LOCAL if phase == "final" else Origin.PEER)
            return
