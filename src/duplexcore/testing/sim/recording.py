"""What happened in a run, entry by entry and step by step: for traces, pictures and case files."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import hpack

from duplexcore import CallEnded, HalfClosed, InitialMetadata, Message
from duplexcore.connection import TimerKind
from duplexcore.status import ErrorCode

from .apps import App
from .credits import Credits, Window
from .sides import Side
from .watching import Watcher
from .wires import PREFACE_TYPE, Frame, body_of, wire_bytes

__all__ = ["Entry", "Kind", "Recording", "StepTaken", "Written", "brief"]

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ES, ACK, END_HEADERS = 0x1, 0x1, 0x4
NAMES = (
    *("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE"),
    *("PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"),
)
#: Fields that make a block's meaning; the others are left out of its text.
TELLING = (b":path", b":status", b"grpc-status", b"grpc-message", b"grpc-timeout")


class Kind(StrEnum):
    """What an entry is about."""

    COMMAND = "command"
    FRAMED = "framed"
    ARRIVED = "arrived"
    EVENT = "event"
    ENDED = "ended"
    TIMEOUT = "timeout"
    LOST = "lost"
    #: The code of an application waits somewhere.
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. ``step``: in which step; ``side``: "client" or "server"; ``call``: its index, or None.

    ``number`` of a frame is the same when it sets out and when it arrives. ``clock``: what the side's clock shows.
    ``connection``: on which, from 0, where there are several.
    """

    step: int
    kind: Kind
    side: str
    call: int | None
    text: str
    clock: float
    number: int | None = None
    wire: bytes = field(default=b"", repr=False)
    connection: int = 0


@dataclass(frozen=True, slots=True)
class StepTaken:
    """A step, from 1; 0 is the handshake. ``clocks``: those of the clients and, last, of the server after it;
    ``windows``, too.

    ``actor`` is empty where nobody chose: in the handshake, and when all that is left goes on at the end.
    """

    number: int
    actor: str
    label: str
    clocks: tuple[float, ...]
    windows: tuple[Window, ...]


class Written(Protocol):
    """What was written down of a run, in order."""

    entries: list[Entry]
    steps: list[StepTaken]


class Recording(Watcher):
    """Writes down everything: ``entries`` and ``steps``, in order. Call `close` after a run that has failed."""

    def begin(self) -> None:
        sides = (self.sim.client, self.sim.server)
        self.entries: list[Entry] = []
        self.steps: list[StepTaken] = []
        self._decoders = {side: hpack.Decoder() for side in sides}
        self._blocks = dict.fromkeys(sides, b"")
        self._count = 0
        self._frames_under_way: dict[Side, list[tuple[int, str]]] = {side: [] for side in sides}
        self._streams: dict[int, int] = {}
        self._ended: set[App] = set()
        self._credits = Credits(*(side.name for side in sides))

    def close(self) -> None:
        """Takes down the step in which the run has failed, and what happened after the last."""
        taken = len(self.sim.trace)
        if len(self.steps) <= taken:
            self.on_step()
        if self.entries and self.entries[-1].step > taken:
            self._take_down(taken + 1, "", "all that is left goes on")

    # --- hooks --------------------------------------------------------------------------------------------------------

    def on_framed(self, side: Side, frame: Frame) -> None:
        self._count += 1
        text = self._brief(side, frame)
        self._frames_under_way[side].append((self._count, text))
        call = self._streams.get(frame.stream)
        self._add(Kind.FRAMED, side, call, text, number=self._count, wire=wire_bytes(frame))
        self._credits.framed(side.name, frame)

    def on_arrived(self, side: Side, frame: Frame) -> None:
        other = self.sim.server if side is self.sim.client else self.sim.client
        number, text = self._frames_under_way[other].pop(0)
        self._add(Kind.ARRIVED, side, self._streams.get(frame.stream), text, number=number)
        self._credits.arrived(side.name, frame)

    def on_command(self, app: App, what: str) -> None:
        self._add(Kind.COMMAND, app.side, app.index, what)

    def on_event(self, app: App, event: Any) -> None:
        self._add(Kind.EVENT, app.side, app.index, brief(event))

    def on_ended(self, app: App) -> None:
        assert app.ended is not None
        if app not in self._ended:  # an end that nobody has read yet may be announced again
            self._ended.add(app)
            self._add(Kind.ENDED, app.side, app.index, brief(app.ended))

    def on_timeout(self, side: Side, reason: TimerKind) -> None:
        self._add(Kind.TIMEOUT, side, None, f"the clock goes on to {side.now:g} s: {reason.value}")

    def on_lost(self, side: Side | None) -> None:
        assert side is not None
        self._add(Kind.LOST, side, None, "the transport is gone")

    def on_step(self) -> None:
        if not self.steps:
            self._take_down(0, "", "the handshake")
        if self.sim.trace:
            assert self.sim.last is not None
            self._take_down(len(self.sim.trace), self.sim.last.name, self.sim.trace[-1])

    # --- inside -------------------------------------------------------------------------------------------------------

    def _add(
        self, kind: Kind, side: Side, call: int | None, text: str, number: int | None = None, wire: bytes = b""
    ) -> None:
        step = len(self.sim.trace)
        if step and not self.steps:
            self._take_down(0, "", "the handshake")
        elif step and len(self.steps) > step:  # the last step is over
            step += 1
        self.entries.append(Entry(step, kind, side.name, call, text, side.now, number, wire))

    def _take_down(self, number: int, actor: str, label: str) -> None:
        clocks = (self.sim.client.now, self.sim.server.now)
        self.steps.append(StepTaken(number, actor, label, clocks, tuple(self._credits.windows(self._streams))))

    def _brief(self, side: Side, frame: Frame) -> str:
        if frame.type == PREFACE_TYPE:
            return "preface"
        name = NAMES[frame.type] if frame.type < len(NAMES) else f"type {frame.type}"
        end = " ES" if frame.type in (DATA, HEADERS) and frame.flags & ES else ""
        match frame.type:
            case 0:
                return f"{name} {frame.stream}{end}, {len(frame.payload)} B"
            case 1 | 9:
                return f"{name} {frame.stream}{end}{self._fields(side, frame)}"
            case 3:
                return f"{name} {frame.stream} {_code(frame.payload)}"
            case 4 | 6:
                return f"{name}{' ACK' if frame.flags & ACK else ''}"
            case 7:
                return f"{name} {int.from_bytes(frame.payload[:4], 'big')} {_code(frame.payload[4:8])}"
            case 8:
                return f"{name} {frame.stream} +{int.from_bytes(frame.payload, 'big')}"
            case _:
                return f"{name} {frame.stream}"

    def _fields(self, side: Side, frame: Frame) -> str:
        self._blocks[side] += body_of(frame)
        if not frame.flags & END_HEADERS:
            return ""
        block, self._blocks[side] = self._blocks[side], b""
        fields = dict(self._decoders[side].decode(block, raw=True))
        path = fields.get(b":path")
        if path is not None:
            self._streams[frame.stream] = int(bytes(path).rpartition(b"/")[2])
        telling = [f"{name.decode()}: {bytes(fields[name]).decode()}" for name in TELLING if name in fields]
        return f" ({', '.join(telling)})" if telling else ""


def brief(event: Any) -> str:
    """An event of a call in a few words."""
    match event:
        case InitialMetadata():
            return "initial metadata"
        case Message(payload):
            return f"message of {len(payload)} B {payload[:12].decode('latin-1')!r}"
        case HalfClosed():
            return "half-close"
        case CallEnded(status, _, origin, unprocessed):
            note = ", unprocessed" if unprocessed else ""
            return f"{status.code.name} by {origin.value}{note}{f': {status.message}' if status.message else ''}"
        case _:
            return str(event)


def _code(payload: bytes) -> str:
    code = int.from_bytes(payload, "big")
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"{code:#x}"
