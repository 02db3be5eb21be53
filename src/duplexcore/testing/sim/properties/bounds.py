"""Properties of what is kept, granted and shared out: P18, P22 to P25."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from duplexcore.call.framing import Run, Unpacked
from duplexcore.call.tables import Receive, Send

from ..apps import App
from ..steps import StepKind
from ..wires import Frame, body_of
from .base import Property
from .endings import stream_of
from .flow import Ledger, Ledgers

if TYPE_CHECKING:
    from ..sides import Side

__all__ = ["P18", "P22", "P23", "P24", "P25"]

DATA, SETTINGS, WINDOW_UPDATE, ACK = 0, 4, 8, 1
MAX_DATA, PREFIX = 16_384, 5
#: Records of streams that h2 may keep before they are cleaned up, besides those that are open.
RECORDS = 64


class P18(Property):
    """Credit, DATA and WINDOW_UPDATE under way, what lies unread and what is withheld are together the window, always:
    of the connection, whose DATA counts as read at once, and of each stream, whose window an unfinished message may
    have made larger (FLOW-4)."""

    number = "P18"
    reads = (Ledgers,)
    framed_types = arrived_types = (DATA, SETTINGS, WINDOW_UPDATE)

    def begin(self) -> None:
        sides = (self.sim.client, self.sim.server)
        self._ledgers = self.sim.shared(Ledgers).of
        #: By the sender of DATA and stream: what is on its way in either direction; 0: the connection.
        self._data: dict[Side, Counter[int]] = {side: Counter() for side in sides}
        self._updates: dict[Side, Counter[int]] = {side: Counter() for side in sides}
        #: SETTINGS that were not acknowledged yet: meanwhile the two sides count by different windows.
        self._unsettled = dict.fromkeys(sides, 0)
        #: Who has written since an application has acted.
        self._fresh: set[Side] = set()

    def _other(self, side: Side) -> Side:
        return self.sim.server if side is self.sim.client else self.sim.client

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.type == DATA:
            self._data[side].update({0: len(frame.payload), frame.stream: len(frame.payload)})
        elif frame.type == WINDOW_UPDATE:
            self._updates[self._other(side)][frame.stream] += int.from_bytes(frame.payload, "big")
        elif frame.type == SETTINGS and not frame.flags & ACK:
            self._unsettled[side] += 1

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if frame.type == DATA:
            self._data[self._other(side)].subtract({0: len(frame.payload), frame.stream: len(frame.payload)})
        elif frame.type == WINDOW_UPDATE:
            self._updates[side][frame.stream] -= int.from_bytes(frame.payload, "big")
        elif frame.type == SETTINGS:
            self._unsettled[side] -= frame.flags & ACK

    def on_step(self) -> None:
        last = self.sim.last
        if last is not None and last.kind is StepKind.APP:  # also a reader that found nothing may have made credit
            self._fresh.clear()
        self._fresh.update(side for side in self._ledgers if side is last)
        for side, ledger in self._ledgers.items():
            peer = self._other(side)
            if side.closed is not None or peer.closed is not None or peer.dirty:
                continue  # what it has granted may not have left yet
            carrier = peer.engine._carrier
            whole = peer.engine.config.connection_window + carrier.advances.out
            self._compare(side, 0, ledger.connection + carrier._window.owed, whole)
            if peer in self._fresh and not self._unsettled[peer]:
                for app in self.sim.apps():
                    if app.side is peer:
                        self._compare_stream(side, ledger, app)

    def _compare_stream(self, side: Side, ledger: Ledger, app: App) -> None:
        if app.call is None or app.call.receive_state is not Receive.OPEN or not (stream := stream_of(app)):
            return  # nothing more comes: credit would be of no use
        if stream not in ledger.streams or (app.who == "s" and app.call.send_state is Send.CLOSED):
            return  # nobody has sent DATA, or nobody wants any more
        lane = app.call._lane
        there = ledger.streams[stream] + unread_bytes(app) + lane.window.owed
        self._compare(side, stream, there, ledger.initial + lane.advanced)

    def _compare(self, side: Side, stream: int, there: int, whole: int) -> None:
        total = there + self._data[side][stream] + self._updates[side][stream]
        if total != whole:
            of = f"stream {stream}" if stream else "the connection"
            self.fail(f"of the {whole} bytes that {side.name} may send on {of} {total} are there")


class P22(Property):
    """A call is blocked exactly while what was accepted and not framed reaches the high-water mark."""

    number = "P22"
    framed_types = (DATA,)

    def begin(self) -> None:
        self._framed: dict[tuple[Side, int], int] = {}
        self._half_closed: set[App] = set()

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.type == DATA:
            key = side, frame.stream
            self._framed[key] = self._framed.get(key, 0) + len(body_of(frame))

    def on_command(self, app: App, what: str) -> None:
        if what in ("half-close", "finish"):
            self._half_closed.add(app)

    def on_step(self) -> None:
        for app in self.sim.apps():
            if app.call is None or app.ended is not None or app in self._half_closed or app.coding is not None:
                continue  # what is packed has a size of its own
            said = sum(PREFIX + len(message) for message in app.accepted)
            waiting = said - self._framed.get((app.side, stream_of(app)), 0)
            if app.call.writable != (waiting < app.call.config.send_buffer):
                self.fail(f"{app} has {waiting} bytes unsent, and is {'not ' * (not app.call.writable)}writable")


class P23(Property):
    """What a side keeps of a call's messages is at most its window, and one message up to the size limit."""

    number = "P23"
    arrived_types = (DATA,)

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
    """When all calls are over the engine keeps no stream, and a bounded number of records of those that were."""

    number = "P24"

    def on_rest(self) -> None:
        for side in (self.sim.client, self.sim.server):
            streams, records = side.engine.open_calls, side.engine._carrier._core.records
            if side.closed is None and (streams or records > RECORDS):
                self.fail(f"{side.name} keeps {streams} streams and {records} records")


class P25(Property):
    """Of k senders that have data and credit none waits for more than k frames of others."""

    number = "P25"
    reads = (Ledgers,)
    framed_types = (DATA,)

    def begin(self) -> None:
        self._ledgers = self.sim.shared(Ledgers).of
        self._framed: dict[tuple[Side, int], int] = {}
        self._waited: dict[tuple[Side, int], int] = {}

    def on_framed(self, side: Side, frame: Frame) -> None:
        ledger = self._ledgers[side]
        mine = side, frame.stream
        self._framed[mine] = self._framed.get(mine, 0) + len(body_of(frame))
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
        if app.call is None or app.ended is not None or app.coding is not None or not (stream := stream_of(app)):
            return False
        said = sum(PREFIX + len(message) for message in app.accepted)
        return said > self._framed.get((app.side, stream), 0) and ledger.streams.get(stream, ledger.initial) > 0


def unread_bytes(app: App) -> int:
    """Bytes of DATA that have come for ``app``, and that its reader has not taken."""
    whole = sum(type(item) in (bytes, Unpacked) for item in lying(app))
    return kept_bytes(app) + PREFIX * whole


def lying(app: App) -> list[Any]:
    """What has come for ``app`` and was not taken; the only message of its kind lies aside until the end."""
    inbox: Any = app.call._inbox
    return [*inbox.waiting, *(() if inbox._spare is None else (inbox._spare,))]


def kept_bytes(app: App) -> int:
    """Bytes of messages that lie in the call of ``app`` for its reader."""
    inbox: Any = app.call._inbox
    items = sum(len(item.fingerprint_state()) for item in lying(app) if isinstance(item, Run))
    items += sum(len(item) for item in lying(app) if isinstance(item, bytes))
    items += sum(item.wire_size for item in lying(app) if isinstance(item, Unpacked))
    return items + int(inbox.buffered)
