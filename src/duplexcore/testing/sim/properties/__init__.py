"""The properties that every run must have, by number.

`ALL` are checked as a simulation goes on and cost little; `COSTLY` look at copies of the engines, or ask another
parser.
"""

from __future__ import annotations

from .base import Property, PropertyError
from .calls import P1, P2, P3, P4, P5, P6, P8, P32, P34
from .connections import P10, P33, P41, P42, P43
from .flow import P17
from .lasting import P19, P20, P27
from .oracle import Oracle
from .snapshots import P11, P28, P29, P35
from .strict import P16

__all__ = ["ALL", "COSTLY", "Property", "PropertyError"]

ALL: tuple[type[Property], ...] = (
    P1,
    P2,
    P3,
    P4,
    P5,
    P6,
    P8,
    P10,
    P17,
    P19,
    P20,
    P27,
    P32,
    P33,
    P34,
    P41,
    P42,
    P43,
    Oracle,
)
COSTLY: tuple[type[Property], ...] = (P11, P16, P28, P29, P35)
