"""Which lanes have something to send, and what each of them waits for."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .lane import Http2Lane

__all__: list[str] = []


class Place(Enum):
    """Where a lane stands. AWAY: nowhere, it has nothing to send. OPENING: it waits for a stream. READY: it is asked in
    its turn. HELD: it waits for the connection's window. BLOCKED: it waits for its own."""

    AWAY = auto()
    OPENING = auto()
    READY = auto()
    HELD = auto()
    BLOCKED = auto()


# Named for the same reason as in `duplexcore.call.base`.
_AWAY: Final = Place.AWAY
_OPENING: Final = Place.OPENING
_READY: Final = Place.READY
_HELD: Final = Place.HELD
_BLOCKED: Final = Place.BLOCKED


class SendQueues:
    """The lanes that have something to send, in the order in which they are served.

    A lane with something to send is in exactly one queue, or blocked; ``lane.place`` says where, and nothing but this
    class sets it. (A lane that stands somewhere may find, when it is asked, that it has nothing: then it leaves.)
    A lane can be taken from wherever it stands at the same small cost.
    """

    __slots__ = ("_held", "_ready", "opening")

    def __init__(self) -> None:
        #: The lanes that wait for a stream, the oldest first.
        self.opening: OrderedDict[Http2Lane, None] = OrderedDict()
        self._ready: OrderedDict[Http2Lane, None] = OrderedDict()
        self._held: OrderedDict[Http2Lane, None] = OrderedDict()

    # --- how many, and which --------------------------------------------------------------------------------------

    def waiting(self) -> list[Http2Lane]:
        """The lanes that wait for a stream, the oldest first."""
        return list(self.opening)

    def servable(self, window: bool) -> int:
        """How many lanes can be served; ``window``: the connection's is open."""
        return len(self._ready) + (len(self._held) if window else 0)

    # --- moves ----------------------------------------------------------------------------------------------------

    def await_stream(self, lane: Http2Lane) -> None:
        self.opening[lane] = None
        lane.place = _OPENING

    def ready(self, lane: Http2Lane) -> None:
        """It has something to send, or may have. One that stands in line keeps its place."""
        place = lane.place
        if place is not _READY:
            if place is not _AWAY:
                self.remove(lane)
            self._ready[lane] = None
            lane.place = _READY

    def hold(self, lane: Http2Lane) -> None:
        """It was served, and waits for the connection's window."""
        self.remove(lane)
        self._held[lane] = None
        lane.place = _HELD

    def block(self, lane: Http2Lane) -> None:
        """It was served, and waits for its own window."""
        self.remove(lane)
        lane.place = _BLOCKED

    def unblock(self, lane: Http2Lane) -> None:
        """Its own window may have opened."""
        if lane.place is _BLOCKED:
            self.ready(lane)

    def remove(self, lane: Http2Lane) -> None:
        """It is over, or has nothing to send."""
        place = lane.place
        if place is _AWAY:
            return
        if place is _READY:
            del self._ready[lane]
        elif place is _OPENING:
            del self.opening[lane]
        elif place is _HELD:
            del self._held[lane]
        lane.place = _AWAY

    def next(self, window: bool) -> Http2Lane | None:
        """Takes out the lane whose turn it is: those first that the connection's window held up, once it is open."""
        if window and self._held:
            lane, _ = self._held.popitem(last=False)
        elif self._ready:
            lane, _ = self._ready.popitem(last=False)
        else:
            return None
        lane.place = _AWAY
        return lane
