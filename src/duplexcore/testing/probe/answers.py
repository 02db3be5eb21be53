"""What a server may answer: what came, and descriptions of it that say whether they fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from duplexcore.status import StatusCode
from duplexcore.testing import raw

PROTOCOL, FLOW, CLOSED_STREAM, SIZE, REFUSED, CANCEL, COMPRESSION, CALM = 1, 3, 5, 6, 7, 8, 9, 11


class Kind(Enum):
    """How something ended. HELD and BROKEN are findings of a case that judges itself."""

    RESPONSE = "the stream ended with a response"
    RESET = "the stream was reset"
    GOAWAY = "GOAWAY with an error"
    CLOSED = "the connection was closed"
    UNREADABLE = "bytes that cannot be read"
    OPEN = "nothing: stream and connection are as before"
    SILENCE = "nothing, also not to a PING"
    HELD = "as it should be"
    BROKEN = "not as it should be"


@dataclass(frozen=True)
class Came:
    """``code``: of RESET and GOAWAY. ``http``, ``status``: ``:status`` and ``grpc-status`` of a RESPONSE."""

    kind: Kind
    code: int = 0
    http: int | None = None
    status: int | None = None
    text: str = ""

    @property
    def of_connection(self) -> bool:
        """Whether the connection is over with it."""
        return self.kind in {Kind.GOAWAY, Kind.CLOSED, Kind.UNREADABLE}

    def __str__(self) -> str:
        match self.kind:
            case Kind.RESPONSE:
                parts = [] if self.http in {None, 200} else [f"HTTP {self.http}"]
                parts.append("no grpc-status" if self.status is None else f"status {status_name(self.status)}")
                said = ", ".join(parts)
            case Kind.RESET:
                said = f"RST_STREAM {raw.code_name(self.code)}"
            case Kind.GOAWAY:
                said = f"GOAWAY {raw.code_name(self.code)}"
            case Kind.HELD | Kind.BROKEN:
                return self.text
            case _:
                said = self.kind.value
        return f"{said} ({self.text})" if self.text else said


@dataclass(frozen=True)
class Normal:
    """How a good call ends on this server."""

    status: int


@dataclass(frozen=True)
class Answer:
    """One answer that is allowed: in words, and whether what came is it."""

    words: str
    fits: Callable[[Came, Normal], bool]


def status_name(code: int) -> str:
    return StatusCode(code).name if 0 <= code <= 16 else str(code)


def status(*codes: int) -> Answer:
    """A response with one of these as its ``grpc-status``."""
    words = "status " + " or ".join(status_name(code) for code in codes)
    return Answer(words, lambda came, _: came.kind is Kind.RESPONSE and came.status in codes)


def http(*codes: int) -> Answer:
    """A response with one of these as its ``:status``."""
    words = "HTTP " + " or ".join(map(str, codes))
    return Answer(words, lambda came, _: came.kind is Kind.RESPONSE and came.http in codes)


def reset(*codes: int) -> Answer:
    """RST_STREAM; of any code where none is given."""
    words = "RST_STREAM " + " or ".join(map(raw.code_name, codes)) if codes else "RST_STREAM of any code"
    return Answer(words, lambda came, _: came.kind is Kind.RESET and (not codes or came.code in codes))


def goaway(*codes: int) -> Answer:
    """A connection error; of any code where none is given."""
    words = "GOAWAY " + " or ".join(map(raw.code_name, codes)) if codes else "GOAWAY of any code"
    return Answer(words, lambda came, _: came.kind is Kind.GOAWAY and (not codes or came.code in codes))


def found(words: str) -> Answer:
    """What a case finds out itself."""
    return Answer(words, lambda came, _: came.kind is Kind.HELD)


#: The call ends as a good one does.
ANSWERED = Answer(
    "an answer as to any good call",
    lambda came, normal: came.kind is Kind.RESPONSE and came.status == normal.status and came.http in {None, 200},
)
NOT_OK = Answer("any status but OK", lambda came, _: came.kind is Kind.RESPONSE and came.status not in {None, 0})
ANY_STATUS = Answer("any status", lambda came, _: came.kind is Kind.RESPONSE and came.status is not None)
HTTP_4XX = Answer("HTTP 4xx", lambda came, _: came.kind is Kind.RESPONSE and came.http in range(400, 500))
#: GOAWAY ought to come first, but need not (RFC 9113 section 5.4.1).
CLOSED = Answer("the connection closed", lambda came, _: came.kind is Kind.CLOSED)
IGNORED = Answer("nothing", lambda came, _: came.kind is Kind.OPEN)
#: Told apart from the answer to a good call: a server that says so has noticed.
NOTICED = Answer(
    "status INTERNAL, INVALID_ARGUMENT or UNKNOWN",
    lambda came, _: came.kind is Kind.RESPONSE and came.status in {2, 3, 13},
)

#: Whatever ends the call: only silence, and what cannot be read, is not allowed.
ANY_END = (ANY_STATUS, HTTP_4XX, reset(), goaway(), CLOSED)


def stream_error(code: int) -> tuple[Answer, ...]:
    """Also as a connection error: an endpoint may always treat it so (RFC 9113 section 5.4.1)."""
    return reset(code), goaway(code), CLOSED


def connection_error(*codes: int) -> tuple[Answer, ...]:
    """Codes: those that the rule names."""
    return goaway(*codes), CLOSED


#: A stream error PROTOCOL_ERROR, or a response that refuses the request (RFC 9113 section 8.1.1).
MALFORMED = (*stream_error(PROTOCOL), HTTP_4XX)
#: The right thing for another reason: a code that the rule does not name, or a status that shows that it was seen.
OTHER_CODE = (reset(), goaway(), NOTICED)
OTHER_GOAWAY = (goaway(),)
