"""Every case by its name, and the groups in which they are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from . import cases_ends, cases_many, cases_skipped, cases_status, cases_streaming, cases_unary
from .case import Case
from .negative import NEGATIVE_CASES

__all__ = ["BY_NAME", "OFFICIAL", "SUITES", "UnknownCaseError", "chosen"]

#: Section 22 of docs/requirements.md, in its order but for the longest, which come last. One server runs them all.
OFFICIAL: tuple[Case, ...] = (
    *cases_unary.CASES,
    *cases_streaming.CASES,
    *cases_status.CASES,
    *cases_ends.CASES,
    *cases_many.CASES,
    *cases_skipped.CASES,
)
#: What `--test_case` takes besides names. A group for which each case needs a server of its own is never part of "all".
SUITES: dict[str, tuple[Case, ...]] = {"all": OFFICIAL, "http2": tuple(NEGATIVE_CASES)}

BY_NAME: dict[str, Case] = {case.name: case for suite in SUITES.values() for case in suite}


class UnknownCaseError(LookupError):
    """A name that is neither a case nor a suite."""


def chosen(names: Iterable[str]) -> list[Case]:
    """The cases of names and suites, in the order in which they are asked for, each once."""
    found: dict[str, Case] = {}
    for name in names:
        if name not in SUITES and name not in BY_NAME:
            raise UnknownCaseError(name)
        for case in SUITES.get(name) or (BY_NAME[name],):
            found[case.name] = case
    return list(found.values())
