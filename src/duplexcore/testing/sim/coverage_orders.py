"""Races: two steps that can both be next and do not commute. A run shows one order; both must have been seen.

Which races there are is computed by the explorer, from real engines (`races`); which order a run took is heard where it
chooses (`Orders`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from .choosing import Chooser
from .explorer import Explorer
from .explorer_halves import NAMES, Input
from .wires import Frame, Wire

__all__ = ["Orders", "Race", "races"]

#: Who takes a step, by the first word of its label: two steps of one actor never race.
ACTORS: Final = {
    "start": "writer",
    "send": "writer",
    "half-close": "writer",
    "finish": "writer",
    "writes": "driver",
    "hears": "wire",
    "the": "wire or network",
    "reads": "reader",
    "cancels": "quitter",
    "aborts": "quitter",
    "timeout:": "clock",
    "loses": "network",
    "shuts": "leaver",
}
#: What a run that goes for an order is about: all that may meet, and messages that windows cut.
RARE: Final = {
    "endings": "all",
    "leaves": "yes",
    "windows": (100, None),
    "size": 200,
    "server": "answers",
    "change back": "soon",
}
_APP = re.compile(r"([cs])\d+ (.*)")


class Race(NamedTuple):
    """``first`` was taken where ``second`` could have been; labels are ``client: cancels``, ``server: hears DATA``."""

    first: str
    second: str


def races(explorer: Explorer) -> set[Race]:
    """Both orders of every race in a world that was explored. Raises `PropertyError`."""
    at: dict[int, dict[str, Input]] = defaultdict(dict)
    for half, happened in list(explorer.pairs()):
        at[half].setdefault(happened.label, happened)
    found: set[Race] = set()
    for half, inputs in at.items():
        role = explorer.role(half)
        names = sorted(inputs)
        for index, one in enumerate(names):
            for other in names[index + 1 :]:
                first, second = f"{role}: {one}", f"{role}: {other}"
                if Race(first, second) in found or _of_one_actor(one, other):
                    continue
                if not _commute(explorer, half, inputs[one], inputs[other]):
                    found |= {Race(first, second), Race(second, first)}
    return found


def _of_one_actor(one: str, other: str) -> bool:
    """The end of what came is the wire's, after all that was on it, and the network's, which is lost once."""
    actors = ACTORS[one.split(maxsplit=1)[0]], ACTORS[other.split(maxsplit=1)[0]]
    return actors[0] in actors[1] or actors[1] in actors[0]


#: What is taken at once where it changes nothing for anyone else: it may have been part of the step before.
HURRIED: Final = ("reads", "finish")


def _commute(explorer: Explorer, half: int, one: Input, other: Input) -> bool:
    results = []
    for first, second in ((one, other), (other, one)):
        after, made = explorer.step(half, first)
        if second.item is not None or second in explorer.inputs(after):
            after, more = explorer.step(after, second)
            made += more
        elif second.what not in HURRIED:
            return False
        results.append((after, made))
    return results[0] == results[1]


class Orders:
    """A chooser that asks another one, and counts which step was taken before which others that were ready.

    ``wanted``: orders that it goes for itself, where one can be had; those that it has had are taken out. One of them
    it aims at: the run is about what rare orders need, frames come one by one, and the two steps wait for each other.
    """

    def __init__(self, inner: Chooser, wanted: set[Race] | None = None) -> None:
        self._inner = inner
        self._wanted = wanted or set()
        aims = sorted(self._wanted)
        self._aim: Sequence[str] = aims[inner.choose(len(aims), "order", aims) if len(aims) > 1 else 0] if aims else ()
        waits = aims and inner.choose(2, "waits", ("yes", "no")) == 0
        self._late = frozenset(self._aim if waits else ())
        self.seen: Counter[Race] = Counter()

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        if kind != "step":
            chosen = self._inner.choose(n, kind, labels)
            return self._wish(kind, labels, chosen) if self._aim else chosen
        names = [name_of(label) for label in labels]
        chosen = self._step(names, labels)
        orders = _orders(names, chosen)
        self._wanted -= orders
        self.seen.update(orders)
        return chosen

    def _step(self, names: Sequence[str | None], labels: Sequence[object]) -> int:
        for index in range(len(names)) if self._wanted else ():
            if self._wanted & _orders(names, index):
                return index
        free = [index for index, name in enumerate(names) if name not in self._late] or range(len(names))
        if len(free) == 1:
            return free[0]
        return free[self._inner.choose(len(free), "step", [labels[index] for index in free])]

    def _wish(self, kind: str, labels: Sequence[object], chosen: int) -> int:
        """What is drawn for the sake of the order that is aimed at, in the place of ``chosen``."""
        steps = {step.partition(": ")[2] for step in self._aim}
        wish = RARE.get(kind)
        if kind == "bytes":
            return 1  # of whole frames: the next one
        if kind == "faults":
            wish = "yes" if steps & {"loses", "the end"} else "no"
        elif kind == "requests" and "half-close" in steps:
            wish = 0  # so that it can be said from the beginning
        return labels.index(wish) if wish in labels else chosen


def _orders(names: Sequence[str | None], chosen: int) -> set[Race]:
    """What is before what when that one is taken."""
    first = names[chosen]
    if first is None:
        return set()
    return {Race(first, other) for index, other in enumerate(names) if index != chosen and other is not None}


def name_of(actor: Any) -> str | None:
    """What the explorer calls a step of a simulation; None: it has none of that kind."""
    if isinstance(actor, Wire):
        hearer = "server" if actor.name == "up" else "client"
        frame = actor.next_frame
        return f"{hearer}: the end" if frame is None else f"{hearer}: hears {_frame_name(frame)}"
    label = str(actor)
    if match := _APP.fullmatch(label):
        return f"{'client' if match[1] == 'c' else 'server'}: {match[2]}"
    side, _, what = label.partition(" ")
    if side not in ("client", "server"):
        return None
    if what.startswith("timeout"):
        what = "timeout: " + what.rpartition(".")[2]
    return f"{side}: {'loses' if what.startswith('loses') else what}"


def _frame_name(frame: Frame) -> str:
    name = NAMES[frame.type] if frame.type < len(NAMES) else f"type {frame.type}"
    if not frame.flags & 1 or frame.type not in (0, 1, 4, 6):
        return name
    if frame.type == 1:
        return "TRAILERS"
    return f"{name} ES" if frame.type == 0 else f"{name} ACK"
