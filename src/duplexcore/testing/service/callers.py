"""The clients of a service in the simulator: what each call does, as data, and the actors that do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from duplexcore import CallEnded, ClientConnection, LocalProtocolError, Message, MetadataLike, Status
from duplexcore.rpc import Method, MethodKind

from ..sim.apps import App, Quitter, ReaderTask, Writer
from ..sim.choosing import Chooser
from ..sim.scripts import CallScript
from ..sim.sides import Side
from ..sim.steps import Actor

__all__ = ["Caller", "Calls", "Script"]

_ONE_REQUEST = (MethodKind.UNARY, MethodKind.SERVER_STREAMING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One call as its client plays it. The order of it all, and when anything is read, is the simulation's.

    ``connection``: on which of the connections, from 0. ``cancels``: it may cancel, at any moment. ``timeout``: in
    seconds.
    """

    method: Method[Any, Any]
    requests: Sequence[Any] = ()
    half_close: bool = True
    cancels: bool = False
    timeout: float | None = None
    metadata: MetadataLike = ()
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Calls:
    """What calls of one method may look like: `draw` makes one of them.

    ``messages``: what may be sent, the dullest first; a method with one request sends one of them, others up to
    ``max_messages`` in any order. ``half_closes``: whether the client may leave its side open; ``cancels``: whether it
    may cancel; ``timeouts``: its deadlines, in seconds. Raises ValueError for values that can not be.
    """

    method: Method[Any, Any]
    messages: Sequence[Any]
    max_messages: int = 2
    half_closes: Sequence[bool] = (True, False)
    cancels: bool = True
    timeouts: Sequence[float | None] = (None, 1.0)
    metadata: MetadataLike = ()

    def __post_init__(self) -> None:
        one = self.method.kind in _ONE_REQUEST
        if not self.messages and (one or self.max_messages):
            raise ValueError(f"calls of {self.method.path} have no messages to choose from")
        if self.max_messages < 0:
            raise ValueError(f"max_messages is {self.max_messages}: it must be at least 0")

    def draw(self, chooser: Chooser, connections: int) -> Script:
        """One call by choice."""

        def pick(kind: str, options: Sequence[Any]) -> Any:
            return options[chooser.choose(len(options), kind, options)] if len(options) > 1 else options[0]

        one = self.method.kind in _ONE_REQUEST
        requests = [pick("message", self.messages)] if one else []
        while not one and len(requests) < self.max_messages:
            # Each says whether there is one, so that leaving it out of a tape leaves out one message.
            which = pick("message", range(len(self.messages) + 1))
            if not which:
                break
            requests.append(self.messages[which - 1])
        return Script(
            method=self.method,
            requests=tuple(requests),
            half_close=one or pick("half-close", self.half_closes),
            cancels=self.cancels and pick("cancels", (False, True)),
            timeout=pick("timeout", self.timeouts),
            metadata=self.metadata,
            connection=pick("connection", range(connections)),
        )


class Caller(App):
    """The client of one call: `received` and `status` are what it has seen."""

    __slots__ = ("plan", "unopened")

    def __init__(self, side: Side, index: int, plan: Script) -> None:
        half = plan.half_close
        super().__init__("c", side, index, CallScript(half_close=half, cancels=plan.cancels, timeout=plan.timeout))
        self.plan = plan
        #: The connection took no more calls.
        self.unopened = False
        steps: list[tuple[str, Callable[[], None]]] = [("start", self._start)]
        steps += [("send", lambda request=request: self._send(request)) for request in plan.requests]  # type: ignore[misc]
        if half:
            steps.append(("half-close", self._half_close))
        self.reader = ReaderTask(self, None)
        actors: list[Actor] = [Writer(self, steps), self.reader]
        if plan.cancels:
            actors.append(Quitter(self, "cancels", self.cancel))
        self.actors = tuple(actors)

    @property
    def sent(self) -> list[Any]:
        """The requests that this side has sent: some may not have left, or arrived."""
        decode = self.plan.method.request_codec.decode
        return [decode(payload) for payload in self.accepted]

    @property
    def received(self) -> list[Any]:
        """The responses that the client has read, in order."""
        decode = self.plan.method.response_codec.decode
        return [decode(event.payload) for event in self.events if type(event) is Message]

    @property
    def status(self) -> Status | None:
        """How the call ended for its client; None: it has not, was never opened, or the client has not read so far."""
        last = self.events[-1] if self.events else None
        return last.status if type(last) is CallEnded else None

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come of it."""
        return self.unopened or self.status is not None

    def cancel(self) -> None:
        """Gives up."""
        self.call.cancel()

    def _start(self) -> None:
        plan, side = self.plan, self.side
        deadline = None if plan.timeout is None else side.now + plan.timeout
        assert isinstance(side.engine, ClientConnection)
        try:
            call = side.engine.start_call(plan.method.path, plan.metadata, deadline=deadline)
        except LocalProtocolError:
            self.unopened = self.refused = True
            return
        self.begin(call)

    def _half_close(self) -> None:
        self.call.half_close()

    def _send(self, request: Any) -> None:
        payload = self.plan.method.request_codec.encode(request)
        if self.call.send_message(payload):
            self.accepted.append(payload)
        else:
            self.refused = True
