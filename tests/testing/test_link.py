"""`duplexcore.testing.link`: raw frames over real sockets, in both roles, with a deadline on everything."""

import socket
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute, TaskGroup

from duplexcore.testing import raw
from duplexcore.testing.link import RawLink, dial

pytestmark = pytest.mark.anyio


async def serving(tasks: TaskGroup, handle: Callable[[RawLink], Awaitable[None]]) -> int:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

    async def one(stream: ByteStream) -> None:
        link = RawLink(stream, client=False)
        try:
            await handle(link)
        finally:
            await link.aclose()

    async def run() -> None:
        async with listener:
            await listener.serve(one)

    tasks.start_soon(run)
    return listener.listeners[0].extra(SocketAttribute.local_port)


async def test_both_roles_exchange_frames_and_acknowledge() -> None:
    async def server(link: RawLink) -> None:
        await link.send(link.peer.hello(ack=False) + raw.ping(b"abcdefgh"))
        asked = await link.until(lambda one: one.type == raw.HEADERS, 5)
        assert asked is not None
        await link.send(link.peer.response(1) + raw.data(1, raw.message(b"x" * 100)) + link.peer.trailers(1))
        assert await link.until(lambda one: one.type == raw.WINDOW_UPDATE and one.stream == 1, 5)
        seen.extend(one.brief for one in link.frames)

    seen: list[str] = []
    async with anyio.create_task_group() as tasks:
        port = await serving(tasks, server)
        link = await dial("127.0.0.1", port)
        await link.send(link.peer.hello(ack=False) + link.peer.request(1, end=True))
        assert await link.until(lambda one: one.end, 5)
        assert await link.frame(5) is None
        assert link.ended in {"closed", "reset"}
        assert not await link.send(raw.ping() * 100_000) or not await link.send(raw.ping())
        await link.aclose()
        tasks.cancel_scope.cancel()
    expected = ["SETTINGS", "HEADERS 1 ES", "SETTINGS ACK", "PING ACK", "WINDOW_UPDATE 0 105", "WINDOW_UPDATE 1 105"]
    assert seen == expected
    assert [one.brief for one in link.frames][-3:] == ["HEADERS 1", "DATA 1 105", "HEADERS 1 ES"]


async def test_a_peer_that_says_nothing_costs_the_timeout_and_one_that_never_reads_the_patience() -> None:
    async def server(link: RawLink) -> None:
        assert await link.frame(0.01) is None  # asyncio reads ahead without end until it has once been made to wait
        idle.set()
        await done.wait()

    idle, done = anyio.Event(), anyio.Event()
    async with anyio.create_task_group() as tasks:
        port = await serving(tasks, server)
        link = await dial("127.0.0.1", port)
        assert await link.frame(0.05) is None
        assert link.ended is None
        link.patience = 0.2
        await idle.wait()
        sent = 0
        while await link.send(bytes(2**20)):
            sent += 2**20
            assert sent < 2**30, "the sockets hold a gibibyte?"
        assert link.deaf
        assert not await link.send(b"more")
        await link.aclose()
        done.set()
        tasks.cancel_scope.cancel()


async def test_two_peers_that_both_write_do_not_wait_for_each_other() -> None:
    """Each PING asks for an answer: both sides send far more than the sockets hold, and read while they send."""
    count = 150_000

    async def server(link: RawLink) -> None:
        await link.send(raw.settings() + raw.ping() * count)
        await link.until(lambda one: one.type == raw.GOAWAY, 20)

    async with anyio.create_task_group() as tasks:
        port = await serving(tasks, server)
        link = await dial("127.0.0.1", port)
        assert await link.send(raw.PREFACE + raw.ping() * count)
        assert await link.send(raw.goaway(0))
        assert len(link.frames) <= 20_000
        await link.aclose()
        tasks.cancel_scope.cancel()


async def test_what_cannot_be_read_ends_the_link_in_words() -> None:
    async def server(link: RawLink) -> None:
        await link.send(raw.settings() + raw.frame(raw.HEADERS, raw.EH, 1, b"\x80"))
        await link.frame(5)

    async with anyio.create_task_group() as tasks:
        port = await serving(tasks, server)
        link = await dial("127.0.0.1", port)
        assert await link.until(lambda one: one.type == raw.HEADERS, 5) is None
        assert link.ended == "unreadable"
        assert "does not decode" in link.fault
        await link.aclose()
        tasks.cancel_scope.cancel()


async def test_nobody_there_is_an_oserror() -> None:
    with socket.socket() as bound:  # so that nobody else listens there
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(OSError):
            await dial("127.0.0.1", bound.getsockname()[1], timeout=2)
