"""Deadlines: of the call, of the cancel scopes around it, and how they travel. Time is virtual on trio."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio.testing

from duplexcore import RpcError, StatusCode
from duplexcore_anyio import Channel, DuplexServerCall, Router, ServerContext, connect, serve
from tests.support.transport import HELLO, ROUNDING, TALK, Tape, echo, four_kinds, joined, over_tcp

#: The test's own bound is a scope that its calls see.
in_a_scope = pytest.mark.parametrize("backend", ["asyncio", "asyncio+stream", "trio"])


class Forever:
    """A handler that notes what it knows of its deadline, then waits for it."""

    def __init__(self) -> None:
        self.remaining: float | None = None
        self.scope_remaining = 0.0
        self.cancelled = anyio.Event()

    async def __call__(self, call: DuplexServerCall[bytes, bytes]) -> None:
        self.remaining = call.time_remaining()
        self.scope_remaining = anyio.current_effective_deadline() - anyio.current_time()
        try:
            await call.send(b"started")
            await anyio.sleep_forever()
        finally:
            assert call.is_cancelled or call.deadline is not None
            self.cancelled.set()


async def ends(call: Any, code: StatusCode) -> None:
    with pytest.raises(RpcError) as caught:
        await call.receive()
    assert caught.value.code is code


@pytest.mark.req("DEAD-5")
async def test_a_timeout_is_told_to_the_server_and_ends_both_sides() -> None:
    forever = Forever()
    async with over_tcp(four_kinds(forever)) as channel, channel.duplex(TALK, timeout=0.3) as call:
        assert call.deadline is not None
        assert 0 < (call.time_remaining() or 0) <= 0.3 + ROUNDING
        assert await call.receive() == b"started"
        assert forever.remaining is not None
        assert 0 < forever.remaining <= 0.31
        assert abs(forever.scope_remaining - forever.remaining) < 0.01
        await ends(call, StatusCode.DEADLINE_EXCEEDED)
        await ends(call, StatusCode.DEADLINE_EXCEEDED)
        await forever.cancelled.wait()
        assert call.time_remaining() == 0


async def test_a_deadline_that_has_passed() -> None:
    tape = Tape()
    async with joined(four_kinds(), tape=tape) as channel:
        for timeout in (0, -1):
            with pytest.raises(RpcError) as caught:
                await channel.unary(HELLO, b"", timeout=timeout)
            assert caught.value.code is StatusCode.DEADLINE_EXCEEDED
            assert caught.value.unprocessed
        with pytest.raises(ValueError, match="not a number"):
            await channel.unary(HELLO, b"", timeout=math.nan)
        assert not [frame for frame in tape.briefs if "HEADERS" in frame]


async def test_the_deadline_of_a_scope_becomes_the_calls() -> None:
    seen: list[float | None] = []

    async def look(request: bytes, context: ServerContext) -> bytes:
        seen.append(context.time_remaining())
        return b""

    router = Router()
    router.add(HELLO, look)
    async with joined(router) as channel:
        with anyio.fail_after(100):
            await channel.unary(HELLO, b"")
            await channel.unary(HELLO, b"", timeout=50)
            await channel.unary(HELLO, b"", timeout=200)
            await channel.unary(HELLO, b"", inherit_deadline=False)
            await channel.unary(HELLO, b"", inherit_deadline=False, timeout=200)
    remaining = [None if value is None else round(value, -1) for value in seen]
    # The bound around every test is a deadline as well.
    assert remaining[1] == 50
    assert remaining[0] == remaining[2]
    assert remaining[0] is not None
    assert remaining[0] <= 100
    assert remaining[3:] == [None, 200]


@in_a_scope
async def test_a_channel_can_leave_scopes_out(backend: str) -> None:
    async with joined(four_kinds(), inherit_deadline=False) as channel:
        async with channel.duplex(TALK) as call:
            assert call.deadline is None
        async with channel.duplex(TALK, inherit_deadline=True) as call:
            assert call.deadline is not None


@pytest.mark.parametrize("again", range(5))
async def test_the_scopes_own_cancellation_wins(again: int) -> None:
    """Its deadline is the call's: both pass at once, and the block is left by cancellation, never by RpcError."""
    forever = Forever()
    async with joined(four_kinds(forever)) as channel:
        patience = 0.03
        while forever.remaining is None:  # a busy machine may not come to the handler in so little time
            with anyio.move_on_after(patience) as scope:
                async with channel.duplex(TALK) as call:
                    while True:
                        await call.receive()
            assert scope.cancelled_caught
            patience *= 2
        await forever.cancelled.wait()
        with anyio.move_on_after(0.03) as scope:
            async with channel.duplex(TALK) as call:
                while True:
                    await call.send(b"x" * 10_000)
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError), anyio.fail_after(0.02):
            async with channel.duplex(TALK, timeout=60) as call:
                while True:
                    await call.receive()


@pytest.mark.parametrize("backend", ["asyncio"])
async def test_the_scope_wins_though_its_timer_is_late(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a millisecond, as uvloop's may be, which count in these."""
    loop = asyncio.get_running_loop()
    on_time = loop.call_at

    def late(when: float, callback: Callable[..., object], *args: Any, **options: Any) -> asyncio.TimerHandle:
        is_scope = isinstance(getattr(callback, "__self__", None), anyio.CancelScope)
        return on_time(when + 0.001 * is_scope, callback, *args, **options)

    async with joined(four_kinds(Forever())) as channel:
        monkeypatch.setattr(loop, "call_at", late)
        with anyio.move_on_after(0.02) as scope:
            async with channel.duplex(TALK) as call:
                while True:
                    await call.receive()
        assert scope.cancelled_caught


async def test_a_cancelled_scope_starts_no_call() -> None:
    tape = Tape()
    async with joined(four_kinds(), tape=tape) as channel:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await channel.unary(HELLO, b"")
        assert scope.cancelled_caught
        assert not [frame for frame in tape.briefs if "HEADERS" in frame]


@pytest.mark.req("DEAD-7", "DEAD-8")
@in_a_scope
async def test_a_deadline_travels_through_handlers(backend: str) -> None:
    """client -> middle -> back: what is left of the time arrives at the last one."""
    left: list[float | None] = []

    async def last(request: bytes, context: ServerContext) -> bytes:
        left.append(context.time_remaining())
        return b"done"

    back_router = Router()
    back_router.add(HELLO, last)
    async with serve(back_router, "127.0.0.1:0") as back, connect(f"127.0.0.1:{back.port}") as onward:

        async def middle(request: bytes, context: ServerContext) -> bytes:
            match request:
                case b"shorter":
                    return await onward.unary(HELLO, request, timeout=5)
                case b"longer":
                    return await onward.unary(HELLO, request, timeout=500)
                case b"detached":
                    return await onward.unary(HELLO, request, inherit_deadline=False)
                case _:
                    return await onward.unary(HELLO, request)

        router = Router()
        router.add(HELLO, middle)
        async with joined(router) as channel:
            assert await channel.unary(HELLO, b"", timeout=20, inherit_deadline=False) == b"done"
            assert await channel.unary(HELLO, b"", inherit_deadline=False) == b"done"
            for request in (b"shorter", b"longer", b"detached"):
                assert await channel.unary(HELLO, request, timeout=20) == b"done"
    assert left[0] is not None
    assert 10 < left[0] <= 20 + ROUNDING
    # Without one of the call's own it is that of the scope around the server, here the test's bound.
    assert left[1] is not None
    assert left[1] > 20
    assert left[2] is not None
    assert left[2] <= 5 + ROUNDING
    assert left[3] is not None
    assert left[3] <= 20 + ROUNDING  # shortened, never extended
    assert left[4] is None


@pytest.mark.req("DEAD-8", "CANC-2")
async def test_cancellation_travels_through_handlers() -> None:
    """client -> middle -> back: the client leaves, and the last handler is cancelled."""
    forever = Forever()
    async with serve(four_kinds(forever), "127.0.0.1:0") as back, connect(f"127.0.0.1:{back.port}") as onward:

        async def middle(call: DuplexServerCall[bytes, bytes]) -> None:
            async with onward.duplex(TALK) as further:
                await call.send(await further.receive())
                await further.receive()

        router = Router()
        router.add(TALK, middle)
        async with joined(router) as channel:
            async with channel.duplex(TALK) as call:
                assert await call.receive() == b"started"
            await forever.cancelled.wait()


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0.01)


@pytest.mark.parametrize("backend", ["trio"])
async def test_hours_pass_in_no_time(backend: str, clock: trio.testing.MockClock) -> None:
    forever = Forever()
    async with joined(four_kinds(forever)) as channel:
        start = anyio.current_time()
        async with channel.duplex(TALK, timeout=7200, inherit_deadline=False) as call:
            assert await call.receive() == b"started"
            await ends(call, StatusCode.DEADLINE_EXCEEDED)
        assert anyio.current_time() - start == pytest.approx(7200, abs=1)


@pytest.mark.parametrize("backend", ["trio"])
async def test_many_deadlines_each_in_its_turn(backend: str, clock: trio.testing.MockClock) -> None:
    ended: list[int] = []

    async def one(channel: Channel, timeout: int) -> None:
        async with channel.duplex(TALK, timeout=timeout, inherit_deadline=False) as call:
            await ends(call, StatusCode.DEADLINE_EXCEEDED)
        ended.append(timeout)

    async with joined(four_kinds(echo)) as channel, anyio.create_task_group() as tasks:
        for timeout in (50, 10, 40, 20, 30):
            tasks.start_soon(one, channel, timeout)
    assert ended == [10, 20, 30, 40, 50]
