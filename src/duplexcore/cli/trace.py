"""The trace of a conversation: who said what to whom, when, in which frames. All that is drawn is drawn from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from duplexcore.http2 import Frame

from .frames import FrameReader, FrameView, Side

__all__ = ["Arrow", "FrameView", "Kind", "Lane", "Side", "Trace"]


class Lane(Enum):
    """The participants, from left to right: an application and its engine on either side of the wire."""

    CLIENT_APP = "client application"
    CLIENT_ENGINE = "client engine"
    SERVER_ENGINE = "server engine"
    SERVER_APP = "server application"

    @property
    def position(self) -> int:
        return list(Lane).index(self)


class Kind(Enum):
    """What an arrow is: a step inside one side, or something on the wire."""

    APPLICATION = "application"
    OPENING = "opening"
    MESSAGE = "message"
    END = "end"
    #: What HTTP/2 needs: settings, windows, pings, resets.
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class Arrow:
    """One arrow of the sequence. ``time``: seconds since the trace began."""

    number: int
    time: float
    source: Lane
    target: Lane
    label: str
    kind: Kind
    frames: tuple[FrameView, ...] = ()
    #: An earlier arrow has shown the same frames: small messages share one.
    shares: bool = False

    @property
    def on_the_wire(self) -> str:
        """The frames and their sizes, in one line."""
        if self.shares:
            return "in the same " + ", ".join(dict.fromkeys(frame.name for frame in self.frames))
        return ", ".join(map(str, self.frames))

    @property
    def to_the_right(self) -> bool:
        return self.target.position > self.source.position


APP = {Side.CLIENT: Lane.CLIENT_APP, Side.SERVER: Lane.SERVER_APP}
ENGINE = {Side.CLIENT: Lane.CLIENT_ENGINE, Side.SERVER: Lane.SERVER_ENGINE}


@dataclass(slots=True)
class _Draft:
    """An arrow on the wire, while the frames of one write are sorted into arrows."""

    kind: Kind
    labels: list[str]
    frames: list[FrameView]


def _no_arrow(_: Arrow) -> None:
    """Nobody watches."""


def _not_pending() -> None:
    """Nobody flushes early."""


@dataclass
class Trace:
    """Collects arrows; applications may report from any thread.

    Frames that one side writes in one go become arrows together, so that a last message and the status behind it are
    one arrow if they left together. Whoever sees frames calls `flush` once the write is over; the next step of an
    application, or a frame the other way, does it as well.
    """

    #: The name of a message: its sender and payload are known.
    name_of: Callable[[Side, bytes], str]
    on_arrow: Callable[[Arrow], None] = _no_arrow
    #: Told when frames wait for `flush`.
    on_pending: Callable[[], None] = _not_pending
    clock: Callable[[], float] = time.perf_counter
    arrows: list[Arrow] = field(default_factory=list)
    _burst: list[FrameView] = field(default_factory=list)
    _reader: FrameReader = field(default_factory=FrameReader)
    _unfinished: dict[tuple[Side, int], list[FrameView]] = field(default_factory=dict)
    _opened: set[tuple[Side, int]] = field(default_factory=set)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    #: The clock at the first thing that was reported.
    _began: float | None = None

    # --- what is reported ----------------------------------------------------------------------------------------

    def says(self, side: Side, label: str) -> None:
        """An application hands something to its engine."""
        self._step(APP[side], ENGINE[side], label)

    def hears(self, side: Side, label: str) -> None:
        """An application takes something from its engine."""
        self._step(ENGINE[side], APP[side], label)

    def observer(self, side: Side) -> Callable[[Literal["in", "out"], Frame], None]:
        """For the ``observer`` of the connection on this side."""

        def observe(direction: Literal["in", "out"], frame: Frame) -> None:
            sender = side if direction == "out" else side.other
            with self._lock:
                if self._burst and self._burst[0].sender is not sender:
                    self.flush()
                first = not self._burst
                self._burst.append(self._reader.read(frame, sender, self._now()))
            if first:
                self.on_pending()

        return observe

    def flush(self) -> None:
        """Makes arrows of the frames that have been seen."""
        with self._lock:
            burst, self._burst = self._burst, []
            for draft in self._sorted(burst):
                sender = draft.frames[0].sender
                self._put(
                    draft.frames[0].time,
                    ENGINE[sender],
                    ENGINE[sender.other],
                    " + ".join(draft.labels),
                    draft.kind,
                    tuple(draft.frames),
                )

    # --- inside --------------------------------------------------------------------------------------------------

    def _step(self, source: Lane, target: Lane, label: str) -> None:
        with self._lock:
            self.flush()
            self._put(self._now(), source, target, label, Kind.APPLICATION)

    def _now(self) -> float:
        reading = self.clock()
        if self._began is None:
            self._began = reading
        return reading - self._began

    def _put(
        self,
        time: float,
        source: Lane,
        target: Lane,
        label: str,
        kind: Kind,
        frames: tuple[FrameView, ...] = (),
    ) -> None:
        last = self.arrows[-1].frames if self.arrows else ()
        shares = bool(frames) and set(frames) <= set(last)
        arrow = Arrow(len(self.arrows) + 1, time, source, target, label, kind, frames, shares)
        self.arrows.append(arrow)
        self.on_arrow(arrow)

    def _sorted(self, burst: list[FrameView]) -> Iterator[_Draft]:
        """The arrows of one write. What belongs together shares one: initial metadata with the first message behind it,
        the last message with the status."""
        draft: _Draft | None = None
        for view in burst:
            for kind, label, frames in self._meanings(view):
                joins = draft is not None and (
                    (draft.kind is Kind.CONNECTION and kind is Kind.CONNECTION)
                    or (draft.labels[-1] == INITIAL and kind is Kind.MESSAGE)
                    or (draft.kind is Kind.MESSAGE and kind is Kind.END)
                )
                if draft is None or not joins:
                    if draft is not None:
                        yield draft
                    draft = _Draft(kind, [label], list(frames))
                    continue
                if draft.labels[-1] == INITIAL:
                    draft.labels = []
                draft.kind = kind
                draft.frames += [frame for frame in frames if frame not in draft.frames]
                if label not in draft.labels:
                    draft.labels.append(label)
        if draft is not None:
            yield draft

    def _meanings(self, view: FrameView) -> Iterator[tuple[Kind, str, list[FrameView]]]:
        key = (view.sender, view.stream)
        if view.name in ("HEADERS", "CONTINUATION"):
            waiting = [*self._unfinished.pop(key, ()), view]
            if "END_HEADERS" not in view.flags:
                self._unfinished[key] = waiting
            elif any(frame.ends_stream for frame in waiting) and view.sender is Side.SERVER:
                yield Kind.END, _outcome(waiting), waiting
            elif key in self._opened:
                yield Kind.END, "trailers", waiting
            else:
                self._opened.add(key)
                yield Kind.OPENING, OPENING if view.sender is Side.CLIENT else INITIAL, waiting
        elif view.name == "DATA":
            frames = [*self._unfinished.pop(key, ()), view]
            for message in view.messages:
                yield Kind.MESSAGE, self.name_of(view.sender, message), frames
                frames = [view]
            if view.ends_stream and view.sender is Side.CLIENT:
                yield Kind.END, HALF_CLOSE, [view]
            elif not view.messages:
                self._unfinished[key] = frames
        else:
            yield Kind.CONNECTION, view.title, [view]


OPENING = "method + metadata"
INITIAL = "initial metadata"
HALF_CLOSE = "half-close"


def _outcome(frames: list[FrameView]) -> str:
    """What trailers say, in the order of the field's terms."""
    fields = [line for frame in frames for line in frame.details]
    reserved = (":", "grpc-status:", "grpc-message:", "content-type:")
    custom = any(not line.startswith(reserved) for line in fields)
    return "status + trailing metadata" if custom else "status"
