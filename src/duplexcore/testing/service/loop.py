"""An asyncio event loop that is stepped from outside: virtual time, no sockets, and the order of ready tasks by choice.

Real loops run what is ready first come, first served; trio shuffles. A service that is right under any order of its
ready tasks is right on both, and on the loop after the next release, too. Within one task, and among what belongs to no
task, the order stays as it is.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import math
import sys
from asyncio import events
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..sim.choosing import Chooser

__all__ = ["SteppedLoop", "name_of"]

T = TypeVar("T")

#: What a service in the simulator can not have: everything that is not a coroutine is outside.
OUTSIDE = (
    "add_reader",
    "add_writer",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "run_in_executor",
    "sock_connect",
    "sock_recv",
    "sock_sendall",
    "subprocess_exec",
    "subprocess_shell",
)


class SteppedLoop(asyncio.AbstractEventLoop):
    """Runs one ready callback for each `step`. Time stands still until `advance` lets the next timer fall due."""

    def __init__(self, chooser: Chooser | None = None, *, now: float = 0.0) -> None:
        self.chooser = chooser
        self._now = now
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        #: The task that has run last; None: it was a callback of nobody's.
        self.ran: asyncio.Task[Any] | None = None
        #: What it was called then: a task may find its name as it runs.
        self.ran_as = ""
        #: What nobody has caught, in callbacks and tasks.
        self.failures: list[str] = []
        self._closed = False

    # --- for those who step it ----------------------------------------------------------------------------------------

    @contextmanager
    def running(self) -> Generator[None]:
        """Within this, coroutines find the loop as the running one. Raises RuntimeError inside another loop."""
        if events._get_running_loop() is not None:
            raise RuntimeError("a simulation can not run inside a running event loop: call it from synchronous code")
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._finalize)
        events._set_running_loop(self)
        try:
            yield
        finally:
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    @property
    def is_ready(self) -> bool:
        """Whether a step can be taken."""
        self._drop_cancelled()
        return bool(self._ready)

    def step(self) -> None:
        """Runs one callback: the oldest of any task that is ready, by choice; the oldest of all is option 0."""
        self._drop_cancelled()
        handle = self._ready.pop(self._choose())
        self.ran = _owner(handle)
        self.ran_as = name_of(self.ran)
        handle._run()

    def run_dully(self, limit: int) -> bool:
        """Runs all that is ready, the oldest first. False: after ``limit`` callbacks there still is more."""
        for _ in range(limit):
            if not self.is_ready:
                return True
            handle = self._ready.pop(0)
            self.ran = _owner(handle)
            handle._run()
        return not self.is_ready

    def call(self, function: Callable[[], T]) -> T:
        """What a function returns that is called in a task of the loop, together with all that is ready."""

        async def inside() -> T:
            return function()

        task: asyncio.Task[T] = self.create_task(inside())
        self.run_dully(1_000)
        return task.result()

    @property
    def next_timer(self) -> float | None:
        """When the next timer is due; None without one."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance(self) -> None:
        """Time goes on to the next timer; all that is due then is ready."""
        due = self.next_timer
        assert due is not None
        self._now = max(self._now, due)
        while (due := self.next_timer) is not None and due <= self._now:
            self._ready.append(heapq.heappop(self._timers)[2])

    @property
    def ready_tasks(self) -> list[str]:
        """The names of those that `step` chooses from."""
        self._drop_cancelled()
        return [name_of(owner) for owner in self._places()]

    def _choose(self) -> int:
        """The place of the callback that is to run."""
        if self.chooser is None or len(self._ready) == 1:
            return 0
        places = self._places()
        if len(places) == 1:
            return 0
        options = list(places)
        return places[options[self.chooser.choose(len(options), "task", [name_of(owner) for owner in options])]]

    def _places(self) -> dict[asyncio.Task[Any] | None, int]:
        """Of the oldest callback of each task that is ready."""
        places: dict[asyncio.Task[Any] | None, int] = {}
        for place, handle in enumerate(self._ready):
            places.setdefault(_owner(handle), place)
        return places

    def _drop_cancelled(self) -> None:
        if any(handle._cancelled for handle in self._ready):
            self._ready = [handle for handle in self._ready if not handle._cancelled]

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._closed:
            self.create_task(_closing(generator), name="closes a generator that was left")

    # --- what asyncio asks of a loop ----------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        if when < math.inf:  # as anyio's sleep_forever asks for
            heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **_: Any,
    ) -> asyncio.Task[Any]:
        # By itself asyncio counts all tasks of the process: then a name would not be the same in the next run.
        name = name or str(getattr(coro, "__qualname__", type(coro).__name__))
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def get_task_factory(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Nothing runs any more, and nothing is said about what was left."""
        self._closed = True
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._ready.clear()
        self._timers.clear()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is dropped when its turn comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._closed:
            error = context.get("exception")
            self.failures.append(f"{context.get('message')}: {error!r}" if error else str(context.get("message")))


def name_of(owner: asyncio.Task[Any] | None) -> str:
    """What a task is called, and what belongs to no task."""
    return "callbacks" if owner is None else owner.get_name()


def _owner(handle: asyncio.Handle) -> asyncio.Task[Any] | None:
    """The task that a callback steps or wakes."""
    owner = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
    return owner if isinstance(owner, asyncio.Task) else None


async def _closing(generator: AsyncGenerator[Any, Any]) -> None:
    await generator.aclose()


def _outside(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError(
            f"{name}(): a service in the simulator has no sockets, threads, processes or files, only tasks and time; "
            "put what it needs of the outside behind an object that the machine's service() replaces"
        )

    return refuse


for _name in OUTSIDE:
    setattr(SteppedLoop, _name, _outside(_name))
