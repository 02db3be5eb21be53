"""Properties of flow control: P17 and P21, by a ledger that reads nothing but frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..watching import Watcher
from ..wires import Frame
from .base import Property

if TYPE_CHECKING:
    from ..sides import Side

__all__ = ["P17", "P21", "Ledger", "Ledgers"]

DATA, SETTINGS, WINDOW_UPDATE, ACK = 0, 4, 8, 1
INITIAL_WINDOW = 4
DEFAULT = 65_535


class Ledger:
    """The credit that one side has been told of: what it may send, by the frames that have reached it."""

    __slots__ = ("connection", "initial", "streams")

    def __init__(self) -> None:
        self.connection = self.initial = DEFAULT
        self.streams: dict[int, int] = {}

    def arrived(self, frame: Frame) -> None:
        """A frame has reached the sender."""
        if frame.type == WINDOW_UPDATE:
            increment = int.from_bytes(frame.payload, "big")
            if not frame.stream:
                self.connection += increment
            else:
                self.streams[frame.stream] = self.streams.get(frame.stream, self.initial) + increment
        elif frame.type == SETTINGS and not frame.flags & ACK:
            for at in range(0, len(frame.payload), 6):
                if int.from_bytes(frame.payload[at : at + 2], "big") == INITIAL_WINDOW:
                    value = int.from_bytes(frame.payload[at + 2 : at + 6], "big")
                    for stream in self.streams:
                        self.streams[stream] += value - self.initial
                    self.initial = value

    def sent(self, frame: Frame) -> tuple[int, int]:
        """DATA leaves the sender; what is left on the connection and on the stream."""
        size = len(frame.payload)
        self.connection -= size
        left = self.streams[frame.stream] = self.streams.get(frame.stream, self.initial) - size
        return self.connection, left


class Ledgers(Watcher):
    """Keeps the ledger of either side: ``of``. Who reads it finds the DATA that it is told of paid for already."""

    framed_types = (DATA,)
    arrived_types = (SETTINGS, WINDOW_UPDATE)

    def begin(self) -> None:
        self.of = {self.sim.client: Ledger(), self.sim.server: Ledger()}

    def on_framed(self, side: Side, frame: Frame) -> None:
        self.of[side].sent(frame)

    def on_arrived(self, side: Side, frame: Frame) -> None:
        self.of[side].arrived(frame)


class P17(Property):
    """DATA sent, padding included, never exceeds the credit granted on the stream and on the connection."""

    number = "P17"
    reads = (Ledgers,)
    framed_types = (DATA,)

    def begin(self) -> None:
        self._ledgers = self.sim.shared(Ledgers).of

    def on_framed(self, side: Side, frame: Frame) -> None:
        ledger = self._ledgers[side]
        left = min(ledger.connection, ledger.streams[frame.stream])
        if left < 0 and frame.payload:  # an empty frame may go at any window (FLOW-8)
            self.fail(f"{side.name} has sent {-left} bytes more than it may on {frame.stream}")


class P21(Property):
    """Where SETTINGS have taken the credit of a stream below zero no DATA leaves but an empty frame, until it is
    positive again (at zero, P17 is enough)."""

    number = "P21"
    reads = (Ledgers,)
    framed_types = (DATA,)

    def begin(self) -> None:
        self._ledgers = self.sim.shared(Ledgers).of

    def on_framed(self, side: Side, frame: Frame) -> None:
        size = len(frame.payload)
        credit = self._ledgers[side].streams[frame.stream] + size
        if credit < 0 < size:
            self.fail(f"{side.name} sends {size} bytes on {frame.stream}, its credit is {credit}")
