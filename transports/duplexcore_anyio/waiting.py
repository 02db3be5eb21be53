"""One task's wait for one thing, without a lock or a list: the lightest that asyncio and trio have."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import trio

__all__ = ["Waiter", "waiters"]


class Waiter(Protocol):
    """At most one task waits at a time: whoever shares it sees to that. A wake-up that finds nobody is forgotten, so
    the waiting task looks at the state it waits for both before and after."""

    async def wait(self) -> None:
        """Until `wake`. Cancelled, it leaves nothing behind."""

    def wake(self) -> None:
        """Lets the waiting task run, if there is one."""


class AsyncioWaiter:
    __slots__ = ("_future", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        self._future = self._loop.create_future()
        try:
            await self._future
        finally:
            self._future = None

    def wake(self) -> None:
        future = self._future
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
    trio = sys.modules.get("trio")
    return TrioWaiter if trio is not None and trio.lowlevel.in_trio_task() else AsyncioWaiter
