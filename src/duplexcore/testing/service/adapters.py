"""Call scripts played by the adapters, on asyncio and on trio, in virtual time: what do their applications see?

On asyncio it is the `SteppedLoop`, whose tasks run in an order of choice; on trio a clock that jumps, with trio's own
random order. The history is judged as it is written (P50).
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from duplexcore import RpcError, Status, StatusCode
from duplexcore.rpc import DuplexMethod
from duplexcore_anyio import CallClosedError, Channel, DuplexCall, DuplexServerCall, Router, memory_link, serve_stream

from ..model.vocabulary import (
    CLIENT,
    SERVER,
    Cancel,
    Event,
    Finish,
    HalfClose,
    Role,
    SendInitialMetadata,
    SendMessage,
    Start,
    Step,
)
from ..sim.choosing import Chooser
from ..sim.properties.base import PropertyError
from ..sim.properties.histories import P50, Heard, Said
from ..sim.scripts import CallScript, draw_script, payload
from .loop import SteppedLoop

__all__ = ["BACKENDS", "Play", "play", "play_drawn"]

BACKENDS = ("asyncio", "trio")
TALK = DuplexMethod("/adapters.Calls/Talk", bytes, bytes)
#: How long an application may think before it does something, and how many bytes the link holds.
DELAYS, CAPACITIES = (0.0, 0.4, 1.0, 1.5), (65_536, 100)
#: When everything should be over: seconds of virtual time.
LONG = 1_000.0
#: More steps than that are no call but a loop. Time goes on after so many that no task had: anyio cancels a task that
#: is shielded for a while by asking it again and again.
MOST_STEPS, OF_NOBODY = 50_000, 50


@dataclass(frozen=True, slots=True)
class Play:
    """One call: a script, and how long each application waits before each thing that it does, in turn.

    ``capacity``: bytes that are under way at most, each way.
    """

    script: CallScript
    delays: Sequence[float] = (0.0,)
    capacity: int = CAPACITIES[0]

    @classmethod
    def drawn(cls, chooser: Chooser) -> Play:
        """By choice; all zeros: a unary call in which nobody waits."""

        def pick(kind: str, options: Sequence[Any]) -> Any:
            return options[chooser.choose(len(options), kind, options)]

        script = draw_script(chooser, max_messages=2)
        delays = tuple(pick("delay", DELAYS) for _ in range(6))
        return cls(script, delays, pick("capacity", CAPACITIES))


class Theatre:
    """The applications of one call; what they say and hear goes to `history`."""

    def __init__(self, play: Play, history: P50) -> None:
        self._script = play.script
        self._capacity = play.capacity
        self._delays = list(play.delays)
        self._history = history
        self._serving = self._said_all = False

    @property
    def _readers(self) -> list[Role]:
        """Whose applications read all that there is."""
        takes = {CLIENT: self._script.client_takes, SERVER: self._script.server_takes}
        return [role for role in Role if takes[role] is None]

    async def run(self) -> None:
        """The call, from its start until both sides are gone. Raises `PropertyError`."""
        router, (near, far) = Router(), memory_link(self._capacity)
        router.add(TALK, self._serve)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve_stream, router, far)
            async with Channel.over(near) as channel:
                self._says(CLIENT, Start(deadline=self._script.timeout is not None))
                async with channel.duplex(TALK, metadata=self._script.metadata, timeout=self._script.timeout) as call:
                    with anyio.move_on_after(LONG) as scope:
                        await self._ask(call)
                    if scope.cancelled_caught:  # the server may wait for a half-close that does not come
                        self._history.calm(self._readers)
                    self._says(CLIENT, Cancel())  # as leaving the call does
                await anyio.sleep(LONG)  # the server's application comes to its end
                if self._serving:
                    raise PropertyError("P50", "the client is gone, and the server's application has not been told")
                self._history.rest()

    # --- the client ---------------------------------------------------------------------------------------------------

    async def _ask(self, call: DuplexCall[bytes, bytes]) -> None:
        async with anyio.create_task_group() as tasks:
            if self._script.cancels:
                tasks.start_soon(self._cancel, call)
            tasks.start_soon(self._send_requests, call)
            await self._read(CLIENT, call, self._script.client_takes, self._client_ends(call))
            tasks.cancel_scope.cancel()

    async def _send_requests(self, call: DuplexCall[bytes, bytes]) -> None:
        sent = await self._send(CLIENT, call, self._script.requests)
        if sent and self._script.half_close:
            await self._pause()
            self._says(CLIENT, HalfClose())
            await call.send_eof()

    async def _cancel(self, call: DuplexCall[bytes, bytes]) -> None:
        await self._pause()
        self._says(CLIENT, Cancel())
        call.cancel()

    def _client_ends(self, call: DuplexCall[bytes, bytes]) -> Callable[[Status], None]:
        script = self._script

        def ends(status: Status) -> None:
            self._hears(CLIENT, status.code)
            if status.code is not script.status or not self._said_all:
                return  # it is not the one that the server has said
            if status.message != script.status_message or not _has(call.trailing_metadata, script.trailing_metadata):
                raise PropertyError("P50", f"the status came as {status} with {call.trailing_metadata}")

        return ends

    # --- the server ---------------------------------------------------------------------------------------------------

    async def _serve(self, call: DuplexServerCall[bytes, bytes]) -> None:
        script, self._serving = self._script, True
        self._hears(SERVER, Event.STARTED)
        call.set_trailing_metadata(script.trailing_metadata)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._answer, call, tasks.cancel_scope)
                await self._read(SERVER, call, script.server_takes, None)
            self._said_all, self._serving = True, False
        except anyio.get_cancelled_exc_class():
            self._serving = False
            self._hears(SERVER, None)
            raise
        self._says(SERVER, Finish(script.status))
        if script.status is not StatusCode.OK:
            raise RpcError(script.status, script.status_message)

    async def _answer(self, call: DuplexServerCall[bytes, bytes], scope: anyio.CancelScope) -> None:
        if self._script.initial_metadata:
            await self._pause()
            self._says(SERVER, SendInitialMetadata())
            await call.send_initial_metadata({"early": "yes"})
        await self._send(SERVER, call, self._script.responses)
        await self._pause()
        if not self._script.drains:
            scope.cancel()

    # --- both ---------------------------------------------------------------------------------------------------------

    async def _send(self, role: Role, call: Any, sizes: Sequence[int]) -> bool:
        """False: the call was over before all was said."""
        for index, size in enumerate(sizes):
            await self._pause()
            self._says(role, SendMessage())
            try:
                await call.send(payload("cs"[role], 0, index, size))
            except (RpcError, CallClosedError):
                return False
        return True

    async def _read(self, role: Role, call: Any, takes: int | None, ends: Callable[[Status], None] | None) -> None:
        """Until the end; ``takes``: no more than so many messages."""
        sizes = self._script.responses if role is CLIENT else self._script.requests
        count = 0
        while takes is None or count < takes:
            await self._pause()
            try:
                message = await call.receive()
            except anyio.EndOfStream:
                if ends is None:
                    self._hears(role, Event.HALF_CLOSED)
                else:
                    ends(call.status)
                return
            except RpcError as error:
                if ends is not None:
                    ends(error.status)
                return
            self._hears(role, Event.MESSAGE)
            expected = payload("cs"[role.peer], 0, count, sizes[count]) if count < len(sizes) else None
            if message != expected:
                raise PropertyError("P50", f"{role.name.lower()} was given {message[:40]!r} as message {count}")
            count += 1

    async def _pause(self) -> None:
        self._delays.append(delay := self._delays.pop(0))  # in turn, and from the beginning
        if delay:
            await anyio.sleep(delay)

    def _says(self, role: Role, step: Step) -> None:
        self._history.add(Said(role, step))

    def _hears(self, role: Role, event: Event | StatusCode | None) -> None:
        self._history.add(Heard(role, event))


def _has(metadata: Any, sent: Any) -> bool:
    return set(sent) <= set(metadata)


# -- on either backend ------------------------------------------------------------------------------------------------


def play(one: Play, backend: str, chooser: Chooser | None = None, *, seed: int = 0) -> P50:
    """Has a call played on ``backend``; ``chooser`` says which task of asyncio goes first, ``seed`` which of trio's.

    Gives the history. Raises `PropertyError`: P50, or "rest" where it does not end.
    """
    history = P50()
    theatre = Theatre(one, history)
    try:
        if backend == "asyncio":
            _on_asyncio(theatre.run, chooser)
        else:
            _on_trio(theatre.run, seed)
    except BaseExceptionGroup as group:
        raise _first(group) from None
    return history


def play_drawn(chooser: Chooser, backend: str) -> P50:
    """A call by choice: a target for hunts, `shrink` and fuzzers."""
    one = Play.drawn(chooser)
    return play(one, backend, chooser, seed=chooser.choose(1_000, "trio's order", ()) if backend == "trio" else 0)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """A property that does not hold, before what followed from it."""
    found, _ = group.split(PropertyError)
    one: BaseException = group if found is None else found
    while isinstance(one, BaseExceptionGroup):
        one = one.exceptions[0]
    return one


def _on_asyncio(run: Callable[[], Awaitable[None]], chooser: Chooser | None) -> None:
    loop = SteppedLoop(chooser)  # type: ignore[abstract]

    async def main() -> None:
        await run()

    with loop.running():
        try:
            task = loop.create_task(main(), name="the client")
            of_nobody = 0
            for _ in range(MOST_STEPS):
                if task.done():
                    break
                if loop.is_ready and (of_nobody < OF_NOBODY or loop.next_timer is None):
                    loop.step()
                    of_nobody = of_nobody + 1 if loop.ran is None else 0
                elif loop.next_timer is not None:
                    loop.advance()
                    of_nobody = 0
                else:
                    raise PropertyError("rest", "everybody waits, and for nothing")
            else:
                raise PropertyError("rest", f"after {MOST_STEPS:,} steps there is no end")
            if loop.failures:
                raise PropertyError("rest", "; ".join(loop.failures))
            task.result()
        finally:
            loop.close()


def _on_trio(run: Callable[[], Awaitable[None]], seed: int) -> None:
    import trio  # noqa: PLC0415 - an extra of its own
    import trio.testing  # noqa: PLC0415

    async def main() -> None:
        trio._core._run._r = random.Random(seed)  # noqa: S311 - the order of its tasks
        with trio.move_on_after(1_000 * LONG) as scope:
            await run()
        if scope.cancelled_caught:
            raise PropertyError("rest", "everybody waits, and for nothing")

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
