"""Runs as turns: who acted, and what was chosen in it. A turn that is left out leaves the others what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .choosing import Chooser, Tape, TapeChooser
from .properties.base import PropertyError

__all__ = ["WHO", "Choice", "TooLongError", "Turn", "TurnChooser", "TurnRecorder", "Turns"]

#: Choices that say who acts; all others are made by who does.
WHO = ("step", "task", "rest")


class Choice(NamedTuple):
    """What it was about, between how many, which."""

    kind: str
    options: int
    chosen: int


class Turn(NamedTuple):
    """Who acted, and what was chosen in it. The first of a run is nobody's: what was drawn before anybody could act."""

    who: str
    choices: tuple[Choice, ...] = ()


Turns = tuple[Turn, ...]

#: Takes the dull option.
DULL = TapeChooser(())


class TooLongError(PropertyError):
    """The run has more turns than it may. No failure, but a target lets it pass as it does those."""

    def __init__(self) -> None:
        super().__init__("turns", "there are more turns than there may be")


class TurnRecorder:
    """Asks another chooser, and remembers the run as a tape and as turns. Raises `TooLongError` after ``most``."""

    __slots__ = ("_inner", "_made", "_most", "_tape", "_told")

    def __init__(self, inner: Chooser, most: int | None = None) -> None:
        self._inner = inner
        self._told = getattr(inner, "forced", None)
        self._most = most
        self._tape: list[int] = []
        self._made: list[tuple[str, list[Choice]]] = [("", [])]

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        chosen = self._inner.choose(n, kind, labels)
        self._tape.append(chosen)
        if kind in WHO:
            self._begin(labels[chosen])
        else:
            self._made[-1][1].append(Choice(kind, n, chosen))
        return chosen

    def forced(self, label: object) -> None:
        """Who acts where nobody else can."""
        if self._told is not None:
            self._told(label)
        self._begin(label)

    def _begin(self, label: object) -> None:
        if len(self._made) == self._most:
            raise TooLongError
        self._made.append((_name(label), []))

    @property
    def tape(self) -> Tape:
        return tuple(self._tape)

    @property
    def turns(self) -> Turns:
        return tuple(Turn(who, tuple(choices)) for who, choices in self._made)


class TurnChooser:
    """Goes by turns, of which there is one at least: the first whose actor can act is had next.

    Who is not ready waits. Where nobody of those that are left is, and where a turn says nothing of what is asked,
    ``otherwise`` is asked.
    """

    __slots__ = ("_choices", "_left", "_otherwise")

    def __init__(self, turns: Turns, otherwise: Chooser = DULL) -> None:
        self._choices = list(turns[0].choices)
        self._left = list(turns[1:])
        self._otherwise = otherwise

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        if kind in WHO:
            names = [_name(label) for label in labels]
            if (taken := self._take(names)) is not None:
                return names.index(taken)
        else:
            for at, choice in enumerate(self._choices):
                if choice.kind == kind:
                    del self._choices[: at + 1]
                    return min(choice.chosen, n - 1)
        return self._otherwise.choose(n, kind, labels)

    def forced(self, label: object) -> None:
        """Who acts where nobody else can has its turn."""
        self._take((_name(label),))

    def _take(self, names: Sequence[str]) -> str | None:
        self._choices = []
        for at, turn in enumerate(self._left):
            if turn.who in names:
                self._choices = list(turn.choices)
                del self._left[at]
                return turn.who
        return None


def _name(label: object) -> str:
    """Of an actor; what it would do depends on how far it is."""
    return getattr(label, "name", None) or str(label)
