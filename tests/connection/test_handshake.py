"""How a connection begins (CONN-1 to CONN-3), and what is said when it does not."""

from typing import Any

import pytest

from duplexcore import (
    ClientConfig,
    ConnectionReady,
    ConnectionState,
    Origin,
    StatusCode,
    TimerKind,
)
from duplexcore.testing import raw
from tests.support.bench import ClientBench, ServerBench, outcome, patient

SIDES = [ClientBench, ServerBench]


@pytest.mark.req("CONN-2")
def test_client_says_preface_and_settings_at_once_and_headers_only_when_ready() -> None:
    bench = ClientBench(greet=False)
    assert bench.hello[0].brief == "SETTINGS"
    assert not bench.hello[0].flags
    call = bench.engine.start_call("/a/b")
    call.send_message(b"x")
    call.half_close()
    assert bench.briefs() == []
    states = [bench.engine.state]
    assert bench.drain() == []
    assert bench.feed(raw.settings()) == ["SETTINGS ACK", "HEADERS 1", "DATA 1 6 ES"]
    assert bench.drain() == [ConnectionReady()]
    assert [*states, bench.engine.state] == [ConnectionState.HANDSHAKING, ConnectionState.READY]
    assert bench.feed(raw.settings()) == ["SETTINGS ACK"]
    assert bench.drain() == []  # ready once


@pytest.mark.req("CONN-1", "CONN-2", "CONN-3")
def test_plaintext_is_http2_with_prior_knowledge() -> None:
    """The preface stands at the very beginning: no Upgrade."""
    engine = ClientBench(greet=False).engine
    assert type(engine)(now=0.0).data_to_send(0.0).startswith(raw.PREFACE)


@pytest.mark.req("CONN-2")
@pytest.mark.parametrize(
    "first",
    [
        raw.settings_ack(),
        raw.ping(),
        raw.goaway(0),
        raw.data(1, b"x"),
        raw.frame(raw.HEADERS, raw.EH, 1, b"\x88"),
        raw.frame(0x77, 0, 0, b"x"),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x03\0\2\2\x46\0\0",
        raw.PREFACE,
    ],
)
def test_first_frame_of_a_server_is_settings(first: bytes) -> None:
    bench = ClientBench(greet=False)
    call = bench.engine.start_call("/a/b")
    assert bench.feed(first + raw.settings()) == ["GOAWAY 0 PROTOCOL_ERROR"]
    closed = bench.closed()
    assert closed is not None
    assert closed.origin is Origin.LIBRARY
    if first.startswith(b"HTTP"):
        assert "HTTP/1.1" in closed.reason
    if first.startswith(b"\x15"):
        assert "TLS" in closed.reason
    assert (outcome(call).status.code, outcome(call).unprocessed) == (StatusCode.UNAVAILABLE, True)


@pytest.mark.req("CONN-3")
def test_server_needs_preface_and_settings() -> None:
    bench = ServerBench(greet=False)
    for at in range(len(raw.PREFACE)):
        bench.give(raw.PREFACE[at : at + 1])
    assert bench.drain() == []
    assert bench.feed(raw.settings()) == ["SETTINGS ACK"]
    assert bench.drain() == [ConnectionReady()]
    bench = ServerBench(greet=False)
    assert bench.feed(raw.PREFACE + raw.ping()) == ["GOAWAY 0 PROTOCOL_ERROR"]


BAD_PREFACES = {
    "HTTP/1.1": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(20),
    "no preface": raw.settings(),
    "wrong at the end": raw.PREFACE[:-1] + b"\r",
    "nine bytes": b"X" * 9,
    "noise": bytes(range(256)),
}


@pytest.mark.req("CONN-3")
@pytest.mark.parametrize("bad", BAD_PREFACES.values(), ids=BAD_PREFACES)
@pytest.mark.parametrize("pulled", [False, True])
def test_bad_preface_closes_without_response(bad: bytes, pulled: bool) -> None:
    engine = ServerBench(greet=False).engine
    if not pulled:
        engine = type(engine)(now=0.0)
    engine.receive_data(bad, 0.0)
    assert engine.is_closed
    assert engine.data_to_send(0.0) == b""


@pytest.mark.req("CONN-3")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("said", [b"", raw.PREFACE[:10]])
def test_end_before_the_handshake(bench_class: Any, said: bytes) -> None:
    bench = bench_class(greet=False)
    if bench_class is ServerBench:
        bench.give(said)
    bench.engine.receive_eof(0.0)
    closed = bench.closed()
    assert closed is not None
    assert (closed.code, closed.origin) == (0, Origin.TRANSPORT)
    assert bench.briefs() == []


@pytest.mark.req("CONN-3")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("said", ["nothing", "a part", "all"])
def test_handshake_timeout(bench_class: Any, said: str) -> None:
    config: Any = ClientConfig if bench_class is ClientBench else patient
    bench = bench_class(config(handshake_timeout=7.0), greet=False)
    assert bench.engine.next_timeout() == 7.0
    assert bench.engine.timeout_reason is TimerKind.HANDSHAKE
    hello = bench.peer.hello()
    bench.give({"nothing": b"", "a part": hello[:5], "all": hello}[said])
    bench.now = 7.0
    bench.engine.handle_timeout(7.0)
    assert bench.engine.is_closed is (said != "all")
    if said == "all":
        assert bench.engine.next_timeout() is None


@pytest.mark.req("CONN-3")
def test_default_handshake_timeouts() -> None:
    assert ServerBench(greet=False).engine.next_timeout() == 120.0
    assert ClientBench(greet=False).engine.next_timeout() == 20.0


@pytest.mark.req("CONN-5", "CONN-2")
@pytest.mark.parametrize("bench_class", SIDES)
def test_unknown_settings_in_the_first_frame(bench_class: Any) -> None:
    bench = bench_class(greet=False)
    hello = (raw.PREFACE if bench_class is ServerBench else b"") + raw.settings([(0xFF, 1), (0x10, 7)])
    assert bench.feed(hello) == ["SETTINGS ACK"]
    assert bench.drain() == [ConnectionReady()]
