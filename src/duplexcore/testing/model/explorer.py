"""All that can happen to a call: every interleaving of both models over two wires, breadth first.

`explore` counts the states and collects how calls can end. A window is counted in messages here, and credit returns at
once: with each message that comes or, with ``Feature.READS``, that is taken. An application sends all its messages,
then half-closes or gives its status; what else may happen is switched on feature by feature.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Flag, auto
from typing import Final, NamedTuple

from duplexcore.status import ErrorCode, StatusCode

from .call import CallModel
from .side import CLOSED, DEAF, ENDED, IDLE, NEW, OPEN, SAID, SAYING, Side, next_event, owes, shown_messages
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
    Goaway,
    HalfClose,
    Headers,
    Input,
    Refuse,
    Reset,
    Role,
    SendMessage,
    Start,
    Step,
    Terminal,
    Trailers,
    Unfit,
)


class Feature(Flag):
    """What may happen besides messages, half-close and status."""

    CANCEL = auto()  # by the client's application
    DEADLINES = auto()  # each side's own clock, in any order: no skew is impossible
    RESETS = auto()  # Abort by the server's application, a Fault of either library, a call refused
    GOAWAY = auto()  # by the server, once, above or below the call
    LOSS = auto()  # of the connection, with what is on its way
    READS = auto()  # applications take their events one by one
    CUT = auto()  # a message takes two DATA frames
    LIMITS = auto()  # a message is above the limit of the side that hears it
    LISTS = auto()  # a header list is above a limit: of the side that hears it, or of its peer, and does not go


PLAIN: Final = Feature(0)
ALL: Final = Feature.CANCEL | Feature.DEADLINES | Feature.RESETS | Feature.GOAWAY | Feature.LOSS | Feature.READS

#: Stands for any status of a server's application: the library never makes it (STAT-18).
STATUS: Final = StatusCode.DATA_LOSS


@dataclass(frozen=True, slots=True)
class Script:
    """How many messages each side sends, how many may be on their way unread, and what else may happen."""

    requests: int = 1
    responses: int = 1
    window: int = 1
    features: Feature = PLAIN
    single_request: bool = False
    single_response: bool = False

    def begin(self) -> World:
        call = CallModel.of(single_request=self.single_request, single_response=self.single_response)
        return World(call.does(CLIENT, Start(deadline=Feature.DEADLINES in self.features)))


class World(NamedTuple):
    """A state of the exploration."""

    call: CallModel
    goaway: bool = False  # the server has said it


class Move(NamedTuple):
    """One thing that can happen: ``verb`` is does, frames, hears, takes or loses."""

    role: Role
    verb: str
    what: Step | Input | Event | Terminal | None = None

    def __str__(self) -> str:
        return (
            "the connection is lost"
            if self.verb == "loses"
            else f"{self.role.name.lower()} {self.verb} {brief(self.what)}"
        )


def brief(what: object) -> str:
    match what:
        case Data(whole, partial, end, error):
            words = ("DATA", str(whole or ""), "part" * partial, "ES" * end, "too large" if error else "")
            return " ".join(filter(None, words))
        case Headers(_, end, too_large):
            return "HEADERS" + (" ES" if end else "") + (" too large" if too_large else "")
        case Trailers(code, too_large):
            return f"TRAILERS {name(code)}" + (" too large" if too_large else "")
        case Reset(code):
            return f"RST {ErrorCode(code).name}"
        case Goaway(covers):
            return "GOAWAY" if covers else "GOAWAY below"
        case Finish(code):
            return f"Finish {name(code)}"
        case Unfit(last):
            return "Unfit last" if last else "Unfit"
        case Terminal():
            return ending(what)
        case Event():
            return what.name
        case _:
            return type(what).__name__


def name(code: StatusCode | None) -> str:
    return "without status" if code is None else "STATUS" if code is STATUS else code.name


def ending(terminal: Terminal | None) -> str:
    """How the race table names an end; ``never``: the side knows of no call."""
    return "never" if terminal is None else str(terminal).replace(STATUS.name, "STATUS")


# -- what can happen next ---------------------------------------------------------------------------------------------


def moves(world: World, script: Script) -> Iterator[Move]:
    """Everything that can happen next; nothing once both sides have their end and all is quiet."""
    call = world.call
    for role in Role:
        side = call.sides[role]
        yield from (Move(role, "does", step) for step in steps(side, script))
        yield from (Move(role, "frames", frame) for frame in next_frames(side, script, room(call, role, script)))
        if wire := call.wires[role]:
            yield Move(role, "hears", wire[0])
            if Feature.LIMITS in script.features and _may_be_too_large(side, wire[0]):
                yield Move(role, "hears", Data(error=StatusCode.RESOURCE_EXHAUSTED, end=wire[0].end))  # type: ignore[union-attr]
            if Feature.LISTS in script.features and role is CLIENT and isinstance(wire[0], Headers | Trailers):
                yield Move(role, "hears", replace(wire[0], too_large=True))
        if Feature.READS in script.features and alive(side) and _unread(side):
            yield Move(role, "takes", Event.MESSAGE)
    if call.lost or not any(alive(side) for side in call.sides):
        return
    if Feature.GOAWAY in script.features and not world.goaway:
        yield Move(SERVER, "frames", Goaway(covers=True))
        if not call.server.opening:
            yield Move(SERVER, "frames", Goaway(covers=False))
    if Feature.LOSS in script.features:
        yield Move(CLIENT, "loses")


def _may_be_too_large(side: Side, item: Input) -> bool:
    """The limit is seen where a message begins (FRM-4)."""
    return isinstance(item, Data) and (item.whole > 0 or item.partial) and not side.partial and alive(side)


def _unread(side: Side) -> bool:
    return side.taken < side.opening + shown_messages(side) and shown_messages(side) > 0


def alive(side: Side) -> bool:
    """Whether the side's call has begun and not ended; a call that may still come to a server counts by its client."""
    return side.ended is None and side.said is not NEW and side.said is not DEAF


def steps(side: Side, script: Script) -> Iterator[Step]:
    features = script.features
    if side.said is NEW and side.heard is IDLE and side.role is SERVER and Feature.RESETS in features:
        yield Refuse()
    if Feature.LISTS in features and side.status is not None and (side.ended is not None or _may_give_status(side)):
        yield Unfit(last=True)
    if not alive(side):
        return
    last = HalfClose() if side.role is CLIENT else Finish(STATUS)
    if side.said is SAYING:
        more = side.accepted < (script.requests if side.role is CLIENT else script.responses)
        yield SendMessage() if more else last
    if side.role is CLIENT and Feature.CANCEL in features:
        yield Cancel()
    if side.deadline:
        yield DeadlineFired()
    if Feature.RESETS in features:
        yield Fault()
        if side.role is SERVER:
            yield Abort()
    if Feature.LISTS in features and side.out is IDLE and (side.role is CLIENT or side.initial):
        yield Unfit()


def next_frames(side: Side, script: Script, room: bool) -> Iterator[Frame]:
    """What the side may frame now."""
    if side.reset:
        yield from (Reset(code) for code in side.reset)
    if side.out is CLOSED or side.out is ENDED:
        return
    if side.status is not None and (side.ended is not None or _may_give_status(side)):
        yield Trailers(side.status)
    if side.out is IDLE:
        if side.ended is None and (side.initial if side.role is SERVER else side.said is not NEW):
            yield Headers(timeout=side.role is CLIENT and side.deadline)
    elif side.ended is None:
        yield from _next_data(side, script, room)


def _next_data(side: Side, script: Script, room: bool) -> Iterator[Data]:
    closing = side.role is CLIENT and side.said is SAID
    if side.framed < side.accepted:
        if room or side.cut:
            yield Data(1, end=closing and side.framed + 1 == side.accepted)
        if room and not side.cut and Feature.CUT in script.features:
            yield Data(0, partial=True)
    elif closing:
        yield Data(0, end=True)


def _may_give_status(side: Side) -> bool:
    return side.framed == side.accepted and not side.cut and (side.out is OPEN or not side.initial)


def room(call: CallModel, role: Role, script: Script) -> bool:
    """Whether the window of one side has room for another message."""
    sender, receiver = call.sides[role], call.sides[role.peer]
    used = receiver.whole
    if Feature.READS in script.features and receiver.ended is None:
        used = min(used, max(0, receiver.taken - receiver.opening))
    return sender.framed + sender.cut - used < script.window


def apply(world: World, move: Move) -> World:
    """The world after ``move``."""
    call, (role, verb, what) = world.call, move
    goaway = world.goaway
    match verb:
        case "does":
            call = call.does(role, what)  # type: ignore[arg-type]
        case "frames":
            call = call.frames(role, what)  # type: ignore[arg-type]
            goaway = goaway or isinstance(what, Goaway)
        case "hears":
            call = call.hears(role, what)  # type: ignore[arg-type]
        case "takes":
            call = _take_message(call, role)
        case _:
            call = call.loses()
    return World(_without_what_does_not_matter(call), goaway)


def _take_message(call: CallModel, role: Role) -> CallModel:
    """What stands before the message is taken along: it makes no difference to anybody when."""
    while True:
        event = next_event(call.sides[role])
        assert event is not None
        call = call.takes(role, event)
        if event is Event.MESSAGE:
            return call


def _without_what_does_not_matter(call: CallModel) -> CallModel:
    """What is on its way to a side that has closed the stream, and what was read of a call that is over."""
    if not any(side.heard is CLOSED or (side.taken and side.ended is not None) for side in call.sides):
        return call
    sides = tuple(side._replace(taken=0) if side.ended is not None else side for side in call.sides)
    wires = tuple(() if side.heard is CLOSED else wire for side, wire in zip(call.sides, call.wires, strict=True))
    return CallModel(sides, wires, call.lost)  # type: ignore[arg-type]


# -- all of it --------------------------------------------------------------------------------------------------------

Pair = tuple[str, str]


@dataclass(slots=True)
class Explored:
    """What an exploration has found: states, moves between them, and each pair of ends with a shortest way to it."""

    states: int = 0
    transitions: int = 0
    pairs: dict[Pair, tuple[Move, ...]] = field(default_factory=dict)


def explore(script: Script, check: Callable[[World], object] | None = None) -> Explored:
    """Visits every state that ``script`` can reach; ``check`` is called with each.

    Raises AssertionError where a call comes to rest without its end, or with something left to frame (P4, P10).
    """
    first = script.begin()
    came_from: dict[World, tuple[World, Move] | None] = {first: None}
    waiting = deque([first])
    found = Explored()
    while waiting:
        world = waiting.popleft()
        found.states += 1
        if check is not None:
            check(world)
        at_rest = True
        for move in moves(world, script):
            at_rest = False
            found.transitions += 1
            after = apply(world, move)
            if after not in came_from:
                came_from[after] = (world, move)
                waiting.append(after)
        if at_rest:
            for side in world.call.sides:
                assert not alive(side), f"no end of the {side.role.name.lower()}: {side}"
                assert world.call.lost or not owes(side), (
                    f"the {side.role.name.lower()} still owes {owes(side)}: {side}"
                )
            pair = (ending(world.call.client.ended), ending(world.call.server.ended))
            if pair not in found.pairs:
                found.pairs[pair] = _way(world, came_from)
    return found


def _way(world: World, came_from: dict[World, tuple[World, Move] | None]) -> tuple[Move, ...]:
    way: list[Move] = []
    while (step := came_from[world]) is not None:
        world, move = step
        way.append(move)
    return tuple(reversed(way))
