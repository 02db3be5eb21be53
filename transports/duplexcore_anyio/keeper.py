"""One connection's engine and its clock: who passes on its events, and wakes it when a timeout is due."""

from __future__ import annotations

import logging
import math
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from duplexcore import CallReadable, CallWritable, ClientConnection, ConnectionEvent, ServerConnection

from .waiting import waiters

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
        self._timer_scope = anyio.CancelScope(shield=True)
        self._timer_at: float | None = None
        self._parted = False  # there is nothing more to keep time for

    # --- for calls --------------------------------------------------------------------------------------------------

    def wake_writer(self) -> None:
        """Something was said to the engine: write what comes of it."""
        raise NotImplementedError

    def settle(self) -> None:
        """Passes on the engine's events, and sets the alarm to its next timeout."""
        engine = self.engine
        while (event := engine.next_event()) is not None:
            self._on_event(event)
        when = engine.next_timeout()
        if when != self._timer_at:
            self._timer_at = when
            self._timer_scope.deadline = math.inf if when is None else when

    def tick(self, at_least: float | None) -> None:
        """Lets the engine do what is due now, or at a time that another clock says has come."""
        now = anyio.current_time()
        self.engine.handle_timeout(now if at_least is None or at_least > now + 0.01 else max(now, at_least))
        self.settle()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _on_event(self, event: ConnectionEvent) -> None:
        match event:
            case CallReadable(call):
                if call.context is not None:
                    call.context.on_readable()
            case CallWritable(call):
                if call.context is not None:
                    call.context.on_writable()
            case _:
                self._on_turn(event)

    def _on_turn(self, event: ConnectionEvent) -> None:
        """An event of the connection itself."""

    def _start_clock(self, tasks: TaskGroup) -> None:
        tasks.start_soon(self._keep_time, name="duplexcore timers")

    def _stop_clock(self) -> None:
        self._parted = True
        self._timer_scope.cancel()

    async def _keep_time(self) -> None:
        """Sleeps until the engine's next timeout, which moves under it; without one it sleeps for good."""
        while True:
            with self._timer_scope:
                await anyio.sleep_forever()
            if self._parted:
                return
            self.engine.handle_timeout(anyio.current_time())
            self._timer_scope = anyio.CancelScope(shield=True)
            self._timer_at = None
            self.settle()
            self.wake_writer()
