"""The engine alone, driven by threads, against grpcio: what fails here is not the transport's doing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest

from duplexcore import ErrorCode, Metadata, RpcError, Status, StatusCode
from tests.support.grpc_peer import (
    COLLECT,
    ECHO,
    ECHOES,
    EXPAND,
    UNARY,
    Feed,
    GrpcChannel,
    GrpcServer,
    failure,
    pairs,
    pattern,
)
from tests.support.threaded_driver import BlockingServerCall, ThreadedClient, ThreadedServer

MIB = 1024 * 1024
SIZES = [0, 1, 100, 64 * 1024, 4 * MIB - 1]


# --- our server's handlers --------------------------------------------------------------------------------------------


def our_unary(call: BlockingServerCall) -> None:
    call.driver.command(call.call.expect_single_request)
    request = call.receive()
    if request is not None:
        call.send(request)


def our_collect(call: BlockingServerCall) -> None:
    call.send([b"", *call][-1])


def our_expand(call: BlockingServerCall) -> None:
    call.driver.command(call.call.expect_single_request)
    request = call.receive()
    if request is not None:
        call.send(b"")
        call.send(request)
        call.send(b"")


def our_echo(call: BlockingServerCall) -> None:
    for message in call:
        call.send(message)


OURS = {UNARY: our_unary, COLLECT: our_collect, EXPAND: our_expand, ECHO: our_echo}


@pytest.fixture(scope="module")
def theirs() -> Iterator[GrpcServer]:
    with GrpcServer() as server:
        yield server


# --- all four kinds ---------------------------------------------------------------------------------------------------


@pytest.mark.req("D-31", "FRM-2", "FRM-3", "FRM-10", "CONN-2", "MAL-4")
def test_our_client_and_all_four_kinds_of_grpcio(theirs: GrpcServer) -> None:
    with ThreadedClient(theirs.port) as client:
        for size in SIZES:
            message = pattern(size)
            assert client.unary(UNARY, message) == message
            collecting = client.open(COLLECT, single_response=True)
            collecting.send(b"first")
            collecting.send(message)
            collecting.half_close()
            assert list(collecting) == [message]
            assert collecting.wait().status.ok
            expanding = client.open(EXPAND)
            expanding.send(message)
            expanding.half_close()
            assert list(expanding) == [b"", message, b""]
            assert expanding.wait().status.ok
            echoing = client.open(ECHO)
            for _ in range(3):
                echoing.send(message)
                assert echoing.receive() == message
            echoing.half_close()
            assert list(echoing) == []
            assert echoing.wait().status.ok


@pytest.mark.req("D-31", "FRM-2", "FRM-3", "STAT-1", "HDR-13", "STAT-14")
def test_grpcio_and_all_four_kinds_of_our_server() -> None:
    with ThreadedServer(OURS) as server, GrpcChannel(server.port) as channel:
        for size in SIZES:
            message = pattern(size)
            assert channel.unary(message) == message
            assert channel.method(COLLECT)(iter([b"first", message])) == message
            assert list(channel.method(EXPAND)(message)) == [b"", message, b""]
            with Feed() as feed:
                call = channel.method(ECHO)(feed)
                for _ in range(3):
                    feed.send(message)
                    assert next(call) == message
                feed.half_close()
                assert list(call) == []
        assert len(server.drivers) == 1


# --- metadata and status ----------------------------------------------------------------------------------------------

SENT: list[tuple[str, str | bytes]] = [
    ("twice", "b"),
    ("data-bin", bytes(range(256))),
    ("twice", "a"),
    ("data-bin", b""),
    ("text", "a, b;c % ~"),
]


@pytest.mark.req("MD-4", "MD-5", "MD-6", "MD-9", "STAT-8", "STAT-9")
def test_our_clients_metadata_and_grpcios_status() -> None:
    got: list[tuple[str, str | bytes]] = []

    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        got.extend(pairs(context.invocation_metadata()))
        context.send_initial_metadata(SENT)
        context.set_trailing_metadata(SENT)
        yield b"one"
        context.abort(grpc.StatusCode.DATA_LOSS, "\t\n100 % Ünï☺😈\r\n")

    with GrpcServer({ECHO: answer}) as server, ThreadedClient(server.port) as client:
        call = client.open(ECHO, SENT)
        assert by_name(call.initial_metadata()) == by_name(SENT)
        assert call.receive() == b"one"
        ended = call.wait()
        assert ended.status == Status(StatusCode.DATA_LOSS, "\t\n100 % Ünï☺😈\r\n")
        assert by_name(ended.trailing_metadata) == by_name(SENT)
    assert by_name([pair for pair in got if pair[0] != "user-agent"]) == by_name(SENT)


@pytest.mark.req("MD-4", "MD-5", "MD-6", "MD-9", "STAT-8", "HDR-13")
def test_grpcios_metadata_and_our_servers_status() -> None:
    got: list[Metadata] = []

    def answer(call: BlockingServerCall) -> None:
        got.append(call.call.metadata)
        call.send_initial_metadata(SENT)
        call.send(b"one")
        raise RpcError(StatusCode.DATA_LOSS, "\t\n100 % Ünï☺😈\r\n", trailing_metadata=Metadata(SENT))

    with ThreadedServer({ECHO: answer}) as server, GrpcChannel(server.port) as channel, Feed() as feed:
        call = channel.method(ECHO)(feed, metadata=SENT)
        assert by_name(pairs(call.initial_metadata())) == by_name(SENT)
        assert next(call) == b"one"
        with failure() as got_error:
            next(call)
        assert got_error.error.code() is grpc.StatusCode.DATA_LOSS
        assert got_error.error.details() == "\t\n100 % Ünï☺😈\r\n"
        assert by_name(pairs(call.trailing_metadata())) == by_name(SENT)
    assert by_name(got[0]) == by_name(SENT)


def by_name(metadata: object) -> dict[str, list[str | bytes]]:
    """Order matters among the values of one name (MD-6); grpcio may move names."""
    found: dict[str, list[str | bytes]] = {}
    for name, value in metadata:  # type: ignore[attr-defined]
        found.setdefault(name, []).append(value)
    return found


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("STAT-4", "STAT-5", "STAT-12", "D-6")
def test_a_method_that_grpcio_does_not_have(theirs: GrpcServer) -> None:
    with ThreadedClient(theirs.port) as client:
        call = client.open("/interop.Peer/Missing")
        ended = call.wait()
        assert ended.status.code is StatusCode.UNIMPLEMENTED
        assert call.call.initial_metadata is None
        assert client.unary(UNARY, b"goes on") == b"goes on"


@pytest.mark.req("STAT-2", "STAT-12", "HDR-15")
def test_a_method_that_our_server_does_not_have() -> None:
    with ThreadedServer(OURS) as server, GrpcChannel(server.port) as channel, Feed() as feed:
        call = channel.method("/interop.Peer/Missing")(feed)
        assert call.code() is grpc.StatusCode.UNIMPLEMENTED
        assert call.details() == "no method /interop.Peer/Missing"
        assert channel.unary(b"goes on") == b"goes on"
        assert len(server.drivers) == 1


@pytest.mark.req("FRM-4", "FRM-9")
def test_messages_above_our_limit(theirs: GrpcServer) -> None:
    def big(call: BlockingServerCall) -> None:
        call.send(pattern(4 * MIB + 1))

    with ThreadedClient(theirs.port) as client:
        with pytest.raises(RpcError) as got:
            client.unary(UNARY, pattern(4 * MIB + 1))  # grpcio takes it, and its answer is too long for us
        assert got.value.code is StatusCode.RESOURCE_EXHAUSTED
        assert client.unary(UNARY, b"goes on") == b"goes on"
    with ThreadedServer({**OURS, ECHO: big}) as server, GrpcChannel(server.port) as channel:
        with failure() as refused:
            channel.unary(pattern(4 * MIB + 1))
        assert refused.error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert channel.unary(b"goes on") == b"goes on"
        assert len(server.drivers) == 1


@pytest.mark.req("CANC-1", "CANC-4", "DUP-10")
def test_our_client_cancels() -> None:
    gone = threading.Event()

    def wait(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(gone.set)  # the handler does not end: it is the client that ends the call
        yield b"ready"
        gone.wait(30)

    with GrpcServer({**ECHOES, ECHO: wait}) as server, ThreadedClient(server.port) as client:
        call = client.open(ECHO)
        assert call.receive() == b"ready"
        call.cancel()
        assert call.wait().status.code is StatusCode.CANCELLED
        assert client.unary(UNARY, b"goes on") == b"goes on"
        assert gone.wait(30)


@pytest.mark.req("CANC-2", "CANC-4", "DUP-10", "DUP-16")
def test_grpcio_cancels() -> None:
    ends: list[Status] = []

    def wait(call: BlockingServerCall) -> None:
        call.send(b"ready")
        ends.append(call.wait().status)

    with ThreadedServer({**OURS, ECHO: wait}) as server, GrpcChannel(server.port) as channel, Feed() as feed:
        call = channel.method(ECHO)(feed)
        assert next(call) == b"ready"
        call.cancel()
        assert call.code() is grpc.StatusCode.CANCELLED
        assert channel.unary(b"goes on") == b"goes on"
        assert len(server.drivers) == 1
    assert [status.code for status in ends] == [StatusCode.CANCELLED]


# --- GOAWAY -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("DUP-25", "GOAW-4")
def test_grpcio_stops_while_a_call_of_ours_is_open() -> None:
    with GrpcServer() as server, ThreadedClient(server.port) as client:
        call = client.open(ECHO)
        call.send(b"before")
        assert call.receive() == b"before"
        stopped = server.stop(grace=30)
        assert client.heard_goaway().code == ErrorCode.NO_ERROR
        late = client.open(ECHO).wait()
        assert late.status.code is StatusCode.UNAVAILABLE
        assert late.unprocessed
        call.send(b"after")
        assert call.receive() == b"after"
        call.half_close()
        assert call.receive() is None
        assert call.wait().status.ok
        stopped.wait(30)


@pytest.mark.req("GOAW-1", "DUP-25")
def test_our_server_drains_while_a_call_of_grpcio_is_open() -> None:
    with ThreadedServer(OURS) as server, GrpcChannel(server.port) as channel, Feed() as feed:
        call = channel.method(ECHO)(feed)
        feed.send(b"before")
        assert next(call) == b"before"
        server.shutdown()
        feed.send(b"after")
        assert next(call) == b"after"
        feed.half_close()
        assert list(call) == []
        assert call.code() is grpc.StatusCode.OK
        (driver,) = server.drivers
        driver.join(30)
        assert not driver.is_alive()
