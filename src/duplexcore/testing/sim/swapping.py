"""Finds the race in a failing run: two steps of different actors whose order makes the difference.

The run is written down as turns: who acted, and what was chosen inside. Then one turn is moved past its neighbours,
the nearest first, until a run comes out in which nothing fails. Where several frames were written or arrived in one
step, each has a turn of its own here, so that something can come between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .choosing import Chooser, Tape, TapeChooser
from .properties import PropertyError
from .shrinking import Target
from .sides import Side
from .steps import Actor
from .turns import WHO
from .watching import Watcher
from .wires import Frame, Wire

__all__ = ["Race", "find_race"]

#: The most runs that a search takes.
BUDGET = 250

#: Makes a target that these watchers watch.
Make = Callable[[Sequence[Watcher]], Target]


@dataclass(frozen=True, slots=True)
class Race:
    """Two steps, by their numbers in the run: with ``first`` after ``second`` nothing fails.

    ``told`` says it in words; ``labels`` are what was done in the two.
    """

    first: int
    second: int
    told: str
    labels: tuple[str, str] = ("", "")


class Turn(NamedTuple):
    """One actor's turn: what it chose in it, in order, and from which step of the failing run it is."""

    actor: str
    choices: tuple[int, ...]
    step: int
    #: One frame only, of a step in which there were several.
    part: bool = False


def find_race(make: Make, tape: Tape) -> Race | None:
    """The race in the run of a tape that fails; None where the order of two steps makes no difference."""
    noted = Noting(TapeChooser(tape))
    error = _failure(make, noted)
    if error is None:
        return None
    coarse = noted.turns
    fine = [part for turn, frames in zip(coarse, noted.frames, strict=True) for part in _parts(turn, frames)]
    labels = list(noted.sim.trace)
    # Second best: some of those in between had nothing to do without the one that moved. The latest says most.
    latest: tuple[int, Race] | None = None
    for turns in (fine, coarse):
        again = _failure(make, Following(noted.opening, turns))
        if again is None or again.number != error.number:
            continue  # a frame at a time it is another run
        for at, to in _moves(turns):
            follower = Following(noted.opening, [*turns[:at], *turns[at + 1 : to + 1], turns[at], *turns[to + 1 :]])
            if _failure(make, follower) is not None:
                continue
            if follower.taken[: to + 1] == list(range(to + 1)):
                return _race(turns[at], turns[to], labels)
            if _swapped(follower.taken, at, to) and (latest is None or turns[at].step > latest[0]):
                latest = turns[at].step, _race(turns[at], turns[to], labels)
    return latest and latest[1]


def _swapped(taken: list[int | None], at: int, to: int) -> bool:
    """Whether what was to come later did: until the last of those that it was moved behind nobody else acted.

    Some of the others may have had nothing to do without it.
    """
    if to - 1 not in taken or taken[:at] != list(range(at)):
        return False
    return all(one in range(at, to) for one in taken[at : taken.index(to - 1)])


def _race(first: Turn, second: Turn, labels: list[str]) -> Race:
    one, other = (labels[turn.step - 1] for turn in (first, second))
    early, late = f"step {first.step} ({one})", f"step {second.step} ({other})"
    moved = "its last frame" if first.part else "it"
    told = f"{early} comes before {late}; with {moved} after that, nothing fails"
    return Race(first.step, second.step, told, (one, other))


def _moves(turns: list[Turn]) -> Iterator[tuple[int, int]]:
    """Which turn moves behind which, the nearest and the latest first: what fails is at the end."""
    left = BUDGET
    for distance in range(1, len(turns)):
        for at in reversed(range(len(turns) - distance)):
            first, second = turns[at], turns[at + distance]
            if first.actor != second.actor and left:
                left -= 1
                yield at, at + distance


def _parts(turn: Turn, frames: int) -> list[Turn]:
    return [turn] if frames < 2 else [turn._replace(part=True)] * frames


def _failure(make: Make, chooser: Noting | Following) -> PropertyError | None:
    try:
        make((chooser,))(chooser)
    except PropertyError as error:
        chooser.close()
        return error
    return None


class Noting(Watcher):
    """Asks another chooser, and notes whose turn it was, what was chosen before the first (``opening``), and how many
    frames each turn has moved."""

    def __init__(self, inner: Chooser) -> None:
        self._inner = inner
        self.opening: list[int] = []
        self.turns: list[Turn] = []
        self.frames: list[int] = []
        self._begun = False
        self._choices: list[int] = []
        self._moved = 0

    def begin(self) -> None:
        self._begun = True

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        chosen = self._inner.choose(n, kind, labels)
        if not self._begun:
            self.opening.append(chosen)
        elif kind not in WHO:
            self._choices.append(chosen)
        return chosen

    def on_framed(self, side: Side, frame: Frame) -> None:
        if self._begun and self.sim.last is side:
            self._moved += 1

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if self._begun and isinstance(self.sim.last, Wire):
            self._moved += 1

    def on_step(self) -> None:
        assert self.sim.last is not None
        self.turns.append(Turn(self.sim.last.party, tuple(self._choices), len(self.sim.trace)))
        self.frames.append(self._moved)
        self._choices, self._moved = [], 0

    def close(self) -> None:
        """The step in which the run has failed is a turn, too."""
        if len(self.turns) < len(self.sim.trace):
            self.on_step()


class Following(Watcher):
    """Goes by turns. Who is not ready waits for a later place; where all turns are over, the dull option is taken."""

    def __init__(self, opening: Sequence[int], turns: Sequence[Turn]) -> None:
        self._opening = TapeChooser(opening)
        self._left = list(enumerate(turns))
        self._begun = False
        #: The step that `_turn` is for.
        self._step = 0
        self._turn: Turn | None = None
        self._choices = TapeChooser(())
        #: Which of the turns were had, in order; None: somebody acted for whom there was none.
        self.taken: list[int | None] = []

    def begin(self) -> None:
        self._begun = True

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        if not self._begun:
            return self._opening.choose(n, kind, labels)
        if kind in WHO:
            return self._whose(labels)
        self._take_turn()
        if self._turn is not None and self._turn.part:
            return self._one_frame(kind, labels)
        return self._choices.choose(n, kind, labels)

    def on_step(self) -> None:
        self._take_turn()

    def close(self) -> None:
        """Nothing is left open."""

    def _whose(self, labels: Sequence[object]) -> int:
        """The option that the first turn is for that anybody here can take; the dull one where there is none."""
        options = [label.parties if isinstance(label, Actor) else (label,) for label in labels]
        for _, turn in self._left:
            for which, parties in enumerate(options):
                if turn.actor in parties:
                    return which
        return 0

    def _take_turn(self) -> None:
        """Whoever acts now has its first turn that is left, whether it was asked for or nobody else was ready."""
        if self._step == len(self.sim.trace):
            return
        self._step = len(self.sim.trace)
        assert self.sim.last is not None
        name = self.sim.last.party
        which, self._turn = next((one for one in self._left if one[1].actor == name), (None, None))
        self._left = [one for one in self._left if one[0] != which]
        self.taken.append(which)
        self._choices = TapeChooser(self._turn.choices if self._turn else ())

    def _one_frame(self, kind: str, labels: Sequence[object]) -> int:
        if kind == "write":
            return 1
        wire = self.sim.last
        assert isinstance(wire, Wire)
        sizes = list(labels)
        return sizes.index(wire.rest_of_frame) if wire.rest_of_frame in sizes else 0
