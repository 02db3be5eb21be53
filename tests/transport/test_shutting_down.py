"""A server stops, and says so (D-36); both sides part so that the other one hears why (CONN-12, GOAW-8)."""

from __future__ import annotations

import contextlib
import logging
import socket
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute

from duplexcore import ClientConfig, RpcError, ServerConfig, StatusCode
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from duplexcore_anyio import DuplexServerCall, Router, ServerContext, connect, memory_link, serve, serve_stream
from duplexcore_anyio.sockets import limit_unacknowledged
from tests.support.transport import HELLO, TALK, echo, four_kinds, strange_server, until


@pytest.mark.req("D-36", "GOAW-1")
async def test_a_handler_is_told_before_it_is_cut_off() -> None:
    told: list[str] = []

    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        obedient = await call.receive() == b"obedient"
        await call.send(b"ready")
        try:
            await call.wait_shutting_down()
            told.append("shutting down" if call.shutting_down and not call.is_cancelled else "something else")
            if obedient:
                await call.send(b"good bye")
                return
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            told.append("cancelled")
            raise

    async with (
        serve(four_kinds(talk), "127.0.0.1:0") as server,
        connect(server.addresses[0]) as channel,
        channel.duplex(TALK) as one,
        channel.duplex(TALK) as other,
        anyio.create_task_group() as tasks,
    ):
        for call, manner in ((one, b"obedient"), (other, b"deaf")):
            await call.send(manner)
            assert await call.receive() == b"ready"
        assert told == []
        tasks.start_soon(server.stop, 0.5)
        assert await one.receive() == b"good bye"
        assert (await one.wait_closed()).ok
        assert channel.is_draining  # the client sees it, too
        assert told == ["shutting down"] * 2
        assert (await other.wait_closed()).code is StatusCode.UNAVAILABLE
    assert told == ["shutting down"] * 2 + ["cancelled"]


@pytest.mark.req("D-36")
async def test_a_client_that_leaves_is_no_shutdown() -> None:
    seen: list[tuple[bool, bool]] = []
    started = anyio.Event()

    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            seen.append((call.is_cancelled, call.shutting_down))

    async with serve(four_kinds(talk), "127.0.0.1:0") as server, connect(server.addresses[0]) as channel:
        async with channel.duplex(TALK):
            await started.wait()
        await until(lambda: seen)
    assert seen == [(True, False)]


@pytest.mark.req("SEC-12")
async def test_many_requests_of_one_read_take_turns() -> None:
    """200 requests in one chunk: other tasks run after each 32 of them."""
    begun, between = 0, list[int]()

    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        nonlocal begun
        begun += 1

    async def other() -> None:
        while begun < 200:
            between.append(begun)
            await anyio.lowlevel.checkpoint()

    near, far = memory_link(2**20)
    peer = raw.RawPeer(client=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_stream, four_kinds(talk), near)
        await far.send(peer.hello())
        await anyio.wait_all_tasks_blocked()
        requests = b"".join(peer.request(2 * number + 1, TALK.path) for number in range(200))
        assert len(requests) < 65_536
        tasks.start_soon(other)
        await far.send(requests)
        await until(lambda: begun == 200)
        tasks.cancel_scope.cancel()
    steps = sorted(set(between))
    assert max(after - before for before, after in zip(steps, [*steps[1:], 200], strict=True)) <= 64  # two turns
    assert len(steps) >= 4


@pytest.mark.req("KEEP-10")
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
@pytest.mark.parametrize(("keepalive", "client_ms", "server_ms"), [(60.0, 7000, 9000), (None, 0, 9000)])
async def test_tcp_gives_up_with_keepalive(keepalive: float | None, client_ms: int, server_ms: int) -> None:
    client = (
        ClientConfig(keepalive_timeout=7.0)
        if keepalive is None
        else ClientConfig(keepalive_time=keepalive, keepalive_timeout=7.0)
    )
    found: dict[str, int] = {}

    def spy(link: Any, config: Any) -> None:
        limit_unacknowledged(link, config)
        sock = link.extra(SocketAttribute.raw_socket)
        side = "client" if isinstance(config, ClientConfig) else "server"
        found[side] = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("duplexcore_anyio.driver.limit_unacknowledged", spy)
        async with (
            serve(four_kinds(), "127.0.0.1:0", config=ServerConfig(keepalive_timeout=9.0)) as server,
            connect(server.addresses[0], config=client) as channel,
        ):
            await channel.unary(HELLO, b"")
    assert found == {"client": client_ms, "server": server_ms}


# --- parting ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("CONN-12", "GOAW-2")
@pytest.mark.parametrize("fault", ["ours", "theirs"])
async def test_a_peer_that_is_still_sending_hears_why(fault: str) -> None:
    """The last that it reads is GOAWAY and the end, never a reset that destroys what was on its way."""
    async with serve(four_kinds(echo), "127.0.0.1:0") as server:
        peer = raw.RawPeer(client=True)
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await stream.send(peer.hello() + peer.request(1, TALK.path))
            frames = peer.read(await stream.receive())

            async def babble() -> None:
                with pytest.raises((anyio.BrokenResourceError, anyio.ClosedResourceError)):
                    while True:
                        await stream.send(raw.data(1, bytes(10_000)) if fault == "ours" else raw.ping() * 1000)

            async with anyio.create_task_group() as tasks:
                if fault == "ours":
                    tasks.start_soon(server.stop)
                    await stream.send(raw.data(1, message(b"x") * 1000))
                else:
                    await stream.send(raw.data(0, b"x" * 100) + raw.data(1, bytes(10_000)) * 5)
                with pytest.raises(anyio.EndOfStream):
                    while True:
                        frames += peer.read(await stream.receive())
            assert frames[-1].type == raw.GOAWAY


@pytest.mark.req("GOAW-8", "CONN-12")
async def test_closing_flushes_and_says_goaway() -> None:
    """Also when the server is still sending, and when much waits to be written."""
    frames: list[raw.RawFrame] = []
    over = anyio.Event()

    async def behave(stream: Any) -> None:
        peer = raw.RawPeer(client=False)
        await stream.send(peer.hello({raw.INITIAL_WINDOW: 2**20}) + raw.window_update(0, 2**20))
        try:
            while True:
                frames.extend(peer.read(await stream.receive()))
                await stream.send(raw.ping() * 100)
        except anyio.EndOfStream:
            over.set()
        except anyio.BrokenResourceError:
            frames.append(raw.RawFrame(255, 0, 0, b"reset"))
            over.set()

    async with strange_server(behave) as target:
        async with connect(target) as channel, channel.duplex(TALK) as call:
            await call.send(bytes(60_000))
            await until(lambda: any(frame.type == raw.DATA for frame in frames))
        await over.wait()
    kinds = [frame.type for frame in frames]
    assert kinds[-1] == raw.GOAWAY
    assert frames[-1].code == 0


# --- logs -------------------------------------------------------------------------------------------------------------

NASTY = "x\n2026 ERROR forged\r\x1b[31m\x00"


def safe(caplog: pytest.LogCaptureFixture) -> bool:
    texts = [record.getMessage() for record in caplog.records if record.name.startswith("duplexcore")]
    return all(text.isprintable() for text in texts) and any("forged" in text for text in texts)


@pytest.mark.req("SEC-13")
async def test_words_of_the_server_are_escaped_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def behave(stream: Any) -> None:
        peer = raw.RawPeer(client=False)
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            await stream.send(peer.hello())
            while not any(frame.type == raw.HEADERS for frame in peer.read(await stream.receive())):
                pass
            await stream.send(raw.goaway(0, 11, b"too_many_pings, forged" + NASTY.encode()))
            while True:
                await stream.receive()

    async with strange_server(behave) as target, connect(target) as channel:
        with contextlib.suppress(RpcError):
            await channel.unary(HELLO, b"", timeout=0.3)
    assert safe(caplog)


@pytest.mark.req("SEC-13")
async def test_words_of_the_client_are_escaped_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def fail(request: bytes, context: ServerContext) -> bytes:
        raise RpcError(StatusCode.ABORTED, str(context.metadata.get("words")))

    router = Router()
    router.add(HELLO, fail)
    near, far = memory_link()
    peer = raw.RawPeer(client=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(serve_stream, router, near, peer=f"forged {NASTY}"))
        await far.send(peer.hello() + peer.request(1, HELLO.path, ("words", "forged \x1b[31m")))
        await far.send(raw.data(1, message(b""), end=True))
        await far.send(raw.goaway(0, 2, NASTY.encode()))
        await far.send(raw.data(99, b""))
        with pytest.raises(anyio.EndOfStream):
            while True:
                await far.receive()
        await far.aclose()
    assert safe(caplog)
