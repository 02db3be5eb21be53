"""What workers share through a database: tapes that reached something new, and failures, of one target and its options.

Both are sets, so what two workers find at the same time stands there once. Whatever is read is checked: others write
there, too, perhaps with another version of this.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from hypothesis.database import ExampleDatabase

from .cases import Case
from .choosing import Tape
from .hunting import Finding
from .policies import Policy
from .targets import EngineOptions

__all__ = ["Bounds", "Failure", "Shelf", "shelves"]

#: The format of keys and values; another one does not meet this one.
FORMAT = "duplexcore fuzz 1"
#: What stands here names the targets and options of all shelves.
INDEX = FORMAT.encode()
#: How many shelves of a database are looked at.
SHELVES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a worker keeps, and puts in a database. Raises ValueError for what is below 1.

    ``tapes`` and ``failures``: how many, of one target with its options; ``per_property``: failures of the same
    property, the first ones stay; ``choices``: of a tape that is shared; ``marks``: what the runs have reached.
    """

    tapes: int = 2_000
    failures: int = 200
    per_property: int = 3
    choices: int = 10_000
    marks: int = 100_000

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be 1 at least")

    @property
    def bytes(self) -> int:
        """Of one value."""
        return 8 * self.choices + 20_000


@dataclass(frozen=True, slots=True)
class Failure:
    """A property that does not hold, and the smallest tape found; with the tape the same everywhere."""

    number: str
    message: str
    tape: Tape

    @property
    def key(self) -> tuple[str, Tape]:
        """Failures with the same one are the same."""
        return self.number, self.tape

    def case(self, target: str, options: EngineOptions) -> Case:
        """The file that can be replayed. Raises `NoTargetError`."""
        finding = Finding(self.number, self.message, 0, Policy.MIX, self.tape, 0, 0)
        return replace(Case.of(finding, options, target), seed=None, policy=None)


class Shelf:
    """The place of one target with its options in a database. Each method raises what the database raises."""

    def __init__(
        self, database: ExampleDatabase, target: str, options: EngineOptions, bounds: Bounds | None = None
    ) -> None:
        self.target = target
        self.options = options
        self.bounds = bounds or Bounds()
        self._database = database
        self._name = _packed({"target": target, "options": options.as_dict()})
        self._tapes, self._failures = (INDEX + b"/" + kind + b"/" + self._name for kind in (b"tapes", b"failures"))

    def tapes(self) -> set[Tape]:
        """Those that are there, as far as the bounds go."""
        found: set[Tape] = set()
        for value in self._database.fetch(self._tapes):
            tape = _tape(_unpacked(value, self.bounds.bytes), self.bounds.choices)
            if tape and len(found) < self.bounds.tapes:
                found.add(tape)
        return found

    def failures(self) -> list[Failure]:
        """Those that are there, by number, the smallest first, as far as the bounds go."""
        found: set[Failure] = set()
        for value in self._database.fetch(self._failures):
            failure = _failure(_unpacked(value, self.bounds.bytes), self.bounds.choices)
            if failure is not None and len(found) < self.bounds.failures:
                found.add(failure)
        return sorted(found, key=lambda one: (one.number, len(one.tape), one.tape))

    def put_tape(self, tape: Tape) -> None:
        """Nothing happens with one that is too long."""
        if len(tape) <= self.bounds.choices:
            self._put(self._tapes, list(tape))

    def put_failure(self, failure: Failure) -> None:
        """The message is cut where it is too long, and so is the tape: a replay goes on with dull choices."""
        tape = list(failure.tape[: self.bounds.choices])
        self._put(self._failures, {"number": failure.number, "message": failure.message[:4_000], "tape": tape})

    def take_away(self, failure: Failure) -> None:
        """It is known no more."""
        value = {"number": failure.number, "message": failure.message, "tape": list(failure.tape)}
        self._database.delete(self._failures, _packed(value))

    def _put(self, key: bytes, value: object) -> None:
        self._database.save(INDEX, self._name)
        self._database.save(key, _packed(value))


def shelves(database: ExampleDatabase, bounds: Bounds | None = None) -> list[Shelf]:
    """Every shelf of a database whose options this version knows, by target. Raises what the database raises."""
    found = []
    for name in sorted(database.fetch(INDEX))[:SHELVES]:
        subject = _unpacked(name, 10_000)
        with suppress(TypeError, KeyError, ValueError):  # written by nobody, or by another version
            found.append(Shelf(database, str(subject["target"]), EngineOptions(**subject["options"]), bounds))
    return sorted(found, key=lambda shelf: shelf.target)


def _packed(value: object) -> bytes:
    """The same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _unpacked(value: bytes, most: int) -> Any:
    """None for what is too long, or was not written by us."""
    if len(value) > most:
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _tape(found: object, most: int) -> Tape | None:
    if not isinstance(found, list) or len(found) > most:
        return None
    if not all(type(one) is int and 0 <= one < 1 << 32 for one in found):
        return None
    return tuple(found)


def _failure(found: object, most: int) -> Failure | None:
    match found:
        case {"number": str(number), "message": str(message), "tape": list(values)}:
            tape = _tape(values, most)
            return None if tape is None else Failure(number, message, tape)
        case _:
            return None
