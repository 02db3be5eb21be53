"""How large a world is that is explored, and what may happen in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto

from duplexcore.config import Http2

__all__ = ["Bounds", "Feature"]


class Feature(Flag):
    """What may happen besides messages, half-close and status."""

    CANCELS = auto()
    DEADLINES = auto()
    ABORTS = auto()
    GOAWAY = auto()
    SHUTDOWN = auto()
    LOSS = auto()
    READS = auto()
    CUTS = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How large the world is. Raises ValueError for one that can not be.

    ``requests`` and ``responses``: messages each way, of three bytes; ``window``: how many of them a stream's window
    takes. ``features``: what else may happen: a client cancels (CANCELS), the call has a deadline on both clocks
    (DEADLINES), a server aborts (ABORTS), shuts down (GOAWAY), the client does (SHUTDOWN), either side loses the
    transport, with all that is on its way (LOSS), applications take one event at a time and at any time (READS; else
    all, at once), the window is too small by some bytes for the last message that it should take, which comes in two
    frames (CUTS). ``whole``: engines are compared by everything
    in them, not by what can still matter. ``every_step``: also steps that nobody can tell apart from such as come
    earlier are taken one by one; see `_hurry`. ``http2``: which HTTP/2 is below; every one gives the same states.
    """

    requests: int = 1
    responses: int = 1
    window: int = 1
    features: Feature = ~Feature(0)
    whole: bool = False
    every_step: bool = False
    http2: Http2 = "native"

    def __post_init__(self) -> None:
        for name, least in (("requests", 0), ("responses", 0), ("window", 1)):
            if not least <= getattr(self, name) <= 8:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be from {least} to 8")

    def __str__(self) -> str:
        extra = " ".join(one.name.lower() for one in self.features if one.name)
        return f"({self.requests},{self.responses},{self.window}){' ' + extra if extra else ''}"
