"""The properties that every run must have, by number; `ALL` are those that are checked as a simulation goes on."""

from __future__ import annotations

from .base import Property, PropertyError
from .calls import P1, P2, P3, P4, P5, P6, P8, P32, P34
from .connections import P10, P33, P41, P42, P43
from .flow import P17

__all__ = ["ALL", "Property", "PropertyError"]

ALL: tuple[type[Property], ...] = (P1, P2, P3, P4, P5, P6, P8, P10, P17, P32, P33, P34, P41, P42, P43)
