"""grpc.aio's client makes the calls that the cases ask for: says of each call how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from duplexcore.interop.messages import large, output_request
from duplexcore.interop.proto.interop_pb2 import (
    SimpleRequest,
    SimpleResponse,
    StreamingOutputCallRequest,
    StreamingOutputCallResponse,
)
from duplexcore.testing.misbehaving import Exercise, ServerCase

OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 1)]
#: Seconds, of a call that is to run into its deadline.
SHORT = 0.3


@asynccontextmanager
async def channel(port: int) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as opened:
        yield opened


async def unary(on: grpc.aio.Channel, case: ServerCase, timeout: float) -> str:
    call: Any = on.unary_unary(
        "/grpc.testing.TestService/UnaryCall",
        request_serializer=SimpleRequest.SerializeToString,
        response_deserializer=SimpleResponse.FromString,
    )
    try:
        await call(large(request_size=case.request_size, response_size=case.response_size), timeout=timeout)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def talk(on: grpc.aio.Channel, limit: float) -> Any:
    return on.stream_stream(
        "/grpc.testing.TestService/FullDuplexCall",
        request_serializer=StreamingOutputCallRequest.SerializeToString,
        response_deserializer=StreamingOutputCallResponse.FromString,
    )(timeout=limit)


async def once(on: grpc.aio.Channel, case: ServerCase, limit: float) -> list[str]:
    return [await unary(on, case, limit)]


async def twice(on: grpc.aio.Channel, case: ServerCase, limit: float) -> list[str]:
    return [await unary(on, case, limit), await unary(on, case, limit)]


async def later(on: grpc.aio.Channel, case: ServerCase, limit: float) -> list[str]:
    first = await unary(on, case, limit)
    await asyncio.sleep(1)
    return [first, await unary(on, case, limit)]


async def many(on: grpc.aio.Channel, case: ServerCase, limit: float) -> list[str]:
    return [await unary(on, case, limit), *await asyncio.gather(*(unary(on, case, limit) for _ in range(10)))]


async def duplex(on: grpc.aio.Channel, case: ServerCase, limit: float) -> list[str]:
    call = talk(on, limit)
    try:
        await call.write(output_request(case.response_size))
        async for _ in call:
            pass
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    return [(await call.code()).name, await unary(on, case, limit)]


async def cancel(on: grpc.aio.Channel, case: ServerCase, limit: float) -> list[str]:
    call = talk(on, limit)
    await call.write(output_request(case.response_size))
    await call.read()
    call.cancel()
    return [(await call.code()).name, await unary(on, case, limit)]


async def unread(on: grpc.aio.Channel, case: ServerCase, limit: float) -> list[str]:
    call = talk(on, limit)
    await call.write(output_request(case.response_size))
    beside = await unary(on, case, limit)
    call.cancel()
    return [(await call.code()).name, beside]


async def deadline(on: grpc.aio.Channel, case: ServerCase, limit: float) -> list[str]:
    return [await unary(on, case, SHORT), await unary(on, case, limit)]


EXERCISES: dict[Exercise, Callable[[grpc.aio.Channel, ServerCase, float], Awaitable[list[str]]]] = {
    Exercise.ONE: once,
    Exercise.TWO: twice,
    Exercise.RECONNECT: later,
    Exercise.MANY: many,
    Exercise.DUPLEX: duplex,
    Exercise.CANCEL: cancel,
    Exercise.UNREAD: unread,
    Exercise.DEADLINE: deadline,
}


async def exercise(case: ServerCase, port: int, limit: float) -> list[str]:
    """The codes of the calls, in order; none takes longer than ``limit`` seconds."""
    async with channel(port) as opened:
        return await EXERCISES[case.exercise](opened, case, limit)
