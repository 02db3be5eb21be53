"""One call of the engine, and the tasks that wait for it: what both sides have in common."""

from __future__ import annotations

from typing import Any, Final, Generic, NoReturn, TypeVar

import anyio
import anyio.lowlevel

from duplexcore import ClientCall, Receive, ServerCall

from .keeper import Keeper
from .waiting import Waiter

__all__ = ["CallCore"]

#: So many messages a task may send or take in a row without suspending; then the others have their turn.
TURN = 512
#: To read it from its enum takes as long as to call a function.
_CLOSED: Final = Receive.CLOSED

EngineCallT = TypeVar("EngineCallT", ClientCall, ServerCall)


class CallCore(Generic[EngineCallT]):
    """The state stands in the engine's call; this adds who waits for what. One task may wait to read and one to write:
    a second one is told so at once. Watchers may be any number. Its methods are called by name where that is done for
    each call: to make `super()` takes longer than most of them."""

    __slots__ = (
        "_readable",
        "_reading",
        "_told",
        "_turn",
        "_watchers",
        "_writable",
        "_writing",
        "compress_next",
        "driver",
        "engine",
        "left",
        "said_all",
    )

    def __init__(self, engine: EngineCallT, driver: Keeper[Any]) -> None:
        self.engine: EngineCallT = engine
        self.driver = driver
        #: The call was closed on this side: there is nothing more to ask of it.
        self.left = False
        #: This side has said that it sends no more messages.
        self.said_all = False
        #: How the next message is packed, where it was said before there was one (see `CallWriter.send`).
        self.compress_next: bool | None = None
        self._readable: Waiter | None = None  # made when a task waits for the first time, as the others
        self._writable: Waiter | None = None
        self._watchers: set[Waiter] | None = None
        self._reading = False
        self._writing = False
        self._turn = TURN
        self._told = -1  # the driver's turn in which it was told last that there is something to write
        engine.context = self

    # --- heard from the driver --------------------------------------------------------------------------------------

    def on_readable(self) -> None:
        if (waiter := self._readable) is not None:
            waiter.wake()
        if self._watchers:
            for watcher in self._watchers:
                watcher.wake()
        if self.engine.ended is not None:
            self.on_end()

    def on_writable(self) -> None:
        if (waiter := self._writable) is not None:
            waiter.wake()

    def on_end(self) -> None:
        """The call has ended: who waits for room waits in vain."""
        self.on_writable()

    # --- messages ---------------------------------------------------------------------------------------------------

    async def take(self) -> bytes | None:
        """The next message; None when the peer has said all that it will. A cancelled wait takes nothing (D-33)."""
        if self._reading:
            raise anyio.BusyResourceError("receiving from")
        if self.left:
            raise self.closed_error()
        engine = self.engine
        self._turn -= 1
        if self._turn < 0:
            self._reading = True
            try:
                await self._pass_turn()
            finally:
                self._reading = False
        while (message := engine.take_message()) is None:
            if engine.receive_state >= _CLOSED:
                return None
            if self._told != self.driver.turn:
                self.tell()  # credit for a message that is larger than the window
            if (waiter := self._readable) is None:
                waiter = self._readable = self.driver.new_waiter()
            self._reading = True
            try:
                await waiter.wait()
            finally:
                self._reading = False
            if self.left:
                raise self.closed_error()
        if self._told != self.driver.turn:
            self.tell()  # credit for what was taken
        return message

    def offer_now(self, payload: bytes, compress: bool | None = None) -> bool:
        """`offer`, where there is nothing to wait for, and nothing to raise for its order. False: there is."""
        if self._writing or self._turn <= 0 or self.left or self.said_all:
            return False
        packed = self.compress_next if compress is None else compress
        if not self.engine.offer_message(payload, packed):
            return False
        self._turn -= 1
        if packed is not compress:
            self.compress_next = None
        if self._told != self.driver.turn:
            self.tell()
        return True

    async def offer(self, payload: bytes, compress: bool | None = None) -> None:
        """Queues a message, once there is room. A cancelled wait has queued nothing.

        Raises BusyResourceError while another task sends, ClosedResourceError after this side's end, and what
        `refuse` raises after the call's.
        """
        if self._writing:
            raise anyio.BusyResourceError("sending to")
        while not self.offer_now(payload, compress):
            self._writing = True
            try:
                await self._room()
            finally:
                self._writing = False
            if self.left:
                raise self.closed_error()
            if self.said_all:
                raise anyio.ClosedResourceError("this side has said that it sends no more messages")
            if self.engine.ended is not None:
                await self.refuse()

    def tell(self) -> None:
        """Lets the driver write what comes of what was said: it need hear that once a turn."""
        driver = self.driver
        self._told = driver.turn
        driver.wake_writer()

    def move(self, driver: Keeper[Any]) -> None:
        """The call goes on with another connection."""
        self.driver = driver
        self._told = -1

    async def _room(self) -> None:
        """Until a message may be offered, or never will be."""
        if self._turn <= 0:
            await self._pass_turn()
        while not self.engine.writable and self.engine.ended is None and not self.left and not self.said_all:
            if (waiter := self._writable) is None:
                waiter = self._writable = self.driver.new_waiter()
            await waiter.wait()

    async def _pass_turn(self) -> None:
        """The other tasks have theirs."""
        self._turn = TURN
        await anyio.lowlevel.checkpoint()

    @property
    def busy_writing(self) -> bool:
        """Whether a task waits to send."""
        return self._writing

    async def changed(self) -> None:
        """Until something has come: the initial metadata or the end; spurious otherwise."""
        watcher = self.driver.new_waiter()
        watchers = self._watchers = self._watchers or set()
        watchers.add(watcher)
        try:
            await watcher.wait()
        finally:
            watchers.discard(watcher)

    def leave(self) -> None:
        """This side is done with the call: whoever waits for it is told. Both this and the engine's call are then freed
        with their last user, since they do not know each other any more."""
        self.left = True
        self.engine.context = None
        if (waiter := self._readable) is not None:
            waiter.wake()
        self.on_writable()
        for watcher in self._watchers or ():
            watcher.wake()

    # --- what each side says to misuse and to an end ------------------------------------------------------------------

    async def end_of_messages(self) -> NoReturn:
        """Raises what a reader gets after the last message, as often as it asks (D-29)."""
        raise NotImplementedError

    async def refuse(self) -> NoReturn:
        """Raises what a writer gets after the end of the call."""
        raise NotImplementedError

    def closed_error(self) -> Exception:
        """What a use of the call gets after `leave`."""
        raise NotImplementedError

    def source_failed(self) -> None:
        """The source of messages has raised."""
        raise NotImplementedError

    def undecodable(self, error: Exception) -> Exception:
        """What a reader gets for a message that its codec does not take."""
        raise NotImplementedError

    def end_writing(self) -> None:
        """No more messages of this side. Said again, or after the end, it does nothing."""
        raise NotImplementedError
