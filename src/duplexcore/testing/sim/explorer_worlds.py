"""The worlds that are explored again and again: in the tests, with their counts pinned, and for the denominators."""

from __future__ import annotations

from typing import Final, NamedTuple

from .explorer_bounds import Bounds, Feature

__all__ = ["PINNED", "World"]


class World(NamedTuple):
    """What is explored. ``reduced``: see `explorer`. ``counts``: whether its cells and races are denominators."""

    bounds: Bounds
    reduced: bool = True
    counts: bool = False


CUT: Final = Feature.CANCELS | Feature.DEADLINES | Feature.ABORTS | Feature.READS | Feature.CUTS
PINNED: Final = {
    "everything": World(Bounds(features=~Feature.CUTS), counts=True),
    "everything and cut messages": World(Bounds(http2="native"), counts=True),
    "cut messages": World(Bounds(features=CUT), counts=True),
    "no messages": World(Bounds(requests=0, responses=0), counts=True),
    "window of one": World(Bounds(requests=2, responses=2, features=Feature.CANCELS), counts=True),
    "every order": World(Bounds(features=CUT | Feature.LOSS), reduced=False),
}
