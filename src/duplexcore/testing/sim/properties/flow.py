"""Properties of flow control: P17 and P21, by a ledger that reads nothing but frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..wires import Frame
from .base import Property

if TYPE_CHECKING:
    from ..sides import Side

__all__ = ["P17", "P21", "Ledger"]

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


class Ledgers(Property):
    """Keeps the ledger of either side."""

    frame_types = (DATA, SETTINGS, WINDOW_UPDATE)

    def begin(self) -> None:
        self.ledgers = {self.sim.client: Ledger(), self.sim.server: Ledger()}

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if frame.type != DATA:
            self.ledgers[side].arrived(frame)


class P17(Ledgers):
    """DATA sent, padding included, never exceeds the credit granted on the stream and on the connection."""

    number = "P17"

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.type == DATA:
            connection, stream = self.ledgers[side].sent(frame)
            # An empty frame may go at any window (FLOW-8).
            if frame.payload and min(connection, stream) < 0:
                self.fail(f"{side.name} has sent {-min(connection, stream)} bytes more than it may on {frame.stream}")


class P21(Ledgers):
    """Where SETTINGS have taken the credit of a stream below zero no DATA leaves but an empty frame, until it is
    positive again (at zero, P17 is enough)."""

    number = "P21"

    def on_framed(self, side: Side, frame: Frame) -> None:
        if frame.type == DATA:
            ledger = self.ledgers[side]
            credit = ledger.streams.get(frame.stream, ledger.initial)
            if credit < 0 and frame.payload:
                self.fail(f"{side.name} sends {len(frame.payload)} bytes on {frame.stream}, its credit is {credit}")
            ledger.sent(frame)
