"""What the model speaks of: roles, what a side does, what it frames and hears, and what it tells its application."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from duplexcore.status import ErrorCode, StatusCode

# The enumerations are integers so that states hash and compare in C.


class Role(IntEnum):
    """A side of the call."""

    CLIENT = 0
    SERVER = 1

    @property
    def peer(self) -> Role:
        return SERVER if self is CLIENT else CLIENT


#: The side that opens the call.
CLIENT: Final = Role.CLIENT
#: The side that answers it.
SERVER: Final = Role.SERVER


class Origin(IntEnum):
    """Who ended a call: the peer, the side's own library, its own application or clock, the connection."""

    PEER = 0
    LIBRARY = 1
    LOCAL = 2
    TRANSPORT = 3


# -- what an application is told --------------------------------------------------------------------------------------


class Event(IntEnum):
    """An event before the last. Clients: ``INITIAL_METADATA? MESSAGE*``; servers: ``STARTED MESSAGE* HALF_CLOSED?``."""

    STARTED = 0
    INITIAL_METADATA = 1
    MESSAGE = 2
    HALF_CLOSED = 3


class Terminal(NamedTuple):
    """The last event of a side (DUP-39). ``unprocessed``: the peer's application provably saw nothing (client only)."""

    code: StatusCode
    origin: Origin
    unprocessed: bool = False

    def __str__(self) -> str:
        return f"{self.code.name} {self.origin.name.lower()}" + (" unprocessed" if self.unprocessed else "")


# -- steps: what an application, a clock or the library does of its own accord ----------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """The client opens its call; HEADERS wait to be framed."""

    deadline: bool = False


@dataclass(frozen=True, slots=True)
class SendMessage:
    """A message is accepted: `send_message` gave True, or gave False since the call had ended."""


@dataclass(frozen=True, slots=True)
class HalfClose:
    """The client says that no more messages follow."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client's application ends the call."""


@dataclass(frozen=True, slots=True)
class SendInitialMetadata:
    """The server's application asks for the response headers now."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The server's application gives the status that follows all its messages."""

    code: StatusCode = StatusCode.OK


@dataclass(frozen=True, slots=True)
class Abort:
    """The server's application (or its grace period) ends the call now."""


@dataclass(frozen=True, slots=True)
class DeadlineFired:
    """The side's own clock has passed its deadline, and the engine was told the time (DEAD-5, DEAD-9)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The library can not go on with this call alone: an internal fault."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """The header list that is due is above the peer's limit (MD-12): the request's, the response's; or ``last``, also
    the shortest one that could say how the call ends."""

    last: bool = False


@dataclass(frozen=True, slots=True)
class ExpectOne:
    """The server's application says, when it hears of the call, that the method has exactly one request (STAT-14)."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The server has no place for the call that is about to come (CONN-8); or answers it by itself, with ``code``
    (HDR-15)."""

    code: StatusCode | None = None


#: What a side does by itself: a command of its application, or something that befalls it.
Step = (
    Start
    | SendMessage
    | HalfClose
    | Cancel
    | SendInitialMetadata
    | Finish
    | Abort
    | DeadlineFired
    | Fault
    | Unfit
    | Refuse
    | ExpectOne
)

# -- frames, as the sender framed them and as the receiver heard them -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Headers:
    """HEADERS that open a side: the request's (``timeout``: with ``grpc-timeout``), or a response's without END_STREAM.

    END_STREAM on a request's HEADERS is ``end``; on a server's it makes them `Trailers`. ``too_large``: above the
    client's own limit (MD-11). Only of what is heard; a server answers such a request by itself (`Refuse`).
    """

    timeout: bool = False
    end: bool = False
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """DATA that completes ``whole`` messages; ``partial``: an unfinished message is left after it.

    ``error``: its bytes break the framing or a limit after ``whole`` good messages, and this is the status of that
    (FRM-1, FRM-4, COMP-2): INTERNAL or RESOURCE_EXHAUSTED. Only of what is heard.
    """

    whole: int = 0
    partial: bool = False
    end: bool = False
    error: StatusCode | None = None


@dataclass(frozen=True, slots=True)
class Trailers:
    """HEADERS with END_STREAM that are not the request's first: trailers, Trailers-Only, a request's trailers.

    ``code``: their ``grpc-status`` as the receiver must read it (STAT-7); None without one. ``too_large``: as of
    `Headers`.
    """

    code: StatusCode | None = StatusCode.OK
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """RST_STREAM. ``overdue``: it is heard at or after the hearer's own deadline (P37)."""

    code: int = ErrorCode.CANCEL
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class Goaway:
    """GOAWAY. ``covers``: its last stream id is at least this call's."""

    covers: bool = True


@dataclass(frozen=True, slots=True)
class TransportEnded:
    """The connection is over for this side: EOF, reset, a fault of the connection, its own closing."""

    origin: Origin = Origin.TRANSPORT


#: What goes over a wire.
Frame = Headers | Data | Trailers | Reset | Goaway
#: What a side hears.
Input = Frame | TransportEnded

# -- what is wrong ----------------------------------------------------------------------------------------------------


class ModelViolation(AssertionError):
    """A side did what the rules forbid. ``rule``: an id of requirements.md or scenarios.md, or a property's number."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(rule, text)
        self.rule = rule
        self.text = text

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


class Misuse(Exception):
    """The application may not do this now: the engine must raise its LocalProtocolError and change nothing (P28)."""
