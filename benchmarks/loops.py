"""What is measured, for every client that is written with ``async``; a blocking client has loops of its own.

The loops call the library's own functions, with nothing between: what a library needs around them belongs to its time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from math import inf
from time import perf_counter
from typing import Any, Protocol

from .contract import Job, Outcome, fault, mark

__all__ = ["AT_ONCE", "EACH", "MESSAGES", "SOME", "Backend", "Client", "drive"]

Action = Callable[[], Awaitable[object]]
#: Which messages of a stream are timed, as a mask of their number: all, or one of 64.
EACH, SOME = 0, 63
#: Calls or connections that are begun at the same time, and how many calls come and go before memory is measured.
AT_ONCE, WARM = 16, 64
#: Messages for each call where both are many.
MESSAGES = 10
#: Calls after which nothing that is allocated once is left to allocate.
SETTLED = 2_000


class Event(Protocol):
    """As asyncio and anyio have it."""

    def set(self) -> object: ...
    async def wait(self) -> object: ...


class Client(Protocol):
    """One connection of a library under test. A call that fails raises."""

    @property
    def unary(self) -> Action:
        """One call with the job's request, to its end."""

    async def open(self) -> Any:
        """A duplex call, begun, with all that an application must hold to use it."""

    def ways(self, call: Any) -> tuple[Callable[[Any], Awaitable[object]], Callable[[], Awaitable[Any]]]:
        """How to send on it and to receive."""

    async def end(self, call: Any) -> None:
        """Half-closes, and waits for an end with OK."""


@dataclass(frozen=True, slots=True)
class Backend:
    """How a library connects, and how its event loop runs many at once."""

    connect: Callable[[Job], AbstractAsyncContextManager[Client]]
    together: Callable[[Sequence[Action]], Awaitable[object]]
    event: Callable[[], Event]
    semaphore: Callable[[int], AbstractAsyncContextManager[object]]
    message: Any

    @classmethod
    def of_asyncio(cls, connect: Callable[[Job], AbstractAsyncContextManager[Client]], message: Any) -> Backend:
        """For libraries of asyncio."""

        async def together(actions: Sequence[Action]) -> None:
            await asyncio.gather(*(action() for action in actions))

        return cls(connect, together, asyncio.Event, asyncio.Semaphore, message)


async def drive(job: Job, backend: Backend) -> Outcome:
    """Runs a job."""
    return await _KINDS[job.kind](job, backend)


# -- unary and ping: so many at once, each waits for its answer --------------------------------------------------------


async def _unary(job: Job, backend: Backend) -> Outcome:
    async with backend.connect(job) as client:
        return await _measure(job, backend, [client.unary] * job.width)


async def _ping(job: Job, backend: Backend) -> Outcome:
    async with backend.connect(job) as client:
        calls = [await client.open() for _ in range(job.width)]
        outcome = await _measure(job, backend, [_round_trip(client, call, backend.message) for call in calls])
        for call in calls:
            await client.end(call)
        return outcome


def _round_trip(client: Client, call: Any, message: Any) -> Action:
    send, receive = client.ways(call)

    async def round_trip() -> None:
        await send(message)
        if await receive() is None:
            raise fault("the server has ended a stream")

    return round_trip


async def _measure(job: Job, backend: Backend, actions: Sequence[Action]) -> Outcome:
    await _run(backend, actions, Outcome(), job.warm_up, job.first)
    outcome = Outcome()
    mark("begin")
    await _run(backend, actions, outcome, job.seconds, job.limit)
    mark("end")
    return outcome


async def _run(backend: Backend, actions: Sequence[Action], outcome: Outcome, seconds: float, limit: int) -> None:
    begun = perf_counter()
    await backend.together([_repeating(action, outcome, begun + seconds, limit) for action in actions])
    outcome.seconds = perf_counter() - begun
    outcome.operations = len(outcome.latencies)


def _repeating(action: Action, outcome: Outcome, stop: float, limit: int) -> Action:
    async def repeat() -> None:
        clock, note = perf_counter, outcome.latencies.append
        before = clock()
        for _ in range(limit):
            await action()
            now = clock()
            note(now - before)
            before = now
            if now >= stop:
                break

    return repeat


# -- firehose and bulk: one stream, both directions at once ------------------------------------------------------------


async def _firehose(job: Job, backend: Backend) -> Outcome:
    async with backend.connect(job) as client:
        call = await client.open()
        stream = _Stream(*client.ways(call), backend.message, EACH if job.size > 65_536 else SOME)
        await stream.run(backend, job.warm_up, job.first)
        mark("begin")
        outcome = await stream.run(backend, job.seconds, job.limit)
        mark("end")
        await client.end(call)
        return outcome


class _Stream:
    """Sends without waiting for answers, and counts them. The time of a message is from `send` to its echo."""

    def __init__(
        self, send: Callable[[Any], Awaitable[object]], receive: Callable[[], Awaitable[Any]], message: Any, mask: int
    ) -> None:
        self._send, self._receive, self._message, self._mask = send, receive, message, mask
        self._total = 0
        self._stamps: deque[float] = deque()

    async def run(self, backend: Backend, seconds: float, limit: int) -> Outcome:
        outcome = Outcome()
        begun = perf_counter()
        self._total = limit
        await backend.together([lambda: self._sending(begun + seconds), lambda: self._receiving(outcome)])
        outcome.seconds = perf_counter() - begun
        outcome.operations = self._total
        return outcome

    async def _sending(self, stop: float) -> None:
        send, message, mask, clock = self._send, self._message, self._mask, perf_counter
        number = 0
        while number < self._total:
            if not number & mask:
                now = clock()
                self._stamps.append(now)
                if now >= stop:
                    self._total = number + 1  # known before the last one leaves: who receives stops there
            await send(message)
            number += 1

    async def _receiving(self, outcome: Outcome) -> None:
        receive, mask, clock = self._receive, self._mask, perf_counter
        number = 0
        while number < self._total:
            if await receive() is None:
                raise fault("the server has ended a stream")
            if not number & mask:
                outcome.latencies.append(clock() - self._stamps.popleft())
            number += 1


# -- much open at once -------------------------------------------------------------------------------------------------


async def _idle(job: Job, backend: Backend) -> Outcome:
    async with backend.connect(job) as client:
        await _open_many(client, backend, WARM)
        mark("empty")
        calls = await _open_many(client, backend, job.width, keep=True)
        mark("filled")
        return Outcome(len(calls))


async def _opening(job: Job, backend: Backend) -> Outcome:
    async with backend.connect(job) as client:

        async def one() -> None:
            call = await client.open()
            await _round_trip(client, call, backend.message)()
            await client.end(call)

        outcomes = []
        await _run(backend, [one], Outcome(), job.warm_up, job.first)
        for calls, suffix in ((0, ""), (job.width, "-loaded")):
            kept = await _open_many(client, backend, calls, keep=True)
            outcomes.append(Outcome())
            mark(f"begin{suffix}")
            await _run(backend, [one], outcomes[-1], job.seconds, job.limit)
            mark(f"end{suffix}")
            assert len(kept) == calls
        first, loaded = outcomes
        first.add_loaded(loaded)
        return first


async def _open_many(client: Client, backend: Backend, count: int, *, keep: bool = False) -> list[Any]:
    """Opens calls, 16 at a time, and hears an answer on each. Those that are not kept are ended."""
    kept: list[Any] = []
    left = iter(range(count))

    async def opener() -> None:
        for _ in left:
            call = await client.open()
            await _round_trip(client, call, backend.message)()
            if keep:
                kept.append(call)
            else:
                await client.end(call)

    await backend.together([opener] * AT_ONCE)
    return kept


async def _leak(job: Job, backend: Backend) -> Outcome:
    """``operations`` calls and ten times as many messages, both on one connection; memory after the first hundredth of
    them, or so many that caches are full, and at the end. Nothing is noted on the way: the notes would grow."""
    async with backend.connect(job) as client:
        stream = await client.open()
        first = min(max(job.operations // 100, SETTLED), job.operations // 2)
        await _some_of_each(client, stream, backend, first, job.width)
        mark("empty")
        await _some_of_each(client, stream, backend, job.operations - first, job.width)
        mark("filled")
        await client.end(stream)
        return Outcome(job.operations)


async def _some_of_each(client: Client, stream: Any, backend: Backend, count: int, width: int) -> None:
    send, receive = client.ways(stream)
    left = iter(range(count))

    async def calling() -> None:
        for _ in left:
            await client.unary()

    async def sending() -> None:
        for _ in range(MESSAGES * count):
            await send(backend.message)

    async def receiving() -> None:
        for _ in range(MESSAGES * count):
            await receive()

    await backend.together([sending, receiving])
    await backend.together([calling] * width)


# -- connections -------------------------------------------------------------------------------------------------------


async def _connect(job: Job, backend: Backend) -> Outcome:
    async def one() -> None:
        async with backend.connect(job) as client:
            await client.unary()

    return await _measure(job, backend, [one])


async def _connections(job: Job, backend: Backend) -> Outcome:
    mark("empty")
    outcome = Outcome()
    crowd = _Crowd(job.width, backend)
    stop = inf

    async def one() -> None:
        async with contextlib.AsyncExitStack() as connected:
            async with crowd.door:
                client = await connected.enter_async_context(backend.connect(job))
                await client.unary()
            await crowd.arrived()
            await _repeating(client.unary, outcome, stop, job.limit)()
            await crowd.arrived()

    async def steer() -> None:
        nonlocal stop
        await crowd.all_here()
        mark("filled")
        mark("begin")
        begun = perf_counter()
        stop = begun + job.seconds
        crowd.go_on()
        await crowd.all_here()
        outcome.seconds = perf_counter() - begun
        mark("end")
        crowd.go_on()

    await backend.together([steer, *[one] * job.width])
    outcome.operations = len(outcome.latencies)
    return outcome


class _Crowd:
    """Tasks that wait for each other, and for leave to go on. ``door``: lets in a few at a time."""

    def __init__(self, size: int, backend: Backend) -> None:
        self._size = size
        self._event = backend.event
        self.door = backend.semaphore(AT_ONCE)
        self._meet()

    def _meet(self) -> None:
        self._here = 0
        self._full, self._leave = self._event(), self._event()

    async def arrived(self) -> None:
        self._here += 1
        if self._here == self._size:
            self._full.set()
        await self._leave.wait()

    async def all_here(self) -> None:
        await self._full.wait()

    def go_on(self) -> None:
        leave = self._leave
        self._meet()
        leave.set()


_KINDS: dict[str, Callable[[Job, Backend], Awaitable[Outcome]]] = {
    "unary": _unary,
    "ping": _ping,
    "firehose": _firehose,
    "idle": _idle,
    "opening": _opening,
    "connect": _connect,
    "connections": _connections,
    "leak": _leak,
}
