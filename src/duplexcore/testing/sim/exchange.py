"""A worker's side of sharing: what it has for the others, what they have for it, what it does when nobody answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .choosing import Tape
from .databases import DatabaseError
from .sharing import Failure, Shelf

__all__ = ["Exchange"]

#: Seconds between two looks at the database; while it does not answer they double, up to the second number.
INTERVAL, LONGEST = 5.0, 60.0


class Exchange:
    """Gives and takes. A database that does not answer is told once, and again when it is back; it ends nothing.

    ``clock``: seconds, only their differences matter; ``tell`` hears the two sentences.
    """

    def __init__(self, shelf: Shelf, *, clock: Callable[[], float], tell: Callable[[str], None]) -> None:
        self._shelf = shelf
        self._clock = clock
        self._tell = tell
        self._due = clock()
        self._delay = INTERVAL
        #: What this worker has found, and what of it has not gone out yet.
        self._tapes: dict[Tape, None] = {}
        self._failures: dict[Failure, None] = {}
        self._waiting: deque[Tape | Failure] = deque()
        #: The tapes that were in the database at the last look.
        self._there: set[Tape] = set()
        #: Tapes of others that nobody has taken from here.
        self.come: deque[Tape] = deque(maxlen=shelf.bounds.tapes)
        #: Every failure that is known, here or there.
        self.known: dict[tuple[str, Tape], Failure] = {}
        self.alone = False
        self.full = False

    def offer_tape(self, tape: Tape) -> None:
        """It goes out with the next look."""
        if len(self._tapes) < self._shelf.bounds.tapes:
            self._tapes[tape] = None
            self._waiting.append(tape)

    def is_known(self, number: str, tape: Tape) -> bool:
        """Whether a failure is known, or there are enough of its property."""
        bounds = self._shelf.bounds
        same = sum(one.number == number for one in self.known.values())
        return (number, tape) in self.known or same >= bounds.per_property or len(self.known) >= bounds.failures

    def claim(self, failure: Failure) -> bool:
        """Makes a failure known to all. False: another one was faster, or there are enough of its property."""
        self.look()
        if self.is_known(*failure.key):
            return False
        self.known[failure.key] = failure
        self._failures[failure] = None
        self._waiting.append(failure)
        self.look()
        return True

    def look_if_due(self) -> None:
        """A look, if the last one was long enough ago."""
        if self._clock() >= self._due:
            self.look()

    def look(self) -> None:
        """Gives what waits, and takes what is new; not before its time where the database has not answered."""
        if self.alone and self._clock() < self._due:
            return
        try:
            if self.alone:  # it may have lost everything
                self._waiting = deque([*self._tapes, *self._failures])
            self._take()
            self._give()
        except DatabaseError as error:
            if not self.alone:
                self._tell(f"{error}; going on alone")
            self.alone = True
            self._delay = min(2 * self._delay, LONGEST)
        else:
            if self.alone:
                self._tell("the database is back")
            self.alone = False
            self._delay = INTERVAL
        self._due = self._clock() + self._delay

    def _take(self) -> None:
        for failure in self._shelf.failures():
            if len(self.known) < self._shelf.bounds.failures:
                self.known.setdefault(failure.key, failure)
        there = self._shelf.tapes()
        self.come.extend(sorted(there - self._there - self._tapes.keys(), key=lambda tape: (len(tape), tape)))
        self._there = there

    def _give(self) -> None:
        while self._waiting:
            one = self._waiting[0]
            if isinstance(one, Failure):
                self._shelf.put_failure(one)
            elif one not in self._there:
                self.full = len(self._there) >= self._shelf.bounds.tapes
                if not self.full:
                    self._shelf.put_tape(one)
                    self._there.add(one)
            self._waiting.popleft()  # only now: what did not get through waits on
