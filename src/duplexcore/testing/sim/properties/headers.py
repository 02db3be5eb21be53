"""P48: each header block is read right, whatever became of the calls whose blocks came before it."""

from __future__ import annotations

from typing import Any

from duplexcore import CallEnded, InitialMetadata, Metadata, Origin

from ..apps import App, ClientApp
from ..header_lists import agent_of, told
from .base import Property

__all__ = ["P48"]


class P48(Property):
    """Header blocks of cancelled or unknown streams are still decoded: all metadata comes as it was sent."""

    number = "P48"
    event_types = (InitialMetadata, CallEnded)

    def on_started(self, app: App) -> None:
        self._compare(f"the request of call {app.index}", app.call.metadata, app.script.metadata)
        call, script, client = app.call, app.script, self.sim.scenario.client
        heard = call.method, call.authority, call.user_agent
        said = f"/{script.service}/{app.index}", script.authority or client.authority, agent_of(client)
        if heard != said:
            self.fail(f"call {app.index} came as {heard}, opened was {said}")

    def on_event(self, app: App, event: Any) -> None:
        if not isinstance(app, ClientApp):
            return
        if type(event) is InitialMetadata:
            sent = app.script.early if app.script.initial_metadata else {}
            self._compare(f"what {app} hears first", event.metadata, sent)
        elif event.origin is Origin.PEER:
            server = self.sim.servers.get(app.index)
            if server is not None and server.said is not None and event.status == server.said:
                self._compare(f"the end of {app}", event.trailing_metadata, told(self.sim.scenario, server)[1])

    def _compare(self, what: str, got: Metadata, sent: Any) -> None:
        if got != Metadata(sent):
            self.fail(f"{what} came with {got}, sent was {Metadata(sent)}")
