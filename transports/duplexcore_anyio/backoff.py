"""How long a channel waits between its attempts to connect (gRPC doc "connection-backoff", CHAN-3)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Seconds from the start of one attempt to the start of the next, longer from failure to failure.

    Raises ValueError for values that can not work.
    """

    initial: float = 1.0
    multiplier: float = 1.6
    maximum: float = 120.0
    #: So much more or less of it, at random, so that clients that lost one server do not come back together.
    jitter: float = 0.2
    #: Gives numbers from 0 to 1.
    draw: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if not (self.initial > 0 and self.multiplier >= 1 and self.maximum >= self.initial and 0 <= self.jitter < 1):
            raise ValueError(f"{self} can not work: initial > 0, multiplier >= 1, maximum >= initial, 0 <= jitter < 1")

    def delay(self, failures: int) -> float:
        """After so many failures in a row before this one."""
        grown = self.initial
        for _ in range(failures):
            grown = min(grown * self.multiplier, self.maximum)
            if grown >= self.maximum:
                break
        return grown * (1 + self.jitter * (2 * self.draw() - 1))
