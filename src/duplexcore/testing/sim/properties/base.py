"""What a property is: a number, a sentence, and a watcher that fails when it does not hold."""

from __future__ import annotations

from typing import ClassVar, NoReturn

from ..watching import Watcher

__all__ = ["Claim", "Property", "PropertyError"]


class PropertyError(AssertionError):
    """A property does not hold. ``number`` says which; the text says what was seen."""

    def __init__(self, number: str, what: str) -> None:
        super().__init__(f"{number}: {what}")
        self.number = number


class Property(Watcher):
    """A property of a simulation. Its docstring is the sentence; ``number`` is how it is named everywhere."""

    number: ClassVar[str]

    def fail(self, what: str) -> NoReturn:
        raise PropertyError(self.number, what)


class Claim:
    """A property of something else than a simulation. Its docstring is the sentence."""

    number: ClassVar[str]

    @classmethod
    def fail(cls, what: str) -> NoReturn:
        raise PropertyError(cls.number, what)
