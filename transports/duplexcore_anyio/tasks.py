"""Tasks beside the one that runs."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup

from .keeper import LOGGER
from .waiting import on_asyncio, waiters

__all__ = ["Background", "Handlers", "is_cancelled", "sole"]


class Background:
    """Background tasks that never raise, and end by themselves or by `cancel`.

    A group that says nothing of its own: an exception of the body leaves it as it is, never in a group of one.
    """

    def __init__(self) -> None:
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> TaskGroup:
        return await self._group.__aenter__()

    def cancel(self) -> None:
        """Cancels the tasks, and the body if it has not been left."""
        self._group.cancel_scope.cancel()

    async def leave(self, error: BaseException | None) -> bool:
        """Waits for the tasks. ``error``: what the body ended with. True when it was this group's own cancellation.

        Only a cancellation is shown to the group, which must know its own; any other error would come out in a group.
        """
        cancelled = error if isinstance(error, anyio.get_cancelled_exc_class()) else None
        if cancelled is None:
            return bool(await self._group.__aexit__(None, None, None)) and error is None
        return bool(await self._group.__aexit__(type(cancelled), cancelled, cancelled.__traceback__))


_Start = tuple[Callable[..., Coroutine[Any, Any, None]], tuple[Any, ...]]


class Handlers:
    """Tasks in scopes of their own, which somebody else cancels: all that is left to do is to wait for their end.

    On asyncio they are tasks of the event loop: one of a task group costs four times as much. Only where the scopes
    around have a deadline, which handlers inherit, they are of the group; as anyio starts none outside of a task, one
    task is there to start them.
    """

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._loop = asyncio.get_running_loop() if on_asyncio() else None
        self._tasks: dict[int, asyncio.Task[None]] = {}  # those that run, by number
        self._started = 0
        self._changed = waiters()()
        self._ended = False
        self._queue: deque[_Start] | None = None
        if self._loop is not None and anyio.current_effective_deadline() != math.inf:
            self._queue = deque()
            group.start_soon(self._start_queued)

    def start(self, run: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        if self._queue is not None:
            self._queue.append((run, args))
            self._changed.wake()
        elif self._loop is not None:
            self._started += 1
            self._tasks[self._started] = self._loop.create_task(self._run(self._started, run, args))
        else:
            self._group.start_soon(run, *args)

    async def wait(self) -> None:
        """Until all have ended; no more are started. Those of a task group are waited for by the group."""
        self._ended = True
        if self._queue is not None:
            self._changed.wake()
            return
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _run(self, number: int, run: Callable[..., Coroutine[Any, Any, None]], args: tuple[Any, ...]) -> None:
        """Instead of a callback at the task's end, which is one more turn of the event loop."""
        try:
            await run(*args)
        except Exception as error:  # noqa: BLE001 - a defect of ours: handlers' are judged in it
            LOGGER.error("a handler's task failed", exc_info=error)
        finally:
            del self._tasks[number]

    async def _start_queued(self) -> None:
        assert self._queue is not None
        with anyio.CancelScope(shield=True):
            while self._queue or not self._ended:
                while self._queue:
                    run, args = self._queue.popleft()
                    self._group.start_soon(run, *args)
                    del args  # else the call would wait here for the next one
                if not self._ended:
                    await self._changed.wait()


def sole(error: BaseException) -> BaseException:
    """The one exception inside groups of one; otherwise the error itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def is_cancelled() -> bool:
    """Whether the running task is being cancelled. If not, a cancellation that is raised is a stray one: on asyncio, of
    a future or task that was awaited and that somebody else has cancelled."""
    return anyio.current_effective_deadline() == -math.inf
