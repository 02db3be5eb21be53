"""The properties that every run must have, by number.

`ALL` are checked as a simulation goes on and cost little; `COSTLY` look at copies of the engines, or ask another
parser.
"""

from __future__ import annotations

from .base import Claim, Property, PropertyError
from .bounds import P18, P22, P23, P24, P25
from .calls import P1, P2, P3, P4, P5, P6, P8, P32, P34
from .codecs import P30, P36, P45, P46, P47
from .connections import P10, P33, P41, P42, P43
from .endings import P9, P14, P37, P39, P40, P44
from .flow import P17, P21
from .headers import P48
from .histories import P50
from .lasting import P19, P20, P27
from .oracle import Oracle
from .reframing import P12, P13, P15, P26
from .snapshots import P11, P28, P29, P35
from .strict import P16

__all__ = [
    "ALL",
    "CLAIMS",
    "COSTLY",
    "P1",
    "P2",
    "P3",
    "P4",
    "P5",
    "P6",
    "P8",
    "P9",
    "P10",
    "P11",
    "P12",
    "P13",
    "P14",
    "P15",
    "P16",
    "P17",
    "P18",
    "P19",
    "P20",
    "P21",
    "P22",
    "P23",
    "P24",
    "P25",
    "P26",
    "P27",
    "P28",
    "P29",
    "P30",
    "P32",
    "P33",
    "P34",
    "P35",
    "P36",
    "P37",
    "P39",
    "P40",
    "P41",
    "P42",
    "P43",
    "P44",
    "P45",
    "P46",
    "P47",
    "P48",
    "P50",
    "WHERE",
    "Claim",
    "Oracle",
    "Property",
    "PropertyError",
]

#: Checked as a simulation goes on; they cost little.
ALL: tuple[type[Property], ...] = (
    P1,
    P2,
    P3,
    P4,
    P5,
    P6,
    P8,
    P10,
    P21,  # before P17, which would say the same of it, but less
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
    P48,
    Oracle,
)
#: They look at copies of the engines, or ask another parser.
COSTLY: tuple[type[Property], ...] = (
    *(P9, P11, P12, P13, P14, P15, P16, P18, P22, P23, P24, P25, P26),
    *(P28, P29, P35, P37, P39, P40, P44),
)

#: Of single values, not of runs: `duplexcore.testing.strategies.CASES` has what they are checked with.
CLAIMS: tuple[type[Claim], ...] = (P30, P36, P45, P46, P47)

#: Where each is checked: by a watcher (the reference model is P7's), by a claim, or by tests that have runs again.
WHERE: dict[str, str] = {
    **{one.number: f"{one.__module__}.{one.__name__}" for one in (*ALL, *COSTLY)},
    **{one.number: f"{one.__module__}.{one.__name__}" for one in CLAIMS},
    P50.number: f"{P50.__module__}.{P50.__name__}",
    **dict.fromkeys(("P31", "P38", "P49"), "tests/sim/test_reruns.py"),
}
