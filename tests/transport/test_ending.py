"""How connections and calls end: loss, drain, close, cancellation; and what an idle connection does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trio
from anyio.abc import ByteStream

from duplexcore import ClientConfig, ErrorCode, RpcError, ServerConfig, StatusCode
from duplexcore.testing import raw
from duplexcore_anyio import Channel, DuplexServerCall, connect, memory_link, serve, serve_stream
from tests.support.transport import HELLO, TALK, Tape, echo, four_kinds, joined, over_tcp, strange_server, until

SETTINGS = raw.frame(raw.SETTINGS)


class Silent:
    """A handler that does nothing until it is cut off."""

    def __init__(self) -> None:
        self.running = anyio.Event()
        self.cancelled = anyio.Event()

    async def __call__(self, call: DuplexServerCall[bytes, bytes]) -> None:
        self.running.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled.set()


@asynccontextmanager
async def over_tcp_stream(target: str) -> AsyncIterator[Channel]:
    """A channel of one connection: there is no other after it."""
    host, _, port = target.rpartition(":")
    async with Channel.over(await anyio.connect_tcp(host, int(port))) as channel:
        yield channel


# --- loss -------------------------------------------------------------------------------------------------------------


async def test_a_lost_connection_ends_its_calls_and_refuses_new_ones() -> None:
    async def behave(stream: Any) -> None:
        await stream.send(SETTINGS)
        heard = b""
        while b"/transport.Test" not in heard and len(heard) < 150:  # the request, HPACK or not
            heard += await stream.receive()

    async with strange_server(behave) as target, over_tcp_stream(target) as channel:
        async with channel.duplex(TALK) as call:
            with pytest.raises(RpcError) as caught:
                await call.receive()
            assert caught.value.code is StatusCode.UNAVAILABLE
            assert "clos" in caught.value.message or "reset" in caught.value.message
            assert not caught.value.unprocessed
        assert channel.is_closed
        assert await channel.wait_closed() in caught.value.message
        with pytest.raises(RpcError) as again:
            await channel.unary(HELLO, b"")
        assert again.value.code is StatusCode.UNAVAILABLE
        assert again.value.unprocessed
        async with channel.duplex(TALK) as late:
            with pytest.raises(RpcError):
                await late.send(b"")
            with pytest.raises(RpcError):
                await late.receive()


class Breakable(ByteStream):
    """Any stream: this one breaks when it is told to."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.read_error: Exception | None = None
        self.write_error: Exception | None = None
        self.closed = 0

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self.read_error:
            raise self.read_error
        return await self.stream.receive(max_bytes)

    async def send(self, item: bytes) -> None:
        if self.write_error:
            raise self.write_error
        await self.stream.send(item)

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    async def aclose(self) -> None:
        self.closed += 1
        await self.stream.aclose()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (anyio.BrokenResourceError(), "BrokenResourceError"),
        (OSError(104, "Connection reset by peer"), "Connection reset by peer"),
        (ZeroDivisionError(), "internal error"),
    ],
)
@pytest.mark.parametrize("side", ["read", "write"])
async def test_a_stream_that_breaks(error: Exception, text: str, side: str, caplog: pytest.LogCaptureFixture) -> None:
    near, far = memory_link()
    broken = Breakable(near)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_stream, four_kinds(), far)
        async with Channel.over(broken) as channel, channel.duplex(TALK) as call:
            await call.send(b"1")
            await call.receive()
            setattr(broken, f"{side}_error", error)
            with pytest.raises(RpcError) as caught:
                while True:
                    await call.send(b"x")
                    await call.receive()
            assert caught.value.code is StatusCode.UNAVAILABLE
            assert text in caught.value.message
            await channel.wait_closed()
    assert broken.closed == 1
    logged = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert bool(logged) is isinstance(error, ZeroDivisionError)


@pytest.mark.req("DUP-14")
async def test_last_words_are_heard_although_nothing_can_be_written_any_more() -> None:
    """The server has ended the call and closed: a client that runs into it while it writes still learns the status."""
    near, far = memory_link()
    broken = Breakable(near)
    peer = raw.RawPeer(client=False)
    async with answered_by_hand(broken, far) as channel, channel.duplex(TALK) as call:
        await call.send(b"1")
        broken.write_error = OSError(32, "Broken pipe")
        await call.send(b"2")
        await far.send(peer.headers(1, [(b":status", b"200"), (b"content-type", b"application/grpc")]))
        await far.send(peer.trailers(1, StatusCode.NOT_FOUND))
        with pytest.raises(RpcError) as caught:
            await call.receive()
        assert caught.value.code is StatusCode.NOT_FOUND


@asynccontextmanager
async def answered_by_hand(stream: ByteStream, far: ByteStream) -> AsyncIterator[Channel]:
    """A channel over one end of a link, its handshake answered by hand at the other."""
    await far.send(SETTINGS)
    async with Channel.over(stream) as channel:
        try:
            yield channel
        finally:
            await far.aclose()


async def test_a_client_that_vanishes_cancels_its_handlers() -> None:
    silent = Silent()
    near, far = memory_link()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_stream, four_kinds(silent), far)
        broken = Breakable(near)
        async with Channel.over(broken) as channel, channel.duplex(TALK):
            await silent.running.wait()
            await near.aclose()
            await silent.cancelled.wait()


# --- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("D-26")
async def test_leaving_early_resets_leaving_late_does_not() -> None:
    silent, tape = Silent(), Tape()
    async with joined(four_kinds(silent), tape=tape) as channel:
        async with channel.duplex(TALK):
            await silent.running.wait()
        await silent.cancelled.wait()
        assert tape.resets("out") == [ErrorCode.CANCEL]
        assert await channel.unary(HELLO, b"") == b"hello, "
        async with channel.duplex(TALK) as call:
            pass  # not even its headers have left
        with pytest.raises(anyio.ClosedResourceError):
            await call.receive()
        with pytest.raises(anyio.ClosedResourceError):
            await call.send(b"")
        assert tape.resets("out") == [ErrorCode.CANCEL]


@pytest.mark.req("D-26", "CANC-1")
async def test_the_reset_of_a_cancelled_task_leaves() -> None:
    """Also when it is the scope around the whole connection that is cancelled: the writer outlives it."""
    silent, tape = Silent(), Tape()
    async with serve(four_kinds(silent), "127.0.0.1:0") as server:
        with anyio.CancelScope() as scope:
            async with connect(f"127.0.0.1:{server.port}", observer=tape) as channel, channel.duplex(TALK) as call:
                await silent.running.wait()
                scope.cancel()
                await call.receive()
        await silent.cancelled.wait()
        assert tape.resets("out") == [ErrorCode.CANCEL]
        assert tape.briefs[-1] == "out GOAWAY 0"
        await until(lambda: server.connections == 0)


async def test_calls_can_be_cleaned_up_behind_a_shield() -> None:
    """A cancelled scope takes no connection from under code that shields itself."""
    async with serve(four_kinds(), "127.0.0.1:0") as server:
        with anyio.CancelScope() as scope:
            async with connect(f"127.0.0.1:{server.port}") as channel:
                scope.cancel()
                with anyio.CancelScope(shield=True):
                    assert await channel.unary(HELLO, b"again") == b"hello, again"


@pytest.mark.parametrize("backend", ["asyncio"])
async def test_native_cancellation_of_asyncio(backend: str) -> None:
    silent = Silent()

    async def client(port: int) -> None:
        async with connect(f"127.0.0.1:{port}") as channel, channel.duplex(TALK) as call:
            await call.receive()

    async with serve(four_kinds(silent), "127.0.0.1:0") as server:
        task = asyncio.create_task(client(server.port))
        await silent.running.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await silent.cancelled.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client(server.port)


async def test_closing_is_bounded_whatever_the_peer_does() -> None:
    """It neither reads nor answers nor closes."""
    near, far = memory_link(1000)
    await far.send(SETTINGS)
    with anyio.fail_after(10):
        async with Channel.over(near) as channel, channel.duplex(TALK) as call:
            await call.send(b"x" * 60_000)
            await anyio.wait_all_tasks_blocked()
    with pytest.raises(anyio.EndOfStream):
        while True:
            await far.receive()


async def test_a_server_closes_within_bounds_as_well() -> None:
    async with serve(four_kinds(), "127.0.0.1:0") as server:
        mute = await anyio.connect_tcp("127.0.0.1", server.port)
        await mute.send(raw.PREFACE + SETTINGS)
        await until(lambda: server.connections == 1)
        with anyio.fail_after(10):
            await server.stop()
        assert server.connections == 0
        await mute.aclose()


# --- the server stops -------------------------------------------------------------------------------------------------


async def test_stop_lets_calls_finish() -> None:
    async with serve(four_kinds(), "127.0.0.1:0") as server, connect(f"127.0.0.1:{server.port}") as channel:
        async with channel.duplex(TALK) as call, anyio.create_task_group() as tasks:
            await call.send(b"before")
            assert await call.receive() == b"before"
            tasks.start_soon(server.stop, 60)
            await until(lambda: channel.is_draining)
            with pytest.raises(RpcError) as caught:
                await channel.unary(HELLO, b"")
            assert caught.value.code is StatusCode.UNAVAILABLE
            assert caught.value.unprocessed
            await call.send(b"after")
            assert await call.receive() == b"after"
            await call.send_eof()
            assert [message async for message in call] == []
        await server.wait_stopped()
        with pytest.raises(Exception, match="refused"):
            async with connect(f"127.0.0.1:{server.port}"):
                pass


async def test_stop_cuts_off_what_takes_longer() -> None:
    silent = Silent()
    async with (
        serve(four_kinds(silent), "127.0.0.1:0") as server,
        connect(f"127.0.0.1:{server.port}") as channel,
        channel.duplex(TALK) as call,
    ):
        await silent.running.wait()
        await server.stop(0.01)
        assert silent.cancelled.is_set()
        with pytest.raises(RpcError) as caught:
            await call.receive()
        assert caught.value.code is StatusCode.UNAVAILABLE


async def test_serve_forever_stops_when_it_is_cancelled() -> None:
    async with serve(four_kinds(), "127.0.0.1:0") as server:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.serve_forever)
                async with connect(f"127.0.0.1:{server.port}") as channel:
                    await channel.unary(HELLO, b"")
                    scope.cancel()
        await server.wait_stopped()
        await server.stop()


async def test_a_server_left_by_an_exception_cuts_off_at_once() -> None:
    silent = Silent()
    with pytest.raises(KeyError):
        async with (
            serve(four_kinds(silent), "127.0.0.1:0", grace=60) as server,
            connect(f"127.0.0.1:{server.port}") as channel,
            channel.duplex(TALK),
        ):
            await silent.running.wait()
            raise KeyError
    assert silent.cancelled.is_set()


async def test_a_served_stream_can_be_cancelled() -> None:
    silent = Silent()
    near, far = memory_link()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_stream, four_kinds(silent), far)
        async with Channel.over(near) as channel, channel.duplex(TALK) as call:
            await silent.running.wait()
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True), pytest.raises(RpcError) as caught:
                await call.receive()
            assert caught.value.code is StatusCode.UNAVAILABLE
    assert silent.cancelled.is_set()


# --- idle -------------------------------------------------------------------------------------------------------------


class Turns(trio.abc.Instrument):
    """Counts how often the event loop had something to do."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: Any) -> None:
        self.count += 1


@pytest.mark.parametrize("backend", ["asyncio", "asyncio+stream", "trio"])  # uvloop does not show its turns
async def test_an_idle_connection_makes_no_wake_ups(backend: str) -> None:
    turns = Turns()
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        loop: Any = asyncio.get_running_loop()
        once = loop._run_once

        def counted() -> None:
            turns.count += 1
            once()

        loop._run_once = counted
    else:
        trio.lowlevel.add_instrument(turns)
    async with over_tcp(four_kinds()) as channel, channel.duplex(TALK) as call:
        await call.send(b"1")
        await call.receive()
        assert await channel.unary(HELLO, b"", timeout=0.1) == b"hello, "  # its timer is gone with it,
        await anyio.sleep(0.2)  # but for one ring of the alarm that it had set
        turns.count = 0
        await anyio.sleep(0.5)
        assert turns.count <= 3  # this task's own
        await call.send(b"2")
        assert await call.receive() == b"2"


# --- the stream limit -------------------------------------------------------------------------------------------------


@pytest.mark.req("CONN-7")
async def test_calls_above_the_stream_limit_wait_in_order() -> None:
    order: list[bytes] = []

    async def note(call: DuplexServerCall[bytes, bytes]) -> None:
        order.append(await call.receive())
        await echo(call)

    async def talk(channel: Channel, number: int) -> None:
        async with channel.duplex(TALK) as call:
            await call.send(b"%d" % number)
            await call.send_eof()
            assert (await call.wait_closed()).ok

    config = ServerConfig(max_concurrent_calls=1)
    async with joined(four_kinds(note), server=config, client=ClientConfig(max_waiting_calls=20)) as channel:
        async with channel.duplex(TALK) as first, anyio.create_task_group() as tasks:
            await first.send(b"first")
            await until(lambda: order)
            for number in range(20):
                tasks.start_soon(talk, channel, number)
                await until(lambda: channel.waiting_calls == number + 1)  # noqa: B023
            assert channel.open_calls == 1
            with pytest.raises(RpcError) as caught:
                await channel.unary(HELLO, b"")
            assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
            await first.send_eof()
        assert order == [b"first", *(b"%d" % number for number in range(20))]


async def test_a_call_that_waits_for_a_stream_can_be_cancelled_and_timed_out() -> None:
    async with joined(four_kinds(), server=ServerConfig(max_concurrent_calls=1)) as channel:
        async with channel.duplex(TALK) as first:
            await first.send(b"")
            await first.receive()
            with pytest.raises(RpcError) as caught:
                await channel.unary(HELLO, b"", timeout=0.02)
            assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
            with anyio.move_on_after(0.02) as scope:
                async with channel.duplex(TALK) as waiting:
                    await waiting.receive()
            assert scope.cancelled_caught
            assert channel.waiting_calls == 0
            await first.send_eof()
            await first.wait_closed()
        assert await channel.unary(HELLO, b"") == b"hello, "


# --- what nobody may catch -------------------------------------------------------------------------------------------


class Interrupted(ByteStream):
    """A stream on which Ctrl-C arrives in the midst of a transport's task: while it reads, or while it writes."""

    def __init__(self, inner: ByteStream, where: str) -> None:
        self._inner = inner
        self._where = where
        self.now = anyio.Event()
        self.closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if self._where == "receive" and self.now.is_set():
            raise KeyboardInterrupt
        return await self._inner.receive(max_bytes)

    async def send(self, item: bytes) -> None:
        if self._where == "send" and self.now.is_set():
            raise KeyboardInterrupt
        await self._inner.send(item)

    async def send_eof(self) -> None:
        await self._inner.send_eof()

    async def aclose(self) -> None:
        self.closed = True
        await self._inner.aclose()


@pytest.mark.parametrize("where", ["receive", "send"])
@pytest.mark.parametrize("backend", ["trio"])  # asyncio hands a KeyboardInterrupt to whoever runs the loop
async def test_an_interrupt_in_a_task_of_the_transport_leaves_it_and_hangs_nothing(where: str, backend: str) -> None:
    near, far = memory_link()
    stream = Interrupted(near, where)
    caught: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_stream, four_kinds(), far)
        try:
            async with Channel.over(stream) as channel, channel.duplex(TALK) as call:
                await call.send(b"one")
                assert await call.receive() == b"one"
                stream.now.set()
                await call.send(b"two")
                await call.receive()
                await call.receive()
        except BaseException as error:
            caught = error
    while isinstance(caught, BaseExceptionGroup):
        caught = caught.exceptions[0]
    assert isinstance(caught, KeyboardInterrupt)
