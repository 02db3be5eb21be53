"""Known failures of a server: a file in which each entry must still fail.

[[known]]
target = "127.0.0.1:*"      # HOST:PORT, may have * and ?
check = "B5"                # number of a check
says = "GOAWAY"             # optional: a part of what the failure says; another one of the check is news
why = "..."                 # what is wrong, and where it was reported
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .problems import WrongUse

__all__ = ["KnownFailure", "read_known", "still_failing", "which"]

KEYS = {"target", "check", "why", "says"}


@dataclass(frozen=True)
class KnownFailure:
    """One entry."""

    target: str
    check: str
    why: str
    says: str = ""

    def fits(self, number: str, message: str) -> bool:
        return self.check == number and self.says in message


def which(known: Iterable[KnownFailure], number: str, message: str) -> KnownFailure | None:
    """The entry that a failure is of; None: it is news."""
    return next((one for one in known if one.fits(number, message)), None)


def read_known(path: Path, target: str, checks: Collection[str]) -> list[KnownFailure]:
    """The entries for a target. Raises `WrongUse` for a file that can not be used. ``checks``: those that there are."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongUse(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise WrongUse(f"{path} is not TOML: {error}") from error
    entries = content.pop("known", [])
    if content or not isinstance(entries, list):
        raise WrongUse(f"{path} holds more than [[known]] entries: {', '.join(content) or 'known'}")
    known = [_entry(path, number, one) for number, one in enumerate(entries, 1)]
    for one in known:
        if one.check not in checks:
            raise WrongUse(f"{path}: there is no check {one.check!r}")
    return [one for one in known if fnmatchcase(target, one.target)]


def still_failing(
    known: Iterable[KnownFailure], found: Iterable[tuple[str, str]], judged: Collection[str]
) -> list[str]:
    """What is to be said of entries that do not fail any more: each makes the run fail.

    ``found``: number and message of each failure; ``judged``: the checks that were made.
    """
    failures = list(found)
    return [
        f"{one.check} is in the file of known failures and must still fail, but it passes: take it out ({one.why})"
        for one in known
        if one.check in judged and not any(one.fits(*failure) for failure in failures)
    ]


def _entry(path: Path, number: int, entry: Any) -> KnownFailure:
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise WrongUse(f"{path}: entry {number} is not a table of texts")
    if missing := {"target", "check", "why"} - entry.keys():
        raise WrongUse(f"{path}: entry {number} has no {', '.join(sorted(missing))}")
    if surplus := entry.keys() - KEYS:
        raise WrongUse(f"{path}: entry {number} has {', '.join(sorted(surplus))}, which means nothing")
    if not entry["why"].strip():
        raise WrongUse(f"{path}: entry {number} does not say why")
    return KnownFailure(**entry)
