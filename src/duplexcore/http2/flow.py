"""The windows that we grant: what the peer may still send, and what we owe it (RFC 9113 section 5.2)."""

from __future__ import annotations

from .frames import MAX_ID

__all__: list[str] = []


class ReceiveWindow:
    """One window, of a stream or of the connection. Bytes are given back a quarter of the window at a time (FLOW-2,
    FLOW-3).

    ``available + in the buffers + owed == size + advanced`` at every moment; ``advanced``: credit for bytes that have
    not come yet, or that nobody has taken. The connection's ``size`` has what is advanced in it (`widen`).
    """

    __slots__ = ("available", "owed", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        #: What the peer may still send.
        self.available = size
        #: What was consumed, but not yet announced to the peer; negative: the window has become smaller, and what the
        #: peer may send beyond it is not given back.
        self.owed = 0

    def received(self, size: int) -> bool:
        """Takes in a DATA frame, padding included (FLOW-1). False: the peer sent more than it may (FLOW-9)."""
        self.available -= size
        return self.available >= 0

    def consumed(self, size: int) -> int:
        """What is to be announced now that so many more are consumed, see `due`."""
        self.owed += size
        return self.due() if self.owed * 4 >= self.size else 0

    def widen(self, change: int) -> None:
        """The window is larger by so much from here on, or, below 0, smaller."""
        self.size += change
        self.owed += change

    def due(self) -> int:
        """The increment to announce now, or 0: it would be too small, or the window above what it can be (FLOW-9)."""
        if self.owed * 4 < self.size or self.available + self.owed > MAX_ID:
            return 0
        increment, self.owed = self.owed, 0
        self.available += increment
        return increment
