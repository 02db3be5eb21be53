"""All four kinds of method with messages of every size, against grpcio and grpc.aio, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from duplexcore import RpcError, StatusCode
from duplexcore_anyio import Channel, ServerContext
from tests.interop.peers import COLLECT, ECHO, EXPAND, UNARY, AioChannel, Peers, answer, routed
from tests.support import grpc_peer
from tests.support.grpc_peer import Feed, GrpcChannel, failure, pattern

MIB = 1024 * 1024
SIZES = [0, 1, 100, 64 * 1024, 4 * MIB - 1]
#: Both implementations take up to 4 MiB when they are not told otherwise, and send what they are told.
TOO_LONG = 4 * MIB + 1
PLEASE = b"please %d" % TOO_LONG

tls = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


# --- our client -------------------------------------------------------------------------------------------------------


@tls
@pytest.mark.usefixtures("backend")
@pytest.mark.req("D-31", "FRM-2", "FRM-3", "FRM-10", "CONN-1", "CONN-2", "FLOW-4", "STAT-17")
async def test_our_client(peers: Peers, tls: bool) -> None:
    peers.tls = tls
    async with peers.server() as channel:
        for size in SIZES:
            message = pattern(size)
            assert await channel.unary(UNARY, message) == message
            async with channel.client_streaming(COLLECT) as collecting:
                await collecting.send(b"first")
                await collecting.send(message)
                assert await collecting.response() == message
            async with channel.server_streaming(EXPAND, message) as expanding:
                assert [reply async for reply in expanding] == [b"", message, b""]
            async with channel.duplex(ECHO) as echoing:
                for _ in range(2):
                    await echoing.send(message)
                    assert await echoing.receive() == message
                await echoing.send_eof()
                assert [reply async for reply in echoing] == []


@tls
@pytest.mark.usefixtures("backend")
@pytest.mark.req("FRM-4", "FRM-5", "FRM-9")
async def test_our_client_and_messages_above_the_limit(peers: Peers, tls: bool) -> None:
    """The answers are judged by us, the requests by them; the connection lives through it all."""
    peers.tls = tls
    async with peers.server() as channel:
        for request in (PLEASE, pattern(TOO_LONG)):
            assert await our_refusals(channel, request) == [StatusCode.RESOURCE_EXHAUSTED] * 4
            assert await channel.unary(UNARY, b"goes on") == b"goes on"
        assert not channel.is_draining


async def our_refusals(channel: Channel, request: bytes) -> list[StatusCode]:
    """How a call of each kind ends."""
    codes = []
    with pytest.raises(RpcError) as got:
        await channel.unary(UNARY, request)
    codes.append(got.value.code)
    async with channel.client_streaming(COLLECT) as collecting:
        await collecting.send(request)
        with pytest.raises(RpcError) as got:
            await collecting.response()
        codes.append(got.value.code)
    async with channel.server_streaming(EXPAND, request) as expanding:
        with pytest.raises(RpcError) as got:
            assert [reply async for reply in expanding] == [b""]
        codes.append(got.value.code)
    async with channel.duplex(ECHO) as echoing:
        await echoing.send(request)
        with pytest.raises(RpcError) as got:
            await echoing.receive()
        codes.append(got.value.code)
    return codes


# --- our server -------------------------------------------------------------------------------------------------------


def sync_echoes(channel: GrpcChannel) -> None:
    for size in SIZES:
        message = pattern(size)
        assert channel.unary(message) == message
        assert channel.method(grpc_peer.COLLECT)(iter([b"first", message])) == message
        assert list(channel.method(grpc_peer.EXPAND)(message)) == [b"", message, b""]
        with Feed() as feed:
            call = channel.method(grpc_peer.ECHO)(feed)
            for _ in range(2):
                feed.send(message)
                assert next(call) == message
            feed.half_close()
            assert list(call) == []


async def aio_echoes(channel: AioChannel) -> None:
    for size in SIZES:
        message = pattern(size)
        assert await channel.method(grpc_peer.UNARY)(message) == message
        collecting = channel.method(grpc_peer.COLLECT)()
        await collecting.write(b"first")
        await collecting.write(message)
        await collecting.done_writing()
        assert await collecting == message
        assert [reply async for reply in channel.method(grpc_peer.EXPAND)(message)] == [b"", message, b""]
        call = channel.method(grpc_peer.ECHO)()
        for _ in range(2):
            await call.write(message)
            assert await call.read() == message
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


@tls
@pytest.mark.usefixtures("backend")
@pytest.mark.req("D-31", "FRM-2", "FRM-3", "HDR-9", "HDR-13", "STAT-1", "STAT-14", "CONN-1", "FLOW-4")
async def test_our_server(peers: Peers, tls: bool) -> None:
    peers.tls = tls
    async with peers.our_server(routed()) as server:
        await peers.client(server.port, sync_echoes, aio_echoes)


def sync_refusals(channel: GrpcChannel) -> list[list[Any]]:
    found = []
    for request in (PLEASE, pattern(TOO_LONG)):
        codes: list[Any] = []
        found.append(codes)
        with failure() as got:
            channel.unary(request)
        codes.append(got.error.code())
        with failure() as got:
            channel.method(grpc_peer.COLLECT)(iter([request]))
        codes.append(got.error.code())
        with failure() as got:
            list(channel.method(grpc_peer.EXPAND)(request))
        codes.append(got.error.code())
        with failure() as got:
            list(channel.method(grpc_peer.ECHO)(iter([request])))
        codes.append(got.error.code())
        assert channel.unary(b"goes on") == b"goes on"
    return found


async def aio_refusals(channel: AioChannel) -> list[list[Any]]:
    async def say(request: bytes) -> AsyncIterator[bytes]:
        yield request

    found = []
    for request in (PLEASE, pattern(TOO_LONG)):
        calls = [
            channel.method(grpc_peer.UNARY)(request),
            channel.method(grpc_peer.COLLECT)(say(request)),
            channel.method(grpc_peer.EXPAND)(request),
            channel.method(grpc_peer.ECHO)(say(request)),
        ]
        for call in calls[2:]:
            with failure():
                assert [reply async for reply in call if reply] == []
        found.append([await call.code() for call in calls])
        assert await channel.method(grpc_peer.UNARY)(b"goes on") == b"goes on"
    return found


@tls
@pytest.mark.usefixtures("backend")
@pytest.mark.req("FRM-4", "FRM-5", "FRM-9")
async def test_our_server_and_messages_above_the_limit(peers: Peers, tls: bool) -> None:
    """The requests are judged by us, the answers by them; the connection lives through it all."""
    peers.tls = tls
    seen: set[str] = set()

    async def unary(request: bytes, context: ServerContext) -> bytes:
        seen.add(context.peer)
        return answer(request)

    async with peers.our_server(routed(unary=unary)) as server:
        codes = await peers.client(server.port, sync_refusals, aio_refusals)
        assert codes == [[grpc.StatusCode.RESOURCE_EXHAUSTED] * 4] * 2
    assert len(seen) == 1
