"""A peer that does not read, or not fast enough: D-23, D-27, D-30."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import grpc.aio
import pytest

from duplexcore import ClientConfig, RpcError, ServerConfig, StatusCode
from duplexcore_anyio import DuplexServerCall, connect, serve
from tests.scenarios.wire import PATH, TALK, Where, drain, echo, everywhere, routed, wired
from tests.support.grpc_aio_peer import AioPeer, Gate

KIB, MIB = 1024, 1024 * 1024

#: What is offered while the peer does not read: far more than all the queues between the two.
OFFERED = 200
SIZE = 20_000

#: What one direction of a call may hold in all: the receiver's window, the sender's queue, and one message above it.
CONFIG_BOUND = ClientConfig().stream_window + ClientConfig().send_buffer + SIZE


def offered() -> Iterator[bytes]:
    return (b"%04d" % index + bytes(SIZE - 4) for index in range(OFFERED))


class Counted:
    """A source that knows how much of it was accepted: what was asked of it, less the message that is being offered."""

    def __init__(self) -> None:
        self.asked = 0

    def __iter__(self) -> Iterator[bytes]:
        for one in offered():
            self.asked += 1
            yield one

    @property
    def accepted(self) -> int:
        return (self.asked - 1) * SIZE

    async def at_rest(self) -> None:
        """Until nothing more is asked: not every driver has tasks whose rest could be seen instead."""
        seen = -1
        while seen != self.asked:
            seen = self.asked
            for _ in range(10):
                await anyio.wait_all_tasks_blocked()
                await anyio.sleep(0.005)


@everywhere
@pytest.mark.req("D-23")
async def test_the_server_sends_no_more_than_is_read(where: Where) -> None:
    source = Counted()
    sent_all = anyio.Event()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send_all(source)
        sent_all.set()

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        await call.initial_metadata()
        await source.at_rest()
        assert not sent_all.is_set()
        assert CONFIG_BOUND - 2 * SIZE - 64 * KIB <= source.accepted <= CONFIG_BOUND
        assert [one[:4] for one in await drain(call)] == [b"%04d" % index for index in range(OFFERED)]
        assert sent_all.is_set()
        assert call.status is not None
        assert call.status.ok


@everywhere
@pytest.mark.req("D-23")
async def test_an_awaited_send_is_accepted_not_delivered(where: Where) -> None:
    """The sends return though the peer has not read; one more parks; the peer reads, and it completes."""
    parked = anyio.Event()
    states: list[str] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        for _ in range(ClientConfig().stream_window // SIZE):
            await call.send(bytes(SIZE))  # within the window: never waits for the reader
        states.append("accepted")

        async def more() -> None:
            for _ in range(20):
                await call.send(bytes(SIZE))
            states.append("all sent")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(more)
            await anyio.wait_all_tasks_blocked()
            states.append("parked")
            parked.set()

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        await parked.wait()
        assert states == ["accepted", "parked"]
        assert len(await drain(call)) == ClientConfig().stream_window // SIZE + 20
        assert states == ["accepted", "parked", "all sent"]


@everywhere
@pytest.mark.req("D-27")
async def test_the_client_sends_no_more_than_is_read(where: Where) -> None:
    """And what was accepted leaves in order."""
    source = Counted()
    read = anyio.Event()
    heard: list[bytes] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send_initial_metadata()
        await read.wait()
        heard.extend([one[:4] async for one in call])

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        async with anyio.create_task_group() as tasks:

            async def write() -> None:
                await call.send_all(source)
                await call.send_eof()

            tasks.start_soon(write)
            await call.initial_metadata()
            await source.at_rest()
            assert CONFIG_BOUND - 2 * SIZE - 64 * KIB <= source.accepted <= CONFIG_BOUND
            with pytest.raises(anyio.BusyResourceError):
                await call.send(b"a second writer")
            read.set()
        assert (await call.wait_closed()).ok
    assert heard == [b"%04d" % index for index in range(OFFERED)]


@pytest.mark.req("D-23", "D-27")
async def test_a_parked_send_that_is_cancelled_has_sent_nothing(where: Where) -> None:
    read = anyio.Event()
    heard: list[bytes] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await read.wait()
        heard.extend([one[:4] async for one in call])

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        sent = []
        scope = anyio.CancelScope()

        async def write() -> None:
            with scope:
                for one in offered():
                    await call.send(one)
                    sent.append(one[:4])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
        read.set()
        await call.send(b"last")
        await call.send_eof()
        assert (await call.wait_closed()).ok
    assert heard == [*sent, b"last"]


#: grpcio has buffers of its own: all of it is far less than what is offered.
MUCH = 64 * MIB
PIECE = bytes(256 * KIB)


@pytest.mark.req("D-23")
async def test_the_server_and_a_client_of_grpc_aio_that_does_not_read(backend: str, aio: AioPeer) -> None:
    gate = Gate()
    accepted = 0
    stalled = anyio.Event()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        nonlocal accepted
        while accepted < MUCH:
            with anyio.move_on_after(0.5) as scope:
                await call.send(PIECE)
            if scope.cancelled_caught:
                break
            accepted += len(PIECE)
        stalled.set()
        gate.open()
        await call.send(b"the end")

    async def body(channel: grpc.aio.Channel) -> int:
        call = channel.stream_stream(PATH)()
        await gate.passed()
        total = 0
        while (one := await call.read()) not in (b"the end", grpc.aio.EOF):
            total += len(one)
        assert await call.read() == grpc.aio.EOF
        return total

    async with serve(routed(handler), "127.0.0.1:0") as server:
        total = await aio.client(f"127.0.0.1:{server.port}", body)
    assert stalled.is_set()
    assert total == accepted < MUCH


@pytest.mark.req("D-27")
async def test_the_client_and_a_server_of_grpc_aio_that_does_not_read(backend: str, aio: AioPeer) -> None:
    gate = Gate()

    async def handler(requests: Any, context: Any) -> None:
        await gate.passed()
        total = 0
        while (one := await context.read()) != grpc.aio.EOF:
            total += len(one)
        await context.write(b"%d" % total)

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        accepted = 0
        while accepted < MUCH:
            with anyio.move_on_after(0.5) as scope:
                await call.send(PIECE)
            if scope.cancelled_caught:
                break
            accepted += len(PIECE)
        assert accepted < MUCH
        gate.open()
        await call.send(b"end")
        await call.send_eof()
        assert await drain(call) == [b"%d" % (accepted + 3)]


# --- D-30 -------------------------------------------------------------------------------------------------------------

COUNT = 64  # of 1 MiB


def megabytes(count: int = COUNT) -> Iterator[bytes]:
    return (index.to_bytes(4, "big") + bytes(MIB - 4) for index in range(count))


#: Large windows and frames: what is shown is that it completes, and that is shown sooner so.
WIDE: dict[str, Any] = {"stream_window": 4 * MIB, "connection_window": 8 * MIB}


@everywhere
@pytest.mark.req("D-30")
async def test_send_everything_then_read(where: Where) -> None:
    """With a server that drains."""

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        async for one in call:
            if len(one) != MIB:
                return
        await call.send(b"thanks")

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        await call.send_all(megabytes(8))
        await call.send_eof()
        assert await drain(call) == [b"thanks"]


@everywhere
@pytest.mark.req("D-30")
async def test_sending_to_an_echo_without_reading_ends_with_the_deadline(where: Where) -> None:
    """Both windows fill; the wait becomes DEADLINE_EXCEEDED, wherever the writer is then, for the reader, too."""
    async with wired(routed(echo), where) as channel:
        async with channel.duplex(TALK, timeout=0.5) as call:
            sent = 0
            with pytest.raises(RpcError) as caught:
                for one in megabytes():
                    await call.send(one)
                    sent += 1
            assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
            assert sent < COUNT
            assert (await call.wait_closed()).code is StatusCode.DEADLINE_EXCEEDED
            with pytest.raises(RpcError) as caught:
                await drain(call)
            assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
        async with channel.duplex(TALK) as call:  # the connection is none the worse
            await call.send(b"still here")
            assert await call.receive() == b"still here"
            await call.send_eof()
            assert (await call.wait_closed()).ok


@pytest.mark.req("D-30")
async def test_sending_while_reading_completes(where: Where) -> None:
    total = where.amount(COUNT, COUNT // 4)
    async with wired(routed(echo), where, client=ClientConfig(**WIDE), server=ServerConfig(**WIDE)) as channel:
        async with channel.duplex(TALK) as call, call.exchange(megabytes(total)) as replies:
            count = 0
            async for reply in replies:
                assert int.from_bytes(reply[:4], "big") == count
                count += 1
        assert count == total
        assert call.status is not None
        assert call.status.ok


@pytest.mark.req("D-30")
async def test_everything_then_read_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        if dict(context.invocation_metadata()).get("do") == "drain":
            yield b"%d" % len([one async for one in requests])
            return
        async for one in requests:
            yield one

    async with aio.server(Talk=handler) as target, connect(target) as channel:
        async with channel.duplex(TALK, metadata={"do": "drain"}) as call:
            await call.send_all(megabytes(8))
            await call.send_eof()
            assert await drain(call) == [b"8"]
        async with channel.duplex(TALK, timeout=0.5) as call:
            with pytest.raises(RpcError) as caught:
                await call.send_all(megabytes())
                await call.send_eof()
                await call.wait_closed()
                await drain(call)
            assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
        total = COUNT if backend == "trio" else COUNT // 4
        async with channel.duplex(TALK) as call, call.exchange(megabytes(total)) as replies:
            assert len([one async for one in replies]) == total


@pytest.mark.req("D-30")
async def test_everything_then_read_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    """(Its deadline in a parked write cannot be said: a write that fails makes the status INTERNAL over there.)"""

    total = COUNT if backend == "asyncio" else COUNT // 4

    async def body(channel: grpc.aio.Channel) -> int:
        both = channel.stream_stream(PATH)(megabytes(total))
        return len([one async for one in both])

    async with serve(routed(echo), "127.0.0.1:0") as server:
        assert await aio.client(f"127.0.0.1:{server.port}", body) == total
