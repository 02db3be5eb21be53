"""The state of one side of a call, what its application hears of it, and what both roles have in common."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from duplexcore.status import ErrorCode, StatusCode

from .vocabulary import (
    CLIENT,
    SERVER,
    Data,
    Event,
    Frame,
    Headers,
    ModelViolation,
    Origin,
    Reset,
    Role,
    Terminal,
    Trailers,
    TransportEnded,
)


class Said(IntEnum):
    """What a side's application has said."""

    NEW = 0  # nothing: the client has not started, the server has not heard of the call
    SAYING = 1
    SAID = 2  # all: half-closed by a client, finished by a server
    DEAF = 3  # a server that never shows the call to its application: refused, or above the id of its GOAWAY


class Half(IntEnum):
    """One direction of the stream, as this side sees it: what it has framed, or what it has heard."""

    IDLE = 0  # no HEADERS yet
    OPEN = 1
    ENDED = 2  # END_STREAM
    CLOSED = 3  # RST_STREAM of either side, or the connection is over


NEW, SAYING, SAID, DEAF = Said
IDLE, OPEN, ENDED, CLOSED = Half

Codes = frozenset[int]
NO_RESET: Final[Codes] = frozenset()
RESET_NO_ERROR: Final[Codes] = frozenset({ErrorCode.NO_ERROR})
RESET_CANCEL: Final[Codes] = frozenset({ErrorCode.CANCEL})
RESET_PROTOCOL: Final[Codes] = frozenset({ErrorCode.PROTOCOL_ERROR})
RESET_CLOSED: Final[Codes] = frozenset({ErrorCode.STREAM_CLOSED})
RESET_INTERNAL: Final[Codes] = frozenset({ErrorCode.INTERNAL_ERROR})
RESET_REFUSED: Final[Codes] = frozenset({ErrorCode.REFUSED_STREAM})


class Side(NamedTuple):
    """One side of one call: frozen, hashable, equal when nothing that can be observed later differs."""

    role: Role
    #: The method has exactly one message in the direction that this side hears (STAT-14, STAT-15).
    single: bool = False
    deadline: bool = False
    # What was said here.
    said: Said = NEW
    initial: bool = False  # a server's headers were asked for, or go with its first message (STAT-3)
    accepted: int = 0  # messages
    status: StatusCode | None = None  # a server's, as long as its trailers are due
    # What was framed here.
    out: Half = IDLE
    framed: int = 0  # whole messages
    cut: bool = False  # a message is partly on the wire
    reset: Codes = NO_RESET  # RST_STREAM is due, with one of these codes (Table D)
    # What was heard.
    heard: Half = IDLE
    whole: int = 0  # messages that came complete
    partial: bool = False  # and one that has not
    # What the application is told, and how many of these events it has taken.
    opening: bool = False  # STARTED, or INITIAL_METADATA
    half_closed: bool = False
    ended: Terminal | None = None
    taken: int = 0


#: Whether RST_STREAM can still be sent: the stream was opened and one of its directions goes on (P33, DUP-9, DUP-36).
RESETTABLE: Final = frozenset(
    {(CLIENT, OPEN, heard) for heard in (IDLE, OPEN, ENDED)}
    | {(CLIENT, ENDED, heard) for heard in (IDLE, OPEN)}
    | {(SERVER, out, heard) for out in (IDLE, OPEN) for heard in (OPEN, ENDED)}
    | {(SERVER, ENDED, OPEN)}
)

# -- what the application hears ---------------------------------------------------------------------------------------


def shown_messages(side: Side) -> int:
    """How many of the messages that came are shown: of a single one, only once it is known to be single."""
    if not side.single:
        return side.whole
    if side.role is CLIENT:  # STAT-16, STAT-17
        return side.whole if side.ended is not None and side.ended.code == StatusCode.OK else 0
    return side.whole if side.half_closed else 0  # STAT-14


def history(side: Side) -> tuple[Event | Terminal, ...]:
    """Every event that the application has had or will have if nothing more happens, in order (P3, P5, DUP-39)."""
    first = (Event.STARTED if side.role is SERVER else Event.INITIAL_METADATA,) if side.opening else ()
    last = () if side.ended is None else (side.ended,)
    half_closed = (Event.HALF_CLOSED,) if side.half_closed else ()
    return (*first, *(Event.MESSAGE,) * shown_messages(side), *half_closed, *last)


def next_event(side: Side) -> Event | Terminal | None:
    """The event that the application takes next; None while none waits."""
    position = side.taken
    if side.opening:
        if not position:
            return Event.STARTED if side.role is SERVER else Event.INITIAL_METADATA
        position -= 1
    shown = shown_messages(side)
    if position < shown:
        return Event.MESSAGE
    position -= shown
    if side.half_closed:
        if not position:
            return Event.HALF_CLOSED
        position -= 1
    return None if position else side.ended


@lru_cache(maxsize=1 << 16)
def took(side: Side, event: Event | Terminal, *, discards: bool = False) -> Side:
    """The application took ``event``; raises `ModelViolation` where another one, or none, was due.

    A client hears everything that came before its end, however the call ended: the end stands in the same queue. A
    server that has ended may drop what was unread (DUP-3, DUP-10, DUP-15). ``discards``: so may this client when the
    end is not the peer's, which STAT-21 allows to other implementations.
    """
    due = next_event(side)
    if event == due:
        return side._replace(taken=side.taken + 1)
    if isinstance(event, Terminal) and event == side.ended and due is not None:
        if side.role is SERVER or (discards and event.origin is not Origin.PEER):
            return side._replace(taken=len(history(side)))
        raise ModelViolation("STAT-21", f"the end came before {_name(due)}")
    if side.taken and side.taken == len(history(side)) and side.ended is not None:
        raise ModelViolation("DUP-39", f"{_name(event)} came after the end, which was {side.ended}")
    if event.__class__ is Terminal:
        raise ModelViolation("DUP-39", f"the end was {event}, not {side.ended or 'yet due'}")
    raise ModelViolation("P3", f"{_name(event)} came, {'nothing' if due is None else _name(due)} was due")


def _name(event: Event | Terminal) -> str:
    return str(event) if isinstance(event, Terminal) else event.name


def owes(side: Side) -> tuple[str, ...]:
    """What the side must still frame, wherever windows and the connection allow it: nothing, at rest (P4, P10, P33)."""
    due: list[str] = []
    if side.out in (ENDED, CLOSED) or side.said is DEAF:
        pass
    elif side.ended is None:
        if side.out is IDLE and ((side.role is CLIENT and side.said is not NEW) or side.initial):
            due.append("HEADERS")  # D-10, D-8c
        if side.framed < side.accepted:
            due.append("DATA")
        if side.role is CLIENT and side.said is SAID:
            due.append("END_STREAM")  # FRM-10
    if side.status is not None:
        due.append("TRAILERS")  # STAT-1, DUP-13
    if side.reset:
        due.append("RST_STREAM " + " or ".join(ErrorCode(code).name for code in sorted(side.reset)))
    return tuple(due)


# -- what happens to both ---------------------------------------------------------------------------------------------


def end(side: Side, code: StatusCode, origin: Origin, reset: Codes = NO_RESET, *, unprocessed: bool = False) -> Side:
    """The call ends here: what was not framed is dropped (CANC-5), RST_STREAM is due where the stream goes on.

    What can not matter any more is forgotten, so that equal futures are equal states.
    """
    return side._replace(
        ended=Terminal(code, origin, unprocessed or (side.role is CLIENT and side.out is IDLE)),
        reset=reset if (side.role, side.out, side.heard) in RESETTABLE else NO_RESET,
        status=None,
        said=SAID,
        deadline=False,
        initial=False,
        accepted=0,
        framed=0,
        cut=False,
        partial=False,
    )


def close(side: Side) -> Side:
    """The stream is over in both directions: nothing may be framed any more, nothing is due (DUP-36, DUP-41)."""
    return side._replace(out=CLOSED, heard=CLOSED, reset=NO_RESET, status=None)


def late(side: Side, frame: Frame) -> Side:
    """A frame for a call that has ended here: dropped, but its end of the stream counts (section 6, DUP-5, DUP-37)."""
    if frame.__class__ is Reset:
        return close(side)
    if side.heard in (IDLE, OPEN) and ends_stream(frame):
        still = (side.role, side.out, ENDED) in RESETTABLE
        return side._replace(heard=ENDED, reset=side.reset if still else NO_RESET)
    return side


def ends_stream(frame: Frame) -> bool:
    kind = frame.__class__
    return kind is Trailers or (kind in _ENDING and frame.end)  # type: ignore[union-attr]


_ENDING: Final = frozenset({Headers, Data})


def frame_reset(side: Side, frame: Reset) -> Side:
    """RST_STREAM leaves: once, on a stream that goes on, and with a code of Table D."""
    if side.out is CLOSED:
        raise ModelViolation("P33", "RST_STREAM on a stream that is over")
    if (side.role, side.out, side.heard) not in RESETTABLE:
        never = side.out is IDLE and side.heard is IDLE
        raise ModelViolation(
            "DUP-9" if never else "P33",
            f"RST_STREAM on a stream {'never opened' if never else 'that both sides have ended'}",
        )
    if not side.reset:
        raise ModelViolation("P33", "RST_STREAM though nothing asks for it")
    if frame.code not in side.reset:
        raise ModelViolation("ERR-D", f"RST_STREAM with code {frame.code}, due was {owes(side)[-1]}")
    return close(side)


def frame_data(side: Side, frame: Data) -> Side:
    """DATA leaves: after HEADERS, before the end, no more than was accepted."""
    if side.out is not OPEN:
        rule = "DUP-22" if side.out is IDLE else "DUP-17" if side.out is ENDED else "DUP-41"
        raise ModelViolation(rule, f"DATA while what was framed is {side.out.name}")
    if side.ended is not None:
        raise ModelViolation("CANC-5", f"DATA after the call ended as {side.ended}")
    framed = side.framed + frame.whole
    if framed + frame.partial > side.accepted:
        raise ModelViolation("P1", f"{framed + frame.partial} messages framed, {side.accepted} accepted")
    if side.cut and not frame.whole and not frame.partial:
        raise ValueError("DATA can not undo the part of a message that was framed before")
    return side._replace(framed=framed, cut=frame.partial)


def hear_transport_end(side: Side, ending: TransportEnded) -> Side:
    """The connection is over: UNAVAILABLE at a client, CANCELLED at a server, unless the call had ended (DUP-29)."""
    if side.ended is None and side.said is not NEW and side.said is not DEAF:
        code = StatusCode.UNAVAILABLE if side.role is CLIENT else StatusCode.CANCELLED
        side = end(side, code, ending.origin)
    return close(side)
