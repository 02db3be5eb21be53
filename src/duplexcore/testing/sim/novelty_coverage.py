"""For runs of the engine itself: marks are what its coverage counts, besides `Cells`."""

from __future__ import annotations

from collections.abc import Sequence

from . import coverage_marks
from .choosing import Chooser
from .coverage_orders import Orders
from .novelty import Cells
from .watching import Watcher

__all__ = ["Covered"]


class Covered(Cells):
    """Cells, the marks of the coverage by their names, and the orders of steps that were both ready."""

    def __init__(self) -> None:
        super().__init__()
        self._named = coverage_marks.Marks()
        self._orders: Orders | None = None

    @property
    def watchers(self) -> Sequence[Watcher]:
        return (self._named, self)

    def overhearing(self, chooser: Chooser) -> Chooser:
        self._orders = Orders(chooser)
        return self._orders

    def on_rest(self) -> None:
        self.marks |= self._named.hit.keys()
        if self._orders is not None:
            self.marks |= self._orders.seen.keys()
