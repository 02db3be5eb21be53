"""Duplex is one of four kinds, on one core: D-31."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import grpc.aio
import pytest

from duplexcore.rpc import ClientStreamingMethod, ServerStreamingMethod, UnaryMethod
from duplexcore_anyio import Channel, ClientStreamingServerCall, Router, ServerContext, connect, serve
from tests.scenarios.wire import PATH, TALK, Where, drain, echo, everywhere, wired
from tests.support.grpc_aio_peer import AioPeer

UNARY = UnaryMethod("/scenario.Duplex/Unary", bytes, bytes)
COLLECT = ClientStreamingMethod("/scenario.Duplex/Collect", bytes, bytes)
EXPAND = ServerStreamingMethod("/scenario.Duplex/Expand", bytes, bytes)

router = Router()
router.add(TALK, echo)


@router.handles(UNARY)
async def unary(request: bytes, context: ServerContext) -> bytes:
    return request + request


@router.handles(COLLECT)
async def collect(call: ClientStreamingServerCall[bytes]) -> bytes:
    return b"".join([one async for one in call])


@router.handles(EXPAND)
async def expand(request: bytes, context: ServerContext) -> AsyncIterator[bytes]:
    for byte in request:
        yield bytes((byte,))


async def one_of_each(channel: Channel) -> None:
    """While a duplex call is open."""
    async with channel.duplex(TALK) as call:
        await call.send(b"a")
        assert await call.receive() == b"a"
        assert await channel.unary(UNARY, b"ab") == b"abab"
        async with channel.client_streaming(COLLECT) as collecting:
            await collecting.send_all([b"a", b"", b"b"])
            assert await collecting.response() == b"ab"
        async with channel.server_streaming(EXPAND, b"abc") as expanding:
            assert await drain(expanding) == [b"a", b"b", b"c"]
        await call.send_eof()
        assert await drain(call) == []


@everywhere
@pytest.mark.req("D-31")
async def test_four_kinds_side_by_side(where: Where) -> None:
    async with wired(router, where) as channel, anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one_of_each, channel)


@pytest.mark.req("D-31")
async def test_four_kinds_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def unary(request: bytes, context: Any) -> bytes:
        return request + request

    async def collect(requests: Any, context: Any) -> bytes:
        return b"".join([one async for one in requests])

    async def expand(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for byte in request:
            yield bytes((byte,))

    async def talk(requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for one in requests:
            yield one

    served = {
        "_Unary": grpc.unary_unary_rpc_method_handler(unary),
        "_Collect": grpc.stream_unary_rpc_method_handler(collect),
        "_Expand": grpc.unary_stream_rpc_method_handler(expand),
        "Talk": talk,
    }
    async with aio.server(**served) as target, connect(target) as channel, anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(one_of_each, channel)


@pytest.mark.req("D-31")
async def test_four_kinds_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def body(channel: grpc.aio.Channel) -> list[Any]:
        call = channel.stream_stream(PATH)()
        await call.write(b"a")
        heard: list[Any] = [await call.read()]
        heard.append(await channel.unary_unary(UNARY.path)(b"ab"))
        heard.append(await channel.stream_unary(COLLECT.path)(iter([b"a", b"", b"b"])))
        heard.append([one async for one in channel.unary_stream(EXPAND.path)(b"abc")])
        await call.done_writing()
        heard.append(await call.code())
        return heard

    async with serve(router, "127.0.0.1:0") as server:
        heard = await aio.client(f"127.0.0.1:{server.port}", body)
    assert heard == [b"a", b"abab", b"ab", [b"a", b"b", b"c"], grpc.StatusCode.OK]
