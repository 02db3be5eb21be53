"""Values: what is made for every call, frame or event, at little cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

__all__: list[str] = []

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """A dataclass with slots, equal by its fields, hashable, and frozen for type checkers. At run time nothing hinders
    an assignment: hindering it makes an object of two fields three times as dear."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
