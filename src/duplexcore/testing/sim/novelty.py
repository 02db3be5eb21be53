"""What makes a run interesting: marks that it leaves, and that no run before it has left."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from duplexcore import CallEnded
from duplexcore.connection import TimerKind

from .apps import App
from .choosing import Chooser
from .sides import Side
from .watching import Watcher
from .wires import Frame

__all__ = ["Cells", "Marks", "Novelty", "Turns"]


class Marks(Watcher):
    """A watcher of one run that collects ``marks``: any values that are equal where two runs have reached the same."""

    def __init__(self) -> None:
        self.marks: set[Hashable] = set()

    @property
    def watchers(self) -> Sequence[Watcher]:
        """All that watch the run for it."""
        return (self,)

    def overhearing(self, chooser: Chooser) -> Chooser:
        """The chooser that the run takes, for those who look at choices, too."""
        return chooser


#: Makes the collector of a new run.
Novelty = Callable[[], Marks]


class Cells(Marks):
    """Marks are cells: the side, what it did or what happened to it, the states in which it did, and those of its peer.

    The states are those of both halves of the call, or of the connection where no call is concerned.
    """

    def on_framed(self, side: Side, frame: Frame) -> None:
        self._mark_connection(side, ("frames", frame.type, frame.flags & 1))

    def on_arrived(self, side: Side, frame: Frame) -> None:
        self._mark_connection(side, ("hears", frame.type, frame.flags & 1))

    def on_lost(self, side: Side | None) -> None:
        if side is not None:
            self._mark_connection(side, "loses the transport")

    def on_timeout(self, side: Side, reason: TimerKind) -> None:
        self._mark_connection(side, ("timeout", reason.value))

    def on_command(self, app: App, what: str) -> None:
        self._mark_call(app, what)

    def on_event(self, app: App, event: Any) -> None:
        what: Hashable = type(event).__name__
        if isinstance(event, CallEnded):
            what = (what, event.status.code.name, event.origin.value, event.unprocessed)
        self._mark_call(app, what)

    def _mark_connection(self, side: Side, what: Hashable) -> None:
        other = self.sim.server if side is self.sim.client else self.sim.client
        self.marks.add((side.name, what, side.engine.state, other.engine.state))

    def _mark_call(self, app: App, what: Hashable) -> None:
        sim = self.sim
        other = sim.servers.get(app.index) if app.who == "c" else sim.clients[app.index]
        self.marks.add((app.side.name, what, _halves(app), None if other is None else _halves(other)))


class Turns(Marks):
    """Marks are two steps, one after the other, by what they are called without their numbers: for any target."""

    def overhearing(self, chooser: Chooser) -> Chooser:
        return _Overhearing(chooser, self.marks)


class _Overhearing:
    """A chooser that asks another one, and marks each step with the one before it."""

    __slots__ = ("_before", "_inner", "_marks")

    def __init__(self, inner: Chooser, marks: set[Hashable]) -> None:
        self._inner = inner
        self._marks = marks
        self._before = ""

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        chosen = self._inner.choose(n, kind, labels)
        if kind == "step" and labels:
            taken = re.sub(r"\d+", "", str(labels[chosen]))
            self._marks.add((self._before, taken))
            self._before = taken
        return chosen


def _halves(app: App) -> Hashable:
    call = app.call
    return None if call is None else (call.send_state, call.receive_state)
