"""Compression of messages, as applications choose it and see it (PY-1, COMP-8, COMP-11)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from duplexcore import ClientConfig, LocalProtocolError, RpcError, ServerConfig, StatusCode
from duplexcore_anyio import DuplexServerCall, Router, ServerContext
from tests.support.transport import COUNT, HELLO, SUM, TALK, echo, four_kinds, joined

TEXT = b"the same again and again " * 40
PACKING = ServerConfig(compression="gzip")


@pytest.mark.req("PY-1", "COMP-8", "COMP-11")
async def test_a_client_chooses_for_the_connection_the_call_and_the_message() -> None:
    seen: list[bool] = []

    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        async for _ in call:
            assert call.was_compressed is call.reader.was_compressed
            seen.append(call.was_compressed)
            await call.send(b"")

    async def ask(channel: Any, *choices: bool | None, **options: Any) -> list[bool]:
        seen.clear()
        async with channel.duplex(TALK, **options) as call:
            for compress in choices:
                await call.send(TEXT, compress=compress)
                await call.receive()
                assert call.was_compressed is False
        return list(seen)

    async with joined(four_kinds(talk)) as channel:
        assert await ask(channel, None, False) == [False, False]
        assert await ask(channel, None, False, True, compression="gzip") == [True, False, True]
        assert await ask(channel, None, compression="deflate") == [True]
        with pytest.raises(LocalProtocolError, match="no compression"):
            await ask(channel, True)
        with pytest.raises(LocalProtocolError, match="not one of"):
            await ask(channel, None, compression="snappy")
    async with joined(four_kinds(talk), client=ClientConfig(compression="gzip")) as channel:
        assert await ask(channel, None, False) == [True, False]
        assert await ask(channel, None, compression="identity") == [False]


@pytest.mark.req("PY-1", "COMP-8", "COMP-11")
async def test_a_server_chooses_for_the_connection_the_call_and_the_message() -> None:
    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        with pytest.raises(LocalProtocolError, match="not one of"):
            call.choose_compression("snappy")
        if name := dict(call.metadata).get("coding"):
            call.choose_compression(None if name == "none" else str(name))
        for compress in (None, False, True):
            await call.send(TEXT, compress=compress)
        with pytest.raises(LocalProtocolError, match="before"):
            call.choose_compression("gzip")

    async def ask(channel: Any, **options: Any) -> list[bool]:
        seen = []
        async with channel.duplex(TALK, **options) as call:
            async for message in call.reader:
                assert message == TEXT
                assert call.was_compressed is call.reader.was_compressed
                seen.append(call.was_compressed)
        return seen

    router = four_kinds(talk)
    async with joined(router) as channel:
        assert await ask(channel) == [False, False, False]
        assert await ask(channel, metadata={"coding": "deflate"}) == [True, False, True]
    async with joined(router, server=PACKING) as channel:
        assert await ask(channel) == [True, False, True]
        assert await ask(channel, metadata={"coding": "none"}) == [False, False, False]
    async with joined(router, server=PACKING, client=ClientConfig(compressions=("deflate",))) as channel:
        assert await ask(channel) == [False, False, False]  # what the client does not take (COMP-7)
        assert await ask(channel, metadata={"coding": "deflate"}) == [True, False, True]


@pytest.mark.req("PY-1", "COMP-11")
async def test_the_kinds_with_single_messages() -> None:
    seen: list[bool] = []

    async def hello(request: bytes, context: ServerContext) -> bytes:
        seen.append(context.was_compressed)
        if request.startswith(b"plain"):
            context.choose_compression(None)
        return request

    async def count(request: bytes, context: ServerContext) -> AsyncIterator[bytes]:
        seen.append(context.was_compressed)
        yield request
        yield b"small"

    async def collect(call: Any) -> bytes:
        return b"".join([part async for part in call])

    router = Router()
    router.add(HELLO, hello)
    router.add(COUNT, count)
    router.add(SUM, collect)
    async with joined(router, server=PACKING) as channel:
        result = await channel.unary_result(HELLO, TEXT, compression="gzip")
        assert (result.response, result.was_compressed) == (TEXT, True)
        result = await channel.unary_result(HELLO, b"plain" + TEXT)
        assert (result.response, result.was_compressed) == (b"plain" + TEXT, False)
        async with channel.server_streaming(COUNT, TEXT, compression="deflate") as counting:
            assert [(await counting.receive(), counting.was_compressed) for _ in range(2)] == [
                (TEXT, True),
                (b"small", False),
            ]
        async with channel.client_streaming(SUM, compression="gzip") as adding:
            await adding.send(TEXT)
            await adding.send(TEXT, compress=False)
            assert await adding.response() == TEXT * 2
            assert adding.was_compressed
    assert seen == [True, False, True]


@pytest.mark.req("COMP-3", "COMP-10")
async def test_a_coding_that_the_server_lacks() -> None:
    async with joined(four_kinds(), server=ServerConfig(compressions=("deflate",))) as channel:
        with pytest.raises(RpcError, match="'gzip'") as got:
            await channel.unary(HELLO, b"x", compression="gzip")
        assert got.value.status.code is StatusCode.UNIMPLEMENTED
        assert await channel.unary(HELLO, b"x", compression="deflate") == b"hello, x"


@pytest.mark.req("COMP-6", "SEC-9")
async def test_a_message_that_unpacks_above_the_limit() -> None:
    async with joined(four_kinds(echo), server=ServerConfig(max_receive_message_size=10_000)) as channel:
        async with channel.duplex(TALK, compression="gzip") as call:
            await call.send(bytes(10_000))
            assert await call.receive() == bytes(10_000)
            await call.send(bytes(10_001))
            with pytest.raises(RpcError) as got:
                await call.receive()
        assert got.value.status.code is StatusCode.RESOURCE_EXHAUSTED
        assert await channel.unary(HELLO, b"on") == b"hello, on"


@pytest.mark.req("PY-1", "COMP-8", "COMP-9")
async def test_a_handler_that_returns_or_yields_chooses_for_the_message() -> None:
    async def hello(request: bytes, context: ServerContext) -> bytes:
        context.choose_compression("gzip")
        context.compress_next({b"pack": True, b"plain": False}.get(request))
        return b"tiny" if request == b"pack" else TEXT

    async def count(request: bytes, context: ServerContext) -> AsyncIterator[bytes]:
        context.choose_compression("gzip")
        for compress in (True, False, None):
            context.compress_next(compress)
            yield b"tiny"  # not smaller when it is packed
        yield TEXT

    router = Router()
    router.add(HELLO, hello)
    router.add(COUNT, count)
    async with joined(router) as channel:
        told = [(await channel.unary_result(HELLO, word)).was_compressed for word in (b"pack", b"plain", b"either")]
        assert told == [True, False, True]
        async with channel.server_streaming(COUNT, b"") as call:
            assert [call.was_compressed async for _ in call] == [True, False, False, True]
