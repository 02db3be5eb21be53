"""The windows that we grant: what the peer may still send, and what we owe it (RFC 9113 section 5.2)."""

from __future__ import annotations

__all__: list[str] = []


class ReceiveWindow:
    """One window, of a stream or of the connection. Bytes are given back a quarter of the window at a time (FLOW-3).

    ``available + in the buffers + owed == size`` at every moment.
    """

    __slots__ = ("available", "owed", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        #: What the peer may still send.
        self.available = size
        #: What was consumed, but not yet announced to the peer.
        self.owed = 0

    def received(self, size: int) -> bool:
        """Takes in a DATA frame, padding included (FLOW-1). False: the peer sent more than it may (FLOW-9)."""
        self.available -= size
        return self.available >= 0

    def passed(self, size: int) -> int:
        """`received`, and `consumed` at once; -1: the peer sent more than it may."""
        self.available -= size
        if self.available < 0:
            return -1
        self.owed += size
        if self.owed * 4 < self.size:
            return 0
        increment, self.owed = self.owed, 0
        self.available += increment
        return increment

    def consumed(self, size: int) -> int:
        """The increment to announce now, or 0."""
        self.owed += size
        if self.owed * 4 < self.size:
            return 0
        increment, self.owed = self.owed, 0
        self.available += increment
        return increment
