"""The network between two sides: one queue of bytes a direction, which knows where frames begin."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from struct import Struct
from typing import NamedTuple

from .choosing import Chooser
from .steps import Actor, StepKind

__all__ = ["Frame", "Wire", "body_of", "frames_of", "wire_bytes"]

HEADER = 9
#: Length (in two parts), type, flags, stream.
HEAD = Struct(">HBBBI")
#: A wire is cut within so many bytes.
MOST_KEPT = 255
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#: The type by which the preface goes among the frames.
PREFACE_TYPE = 0x100
HEADERS, PADDED, PRIORITY = 1, 0x8, 0x20


class Frame(NamedTuple):
    """A frame on the wire, read by nobody but the simulation."""

    type: int
    flags: int
    stream: int
    payload: bytes

    @property
    def size(self) -> int:
        """Its bytes on the wire, header included."""
        return len(self.payload) + (HEADER if self.type != PREFACE_TYPE else 0)


def frames_of(data: bytes) -> Iterator[Frame]:
    """The frames of bytes that begin and end with one; the preface of HTTP/2 goes as a frame of a type of its own."""
    at = 0
    if data.startswith(PREFACE):
        at = len(PREFACE)
        yield Frame(PREFACE_TYPE, 0, 0, PREFACE)
    while at < len(data):
        high, low, kind, flags, stream = HEAD.unpack_from(data, at)
        begin = at + HEADER
        at = begin + (high << 8 | low)
        yield Frame(kind, flags, stream, data[begin:at])


def wire_bytes(frame: Frame) -> bytes:
    """The frame as it stands on the wire."""
    if frame.type == PREFACE_TYPE:
        return frame.payload
    head = len(frame.payload).to_bytes(3, "big") + bytes((frame.type, frame.flags)) + frame.stream.to_bytes(4, "big")
    return head + frame.payload


def body_of(frame: Frame) -> bytes:
    """What DATA, HEADERS or CONTINUATION carry, without padding and priority."""
    flags, payload = frame.flags, frame.payload
    if not flags & (PADDED | PRIORITY):
        return payload
    if flags & PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if flags & PRIORITY and frame.type == HEADERS else payload


class Wire(Actor):
    """One direction. Its step is that bytes arrive: all that there are, a frame, a frame's header, or one byte.

    A wire carries bytes in order, each once, and may stop (`clogged`), end (`end`) or break (`cut`): what TCP can do,
    and nothing else. ``receive`` and ``receive_end`` are the side that hears; ``on_framed`` hears of each frame that
    sets out, ``on_arrived`` of each that is about to have arrived whole.
    """

    __slots__ = (
        "_chooser",
        "_inside",
        "_under_way",
        "bytes",
        "clogged",
        "ended",
        "heard_end",
        "on_arrived",
        "on_framed",
        "receive",
        "receive_end",
        "reframed",
        "whole_frames",
    )

    def __init__(
        self,
        name: str,
        chooser: Chooser,
        receive: Callable[[bytes], None],
        receive_end: Callable[[], None],
        *,
        whole_frames: bool = False,
    ) -> None:
        super().__init__(name, StepKind.WIRE)
        self._chooser = chooser
        self.receive = receive
        self.receive_end = receive_end
        self.on_framed: Callable[[Frame], None] | None = None
        self.on_arrived: Callable[[Frame], None] | None = None
        #: In which frames those of a write go on; None: as they are.
        self.reframed: Callable[[Iterable[Frame]], Sequence[Frame]] | None = None
        self.bytes = bytearray()
        #: The frames under way, the oldest first, and how many bytes of the oldest have arrived.
        self._under_way: deque[Frame] = deque()
        self._inside = 0
        #: No frame is cut, neither by arriving in part nor by being lost in part.
        self.whole_frames = whole_frames
        self.clogged = False
        self.over = True
        self.ended = False
        self.heard_end = False

    def untie(self) -> None:
        super().untie()
        del self.receive, self.receive_end
        self.on_framed = self.on_arrived = self.reframed = None

    def carry(self, data: bytes) -> None:
        """Whole frames, or the preface and whole frames, set out; on a wire that has ended, to nowhere."""
        frames: Iterable[Frame] = frames_of(data)
        if self.reframed is not None:
            frames = self.reframed(frames)
            data = b"".join(map(wire_bytes, frames))
        under_way, hear = self._under_way, self.on_framed
        for frame in frames:
            if not self.ended:
                under_way.append(frame)
            if hear is not None:
                hear(frame)
        if data and not self.ended:
            self.bytes += data
            self.wake()

    def end(self) -> None:
        """Nothing follows what is under way."""
        self.ended = True
        self.wake()

    @property
    def cuts(self) -> Sequence[int]:
        """After how many of the bytes under way it may be cut; the first is 0."""
        if not self.whole_frames:
            return range(min(len(self.bytes), MOST_KEPT) + 1)
        return (0, *accumulate(frame.size for frame in self._under_way))

    def cut(self, keep: int = 0) -> None:
        """What is under way is lost, but for the first ``keep`` bytes, and nothing follows."""
        del self.bytes[keep:]
        self.end()

    # --- the step -----------------------------------------------------------------------------------------------------

    def ready(self) -> bool:
        if self.clogged or self.heard_end:
            return False
        return bool(self.bytes) or self.ended

    @property
    def label(self) -> str:
        return f"{self.name} delivers"

    @property
    def remaining(self) -> int:
        return len(self._under_way) + 1

    @property
    def rest_of_frame(self) -> int:
        """How many bytes of the oldest frame under way have not arrived; only while there is one."""
        return self._under_way[0].size - self._inside

    def act(self) -> None:
        if self.bytes:
            self._deliver(self._portion())
        else:
            self.heard_end = True
            self.receive_end()
        self.over = self.heard_end or not (self.bytes or self.ended)

    @property
    def under_way(self) -> Sequence[Frame]:
        """The frames that have not arrived whole, the oldest first."""
        return tuple(self._under_way)

    @property
    def next_frame(self) -> Frame | None:
        """The frame that arrives next; None: nothing is under way."""
        return self._under_way[0] if self._under_way else None

    def deliver_all(self) -> bool:
        """Everything arrives. False: there was nothing."""
        if not self.ready():
            return False
        if self.bytes:
            self._deliver(len(self.bytes))
        else:
            self.act()
        return True

    def _portion(self) -> int:
        options = [len(self.bytes)]
        if (rest := self.rest_of_frame) < options[-1]:
            options.append(rest)
        if not self.whole_frames:
            if not self._inside and options[-1] > HEADER:
                options.append(HEADER)
            if options[-1] > 1:
                options.append(1)
        return options[self._chooser.choose(len(options), "bytes", options)] if len(options) > 1 else options[0]

    def _deliver(self, size: int) -> None:
        data = bytes(self.bytes) if size == len(self.bytes) else bytes(self.bytes[:size])
        del self.bytes[:size]
        frames, inside, hear = self._under_way, self._inside + size, self.on_arrived
        while frames and inside >= (whole := frames[0].size):
            frame = frames.popleft()
            inside -= whole
            if hear is not None:
                hear(frame)
        self._inside = inside
        self.receive(data)
