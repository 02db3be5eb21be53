"""1,000 calls open at once on one connection, each then exchanging messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anyio
import grpc
import pytest

from duplexcore_anyio import Channel, DuplexServerCall, connect
from tests.interop.peers import AIO, ECHO, AioChannel, Peers, routed
from tests.support import grpc_peer
from tests.support.grpc_aio_peer import AioPeer

pytestmark = [pytest.mark.usefixtures("backend"), pytest.mark.req("CONN-6", "CONN-8", "FLOW-11", "DUP-40")]

CALLS = 1_000
ROUNDS = 3


def said(index: int, turn: int) -> bytes:
    return b"%d of %d" % (turn, index)


class Together:
    """Our handler: it greets when all the calls are open, then it is an echo."""

    def __init__(self) -> None:
        self.open = self.most = 0
        self.peers: set[str] = set()
        self._complete = anyio.Event()

    async def __call__(self, call: DuplexServerCall[bytes, bytes]) -> None:
        self.open += 1
        self.most = max(self.open, self.most)
        self.peers.add(call.peer)
        if self.open == CALLS:
            self._complete.set()
        await self._complete.wait()
        await call.send(b"all here")
        async for message in call:
            await call.send(message)
        self.open -= 1


async def our_calls(channel: Channel) -> None:
    together = anyio.Event()
    ready = finished = 0

    async def talk(index: int) -> None:
        nonlocal ready, finished
        async with channel.duplex(ECHO) as call:
            assert await call.receive() == b"all here"
            ready += 1
            if ready == CALLS:
                assert channel.open_calls == CALLS
                together.set()
            await together.wait()
            for turn in range(ROUNDS):
                await call.send(said(index, turn))
                assert await call.receive() == said(index, turn)
            await call.send_eof()
            assert [reply async for reply in call] == []
        finished += 1

    async with anyio.create_task_group() as tasks:
        for index in range(CALLS):
            tasks.start_soon(talk, index)
    assert finished == CALLS
    assert channel.open_calls == channel.waiting_calls == 0


async def test_our_client_and_our_server() -> None:
    from duplexcore_anyio import serve

    together = Together()
    async with serve(routed(echo=together), "127.0.0.1:0") as server, connect(f"127.0.0.1:{server.port}") as channel:
        await our_calls(channel)
    assert together.most == CALLS
    assert len(together.peers) == 1


async def test_our_client_and_grpc_aio(aio: AioPeer) -> None:
    opened = 0
    complete = asyncio.Event()

    async def handler(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        nonlocal opened
        opened += 1
        if opened == CALLS:
            complete.set()
        await complete.wait()
        yield b"all here"
        async for request in requests:
            yield request

    async with Peers("grpc.aio", aio).server({**AIO, grpc_peer.ECHO: handler}) as channel:
        await our_calls(channel)
    assert opened == CALLS


async def test_grpc_aio_and_our_server(aio: AioPeer) -> None:
    together = Together()

    async def talk(call: Any, index: int) -> Any:
        assert await call.read() == b"all here"
        for turn in range(ROUNDS):
            await call.write(said(index, turn))
            assert await call.read() == said(index, turn)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        return await call.code()

    async def body(channel: AioChannel) -> set[Any]:
        calls = [channel.method(grpc_peer.ECHO)() for _ in range(CALLS)]
        return set(await asyncio.gather(*(talk(call, index) for index, call in enumerate(calls))))

    def never(channel: Any) -> Any:
        raise AssertionError

    peers = Peers("grpc.aio", aio)
    async with peers.our_server(routed(echo=together)) as server:
        assert await peers.client(server.port, never, body) == {grpc.StatusCode.OK}
    assert together.most == CALLS
    assert len(together.peers) == 1
