"""The states of a call's two halves, as tables that execute.

A call is two halves: what this side's application has said, and what it has heard from the peer. Each table maps
(state, what happens) to the next state; what is not in a table is not allowed. This file knows neither roles' code nor
I/O, and no branch elsewhere decides a state. The diagrams in the docs are drawn from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeVar

from ..config import Limit
from ..status import ErrorCode, StatusCode

__all__ = ["CLIENT_RECEIVE", "RECEIVE_FAULTS", "SEND", "SERVER_RECEIVE", "Fault", "Hear", "Receive", "Say", "Send"]

StateT = TypeVar("StateT", bound=IntEnum)
WhatT = TypeVar("WhatT", bound=IntEnum)


class Send(IntEnum):
    """The send half: what the application of this side has said."""

    IDLE = 0
    OPEN = 1
    CLOSED = 2
    ENDED = 3


class Say(IntEnum):
    """What an application can say. OPENING: the client's method and metadata, the server's initial metadata."""

    OPENING = 0
    MESSAGE = 1
    HALF_CLOSE = 2
    FINISH = 3
    END = 4


class Receive(IntEnum):
    """The receive half: what the application of this side has been told. FOREIGN: the answer is not gRPC."""

    IDLE = 0
    OPEN = 1
    FOREIGN = 2
    CLOSED = 3
    ENDED = 4


class Hear(IntEnum):
    """What can come from the peer. LAST_HEADERS: a header list that ends its side; END: an end without one."""

    HEADERS = 0
    FOREIGN_HEADERS = 1
    DATA = 2
    LAST_HEADERS = 3
    END = 4
    RESET = 5


# An ended call takes every command and does nothing: its caller could not have known.
SEND: Final[dict[tuple[Send, Say], Send]] = {
    (Send.IDLE, Say.OPENING): Send.OPEN,
    (Send.IDLE, Say.MESSAGE): Send.OPEN,
    (Send.IDLE, Say.FINISH): Send.CLOSED,
    (Send.IDLE, Say.END): Send.ENDED,
    (Send.OPEN, Say.MESSAGE): Send.OPEN,
    (Send.OPEN, Say.HALF_CLOSE): Send.CLOSED,
    (Send.OPEN, Say.FINISH): Send.CLOSED,
    (Send.OPEN, Say.END): Send.ENDED,
    (Send.CLOSED, Say.HALF_CLOSE): Send.CLOSED,
    (Send.CLOSED, Say.END): Send.ENDED,
    (Send.ENDED, Say.OPENING): Send.ENDED,
    (Send.ENDED, Say.MESSAGE): Send.ENDED,
    (Send.ENDED, Say.HALF_CLOSE): Send.ENDED,
    (Send.ENDED, Say.FINISH): Send.ENDED,
    (Send.ENDED, Say.END): Send.ENDED,
}

CLIENT_RECEIVE: Final[dict[tuple[Receive, Hear], Receive]] = {
    (Receive.IDLE, Hear.HEADERS): Receive.OPEN,
    (Receive.IDLE, Hear.FOREIGN_HEADERS): Receive.FOREIGN,
    (Receive.IDLE, Hear.LAST_HEADERS): Receive.ENDED,  # Trailers-Only
    (Receive.IDLE, Hear.RESET): Receive.ENDED,
    (Receive.OPEN, Hear.DATA): Receive.OPEN,
    (Receive.OPEN, Hear.LAST_HEADERS): Receive.ENDED,
    (Receive.OPEN, Hear.RESET): Receive.ENDED,
    (Receive.FOREIGN, Hear.DATA): Receive.FOREIGN,
    (Receive.FOREIGN, Hear.LAST_HEADERS): Receive.ENDED,
    (Receive.FOREIGN, Hear.END): Receive.ENDED,
    (Receive.FOREIGN, Hear.RESET): Receive.ENDED,
}

SERVER_RECEIVE: Final[dict[tuple[Receive, Hear], Receive]] = {
    (Receive.IDLE, Hear.HEADERS): Receive.OPEN,
    (Receive.IDLE, Hear.LAST_HEADERS): Receive.CLOSED,  # no messages at all (DUP-34)
    (Receive.IDLE, Hear.RESET): Receive.ENDED,  # malformed headers: it never began
    (Receive.OPEN, Hear.DATA): Receive.OPEN,
    (Receive.OPEN, Hear.LAST_HEADERS): Receive.CLOSED,  # request trailers count as half-close (HDR-16)
    (Receive.OPEN, Hear.END): Receive.CLOSED,
    (Receive.OPEN, Hear.RESET): Receive.ENDED,
    (Receive.CLOSED, Hear.RESET): Receive.ENDED,
}


def by_number(
    table: dict[tuple[StateT, WhatT], StateT], states: type[StateT], whats: type[WhatT]
) -> tuple[tuple[StateT | None, ...], ...]:
    """The same table by what happens, then by state, None where nothing stands: the hash of a pair of enum members
    takes longer than all else that is done for a message."""
    return tuple(tuple(table.get((state, what)) for state in states) for what in whats)


#: For every message: ``SAID[what][state]``, ``CLIENT_HEARD[what][state]``, ``SERVER_HEARD[what][state]``.
SAID: Final = by_number(SEND, Send, Say)
CLIENT_HEARD: Final = by_number(CLIENT_RECEIVE, Receive, Hear)
SERVER_HEARD: Final = by_number(SERVER_RECEIVE, Receive, Hear)


@dataclass(frozen=True, slots=True)
class Fault:
    """How a call ends when its peer breaks a rule: status for the application, code for the peer, what to say."""

    code: StatusCode
    reset: ErrorCode
    text: str
    limit: Limit | None = None


_SECOND = Fault(StatusCode.INTERNAL, ErrorCode.PROTOCOL_ERROR, "headers came a second time and did not end the stream")
#: What a peer can do wrong in the order of things; whatever else is in no table is a fault as well: see `DISORDER`.
RECEIVE_FAULTS: Final[dict[tuple[Receive, Hear], Fault]] = {
    # DUP-22, DUP-19, DUP-21
    (Receive.IDLE, Hear.DATA): Fault(StatusCode.INTERNAL, ErrorCode.PROTOCOL_ERROR, "data came before headers"),
    (Receive.IDLE, Hear.END): Fault(StatusCode.INTERNAL, ErrorCode.NO_ERROR, "the stream ended without headers"),
    (Receive.OPEN, Hear.END): Fault(StatusCode.INTERNAL, ErrorCode.NO_ERROR, "the stream ended without trailers"),
    (Receive.OPEN, Hear.HEADERS): _SECOND,
    (Receive.OPEN, Hear.FOREIGN_HEADERS): _SECOND,
    (Receive.FOREIGN, Hear.HEADERS): _SECOND,
    (Receive.FOREIGN, Hear.FOREIGN_HEADERS): _SECOND,
}
DISORDER: Final = Fault(StatusCode.INTERNAL, ErrorCode.PROTOCOL_ERROR, "the peer's frames came in an impossible order")
