"""Ways to make a run smaller: each proposes others near it, of which some may fail as it does.

Most change turns, not places of a tape: when a call is left out, or a step, everybody else does what they did. A way is
given the smallest run that fails, which may be another one each time it asks: it goes on from there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

from .choosing import Chooser, Tape, TapeChooser
from .turns import DULL, WHO, Choice, Turn, TurnChooser, Turns

__all__ = ["WAYS", "Now", "Plan", "Run", "Way", "strays"]

#: Of more options than these only the first are tried, and smaller ones: what comes late among many is long or much.
FEW: Final = 5
#: How many strays there are until one has fewer steps, and how many things are changed in each.
STRAYS, CHANGES = 500, (1, 2, 2, 3, 3, 4)


class Run(NamedTuple):
    """A run that is over: its tape, and the same as turns."""

    tape: Tape
    turns: Turns

    @property
    def steps(self) -> int:
        """How often somebody acted; 0 of what has no steps."""
        return len(self.turns) - 1

    @property
    def size(self) -> tuple[int, int, int, int, Tape]:
        """What is to be small: its steps first, then how many choices are not dull, how many there are, their sum."""
        return self.steps, len(self.tape) - self.tape.count(0), len(self.tape), sum(self.tape), self.tape


class Plan(NamedTuple):
    """What a run goes by: turns or, without, a tape. ``seed``: of what is chosen where turns say nothing; None: the
    dull option is."""

    turns: Turns = ()
    tape: Tape = ()
    seed: int | None = None

    def chooser(self) -> Chooser:
        if not self.turns:
            return TapeChooser(self.tape)
        return TurnChooser(self.turns, DULL if self.seed is None else Sometimes(self.seed))


class Sometimes:
    """Takes one of the first few options as often as the dull one; who acts is the dull one."""

    __slots__ = ("_rng",)

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)  # noqa: S311 - for tests, not for secrets

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        return 0 if kind in WHO or self._rng.random() < 0.5 else self._rng.randrange(min(n, FEW))


#: The smallest run so far.
Now = Callable[[], Run]
Way = Callable[[Now], Iterator[Plan]]


# -- by turns ----------------------------------------------------------------------------------------------------------


def without_a_number(now: Now) -> Iterator[Plan]:
    """Without one of the calls, or of whatever is numbered: its turns, and what was drawn for it."""
    for number in sorted({number for turn in now().turns for number in _numbers(turn.who)}, reverse=True):
        opening, *turns = now().turns
        left = [turn._replace(who=_renumbered(turn.who, number)) for turn in turns if number not in _numbers(turn.who)]
        for choices in _one_fewer(opening.choices, number):
            yield Plan((Turn("", choices), *left))


def _numbers(who: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", who)]


def _renumbered(who: str, gone: int) -> str:
    """Those above the one that is gone are one less."""
    return re.sub(r"\d+", lambda found: str(int(found[0]) - (int(found[0]) > gone)), who)


def _one_fewer(choices: Sequence[Choice], number: int) -> Iterator[tuple[Choice, ...]]:
    """What is left where so many of something are drawn, as the choice before says, without the one of that number."""
    for at, count in enumerate(choices[:-1]):
        first = choices[at + 1].kind
        begins = [place for place in range(at + 1, len(choices)) if choices[place].kind == first]
        if number < len(begins) == count.chosen + 1 and count.chosen:
            begin, lower = begins[number], count._replace(chosen=count.chosen - 1)
            # Where the last one ends nobody knows: the draws of all kinds that come again are not asked for.
            end = begins[number + 1] if number < count.chosen else begin
            yield (*choices[:at], lower, *choices[at + 1 : begin], *choices[end:])


def dull_opening(now: Now) -> Iterator[Plan]:
    """Some choices in a row of those before the first turn are dull: all, then fewer and fewer."""
    size = len(now().turns[0].choices)
    while size:
        at = 0
        while at < len(now().turns[0].choices):
            (_, choices), *turns = now().turns
            zeros = [choice._replace(chosen=0) for choice in choices[at : at + size]]
            yield Plan((Turn("", (*choices[:at], *zeros, *choices[at + size :])), *turns))
            at += size
        size //= 2


def fewer_turns(now: Now) -> Iterator[Plan]:
    """Without some turns in a row: many, then fewer and fewer; from the end on, as what is late needs what is early."""
    size = now().steps // 2
    while size:
        end = now().steps + 1
        while end > size:
            turns = now().turns
            yield Plan(turns[: end - size] + turns[end:])
            end = min(end - size, now().steps + 1)
        size //= 2


def other_choices(now: Now) -> Iterator[Plan]:
    """Each choice inside a turn is another one: fewer steps may need one that is not dull."""
    at = 0
    while at < len(now().turns):
        place = 0
        while at < len(now().turns) and place < len(now().turns[at].choices):
            choice = now().turns[at].choices[place]
            few = range(min(choice.options, FEW))
            for other in sorted({*few, choice.chosen // 2, max(choice.chosen - 1, 0)}):
                turns = now().turns
                if at < len(turns) and place < len(turns[at].choices) and turns[at].choices[place].kind == choice.kind:
                    yield Plan(_changed(turns, at, place, other))
            place += 1
        at += 1


def _changed(turns: Turns, at: int, place: int, chosen: int) -> Turns:
    who, choices = turns[at]
    other = choices[place]._replace(chosen=chosen)
    return (*turns[:at], Turn(who, (*choices[:place], other, *choices[place + 1 :])), *turns[at + 1 :])


def strays(now: Now) -> Iterator[Plan]:
    """Several things changed at once, by chance: turns left out or moved, choices others; what that asks for anew is
    left to chance as well. It leads out of where no change alone leads further."""
    steps = now().steps
    rng = Random(f"strays {now().tape}")  # noqa: S311 - for tests, not for secrets
    for _ in range(STRAYS):
        if now().steps < steps:
            return
        turns = now().turns
        for _ in range(rng.choice(CHANGES)):
            turns = rng.choice(MISCHIEF)(rng, turns)
        yield Plan(turns, seed=rng.getrandbits(32))


def _left_out(rng: Random, turns: Turns) -> Turns:
    at = rng.randrange(len(turns)) + 1
    return turns[:at] + turns[at + rng.choice((1, 1, 2)) :]


def _moved(rng: Random, turns: Turns) -> Turns:
    at, to = sorted(rng.randrange(len(turns)) + 1 for _ in range(2))
    return turns[:at] + turns[at + 1 : to] + turns[at : at + 1] + turns[to:] if at < to else turns


def _chosen(rng: Random, turns: Turns) -> Turns:
    at = 0 if rng.random() < 0.7 else rng.randrange(len(turns))
    if not (choices := turns[at].choices):
        return turns
    place = rng.randrange(len(choices))
    return _changed(turns, at, place, rng.randrange(min(choices[place].options, FEW)))


#: What changes a stray, as often as it stands here.
MISCHIEF: Final = (_left_out, _left_out, _moved, _chosen, _chosen, _chosen)


# -- by the tape -------------------------------------------------------------------------------------------------------


def shorter_tape(now: Now) -> Iterator[Plan]:
    """Without some numbers in a row, or with zeros in their place: many, then fewer and fewer."""
    for zeros in (0, 1):
        size = max(1, len(now().tape) // 2)
        while size:
            at = 0
            while at < len(now().tape):
                tape = now().tape
                yield Plan(tape=tape[:at] + (0,) * zeros * min(size, len(tape) - at) + tape[at + size :])
                if now().tape is tape:
                    at += size
            size //= 2


def smaller_numbers(now: Now) -> Iterator[Plan]:
    """Each number is 0, or the smallest that half of what is left each time leads to."""
    at = 0
    while at < len(now().tape):
        least = 0
        while at < len(now().tape) and least < (value := now().tape[at]):
            lower = (least + value) // 2 if least else 0
            tape = now().tape
            yield Plan(tape=(*tape[:at], lower, *tape[at + 1 :]))
            # One less here may ask for one choice less behind.
            yield Plan(tape=(*tape[:at], lower, *tape[at + 2 :]))
            if now().tape is tape:
                least = lower + 1
        at += 1


#: In this order, until none leads further; then it is time for `mirrored`, once, and for `strays`.
WAYS: Final[Sequence[Way]] = (
    without_a_number,
    fewer_turns,
    dull_opening,
    other_choices,
    shorter_tape,
    smaller_numbers,
)
