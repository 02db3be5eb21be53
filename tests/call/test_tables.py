"""Every cell of the state tables, and every cell that is missing, through what a driver can do."""

from __future__ import annotations

import pickle
from itertools import product
from typing import Any

import pytest

from duplexcore import (
    ClientConnection,
    ConnectionState,
    LocalProtocolError,
    Origin,
    Receive,
    Send,
    ServerConnection,
    Status,
)
from duplexcore.call.framing import frame_message
from duplexcore.call.lane import Block, Headers
from duplexcore.call.tables import CLIENT_RECEIVE, DISORDER, RECEIVE_FAULTS, SEND, SERVER_RECEIVE, Hear, Say
from duplexcore.connection.tables import CONNECTION, Turn
from duplexcore.fingerprint import fingerprint
from duplexcore.http2.tables import STREAM, Step, StreamState
from duplexcore.testing import raw
from tests.support.bench import ClientBench, ServerBench
from tests.support.calls import REQUEST, NotingLane, Owner, block, client_call, history, server_call

OK_HEADERS = block((":status", "200"), ("content-type", "application/grpc"))
TRAILERS = block(("grpc-status", "0"))


def frozen(thing: Any) -> tuple[bytes, bytes]:
    """What P28 compares."""
    return fingerprint(thing), pickle.dumps(thing)


# --- the send half ---------------------------------------------------------------------------------------------------


def opened(side: str) -> Any:
    """A call whose opening has been framed, or has come."""
    if side == "client":
        client = client_call(NotingLane())
        assert isinstance(client.pull(0, 0.0), Headers)
        return client
    server = server_call(NotingLane())
    server.on_headers(Block.of(REQUEST), False)
    return server


def saying(call: Any, what: Say) -> Any:
    """The command for it; None: this side has none."""
    commands = {
        Say.OPENING: "send_initial_metadata",
        Say.MESSAGE: "send_message",
        Say.HALF_CLOSE: "half_close",
        Say.FINISH: "finish",
        Say.END: "cancel" if hasattr(call, "cancel") else "abort",
    }
    command = getattr(call, commands[what], None)
    return (lambda: command(b"m")) if command and what is Say.MESSAGE else command


WAYS_TO_SAY: dict[tuple[str, Send], list[Say]] = {
    ("client", Send.OPEN): [],
    ("client", Send.CLOSED): [Say.HALF_CLOSE],
    ("client", Send.ENDED): [Say.END],
    ("server", Send.IDLE): [],
    ("server", Send.OPEN): [Say.OPENING],
    ("server", Send.CLOSED): [Say.FINISH],
    ("server", Send.ENDED): [Say.END],
}
SAYINGS = [
    (side, state, what) for (side, state), what in product(WAYS_TO_SAY, Say) if saying(opened(side), what) is not None
]


@pytest.mark.parametrize(("side", "state", "what"), SAYINGS)
def test_what_may_be_said(side: str, state: Send, what: Say) -> None:
    call = opened(side)
    for step in WAYS_TO_SAY[side, state]:
        saying(call, step)()
    assert call.send_state is state
    before = frozen(call)
    following = SEND.get((state, what))
    if following is None:
        with pytest.raises(LocalProtocolError, match=r"can be said once|can be sent once|send before"):
            saying(call, what)()
        assert frozen(call) == before
    else:
        saying(call, what)()
        assert call.send_state is following
        if state is Send.ENDED and what is not Say.FINISH:
            assert frozen(call) == before


def test_a_status_is_said_once_and_dropped_silently_only_after_the_end() -> None:
    call = opened("server")
    call.finish()
    with pytest.raises(LocalProtocolError, match="said once"):
        call.finish()
    ended = opened("server")
    ended.on_reset(8, Origin.PEER)
    ended.finish()
    before = frozen(ended)
    ended.finish(Status())
    assert frozen(ended) == before


def test_every_cell_of_the_send_table_was_reached() -> None:
    # A client's call is open from the start: its construction is the one cell that no command reaches.
    assert {(state, what) for _, state, what in SAYINGS} >= set(SEND)
    assert client_call(NotingLane()).send_state is SEND[Send.IDLE, Say.OPENING]


# --- the receive half ------------------------------------------------------------------------------------------------


def hear(call: Any, what: Hear, side: str) -> None:
    headers = OK_HEADERS if side == "client" or call.receive_state is not Receive.IDLE else Block.of(REQUEST)
    match what:
        case Hear.HEADERS:
            call.on_headers(headers, False)
        case Hear.FOREIGN_HEADERS:
            call.on_headers(block((":status", "502")), False)
        case Hear.DATA:
            call.on_data(frame_message(b"m"))
        case Hear.LAST_HEADERS:
            call.on_headers(TRAILERS if side == "client" or call.receive_state is not Receive.IDLE else headers, True)
        case Hear.END:
            call.on_end()
        case Hear.RESET:
            call.on_reset(8, Origin.PEER)


WAYS_TO_HEAR: dict[tuple[str, Receive], list[Hear]] = {
    ("client", Receive.IDLE): [],
    ("client", Receive.OPEN): [Hear.HEADERS],
    ("client", Receive.FOREIGN): [Hear.FOREIGN_HEADERS],
    ("client", Receive.ENDED): [Hear.LAST_HEADERS],
    ("server", Receive.IDLE): [],
    ("server", Receive.OPEN): [Hear.HEADERS],
    ("server", Receive.CLOSED): [Hear.HEADERS, Hear.END],
    ("server", Receive.ENDED): [Hear.HEADERS, Hear.RESET],
}
TABLES = {"client": CLIENT_RECEIVE, "server": SERVER_RECEIVE}
HEARINGS = [
    (side, state, what)
    for (side, state), what in product(WAYS_TO_HEAR, Hear)
    if side == "client" or what is not Hear.FOREIGN_HEADERS
]


@pytest.mark.req("DUP-19", "DUP-21", "DUP-22", "DUP-39")
@pytest.mark.parametrize(("side", "state", "what"), HEARINGS)
def test_what_may_be_heard(side: str, state: Receive, what: Hear) -> None:
    lane, owner = NotingLane(), Owner()
    call: Any = client_call(lane, owner) if side == "client" else server_call(lane, owner)
    if side == "client":
        call.pull(0, 0.0)
    for step in WAYS_TO_HEAR[side, state]:
        hear(call, step, side)
    assert call.receive_state is state
    before, aborts = frozen(call), len(lane.aborts)
    hear(call, what, side)
    following = TABLES[side].get((state, what))
    if state is Receive.ENDED:
        assert frozen(call) == before
    elif following is not None:
        assert call.receive_state is following
    else:
        fault = RECEIVE_FAULTS.get((state, what), DISORDER)
        assert call.receive_state is Receive.ENDED
        assert lane.aborts[aborts:] == [fault.reset]
        if side == "server" and state is Receive.IDLE:  # never announced, so its end is told as a refusal
            assert owner.notes == ["refused"]
            assert history(call) == ""
        else:
            assert call.ended.status == Status(fault.code, fault.text)
            assert call.ended.origin is Origin.LIBRARY
            assert history(call).split()[-1] == fault.code.name


def test_every_cell_of_the_receive_tables_was_reached() -> None:
    for side, table in TABLES.items():
        assert {(state, what) for who, state, what in HEARINGS if who == side} >= set(table)


@pytest.mark.req("DUP-21")
def test_second_headers_are_told_from_other_disorder_over_http_2() -> None:
    bench = ClientBench()
    call = bench.call()
    bench.feed(bench.peer.response(1), bench.peer.headers(1, [("x", "1")]))
    assert call.ended is not None
    assert "a second time" in call.ended.status.message


# --- a stream --------------------------------------------------------------------------------------------------------

# How a server's lane gets into each state, and how each step is made there: frames of the peer, or commands.
STREAMS: dict[StreamState, list[str]] = {
    StreamState.OPEN: ["request"],
    StreamState.HALF_CLOSED_REMOTE: ["request", "end"],
    StreamState.CLOSED: ["request", "rst"],
}


def lane_of(call: Any) -> Any:
    return call._lane


def server_stream(words: list[str]) -> tuple[ServerBench, Any]:
    bench = ServerBench()
    bench.give(*(server_frame(bench, word) for word in words))
    (call,) = bench.calls()
    bench.pull()
    return bench, call


def server_frame(bench: ServerBench, word: str) -> bytes:
    if word == "request":
        return bench.peer.request(1)
    return raw.data(1, end=True) if word == "end" else raw.rst(1)


@pytest.mark.parametrize("state", STREAMS)
@pytest.mark.parametrize("step", [Step.SEND_END, Step.RECEIVE_END, Step.SEND_RESET, Step.RECEIVE_RESET])
def test_a_servers_stream(state: StreamState, step: Step) -> None:
    bench, call = server_stream(STREAMS[state])
    lane = lane_of(call)
    assert lane.state is state
    match step:
        case Step.SEND_END:
            call.finish()
        case Step.RECEIVE_END:
            bench.give(raw.data(1, end=True))
        case Step.SEND_RESET:
            lane.abort(8)
        case _:
            bench.give(raw.rst(1))
    if step in (Step.RECEIVE_END, Step.RECEIVE_RESET):
        assert lane.state is STREAM.get((state, step), state)
    frames = bench.briefs()
    match state, step:
        case StreamState.CLOSED, _:
            assert frames == []  # whatever is said or comes late is dropped
        case StreamState.OPEN, Step.SEND_END:
            assert frames == ["HEADERS 1 ES", "RST 1 NO_ERROR"]
        case _, Step.SEND_END:
            assert frames == ["HEADERS 1 ES"]
        case StreamState.HALF_CLOSED_REMOTE, Step.RECEIVE_END:
            assert frames == ["RST 1 STREAM_CLOSED"]
        case _, Step.SEND_RESET:
            assert frames == ["RST 1 CANCEL"]
        case _:
            assert frames == []
    if step is not Step.RECEIVE_END or state is not StreamState.OPEN:
        assert lane.state is StreamState.CLOSED
    assert not bench.engine.is_closed


@pytest.mark.parametrize(
    "state", [StreamState.IDLE, StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL, StreamState.CLOSED]
)
@pytest.mark.parametrize("step", Step)
def test_a_clients_stream(state: StreamState, step: Step) -> None:
    bench = ClientBench()
    call = bench.engine.start_call("/a/b")
    lane = lane_of(call)
    if state is not StreamState.IDLE:
        bench.pull()
    if state is StreamState.HALF_CLOSED_LOCAL:
        call.half_close()
        bench.pull()
    if state is StreamState.CLOSED:
        call.cancel()
        bench.pull()
    assert lane.state is state
    match step:
        case Step.OPENED:
            pass
        case Step.SEND_END:
            call.half_close()
        case Step.RECEIVE_END:
            bench.give(bench.peer.trailers_only(1))
        case Step.SEND_RESET:
            call.cancel()
        case Step.RECEIVE_RESET:
            bench.give(raw.rst(1))
    frames = bench.briefs()
    if state is StreamState.IDLE and step in (Step.RECEIVE_END, Step.RECEIVE_RESET):
        assert bench.engine.is_closed  # frames of a stream that was never opened (MAL-8)
        return
    assert not bench.engine.is_closed
    opened = ["HEADERS 1"] if state is StreamState.IDLE else []
    match state, step:
        case StreamState.IDLE, Step.SEND_RESET:
            assert frames == []  # neither HEADERS nor RST_STREAM (DUP-8)
        case ((StreamState.IDLE | StreamState.OPEN), Step.SEND_END):
            assert frames == [*opened, "DATA 1 0 ES"]
        case ((StreamState.OPEN | StreamState.HALF_CLOSED_LOCAL), Step.SEND_RESET):
            assert frames == ["RST 1 CANCEL"]
        case StreamState.OPEN, Step.RECEIVE_END:
            assert frames == ["RST 1 NO_ERROR"]
        case _:
            assert frames == opened
    expected = STREAM.get((state, step), state)
    if (state, step) == (StreamState.IDLE, Step.SEND_RESET) or (state, step) == (StreamState.OPEN, Step.RECEIVE_END):
        expected = StreamState.CLOSED
    elif (state, step) == (StreamState.IDLE, Step.SEND_END):
        expected = StreamState.HALF_CLOSED_LOCAL
    assert lane.state is expected


# --- a connection ----------------------------------------------------------------------------------------------------


def at(state: ConnectionState, *, client: bool) -> Any:
    bench = ClientBench(greet=False) if client else ServerBench(greet=False)
    if state is not ConnectionState.HANDSHAKING:
        bench.give(bench.peer.hello())
    if state is ConnectionState.DRAINING:
        keep = bench.call()  # so that it does not close at once
        bench.engine.shutdown()
        assert keep.ended is None
    if state is ConnectionState.CLOSED:
        bench.engine.receive_eof(0.0)
    assert bench.engine.state is state
    return bench


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
@pytest.mark.parametrize("state", ConnectionState)
@pytest.mark.parametrize("turn", Turn)
def test_a_connection(state: ConnectionState, turn: Turn, client: bool) -> None:
    bench = at(state, client=client)
    before = frozen(bench.engine)
    match turn:
        case Turn.READY if state is ConnectionState.HANDSHAKING:
            bench.give(bench.peer.hello())
        case Turn.READY:
            bench.give(raw.settings())
        case Turn.DRAIN:
            bench.engine.shutdown()
        case Turn.CLOSE:
            bench.engine.receive_eof(0.0)
    assert bench.engine.state is CONNECTION.get((state, turn), state)
    if state is ConnectionState.CLOSED:
        assert frozen(bench.engine) == before
        bench.drain()
        bench.engine.shutdown()
        bench.engine.transport_failed("again", 1.0)
        bench.engine.handle_timeout(1e9)
        bench.give(b"anything")
        assert bench.drain() == []
        assert bench.engine.next_timeout() is None


def test_shaken_hands_while_draining_do_not_undrain() -> None:
    for bench in (ClientBench(greet=False), ServerBench(greet=False)):
        bench.engine.shutdown()
        assert bench.engine.state is CONNECTION[ConnectionState.HANDSHAKING, Turn.DRAIN]
        bench.give(bench.peer.hello())
        assert bench.engine.state is CONNECTION[ConnectionState.DRAINING, Turn.READY]


def test_no_call_is_started_while_shutting_down() -> None:
    """P28."""
    connection = ClientConnection(now=0.0)
    connection.shutdown()
    before = frozen(connection)
    with pytest.raises(LocalProtocolError, match="start the call on another one"):
        connection.start_call("/a/b")
    assert frozen(connection) == before


def test_both_sides_can_be_pickled_and_go_on() -> None:
    client, server = ClientConnection(now=0.0), ServerConnection(now=0.0)
    call = client.start_call("/a/b", {"x": "1"})
    call.context = "a driver's own"
    for _ in range(4):
        server.receive_data(client.data_to_send(0.0), 0.0)
        client.receive_data(server.data_to_send(0.0), 0.0)
        again = pickle.loads(pickle.dumps((client, server)))
        assert [one.fingerprint() for one in again] == [client.fingerprint(), server.fingerprint()]
        client, server = again
    assert client.open_calls == server.open_calls == 1
