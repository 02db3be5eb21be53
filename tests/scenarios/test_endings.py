"""How a call ends, and what each side learns of it: D-8, D-13, D-14, D-25, D-26, D-28, D-29, D-32, D-34, D-35."""

# ruff: noqa: SIM117 - a call has a block of its own where that reads better
from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import grpc.aio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from duplexcore import ClientConfig, FrameType, MessageTooLargeError, RpcError, ServerConfig, StatusCode
from duplexcore.testing.raw import RawPeer, data, message, rst
from duplexcore_anyio import CallClosedError, Channel, DuplexServerCall, connect, memory_link, serve
from tests.scenarios.wire import (
    PATH,
    TALK,
    Tape,
    Where,
    drain,
    echo,
    everywhere,
    open_calls_of_servers,
    routed,
    wired,
)
from tests.support.grpc_aio_peer import AioPeer, Gate

MIB = 1024 * 1024

# --- D-8a: an error at once -------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.req("D-8a")
async def test_an_error_at_once_wakes_a_parked_send(where: Where) -> None:
    """The handler fails before it has read; another call on the connection goes on unharmed."""
    go = anyio.Event()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        if call.metadata.get("role") == "bystander":
            await echo(call)
            return
        await go.wait()
        raise RpcError(StatusCode.PERMISSION_DENIED, "not you: né", trailing_metadata={"why": "because"})

    parked: list[RpcError] = []

    async with (
        wired(routed(handler), where) as channel,
        channel.duplex(TALK, metadata={"role": "bystander"}) as other,
        channel.duplex(TALK) as call,
    ):

        async def send_on() -> None:
            try:
                while True:
                    await call.send(bytes(50_000))
            except RpcError as error:
                parked.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send_on)
            await anyio.wait_all_tasks_blocked()  # the windows are full
            go.set()
        with pytest.raises(RpcError) as read:
            await call.receive()
        with pytest.raises(RpcError) as sent:
            await call.send(b"more")
        assert (await call.wait_closed()).code is StatusCode.PERMISSION_DENIED
        for error in (parked[0], read.value, sent.value):
            assert (error.code, error.message) == (StatusCode.PERMISSION_DENIED, "not you: né")
            assert error.trailing_metadata.get("why") == "because"
        await other.send(b"unharmed")
        assert await other.receive() == b"unharmed"
        await other.send_eof()
        assert (await other.wait_closed()).ok


@pytest.mark.req("D-8a")
async def test_an_error_at_once_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        if dict(context.invocation_metadata()).get("role") == "bystander":
            async for one in requests:
                await context.write(one)
            return
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you: né", (("why", "because"),))

    async with (
        aio.server(Talk=handler) as target,
        connect(target) as channel,
        channel.duplex(TALK, metadata={"role": "bystander"}) as other,
        channel.duplex(TALK) as call,
    ):
        with pytest.raises(RpcError) as caught:
            while True:
                await call.send(bytes(50_000))
        assert (caught.value.code, caught.value.message) == (StatusCode.PERMISSION_DENIED, "not you: né")
        assert caught.value.trailing_metadata.get("why") == "because"
        await other.send(b"unharmed")
        assert await other.receive() == b"unharmed"
        await other.send_eof()
        assert (await other.wait_closed()).ok


@pytest.mark.req("D-8a")
async def test_an_error_at_once_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    """A write of grpc.aio's that fails replaces the status by INTERNAL, whoever the server is: so none is under way."""
    written = Gate()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        if call.metadata.get("role") == "bystander":
            await echo(call)
            return
        await written.passed()
        raise RpcError(StatusCode.PERMISSION_DENIED, "not you: né", trailing_metadata={"why": "because"})

    async def body(channel: grpc.aio.Channel) -> tuple[Any, str, dict[str, str]]:
        other = channel.stream_stream(PATH)(metadata=[("role", "bystander")])
        call = channel.stream_stream(PATH)()
        await call.write(bytes(50_000))
        written.open()
        assert await call.code() == grpc.StatusCode.PERMISSION_DENIED
        await other.write(b"unharmed")
        assert await other.read() == b"unharmed"
        await other.done_writing()
        assert await other.code() == grpc.StatusCode.OK
        return await call.code(), await call.details(), dict(await call.trailing_metadata())

    async with serve(routed(handler), "127.0.0.1:0") as server:
        code, details, trailing = await aio.client(f"127.0.0.1:{server.port}", body)
    assert (code, details, trailing["why"]) == (grpc.StatusCode.PERMISSION_DENIED, "not you: né", "because")


# --- D-8b, D-8c: OK at once, initial metadata at once -----------------------------------------------------------------


@everywhere
@pytest.mark.req("D-8b")
async def test_ok_at_once(where: Where) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        call.set_trailing_metadata({"left": "early"})

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        assert await drain(call) == []  # nobody has half-closed
        assert call.status is not None
        assert call.status.ok
        assert call.trailing_metadata.get("left") == "early"
        assert await call.initial_metadata() == type(call.trailing_metadata)()


@pytest.mark.req("D-8b")
async def test_ok_at_once_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        context.set_trailing_metadata((("left", "early"),))

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        assert await drain(call) == []
        assert call.status is not None
        assert call.status.ok
        assert call.trailing_metadata.get("left") == "early"


@pytest.mark.req("D-8b")
async def test_ok_at_once_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        call.set_trailing_metadata({"left": "early"})

    async def body(channel: grpc.aio.Channel) -> tuple[Any, dict[str, str]]:
        call = channel.stream_stream(PATH)()
        assert await call.read() == grpc.aio.EOF
        return await call.code(), dict(await call.trailing_metadata())

    async with serve(routed(handler), "127.0.0.1:0") as server:
        code, trailing = await aio.client(f"127.0.0.1:{server.port}", body)
    assert (code, trailing["left"]) == (grpc.StatusCode.OK, "early")


@everywhere
@pytest.mark.req("D-8c")
async def test_initial_metadata_at_once(where: Where) -> None:
    tape = Tape()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send_initial_metadata({"welcome": "yes"})
        await drain(call)

    async with wired(routed(handler), where, observer=tape) as channel, channel.duplex(TALK) as call:
        assert (await call.initial_metadata()).get("welcome") == "yes"
        assert tape.data("in") == tape.data("out") == 0  # no message has moved
        assert call.status is None
        await call.send_eof()
        assert await drain(call) == []


@pytest.mark.req("D-8c")
async def test_initial_metadata_at_once_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        await context.send_initial_metadata([("welcome", "yes")])
        assert await context.read() == grpc.aio.EOF

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        assert (await call.initial_metadata()).get("welcome") == "yes"
        await call.send_eof()
        assert await drain(call) == []


@pytest.mark.req("D-8c")
async def test_initial_metadata_at_once_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send_initial_metadata({"welcome": "yes"})
        await drain(call)

    async def body(channel: grpc.aio.Channel) -> dict[str, str]:
        call = channel.stream_stream(PATH)()
        initial = dict(await call.initial_metadata())
        await call.done_writing()
        assert await call.code() == grpc.StatusCode.OK
        return initial

    async with serve(routed(handler), "127.0.0.1:0") as server:
        assert (await aio.client(f"127.0.0.1:{server.port}", body))["welcome"] == "yes"


# --- D-13: the last message, then the end -----------------------------------------------------------------------------


@asynccontextmanager
async def raw_server(
    where: Where, script: Callable[[RawPeer, ByteStream], Awaitable[None]], **options: Any
) -> AsyncIterator[Channel]:
    """A channel to a server that is a script: it begins when the first request's headers have come."""

    async def run(stream: ByteStream) -> None:
        peer = RawPeer(client=False)
        async with stream:
            await stream.send(peer.hello())
            while not any(frame.type == FrameType.HEADERS for frame in peer.read(await stream.receive())):
                pass
            await script(peer, stream)
            try:
                while True:  # until the client leaves
                    await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass

    async with anyio.create_task_group() as tasks:
        if where.link == "memory":
            near, far = memory_link()
            tasks.start_soon(run, far)
            connecting = Channel.over(near, **options)
        else:
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")

            async def accept() -> None:
                one: Any = listener.listeners[0]
                async with listener:
                    await run(await one.accept())

            tasks.start_soon(accept)
            port = listener.extra(SocketAttribute.local_port)
            connecting = connect(f"127.0.0.1:{port}", **options)
        async with connecting as channel:
            yield channel


def last_words(peer: RawPeer, after: bytes) -> bytes:
    """Headers, the last message, trailers, and perhaps a reset: for one segment."""
    return peer.response(1) + data(1, message(b"last")) + peer.trailers(1, 0, ("bye", "now")) + after


AFTER = pytest.mark.parametrize("after", [b"", rst(1, 0), rst(1, 8)], ids=["alone", "NO_ERROR", "CANCEL"])


@AFTER
@everywhere
@pytest.mark.req("D-13")
async def test_the_last_message_then_status_and_trailers(where: Where, after: bytes) -> None:
    async def script(peer: RawPeer, stream: ByteStream) -> None:
        await stream.send(last_words(peer, after))

    async with raw_server(where, script) as channel, channel.duplex(TALK) as call:
        assert (await call.wait_closed()).ok  # known before anything was read
        assert call.trailing_metadata.get("bye") == "now"
        assert await call.receive() == b"last"
        with pytest.raises(anyio.EndOfStream):
            await call.receive()
        assert call.status is not None
        assert call.status.ok
        assert call.trailing_metadata.get("bye") == "now"
        while channel.open_calls:  # our half of it is closed, too
            await anyio.sleep(0)


@AFTER
@pytest.mark.req("D-13")
async def test_the_last_message_wakes_a_reader_before_the_end(where: Where, after: bytes) -> None:
    """As before, with a reader that waits: and whatever way the bytes are cut."""
    size = len(last_words(RawPeer(client=False), after))
    for cut in range(0, size, 7):

        async def script(peer: RawPeer, stream: ByteStream, cut: int = cut) -> None:
            words = last_words(peer, after)
            if cut:
                await stream.send(words[:cut])
            await stream.send(words[cut:])

        async with raw_server(where, script) as channel, channel.duplex(TALK) as call:
            assert await drain(call) == [b"last"]
            assert call.status is not None
            assert call.status.ok
            assert call.trailing_metadata.get("bye") == "now"


@pytest.mark.req("D-13")
async def test_the_last_message_then_the_end(where: Where) -> None:
    """Our server says all three in one go, too: a message, the status, and that it wants no more."""

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send(b"last")
        call.set_trailing_metadata({"bye": "now"})
        raise RpcError(StatusCode.ABORTED, "so there")

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        assert (await call.wait_closed()).code is StatusCode.ABORTED
        assert await call.receive() == b"last"
        with pytest.raises(RpcError, match="so there") as caught:
            await call.receive()
        assert caught.value.trailing_metadata.get("bye") == "now"


@pytest.mark.req("D-13")
async def test_the_last_message_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        context.set_trailing_metadata((("bye", "now"),))
        yield b"last"

    async with aio.server(Talk=handler) as target, connect(target) as channel:
        for _ in range(50):
            async with channel.duplex(TALK) as call:
                assert (await call.wait_closed()).ok
                assert await drain(call) == [b"last"]
                assert call.trailing_metadata.get("bye") == "now"


@pytest.mark.req("D-13")
async def test_the_last_message_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send(b"last")
        call.set_trailing_metadata({"bye": "now"})

    async def body(channel: grpc.aio.Channel) -> None:
        for _ in range(50):
            call = channel.stream_stream(PATH)()
            assert await call.read() == b"last"
            assert await call.read() == grpc.aio.EOF
            assert await call.code() == grpc.StatusCode.OK
            assert dict(await call.trailing_metadata())["bye"] == "now"

    async with serve(routed(handler), "127.0.0.1:0") as server:
        await aio.client(f"127.0.0.1:{server.port}", body)


# --- D-14: the server ends before the client half-closes --------------------------------------------------------------


async def fickle(call: DuplexServerCall[bytes, bytes]) -> None:
    """Ends early, in the way that the metadata says; for the path "echo" it does not."""
    match call.metadata.get("how"):
        case "ok":
            return
        case "one":
            await call.receive()
        case "error":
            raise RpcError(StatusCode.OUT_OF_RANGE, "no further", trailing_metadata={"k": "v"})
        case _:
            await echo(call)


HOWS = ("ok", "one", "error")


@pytest.mark.req("D-14")
async def test_a_thousand_early_ends_leave_the_connection_healthy(where: Where) -> None:
    """Each leaves messages that nobody reads: many MB in all, while the connection's window is 1 MiB. And the server
    takes only one call at a time: one that leaked would be the last."""
    tape = Tape()
    client = ClientConfig(max_receive_message_size=8 * MIB, send_buffer=4_000)
    server = ServerConfig(max_concurrent_calls=1, max_receive_message_size=8 * MIB)
    async with wired(routed(fickle), where, server=server, client=client, observer=tape) as channel:
        for index in range(1_000):
            how = HOWS[index % 3]
            async with channel.duplex(TALK, metadata={"how": how}) as call:
                with pytest.raises((RpcError, CallClosedError)) as caught:
                    while True:
                        await call.send(bytes(8_000))
                expected = StatusCode.OUT_OF_RANGE if how == "error" else StatusCode.OK
                error: Any = caught.value
                assert error.status.code is expected
                assert error.trailing_metadata.get("k") == ("v" if how == "error" else None)
                with pytest.raises(type(error)):  # and again, at once
                    await call.send(b"")
                await call.send_eof()  # as after any end
                assert call.status == error.status
        assert (channel.open_calls, channel.waiting_calls) == (0, 0)
        assert tape.data("out") > 4 * MIB
        tape.frames.clear()
        async with channel.duplex(TALK) as call, call.exchange([bytes(5 * MIB)]) as replies:
            assert await drain(replies) == [bytes(5 * MIB)]
        assert open_calls_of_servers() == 0


@pytest.mark.req("D-14")
async def test_the_client_closes_its_half(where: Where) -> None:
    """After an early end nothing is left open, on either side, though the client has not left the call."""
    ours, theirs = Tape(), Tape()
    async with (
        wired(routed(fickle), where, observer=ours, server_observer=theirs) as channel,
        channel.duplex(TALK, metadata={"how": "ok"}) as call,
    ):
        assert (await call.wait_closed()).ok
        while channel.open_calls or open_calls_of_servers():
            await anyio.sleep(0.001)
        resets = [frame for tape in (ours, theirs) for frame in tape.of("out", FrameType.RST_STREAM)]
        assert resets
        assert {frame.payload for frame in resets} == {bytes(4)}  # NO_ERROR: nobody is to blame


@pytest.mark.req("D-14")
async def test_a_thousand_early_ends_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        match dict(context.invocation_metadata()).get("how"):
            case "ok":
                return
            case "one":
                await context.read()
            case "error":
                await context.abort(grpc.StatusCode.OUT_OF_RANGE, "no further")
            case _:
                async for one in requests:
                    await context.write(one)

    config = ClientConfig(max_receive_message_size=8 * MIB, send_buffer=4_000)
    async with aio.server(Talk=handler) as target, connect(target, config=config) as channel:
        for index in range(1_000):
            how = HOWS[index % 3]
            async with channel.duplex(TALK, metadata={"how": how}) as call:
                with pytest.raises((RpcError, CallClosedError)) as caught:
                    while True:
                        await call.send(bytes(8_000))
                error: Any = caught.value
                assert error.status.code is (StatusCode.OUT_OF_RANGE if how == "error" else StatusCode.OK)
        assert channel.open_calls == 0
        async with channel.duplex(TALK) as call, call.exchange([bytes(5 * MIB)]) as replies:
            assert await drain(replies) == [bytes(5 * MIB)]


@pytest.mark.req("D-14")
async def test_a_thousand_early_ends_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def body(channel: grpc.aio.Channel) -> None:
        for index in range(1_000):
            how = HOWS[index % 3]
            call = channel.stream_stream(PATH)(metadata=[("how", how)])
            if how == "one":
                await call.write(bytes(20_000))
            expected = grpc.StatusCode.OUT_OF_RANGE if how == "error" else grpc.StatusCode.OK
            assert await call.code() == expected
        call = channel.stream_stream(PATH)(iter([bytes(5 * MIB)]))
        assert [one async for one in call] == [bytes(5 * MIB)]

    config = ServerConfig(max_receive_message_size=8 * MIB, max_concurrent_calls=1)
    async with serve(routed(fickle), "127.0.0.1:0", config=config) as server:
        await aio.client(f"127.0.0.1:{server.port}", body)


# --- D-25: returning and raising --------------------------------------------------------------------------------------


async def moody(call: DuplexServerCall[bytes, bytes]) -> None:
    call.set_trailing_metadata({"mood": "set"})
    match call.metadata.get("how"):
        case "return":
            return
        case "rpc error":
            raise RpcError(StatusCode.NOT_FOUND, "no such thing", trailing_metadata={"raised": "yes"})
        case "grouped":
            async with anyio.create_task_group() as tasks:

                async def fail() -> None:
                    raise RpcError(StatusCode.NOT_FOUND, "no such thing", trailing_metadata={"raised": "yes"})

                tasks.start_soon(fail)
                await anyio.sleep_forever()
        case "too large":
            await call.send(bytes(200))
        case _:
            raise KeyError("the password is 12345")


SMALL = ServerConfig(max_send_message_size=100)


@everywhere
@pytest.mark.req("D-25")
@pytest.mark.parametrize(
    ("how", "code", "text"),
    [
        ("return", StatusCode.OK, ""),
        ("rpc error", StatusCode.NOT_FOUND, "no such thing"),
        ("grouped", StatusCode.NOT_FOUND, "no such thing"),
        ("too large", StatusCode.RESOURCE_EXHAUSTED, ""),
    ],
)
async def test_return_is_ok_raising_is_an_error(where: Where, how: str, code: StatusCode, text: str) -> None:
    """(The fixture ``quiet`` sees that nothing is logged above debug.)"""
    async with wired(routed(moody), where, server=SMALL) as channel:
        async with channel.duplex(TALK, metadata={"how": how}) as call:
            status = await call.wait_closed()
            assert status.code is code
            assert status.message == text or how == "too large"
            assert call.trailing_metadata.get("mood") == "set"
            assert call.trailing_metadata.get("raised") == ("yes" if code is StatusCode.NOT_FOUND else None)


@everywhere
@pytest.mark.req("D-25")
async def test_anything_else_is_unknown_and_leaks_nothing(
    where: Where, loud: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with wired(routed(moody), where) as channel, channel.duplex(TALK, metadata={"how": "badly"}) as call:
        with pytest.raises(RpcError) as caught:
            await call.receive()
        error = caught.value
        assert error.code is StatusCode.UNKNOWN
        shown = error.message + repr(list(error.trailing_metadata))
        assert error.message
        assert not any(word in shown for word in ("12345", "KeyError", "Traceback", "moody", ".py"))
    errors = [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert [record.name for record in errors] == ["duplexcore_anyio"]
    assert errors[0].exc_info is not None
    assert isinstance(errors[0].exc_info[1], KeyError)


@pytest.mark.req("D-25")
async def test_a_message_too_large_is_caught_or_not(where: Where) -> None:
    """Caught, nothing was sent and the call goes on."""

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        with pytest.raises(MessageTooLargeError):
            await call.send(bytes(200))
        await call.send(bytes(100))

    async with wired(routed(handler), where, server=SMALL) as channel, channel.duplex(TALK) as call:
        assert await drain(call) == [bytes(100)]


@pytest.mark.req("D-25")
async def test_returning_and_raising_with_grpc_aio_as_client(backend: str, aio: AioPeer, loud: None) -> None:
    async def body(channel: grpc.aio.Channel) -> list[tuple[Any, str, Any]]:
        outcomes = []
        for how in ("return", "rpc error", "grouped", "badly"):
            call = channel.stream_stream(PATH)(metadata=[("how", how)])
            trailing = dict(await call.trailing_metadata())
            outcomes.append((await call.code(), await call.details(), trailing.get("raised")))
            assert trailing["mood"] == "set"
        return outcomes

    async with serve(routed(moody), "127.0.0.1:0") as server:
        outcomes = await aio.client(f"127.0.0.1:{server.port}", body)
    assert outcomes[:3] == [
        (grpc.StatusCode.OK, "", None),
        (grpc.StatusCode.NOT_FOUND, "no such thing", "yes"),
        (grpc.StatusCode.NOT_FOUND, "no such thing", "yes"),
    ]
    assert outcomes[3][0] == grpc.StatusCode.UNKNOWN
    assert "12345" not in outcomes[3][1]


@pytest.mark.req("D-25")
async def test_returning_and_raising_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    """What is raised over there is UNKNOWN here."""

    async def handler(requests: Any, context: Any) -> None:
        if dict(context.invocation_metadata())["how"] == "badly":
            raise KeyError("key")
        context.set_trailing_metadata((("mood", "set"),))

    logging.getLogger("grpc._cython.cygrpc").disabled = True
    try:
        async with aio.server(Talk=handler) as target, connect(target) as channel:
            async with channel.duplex(TALK, metadata={"how": "return"}) as call:
                assert await drain(call) == []
                assert call.trailing_metadata.get("mood") == "set"
            async with channel.duplex(TALK, metadata={"how": "badly"}) as call:
                assert (await call.wait_closed()).code is StatusCode.UNKNOWN
    finally:
        logging.getLogger("grpc._cython.cygrpc").disabled = False


# --- D-26: a call is scoped -------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.req("D-26")
async def test_leaving_early_resets_and_the_server_sees_it(where: Where) -> None:
    cancelled = anyio.Event()
    states: list[bool] = []
    tape = Tape()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        states.append(call.is_cancelled)
        await call.send(b"hello")
        try:
            await call.receive()
        except anyio.get_cancelled_exc_class():
            states.append(call.is_cancelled)
            cancelled.set()
            raise

    async with wired(routed(handler), where, observer=tape) as channel:
        async with channel.duplex(TALK) as call:
            assert await call.receive() == b"hello"
        await cancelled.wait()
        assert states == [False, True]
        assert [frame.payload[3] for frame in tape.of("out", FrameType.RST_STREAM)] == [8]  # CANCEL
        assert call.status is not None
        assert call.status.code is StatusCode.CANCELLED
        for use in (call.receive(), call.send(b"")):
            with pytest.raises(anyio.ClosedResourceError):
                await use
        assert channel.open_calls == 0


@everywhere
@pytest.mark.req("D-26")
async def test_leaving_after_the_end_sends_nothing(where: Where) -> None:
    tape = Tape()
    async with wired(routed(fickle), where, observer=tape) as channel:
        async with channel.duplex(TALK) as call:
            await call.send(b"unread answer")
            await call.send_eof()
            await call.wait_closed()
            await anyio.wait_all_tasks_blocked()
            sent = tape.of("out")
        await anyio.wait_all_tasks_blocked()
        assert tape.of("out") == sent
        assert tape.of("out", FrameType.RST_STREAM) == []


@pytest.mark.req("D-26")
async def test_an_exception_or_a_cancellation_leaves_the_call_as_well(where: Where) -> None:
    seen = anyio.Event()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        try:
            await call.send(b"hello")
            await anyio.sleep_forever()
        finally:
            seen.set()

    async with wired(routed(handler), where) as channel:
        with pytest.raises(LookupError, match="mine"):
            async with channel.duplex(TALK) as call:
                await call.receive()
                raise LookupError("mine")
        await seen.wait()
        seen = anyio.Event()
        with anyio.CancelScope() as scope:
            async with channel.duplex(TALK) as call:
                await call.receive()
                scope.cancel()
                await call.receive()
        assert scope.cancelled_caught
        await seen.wait()


@pytest.mark.req("D-26")
async def test_leaving_never_hangs(where: Where) -> None:
    """The peer says nothing, reads nothing, and the windows are full: leaving the call waits for nobody, and leaving
    the channel not for long."""

    async def deaf(peer: RawPeer, stream: ByteStream) -> None:
        await left.wait()

    left = anyio.Event()
    async with raw_server(where, deaf) as channel:
        async with channel.duplex(TALK) as call, anyio.create_task_group() as tasks:
            tasks.start_soon(_send_until_left, call)
            await anyio.wait_all_tasks_blocked()
            before = anyio.current_time()
            await call.aclose()
            assert anyio.current_time() - before < 1
        before = anyio.current_time()
        await channel.aclose()
        assert anyio.current_time() - before < 10  # 2 s, says the contract; a busy machine is slower
        left.set()


async def _send_until_left(call: Any) -> None:
    with pytest.raises((anyio.ClosedResourceError, RpcError)):
        while True:
            await call.send(bytes(60_000))


@pytest.mark.req("D-26")
async def test_leaving_early_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    outcomes: list[bool] = []

    async def handler(requests: Any, context: Any) -> None:
        try:
            await context.write(b"hello")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            outcomes.append(True)
            raise
        outcomes.append(False)

    async with aio.server(Talk=handler) as target, connect(target) as channel:
        async with channel.duplex(TALK) as call:
            assert await call.receive() == b"hello"
        while not outcomes:
            await anyio.sleep(0.001)
        assert channel.open_calls == 0
    assert outcomes == [True]


@pytest.mark.req("D-26", "D-35")
async def test_leaving_early_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    """Its ``cancel``, its deadline, the loss of its channel: one outcome for the handler."""
    ended: list[str] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        try:
            await call.send(b"hello")
            await call.receive()
        except BaseException as error:
            assert call.is_cancelled
            ended.append("cancelled" if isinstance(error, anyio.get_cancelled_exc_class()) else repr(error))
            raise

    async def cancels(channel: grpc.aio.Channel) -> None:
        call = channel.stream_stream(PATH)()
        assert await call.read() == b"hello"
        call.cancel()

    async def runs_out(channel: grpc.aio.Channel) -> None:
        call = channel.stream_stream(PATH)(timeout=0.2)
        assert await call.read() == b"hello"
        assert await call.code() == grpc.StatusCode.DEADLINE_EXCEEDED

    async def closes(channel: grpc.aio.Channel) -> None:
        call = channel.stream_stream(PATH)()
        assert await call.read() == b"hello"
        await channel.close()

    async with serve(routed(handler), "127.0.0.1:0") as server:
        for body in (cancels, runs_out, closes):
            await aio.client(f"127.0.0.1:{server.port}", body)
        while len(ended) < 3 or open_calls_of_servers():
            await anyio.sleep(0.001)
    assert ended == ["cancelled"] * 3


# --- D-28: half-close, then the server writes -------------------------------------------------------------------------


@everywhere
@pytest.mark.req("D-28")
async def test_responses_after_the_half_close(where: Where) -> None:
    theirs = Tape()
    seen = anyio.Event()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        assert await drain(call) == [b"all"]
        seen.set()
        for index in range(10):
            await call.send(b"%d" % index)

    async with wired(routed(handler), where, server_observer=theirs) as channel, channel.duplex(TALK) as call:
        await call.send(b"all")
        await call.send_eof()
        await call.send_eof()  # a no-op
        await seen.wait()
        await call.send_eof()
        with pytest.raises(anyio.ClosedResourceError):
            await call.send(b"more")
        assert await drain(call) == [b"%d" % index for index in range(10)]
        await call.send_eof()
        assert call.status is not None
        assert call.status.ok
    assert theirs.ends("in") == 1
    assert theirs.ends("out") == 1
    assert theirs.of("in", FrameType.RST_STREAM) == []


@pytest.mark.req("D-28")
async def test_responses_after_the_half_close_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    tape = Tape()

    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        assert [one async for one in requests] == [b"all"]
        for index in range(10):
            yield b"%d" % index

    async with aio.server(Talk=handler) as target, connect(target, observer=tape) as channel:
        async with channel.duplex(TALK) as call:
            await call.send(b"all")
            await call.send_eof()
            await call.send_eof()
            assert await drain(call) == [b"%d" % index for index in range(10)]
    assert tape.ends("out") == 1


@pytest.mark.req("D-28")
async def test_responses_after_the_half_close_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        assert await drain(call) == [b"all"]
        await call.send_all(b"%d" % index for index in range(10))

    async def body(channel: grpc.aio.Channel) -> list[bytes]:
        call = channel.stream_stream(PATH)()
        await call.write(b"all")
        await call.done_writing()
        await call.done_writing()
        return [one async for one in call]

    async with serve(routed(handler), "127.0.0.1:0") as server:
        answers = await aio.client(f"127.0.0.1:{server.port}", body)
    assert answers == [b"%d" % index for index in range(10)]


# --- D-29, D-34: reading to the end, writing after it -----------------------------------------------------------------


@everywhere
@pytest.mark.req("D-29", "D-34")
async def test_reading_to_an_ok_end_and_writing_after_it(where: Where) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send_all([b"1", b"2"])
        call.set_trailing_metadata({"k": "v"})

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        assert await drain(call) == [b"1", b"2"]
        for _ in range(3):  # asking again repeats the outcome
            assert await drain(call) == []
            with pytest.raises(anyio.EndOfStream):
                await call.receive()
            with pytest.raises(CallClosedError) as caught:
                await call.send(b"late")
            assert caught.value.status.ok
            assert caught.value.trailing_metadata.get("k") == "v"
            assert isinstance(caught.value, anyio.BrokenResourceError)
            assert not isinstance(caught.value, RpcError)
            with pytest.raises(CallClosedError):
                await call.send_all([b"late"])
        await call.send_eof()


@everywhere
@pytest.mark.req("D-29")
async def test_reading_to_another_end_raises(where: Where) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send_all([b"1", b"2"])
        raise RpcError(StatusCode.DATA_LOSS, "the rest is gone", trailing_metadata={"k": "v"})

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        heard = []
        with pytest.raises(RpcError, match="the rest is gone"):
            async for one in call:
                heard.append(one)
        assert heard == [b"1", b"2"]
        for _ in range(3):
            for ask in (call.receive, lambda: drain(call), lambda: call.send(b"late")):
                with pytest.raises(RpcError) as caught:
                    await ask()
                assert caught.value.code is StatusCode.DATA_LOSS
                assert caught.value.trailing_metadata.get("k") == "v"


@pytest.mark.req("D-29", "D-34")
async def test_reading_to_the_end_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        await context.write(b"1")
        if dict(context.invocation_metadata()).get("how") == "error":
            await context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    async with aio.server(Talk=handler) as target, connect(target) as channel:
        async with channel.duplex(TALK) as call:
            assert await drain(call) == [b"1"]
            for _ in range(2):
                assert await drain(call) == []
                with pytest.raises(CallClosedError) as closed:
                    await call.send(b"late")
                assert closed.value.status.ok
        async with channel.duplex(TALK, metadata={"how": "error"}) as call:
            assert await call.receive() == b"1"
            for _ in range(2):
                with pytest.raises(RpcError, match="gone"):
                    await drain(call)


@pytest.mark.req("D-29")
async def test_reading_to_the_end_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    """(What a late write raises over there is grpcio's own affair: D-34.)"""

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send(b"1")
        if call.metadata.get("how") == "error":
            raise RpcError(StatusCode.DATA_LOSS, "gone")

    async def body(channel: grpc.aio.Channel) -> None:
        call = channel.stream_stream(PATH)()
        assert [one async for one in call] == [b"1"]
        assert await call.code() == grpc.StatusCode.OK
        call = channel.stream_stream(PATH)(metadata=[("how", "error")])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.DATA_LOSS, "gone")

    async with serve(routed(handler), "127.0.0.1:0") as server:
        await aio.client(f"127.0.0.1:{server.port}", body)


# --- D-32: nobody reads -----------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.req("D-32")
@pytest.mark.parametrize("code", [StatusCode.OK, StatusCode.ABORTED])
async def test_completion_does_not_depend_on_reading(where: Where, code: StatusCode) -> None:
    """Responses lie unread; the server ends: a parked writer, waiters and the status see it."""
    go = anyio.Event()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send_all([b"unread"] * 3)
        await go.wait()
        if code is not StatusCode.OK:
            raise RpcError(code, "enough")

    outcomes: list[Any] = []

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:

        async def write() -> None:
            try:
                while True:
                    await call.send(bytes(50_000))
            except (RpcError, CallClosedError) as error:
                outcomes.append(error.status.code)

        async def wait() -> None:
            outcomes.append((await call.wait_closed()).code)

        async with anyio.create_task_group() as tasks:
            for task in (write, wait, wait):
                tasks.start_soon(task)
            await anyio.wait_all_tasks_blocked()
            assert outcomes == []
            assert call.status is None
            go.set()
        assert outcomes == [code] * 3
        assert call.status is not None
        assert call.status.code is code
        assert [await call.receive() for _ in range(3)] == [b"unread"] * 3  # still there


@pytest.mark.req("D-32")
async def test_completion_without_reading_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        for _ in range(3):
            await context.write(b"unread")
        await context.abort(grpc.StatusCode.ABORTED, "enough")

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        with pytest.raises(RpcError, match="enough"):
            while True:
                await call.send(bytes(50_000))
        assert (await call.wait_closed()).code is StatusCode.ABORTED
        assert [await call.receive() for _ in range(3)] == [b"unread"] * 3


# D-32 cannot be said with grpc.aio as client: its calls do end only when they are read.


# --- D-35: one outcome when the client leaves -------------------------------------------------------------------------


class Watched:
    """A handler that is always in the middle of something, and notes everything that it is ever raised."""

    def __init__(self) -> None:
        self.raised: list[str] = []
        self.running = 0

    async def __call__(self, call: DuplexServerCall[bytes, bytes]) -> None:
        self.running += 1
        try:
            match call.metadata.get("doing"):
                case "echo":
                    async for one in call:
                        await call.send(one)
                case "send":
                    while True:
                        await call.send(bytes(5_000))
                case "receive":
                    await drain(call)
                case "headers":
                    await call.send_initial_metadata({"k": "v"})
                    await anyio.sleep_forever()
                case "tasks":
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(drain, call.reader)
                        while True:
                            await call.writer.send(b"x")
                            await anyio.sleep(0)
                case _:
                    await anyio.sleep_forever()
        except BaseException as error:
            kinds = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
            cancelled = anyio.get_cancelled_exc_class()
            self.raised += [type(kind).__name__ for kind in kinds if not isinstance(kind, cancelled)]
            raise
        finally:
            self.running -= 1


DOINGS = ["echo", "send", "receive", "headers", "tasks", "sleep"]


@pytest.mark.req("D-35")
@pytest.mark.parametrize("doing", DOINGS)
async def test_one_outcome_when_the_client_leaves(where: Where, doing: str) -> None:
    """Whatever the handler does, and however many turns of the event loop after the opening the client leaves."""
    handler = Watched()
    async with wired(routed(handler), where) as channel:
        for turns in range(30):
            async with channel.duplex(TALK, metadata={"doing": doing}) as call:
                for turn in range(turns):
                    if turn % 3 == 0:
                        await call.send(b"%d" % turn)
                    await anyio.sleep(0)
                if turns % 4 == 1:
                    call.cancel()
                elif turns % 4 == 2:
                    await call.send_eof()
            assert call.status is not None
            assert call.status.code in (StatusCode.CANCELLED, StatusCode.OK)
    assert handler.raised == []
    assert handler.running == 0


@pytest.mark.req("D-35")
@pytest.mark.parametrize("doing", DOINGS)
async def test_one_outcome_when_the_deadline_passes_or_the_connection_is_lost(where: Where, doing: str) -> None:
    handler = Watched()
    for turns in range(8):
        async with wired(routed(handler), where) as channel:
            async with channel.duplex(TALK, metadata={"doing": doing}, timeout=0.001 * turns) as call:
                assert (await call.wait_closed()).code is StatusCode.DEADLINE_EXCEEDED
            with anyio.CancelScope() as scope:  # leaving takes the open call along
                async with channel.duplex(TALK, metadata={"doing": doing}) as call:
                    for _ in range(turns):
                        await anyio.sleep(0)
                    await channel.aclose()
                    scope.cancel()
    assert handler.raised == []
    assert handler.running == 0


@pytest.mark.req("D-35")
async def test_one_outcome_with_grpc_aio_as_client_at_many_points(backend: str, aio: AioPeer) -> None:
    handler = Watched()

    async def body(channel: grpc.aio.Channel) -> None:
        for doing in DOINGS:
            for turns in range(10):
                call = channel.stream_stream(PATH)(metadata=[("doing", doing)])
                for turn in range(turns):
                    if turn % 3 == 0:
                        await call.write(b"%d" % turn)
                    elif doing == "echo" and turn % 3 == 1:
                        await call.read()
                call.cancel()

    async with serve(routed(handler), "127.0.0.1:0") as server:
        await aio.client(f"127.0.0.1:{server.port}", body)
        while handler.running or open_calls_of_servers():
            await anyio.sleep(0.001)
    assert handler.raised == []


# D-35 with grpc.aio as server is what its handlers see: grpcio's own affair. That it is told is D-26.
