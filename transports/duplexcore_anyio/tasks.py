"""A task group that says nothing of its own: an exception of the body leaves it as it is, never in a group of one."""

from __future__ import annotations

import math

import anyio
from anyio.abc import TaskGroup

__all__ = ["Background", "is_cancelled", "sole"]


class Background:
    """Background tasks that never raise, and end by themselves or by `cancel`."""

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


def sole(error: BaseException) -> BaseException:
    """The one exception inside groups of one; otherwise the error itself."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def is_cancelled() -> bool:
    """Whether the running task is being cancelled. If not, a cancellation that is raised is a stray one: on asyncio, of
    a future or task that was awaited and that somebody else has cancelled."""
    return anyio.current_effective_deadline() == -math.inf
