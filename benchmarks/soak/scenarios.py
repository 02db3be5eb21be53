"""The calls of the soak, each of which knows what must come of it. A row of `SCENARIOS` is a coroutine that makes one
call, checks every message and the status, and returns; what is not as it must be raises `Wrong`."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import anyio

from duplexcore import RpcError, StatusCode
from duplexcore_anyio import CallClosedError, Channel, DuplexCall

from .messages import Stream, Wrong, made, size_of
from .service import CHATTER, COLLECT, ECHO, FAIL, HOLD, MISSING, STREAM, TALK

__all__ = ["SCENARIOS", "SHORT", "Scenario", "chosen"]

Call = Callable[[Channel, random.Random], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """``run`` makes the call. ``weight``: how often it is chosen, beside the others."""

    name: str
    weight: int
    run: Call


SCENARIOS: list[Scenario] = []


def scenario(weight: int) -> Callable[[Call], Call]:
    def register(run: Call) -> Call:
        SCENARIOS.append(Scenario(run.__name__.replace("_", "-"), weight, run))
        return run

    return register


def expect(what: str, came: object, due: object) -> None:
    if came != due:
        raise Wrong(f"{what}: {str(came)[:200]} came where {str(due)[:200]} was due")


@asynccontextmanager
async def ends_as(code: StatusCode, message: str | None = None) -> AsyncIterator[None]:
    """The body ends with this status of the call, no other and no other way."""
    try:
        yield
    except RpcError as error:
        expect("status", error.status, error.status if error.code is code else code)
        if message is not None:
            expect("status message", error.message, message)
    else:
        raise Wrong(f"OK came where {code.name} was due")


@scenario(weight=8)
async def unary(channel: Channel, choice: random.Random) -> None:
    request = made(0, size_of(choice))
    metadata = [("x-some", str(choice.random())), ("x-many", "a"), ("x-many", "b")]
    timeout = choice.choice((None, 60.0))
    result = await channel.unary_result(ECHO, request, metadata=metadata, timeout=timeout)
    expect("response", result.response, request)
    expect("initial metadata", list(result.initial_metadata), metadata)
    expect("trailing metadata", list(result.trailing_metadata), metadata)


@scenario(weight=2)
async def unary_compressed(channel: Channel, choice: random.Random) -> None:
    request = made(0, size_of(choice))
    expect("response", await channel.unary(ECHO, request, compression="gzip"), request)


@scenario(weight=3)
async def responses(channel: Channel, choice: random.Random) -> None:
    count = choice.randrange(30)
    request = json.dumps({"count": count, "size": size_of(choice)}).encode()
    stream = Stream()
    async with channel.server_streaming(STREAM, request) as call:
        async for response in call:
            stream.take(response)
    expect("responses", stream.count, count)


@scenario(weight=3)
async def requests(channel: Channel, choice: random.Random) -> None:
    count, size = choice.randrange(30), size_of(choice)
    async with channel.client_streaming(COLLECT) as call:
        await call.send_all(made(number, size) for number in range(count))
        expect("requests", await call.response(), str(count).encode())


@scenario(weight=6)
async def duplex(channel: Channel, choice: random.Random) -> None:
    """Both directions at once."""
    count, size = choice.randrange(60), size_of(choice)
    stream = Stream()
    async with (
        channel.duplex(TALK) as call,
        call.exchange(made(number, size) for number in range(count)) as replies,
    ):
        async for reply in replies:
            stream.take(reply)
    expect("replies", stream.count, count)


@scenario(weight=2)
async def turns(channel: Channel, choice: random.Random) -> None:
    """One message, its answer, the next: the half-close last."""
    stream = Stream()
    async with channel.duplex(TALK) as call:
        for number in range(choice.randrange(1, 20)):
            await call.send(made(number, 100))
            stream.take(await call.receive())
        await call.send_eof()
        with suppress(anyio.EndOfStream):  # which is OK; any other status would be raised
            raise Wrong(f"{len(await call.receive())} bytes came after the last answer")


@scenario(weight=3)
async def server_ends_first(channel: Channel, choice: random.Random) -> None:
    """The server speaks first and ends the call while this side still sends."""
    count = choice.randrange(20)
    stream = Stream()

    async def endlessly(call: DuplexCall[bytes, bytes]) -> None:
        with suppress(CallClosedError):
            for number in range(100_000):
                await call.send(made(number, 1_000))
            raise Wrong("the server never ended the call")

    async with channel.duplex(CHATTER, metadata=[("x-count", str(count))]) as call:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(endlessly, call)
            async for response in call:
                stream.take(response)
        expect("status", call.status and call.status.code, StatusCode.OK)
    expect("responses", stream.count, count)


@scenario(weight=3)
async def cancelled(channel: Channel, choice: random.Random) -> None:
    """Left in the middle, in one of the ways there are."""
    before = choice.randrange(4)
    way = choice.choice(("cancel", "leave", "scope"))
    stream = Stream()
    with anyio.CancelScope() as scope:
        async with channel.duplex(TALK) as call:
            for number in range(before):
                await call.send(made(number, size_of(choice)))
                stream.take(await call.receive())
            await call.send(made(before, 100_000))
            if way == "cancel":
                call.cancel()
                expect("status", (await call.wait_closed()).code, StatusCode.CANCELLED)
            elif way == "scope":
                scope.cancel()
                await call.receive()
    expect("replies", stream.count, before)


@scenario(weight=2)
async def deadline(channel: Channel, choice: random.Random) -> None:
    async with ends_as(StatusCode.DEADLINE_EXCEEDED):
        await channel.unary(HOLD, b"", timeout=choice.uniform(0.005, 0.1))


@scenario(weight=1)
async def slow_reader(channel: Channel, choice: random.Random) -> None:
    """More than the windows hold waits for a reader that takes its time."""
    count, stream = 12, Stream()
    request = json.dumps({"count": count, "size": 100_000}).encode()
    async with channel.server_streaming(STREAM, request) as call:
        async for response in call:
            stream.take(response)
            await anyio.sleep(choice.uniform(0, 0.05))
    expect("responses", stream.count, count)


@scenario(weight=1)
async def slow_server(channel: Channel, choice: random.Random) -> None:
    count, metadata = 12, [("x-pause", str(choice.uniform(0.001, 0.05)))]
    async with channel.client_streaming(COLLECT, metadata=metadata) as call:
        await call.send_all(made(number, 100_000) for number in range(count))
        expect("requests", await call.response(), str(count).encode())


@scenario(weight=2)
async def failing(channel: Channel, choice: random.Random) -> None:
    """The handler's own status, as it said it."""
    code = StatusCode(choice.randrange(1, 17))
    message = choice.choice(("", "no", "50 % of it", "zu groß\n"))
    async with ends_as(code, message):
        await channel.unary(FAIL, json.dumps({"code": int(code), "message": message}).encode())


@scenario(weight=1)
async def missing(channel: Channel, _: random.Random) -> None:
    async with ends_as(StatusCode.UNIMPLEMENTED):
        await channel.unary(MISSING, b"")


#: Those that a connection which is leaving must still finish.
SHORT = [row for row in SCENARIOS if row.name in {"unary", "turns", "responses", "failing"}]


def chosen(choice: random.Random, rows: list[Scenario]) -> Scenario:
    return choice.choices(rows, [row.weight for row in rows])[0]
