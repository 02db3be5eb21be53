"""GOAWAY and stream limits against grpcio and grpc.aio, in both directions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import grpc
import pytest

from duplexcore import Frame, FrameType, RpcError, ServerConfig, StatusCode
from duplexcore_anyio import Backoff, ChannelState, DuplexServerCall, ServerContext, connect
from tests.interop.peers import ECHO, UNARY, AioChannel, Peers, in_thread, routed
from tests.support import grpc_peer
from tests.support.grpc_aio_peer import Gate
from tests.support.grpc_peer import Feed, GrpcChannel, failure

pytestmark = pytest.mark.usefixtures("backend")

#: Longer than any test waits.
LONG = 50.0


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await anyio.sleep(0.001)


async def stop(listening: Any, grace: float | None) -> None:
    """Stops a server of theirs; returns when all is over."""
    if isinstance(listening, grpc_peer.GrpcServer):
        await in_thread(listening.stop(grace).wait)
    else:
        await listening.stop(grace)


# --- they stop --------------------------------------------------------------------------------------------------------


@pytest.mark.req("DUP-25", "GOAW-4", "GOAW-7")
async def test_their_server_stops_and_our_calls_finish(peers: Peers) -> None:
    async with (
        peers.listening() as listening,
        peers.connected(listening.port) as channel,
        anyio.create_task_group() as tasks,
        channel.duplex(ECHO) as one,
        channel.duplex(ECHO) as other,
    ):
        for call in (one, other):
            await call.send(b"before")
            assert await call.receive() == b"before"
        tasks.start_soon(stop, listening, LONG)
        await until(lambda: channel.is_draining)
        with pytest.raises(RpcError) as got:  # there is nobody at the address any more
            await channel.unary(UNARY, b"late")
        assert got.value.code is StatusCode.UNAVAILABLE
        assert got.value.unprocessed
        for call in (one, other):
            await call.send(b"after")
            assert await call.receive() == b"after"
            await call.send_eof()
            assert [reply async for reply in call] == []
            assert call.status is not None
            assert call.status.ok
        await until(lambda: not channel.is_draining)


@pytest.mark.req("DUP-27", "DUP-29", "GOAW-4")
async def test_their_server_stops_and_cuts_our_calls_off(peers: Peers) -> None:
    async with peers.listening() as listening, peers.connected(listening.port) as channel, channel.duplex(ECHO) as call:
        await call.send(b"before")
        assert await call.receive() == b"before"
        await stop(listening, None)
        status = await call.wait_closed()
        # C-core resets the streams before it closes the connection: either may be what ends the call (tables B and C).
        assert status.code in (StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.UNKNOWN)
        await until(lambda: channel.state is not ChannelState.READY)
        with pytest.raises(RpcError) as got:
            await channel.unary(UNARY, b"late")
        assert got.value.code is StatusCode.UNAVAILABLE


@pytest.mark.req("CHAN-2", "CHAN-4", "CHAN-6", "CHAN-7")
async def test_their_server_is_stopped_and_started_again() -> None:
    with grpc_peer.GrpcServer() as first:
        port = first.port
        async with connect(f"127.0.0.1:{port}", backoff=Backoff(initial=0.1)) as channel:
            assert await channel.unary(UNARY, b"one") == b"one"
            async with channel.duplex(ECHO) as open_call:
                await open_call.send(b"a")
                assert await open_call.receive() == b"a"
                await stop(first, None)
                assert not (await open_call.wait_closed()).ok
            await until(lambda: channel.state is not ChannelState.READY)
            with pytest.raises(RpcError, match=f"127.0.0.1:{port} refused the connection") as caught:
                await channel.unary(UNARY, b"two")
            assert caught.value.code is StatusCode.UNAVAILABLE
            assert caught.value.unprocessed
            async with channel.duplex(ECHO, wait_for_ready=True) as patient:
                assert patient.is_waiting
                await patient.send(b"waited")
                with grpc_peer.GrpcServer(port=port):
                    assert await patient.receive() == b"waited"
                    assert channel.state is ChannelState.READY
                    assert await channel.unary(UNARY, b"three") == b"three"
                    patient.cancel()


# --- we stop ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("GOAW-1", "DUP-25", "D-36")
async def test_our_server_stops_and_their_calls_finish(peers: Peers) -> None:
    started, going = Gate(), Gate()

    def sync(channel: GrpcChannel) -> Any:
        with Feed(b"before") as feed, Feed(b"before") as second:
            calls = [channel.method(grpc_peer.ECHO)(one) for one in (feed, second)]
            assert [next(call) for call in calls] == [b"before", b"before"]
            started.open()
            anyio.run(going.passed)
            for one, call in zip((feed, second), calls, strict=True):
                one.send(b"after")
                assert next(call) == b"after"
                one.half_close()
                assert list(call) == []
            return [call.code() for call in calls]

    async def aio(channel: AioChannel) -> Any:
        calls = [channel.method(grpc_peer.ECHO)() for _ in range(2)]
        for call in calls:
            await call.write(b"before")
            assert await call.read() == b"before"
        started.open()
        await going.passed()
        for call in calls:
            await call.write(b"after")
            assert await call.read() == b"after"
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
        return [await call.code() for call in calls]

    goaways: list[Frame] = []

    def observe(direction: str, frame: Frame) -> None:
        if direction == "out" and frame.type == FrameType.GOAWAY:
            goaways.append(frame)
            if len(goaways) == 2:
                going.open()  # the client has answered the PING: it knows

    async with peers.our_server(routed(), observer=observe) as server, anyio.create_task_group() as tasks:
        found: list[Any] = []

        async def call() -> None:
            found.append(await peers.client(server.port, sync, aio))

        tasks.start_soon(call)
        await started.passed()
        await server.stop(LONG)
        assert server.connections == 0
    assert found == [[grpc.StatusCode.OK] * 2]
    assert [frame.payload[:4] for frame in goaways] == [b"\x7f\xff\xff\xff", b"\0\0\0\x03"]


@pytest.mark.req("GOAW-2", "DUP-31")
async def test_our_server_stops_and_cuts_their_calls_off(peers: Peers) -> None:
    started = Gate()
    cancelled: list[str] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send(b"ready")
        try:
            await anyio.sleep(LONG)
        except anyio.get_cancelled_exc_class():
            cancelled.append(call.peer)
            raise

    def sync(channel: GrpcChannel) -> Any:
        with Feed() as feed:
            call = channel.method(grpc_peer.ECHO)(feed)
            assert next(call) == b"ready"
            started.open()
            code = call.code()
        with failure() as got:
            channel.unary(b"late")
        return code, got.error.code()

    async def aio(channel: AioChannel) -> Any:
        call = channel.method(grpc_peer.ECHO)()
        assert await call.read() == b"ready"
        started.open()
        code = await call.code()
        with failure() as got:
            await channel.method(grpc_peer.UNARY)(b"late")
        return code, got.error.code()

    async with peers.our_server(routed(echo=handler)) as server, anyio.create_task_group() as tasks:
        found: list[Any] = []

        async def call() -> None:
            found.append(await peers.client(server.port, sync, aio))

        tasks.start_soon(call)
        await started.passed()
        await server.stop()
        assert len(cancelled) == 1
    assert found == [(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE)]


# --- stream limits ----------------------------------------------------------------------------------------------------


@pytest.mark.req("CONN-6", "CONN-7", "D-38")
async def test_many_calls_of_ours_wait_for_the_one_stream_that_they_allow(peers: Peers) -> None:
    """One that comes before grpcio counts the stream before it as over is refused: it has its turn after the others."""
    many, refused = 50, 0

    def watch(direction: str, frame: Frame) -> None:
        nonlocal refused
        refused += direction == "in" and frame.type == FrameType.RST_STREAM and frame.payload == b"\0\0\0\x07"

    async with (
        peers.listening(options=[("grpc.max_concurrent_streams", 1)]) as listening,
        peers.connected(listening.port, observer=watch) as channel,
        AsyncExitStack() as stack,
    ):
        calls = [await stack.enter_async_context(channel.duplex(ECHO)) for _ in range(many)]
        order: list[int] = []

        async def talk(index: int) -> None:
            call = calls[index]
            await call.send(str(index).encode())
            assert await call.receive() == str(index).encode()
            order.append(index)
            assert channel.open_calls == 1
            await call.send_eof()
            assert [reply async for reply in call] == []

        async with anyio.create_task_group() as tasks:
            await until(lambda: channel.open_calls == 1)
            assert channel.waiting_calls == many - 1
            calls[7].cancel()  # leaves the queue
            assert channel.waiting_calls == many - 2
            for index in reversed(range(many)):
                if index != 7:
                    tasks.start_soon(talk, index)
        at_once = many - 1 - refused
        assert order == sorted(order[:at_once]) + sorted(order[at_once:])
        assert sorted(order) == [index for index in range(many) if index != 7]
        assert channel.waiting_calls == channel.open_calls == 0


@pytest.mark.req("CONN-8", "CANC-3")
async def test_their_clients_and_the_two_streams_that_we_allow(peers: Peers) -> None:
    many = 30
    running: Counter[str] = Counter()
    at_once: list[int] = []

    async def unary(request: bytes, context: ServerContext) -> bytes:
        running[context.peer] += 1
        at_once.append(running[context.peer])
        for _ in range(int(request) % 3):
            await anyio.lowlevel.checkpoint()
        running[context.peer] -= 1
        return request

    requests = [str(index).encode() for index in range(many)]

    def sync(channel: GrpcChannel) -> Any:
        futures = [channel.method(grpc_peer.UNARY).future(request) for request in requests]
        return [future.result(LONG) for future in futures]

    async def aio(channel: AioChannel) -> Any:
        calls = [channel.method(grpc_peer.UNARY)(request) for request in requests]
        return [await call for call in calls]

    async with peers.our_server(routed(unary=unary), ServerConfig(max_concurrent_calls=2)) as server:
        clients = [partial(peers.client, server.port, sync, aio)] * 2
        async with anyio.create_task_group() as tasks:
            found: list[Any] = []

            async def run(client: Any) -> None:
                found.append(await client())

            for client in clients:
                tasks.start_soon(run, client)
    assert found == [requests, requests]
    assert len(running) == 2  # connections
    assert len(at_once) == 2 * many
    assert max(at_once) == 2
