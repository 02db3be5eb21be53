"""What can happen next in a simulation: actors, each with one step that it may be ready for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

__all__ = ["Actor", "StepKind", "dullness"]


class StepKind(IntEnum):
    """What sort of thing a step is; policies weigh them. What disturbs comes last: `dullness`."""

    #: An application says or takes something.
    APP = 0
    #: Bytes are made, or arrive.
    WIRE = 1
    #: A side changes its settings.
    SETTING = 2
    #: A clock moves on to the next timeout of its side.
    TIMER = 3
    #: An application gives up: cancels, aborts, shuts down.
    END = 4
    #: The network fails, or stops and goes on.
    FAULT = 5


class Actor:
    """Something that acts by itself: a task of an application, a driver's writer, a direction of the network, a clock.

    ``name`` is unique in a simulation and the same in every run of a scenario: tapes and policies depend on it.
    """

    __slots__ = ("kind", "name", "on_woken", "over", "rank")

    def __init__(self, name: str, kind: StepKind) -> None:
        self.name = name
        self.kind = kind
        #: Nobody need ask: it will not be ready again, or not before it is woken.
        self.over = False
        #: Hears that it is to be asked again.
        self.on_woken: Callable[[Actor], None] | None = None
        #: How dull it is, and its place among those that are as dull; the simulation says which.
        self.rank: tuple[int, int] = DULLNESS[kind], 0

    def ready(self) -> bool:
        """Whether it could act now."""
        raise NotImplementedError

    def act(self) -> None:
        """Takes its step; only when it is ready."""
        raise NotImplementedError

    def wake(self) -> None:
        """It may be ready again."""
        if self.over:
            self.over = False
            if self.on_woken is not None:
                self.on_woken(self)

    def untie(self) -> None:
        """The run is over: nobody hears of anything any more."""
        self.on_woken = None

    @property
    def label(self) -> str:
        """What it would do, for traces."""
        return self.name

    @property
    def parties(self) -> Sequence[str]:
        """The names of those who may act in its step: usually itself; one that stands for several has theirs."""
        return (self.name,)

    @property
    def party(self) -> str:
        """Who of them acts in this step, or acted in the last."""
        return self.name

    @property
    def remaining(self) -> int:
        """About how many steps it has left, 1 at least."""
        return 1

    def __str__(self) -> str:
        return self.label


#: Of each `StepKind`.
DULLNESS = [max(kind, StepKind.WIRE) for kind in StepKind]


def dullness(actor: Actor) -> int:
    """By what actors are sorted: where nobody goes on, the first of those that are ready is the dull option.

    Applications and wires are as they come, the one that opens a call before the one that hears of it.
    """
    return DULLNESS[actor.kind]
