"""What happened in a run of a service, entry by entry: frames, what clients say and hear, where handlers wait."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from ..raw import HEADERS, RawFrame, RawPeer
from ..sim.apps import App
from ..sim.credits import Credits
from ..sim.recording import Entry, Kind, StepTaken, brief
from ..sim.wires import PREFACE_TYPE, Frame, wire_bytes
from .links import Link
from .places import place_of_task
from .simulation import ServiceSimulation

__all__ = ["ServiceRecording"]

TELLING = (b":path", b"grpc-status", b"grpc-message", b"grpc-timeout")


class ServiceRecording:
    """Writes down everything, once it is attached: ``entries`` and ``steps``, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.steps: list[StepTaken] = []
        self._count = 0
        self._places: dict[int, str] = {}
        self._ended: set[int] = set()

    def attach(self, simulation: ServiceSimulation) -> None:
        """Hears of a run that has not begun."""
        self.simulation = simulation
        simulation.on_task = self._on_task
        simulation.on_begun = self._on_begun
        simulation.on_taken = self._on_taken
        self._credits = [Credits(link.client.name, link.server.name) for link in simulation.links]
        for caller in simulation.callers:
            caller.on_event = self._on_event
            caller.on_command = self._on_command
        for link in simulation.links:
            link.client.on_ended = self._on_ended
            link.client.on_lost = partial(self._on_lost, link, "client")
            link.server.on_lost = partial(self._on_lost, link, "server")
            for wire, sender, receiver in ((link.up, "client", "server"), (link.down, "server", "client")):
                reader = RawPeer(client=sender == "server")
                under_way: list[tuple[int, str, int | None]] = []
                wire.on_framed = partial(self._on_framed, link, sender, reader, under_way)
                wire.on_arrived = partial(self._on_arrived, link, receiver, under_way)
                for frame in wire.under_way:  # the server's first has set out already
                    wire.on_framed(frame)

    # --- hooks --------------------------------------------------------------------------------------------------------

    def _on_framed(
        self, link: Link, side: str, reader: RawPeer, under_way: list[tuple[int, str, int | None]], frame: Frame
    ) -> None:
        self._count += 1
        wire = wire_bytes(frame)
        read = reader.read(wire)
        text = _brief(read[0]) if read else _unread(frame)
        call = self.simulation.call_of(link, frame.stream) if frame.stream else None
        if call is None and link.index:
            text = f"{text} (connection {link.index + 1})"
        under_way.append((self._count, text, call))
        self._add(Kind.FRAMED, link, side, call, text, self._count, wire)
        self._credits[link.index].framed(_name(link, side), frame)

    def _on_arrived(self, link: Link, side: str, under_way: list[tuple[int, str, int | None]], frame: Frame) -> None:
        number, text, call = under_way.pop(0)
        self._add(Kind.ARRIVED, link, side, call, text, number)
        self._credits[link.index].arrived(_name(link, side), frame)

    def _on_command(self, app: App, what: str) -> None:
        if what == "send" and app.accepted:
            what = f"sends {_shown(app.sent[-1])}"  # type: ignore[attr-defined]
        self._add(Kind.COMMAND, self._link_of(app), "client", app.index, what)

    def _on_event(self, app: App, event: Any) -> None:
        text = brief(event)
        if text.startswith("message"):
            text = _shown(app.received[-1])  # type: ignore[attr-defined]
        self._add(Kind.EVENT, self._link_of(app), "client", app.index, text)

    def _on_ended(self, app: App) -> None:
        assert app.ended is not None
        if app.index in self._ended:
            return
        self._ended.add(app.index)
        self._add(Kind.ENDED, self._link_of(app), "client", app.index, brief(app.ended))

    def _on_lost(self, link: Link, side: str) -> None:
        if not self.simulation.is_over():  # hanging up at the end is no news
            which = f" (connection {link.index + 1})" if link.index else ""
            self._add(Kind.LOST, link, side, None, f"the transport is gone{which}")

    def _on_task(self, task: asyncio.Task[Any]) -> None:
        index = self.simulation.handlers.get(task)
        place = place_of_task(task)
        if index is None or self._places.get(index) == place:
            return
        self._places[index] = place
        self._add(Kind.WAITING, self.simulation.links[0], "server", index, f"handler is {place}")

    def _on_begun(self) -> None:
        self._take_down(0, "", "the handshake")

    def _on_taken(self) -> None:
        simulation = self.simulation
        assert simulation.last is not None
        self._take_down(len(simulation.trace), simulation.last.party, simulation.trace[-1])

    # --- inside -------------------------------------------------------------------------------------------------------

    def _link_of(self, app: App) -> Link:
        return next(link for link in self.simulation.links if link.client is app.side)

    def _take_down(self, number: int, actor: str, label: str) -> None:
        links = self.simulation.links
        clocks = (*(link.client.now for link in links), links[0].server.now)
        windows = [
            window for link in links for window in self._credits[link.index].windows(self.simulation.streams_of(link))
        ]
        self.steps.append(StepTaken(number, actor, label, clocks, tuple(windows)))

    def _add(
        self,
        kind: Kind,
        link: Link,
        side: str,
        call: int | None,
        text: str,
        number: int | None = None,
        wire: bytes = b"",
    ) -> None:
        clock = link.client.now if side == "client" else link.server.now
        step = len(self.simulation.trace)
        self.entries.append(Entry(step, kind, side, call, text, clock, number, wire, link.index))


def _name(link: Link, side: str) -> str:
    return link.client.name if side == "client" else link.server.name


def _unread(frame: Frame) -> str:
    return "preface" if frame.type == PREFACE_TYPE else f"part of a header block on {frame.stream}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _brief(frame: RawFrame) -> str:
    if frame.type != HEADERS:
        return frame.brief
    fields = dict(frame.fields or ())
    telling = [f"{name.decode()}: {fields[name].decode('latin-1')}" for name in TELLING if name in fields]
    return f"{frame.brief} ({', '.join(telling)})" if telling else frame.brief
