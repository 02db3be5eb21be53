"""Properties of a connection that is left alone for a while: P19, P20 and P27."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duplexcore.config import Limit
from duplexcore.status import ErrorCode

from ..apps import App, ClientApp
from .base import Property
from .flow import Ledgers

if TYPE_CHECKING:
    from ..sides import Side

__all__ = ["P19", "P20", "P27"]


class P19(Property):
    """When no call is left, the window of the connection is whole again, but for what is withheld: less than half."""

    number = "P19"
    reads = (Ledgers,)

    def begin(self) -> None:
        self._ledgers = self.sim.shared(Ledgers).of

    def on_rest(self) -> None:
        client, server = self.sim.client, self.sim.server
        if client.closed is not None or server.closed is not None:
            return
        for side, peer in ((client, server), (server, client)):
            left, whole = self._ledgers[side].connection, peer.engine.config.connection_window
            if (whole - left) * 2 > whole:  # FLOW-3: credit goes in batches, of a quarter or more
                self.fail(f"all calls are over, and {side.name} may send {left} of {whole} bytes")


class P20(Property):
    """Where readers read and the network delivers, every call ends that its applications end: nothing gets stuck."""

    number = "P20"

    def on_calm(self) -> None:
        waiting = [app for app in self.sim.clients if app.call is not None and _waits(app)]
        for app in self.sim.apps():
            behind = len(waiting) >= self.sim.scenario.server.max_concurrent_calls
            no_place = behind and isinstance(app, ClientApp) and app.call is not None and app.call.is_waiting
            if app.call is not None and app.ended is None and not _waits(app) and not no_place:
                self.fail(f"{app} is stuck: {app.call}, {len(app.accepted)} messages said, {len(app.events)} heard")


class P27(Property):
    """Between sides that keep the rules no connection ends for a fault, but for PINGs that a server does not permit: of
    these the oracle says when."""

    number = "P27"

    def on_closed(self, side: Side) -> None:
        closed = side.closed
        assert closed is not None
        if closed.code != ErrorCode.NO_ERROR and closed.limit is not Limit.MAX_PING_STRIKES:
            self.fail(f"{side.name} has closed with {ErrorCode(closed.code).name}: {closed.reason}")


def _waits(app: App) -> bool:
    """Whether the call goes on for good: its server waits for a half-close that does not come."""
    return app.script.drains and not app.script.half_close
