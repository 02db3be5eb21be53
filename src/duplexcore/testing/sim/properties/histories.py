"""P50: a history that the applications of one call have seen, judged by the model: could the simulator give it, too?

Known is what the two applications said and heard, in the order in which that was written down. Unknown is when anything
was framed and when it arrived, what the clocks did, and how far an application was behind. So the whole call is a set
of `CallModel` states, each closed under everything that nobody sees, and every entry of the history narrows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from duplexcore.status import StatusCode

from ...model import explorer
from ...model.call import CallModel
from ...model.side import next_event, owes
from ...model.vocabulary import (
    DeadlineFired,
    Event,
    Misuse,
    ModelViolation,
    Role,
    Step,
)
from .base import Claim

__all__ = ["P50", "Entry", "Heard", "Said"]

#: Windows are not the model's: whatever was accepted may be framed.
ROOM = explorer.Script()
#: What applications need not ask for.
SILENT = (Event.STARTED, Event.INITIAL_METADATA)


@dataclass(frozen=True, slots=True)
class Said:
    """An application said something to its call, or was about to: before it may have been too late for it."""

    role: Role
    step: Step

    def __str__(self) -> str:
        return f"{self.role.name.lower()}: {type(self.step).__name__}"


@dataclass(frozen=True, slots=True)
class Heard:
    """An application was told something. An end is a status code; None: that it is over, nobody said how."""

    role: Role
    event: Event | StatusCode | None

    def __str__(self) -> str:
        return f"{self.role.name.lower()} is told: {'its end' if self.event is None else self.event.name}"


Entry = Said | Heard


class P50(Claim):
    """The adapters give, for a script, an app history that the simulator can also produce.

    Give it each entry as it comes: it raises `PropertyError` at the first that no order of frames explains.
    """

    number = "P50"

    def __init__(self) -> None:
        self.history: list[Entry] = []
        self._states = closed([CallModel()])

    def add(self, entry: Entry) -> None:
        """What was said or heard next."""
        self.history.append(entry)
        after, why = set[CallModel](), set[str]()
        for call in self._states:
            try:
                after.add(said(call, entry) if isinstance(entry, Said) else heard(call, entry))
            except ModelViolation as violation:
                why.add(str(violation))
            except Misuse as misuse:
                why.add(f"misuse: {misuse}")
        if not after:
            self.fail(f"{entry} can not be: {'; '.join(sorted(why)[:3])} ({self._last})")
        self._states = closed(after)

    def calm(self, readers: Sequence[Role]) -> None:
        """Nothing can happen any more but that somebody gives up; ``readers``: whose applications read all there is."""
        self._narrow(lambda call: calm(call, readers), "nothing goes on, though in any order of frames something would")

    def rest(self) -> None:
        """Both applications are gone."""
        self._narrow(at_rest, "that was not all: in no order of frames would both sides be at rest now")

    @property
    def _last(self) -> str:
        return f"it ends with {', '.join(map(str, self.history[-8:]))}"

    def _narrow(self, holds: Callable[[CallModel], bool], otherwise: str) -> None:
        self._states = frozenset(filter(holds, self._states))
        if not self._states:
            self.fail(f"{otherwise} ({self._last})")


def said(call: CallModel, entry: Said) -> CallModel:
    """After a step of an application."""
    return call.does(entry.role, entry.step)


def heard(call: CallModel, entry: Heard) -> CallModel:
    """After an application was told what was due. Raises ModelViolation where something else was."""
    role, event = entry.role, entry.event
    if event is None:
        if call.sides[role].ended is None:
            raise ModelViolation("P4", "the call goes on")
        return call
    while isinstance(due := next_event(call.sides[role]), Event) and due in SILENT and due is not event:
        call = call.takes(role, due)
    if isinstance(event, StatusCode):
        ended = call.sides[role].ended
        if ended is None or ended.code != event:
            raise ModelViolation("P7", f"{event.name} is no end of it")
        return call.takes(role, ended)
    return call.takes(role, event)


def calm(call: CallModel, readers: Sequence[Role]) -> bool:
    """Whether nothing is on its way or due, and nothing waits for applications that read."""
    waits = any(next_event(call.sides[role]) not in (None, *SILENT) for role in readers)
    return not (waits or any(call.wires) or any(map(owes, call.sides)))


def at_rest(call: CallModel) -> bool:
    """Whether nothing is on its way or due, and the call has ended for whoever knows of it."""
    client, server = call.sides
    return client.ended is not None and (not server.opening or server.ended is not None) and calm(call, ())


def closed(calls: Iterable[CallModel]) -> frozenset[CallModel]:
    """The states, and all that come of them where nobody sees it."""
    found, waiting = set(calls), list(calls)
    while waiting:
        for after in unseen(waiting.pop()):
            if after not in found:
                found.add(after)
                waiting.append(after)
    return frozenset(found)


def unseen(call: CallModel) -> Iterator[CallModel]:
    """What can happen that no application sees at once: frames set out and arrive, deadlines pass."""
    for role in Role:
        side = call.sides[role]
        for frame in explorer.next_frames(side, ROOM, room=True):
            yield call.frames(role, frame)
        if call.wires[role]:
            yield call.hears(role)
        if side.deadline and explorer.alive(side):
            yield call.does(role, DeadlineFired())
