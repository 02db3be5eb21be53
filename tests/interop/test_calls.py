"""What a call carries beside its messages, and how it ends, against grpcio and grpc.aio, in both directions.

The handlers of their servers are plain functions where grpc.aio can run those, too. (In 1.85 it can not abort a stream
from one: GRPC_CALL_ERROR_TOO_MANY_OPERATIONS; nor does it tell one that the client has left.)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import anyio
import grpc
import pytest

from duplexcore import Frame, FrameType, Metadata, RpcError, StatusCode
from duplexcore.rpc import DuplexMethod
from duplexcore_anyio import CallClosedError, DuplexServerCall, ServerContext
from tests.interop.peers import AIO, ECHO, SYNC, UNARY, AioChannel, Peers, in_thread, routed
from tests.support import grpc_peer
from tests.support.grpc_peer import Feed, GrpcChannel, Handlers, failure, pairs

pytestmark = pytest.mark.usefixtures("backend")

#: Longer than any test waits.
LONG = 50.0


def theirs(peers: Peers, **instead: Any) -> Handlers:
    """The echoes of a server of theirs, or others instead: one for both, or a pair whose second is for grpc.aio."""
    sync = peers.flavour == "grpcio"
    handlers = dict(SYNC if sync else AIO)
    for name, handler in instead.items():
        first, second = handler if isinstance(handler, tuple) else (handler, handler)
        handlers[getattr(grpc_peer, name)] = first if sync else second
    return handlers


def by_name(metadata: Iterable[Any]) -> dict[str, list[str | bytes]]:
    """Order matters among the values of one name (MD-6); C-core moves names that it knows."""
    found: dict[str, list[str | bytes]] = {}
    for name, value in metadata:
        if name != "user-agent":  # grpcio shows it to handlers, see MD-9
            found.setdefault(name, []).append(value)
    return found


# --- metadata ---------------------------------------------------------------------------------------------------------

#: Repeated names whose values must keep their order, all bytes, no bytes, and text that looks like syntax.
SENT: list[tuple[str, str | bytes]] = [
    ("twice", "b"),
    ("data-bin", bytes(range(256))),
    ("twice", "a"),
    ("data-bin", b""),
    ("data-bin", b"\xff"),
    ("text", 'a, b; c="%20" ~'),
    ("x_y.z-0", "1"),
]


@pytest.mark.req("D-7", "HDR-11", "MD-4", "MD-5", "MD-6", "MD-9")
async def test_metadata_of_our_client_and_their_server(peers: Peers) -> None:
    got: list[Any] = []

    def handler(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        got.extend(pairs(context.invocation_metadata()))
        context.send_initial_metadata(tuple(SENT))
        context.set_trailing_metadata(tuple(SENT))
        yield b"done"

    async with peers.server(theirs(peers, ECHO=handler)) as channel, channel.duplex(ECHO, metadata=SENT) as call:
        assert by_name(await call.initial_metadata()) == by_name(SENT)
        assert [reply async for reply in call] == [b"done"]
        assert by_name(call.trailing_metadata) == by_name(SENT)
    assert by_name(got) == by_name(SENT)
    assert str(dict(got)["user-agent"]).startswith("grpc-python-duplexcore/")


@pytest.mark.req("D-7", "HDR-5", "HDR-13", "MD-4", "MD-5", "MD-6", "MD-9")
async def test_metadata_of_their_client_and_our_server(peers: Peers) -> None:
    got: list[ServerContext] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        got.append(call)
        await call.send_initial_metadata(SENT)
        call.set_trailing_metadata(SENT)
        # A call that ends together with its headers has none in grpc.aio, now and then: the status overtakes them.
        assert [request async for request in call] == []

    def sync(channel: GrpcChannel) -> list[Any]:
        with Feed() as feed:
            call = channel.method(grpc_peer.ECHO)(feed, metadata=SENT)
            initial = pairs(call.initial_metadata())
            feed.half_close()
            return [initial, list(call), pairs(call.trailing_metadata())]

    async def aio(channel: AioChannel) -> list[Any]:
        call = channel.method(grpc_peer.ECHO)(metadata=SENT)
        initial = pairs(await call.initial_metadata())
        await call.done_writing()
        return [initial, [reply async for reply in call], pairs(await call.trailing_metadata())]

    async with peers.our_server(routed(echo=handler)) as server:
        initial, replies, trailing = await peers.client(server.port, sync, aio)
        assert (by_name(initial), replies, by_name(trailing)) == (by_name(SENT), [], by_name(SENT))
        (context,) = got
        assert by_name(context.metadata) == by_name(SENT)
        assert context.authority == f"127.0.0.1:{server.port}"
        assert context.user_agent.startswith("grpc-python")
        assert context.peer.startswith("127.0.0.1:")


# --- statuses ---------------------------------------------------------------------------------------------------------

#: What must be escaped, and what only looks as if it were.
TEXT = "\t\n100 % %41 Ünï☺😈 \r\n"
DETAILS = bytes(range(256))


@pytest.mark.req("STAT-1", "STAT-9", "STAT-20", "MD-3")
async def test_every_status_of_their_server(peers: Peers) -> None:
    codes = {code.value[0]: code for code in grpc.StatusCode}

    def handler(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        (number,) = (int(value) for name, value in context.invocation_metadata() if name == "code")
        context.set_trailing_metadata((("number", str(number)), ("grpc-status-details-bin", DETAILS)))
        yield b"before"
        if number:
            context.abort(codes[number], f"{number}{TEXT}")

    async def aio_handler(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        (number,) = (int(value) for name, value in context.invocation_metadata() if name == "code")
        context.set_trailing_metadata((("number", str(number)), ("grpc-status-details-bin", DETAILS)))
        yield b"before"
        if number:
            await context.abort(codes[number], f"{number}{TEXT}")

    async with peers.server(theirs(peers, ECHO=(handler, aio_handler))) as channel:
        for number in range(17):
            async with channel.duplex(ECHO, metadata={"code": str(number)}) as call:
                assert await call.receive() == b"before"
                status = await call.wait_closed()
                assert (status.code, status.message) == (StatusCode(number), f"{number}{TEXT}" if number else "")
                assert by_name(call.trailing_metadata) == {
                    "number": [str(number)],
                    "grpc-status-details-bin": [DETAILS],
                }


@pytest.mark.req("STAT-1", "STAT-6", "STAT-8", "STAT-20", "MD-3", "D-25", "DUP-24", "DUP-38")
async def test_every_status_of_our_server(peers: Peers) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        number = int(str(call.metadata.get("code")))
        trailing = Metadata([("number", str(number)), ("grpc-status-details-bin", DETAILS)])
        await call.send(b"before")
        if number:
            raise RpcError(StatusCode(number), f"{number}{TEXT}", trailing_metadata=trailing)
        call.set_trailing_metadata(trailing)

    def sync(channel: GrpcChannel) -> list[Any]:
        found = []
        for number in range(17):
            with Feed() as feed:
                call = channel.method(grpc_peer.ECHO)(feed, metadata=[("code", str(number))])
                assert next(call) == b"before"
                found.append((call.code(), call.details(), by_name(call.trailing_metadata())))
        return found

    async def aio(channel: AioChannel) -> list[Any]:
        found = []
        for number in range(17):
            call = channel.method(grpc_peer.ECHO)(metadata=[("code", str(number))])
            assert await call.read() == b"before"
            trailing = by_name(await call.trailing_metadata())
            found.append((await call.code(), await call.details(), trailing))
        return found

    async with peers.our_server(routed(echo=handler)) as server:
        found = await peers.client(server.port, sync, aio)
    expected = []
    for code in sorted(grpc.StatusCode, key=lambda code: code.value[0]):
        number = code.value[0]
        trailing = {"number": [str(number)], "grpc-status-details-bin": [DETAILS]}
        expected.append((code, f"{number}{TEXT}" if number else "", trailing))
    assert found == expected


@pytest.mark.usefixtures("loud")
@pytest.mark.req("D-25", "STAT-13")
async def test_an_exception_of_our_handler(peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    async def unary(request: bytes, context: ServerContext) -> bytes:
        raise ZeroDivisionError("secret")

    def sync(channel: GrpcChannel) -> tuple[Any, str]:
        with failure() as got:
            channel.unary(b"")
        return got.error.code(), got.error.details()

    async def aio(channel: AioChannel) -> tuple[Any, str]:
        with failure() as got:
            await channel.method(grpc_peer.UNARY)(b"")
        return got.error.code(), got.error.details()

    async with peers.our_server(routed(unary=unary)) as server:
        code, details = await peers.client(server.port, sync, aio)
    assert code is grpc.StatusCode.UNKNOWN
    assert "secret" not in details
    assert "secret" in caplog.text


# --- Trailers-Only, unknown methods -----------------------------------------------------------------------------------

MISSING = DuplexMethod("/interop.Peer/Missing", bytes, bytes)


@pytest.mark.req("STAT-4", "STAT-5", "STAT-12", "D-6", "D-8a")
async def test_trailers_only_of_their_server(peers: Peers) -> None:
    frames: list[Frame] = []

    def handler(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.set_trailing_metadata((("why", "because"),))
        context.abort(grpc.StatusCode.ABORTED, "at once")
        yield b""

    def observe(direction: str, frame: Frame) -> None:
        if direction == "in" and frame.type == FrameType.HEADERS:
            frames.append(frame)

    async with (
        peers.listening(theirs(peers, ECHO=handler)) as listening,
        peers.connected(listening.port, observer=observe) as channel,
    ):
        async with channel.duplex(ECHO) as call:
            status = await call.wait_closed()
            assert (status.code, status.message) == (StatusCode.ABORTED, "at once")
            with pytest.raises(RpcError) as got:
                await call.initial_metadata()
            assert got.value.code is StatusCode.ABORTED
            assert by_name(call.trailing_metadata) == {"why": ["because"]}
        assert len(frames) == 1  # C-core, too, says it in one block
        async with channel.duplex(MISSING) as call:
            assert (await call.wait_closed()).code is StatusCode.UNIMPLEMENTED
        assert len(frames) == 2
        assert await channel.unary(UNARY, b"goes on") == b"goes on"


@pytest.mark.req("STAT-2", "STAT-3", "STAT-12", "HDR-4", "HDR-15", "D-6", "D-8a")
async def test_trailers_only_of_our_server(peers: Peers) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        raise RpcError(StatusCode.ABORTED, "at once", trailing_metadata=Metadata({"why": "because"}))

    def sync(channel: GrpcChannel) -> list[Any]:
        found = []
        for path in (grpc_peer.ECHO, MISSING.path, "/interop.Nobody/Echo"):
            with Feed() as feed:
                call = channel.method(path)(feed)
                ended = call.code(), call.details()
                found.append((*ended, by_name(call.initial_metadata()), by_name(call.trailing_metadata())))
        assert channel.unary(b"goes on") == b"goes on"
        return found

    async def aio(channel: AioChannel) -> list[Any]:
        found = []
        for path in (grpc_peer.ECHO, MISSING.path, "/interop.Nobody/Echo"):
            call = channel.method(path)()
            ended = await call.code(), await call.details()
            metadata = by_name(await call.initial_metadata()), by_name(await call.trailing_metadata())
            found.append((*ended, *metadata))
        assert await channel.method(grpc_peer.UNARY)(b"goes on") == b"goes on"
        return found

    async with peers.our_server(routed(echo=handler)) as server:
        found = await peers.client(server.port, sync, aio)
    unimplemented = grpc.StatusCode.UNIMPLEMENTED
    assert found == [
        (grpc.StatusCode.ABORTED, "at once", {}, {"why": ["because"]}),
        (unimplemented, "service 'interop.Peer' has no method 'Missing'", {}, {}),
        (unimplemented, "unknown service 'interop.Nobody'", {}, {}),
    ]


# --- deadlines --------------------------------------------------------------------------------------------------------


@pytest.mark.req("DEAD-1", "HDR-12")
async def test_our_deadline_reaches_their_handler(peers: Peers) -> None:
    remaining: list[float | None] = []

    def handler(request: bytes, context: Any) -> bytes:
        remaining.append(context.time_remaining())
        return request

    async with peers.server(theirs(peers, UNARY=handler)) as channel:
        await channel.unary(UNARY, b"", timeout=LONG)
        with anyio.fail_after(LONG):
            await channel.unary(UNARY, b"")
        await channel.unary(UNARY, b"", inherit_deadline=False)
    first, second, third = remaining
    assert first is not None
    assert second is not None
    assert LONG / 2 < first <= LONG + 1
    assert LONG / 2 < second <= LONG + 1
    # No deadline is None in grpcio and nothing, or for ever, in grpc.aio's contexts for plain functions.
    assert third is None or third > 10 * LONG


@pytest.mark.req("DEAD-5", "DUP-12", "CANC-1", "CANC-4")
async def test_our_client_enforces_its_deadline(peers: Peers) -> None:
    gone = threading.Event()

    def handler(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.add_callback(gone.set)
        yield b"ready"
        gone.wait(LONG)

    async def aio_handler(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        context.add_done_callback(lambda _: gone.set())
        yield b"ready"
        await asyncio.sleep(LONG)

    async with peers.server(theirs(peers, ECHO=(handler, aio_handler))) as channel:
        async with channel.duplex(ECHO, timeout=0.2, inherit_deadline=False) as call:
            with pytest.raises(RpcError) as got:
                assert await call.receive() == b"ready"  # unless the machine is that slow
                await call.receive()
            assert got.value.code is StatusCode.DEADLINE_EXCEEDED
        assert await channel.unary(UNARY, b"goes on") == b"goes on"
        assert await in_thread(gone.wait, LONG)


@pytest.mark.req("DEAD-3", "DEAD-5", "DUP-10", "DUP-16", "D-35")
async def test_their_deadline_and_our_server(peers: Peers) -> None:
    """It arrives, and the handler is cancelled when it has passed, whichever clock said so first."""
    remaining: list[float | None] = []
    cancelled: list[bool] = []
    over = anyio.Event()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        remaining.append(call.time_remaining())
        try:
            await call.send(b"ready")
            await anyio.sleep(LONG)
        finally:
            cancelled.append(call.is_cancelled)
            over.set()

    async def unary(request: bytes, context: ServerContext) -> bytes:
        remaining.append(context.time_remaining())
        return request

    def sync(channel: GrpcChannel) -> Any:
        channel.unary(b"", timeout=LONG)
        channel.unary(b"")
        with Feed() as feed:
            return channel.method(grpc_peer.ECHO)(feed, timeout=0.3).code()

    async def aio(channel: AioChannel) -> Any:
        await channel.method(grpc_peer.UNARY)(b"", timeout=LONG)
        await channel.method(grpc_peer.UNARY)(b"")
        return await channel.method(grpc_peer.ECHO)(timeout=0.3).code()

    async with peers.our_server(routed(echo=handler, unary=unary)) as server:
        assert await peers.client(server.port, sync, aio) is grpc.StatusCode.DEADLINE_EXCEEDED
        await over.wait()
    first, second, third = remaining
    assert first is not None
    assert LONG / 2 < first <= LONG + 1
    assert second is None
    assert third is not None
    assert third <= 0.4
    assert cancelled == [True]


# --- cancellation -----------------------------------------------------------------------------------------------------


@pytest.mark.req("CANC-1", "CANC-4", "DUP-10", "D-26")
async def test_our_client_leaves(peers: Peers) -> None:
    gone: list[threading.Event] = []

    def handler(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        left = threading.Event()
        context.add_callback(left.set)  # the handler still runs: it is the client that ends the call
        gone.append(left)
        yield b"ready"
        left.wait(LONG)

    async def aio_handler(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        left = threading.Event()
        context.add_done_callback(lambda _: left.set())
        gone.append(left)
        yield b"ready"
        await asyncio.sleep(LONG)

    async with peers.server(theirs(peers, ECHO=(handler, aio_handler))) as channel:
        async with channel.duplex(ECHO) as call:
            assert await call.receive() == b"ready"
            call.cancel()
            assert (await call.wait_closed()).code is StatusCode.CANCELLED
        async with channel.duplex(ECHO) as call:
            assert await call.receive() == b"ready"
        assert call.status is not None
        assert call.status.code is StatusCode.CANCELLED
        assert await channel.unary(UNARY, b"goes on") == b"goes on"
        for left in gone:
            assert await in_thread(left.wait, LONG)
    assert len(gone) == 2


@pytest.mark.req("CANC-2", "CANC-4", "DUP-10", "DUP-16", "D-35")
async def test_their_client_leaves(peers: Peers) -> None:
    over = anyio.Event()
    seen: list[Any] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        seen.append(call.peer)
        await call.send(b"ready")
        try:
            await call.receive()
        finally:
            seen.append(call.is_cancelled)
            over.set()

    async def unary(request: bytes, context: ServerContext) -> bytes:
        await over.wait()
        seen.append(context.peer)
        return request

    def sync(channel: GrpcChannel) -> Any:
        with Feed() as feed:
            call = channel.method(grpc_peer.ECHO)(feed)
            assert next(call) == b"ready"
            call.cancel()
            assert channel.unary(b"goes on") == b"goes on"
            return call.code()

    async def aio(channel: AioChannel) -> Any:
        call = channel.method(grpc_peer.ECHO)()
        assert await call.read() == b"ready"
        call.cancel()
        assert await channel.method(grpc_peer.UNARY)(b"goes on") == b"goes on"
        return await call.code()

    async with peers.our_server(routed(echo=handler, unary=unary)) as server:
        assert await peers.client(server.port, sync, aio) is grpc.StatusCode.CANCELLED
    peer, cancelled, again = seen
    assert cancelled is True
    assert again == peer  # still the same connection


# --- early ends -------------------------------------------------------------------------------------------------------


@pytest.mark.req("DUP-3", "DUP-4", "DUP-15", "DUP-33", "D-8b", "D-14", "D-34")
async def test_their_server_ends_early(peers: Peers) -> None:
    """It never reads what the client sends, nor waits for its half-close; again and again on one connection."""
    many = 60

    def handler(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        yield b"last"

    async with peers.server(theirs(peers, ECHO=handler)) as channel:
        for _ in range(many):
            async with channel.duplex(ECHO) as call:
                with pytest.raises(CallClosedError) as got:
                    while True:  # also in the middle of a send that waits for room
                        await call.send(bytes(32 * 1024))
                assert got.value.status.ok
                assert [reply async for reply in call] == [b"last"]
        assert channel.open_calls == 0
        assert await channel.unary(UNARY, b"goes on") == b"goes on"


@pytest.mark.req("DUP-3", "DUP-15", "FLOW-5", "D-8b", "D-14")
async def test_our_server_ends_early(peers: Peers) -> None:
    """C-core takes the trailers and the RST_STREAM(NO_ERROR) that follows for what they are (DUP-3)."""
    many = 60
    seen: set[str] = set()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        seen.add(call.peer)
        await call.send(b"last")

    def sync(channel: GrpcChannel) -> Any:
        codes = set()
        for _ in range(many):
            with Feed(*[bytes(32 * 1024)] * 10) as feed:
                call = channel.method(grpc_peer.ECHO)(feed)
                assert list(call) == [b"last"]
                codes.add(call.code())
        assert channel.unary(b"goes on") == b"goes on"
        return codes

    async def aio(channel: AioChannel) -> Any:
        codes = set()
        for _ in range(many):
            call = channel.method(grpc_peer.ECHO)()
            assert await call.read() == b"last"
            codes.add(await call.code())
        assert await channel.method(grpc_peer.UNARY)(b"goes on") == b"goes on"
        return codes

    async with peers.our_server(routed(echo=handler)) as server:
        assert await peers.client(server.port, sync, aio) == {grpc.StatusCode.OK}
    assert len(seen) == 1
