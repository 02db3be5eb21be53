"""Coverage as numbers: which cells of the state tables, orders of races and marks a set of runs has reached.

The denominators are not written by hand: cells come from the tables, races from the explorer (kept in a file, since it
takes minutes), and a cell that no run between two real engines can reach is one that the explorer does not reach
either, but for `OF_OTHER_FRAMES` and `OF_LIMITS`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import cycle
from typing import Any

from duplexcore import Status, StatusCode

from .choosing import Chooser
from .coverage_cells import TABLES, Cell, counted
from .coverage_marks import MARKS, Marks
from .coverage_orders import Orders, Race, races
from .explorer import explore
from .explorer_worlds import PINNED
from .features import FEATURES
from .pairs import forget
from .policies import Policy, PrngChooser
from .simulation import Scenario
from .targets import EngineOptions, EngineTarget, Watchers
from .watching import Watcher

__all__ = ["Coverage", "Denominators", "denominators", "explored", "measure"]

FILE = "reachable.json"
#: What takes somebody between two engines who passes frames on in others: a request that ends on HEADERS. In none of
#: the explorer's worlds is there anybody.
OF_OTHER_FRAMES = frozenset(Cell("SERVER_RECEIVE", state, "LAST_HEADERS") for state in ("IDLE", "OPEN"))
#: What takes a client for which every answer is too large: there are limits of header lists in none of these, either.
OF_LIMITS = frozenset((Cell("CLIENT_RECEIVE", "IDLE", "RESET"),))


@dataclass(frozen=True, slots=True)
class Denominators:
    """What two engines that keep the rules can reach, by the explorer."""

    cells: frozenset[Cell]
    races: frozenset[Race]

    def as_dict(self) -> dict[str, Any]:
        """For a file; `denominators` reads it."""
        return {"cells": sorted(map(list, self.cells)), "races": sorted(map(list, self.races))}


@dataclass(slots=True)
class Coverage:
    """What a set of runs has reached: how often each."""

    runs: int = 0
    cells: Counter[Cell] = field(default_factory=Counter)
    orders: Counter[Race] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)

    def missing(self, of: Denominators) -> list[str]:
        """What was not reached and can be, in words."""
        cells = [f"cell {cell.table}: {cell.event} in {cell.state}" for cell in sorted(of.cells - set(self.cells))]
        orders = [f"order: {one.first!r} before {one.second!r}" for one in sorted(of.races - set(self.orders))]
        return [*cells, *orders, *(f"mark: {name}" for name in MARKS if not self.marks[name])]

    def reached(self, of: Denominators) -> dict[str, tuple[int, int]]:
        """Of cells, orders and marks: how many were reached, of how many."""
        return {
            "cells": (len(of.cells & set(self.cells)), len(of.cells)),
            "race orders": (len(of.races & set(self.orders)), len(of.races)),
            "marks": (sum(bool(self.marks[name]) for name in MARKS), len(MARKS)),
        }


class Late(Watcher):
    """Handlers whose call is over say their status all the same (CANC-3)."""

    def on_rest(self) -> None:
        for app in self.sim.servers.values():
            if app.said is None:
                app.call.finish(Status(StatusCode.OK))


class OverHttp2(EngineTarget):
    """What the explorer's worlds know; whichever HTTP/2 it is, the tables are the same."""

    carriers = ("h2",)


class FrameByFrame(OverHttp2):
    """The same as the explorer has it: no frame is cut."""

    def scenario(self, chooser: Chooser) -> Scenario:
        return replace(super().scenario(chooser), whole_frames=True)


class FeatureByFeature(OverHttp2):
    """Each run has the next feature besides those that it draws, so that a few hundred have each of them often."""

    def __init__(self, options: EngineOptions, watchers: Watchers) -> None:
        super().__init__(options, watchers)
        self._next = cycle(FEATURES.values())

    def _with_features(self, chooser: Chooser, scenario: Scenario) -> Scenario:
        return next(self._next)(chooser, super()._with_features(chooser, scenario))


def measure(seeds: Iterable[int], wanted: Iterable[Race] = ()) -> Coverage:
    """Runs the engine with each seed, under policies in turn.

    Every other run has a single call, in which races are counted, and goes for orders of ``wanted`` that were not seen
    yet; the rest have a feature in turn. Raises `PropertyError`.
    """
    coverage, left = Coverage(), set(wanted)
    # The explorer's worlds have a place for each call.
    options = EngineOptions(refusals=False)
    policies = (Policy.MIX, Policy.SWARM, Policy.PCT, Policy.SWARM)
    alone = replace(options, calls=1, features=False)  # else what does not commute is not what the explorer has found
    single, aiming = (one(alone, lambda: (Marks(coverage.marks), Late())) for one in (OverHttp2, FrameByFrame))
    several = FeatureByFeature(options, lambda: (Marks(coverage.marks), Late()))
    forget()  # a handshake that was had before is not counted
    with counted() as cells:
        for seed in seeds:
            aims = None if seed % 2 else left
            orders = Orders(PrngChooser(seed, policies[seed // 2 % len(policies)]), aims)
            (several if seed % 2 else aiming if aims else single)(orders)
            if not seed % 2:
                coverage.orders += orders.seen
                left -= set(orders.seen)
            coverage.runs += 1
    coverage.cells += cells
    return coverage


def explored() -> Denominators:
    """What the worlds of `explorer_worlds` contain: takes minutes. Raises `PropertyError`."""
    cells: set[Cell] = set()
    found: set[Race] = set()
    for world in PINNED.values():
        if not world.counts:
            continue
        with counted() as reached:
            explorer = explore(world.bounds, reduced=world.reduced)
            found |= races(explorer)
        cells |= set(reached)
    legal = {cell for table in TABLES for cell in table.legal}
    return Denominators(frozenset(cells & legal) | OF_OTHER_FRAMES | OF_LIMITS, frozenset(found))


def denominators() -> Denominators:
    """What `explored` has found, as it is kept in the package."""
    content = json.loads(files("duplexcore.testing.sim").joinpath(FILE).read_text(encoding="utf-8"))
    cells = frozenset(Cell(*cell) for cell in content["cells"])
    return Denominators(cells, frozenset(Race(*race) for race in content["races"]))
