"""Calls of the four kinds: what they raise, what misuse says, and what handlers may do."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from duplexcore import (
    ClientConfig,
    LocalProtocolError,
    MessageTooLargeError,
    Metadata,
    RpcError,
    ServerConfig,
    Status,
    StatusCode,
)
from duplexcore.cli.proto.conversation_pb2 import InputMessage, OutputMessage
from duplexcore.rpc import DuplexMethod, UnaryMethod
from duplexcore_anyio import CallClosedError, ClientStreamingServerCall, DuplexServerCall, Router, ServerContext
from duplexcore_anyio.core import TURN
from tests.support.transport import COUNT, HELLO, SUM, TALK, echo, four_kinds, joined, over_tcp, until


@pytest.mark.req("D-31")
async def test_the_four_kinds() -> None:
    async with over_tcp(four_kinds()) as channel:
        assert await channel.unary(HELLO, b"you") == b"hello, you"
        async with channel.server_streaming(COUNT, b"3") as counting:
            assert [number async for number in counting] == [b"0", b"1", b"2"]
            assert counting.status == Status()
        async with channel.client_streaming(SUM) as adding:
            await adding.send(b"1")
            await adding.send_all([b"2", b"3"])
            assert await adding.response() == b"6"
            assert await adding.response() == b"6"
        async with channel.client_streaming(SUM) as adding:
            assert await adding.response() == b"0"
        async with channel.duplex(TALK) as call:
            await call.send(b"a")
            assert await call.receive() == b"a"
            await call.send_eof()
            await call.send_eof()
            with pytest.raises(anyio.EndOfStream):
                await call.receive()
            with pytest.raises(anyio.EndOfStream):
                await call.receive()


async def test_metadata_of_a_unary_call() -> None:
    async def look(request: bytes, context: ServerContext) -> bytes:
        assert context.method == HELLO.path
        assert context.authority == "localhost"
        assert context.peer == "a stream"
        assert context.user_agent.startswith("me/1 ")
        assert context.deadline is not None
        assert not context.is_cancelled
        await context.send_initial_metadata({"first": "1"})
        context.set_trailing_metadata({"overwritten": "1"})
        context.set_trailing_metadata([("last-bin", b"\0"), *context.metadata])
        with pytest.raises(LocalProtocolError):
            context.set_trailing_metadata({"grpc-status": "0"})
        with pytest.raises(LocalProtocolError, match="once"):
            await context.send_initial_metadata({"first": "2"})
        return request

    router = Router()
    router.add(HELLO, look)
    async with joined(router, client=ClientConfig(user_agent="me/1")) as channel:
        result = await channel.unary_result(HELLO, b"x", metadata=[("a", "1"), ("a", "2")], timeout=60)
        assert result.response == b"x"
        assert list(result.initial_metadata) == [("first", "1")]
        assert list(result.trailing_metadata) == [("last-bin", b"\0"), ("a", "1"), ("a", "2")]


async def test_messages_of_protobuf() -> None:
    method = UnaryMethod("/t.T/Unary", InputMessage, OutputMessage)
    duplex = DuplexMethod("/t.T/Duplex", InputMessage, OutputMessage)
    router = Router()

    @router.handles(method)
    async def unary(request: InputMessage, context: ServerContext) -> OutputMessage:
        return OutputMessage.FromString(request.SerializeToString())

    @router.handles(duplex)
    async def talk(call: DuplexServerCall[InputMessage, OutputMessage]) -> None:
        async for message in call:
            await call.send(OutputMessage.FromString(message.SerializeToString()))

    async with joined(router) as channel:
        assert isinstance(await channel.unary(method, InputMessage()), OutputMessage)
        async with channel.duplex(duplex) as call:
            await call.send(InputMessage())
            assert isinstance(await call.receive(), OutputMessage)
            with pytest.raises(TypeError, match="InputMessage"):
                await call.send(OutputMessage())  # type: ignore[arg-type]
            await call.send(InputMessage())
            assert isinstance(await call.receive(), OutputMessage)
        with pytest.raises(TypeError, match="InputMessage"):
            await channel.unary(method, b"")  # type: ignore[misc]


async def test_bytes_that_are_no_message(caplog: pytest.LogCaptureFixture) -> None:
    as_bytes = UnaryMethod("/t.T/Unary", bytes, bytes)
    as_message = UnaryMethod("/t.T/Unary", bytes, InputMessage)
    router = Router()
    router.add(UnaryMethod("/t.T/Strict", InputMessage, OutputMessage), strict)
    router.add(as_bytes, four_kinds().find(HELLO.path).handler)  # type: ignore[union-attr]
    async with joined(router) as channel:
        with pytest.raises(RpcError, match="not what the method says") as caught:
            await channel.unary(as_message, b"\xff\xff")
        assert caught.value.code is StatusCode.INTERNAL
        with pytest.raises(RpcError, match="not what the method says") as caught:
            await channel.unary(UnaryMethod("/t.T/Strict", bytes, bytes), b"\xff\xff")
        assert caught.value.code is StatusCode.INTERNAL
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def strict(request: InputMessage, context: ServerContext) -> OutputMessage:
    raise AssertionError("it was no message")


class Shout:
    """A codec of one's own."""

    content_subtype = "shout"

    def encode(self, value: str, /) -> bytes:
        return value.upper().encode()

    def decode(self, data: bytes, /) -> str:
        return data.decode().lower()


@pytest.mark.req("HDR-8", "HDR-10", "HDR-13")
async def test_a_codec_of_ones_own_is_served() -> None:
    method = UnaryMethod("/transport.Test/Shout", Shout(), Shout())

    async def hear(request: str, context: ServerContext) -> str:
        return f"hm, {request}"

    router = four_kinds()
    router.add(method, hear)
    async with joined(router) as channel:
        assert await channel.unary(method, "Loud") == "hm, loud"
        assert await channel.unary(HELLO, b"you") == b"hello, you"


# --- what handlers raise ----------------------------------------------------------------------------------------------


class Boom(Exception):
    """Of a handler."""


@pytest.mark.req("D-25")
@pytest.mark.parametrize("kind", ["unary", "server", "client", "duplex"])
@pytest.mark.parametrize(
    ("error", "code", "message", "logged"),
    [
        (
            RpcError(StatusCode.NOT_FOUND, "no such thing", trailing_metadata=Metadata({"a": "1"})),
            5,
            "no such thing",
            False,
        ),
        (ExceptionGroup("g", [ExceptionGroup("g", [RpcError(StatusCode.ABORTED, "alone")])]), 10, "alone", False),
        (ExceptionGroup("g", [RpcError(StatusCode.ABORTED), Boom()]), 2, "the handler failed", True),
        (Boom("secret"), 2, "the handler failed", True),
        (RpcError(StatusCode.OK), 2, "the handler failed", True),
        (MessageTooLargeError("too large"), 8, "too large", False),
    ],
)
async def test_what_a_handler_raises_is_the_status(
    kind: str, error: Exception, code: int, message: str, logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def one(call: Any) -> Any:
        raise error

    async def two(request: bytes, context: ServerContext) -> bytes:
        raise error

    async def many(request: bytes, context: ServerContext) -> AsyncIterator[bytes]:
        yield b"first"
        raise error

    router = Router()
    router.add(HELLO, two)
    router.add(COUNT, many)
    router.add(SUM, one)
    router.add(TALK, one)
    async with joined(router) as channel:
        with pytest.raises(RpcError) as caught:
            match kind:
                case "unary":
                    await channel.unary(HELLO, b"")
                case "server":
                    async with channel.server_streaming(COUNT, b"") as counting:
                        assert await counting.receive() == b"first"
                        await counting.receive()
                case "client":
                    async with channel.client_streaming(SUM) as adding:
                        await adding.response()
                case _:
                    async with channel.duplex(TALK) as call:
                        await call.receive()
        assert (caught.value.code, caught.value.message) == (code, message)
        assert caught.value.trailing_metadata.get("a") == ("1" if code == StatusCode.NOT_FOUND else None)
    records = [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert [record.name for record in records] == ["duplexcore_anyio"] * logged
    assert "secret" not in caught.value.message
    if logged:
        assert records[0].exc_info


async def test_what_a_handler_cannot_send_is_its_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def text(request: bytes, context: ServerContext) -> Any:
        return "text"

    async def large(request: bytes, context: ServerContext) -> AsyncIterator[bytes]:
        yield bytes(2000)

    async def bad_trailers(call: Any) -> bytes:
        call.set_trailing_metadata(Metadata({"grpc-status": "0"}))
        raise RpcError(StatusCode.ABORTED)

    router = Router()
    router.add(HELLO, text)
    router.add(COUNT, large)
    router.add(SUM, bad_trailers)
    async with joined(router, server=ServerConfig(max_send_message_size=1000)) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary(HELLO, b"")
        assert caught.value.code is StatusCode.UNKNOWN
        async with channel.server_streaming(COUNT, b"") as counting:
            with pytest.raises(RpcError) as caught:
                await counting.receive()
        assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
        async with channel.client_streaming(SUM) as adding:
            with pytest.raises(RpcError) as caught:
                await adding.response()
        assert caught.value.code is StatusCode.UNKNOWN  # it was told at once: a LocalProtocolError of its own


@pytest.mark.req("MD-7")
async def test_an_error_of_another_call_passes_on_what_can_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """A handler that lets an upstream call's error through: its status counts more than a name that nobody may send."""

    upstream = Metadata([("grpc-server-stats-bin", b"1"), ("fine", "yes")])

    async def relay(call: Any) -> bytes:
        raise RpcError(StatusCode.ABORTED, trailing_metadata=upstream)

    router = Router()
    router.add(SUM, relay)
    async with joined(router) as channel, channel.client_streaming(SUM) as adding:
        with pytest.raises(RpcError) as caught:
            await adding.response()
        assert caught.value.code is StatusCode.ABORTED
        assert list(adding.trailing_metadata) == [("fine", "yes")]
    told = [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]
    assert told == [f"{SUM.path}: trailing metadata that can not be sent is left out: grpc-server-stats-bin"]


@pytest.mark.req("D-6")
async def test_unknown_methods_leave_the_connection_well() -> None:
    async with joined(four_kinds()) as channel:
        for path, text in (("/transport.Test/Other", "no method 'Other'"), ("/other.Test/Hello", "'other.Test'")):
            with pytest.raises(RpcError, match=text) as caught:
                await channel.unary(UnaryMethod(path, bytes, bytes), b"x" * 100_000)
            assert caught.value.code is StatusCode.UNIMPLEMENTED
        assert await channel.unary(HELLO, b"") == b"hello, "


@pytest.mark.req("STAT-14", "STAT-15")
async def test_one_message_means_one() -> None:
    """A client or server of another kind on the other side."""
    async with joined(four_kinds()) as channel:
        async with channel.duplex(DuplexMethod(HELLO.path, bytes, bytes)) as call:
            await call.send(b"1")
            await call.send(b"2")
            assert (await call.wait_closed()).code is StatusCode.UNIMPLEMENTED
        async with channel.duplex(DuplexMethod(COUNT.path, bytes, bytes)) as call:
            await call.send_eof()
            assert (await call.wait_closed()).code is StatusCode.UNIMPLEMENTED
        for number in (b"0", b"2"):
            with pytest.raises(RpcError) as caught:
                await channel.unary(UnaryMethod(COUNT.path, bytes, bytes), number)
            assert caught.value.code is StatusCode.UNIMPLEMENTED
        assert await channel.unary(UnaryMethod(COUNT.path, bytes, bytes), b"1") == b"0"


# --- misuse -----------------------------------------------------------------------------------------------------------


async def test_one_reader_and_one_writer_at_a_time() -> None:
    async with joined(four_kinds(), client=ClientConfig(send_buffer=1000)) as channel:
        async with channel.duplex(TALK) as call, anyio.create_task_group() as tasks:
            tasks.start_soon(call.reader.receive)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await call.receive()
            await call.send(b"done")
        async with channel.duplex(TALK) as call, anyio.create_task_group() as tasks:
            tasks.start_soon(call.send_all, [bytes(100_000)] * 30)  # the echo is not read: it fills up
            await until(lambda: call.writer._core.busy_writing)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await call.send(b"")
            with pytest.raises(anyio.BusyResourceError):
                await call.send_eof()
            for _ in range(30):
                await call.receive()


async def test_closing_a_writer_releases_who_sends() -> None:
    async with joined(four_kinds(), client=ClientConfig(send_buffer=1000)) as channel, channel.duplex(TALK) as call:

        async def send() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await call.send_all([bytes(100_000)] * 30)  # the echo is not read: it fills up

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await until(lambda: call.writer._core.busy_writing)
            await anyio.wait_all_tasks_blocked()
            await call.writer.aclose()
        assert call.status is None


async def test_misuse_changes_nothing() -> None:
    async with joined(four_kinds(), client=ClientConfig(max_send_message_size=100)) as channel:
        for metadata in ({"a b": "1"}, {"grpc-status": "1"}, {"x": "\n"}, {"x-bin": "text"}):
            with pytest.raises(LocalProtocolError):
                await channel.unary(HELLO, b"", metadata=metadata)
            with pytest.raises(LocalProtocolError):
                async with channel.duplex(TALK, metadata=metadata):
                    pytest.fail("it started")
        with pytest.raises(MessageTooLargeError):
            await channel.unary(HELLO, bytes(101))
        with pytest.raises(TypeError, match="bytes"):
            await channel.unary(HELLO, "text")  # type: ignore[misc]
        with pytest.raises(TypeError, match="bytes"):
            channel.server_streaming(COUNT, 3)  # type: ignore[misc]
        with pytest.raises(MessageTooLargeError):
            async with channel.server_streaming(COUNT, bytes(101)):
                pytest.fail("it started")
        async with channel.duplex(TALK) as call:
            with pytest.raises(MessageTooLargeError):
                await call.send(bytes(101))
            with pytest.raises(TypeError):
                await call.send("text")  # type: ignore[arg-type]
            await call.send(b"well")
            assert await call.receive() == b"well"
            await call.send_eof()
            with pytest.raises(anyio.ClosedResourceError):
                await call.send(b"late")
            assert [message async for message in call] == []
            with pytest.raises(anyio.ClosedResourceError):
                await call.send(b"later")
        assert channel.open_calls == 0


async def test_a_call_is_entered_once_and_used_inside() -> None:
    async with joined(four_kinds()) as channel:
        call = channel.duplex(TALK)
        for use in (call.receive, call.send_eof, call.initial_metadata, call.wait_closed):
            with pytest.raises(RuntimeError, match="async with"):
                await use()
        with pytest.raises(RuntimeError, match="async with"):
            call.cancel()
        await call.aclose()
        async with call:
            await call.send(b"")
        with pytest.raises(RuntimeError, match="once"):
            async with call:
                pass
        assert (await call.wait_closed()).code is StatusCode.CANCELLED


@pytest.mark.req("D-34")
async def test_writing_after_an_ok_end_carries_the_status() -> None:
    async def at_once(call: DuplexServerCall[bytes, bytes]) -> None:
        call.set_trailing_metadata({"t": "1"})

    async with joined(four_kinds(at_once)) as channel, channel.duplex(TALK) as call:
        assert (await call.wait_closed()).ok
        with pytest.raises(CallClosedError) as caught:
            await call.send(b"")
        assert caught.value.status.ok
        assert list(caught.value.trailing_metadata) == [("t", "1")]
        assert isinstance(caught.value, anyio.BrokenResourceError)
        await call.send_eof()


@pytest.mark.req("D-17")
async def test_a_call_is_over_when_its_handler_has_returned() -> None:
    kept: list[Any] = []

    async def keep(call: DuplexServerCall[bytes, bytes]) -> None:
        kept.append(call)

    async with joined(four_kinds(keep)) as channel, channel.duplex(TALK) as client:
        assert (await client.wait_closed()).ok
        call = kept[0]
        for use in (call.receive, call.writer.send, call.send, call.send_initial_metadata):
            with pytest.raises(anyio.ClosedResourceError, match="has returned"):
                await (use(b"") if use in (call.writer.send, call.send) else use())
        with pytest.raises(anyio.ClosedResourceError, match="has returned"):
            call.set_trailing_metadata({})


@pytest.mark.req("D-35")
async def test_code_that_shields_itself_learns_that_the_client_has_left(caplog: pytest.LogCaptureFixture) -> None:
    learnt: list[Exception] = []
    running, over = anyio.Event(), anyio.Event()

    async def stubborn(call: DuplexServerCall[bytes, bytes]) -> None:
        running.set()
        with anyio.CancelScope(shield=True):
            for use in (lambda: call.receive(), lambda: call.send(b""), lambda: call.send_initial_metadata()):
                try:
                    await use()
                except CallClosedError as error:
                    learnt.append(error)
        over.set()
        raise Boom

    async with joined(four_kinds(stubborn)) as channel:
        async with channel.duplex(TALK):
            await running.wait()
        await over.wait()
        assert await channel.unary(HELLO, b"") == b"hello, "
    assert [error.status.code for error in learnt] == [StatusCode.CANCELLED] * 3  # type: ignore[attr-defined]
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


# --- sources ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("D-30")
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_exchange_sends_while_it_is_read(asynchronous: bool) -> None:
    def source() -> Iterator[bytes]:
        yield from (b"%d" % number * 100 for number in range(3000))

    async def asource() -> AsyncIterator[bytes]:
        for message in source():
            yield message

    async with over_tcp(four_kinds()) as channel, channel.duplex(TALK) as call:
        async with call.exchange(asource() if asynchronous else source()) as replies:
            assert [reply async for reply in replies] == list(source())
        assert call.status == Status()


@pytest.mark.req("D-24", "D-30")
async def test_a_source_that_fails_cancels_the_call() -> None:
    closed: list[str] = []

    def failing() -> Iterator[bytes]:
        try:
            yield b"1"
            raise Boom
        finally:
            closed.append("sync")

    async def afailing() -> AsyncIterator[bytes]:
        try:
            yield b"1"
            raise Boom
        finally:
            closed.append("async")

    async with joined(four_kinds()) as channel:
        for source in (failing, afailing):
            with pytest.raises(Boom):
                async with channel.duplex(TALK) as call, call.exchange(source()) as replies:
                    async for _ in replies:
                        pass
            assert call.status is not None
            assert call.status.code is StatusCode.CANCELLED
            async with channel.client_streaming(SUM) as adding:
                with pytest.raises(Boom):
                    await adding.send_all(source())
                assert adding.status is not None
                assert adding.status.code is StatusCode.CANCELLED
    assert closed == ["sync"] * 2 + ["async"] * 2


async def test_leaving_an_exchange_early_stops_it() -> None:
    closed = anyio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.set()

    async with joined(four_kinds()) as channel, channel.duplex(TALK) as call:
        async with call.exchange(endless()) as replies:
            assert await replies.receive() == b"x"
        assert closed.is_set()
        with pytest.raises(Boom):
            async with call.exchange(endless()) as replies:
                await replies.receive()
                raise Boom
        with anyio.CancelScope() as scope:
            async with call.exchange(endless()) as replies:
                await replies.receive()
                scope.cancel()
                while True:
                    await replies.receive()
        assert scope.cancelled_caught
        assert call.status is None


async def test_an_exchange_that_the_server_ends_early() -> None:
    async def enough(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send(await call.receive())
        raise RpcError(StatusCode.RESOURCE_EXHAUSTED, "enough")

    async with joined(four_kinds(enough)) as channel, channel.duplex(TALK) as call:
        with pytest.raises(RpcError, match="enough"):
            async with call.exchange(bytes(1000) for _ in range(10_000)) as replies:
                async for _ in replies:
                    pass


# --- taking turns -----------------------------------------------------------------------------------------------------


async def test_a_tight_loop_lets_others_have_their_turn() -> None:
    """`send` and `receive` do not suspend while they need not; but no task may starve the rest."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0)
            turns += 1

    async with (
        joined(four_kinds(echo), client=ClientConfig(send_buffer=10_000_000)) as channel,
        channel.duplex(TALK) as call,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(other)
        for _ in range(16 * TURN):
            await call.send(b"")
        assert turns > 5
        tasks.cancel_scope.cancel()


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with joined(four_kinds()) as channel, channel.duplex(TALK) as call:
        heard = []
        for number in range(200):
            with anyio.move_on_after(0):
                heard.append(await call.receive())
            await call.send(b"%d" % number)
        await call.send_eof()
        heard += [message async for message in call]
        assert heard == [b"%d" % number for number in range(200)]


async def test_a_large_response_that_comes_while_the_client_still_sends() -> None:
    async def answer(call: ClientStreamingServerCall[bytes]) -> bytes:
        return await call.receive() * 20

    router = Router()
    router.add(SUM, answer)
    async with over_tcp(router) as channel, channel.client_streaming(SUM) as call:
        with pytest.raises(CallClosedError):
            while True:
                await call.send(bytes(50_000))
        assert await call.response() == bytes(1_000_000)


async def test_a_message_above_the_window_and_one_above_the_limit() -> None:
    async with over_tcp(four_kinds()) as channel:
        large = bytes(4 * 1024 * 1024 - 5)
        assert len(await channel.unary(HELLO, large[:-10])) == len(large) - 3
        with pytest.raises(RpcError) as caught:
            await channel.unary(HELLO, bytes(4 * 1024 * 1024 + 1))
        assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED


async def test_an_option_that_there_is_not_is_refused() -> None:
    """A mistyped one would else be no option at all."""
    options: Any = {"timeot": 3}
    async with joined(four_kinds()) as channel:
        with pytest.raises(TypeError, match="timeot"):
            await channel.unary(HELLO, b"", **options)
        with pytest.raises(TypeError, match="timeot"):
            async with channel.duplex(TALK, **options):
                pass
