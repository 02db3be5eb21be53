"""A peer whose inside is unknown: all the states that it may be in, narrowed by what is seen of it.

Known is what was sent to it and, in order, what it has sent. Unknown is how much of the former it had heard when it
framed the latter, and what its application, clock and library did in between. Both are guessed only as far as an
observation needs it: what a side says later than it did makes no difference to what it frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from duplexcore.status import ErrorCode, StatusCode

from .call import does, frames, hears
from .side import CLOSED, NEW, SAYING, Side, owes, took
from .vocabulary import (
    CLIENT,
    SERVER,
    Abort,
    Cancel,
    Data,
    DeadlineFired,
    Event,
    Fault,
    Finish,
    Frame,
    HalfClose,
    Headers,
    Input,
    Misuse,
    ModelViolation,
    Refuse,
    Reset,
    Role,
    SendInitialMetadata,
    SendMessage,
    Start,
    Step,
    Terminal,
    Trailers,
    Unfit,
)


class Impossible(ModelViolation):
    """No state is left: what was observed can not be. ``rules``: those that forbade it, each in some possible state."""

    def __init__(self, observation: object, violations: Iterable[ModelViolation]) -> None:
        reasons = sorted({str(violation) for violation in violations})
        self.rules = tuple(sorted({violation.rule for violation in violations}))
        self.observation = observation
        why = "; ".join(reasons) or "nothing that was sent could have led there"
        super().__init__(", ".join(self.rules) or "P7", f"{observation} can not be: {why}")


class Possible(NamedTuple):
    """One state that the peer may be in, having heard the first ``heard`` of what was sent to it."""

    side: Side
    heard: int = 0


class PossibleStates:
    """The states of one black box: `sent` what goes to it, `observed` what it frames, `took` what it tells its user.

    Raises `Impossible` at the first observation that no sequence of events inside the peer explains. Its states are
    bounded by what was sent, times the few things that its inside may have done.
    """

    def __init__(self, role: Role, *, single: bool = False) -> None:
        side = Side(role, single)
        self.states = frozenset({Possible(side)} | ({Possible(does(side, Refuse()))} if role is SERVER else set()))
        self._inputs: list[Input] = []

    def sent(self, item: Input) -> None:
        """A whole frame, or the end of the connection, is on its way to the peer."""
        self._inputs.append(item)

    def does(self, step: Step) -> None:
        """The peer's application did this, for peers of which that much is known."""
        self._advance(step, ((Possible(does(one.side, step), one.heard)) for one in self._heard_more(self.states)))

    def observed(self, frame: Frame) -> None:
        """The peer has sent ``frame``."""
        after: set[Possible] = set()
        violations: list[ModelViolation] = []
        for one in self._heard_more(self.states):
            for guess in _guesses(one.side, frame):
                try:
                    side = one.side
                    for step in guess:
                        side = does(side, step)
                    after.add(Possible(frames(side, frame), one.heard))
                except ModelViolation as violation:
                    violations.append(violation)
                except (Misuse, ValueError):
                    continue
        self._narrow(frame, after, violations)

    def took(self, event: Event | Terminal) -> None:
        """The peer's application was told ``event``; a client that ends its call may lose what was unread (STAT-21)."""
        after: set[Possible] = set()
        violations: list[ModelViolation] = []
        for one in self._heard_more(self.states):
            try:
                after.add(Possible(took(one.side, event, discards=True), one.heard))
            except ModelViolation as violation:
                violations.append(violation)
        self._narrow(event, after, violations)

    def at_rest(self) -> None:
        """The peer has been given time and room, and sends nothing more: raises `Impossible` if it must (P4, P10)."""
        after = {one for one in self._heard_more(self.states) if one.heard == len(self._inputs)}
        quiet = {one for one in after if not owes(one.side)}
        missing = sorted({", ".join(owes(one.side)) for one in after})
        self._narrow("silence", quiet, [ModelViolation("P4", f"{text} is due") for text in missing])

    def endings(self) -> frozenset[Terminal | None]:
        """How the call may have ended for the peer's application, once it has heard everything."""
        heard_all = (one for one in self._heard_more(self.states) if one.heard == len(self._inputs))
        return frozenset(one.side.ended for one in heard_all)

    def _narrow(self, observation: object, after: set[Possible], violations: list[ModelViolation]) -> None:
        if not after:
            raise Impossible(observation, violations)
        self.states = frozenset(after)

    def _advance(self, observation: object, after: Iterator[Possible]) -> None:
        self._narrow(observation, set(after), [])

    def _heard_more(self, states: Iterable[Possible]) -> Iterator[Possible]:
        """Each state, and those after each number of further inputs."""
        for side, heard in states:
            yield Possible(side, heard)
            for position in range(heard, len(self._inputs)):
                try:
                    side = hears(side, self._inputs[position])
                except ValueError:  # of a stream that this state has not opened
                    break
                yield Possible(side, position + 1)


_NOTHING: Final[tuple[Step, ...]] = ()
_CANCELS: Final[tuple[tuple[Step, ...], ...]] = ((Cancel(),), (DeadlineFired(),))
_CUTS_OFF: Final[tuple[tuple[Step, ...], ...]] = ((Abort(),), (DeadlineFired(),))


def _guesses(side: Side, frame: Frame) -> Iterator[tuple[Step, ...]]:
    """What the peer may have done by itself just before it framed ``frame``."""
    yield _NOTHING
    if side.ended is not None or (side.out is CLOSED and side.said is not NEW):
        return
    match frame:
        case Headers(timeout=timeout):
            yield (Start(timeout),) if side.role is CLIENT else (SendInitialMetadata(),)
        case Data():
            more = (SendMessage(),) * max(0, side.framed + frame.whole + frame.partial - side.accepted)
            yield (*more, HalfClose()) if frame.end and side.said is SAYING else more
        case Trailers(code=StatusCode() as code):
            yield (Finish(code),)
            yield from _CUTS_OFF
        case Reset(code=ErrorCode.CANCEL):
            yield from _CANCELS if side.role is CLIENT else _CUTS_OFF
        case Reset(code=ErrorCode.INTERNAL_ERROR):
            yield (Fault(),)
            yield (Unfit(last=True),)
        case _:
            return
