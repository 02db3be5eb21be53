"""One connection's engine and its clock: who passes on its events, and wakes it when a timeout is due."""

from __future__ import annotations

import logging
from typing import Generic, TypeVar

from anyio.abc import TaskGroup

from duplexcore import CallReadable, CallWritable, ClientConnection, ConnectionEvent, ServerConnection

from .waiting import alarms, backend, clock, waiters

__all__ = ["LOGGER", "Keeper", "shown"]

LOGGER = logging.getLogger("duplexcore_anyio")

EngineT = TypeVar("EngineT", bound=ClientConnection | ServerConnection)


def shown(text: str) -> str:
    """Text that may come from the peer, fit for a log: one line, nothing that a terminal would obey (SEC-13)."""
    return repr(text)[1:-1]


class Keeper(Generic[EngineT]):
    """What calls know of the connection that they are on."""

    def __init__(self, engine: EngineT, *, peer: str) -> None:
        self.engine: EngineT = engine
        self.peer = peer
        #: What the peer has shown in the TLS handshake, DER.
        self.peer_certificate: bytes | None = None
        #: Makes waiters for the event loop that runs.
        self.new_waiter = waiters()
        #: Makes cancel scopes, as `anyio.CancelScope` does.
        self.new_scope = backend().create_cancel_scope
        #: Rises whenever the writer has looked for what there is to write: who has woken it since need not again.
        self.turn = 0
        #: Reads the event loop's clock.
        self.now = clock()
        self._alarm = alarms()(self._on_time)

    # --- for calls --------------------------------------------------------------------------------------------------

    def wake_writer(self) -> None:
        """Something was said to the engine: write what comes of it."""
        raise NotImplementedError

    def settle(self) -> None:
        """Passes on the engine's events, and sets the alarm to its next timeout."""
        self._pass_on(self.engine)
        self._alarm.set(self.engine.next_timeout())

    def tick(self, at_least: float | None) -> None:
        """Lets the engine do what is due now, or at a time that another clock says has come."""
        now = self.now()
        self.engine.handle_timeout(now if at_least is None or at_least > now + 0.01 else max(now, at_least))
        self.settle()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _pass_on(self, engine: EngineT, most: int = -1) -> bool:
        """The engine's events, to whom they concern: all, or so many. Whether there may be more."""
        next_event = engine.next_event
        while most and (event := next_event()) is not None:
            most -= 1
            if type(event) is CallReadable:  # by far the most
                if (core := event.call.context) is not None:
                    core.on_readable()
            elif type(event) is CallWritable:
                if (core := event.call.context) is not None:
                    core.on_writable()
            else:
                self._on_turn(event)
        return not most

    def _on_turn(self, event: ConnectionEvent) -> None:
        """An event of the connection itself."""

    def _start_clock(self, tasks: TaskGroup) -> None:
        self._alarm.start(tasks)

    def _stop_clock(self) -> None:
        self._alarm.stop()

    def _on_time(self) -> None:
        self.engine.handle_timeout(self.now())
        self.settle()
        self.wake_writer()
