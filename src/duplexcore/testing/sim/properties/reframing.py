"""Properties checked on copies that are given other bytes than their original: P12, P13, P15 and P26."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexcore import CallEnded
from duplexcore.connection import ConnectionClosed

from ..wires import PREFACE_TYPE, Frame, wire_bytes
from .base import Property
from .snapshots import EVERY, copied

if TYPE_CHECKING:
    from ..sides import Side

__all__ = ["P12", "P13", "P15", "P26"]

DATA, HEADERS, CONTINUATION = 0, 1, 9
END_HEADERS, PADDED, PRIORITY, PADDING = 0x4, 0x8, 0x20, 3
#: DATA on stream 0: a fault of the connection.
OFFENDING = wire_bytes(Frame(DATA, 0, 0, b"x"))
GARBAGE = b"\x00\x00\x04\xee\xff\x00\x00\x00\x01junk" + bytes(range(256))


class OnCopies(Property):
    """At every so many frames that arrive a copy of the engine is given something else."""

    def begin(self) -> None:
        self._count = 0

    def on_arrived(self, side: Side, frame: Frame) -> None:
        self._count += 1
        if self._count % EVERY == 0 and side.closed is None and frame.type != PREFACE_TYPE and self._whole(side):
            self.compare(side, frame)

    def _whole(self, side: Side) -> bool:
        return not side.engine._carrier._gate.inside_frame

    def compare(self, side: Side, frame: Frame) -> None:
        raise NotImplementedError

    def histories(self, side: Side, data: bytes) -> tuple[list[list[Any]], list[Any]]:
        """What a copy tells of each call and of the connection after ``data``, in one piece."""
        apps = [app for app in self.sim.apps() if app.side is side and app.call is not None]
        engine, calls = copied((side.engine, [app.call for app in apps]))
        engine.receive_data(data, side.now)
        told = []
        for call in calls:
            events: list[Any] = []
            while (event := call.next_event()) is not None:
                events.append(event)
            told.append(events)
        announced = []
        while (event := engine.next_event()) is not None:
            announced.append(event)
        return told, announced


class P12(OnCopies):
    """Events of frames before an offending one are delivered even when all come in one chunk."""

    number = "P12"

    def compare(self, side: Side, frame: Frame) -> None:
        alone, _ = self.histories(side, wire_bytes(frame))
        chunk, _ = self.histories(side, wire_bytes(frame) + OFFENDING)
        for expected, told in zip(alone, chunk, strict=True):
            if told[: len(expected)] != expected:
                self.fail(f"{side.name} tells {told} where an offending frame follows, without it {expected}")


class P13(OnCopies):
    """DATA that is split, with empty frames between, and a padded header block in two frames give the same events."""

    number = "P13"

    def compare(self, side: Side, frame: Frame) -> None:
        if frame.type not in (DATA, HEADERS) or frame.flags & (PADDED | PRIORITY):
            return
        if frame.type == HEADERS and not frame.flags & END_HEADERS:
            return
        alone, _ = self.histories(side, wire_bytes(frame))
        other, _ = self.histories(side, b"".join(map(wire_bytes, reframed(frame))))
        if other != alone:
            self.fail(f"{side.name} tells {other} of a frame in pieces, of the whole one {alone}")


class P15(OnCopies):
    """A transport that takes few bytes at a time is given the same byte stream."""

    number = "P15"

    def compare(self, side: Side, frame: Frame) -> None:
        streams = []
        for most in (1, 65_536):
            engine, made = copied(side.engine), b""
            while data := engine.data_to_send(side.now, most):
                made += data
            streams.append(made)
        if streams[0] != streams[1]:
            self.fail(f"{side.name} makes other bytes when they are taken one frame at a time")


class P26(OnCopies):
    """Whatever comes, nothing is raised; a fault ends the connection once, and every open call once."""

    number = "P26"

    def compare(self, side: Side, frame: Frame) -> None:
        for garbage in (OFFENDING, GARBAGE, wire_bytes(frame)[:-1] + GARBAGE):
            try:
                told, announced = self.histories(side, garbage)
            except Exception as error:  # noqa: BLE001 - that is the property
                self.fail(f"{side.name} raises {error!r}")
            closed = sum(type(event) is ConnectionClosed for event in announced)
            if closed > 1:
                self.fail(f"{side.name} has closed {closed} times")
            if closed and any(sum(type(event) is CallEnded for event in events) > 1 for events in told):
                self.fail(f"a call of {side.name} has ended twice")


def reframed(frame: Frame) -> list[Frame]:
    """The same as a proxy may pass it on."""
    middle = len(frame.payload) // 2
    first, second = frame.payload[:middle], frame.payload[middle:]
    if frame.type == HEADERS:
        return [
            Frame(
                HEADERS, frame.flags & ~END_HEADERS | PADDED, frame.stream, bytes((PADDING,)) + first + bytes(PADDING)
            ),
            Frame(CONTINUATION, END_HEADERS, frame.stream, second),
        ]
    return [
        Frame(DATA, 0, frame.stream, first),
        Frame(DATA, 0, frame.stream, b""),
        Frame(DATA, frame.flags, frame.stream, second),
    ]
