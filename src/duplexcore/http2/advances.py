"""Credit for messages that are larger than their windows, before anyone can take them (FLOW-4, SEC-11)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .lane import Http2Lane

__all__: list[str] = []


class Advances:
    """The advances of one connection: what is out together stays within a budget, and what does not fit waits.

    One lane, the favoured, gets all that it asks for, also beyond the budget: its message comes whole, is taken, and
    the next is favoured. So every message comes through in the end, and no more is out than the budget and one message.
    """

    __slots__ = ("_budget", "_favoured", "_out", "_waiting")

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._out = 0
        self._favoured: Http2Lane | None = None
        self._waiting: OrderedDict[Http2Lane, int] = OrderedDict()  # what they have asked for, in order

    @property
    def busy(self) -> bool:
        """Whether anything is out or waits."""
        return bool(self._out or self._waiting or self._favoured is not None)

    def ask(self, lane: Http2Lane, size: int) -> None:
        if lane is self._favoured or not (self._waiting or self._out + size > self._budget):
            self._grant(lane, size)
            return
        self._waiting[lane] = self._waiting.get(lane, 0) + size
        self._serve()

    def settle(self, lane: Http2Lane) -> int:
        """The lane's message was taken, or never will be: what it still waits for, which is no advance any more."""
        rest = self._waiting.pop(lane, 0)
        if self._favoured is lane:
            self._favoured = None
        self._out -= lane.advanced
        lane.advanced = 0
        self._serve()
        return rest

    def _serve(self) -> None:
        while self._waiting:
            lane, size = next(iter(self._waiting.items()))
            if self._out + size > self._budget:
                if self._favoured is not None:
                    return
                self._favoured = lane
            del self._waiting[lane]
            self._grant(lane, size)

    def _grant(self, lane: Http2Lane, size: int) -> None:
        self._out += size
        lane.advanced += size
        lane.consumed(size)
