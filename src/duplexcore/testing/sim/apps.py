"""The applications of a simulated call: on each side a task that writes, one that reads, and one that may give up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from duplexcore import (
    CallEnded,
    ClientCall,
    HalfClosed,
    LocalProtocolError,
    Message,
    MessageTooLargeError,
    ServerCall,
    Status,
)

from .scripts import CallScript, payload
from .sides import Side
from .steps import Actor, StepKind

__all__ = ["App", "ClientApp", "ServerApp", "messages"]


#: A message of so many bytes is smaller when it is packed; one of fewer, if it is much shorter, is not.
PACKABLE = 200


class App:
    """One side of one call: its script, the engine's call, and the history of both."""

    __slots__ = (
        "accepted",
        "actors",
        "call",
        "events",
        "half_closed",
        "index",
        "last_words",
        "on_command",
        "on_event",
        "packed",
        "readable",
        "reader",
        "refused",
        "script",
        "side",
        "too_long",
        "tried",
        "who",
    )

    call: Any
    reader: ReaderTask

    def __init__(self, who: str, side: Side, index: int, script: CallScript) -> None:
        self.who = who
        self.side = side
        self.index = index
        self.script = script
        self.call = None
        #: Whether the engine has announced something that was not read.
        self.readable = False
        #: What the reader has taken, in order.
        self.events: list[Any] = []
        #: Messages that the engine has accepted from this side, and whether it refused one, the call having ended.
        self.accepted: list[bytes] = []
        self.refused = False
        #: The size of the message that was said last, and whether that was too long to be taken.
        self.tried = 0
        self.too_long = False
        #: Of the messages that were accepted, whether each goes packed.
        self.packed: list[bool] = []
        self.half_closed = False
        #: How many steps at the end of its writer's plan are taken also when the call is over.
        self.last_words = 0
        #: Hear of each event as it is taken, and of each command.
        self.on_event: Callable[[App, Any], None] = _nobody
        self.on_command: Callable[[App, str], None] = _nobody
        self.actors: tuple[Actor, ...] = ()

    def __str__(self) -> str:
        return f"{self.who}{self.index}"

    @property
    def coding(self) -> str | None:
        """Of what this side says, as it should be; None: plain."""
        raise NotImplementedError

    @property
    def ended(self) -> CallEnded | None:
        return None if self.call is None else self.call.ended

    def begin(self, call: ClientCall | ServerCall) -> None:
        """The call is there."""
        self.call = call
        call.context = self

    def untie(self) -> None:
        """The run is over: its tasks go, and nobody hears of anything any more."""
        del self.reader
        self.actors = ()
        self.on_event = self.on_command = _nobody
        if self.call is not None:
            self.call.context = None

    def announce(self) -> None:
        """The engine has something for the reader."""
        self.readable = True
        self.reader.wake()

    def take(self) -> None:
        """The reader takes one event."""
        event = self.call.next_event()
        if event is None:
            self.readable = False
            return
        self.events.append(event)
        if type(event) is HalfClosed:
            self.half_closed = True
        elif type(event) is CallEnded:
            self.readable = False  # so that nothing follows is what P5 asks at the end
        self.on_event(self, event)
        self.side.took()

    def send(self, size: int) -> None:
        message = payload(self.who, self.index, len(self.accepted), size)
        self.tried, self.too_long = size, False
        packs = self.script.packs[len(self.accepted) % len(self.script.packs)] if self.call.compression else None
        try:
            taken = self.call.send_message(message, compress=packs)
        except MessageTooLargeError:
            self.too_long = True
            return
        if taken:
            self.accepted.append(message)
            # What is said here becomes smaller as soon as it is longer than a few bytes.
            self.packed.append(bool(size and self.coding and (size >= PACKABLE if packs is None else packs)))
        else:
            self.refused = True


class Writer(Actor):
    """The task that writes: goes through its plan, a step each."""

    __slots__ = ("_app", "_at", "_next", "_plan")

    def __init__(self, app: App, plan: list[tuple[str, Callable[[], None]]]) -> None:
        super().__init__(f"{app.who}{app.index} writer", StepKind.APP)
        self._app = app
        self._plan = plan
        self._go_to(0)

    def _go_to(self, at: int) -> None:
        self._at = at
        self.over = at == len(self._plan)
        #: What the plan says next.
        self._next = "done" if self.over else self._plan[at][0]

    def ready(self) -> bool:
        app, what = self._app, self._next
        call = app.call
        if call is None:
            return what == "start"
        if what == "send":
            return call.writable or call.ended is not None
        if what == "finish":
            return app.half_closed or not app.script.drains or call.ended is not None
        return not self.over

    @property
    def label(self) -> str:
        return f"{self._app.who}{self._app.index} {self._next}"

    @property
    def remaining(self) -> int:
        return len(self._plan) - self._at

    def act(self) -> None:
        app, (what, do) = self._app, self._plan[self._at]
        self._go_to(self._at + 1)
        do()
        app.on_command(app, what)
        app.side.touched()
        if app.refused:
            self._go_to(max(self._at, len(self._plan) - app.last_words))


class ReaderTask(Actor):
    """The task that reads, one event a step, as many as its script says; then it stops, but for the end of the call."""

    __slots__ = ("_app", "_left")

    def __init__(self, app: App, takes: int | None) -> None:
        super().__init__(f"{app.who}{app.index} reader", StepKind.APP)
        self._app = app
        self._left = takes
        self.over = True

    def ready(self) -> bool:
        app = self._app
        return app.readable and (self._left is None or self._left > 0)

    @property
    def label(self) -> str:
        return f"{self._app.who}{self._app.index} reads"

    @property
    def remaining(self) -> int:
        return 3

    def act(self) -> None:
        before = len(self._app.events)
        self._app.take()
        if self._left is not None:
            self._left -= len(self._app.events) - before
        self.over = not self._app.readable

    def go_on(self) -> None:
        """It reads everything from now on: in the end every application does."""
        self._left = None


class Quitter(Actor):
    """Gives up, once, at any moment while the call lives."""

    __slots__ = ("_app", "_do", "_what")

    def __init__(self, app: App, what: str, do: Callable[[], None]) -> None:
        super().__init__(f"{app.who}{app.index} {what}", StepKind.END)
        self._app = app
        self._what = what
        self._do = do

    def ready(self) -> bool:
        return not self.over and self._app.call is not None and self._app.call.ended is None

    def act(self) -> None:
        self.over = True
        self._do()
        self._app.on_command(self._app, self._what)
        self._app.side.touched()


class ClientApp(App):
    """The client's side of a call."""

    __slots__ = ("unopened",)

    def __init__(self, side: Side, index: int, script: CallScript) -> None:
        super().__init__("c", side, index, script)
        #: The connection took no more calls.
        self.unopened = False
        plan: list[tuple[str, Callable[[], None]]] = [("start", self._start)]
        plan += [("send", lambda size=size: self.send(size)) for size in script.requests]  # type: ignore[misc]
        if script.half_close:
            plan.append(("half-close", self._half_close))
        self.reader = ReaderTask(self, script.client_takes)
        actors: list[Actor] = [Writer(self, plan), self.reader]
        if script.cancels:
            actors.append(Quitter(self, "cancels", self.cancel))
        self.actors = tuple(actors)

    @property
    def coding(self) -> str | None:
        coding = self.script.coding or self.side.engine.config.compression
        return None if coding == "identity" else coding

    def _start(self) -> None:
        script, side = self.script, self.side
        deadline = None if script.timeout is None else side.now + script.timeout
        try:
            call = side.engine.start_call(
                f"/{script.service}/{self.index}",
                script.metadata,
                deadline=deadline,
                authority=script.authority,
                content_subtype=script.subtype,
                compression=script.coding,
                single_response=script.single_response,
            )
        except LocalProtocolError:
            self.unopened = self.refused = True
            return
        self.begin(call)

    def _half_close(self) -> None:
        self.call.half_close()

    def cancel(self) -> None:
        self.call.cancel()


class ServerApp(App):
    """The server's side of a call."""

    __slots__ = ("said", "takes")

    def __init__(self, side: Side, index: int, script: CallScript) -> None:
        super().__init__("s", side, index, script)
        #: The codings that the client takes.
        self.takes: Sequence[str] = ()
        #: The status that the application has given, if it was not too late.
        self.said: Status | None = None
        self.last_words = 1  # a handler always ends with its status: the call counts until then (CANC-3)
        plan: list[tuple[str, Callable[[], None]]] = []
        if script.initial_metadata:
            plan.append(("initial metadata", self._metadata))
        plan += [("send", lambda size=size: self.send(size)) for size in script.responses]  # type: ignore[misc]
        plan.append(("finish", self._finish))
        self.reader = ReaderTask(self, script.server_takes)
        actors: list[Actor] = [Writer(self, plan), self.reader]
        if script.aborts:
            actors.append(Quitter(self, "aborts", self._abort))
        self.actors = tuple(actors)

    @property
    def coding(self) -> str | None:
        coding = self.side.engine.config.compression
        return coding if coding in self.takes else None

    def begin(self, call: ClientCall | ServerCall) -> None:
        super().begin(call)
        if self.script.single_request:
            self.call.expect_single_request()

    def _metadata(self) -> None:
        if self.call.ended is None:
            self.call.send_initial_metadata(self.script.early)

    def _finish(self) -> None:
        script, status = self.script, Status(self.script.status, self.script.status_message)
        if self.call.ended is None:
            self.said = status
        self.call.finish(status, script.trailing_metadata)

    def _abort(self) -> None:
        self.call.abort()


def _nobody(app: App, what: Any) -> None:
    """Nobody listens."""


def messages(app: App) -> list[bytes]:
    """The messages that the reader has taken."""
    return [event.payload for event in app.events if type(event) is Message]
