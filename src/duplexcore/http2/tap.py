"""Where an observer of frames is attached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from .frames import Frame

__all__ = ["Observer"]

#: Called with "in" or "out" and each whole frame, in the order of the wire.
Observer = Callable[[Literal["in", "out"], Frame], None]


class Tap:
    """Holds the observer, if there is one. It belongs to the process: pickling leaves it behind."""

    __slots__ = ("observer",)

    def __init__(self) -> None:
        self.observer: Observer | None = None

    def __reduce__(self) -> tuple[type[Tap], tuple[()]]:
        return Tap, ()

    def fingerprint_state(self) -> object:
        return None
