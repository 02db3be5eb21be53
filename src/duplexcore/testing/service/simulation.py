"""A service in the simulator: its handlers on a stepped loop behind the real server, scripted clients before it.

As every simulation it has two phases: first whatever is ready may happen next; then the faults are over, whoever waits
for a client is told that it is gone, and everything must come to its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from duplexcore import ServerConfig, Status
from duplexcore.rpc import HandlerTable, Registered
from duplexcore_anyio import ServerContext

from ..sim.choosing import Chooser
from ..sim.disturbances import Stall
from ..sim.properties import PropertyError
from ..sim.steps import Actor, StepKind, dullness
from .callers import Caller, Script
from .links import Link
from .loop import SteppedLoop, name_of
from .places import place_of_error, place_of_task

__all__ = ["MAX_STEPS", "ServiceSimulation"]

#: More steps than that are not a run but a loop.
MAX_STEPS = 20_000
#: How often time may go on by choice; then it does only when nothing else can happen.
LEAPS = 8
#: How often it may in the second phase: a service may sleep a few times, not for good.
LAST_LEAPS = 200
#: Steps without which nothing moves by itself.
BUSY = (StepKind.APP, StepKind.WIRE)
LOGGER = logging.getLogger("duplexcore_anyio")


class ServiceSimulation:
    """One run. ``on_step`` is called after each step of the first phase."""

    def __init__(
        self,
        service: Callable[[], HandlerTable],
        scripts: Sequence[Script],
        chooser: Chooser,
        loop: SteppedLoop,
        *,
        config: ServerConfig | None = None,
        faults: bool = False,
        shutdowns: bool = False,
        handlers_may_fail: bool = False,
    ) -> None:
        self.loop = loop
        self._chooser = chooser = _FirstPhase(chooser)
        self._handlers_may_fail = handlers_may_fail
        #: What happened, a label a step.
        self.trace: list[str] = []
        #: The tasks of handlers, and which call each is for.
        self.handlers: dict[asyncio.Task[Any], int] = {}
        self._unanswered: list[str] = []
        #: Who acts, or acted last.
        self.last: Actor | None = None
        self._streams: dict[tuple[int, int], int] = {}
        count = 1 + max((script.connection for script in scripts), default=0)
        config = config or ServerConfig()

        def begin() -> list[Link]:
            table = _Entered(service(), self._enter)
            return [Link(index, table, config, loop, chooser) for index in range(count)]

        self.links = loop.call(begin)
        self.callers = [Caller(self.links[script.connection].client, i, script) for i, script in enumerate(scripts)]
        self.clock = LoopClock(loop)
        self.actors: list[Actor] = [actor for caller in self.callers for actor in caller.actors]
        self.actors.append(LoopActor(loop))
        for link in self.links:
            self.actors += link.actors(faults=faults, shutdowns=shutdowns)
        self.actors.sort(key=dullness)
        self._giving_up = [GivingUp(caller) for caller in self.callers]
        #: Clients give up a call at any moment, not only in the end: for those who look what that changes.
        self.impatient = False
        self.on_step: Callable[[], None] = lambda: None
        #: Hears that the handshakes are over, and of each step before anything is checked.
        self.on_begun: Callable[[], None] = lambda: None
        self.on_taken: Callable[[], None] = lambda: None
        #: Hears of each task of the service that has run a bit.
        self.on_task: Callable[[asyncio.Task[Any]], None] | None = None

    def _introduce(self) -> None:
        """The handshakes, in the dull order."""
        busy = True
        while busy:
            busy = self.loop.is_ready
            self.loop.run_dully(MAX_STEPS)
            for link in self.links:
                busy = link.deliver() or busy
                link.client.hear()
        self.loop.chooser = self._chooser

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Both phases. Raises `PropertyError`."""
        with _overheard(self._unanswered):
            self._introduce()
            self.on_begun()
            while self.step():
                if len(self.trace) > MAX_STEPS:
                    raise PropertyError("rest", f"after {MAX_STEPS:,} steps there is no end: does a handler spin?")
            self.settle()

    def step(self) -> bool:
        """One step of the first phase. False: nothing can happen any more, or nobody waits for what still can."""
        ready = [actor for actor in self.actors if actor.ready()]
        ready += [actor for actor in self._giving_up if self.impatient and actor.ready()]
        idle = not any(actor.kind in BUSY for actor in ready)
        if idle and self.is_over():
            return False
        if self.clock.ready() and self.clock.leaps < (LAST_LEAPS if idle else LEAPS):
            ready.insert(0 if idle else len(ready), self.clock)
        elif idle:
            # What is left is that something breaks or that somebody gives up. It may as well stay as it is.
            which = self._chooser.choose(len(ready) + 1, "rest", ("it rests", *ready)) if ready else 0
            if not which:
                return False
            ready = [ready[which - 1]]
        last = self.last
        if last in ready and ready[0] is not last:
            ready.remove(last)
            ready.insert(0, last)
        if len(ready) > 1:
            self._take(ready[self._chooser.choose(len(ready), "step", ready)])
        else:
            self._chooser.forced(ready[0])
            self._take(ready[0])
        return True

    def settle(self) -> None:
        """The second phase: calls that do not end by themselves are cancelled, then every connection is closed."""
        self._chooser.over = True
        for actor in self.actors:
            if isinstance(actor, Stall) and actor.stalls:
                self._take(actor)
        self._let_finish(until=self.is_over)
        for tired in self._giving_up:
            if tired.ready():
                self._take(tired)
        self._let_finish(until=self.is_over)
        for link in self.links:
            self._take(HangingUp(link))
        self._let_finish(until=lambda: not self.running and all(link.task.done() for link in self.links))
        self._check_rest()

    def is_over(self) -> bool:
        """Whether every client has seen the end of its call, or none of it."""
        return all(caller.is_over for caller in self.callers)

    @property
    def running(self) -> list[int]:
        """The calls whose handlers have not returned."""
        return [index for task, index in self.handlers.items() if not task.done()]

    def _let_finish(self, until: Callable[[], bool]) -> None:
        """Everything that is ready, in the dull order; time goes on only when nothing else does."""
        steps = leaps = 0
        busy = [actor for actor in self.actors if actor.kind in BUSY]
        while True:
            if self.last in busy and self.last.ready():
                self._take(self.last)
            elif (actor := next((one for one in busy if one.ready()), None)) is not None:
                self._take(actor)
            elif until() or not self.clock.ready() or leaps == LAST_LEAPS:
                return
            else:
                leaps += 1
                self._take(self.clock)
            steps += 1
            if steps > MAX_STEPS:
                raise PropertyError("rest", f"after {MAX_STEPS:,} steps the server is still busy: {self._waits()}")

    def _take(self, actor: Actor) -> None:
        """One step."""
        self.last = actor
        self.trace.append(actor.label)
        try:
            actor.act()
        finally:
            if type(actor) is LoopActor:  # which task it is it has chosen inside
                self.trace[-1] = actor.told
            self.on_taken()
        self._look(actor)

    # --- what must hold for every service -----------------------------------------------------------------------------

    def _look(self, actor: Actor) -> None:
        if self._unanswered and not self._handlers_may_fail:
            raise PropertyError("handlers do not fail", "; ".join(self._unanswered))
        if self.loop.failures:
            raise PropertyError("nothing is left uncaught", "; ".join(self.loop.failures))
        if type(actor) is LoopActor and self.on_task is not None and self.loop.ran is not None:
            self.on_task(self.loop.ran)
        self.on_step()

    def _check_rest(self) -> None:
        for caller in self.callers:
            if not caller.is_over:
                raise PropertyError("every call ends", f"call {caller.index} has no end at its client")
        if self.running:
            raise PropertyError("handlers end", f"every client is gone, but {self._waits()}")

    def _waits(self) -> str:
        waiting = [
            f"the handler of call {index} is {place_of_task(task)}"
            for task, index in self.handlers.items()
            if not task.done()
        ]
        return "; ".join(waiting) or "no handler runs"

    # --- who is who ---------------------------------------------------------------------------------------------------

    def _enter(self, context: ServerContext) -> None:
        """A handler begins, in the task that runs."""
        task = asyncio.current_task()
        assert task is not None
        engine = context._core.engine
        link = next(link for link in self.links if link.served._driver is context._core.driver)
        index = self.call_of(link, getattr(engine._lane, "stream_id", 0))
        assert index is not None
        task.set_name(f"handler {index}")
        self.handlers[task] = index

    def streams_of(self, link: Link) -> list[int]:
        """The streams of a connection that carry calls, as far as `call_of` was asked for them."""
        return [stream for index, stream in self._streams if index == link.index]

    def call_of(self, link: Link, stream: int) -> int | None:
        """The index of the call that a stream carries."""
        key = (link.index, stream)
        if key not in self._streams:
            for caller in self.callers:
                lane = None if caller.call is None else caller.call._lane
                if caller.side is link.client and getattr(lane, "stream_id", None) == stream:
                    self._streams[key] = caller.index
        return self._streams.get(key)


class LoopActor(Actor):
    """The server's tasks. The step is that one of them runs until it waits again; which one is a choice of the loop."""

    __slots__ = ("_loop",)

    def __init__(self, loop: SteppedLoop) -> None:
        super().__init__("tasks", StepKind.APP)
        self._loop = loop

    def ready(self) -> bool:
        return self._loop.is_ready

    @property
    def parties(self) -> Sequence[str]:
        return self._loop.ready_tasks

    @property
    def party(self) -> str:
        return self._loop.ran_as

    @property
    def told(self) -> str:
        """What it has done."""
        return f"server runs {name_of(self._loop.ran)}"

    def act(self) -> None:
        self._loop.step()


class LoopClock(Actor):
    """The server's clock. Its step is that the next timer is due."""

    __slots__ = ("_loop", "leaps")

    def __init__(self, loop: SteppedLoop) -> None:
        super().__init__("server clock", StepKind.TIMER)
        self._loop = loop
        self.leaps = 0

    def ready(self) -> bool:
        return self._loop.next_timer is not None

    @property
    def label(self) -> str:
        return f"server clock goes on to {self._loop.next_timer or 0.0:g} s"

    def act(self) -> None:
        self.leaps += 1
        self._loop.advance()


class GivingUp(Actor):
    """A client that has waited for long enough. It cancels."""

    __slots__ = ("_caller",)

    def __init__(self, caller: Caller) -> None:
        super().__init__(f"c{caller.index} gives up", StepKind.END)
        self._caller = caller

    def ready(self) -> bool:
        return self._caller.call is not None and self._caller.call.ended is None

    def act(self) -> None:
        caller = self._caller
        caller.cancel()
        caller.on_command(caller, "gives up: cancels")
        caller.side.touched()


class HangingUp(Actor):
    """The client of a connection goes away, when all its calls have ended."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        super().__init__(f"{link.client.name} hangs up", StepKind.END)
        self._link = link

    def act(self) -> None:
        self._link.hang_up()


class _FirstPhase:
    """Asks another chooser until the phase is ``over``; then it takes the dull option."""

    def __init__(self, inner: Chooser) -> None:
        self._inner = inner
        self._told = getattr(inner, "forced", None)
        self.over = False

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        return 0 if self.over else self._inner.choose(n, kind, labels)

    def forced(self, label: object) -> None:
        """Who acts where nobody else can."""
        if self._told is not None and not self.over:
            self._told(label)


class _Entered(HandlerTable):
    """The service's handlers; ``enter`` hears of each that begins."""

    def __init__(self, table: HandlerTable, enter: Callable[[Any], None]) -> None:
        super().__init__()
        self._table = table
        self._enter = enter

    def find(self, path: str) -> Registered | Status:
        found = self._table.find(path)
        if isinstance(found, Status):
            return found

        def entered(*arguments: Any) -> Any:
            self._enter(arguments[-1])
            return found.handler(*arguments)

        return Registered(found.method, entered)

    @property
    def methods(self) -> list[Any]:
        return self._table.methods


class _Overheard(logging.Filter):
    """What the server would log as an error is kept instead."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self._heard = heard

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR:
            return True
        error = record.exc_info[1] if record.exc_info else None
        self._heard.append(record.getMessage() + ("" if error is None else f": {error!r}{place_of_error(error)}"))
        return False


@contextmanager
def _overheard(heard: list[str]) -> Generator[None]:
    one = _Overheard(heard)
    LOGGER.addFilter(one)
    try:
        yield
    finally:
        LOGGER.removeFilter(one)
