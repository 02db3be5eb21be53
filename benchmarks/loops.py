"""What is measured, for every client that is written with ``async``; a blocking client has loops of its own.

The loops call the library's own functions, with nothing between: what a library needs around them belongs to its time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

from .contract import Job, Outcome, fault, mark

__all__ = ["Backend", "Client", "drive"]

Action = Callable[[], Awaitable[object]]
#: Which messages of a stream are timed, as a mask of their number: all, or one of 64.
EACH, SOME = 0, 63


class Client(Protocol):
    """One connection of a library under test. A call that fails raises."""

    async def unary(self) -> object:
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
    message: Any


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
    await _run(backend, actions, Outcome(), job.warm_up, min(job.limit, 1) if job.operations else job.limit)
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
        await stream.run(backend, job.warm_up, min(job.limit, 1) if job.operations else job.limit)
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


_KINDS: dict[str, Callable[[Job, Backend], Awaitable[Outcome]]] = {
    "unary": _unary,
    "ping": _ping,
    "firehose": _firehose,
}
