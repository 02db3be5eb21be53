"""Properties of a connection, seen in its frames: P10, P33, P41 to P43."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..wires import Frame
from .base import Property
from .endings import stream_of

if TYPE_CHECKING:
    from ..apps import App
    from ..sides import Side

__all__ = ["P10", "P33", "P41", "P42", "P43"]

DATA, HEADERS, RST, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ES = ACK = 1
MAX_STREAMS = 3


class P10(Property):
    """END_STREAM goes out once, after everything else of that half."""

    number = "P10"
    framed_types = (DATA, HEADERS)

    def begin(self) -> None:
        self._over: dict[Side, set[int]] = {self.sim.client: set(), self.sim.server: set()}

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.type in (DATA, HEADERS):
            over = self._over[side]
            if frame.stream in over:
                self.fail(f"{side.name} sends on stream {frame.stream} after its END_STREAM")
            if frame.flags & ES:
                over.add(frame.stream)


class P33(Property):
    """At most one RST_STREAM per stream and side is sent, none for one that was not opened, and nothing after it."""

    number = "P33"
    framed_types = (DATA, HEADERS, RST)

    def begin(self) -> None:
        self._reset: dict[Side, set[int]] = {self.sim.client: set(), self.sim.server: set()}
        self._opened: set[int] = set()

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.stream and frame.type in (DATA, HEADERS, RST) and frame.stream in self._reset[side]:
            self.fail(f"{side.name} sends frame {frame.type} on stream {frame.stream}, which it has reset")
        if frame.type == RST:
            if frame.stream not in self._opened:
                self.fail(f"{side.name} resets stream {frame.stream}, which was never opened")
            self._reset[side].add(frame.stream)
        elif frame.type == HEADERS:
            self._opened.add(frame.stream)


class P41(Property):
    """No stream is opened after GOAWAY has arrived, a later one never raises its id, and each covers what was shown."""

    number = "P41"
    framed_types = (HEADERS, GOAWAY)
    arrived_types = (GOAWAY,)

    def begin(self) -> None:
        self._told: dict[Side, bool] = {}
        self._last: dict[Side, int] = {}
        self._opened: set[int] = set()
        self._shown = 0  # the highest stream that the server's application was told of

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if frame.type == GOAWAY:
            self._told[side] = True

    def on_started(self, app: App) -> None:
        self._shown = stream_of(app)

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.type == HEADERS and side is self.sim.client and frame.stream not in self._opened:
            self._opened.add(frame.stream)
            if self._told.get(side):
                self.fail(f"stream {frame.stream} was opened after GOAWAY had arrived")
        elif frame.type == GOAWAY:
            last = int.from_bytes(frame.payload[:4], "big")
            if last > self._last.get(side, last):
                self.fail(f"{side.name} raises the last id of its GOAWAY to {last}")
            if side is self.sim.server and last < self._shown:
                self.fail(f"the server's last id is {last}, but its application has a call on stream {self._shown}")
            self._last[side] = last


class P42(Property):
    """Live streams never exceed the peer's limit, and calls start in the order in which they were asked for."""

    number = "P42"
    framed_types = (DATA, HEADERS, RST)
    arrived_types = (DATA, HEADERS, RST, SETTINGS)

    def begin(self) -> None:
        self._limit: float = float("inf")
        self._live: dict[int, set[Side]] = {}
        self._highest = 0

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if side is not self.sim.client:
            return
        if frame.type == SETTINGS and not frame.flags & ACK:
            for at in range(0, len(frame.payload), 6):
                if int.from_bytes(frame.payload[at : at + 2], "big") == MAX_STREAMS:
                    self._limit = int.from_bytes(frame.payload[at + 2 : at + 6], "big")
        elif frame.type in (DATA, HEADERS) and frame.flags & ES:
            self._half_over(frame.stream, self.sim.server)
        elif frame.type == RST:
            self._live.pop(frame.stream, None)

    def on_framed(self, side: Side, frame: Frame) -> None:
        if side is not self.sim.client:
            return
        if frame.type == HEADERS and frame.stream > self._highest:
            self._highest = frame.stream
            self._live[frame.stream] = set()
            if len(self._live) > self._limit:
                self.fail(f"{len(self._live)} streams are live, the server allows {self._limit:g}")
        if frame.type in (DATA, HEADERS) and frame.flags & ES:
            self._half_over(frame.stream, side)
        elif frame.type == RST:
            self._live.pop(frame.stream, None)

    def _half_over(self, stream: int, side: Side) -> None:
        halves = self._live.get(stream)
        if halves is not None:
            halves.add(side)
            if len(halves) == 2:
                del self._live[stream]


class P43(Property):
    """Each SETTINGS gets one ACK, each PING one with its payload, in order."""

    number = "P43"
    framed_types = arrived_types = (SETTINGS, PING)

    def begin(self) -> None:
        self._owed: dict[Side, list[tuple[int, bytes]]] = {self.sim.client: [], self.sim.server: []}

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if frame.type in (SETTINGS, PING) and not frame.flags & ACK:
            self._owed[side].append((frame.type, frame.payload if frame.type == PING else b""))

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.type in (SETTINGS, PING) and frame.flags & ACK:
            owed = self._owed[side]
            answer = (frame.type, frame.payload)
            if answer not in owed:
                self.fail(f"{side.name} acknowledges what nobody sent: {answer}")
            if next(one for one in owed if one[0] == frame.type) != answer:
                self.fail(f"{side.name} acknowledges PINGs out of order")
            owed.remove(answer)

    def on_rest(self) -> None:
        for side, owed in self._owed.items():
            if owed and side.closed is None:
                self.fail(f"{side.name} has not acknowledged {owed}")
