"""What must never happen, on any path: docs/scenarios.md says it below its table.

(A hang neither: each test of this folder runs within a bound, and fails when it has not ended.)
"""

from __future__ import annotations

import gc
import random
import tracemalloc
import weakref
from typing import Any

import anyio
import pytest

from duplexcore import ClientConfig, Metadata, RpcError, ServerConfig, StatusCode
from duplexcore.call.client import ClientCall
from duplexcore.testing.raw import GOAWAY, PREFACE, RST, RawPeer, data, message, settings
from duplexcore_anyio import CallClosedError, Channel, DuplexServerCall, connect, memory_link, serve, serve_stream
from tests.scenarios.wire import PATH, TALK, Where, drain, echo, everywhere, open_calls_of_servers, routed, wired

# --- a lost, repeated or damaged message ------------------------------------------------------------------------------


def script(seed: int) -> list[bytes]:
    """Messages of all sizes, many of them small, with numbers on them."""
    sizes = random.Random(seed)
    return [
        b"%d:%d:" % (seed, index) + bytes(sizes.choice((0, 1, 7, 100, 5_000, 20_000, 70_000)))
        for index in range(sizes.randrange(40))
    ]


@everywhere
@pytest.mark.parametrize("seed", range(2))
async def test_no_message_is_lost_or_repeated(where: Where, seed: int) -> None:
    """Twelve calls at once, each side of each says what it likes at its own pace, with small windows between them."""
    heard: dict[str, list[bytes]] = {}

    async def talk(sends: Any, reads: Any, seed: int, name: str) -> None:
        pace = random.Random(seed)

        async def write() -> None:
            for one in script(seed):
                await sends.send(one)
                for _ in range(pace.randrange(3)):
                    await anyio.sleep(0)
            if hasattr(sends, "send_eof"):
                await sends.send_eof()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            heard[name] = []
            async for one in reads:
                heard[name].append(one)
                for _ in range(pace.randrange(3)):
                    await anyio.sleep(0)

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        number = int(str(call.metadata.get("number")))
        await talk(call.writer, call.reader, 1_000 + number, f"server {number}")

    async def client(channel: Any, number: int) -> None:
        async with channel.duplex(TALK, metadata={"number": str(number)}) as call:
            await talk(call.writer, call.reader, 2_000 + number, f"client {number}")
            assert call.status.ok

    small: dict[str, Any] = {"stream_window": 65_535, "connection_window": 65_535, "send_buffer": 1_000}
    config: Any = {"client": ClientConfig(**small), "server": ServerConfig(**small)}
    numbers = range(seed * 12, seed * 12 + 12)
    async with wired(routed(handler), where, **config) as channel, anyio.create_task_group() as tasks:
        for number in numbers:
            tasks.start_soon(client, channel, number)
    for number in numbers:
        assert heard[f"server {number}"] == script(2_000 + number)
        assert heard[f"client {number}"] == script(1_000 + number)


# --- a status other than the one sent ---------------------------------------------------------------------------------

TEXTS = ["", "plain", "per%cent %41", "ünï→🙂", "new\nline\ttab", " spaces ", "x" * 500]


@everywhere
async def test_no_status_but_the_one_that_was_sent(where: Where) -> None:
    """Every code, many texts, before and after messages, whether the client has half-closed or not, all at once."""

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        code, text = StatusCode(int(str(call.metadata.get("code")))), call.metadata.get("text-bin")
        assert isinstance(text, bytes)
        if call.metadata.get("late"):
            await call.send(b"one")
        trailing = Metadata([("code", str(int(code))), ("text-bin", text)])
        if code is StatusCode.OK:
            call.set_trailing_metadata(trailing)
            return
        raise RpcError(code, text.decode(), trailing_metadata=trailing)

    async def client(channel: Any, code: StatusCode, text: str, late: bool, closing: bool) -> None:
        metadata = [("code", str(int(code))), ("text-bin", text.encode()), *([("late", "1")] if late else [])]
        async with channel.duplex(TALK, metadata=metadata) as call:
            if closing:
                await call.send_eof()
            status = await call.wait_closed()
            assert (status.code, status.message) == (code, "" if code is StatusCode.OK else text)
            assert call.trailing_metadata == Metadata([("code", str(int(code))), ("text-bin", text.encode())])

    async with wired(routed(handler), where) as channel, anyio.create_task_group() as tasks:
        for code in StatusCode:
            for index, text in enumerate(TEXTS):
                tasks.start_soon(client, channel, code, text, bool(index % 2), bool(index % 3))


# --- leaks ------------------------------------------------------------------------------------------------------------


async def leave_in_every_way(channel: Any, index: int) -> Any:
    """One call: what is left of it should be nothing."""
    async with channel.duplex(TALK, metadata={"how": "flood" if index % 2 else "echo"}) as call:
        reference = weakref.ref(call)
        match index % 5:
            case 0:
                pass  # unread, unsaid
            case 1:
                await call.send(bytes(10_000))
                await call.receive()
            case 2:
                await call.send(b"x")
                await call.send_eof()
            case 3:
                call.cancel()
            case _:
                with anyio.move_on_after(0):
                    await call.receive()
    return reference


async def flood_or_echo(call: DuplexServerCall[bytes, bytes]) -> None:
    if call.metadata.get("how") == "flood":
        while True:
            await call.send(bytes(30_000))
    await echo(call)


async def test_calls_that_were_left_leave_nothing(where: Where) -> None:
    """Read or unread, ended or not: no stream, no object, no window. A call after them has all the room there is."""
    gc.collect()
    others = sum(type(one) is ClientCall for one in gc.get_objects())  # of tests before, which something may hold
    async with wired(routed(flood_or_echo), where) as channel:
        references = []
        for index in range(300):
            references.append(await leave_in_every_way(channel, index))
        while channel.open_calls or open_calls_of_servers():
            await anyio.sleep(0.001)
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        assert [reference() for reference in references if reference() is not None] == []
        assert sum(type(one) is ClientCall for one in gc.get_objects()) <= others
        async with channel.duplex(TALK) as call, call.exchange([bytes(3_000_000)]) as replies:
            assert await drain(replies) == [bytes(3_000_000)]


async def test_an_unread_call_holds_up_no_other(where: Where) -> None:
    """Its responses fill its own window, and nobody else's."""
    config = ServerConfig()
    async with (
        wired(routed(flood_or_echo), where, server=config) as channel,
        channel.duplex(TALK, metadata={"how": "flood"}),
        channel.duplex(TALK, metadata={"how": "flood"}),
        channel.duplex(TALK, metadata={"how": "flood"}),
        channel.duplex(TALK, metadata={"how": "flood"}),
        channel.duplex(TALK, metadata={"how": "flood"}),
    ):
        await anyio.wait_all_tasks_blocked()
        async with channel.duplex(TALK) as call, call.exchange([bytes(1_000_000)] * 3) as replies:
            assert await drain(replies) == [bytes(1_000_000)] * 3


# --- growth of memory -------------------------------------------------------------------------------------------------


async def test_a_peer_that_does_not_stop_is_stopped(backend: str) -> None:
    """It sends more than its window, on and on: its stream is reset, and nothing of the rest is kept."""
    waits = anyio.Event()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await waits.wait()

    near, far = memory_link()
    peer = RawPeer(client=True)
    told: list[str] = []

    async def read() -> None:
        try:
            while True:
                told.extend(frame.brief for frame in peer.read(await near.receive()) if frame.type in (RST, GOAWAY))
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_stream, routed(handler), far)
        tasks.start_soon(read)
        await near.send(peer.hello() + peer.request(1, PATH) + data(1, message(bytes(4), length=1_000_000)))
        piece = data(1, bytes(16_384))
        tracemalloc.start()
        try:
            for _ in range(800):  # 13 MB
                await near.send(piece)
                assert tracemalloc.get_traced_memory()[0] < 4_000_000
        except anyio.BrokenResourceError:
            pass  # the connection may be closed as well
        finally:
            tracemalloc.stop()
        while not told:
            await anyio.sleep(0.001)
        assert "FLOW_CONTROL_ERROR" in told[0]
        waits.set()
        await near.aclose()


async def test_memory_is_bounded_while_a_peer_does_not_read(where: Where) -> None:
    """20 calls, each to be flooded with 20 MB that nobody takes: they hold their windows' worth, twice, and no more."""
    async with wired(routed(flood_or_echo), where) as channel, anyio.create_task_group() as tasks:
        await anyio.wait_all_tasks_blocked()
        tracemalloc.start()
        try:

            async def hold() -> None:
                async with channel.duplex(TALK, metadata={"how": "flood"}):
                    await anyio.sleep_forever()

            for _ in range(20):
                tasks.start_soon(hold)
            await anyio.wait_all_tasks_blocked()
            grown = tracemalloc.get_traced_memory()[0]
            config = ClientConfig()
            assert grown < 20 * 1.5 * (config.stream_window + config.send_buffer + 30_000)
        finally:
            tracemalloc.stop()
            tasks.cancel_scope.cancel()


# --- a traceback from a peer's bytes ----------------------------------------------------------------------------------

HOSTILE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    PREFACE + b"\xff" * 100,
    PREFACE + settings() + b"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08",  # a reset of nothing
    PREFACE + settings() + b"\x00\x00\x05\x01\x04\x00\x00\x00\x01\xff\xff\xff\xff\xff",  # no header block
    PREFACE + settings() + data(7, b"of a stream that was never opened"),
    b"",
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
async def test_no_traceback_from_a_clients_bytes(backend: str, hostile: bytes) -> None:
    """Nothing is logged above debug (see ``quiet``), and the server goes on."""
    async with serve(routed(echo), "127.0.0.1:0") as server:
        for end in (True, False):
            async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
                if hostile:
                    await stream.send(hostile)
                if end or not hostile:
                    await stream.send_eof()
                try:
                    while True:
                        await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    pass
        async with connect(f"127.0.0.1:{server.port}") as channel, channel.duplex(TALK) as call:
            await call.send(b"still here")
            assert await call.receive() == b"still here"


@pytest.mark.parametrize("cut", range(0, 60, 7))
async def test_a_lost_connection_is_an_outcome_everywhere(backend: str, cut: int) -> None:
    """The server is gone in the middle of its words: whoever waits is told, with UNAVAILABLE, and no hang."""
    near, far = memory_link()
    peer = RawPeer(client=False)
    outcomes: list[StatusCode] = []

    async with anyio.create_task_group() as tasks:

        async def server() -> None:
            await far.send(peer.hello())
            while not any(frame.type == 1 for frame in peer.read(await far.receive())):
                pass
            words = peer.response(1) + data(1, message(b"one")) + data(1, message(b"two"))
            await far.send(words[: cut + 9])
            await anyio.wait_all_tasks_blocked()
            await far.aclose()

        tasks.start_soon(server)
        async with Channel.over(near) as channel, channel.duplex(TALK) as call:

            async def write() -> None:
                with pytest.raises((RpcError, CallClosedError)) as caught:
                    while True:
                        await call.send(bytes(60_000))
                error: Any = caught.value
                outcomes.append(error.status.code)

            async def read() -> None:
                with pytest.raises(RpcError) as caught:
                    await drain(call)
                outcomes.append(caught.value.code)

            async def wait() -> None:
                outcomes.append((await call.wait_closed()).code)

            async with anyio.create_task_group() as waiting:
                for task in (write, read, wait):
                    waiting.start_soon(task)
            assert outcomes == [StatusCode.UNAVAILABLE] * 3
            assert await channel.wait_closed()
            assert channel.is_closed
            async with channel.duplex(TALK) as late:
                assert (await late.wait_closed()).code is StatusCode.UNAVAILABLE
