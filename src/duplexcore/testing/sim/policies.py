"""Seeded chance with a view: which of the enabled steps a random run takes.

Uniform chance over the enabled steps ends nearly every call early: a cancellation that is enabled throughout comes long
before the interesting state. So each policy here holds terminators back in its own way:

- *weighted*: messages and bytes often, endings and faults seldom.
- *swarm*: weights drawn anew for each run, 0 among them (Groce et al., Swarm Testing, 2012).
- *PCT*: actors have priorities, with a few places where the running one falls behind all others: a bug that needs d
  changes of actor is found with a known probability (Burckhardt et al., 2010).
- *URW*: an actor is taken in proportion to the steps it has left, which makes every interleaving about equally likely.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

from .steps import Actor, StepKind

__all__ = ["Policy", "PrngChooser"]


class Policy(StrEnum):
    """How `PrngChooser` takes steps. MIX takes one of the others for each run: 50, 20, 20 and 10 %."""

    MIX = "mix"
    WEIGHTED = "weighted"
    SWARM = "swarm"
    PCT = "pct"
    URW = "urw"


#: What one step of each `StepKind` weighs beside the others: app, wire, setting, timer, end, fault.
WEIGHTS = (6.0, 6.0, 6.0, 0.3, 0.6, 0.2)
#: From what swarm draws the weight of each actor.
SWARM = (0.0, 0.3, 1.0, 6.0, 20.0)
#: How many places of falling behind PCT draws, and among how many steps.
PCT_DEPTH, PCT_STEPS = 3, 120


class PrngChooser:
    """Choices by a seeded generator: the same seed and scenario give the same run, anywhere."""

    def __init__(self, seed: int, policy: Policy = Policy.MIX) -> None:
        # A str seeds by its bytes, an int by its value: neither looks at the hash seed.
        self._rng = rng = random.Random(f"duplexcore {seed}")  # noqa: S311 - for tests, not for secrets
        if policy is Policy.MIX:
            policy = rng.choices([Policy.WEIGHTED, Policy.SWARM, Policy.PCT, Policy.URW], [50, 20, 20, 10])[0]
        self.policy = policy
        self._random = rng.random
        self._pick = PICKS[policy]
        self._weights: dict[str, float] = {}
        self._priorities: dict[str, float] = {}
        self._falls = set(rng.sample(range(1, PCT_STEPS), rng.randrange(PCT_DEPTH + 1)))
        self._count = 0

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        if kind == "step":
            return self._pick(self, labels)  # type: ignore[arg-type]
        random = self._random
        return 0 if kind == "bytes" and random() < 0.6 else int(random() * n)

    def _weighted(self, steps: Sequence[Actor]) -> int:
        return self._by_weight([WEIGHTS[step.kind] for step in steps])

    def _swarm(self, steps: Sequence[Actor]) -> int:
        known, weights = self._weights, []
        for step in steps:
            weight = known.get(step.name)
            if weight is None:
                weight = known[step.name] = self._rng.choice(SWARM) * WEIGHTS[step.kind]
            weights.append(weight)
        return self._by_weight(weights)

    def _pct(self, steps: Sequence[Actor]) -> int:
        priorities, rng = self._priorities, self._rng
        for step in steps:
            if step.name not in priorities:
                # What ends a call may wait: else one run in two is over before it began.
                priorities[step.name] = rng.random() * (1.0 if step.kind <= StepKind.SETTING else 0.7)
        best = max(range(len(steps)), key=lambda index: priorities[steps[index].name])
        self._count += 1
        if self._count in self._falls:
            priorities[steps[best].name] = -float(self._count)
        return best

    def _urw(self, steps: Sequence[Actor]) -> int:
        return self._by_weight([step.remaining * WEIGHTS[step.kind] for step in steps])

    def _by_weight(self, weights: list[float]) -> int:
        total = sum(weights)
        if not total:
            return int(self._random() * len(weights))
        at = self._random() * total
        for index, weight in enumerate(weights):
            at -= weight
            if at < 0:
                return index
        return len(weights) - 1


#: How each policy takes one of the steps that are ready.
PICKS: Final[dict[Policy, Callable[[PrngChooser, Sequence[Actor]], int]]] = {
    Policy.WEIGHTED: PrngChooser._weighted,
    Policy.SWARM: PrngChooser._swarm,
    Policy.PCT: PrngChooser._pct,
    Policy.URW: PrngChooser._urw,
}
