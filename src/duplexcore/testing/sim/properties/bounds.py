"""Properties of what is kept, granted and shared out: P18, P21 to P25."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexcore.call.framing import Run

from ..apps import App
from ..wires import Frame
from .base import Property
from .endings import stream_of
from .flow import Ledger

if TYPE_CHECKING:
    from ..sides import Side

__all__ = ["P18", "P21", "P22", "P23", "P24", "P25"]

DATA, SETTINGS, WINDOW_UPDATE, ACK = 0, 4, 8, 1
MAX_DATA, PREFIX = 16_384, 5
#: Records of streams that h2 may keep before they are cleaned up, besides those that are open.
RECORDS = 64


class P18(Property):
    """Credit, DATA and WINDOW_UPDATE under way, and what a connection withholds are together its window, always."""

    number = "P18"

    def begin(self) -> None:
        sides = (self.sim.client, self.sim.server)
        #: By the sender of DATA: its credit, and what is on its way in either direction.
        self._ledgers = {side: Ledger() for side in sides}
        self._data = dict.fromkeys(sides, 0)
        self._updates = dict.fromkeys(sides, 0)

    def _other(self, side: Side) -> Side:
        return self.sim.server if side is self.sim.client else self.sim.client

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.type == DATA:
            self._ledgers[side].sent(frame)
            self._data[side] += len(frame.payload)
        elif frame.type == WINDOW_UPDATE and not frame.stream:
            self._updates[self._other(side)] += int.from_bytes(frame.payload, "big")

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if frame.type == DATA:
            self._data[self._other(side)] -= len(frame.payload)
        elif frame.type == WINDOW_UPDATE and not frame.stream:
            self._ledgers[side].arrived(frame)
            self._updates[side] -= int.from_bytes(frame.payload, "big")

    def on_step(self) -> None:
        for side, ledger in self._ledgers.items():
            peer = self._other(side)
            if side.closed is not None or peer.closed is not None or peer.dirty:
                continue  # what it has granted may not have left yet
            withheld = peer.engine._carrier._window.owed
            whole = peer.engine.config.connection_window
            total = ledger.connection + self._data[side] + self._updates[side] + withheld
            if total != whole:
                self.fail(f"of the {whole} bytes of {peer.name}'s window {total} are there")


class P21(Property):
    """No DATA but an empty frame leaves while the signed credit of the stream is not positive."""

    number = "P21"

    def begin(self) -> None:
        self._ledgers = {self.sim.client: Ledger(), self.sim.server: Ledger()}

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.type == DATA:
            ledger = self._ledgers[side]
            credit = ledger.streams.get(frame.stream, ledger.initial)
            if credit <= 0 and frame.payload:
                self.fail(f"{side.name} sends {len(frame.payload)} bytes on {frame.stream}, its credit is {credit}")
            ledger.sent(frame)

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if frame.type in (WINDOW_UPDATE, SETTINGS):
            self._ledgers[side].arrived(frame)


class P22(Property):
    """A call is blocked exactly while what was accepted and not framed reaches the high-water mark."""

    number = "P22"

    def begin(self) -> None:
        self._framed: dict[tuple[Side, int], int] = {}
        self._half_closed: set[App] = set()

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.type == DATA:
            key = side, frame.stream
            self._framed[key] = self._framed.get(key, 0) + len(frame.payload)

    def on_command(self, app: App, what: str) -> None:
        if what in ("half-close", "finish"):
            self._half_closed.add(app)

    def on_step(self) -> None:
        for app in self.sim.apps():
            if app.call is None or app.ended is not None or app in self._half_closed:
                continue
            said = sum(PREFIX + len(message) for message in app.accepted)
            waiting = said - self._framed.get((app.side, stream_of(app)), 0)
            if app.call.writable != (waiting < app.call.config.send_buffer):
                self.fail(f"{app} has {waiting} bytes unsent, and is {'not ' * (not app.call.writable)}writable")


class P23(Property):
    """What a side keeps of a call's messages is at most its window, and one message up to the size limit."""

    number = "P23"

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if frame.type != DATA:
            return
        for app in self.sim.apps():
            if app.side is side and app.call is not None:
                kept = kept_bytes(app)
                most = app.call.config.stream_window + app.call.config.max_receive_message_size
                if kept > most:
                    self.fail(f"{app} keeps {kept} bytes for its reader, at most are {most}")

    def on_rest(self) -> None:
        for app in self.sim.apps():
            if app.call is not None and (kept := kept_bytes(app)):
                self.fail(f"{app} is over and was read, and keeps {kept} bytes")


class P24(Property):
    """When all calls are over the engine keeps no stream, and of h2's records a bounded number."""

    number = "P24"

    def on_rest(self) -> None:
        for side in (self.sim.client, self.sim.server):
            streams, records = side.engine.open_calls, len(side.engine._carrier._core._h2.streams)
            if side.closed is None and (streams or records > RECORDS):
                self.fail(f"{side.name} keeps {streams} streams and {records} records of h2's")


class P25(Property):
    """Of k senders that have data and credit none waits for more than k frames of others."""

    number = "P25"

    def begin(self) -> None:
        self._ledgers = {self.sim.client: Ledger(), self.sim.server: Ledger()}
        self._framed: dict[tuple[Side, int], int] = {}
        self._waited: dict[tuple[Side, int], int] = {}

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.type != DATA:
            return
        ledger = self._ledgers[side]
        ledger.sent(frame)
        mine = side, frame.stream
        self._framed[mine] = self._framed.get(mine, 0) + len(frame.payload)
        self._waited[mine] = 0
        others = [app for app in self.sim.apps() if app.side is side and self._could_send(app, ledger)]
        for app in others:
            key = side, stream_of(app)
            if key == mine:
                continue
            self._waited[key] = waited = self._waited.get(key, 0) + len(frame.payload)
            if waited > len(self.sim.clients) * MAX_DATA:
                self.fail(f"{app} could send, and waits for {waited} bytes of others")

    def _could_send(self, app: App, ledger: Ledger) -> bool:
        if app.call is None or app.ended is not None or not (stream := stream_of(app)):
            return False
        said = sum(PREFIX + len(message) for message in app.accepted)
        return said > self._framed.get((app.side, stream), 0) and ledger.streams.get(stream, ledger.initial) > 0

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if frame.type in (WINDOW_UPDATE, SETTINGS):
            self._ledgers[side].arrived(frame)


def kept_bytes(app: App) -> int:
    """Bytes of messages that lie in the call of ``app`` for its reader."""
    inbox: Any = app.call._inbox
    items = sum(len(item.fingerprint_state()) for item in inbox._items if isinstance(item, Run))
    items += sum(len(item) for item in inbox._items if isinstance(item, bytes))
    return items + int(inbox.decoder.buffered)
