"""How calls end: the rules that a table of scripts does not show."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import duplexcore
from duplexcore import (
    CallEnded,
    CallStarted,
    ClientConfig,
    ClientConnection,
    LocalProtocolError,
    Metadata,
    Origin,
    ServerConfig,
    ServerConnection,
    Status,
    StatusCode,
)
from duplexcore.call.framing import frame_message
from duplexcore.testing import raw
from tests.support.bench import ClientBench, ServerBench
from tests.support.calls import Joined, code, ended, history

BAD_DATA = [
    pytest.param(b"\x02\0\0\0\0", "INTERNAL", marks=pytest.mark.req("FRM-1")),
    pytest.param(b"\x01\0\0\0\1x", "INTERNAL", marks=pytest.mark.req("COMP-2", "STAT-19")),
    pytest.param(b"\0\0\0\0\x65", "RESOURCE_EXHAUSTED", marks=pytest.mark.req("FRM-4")),
]


@pytest.mark.req("FRM-9", "STAT-19")
@pytest.mark.parametrize(("bad", "name"), BAD_DATA)
@pytest.mark.parametrize("first", [b"", frame_message(b"good")], ids=["first", "later"])
def test_a_broken_message_at_a_server(bad: bytes, name: str, first: bytes) -> None:
    bench = ServerBench(ServerConfig(max_receive_message_size=100))
    call = bench.call()
    bench.give(raw.data(1, first + bad))
    assert history(call) == ("good " if first else "") + name
    assert ended(call).origin is Origin.LIBRARY
    frames = bench.pull()
    assert [frame.brief for frame in frames] == ["HEADERS 1 ES", "RST 1 NO_ERROR"]
    assert frames[0].field(b"grpc-status") == str(ended(call).status.code.value).encode()
    assert bench.feed(raw.data(1, b"more"), raw.ping()) == ["PING ACK"]  # the connection survives
    assert bench.call(3).ended is None


@pytest.mark.req("FRM-9", "STAT-19")
@pytest.mark.parametrize(("bad", "name"), BAD_DATA)
@pytest.mark.parametrize("first", [b"", frame_message(b"good")], ids=["first", "later"])
def test_a_broken_message_at_a_client(bad: bytes, name: str, first: bytes) -> None:
    bench = ClientBench(ClientConfig(max_receive_message_size=100))
    call = bench.call()
    bench.give(bench.peer.response(1), raw.data(1, first + bad))
    assert history(call) == "headers " + ("good " if first else "") + name
    assert bench.briefs() == ["RST 1 CANCEL"]
    assert bench.feed(raw.ping()) == ["PING ACK"]


@pytest.mark.req("FRM-4")
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_message_at_the_limit_passes(side: str) -> None:
    joined = Joined(server_config=ServerConfig(max_receive_message_size=100)).run()
    joined.client.send_message(bytes(100))
    joined.run()
    assert joined.server.take_message() == bytes(100)


@pytest.mark.req("STAT-21")
def test_buffered_messages_come_before_a_received_status_and_nothing_after() -> None:
    joined = Joined().run()
    client, server = joined.client, joined.server
    for text in (b"a", b"b", b"c"):
        server.send_message(text)
    server.finish(Status(StatusCode.ABORTED, "why"), {"t": "1"})
    joined.run()
    assert client.ended == CallEnded(Status(StatusCode.ABORTED, "why"), Metadata({"t": "1"}), Origin.PEER)
    assert client.send_message(b"late") is False  # once one write fails, all do; reads still succeed
    assert client.take_message() == b"a"
    assert client.send_message(b"late") is False
    assert history(client) == "b c ABORTED"
    assert client.take_message() is None
    assert client.next_event() is None
    assert server.send_message(b"late") is False


@pytest.mark.req("STAT-21", "DUP-16", "CANC-2")
def test_a_server_whose_client_left_writes_into_nothing_and_can_still_read() -> None:
    joined = Joined().run()
    client, server = joined.client, joined.server
    client.send_message(b"a")
    joined.run()
    server.send_message(b"unsent")
    client.cancel()
    joined.link.deliver(joined.link.client.toward)
    assert server.send_message(b"late") is False
    server.send_initial_metadata()
    assert server.take_message() == b"a"
    assert history(server) == "CANCELLED"
    server.finish()
    server.finish(Status(StatusCode.INTERNAL))
    assert joined.server_owner.notes[-1] == "released"
    assert joined.server_owner.notes.count("released") == 1


@pytest.mark.req("CANC-6", "CANC-2", "FLOW-5")
def test_cancelled_before_the_handlers_first_step() -> None:
    bench = ServerBench(ServerConfig(max_concurrent_calls=1))
    bench.give(bench.peer.request(1), raw.data(1, raw.message(bytes(10_000))), raw.rst(1))
    (call,) = bench.calls()  # it is announced all the same, and its handler must say that it is done
    assert code(call) == "CANCELLED"
    assert bench.feed(bench.peer.request(3)) == ["RST 3 REFUSED_STREAM"]
    call.finish()
    assert bench.call(5).ended is None


@pytest.mark.req("CANC-1", "CANC-5")
def test_cancelling_drops_what_was_queued_and_is_said_once() -> None:
    bench = ClientBench(settings={raw.INITIAL_WINDOW: 5})
    call = bench.engine.start_call("/a/b")
    assert call.send_message(bytes(100))
    assert bench.briefs() == ["HEADERS 1", "DATA 1 5"]
    assert call.send_message(b"more")
    call.cancel("changed my mind")
    call.cancel("again")
    assert bench.briefs() == ["RST 1 CANCEL"]
    assert bench.feed(raw.window_update(1, 1000)) == []
    call.cancel()
    assert bench.briefs() == []
    assert ended(call).status == Status(StatusCode.CANCELLED, "changed my mind")
    assert history(call) == "CANCELLED"


@pytest.mark.req("DUP-9", "CANC-4")
def test_headers_that_were_pulled_are_followed_by_the_reset() -> None:
    bench = ClientBench()
    call = bench.engine.start_call("/a/b")
    first = bench.engine.data_to_send(0.0)
    call.cancel()
    second = bench.engine.data_to_send(0.0)
    assert [frame.brief for frame in bench.peer.read(first + second)] == ["HEADERS 1", "RST 1 CANCEL"]


@pytest.mark.req("STAT-12", "STAT-13", "STAT-2")
@pytest.mark.parametrize("name", ["UNIMPLEMENTED", "UNKNOWN", "UNAVAILABLE"])
def test_a_handler_that_was_not_found_or_failed_is_a_trailers_only_answer_at_once(name: str) -> None:
    """What the code above the engine says then is a plain ``finish``; no request message is waited for."""
    bench = ServerBench()
    call = bench.call()
    call.finish(Status(StatusCode[name], "said above"))
    frames = bench.pull()
    assert [frame.brief for frame in frames] == ["HEADERS 1 ES", "RST 1 NO_ERROR"]
    assert frames[0].field(b":status") == b"200"
    assert frames[0].field(b"grpc-status") == str(StatusCode[name].value).encode()


@pytest.mark.req("STAT-18")
def test_codes_that_belong_to_applications_are_not_made_here() -> None:
    theirs = {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "DATA_LOSS",
    }
    root = Path(duplexcore.__file__).parent
    for path in [*root.glob("*.py"), *root.glob("call/*.py"), *root.glob("http2/*.py"), *root.glob("connection/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in theirs:
                raise AssertionError(f"{path.name}:{node.lineno} makes {node.attr}")


@pytest.mark.req("D-34", "D-14")
def test_writing_after_an_ok_end_is_told_apart_from_failure() -> None:
    joined = Joined().run()
    joined.server.finish(Status(), {"t": "1"})
    joined.run()
    client = joined.client
    assert client.send_message(b"late") is False
    assert client.ended is not None
    assert client.ended.status.ok
    assert client.ended.trailing_metadata == Metadata({"t": "1"})
    client.half_close()
    client.cancel()
    assert history(client) == "OK"


def exchange(client: ClientConnection, server: ServerConnection) -> list[Any]:
    """Carries bytes until there are none; the calls that began."""
    started: list[Any] = []
    moved = True
    while moved:
        moved = False
        for near, far in ((client, server), (server, client)):
            if data := near.data_to_send(0.0):
                far.receive_data(data, 0.0)
                moved = True
        while (event := server.next_event()) is not None:
            if isinstance(event, CallStarted):
                started.append(event.call)
        while client.next_event() is not None:
            pass
    return started


@pytest.mark.req("D-14", "DUP-3", "DUP-15", "FLOW-5")
def test_a_thousand_calls_that_the_server_ends_first_leave_the_connection_healthy() -> None:
    client, server = ClientConnection(now=0.0), ServerConnection(now=0.0)
    exchange(client, server)
    for _ in range(1000):
        asked = client.start_call("/a/b")
        asked.send_message(bytes(3000))
        (answered,) = exchange(client, server)
        answered.send_message(b"enough")
        answered.finish()
        exchange(client, server)
        assert code(asked) == "OK"
    assert client.open_calls == server.open_calls == 0
    last = client.start_call("/a/b")
    last.send_message(bytes(60_000))  # a full window is there
    last.half_close()
    (answered,) = exchange(client, server)
    assert history(answered) == f"{bytes(60_000).decode()} half-closed"
    answered.finish()
    exchange(client, server)
    assert code(last) == "OK"


def test_no_status_is_lost_between_finish_and_the_wire() -> None:
    """The client's limit on headers may lower it, a reset may cut it off; else it is what was said."""
    joined = Joined().run()
    joined.server.finish(Status(StatusCode.ABORTED, "x"))
    assert joined.server.ended is None
    with pytest.raises(LocalProtocolError):
        joined.server.send_message(b"late")
    joined.run()
    assert joined.server.ended == CallEnded(Status(StatusCode.ABORTED, "x"), origin=Origin.LOCAL)
