"""Waits: a task's for one thing, without a lock or a list, and a connection's for its next timeout. The lightest that
asyncio and trio have."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.lowlevel
from anyio.abc import AsyncBackend, TaskGroup

if TYPE_CHECKING:
    import trio

__all__ = ["Alarm", "Waiter", "alarms", "backend", "clock", "on_asyncio", "scopes_first", "waiters"]

#: Of two timers for the same moment one may ring so much after the other: uvloop's count milliseconds. Seconds.
APART = 0.005


def on_asyncio() -> bool:
    """Whether the event loop that runs is asyncio's; otherwise it is trio's."""
    found = sys.modules.get("trio")
    return found is None or not found.lowlevel.in_trio_task()


def clock() -> Callable[[], float]:
    """What reads the time of the event loop that runs, as `anyio.current_time` does: seconds."""
    if on_asyncio():
        return asyncio.get_running_loop().time
    now: Callable[[], float] = sys.modules["trio"].current_time
    return now


def backend() -> type[AsyncBackend]:
    """What anyio asks on the event loop that runs. It looks that up each time: here it is once for a connection."""
    return anyio.lowlevel.current_token().backend_class


async def scopes_first() -> None:
    """Once a deadline has passed: a cancel scope with the same one cancels the task here, before it hears otherwise."""
    await anyio.sleep(APART)


# --- one task ---------------------------------------------------------------------------------------------------------


class Waiter(Protocol):
    """At most one task waits at a time: whoever shares it sees to that. A wake-up that finds nobody is forgotten, so
    the waiting task looks at the state it waits for both before and after."""

    def wait(self) -> Awaitable[None]:
        """Until `wake`. Cancelled, it leaves nothing behind. To be awaited at once."""
        ...

    def wake(self) -> None:
        """Lets the waiting task run, if there is one."""


class AsyncioWaiter:
    """A bare future, made for each wait."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None

    def wait(self) -> Awaitable[None]:
        future: asyncio.Future[None] = asyncio.Future(loop=self._loop)  # as `create_future` does
        self._future = future
        return future

    def wake(self) -> None:
        future, self._future = self._future, None
        if future is not None and not future.done():
            future.set_result(None)


class TrioWaiter:
    __slots__ = ("_task", "_trio")

    def __init__(self) -> None:
        self._trio: Any = sys.modules["trio"].lowlevel
        self._task: trio.lowlevel.Task | None = None

    async def wait(self) -> None:
        self._task = self._trio.current_task()
        await self._trio.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> object:
        self._task = None
        return self._trio.Abort.SUCCEEDED

    def wake(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._trio.reschedule(task)


def waiters() -> Callable[[], Waiter]:
    """What makes waiters for the event loop that runs."""
    return partial(AsyncioWaiter, asyncio.get_running_loop()) if on_asyncio() else TrioWaiter


# --- one timeout ------------------------------------------------------------------------------------------------------


class Alarm(Protocol):
    """Rings once, when the earliest time has come that it was set to; a ring that is early does no harm."""

    def start(self, tasks: TaskGroup) -> None:
        """From now on it may ring."""

    def set(self, when: float | None) -> None:
        """Rings at ``when`` or before. A later time than the one it is set to is left to the one who hears the ring,
        so that a timeout which moves with every message costs nothing."""

    def stop(self) -> None:
        """It rings no more."""


class AsyncioAlarm:
    """A timer of the event loop."""

    __slots__ = ("_at", "_handle", "_loop", "_ring")

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._at = math.inf
        self._handle: asyncio.TimerHandle | None = None

    def start(self, tasks: TaskGroup) -> None:
        """It needs no task."""

    def set(self, when: float | None) -> None:
        if when is None or when >= self._at:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._at = when
        self._handle = self._loop.call_at(when, self._due)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._at = -math.inf

    def _due(self) -> None:
        self._at, self._handle = math.inf, None
        self._ring()


class TaskAlarm:
    """A task that sleeps in a cancel scope with the deadline; without one it sleeps for good."""

    __slots__ = ("_at", "_ring", "_scope", "_stopped")

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._at = math.inf
        self._scope = anyio.CancelScope(shield=True)
        self._stopped = False

    def start(self, tasks: TaskGroup) -> None:
        tasks.start_soon(self._sleep, name="duplexcore timers")

    def set(self, when: float | None) -> None:
        if when is not None and when < self._at:
            self._at = self._scope.deadline = when

    def stop(self) -> None:
        self._stopped = True
        self._scope.cancel()

    async def _sleep(self) -> None:
        while True:
            with self._scope:
                await anyio.sleep_forever()
            if self._stopped:
                return
            self._at, self._scope = math.inf, anyio.CancelScope(shield=True)
            self._ring()


def alarms() -> Callable[[Callable[[], None]], Alarm]:
    """What makes alarms for the event loop that runs."""
    return AsyncioAlarm if on_asyncio() else TaskAlarm
