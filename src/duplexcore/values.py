"""Values: what is made for every call, frame or event, at little cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

__all__: list[str] = []

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """A dataclass with slots, equal by its fields, hashable, and frozen for type checkers. At run time nothing hinders
    an assignment: hindering it makes an object of two fields three times as dear.

    Only its ``__init__`` is compiled for it: to compile all methods, as dataclasses do, took a sixth of the package's
    import.
    """
    made: Any = dataclass(slots=True, repr=False, eq=False)(cls)
    compared = [field.name for field in fields(made) if field.compare]
    made.__eq__, made.__hash__ = _equality(attrgetter(*compared) if compared else _nothing)
    made.__repr__ = _shown
    return made  # type: ignore[no-any-return]


def _nothing(_: object) -> tuple[()]:
    return ()


def _equality(key: Callable[[Any], object]) -> tuple[Callable[[Any, object], bool], Callable[[Any], int]]:
    """Methods that look at this much of a value."""

    def equal(self: Any, other: object) -> bool:
        return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: Any) -> int:
        return hash(key(self))

    return equal, hashed


def _shown(self: Any) -> str:
    said = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(said)})"
