"""The client's side of a call: what it may say and frame, and what follows from what it hears."""

# ruff: noqa: ARG001 - what stands in a table owes its signature to it

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from duplexcore.status import ErrorCode, StatusCode

from .side import (
    CLOSED,
    ENDED,
    IDLE,
    NEW,
    OPEN,
    RESET_CANCEL,
    RESET_INTERNAL,
    RESET_NO_ERROR,
    RESET_PROTOCOL,
    SAID,
    SAYING,
    Half,
    Side,
    close,
    end,
    frame_data,
    frame_reset,
    hear_transport_end,
    late,
)
from .vocabulary import (
    Cancel,
    Data,
    DeadlineFired,
    Fault,
    Goaway,
    HalfClose,
    Headers,
    Misuse,
    ModelViolation,
    Origin,
    Reset,
    SendMessage,
    Start,
    Trailers,
    TransportEnded,
    Unfit,
)

CANCELLED: Final = StatusCode.CANCELLED
DEADLINE_EXCEEDED: Final = StatusCode.DEADLINE_EXCEEDED
INTERNAL: Final = StatusCode.INTERNAL
UNAVAILABLE: Final = StatusCode.UNAVAILABLE
UNIMPLEMENTED: Final = StatusCode.UNIMPLEMENTED
UNKNOWN: Final = StatusCode.UNKNOWN
LIBRARY: Final = Origin.LIBRARY
LOCAL: Final = Origin.LOCAL
PEER: Final = Origin.PEER
RESOURCE_EXHAUSTED: Final = StatusCode.RESOURCE_EXHAUSTED

# -- steps ------------------------------------------------------------------------------------------------------------


def start(side: Side, step: Start) -> Side:
    """Opening needs no message (D-5); HEADERS are due (D-10). On a connection that is over: UNAVAILABLE at once."""
    if side.said is not NEW:
        raise ValueError("the call has been started")
    side = side._replace(said=SAYING, deadline=step.deadline)
    return end(side, UNAVAILABLE, Origin.TRANSPORT, unprocessed=True) if side.out is CLOSED else side


def send_message(side: Side, step: SendMessage) -> Side:
    """Accepted, to be framed in order (D-4); nothing after the end (STAT-21); misuse after the half-close."""
    if side.ended is not None:
        return side
    if side.said is not SAYING:
        raise Misuse("a message after the half-close, or before the start")
    return side._replace(accepted=side.accepted + 1)


def half_close(side: Side, step: HalfClose) -> Side:
    """END_STREAM is due after all messages (FRM-10); a second one is a no-op (D-28)."""
    if side.said is NEW:
        raise Misuse("a half-close before the start")
    return side if side.ended is not None else side._replace(said=SAID)


def cancel(side: Side, step: Cancel) -> Side:
    """CANCELLED at once, RST(CANCEL) if HEADERS were framed (DUP-8, DUP-10, CANC-1); a no-op after the end (P32)."""
    return side if side.ended is not None else end(side, CANCELLED, LOCAL, RESET_CANCEL)


def deadline(side: Side, step: DeadlineFired) -> Side:
    """As `cancel`, but DEADLINE_EXCEEDED (DUP-12, DEAD-2)."""
    if side.ended is not None:
        return side
    if not side.deadline:
        raise ValueError("the call has no deadline")
    return end(side, DEADLINE_EXCEEDED, LOCAL, RESET_CANCEL)


def fault(side: Side, step: Fault) -> Side:
    """INTERNAL, RST(INTERNAL_ERROR) if HEADERS were framed (Table D)."""
    return side if side.ended is not None else end(side, INTERNAL, LIBRARY, RESET_INTERNAL)


def unfit(side: Side, step: Unfit) -> Side:
    """INTERNAL, and nothing is framed (MD-12)."""
    if side.out is not IDLE or side.said is NEW or side.ended is not None or step.last:
        raise ValueError("no request is due")
    return end(side, INTERNAL, LIBRARY)


STEPS: Final[dict[type, Callable[[Side, Any], Side]]] = {
    Start: start,
    SendMessage: send_message,
    HalfClose: half_close,
    Cancel: cancel,
    DeadlineFired: deadline,
    Fault: fault,
    Unfit: unfit,
}

# -- frames that leave ------------------------------------------------------------------------------------------------


def frame_headers(side: Side, frame: Headers) -> Side:
    """First, once, never for a call that has ended (DUP-8), with ``grpc-timeout`` iff there is a deadline (HDR-12)."""
    if side.out is not IDLE:
        raise ModelViolation("D-10", "HEADERS a second time, or on a connection that is over")
    if side.said is NEW:
        raise ModelViolation("D-5", "HEADERS of a call that nobody has started")
    if side.ended is not None:
        raise ModelViolation("DUP-8", f"HEADERS of a call that ended before as {side.ended}")
    if frame.timeout is not side.deadline:
        raise ModelViolation("HDR-12", "grpc-timeout is sent if and only if the call has a deadline")
    if frame.end:
        raise ModelViolation("FRM-10", "END_STREAM goes on the last DATA, or on an empty one")
    return side._replace(out=OPEN)


def frame_request_data(side: Side, frame: Data) -> Side:
    """Messages in order (P1); END_STREAM once, when half-closed and after everything accepted (FRM-10, P10)."""
    side = frame_data(side, frame)
    if not frame.end:
        return side
    if side.said is not SAID:
        raise ModelViolation("FRM-10", "END_STREAM without a half-close")
    if side.framed != side.accepted:
        raise ModelViolation("P10", f"END_STREAM after {side.framed} of {side.accepted} messages")
    return side._replace(out=ENDED)


def frame_trailers(side: Side, frame: Trailers) -> Side:
    """A client has none: its half-close is END_STREAM on DATA."""
    raise ModelViolation("FRM-10", "a client ends its stream by DATA, not by trailers")


def frame_goaway(side: Side, frame: Goaway) -> Side:
    """A client's GOAWAY says nothing about its own calls (DUP-30, DUP-32)."""
    return side


FRAMES: Final[dict[type, Callable[[Side, Any], Side]]] = {
    Headers: frame_headers,
    Data: frame_request_data,
    Trailers: frame_trailers,
    Reset: frame_reset,
    Goaway: frame_goaway,
}

# -- frames that come -------------------------------------------------------------------------------------------------


def headers(side: Side, frame: Headers) -> Side:
    """The response begins (DUP-2), unless it is above the own limit (MD-11)."""
    if frame.too_large:
        return end(side._replace(heard=OPEN), RESOURCE_EXHAUSTED, LIBRARY, RESET_CANCEL)
    return side._replace(heard=OPEN, opening=True)


def headers_again(side: Side, frame: Headers) -> Side:
    """A second list that ends nothing: INTERNAL, stream error PROTOCOL_ERROR (DUP-21)."""
    return end(side, INTERNAL, LIBRARY, RESET_PROTOCOL)


def data_first(side: Side, frame: Data) -> Side:
    """DATA before HEADERS: INTERNAL (DUP-22), PROTOCOL_ERROR; if it also ends the stream, NO_ERROR will do (DUP-19)."""
    if frame.end:
        return end(side._replace(heard=ENDED), INTERNAL, LIBRARY, RESET_PROTOCOL | RESET_NO_ERROR)
    return end(side, INTERNAL, LIBRARY, RESET_PROTOCOL)


def data(side: Side, frame: Data) -> Side:
    """Messages, to be told whole (FRM-2); ES without trailers is INTERNAL (DUP-19), so is bad framing (FRM-9)."""
    side = side._replace(whole=side.whole + frame.whole, partial=frame.partial, heard=ENDED if frame.end else OPEN)
    also = RESET_NO_ERROR if frame.end else frozenset[int]()
    if side.single and side.whole > 1:
        return end(side, UNIMPLEMENTED, LIBRARY, RESET_CANCEL | also)  # STAT-15
    if frame.error is not None:
        return end(side, frame.error, LIBRARY, RESET_CANCEL | also)
    return end(side, INTERNAL, LIBRARY, RESET_NO_ERROR) if frame.end else side


def trailers(side: Side, frame: Trailers) -> Side:
    """The status, final at once (DUP-3, STAT-4), but above the own limit (MD-11); RST(NO_ERROR) is due unless this side
    has ended its half."""
    if frame.too_large:
        return end(side._replace(heard=ENDED), RESOURCE_EXHAUSTED, LIBRARY, RESET_CANCEL)
    code, origin = frame.code, PEER
    if code is None:  # DUP-20, ERR-1
        code, origin = UNKNOWN, LIBRARY
    elif code == StatusCode.OK and side.partial:  # FRM-8
        code, origin = INTERNAL, LIBRARY
    elif code == StatusCode.OK and side.single and not side.whole:  # STAT-15
        code, origin = UNIMPLEMENTED, LIBRARY
    return end(side._replace(heard=ENDED), code, origin, RESET_NO_ERROR)


#: Table B; all others: INTERNAL.
STATUS_OF_RESET: Final = {
    ErrorCode.REFUSED_STREAM: UNAVAILABLE,
    ErrorCode.CANCEL: CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}


def reset(side: Side, frame: Reset) -> Side:
    """Full closure (DUP-41) with the status of Table B (DUP-6, DUP-7).

    Refused before any answer is unprocessed (DUP-28, P44); a call that was answered has begun (RETRY-4).
    """
    if frame.code == ErrorCode.CANCEL and frame.overdue:  # DEAD-6, P37: generated here
        return close(end(side, DEADLINE_EXCEEDED, LOCAL))
    code = STATUS_OF_RESET.get(frame.code, INTERNAL)  # type: ignore[call-overload]
    refused = frame.code == ErrorCode.REFUSED_STREAM and side.heard is IDLE
    return close(end(side, code, PEER, unprocessed=refused))


def goaway(side: Side, frame: Goaway) -> Side:
    """A call above the id, or not yet framed, is unprocessed (DUP-26, GOAW-4, GOAW-6); others go on (DUP-25)."""
    if frame.covers and side.out is not IDLE:
        return side
    return close(end(side, UNAVAILABLE, Origin.TRANSPORT, unprocessed=side.heard is IDLE))


#: (what was heard, what comes) -> what follows, as long as the call has not ended.
HEARS: Final[dict[tuple[Half, type], Callable[[Side, Any], Side]]] = {
    (IDLE, Headers): headers,
    (OPEN, Headers): headers_again,
    (IDLE, Data): data_first,
    (OPEN, Data): data,
    (IDLE, Trailers): trailers,
    (OPEN, Trailers): trailers,
    (IDLE, Reset): reset,
    (OPEN, Reset): reset,
    (IDLE, Goaway): goaway,
    (OPEN, Goaway): goaway,
}


def hear(side: Side, item: Any) -> Side:
    kind = item.__class__
    if kind is TransportEnded:
        return hear_transport_end(side, item)
    if side.said is NEW and kind is Goaway:
        return close(side)  # no call starts here any more (GOAW-4, P41)
    if side.ended is not None:
        return late(side, item)
    if side.out is IDLE and kind is not Goaway:
        raise ValueError(
            f"{kind.__name__} for a stream that the client has not opened: a fault of the connection (MAL-8)"
        )
    return HEARS[side.heard, kind](side, item)
