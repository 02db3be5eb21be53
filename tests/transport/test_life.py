"""How long connections live when nothing is wanted of them, or nothing comes: the engine's timers, driven."""

from __future__ import annotations

import random
from functools import partial
from math import inf
from typing import Any

import anyio
import pytest
import trio.testing

from duplexcore import AbuseLimits, ClientConfig, RpcError, ServerConfig, ServerConnection, StatusCode
from duplexcore.testing import raw
from duplexcore_anyio import Channel, DuplexServerCall, memory_link, serve_stream
from duplexcore_anyio import serving as serving_module
from tests.support.transport import HELLO, TALK, echo, four_kinds, joined

SETTINGS = raw.frame(raw.SETTINGS) + raw.settings_ack()
on_virtual_time = pytest.mark.parametrize("backend", ["trio"])


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0.01)


@on_virtual_time
@pytest.mark.req("SEC-10")
@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_peer_that_never_reads_is_left_after_a_minute(
    backend: str, clock: trio.testing.MockClock, side: str
) -> None:
    near, far = memory_link(1024)
    start = anyio.current_time()
    if side == "client":
        await far.send(SETTINGS)
        async with Channel.over(near) as channel:
            with pytest.raises(RpcError, match="read nothing for 60 s") as caught:
                await channel.unary(HELLO, bytes(100_000))
            assert caught.value.code is StatusCode.UNAVAILABLE
            assert anyio.current_time() - start == pytest.approx(60, abs=3)
        return
    ended = anyio.Event()

    async def flood(call: DuplexServerCall[bytes, bytes]) -> None:
        try:
            while True:
                await call.send(bytes(10_000))
        finally:
            ended.set()

    peer = raw.RawPeer(client=True)
    async with anyio.create_task_group() as tasks:
        config = ServerConfig(keepalive_time=inf)
        tasks.start_soon(partial(serve_stream, four_kinds(flood), near, config=config))
        await far.send(peer.hello() + peer.request(1, TALK.path))
        await ended.wait()
        assert anyio.current_time() - start == pytest.approx(60, abs=3)


@on_virtual_time
@pytest.mark.req("SEC-10")
async def test_a_slow_reader_is_no_stalled_one(backend: str, clock: trio.testing.MockClock) -> None:
    """The time is that of one write, not of all that waits for the peer."""
    near, far = memory_link(1024)
    config = ServerConfig(keepalive_time=inf, abuse=AbuseLimits(write_timeout=5.0))
    peer = raw.RawPeer(client=True)
    replies = 0

    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        for _ in range(60):
            await call.send(bytes(1000))
            await anyio.sleep(1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(serve_stream, four_kinds(talk), near, config=config))
        await far.send(peer.hello() + peer.request(1, TALK.path))
        while replies < 60_000:
            replies += len(await far.receive())
            await anyio.sleep(0.7)
        await far.aclose()


@on_virtual_time
@pytest.mark.req("SEC-10", "KEEP-6")
async def test_with_keepalive_it_is_keepalive_that_judges(backend: str, clock: trio.testing.MockClock) -> None:
    near, far = memory_link(1024)
    await far.send(SETTINGS)
    async with Channel.over(near, config=ClientConfig(keepalive_time=100.0)) as channel:
        start = anyio.current_time()
        with pytest.raises(RpcError, match="keepalive"):
            await channel.unary(HELLO, bytes(100_000))
        assert anyio.current_time() - start == pytest.approx(120, abs=3)


@on_virtual_time
@pytest.mark.req("KEEP-4", "KEEP-6")
async def test_a_client_finds_out_that_its_server_is_gone(backend: str, clock: trio.testing.MockClock) -> None:
    near, far = memory_link()
    await far.send(SETTINGS)
    async with Channel.over(near, config=ClientConfig(keepalive_time=30.0)) as channel:
        start = anyio.current_time()
        with pytest.raises(RpcError, match="keepalive") as caught:
            await channel.unary(HELLO, b"anybody?")
        assert caught.value.code is StatusCode.UNAVAILABLE
        assert anyio.current_time() - start == pytest.approx(50, abs=1)


@on_virtual_time
@pytest.mark.req("KEEP-4", "KEEP-8")
async def test_keepalive_keeps_a_quiet_call_alive(backend: str, clock: trio.testing.MockClock) -> None:
    client, server = ClientConfig(keepalive_time=300.0), ServerConfig(keepalive_time=100.0)
    async with joined(four_kinds(echo), client=client, server=server) as channel, channel.duplex(TALK) as call:
        await anyio.sleep(10_000)
        await call.send(b"still here")
        assert await call.receive() == b"still here"


@on_virtual_time
@pytest.mark.req("GOAW-3", "GOAW-1")
async def test_an_old_connection_drains(backend: str, clock: trio.testing.MockClock) -> None:
    server = ServerConfig(max_connection_age=100.0, max_connection_age_grace=50.0)
    async with joined(four_kinds(echo), server=server) as channel:
        start = anyio.current_time()
        async with channel.duplex(TALK) as call:
            await call.send(b"a")
            assert await call.receive() == b"a"
            await anyio.sleep(120)
            assert channel.is_draining
            await call.send(b"b")  # calls that are there go on
            assert await call.receive() == b"b"
            with pytest.raises(RpcError, match="max_age") as refused:
                await channel.unary(HELLO, b"")
            assert refused.value.unprocessed
            with pytest.raises(RpcError):
                await call.receive()
        assert 139 < anyio.current_time() - start < 161


@on_virtual_time
@pytest.mark.req("GOAW-3", "SEC-10")
@pytest.mark.parametrize(("idle", "used"), [(30.0, True), (inf, False)])
async def test_an_idle_connection_is_closed(
    backend: str, clock: trio.testing.MockClock, idle: float, used: bool
) -> None:
    async with joined(four_kinds(echo), server=ServerConfig(max_connection_idle=idle)) as channel:
        start = anyio.current_time()
        if used:
            await anyio.sleep(20)
            assert await channel.unary(HELLO, b"you") == b"hello, you"
        assert ("max_idle" if used else "no call") in await channel.wait_closed()
        assert anyio.current_time() - start == pytest.approx(50 if used else 120, abs=1)


@pytest.mark.req("GOAW-3")
async def test_every_connection_draws_its_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []

    def make(*args: Any, jitter: float, **options: Any) -> ServerConnection:
        drawn.append(jitter)
        return ServerConnection(*args, jitter=jitter, **options)

    monkeypatch.setattr(serving_module, "ServerConnection", make)
    state = random.getstate()
    for _ in range(3):
        async with joined(four_kinds(echo)) as channel:
            await channel.unary(HELLO, b"")
    random.setstate(state)
    assert len(set(drawn)) == 3
    assert all(-1 <= jitter <= 1 for jitter in drawn)
