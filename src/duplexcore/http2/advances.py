"""Credit for messages that are larger than their windows, before anyone can take them (FLOW-4, SEC-11)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .flow import ReceiveWindow
    from .lane import Http2Lane

__all__: list[str] = []


class Advances:
    """The advances of one connection: what is out together stays within a budget, and what does not fit waits.

    One lane, the favoured, gets all that it asks for, also beyond the budget: its message comes whole, is taken, and
    the next is favoured. So every message comes through in the end, and no more is out than the budget and one message.

    As much as a lane is advanced the window of the connection is wider, too.
    """

    __slots__ = ("_budget", "_connection", "_favoured", "_waiting", "out")

    def __init__(self, budget: int, connection: ReceiveWindow) -> None:
        self._budget = budget
        self._connection = connection
        #: Bytes that are advanced.
        self.out = 0
        self._favoured: Http2Lane | None = None
        self._waiting: OrderedDict[Http2Lane, int] = OrderedDict()  # what they have asked for, in order

    @property
    def busy(self) -> bool:
        """Whether anything is out or waits."""
        return bool(self.out or self._waiting or self._favoured is not None)

    def ask(self, lane: Http2Lane, size: int) -> None:
        if lane is self._favoured or not (self._waiting or self.out + size > self._budget):
            self._grant(lane, size)
            return
        self._waiting[lane] = self._waiting.get(lane, 0) + size
        self._serve()

    def settle(self, lane: Http2Lane) -> int:
        """The lane's message was taken, or never will be: what it still waits for, which is no advance any more."""
        rest = self._waiting.pop(lane, 0)
        if self._favoured is lane:
            self._favoured = None
        self.repay(lane, lane.advanced)
        return rest

    def repay(self, lane: Http2Lane, size: int) -> None:
        """So many bytes were taken without being credited anew."""
        self._change(lane, -size)
        self._serve()

    @property
    def may_stay(self) -> bool:
        """Whether what is out for a message that was taken may stay for the next one: while nobody has to wait, and
        half the budget is left for who asks."""
        return not self._waiting and self._favoured is None and self.out * 2 <= self._budget

    def _serve(self) -> None:
        while self._waiting:
            lane, size = next(iter(self._waiting.items()))
            if self.out + size > self._budget:
                if self._favoured is not None:
                    return
                self._favoured = lane
            del self._waiting[lane]
            self._grant(lane, size)

    def _grant(self, lane: Http2Lane, size: int) -> None:
        self._change(lane, size)
        lane.consumed(size)

    def _change(self, lane: Http2Lane, size: int) -> None:
        self.out += size
        self._connection.widen(size)
        lane.advanced += size
