"""A lane without HTTP/2: one client call joined to one server call in the same process.

What one side yields is handed to the other when `InProcessLink.deliver` is called, one item at a time and each
direction by itself, so that every interleaving of the two can be walked. Windows exist here too: a direction carries
at most ``window`` bytes that the other side's application has not taken.
"""

from __future__ import annotations

import sys
from collections import deque
from enum import Enum

from ..status import ErrorCode
from .events import Origin
from .lane import Block, CallSide, Data, Headers

__all__ = ["Direction", "InProcessLane", "InProcessLink"]


class Direction(Enum):
    """Which way something goes."""

    TO_SERVER = "to server"
    TO_CLIENT = "to client"


class InProcessLane:
    """One end of the link, as its call sees it."""

    __slots__ = ("_link", "call", "carried", "ended", "header_limit", "room", "toward")

    call: CallSide

    def __init__(self, link: InProcessLink, toward: Direction, window: int) -> None:
        self._link = link
        #: The direction in which this end sends, what is under way in it, and whether it has sent its last.
        self.toward = toward
        self.carried: deque[Headers | Data | ErrorCode] = deque()
        self.ended = False
        #: Bytes that may still be sent.
        self.room = window
        self.header_limit = sys.maxsize

    def wants_write(self) -> None:
        """Nothing to do: `InProcessLink.pull` asks every time."""

    def consumed(self, size: int) -> None:
        self._link.other(self).room += size

    def advance(self, size: int) -> None:
        self.consumed(size)

    def settle(self, size: int) -> int:
        """Nothing to do: every advance is given at once."""
        return 0

    def kept(self, change: int) -> None:
        """Nothing to do: there is no connection whose memory is shared."""

    def abort(self, code: ErrorCode) -> None:
        link = self._link
        if link.closed or (self.ended and (link.other(self).ended or self._aborted)):
            return
        self.ended = True
        if link.opened:
            self.carried.append(code)
        else:
            link.closed = True  # nothing was opened, so there is nothing to reset (DUP-8)

    @property
    def _aborted(self) -> bool:
        return bool(self.carried) and isinstance(self.carried[-1], ErrorCode)


class InProcessLink:
    """The two ends. Give each lane its call (``lane.call``), then `pull` and `deliver` in any order."""

    __slots__ = ("closed", "lanes", "opened")

    def __init__(self, *, window: int) -> None:
        self.lanes = {direction: InProcessLane(self, direction, window) for direction in Direction}
        #: Whether anything was sent at all; after a reset nothing more is.
        self.opened = False
        self.closed = False

    @property
    def client(self) -> InProcessLane:
        return self.lanes[Direction.TO_SERVER]

    @property
    def server(self) -> InProcessLane:
        return self.lanes[Direction.TO_CLIENT]

    def other(self, lane: InProcessLane) -> InProcessLane:
        return self.server if lane is self.client else self.client

    def pull(self, direction: Direction, now: float) -> bool:
        """Lets the sender frame one item. False: it has nothing to send, or no room."""
        lane = self.lanes[direction]
        if lane.ended or self.closed:
            return False
        output = lane.call.pull(lane.room, now)
        if output is None:
            return False
        if isinstance(output, bytes):
            output = Data(output)
        if isinstance(output, Data):
            lane.room -= len(output.payload)
            output = Data(bytes(output.payload), output.end, output.more)
        self.opened = True
        lane.carried.append(output)
        lane.ended = output.end
        return True

    def deliver(self, direction: Direction) -> bool:
        """Hands the oldest item under way to the receiver. False: there is none."""
        lane = self.lanes[direction]
        if not lane.carried or self.closed:
            return False
        receiver = self.other(lane).call
        match lane.carried.popleft():
            case Headers(fields, end):
                receiver.on_headers(Block.of(fields), end)
            case Data(payload, end):
                if payload:
                    receiver.on_data(bytes(payload))
                if end:
                    receiver.on_end()
            case ErrorCode() as code:
                self.closed = True
                receiver.on_reset(code, Origin.PEER, unprocessed=code is ErrorCode.REFUSED_STREAM)
        return True

    def run(self, now: float = 0.0) -> None:
        """Pulls and delivers until both directions are quiet."""
        busy = True
        while busy:
            busy = False
            for direction in Direction:
                pulled, delivered = self.pull(direction, now), self.deliver(direction)
                busy = busy or pulled or delivered
