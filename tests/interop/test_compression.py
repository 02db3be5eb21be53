"""Compression against grpcio and grpc.aio, in both directions (COMP, PY-1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from duplexcore import ClientConfig, Frame, FrameType, RpcError, ServerConfig, StatusCode
from duplexcore_anyio import DuplexServerCall, ServerContext
from tests.interop.peers import COLLECT, ECHO, EXPAND, UNARY, AioChannel, Peers, routed
from tests.support import grpc_peer
from tests.support.grpc_peer import GrpcChannel, failure

pytestmark = pytest.mark.usefixtures("backend")

TEXT = b"the same again and again " * 4_000
THEIRS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}
codings = pytest.mark.parametrize("coding", ["gzip", "deflate"])


class Wire:
    """How many bytes of DATA went each way."""

    def __init__(self) -> None:
        self.bytes = {"in": 0, "out": 0}

    def __call__(self, way: str, frame: Frame) -> None:
        if frame.type == FrameType.DATA:
            self.bytes[way] += len(frame.payload)


@codings
@pytest.mark.req("PY-1", "COMP-1", "COMP-8", "COMP-9", "COMP-11")
async def test_our_client_packs_and_their_server_answers_packed(peers: Peers, coding: str) -> None:
    """Their server answers in the coding of the channel's choice, or in the request's where the handler says so."""

    wire = Wire()
    options = [("grpc.default_compression_algorithm", {"deflate": 1, "gzip": 2}[coding])]
    config = ClientConfig(compression=coding)
    async with (
        peers.listening(options=options) as listening,
        peers.connected(listening.port, config=config, observer=wire) as channel,
    ):
        result = await channel.unary_result(UNARY, TEXT)
        assert (result.response, result.was_compressed) == (TEXT, True)
        async with channel.server_streaming(EXPAND, TEXT) as call:
            got = [(await call.receive(), call.was_compressed) for _ in range(3)]
            assert got[1] == (TEXT, True)
            assert [message for message, _ in got] == [b"", TEXT, b""]
        async with channel.client_streaming(COLLECT) as call:
            await call.send_all([b"", b"small"])
            await call.send(TEXT)
            assert await call.response() == TEXT
        packed = dict(wire.bytes)
        assert max(packed.values()) < len(TEXT) // 10
        async with channel.duplex(ECHO) as call:
            for compress in (None, True, False):
                await call.send(TEXT, compress=compress)
                assert await call.receive() == TEXT
                assert call.was_compressed
        assert len(TEXT) < wire.bytes["out"] - packed["out"] < len(TEXT) * 1.2  # one of three plain
        before = wire.bytes["out"]
        assert await channel.unary(UNARY, TEXT, compression="identity") == TEXT
        assert wire.bytes["out"] - before > len(TEXT)


@codings
@pytest.mark.req("PY-1", "COMP-7", "COMP-8", "COMP-9", "COMP-11")
async def test_their_client_packs_and_our_server_answers_packed(peers: Peers, coding: str) -> None:
    seen: list[bool] = []

    async def unary(request: bytes, context: ServerContext) -> bytes:
        seen.append(context.was_compressed)
        return request

    async def echo(call: DuplexServerCall[bytes, bytes]) -> None:
        call.choose_compression(coding)
        async for request in call:
            seen.append(call.was_compressed)
            await call.send(request, compress=request != b"plain" * 1000)

    requests = [b"", b"x", TEXT, b"plain" * 1000]

    def sync(channel: GrpcChannel) -> Any:
        chosen = {"compression": THEIRS[coding]}
        one = channel.method(grpc_peer.UNARY)(TEXT, **chosen)
        return one, list(channel.method(grpc_peer.ECHO)(iter(requests), **chosen)), channel.unary(TEXT)

    async def aio(channel: AioChannel) -> Any:
        chosen = {"compression": THEIRS[coding]}
        one = await channel.method(grpc_peer.UNARY)(TEXT, **chosen)
        call = channel.method(grpc_peer.ECHO)(iter(requests), **chosen)
        return one, [reply async for reply in call], await channel.method(grpc_peer.UNARY)(TEXT)

    wire = Wire()
    config = ServerConfig(compression=coding)
    async with peers.our_server(routed(unary=unary, echo=echo), config, observer=wire) as server:
        one, replies, plain = await peers.client(server.port, sync, aio)
    assert (one, replies, plain) == (TEXT, requests, TEXT)
    assert seen[0] is True
    assert seen[3] is True
    assert seen[-1] is False
    assert 5_000 < wire.bytes["out"] < 10_000  # all but "plain" is packed
    assert wire.bytes["in"] < len(TEXT) * 1.1


@codings
@pytest.mark.req("COMP-7")
async def test_their_client_that_takes_no_coding_gets_plain_messages(peers: Peers, coding: str) -> None:
    async def echo(call: DuplexServerCall[bytes, bytes]) -> None:
        async for request in call:
            await call.send(request, compress=True)

    options = [("grpc.compression_enabled_algorithms_bitset", 1)]  # identity alone

    def sync(channel: GrpcChannel) -> Any:
        return list(channel.method(grpc_peer.ECHO)(iter([TEXT])))

    async def aio(channel: AioChannel) -> Any:
        return [reply async for reply in channel.method(grpc_peer.ECHO)(iter([TEXT]))]

    wire = Wire()
    config = ServerConfig(compression=coding)
    async with peers.our_server(routed(echo=echo), config, observer=wire) as server:
        assert await peers.client(server.port, sync, aio, options) == [TEXT]
    assert wire.bytes["out"] > len(TEXT)


@codings
@pytest.mark.req("COMP-3", "COMP-10")
async def test_what_one_side_does_not_take_is_unimplemented(peers: Peers, coding: str) -> None:
    other = "deflate" if coding == "gzip" else "gzip"

    def sync(channel: GrpcChannel) -> Any:
        with failure() as got:
            channel.method(grpc_peer.UNARY)(TEXT, compression=THEIRS[coding])
        return got.error.code(), got.error.details()

    async def aio(channel: AioChannel) -> Any:
        with failure() as got:
            await channel.method(grpc_peer.UNARY)(TEXT, compression=THEIRS[coding])
        return got.error.code(), got.error.details()

    async with peers.our_server(routed(), ServerConfig(compressions=(other,))) as server:
        code, details = await peers.client(server.port, sync, aio)
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert coding in details

    options = [("grpc.compression_enabled_algorithms_bitset", 1)]
    async with peers.server(options=options) as channel:
        with pytest.raises(RpcError) as got:
            await channel.unary(UNARY, TEXT, compression=coding)
        assert got.value.status.code is StatusCode.UNIMPLEMENTED
        assert await channel.unary(UNARY, TEXT) == TEXT


@codings
@pytest.mark.req("COMP-6", "COMP-8")
async def test_their_server_packs_what_its_handler_chooses(peers: Peers, coding: str) -> None:
    def handler(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        context.set_compression(THEIRS[coding])
        yield TEXT
        context.disable_next_message_compression()
        yield TEXT

    async def aio_handler(requests: Any, context: Any) -> Any:
        context.set_compression(THEIRS[coding])
        yield TEXT
        context.disable_next_message_compression()
        yield TEXT

    chosen = handler if peers.flavour == "grpcio" else aio_handler
    async with peers.server({grpc_peer.ECHO: chosen}) as channel, channel.duplex(ECHO) as call:
        assert [(await call.receive(), call.was_compressed) for _ in range(2)] == [(TEXT, True), (TEXT, False)]
