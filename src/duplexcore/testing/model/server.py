"""The server's side of a call: what it may say and frame, and what follows from what it hears."""

# ruff: noqa: ARG001 - what stands in a table owes its signature to it

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from duplexcore.status import StatusCode

from .side import (
    CLOSED,
    DEAF,
    ENDED,
    IDLE,
    NEW,
    NO_RESET,
    OPEN,
    RESET_CANCEL,
    RESET_CLOSED,
    RESET_INTERNAL,
    RESET_NO_ERROR,
    RESET_PROTOCOL,
    RESET_REFUSED,
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
    Abort,
    Data,
    DeadlineFired,
    ExpectOne,
    Fault,
    Finish,
    Goaway,
    Headers,
    Misuse,
    ModelViolation,
    Origin,
    Refuse,
    Reset,
    SendInitialMetadata,
    SendMessage,
    Trailers,
    TransportEnded,
    Unfit,
)

CANCELLED: Final = StatusCode.CANCELLED
DEADLINE_EXCEEDED: Final = StatusCode.DEADLINE_EXCEEDED
INTERNAL: Final = StatusCode.INTERNAL
UNIMPLEMENTED: Final = StatusCode.UNIMPLEMENTED
LIBRARY: Final = Origin.LIBRARY
LOCAL: Final = Origin.LOCAL


def cut_off(side: Side, code: StatusCode, origin: Origin) -> Side:
    """The call ends here before its client has the status: what waits is dropped, trailers with ``code`` are due.

    With a message partly on the wire no trailers can follow: RST(CANCEL) instead (DUP-13, DUP-35).
    """
    if side.cut:
        return end(side, code, origin, RESET_CANCEL)
    return end(side, code, origin)._replace(status=code, initial=side.initial)


# -- steps ------------------------------------------------------------------------------------------------------------


def _heard_of(side: Side) -> None:
    if side.said is NEW or side.said is DEAF:
        raise ValueError("the server's application knows of no call")


def send_initial_metadata(side: Side, step: SendInitialMetadata) -> Side:
    """Response headers are due (D-8c); once, before any message (STAT-3)."""
    _heard_of(side)
    if side.ended is not None:
        return side
    if side.initial or side.said is SAID:
        raise Misuse("initial metadata a second time, after a message, or after the status")
    return side._replace(initial=True)


def send_message(side: Side, step: SendMessage) -> Side:
    """Accepted, to be framed in order (D-4) after the headers, whether or not requests were read (DUP-2)."""
    _heard_of(side)
    if side.ended is not None:
        return side
    if side.said is SAID:
        raise Misuse("a message after the status")
    return side._replace(initial=True, accepted=side.accepted + 1)


def finish(side: Side, step: Finish) -> Side:
    """Trailers are due after everything accepted (P2, FLOW-8), at any time (DUP-3); framing them ends the call."""
    _heard_of(side)
    if side.ended is not None:
        return side  # the result is discarded (DUP-16)
    if side.said is SAID:
        raise Misuse("the status a second time")
    return side._replace(said=SAID, status=step.code)


def abort(side: Side, step: Abort) -> Side:
    """CANCELLED, now (DUP-35)."""
    _heard_of(side)
    return side if side.ended is not None else cut_off(side, CANCELLED, LOCAL)


def deadline(side: Side, step: DeadlineFired) -> Side:
    """The handler is cut off: DEADLINE_EXCEEDED (DUP-13), also while a status that it gave waits to be framed."""
    _heard_of(side)
    if side.ended is not None:
        return side
    if not side.deadline:
        raise ValueError("the call has no deadline")
    return cut_off(side, DEADLINE_EXCEEDED, LOCAL)


def fault(side: Side, step: Fault) -> Side:
    """INTERNAL, RST(INTERNAL_ERROR) (Table D)."""
    _heard_of(side)
    return side if side.ended is not None else end(side, INTERNAL, LIBRARY, RESET_INTERNAL)


def unfit(side: Side, step: Unfit) -> Side:
    """Trailers with INTERNAL are due in place of headers; in place of the last trailers RST(INTERNAL_ERROR), with which
    a call ends that has not (MD-12)."""
    if not step.last:
        if side.out is not IDLE or not side.initial or side.ended is not None:
            raise ValueError("no headers are due")
        return cut_off(side, INTERNAL, LIBRARY)._replace(initial=False)
    if side.status is None:
        raise ValueError("no status is due")
    if side.ended is None and side.said is not DEAF:
        return end(side, INTERNAL, LIBRARY, RESET_INTERNAL)
    return side._replace(status=None, reset=RESET_INTERNAL)


def expect_one(side: Side, step: ExpectOne) -> Side:
    """Judges what has come before, too, unless the call has ended by then (STAT-14)."""
    if side.ended is not None:
        return side
    side = side._replace(single=True)
    if side.whole > 1 or (side.half_closed and not side.whole):
        return cut_off(side._replace(half_closed=False), UNIMPLEMENTED, LIBRARY)
    return side


def refuse(side: Side, step: Refuse) -> Side:
    """The call that comes will be answered with RST(REFUSED_STREAM), or with trailers alone, and shown to nobody
    (CONN-8, HDR-15, P44)."""
    if side.said is not NEW:
        raise ValueError("the call has come already")
    return side._replace(said=DEAF, status=step.code)


STEPS: Final[dict[type, Callable[[Side, Any], Side]]] = {
    SendInitialMetadata: send_initial_metadata,
    SendMessage: send_message,
    Finish: finish,
    Abort: abort,
    DeadlineFired: deadline,
    Fault: fault,
    Unfit: unfit,
    ExpectOne: expect_one,
    Refuse: refuse,
}

# -- frames that leave ------------------------------------------------------------------------------------------------


def frame_headers(side: Side, frame: Headers) -> Side:
    """The response's, once (DUP-21), not before they are asked for or a message is sent (STAT-3)."""
    if frame.end or frame.timeout:
        raise ValueError("a server's HEADERS with END_STREAM are Trailers, and only a request has a grpc-timeout")
    if side.out is not IDLE:
        rule = "DUP-21" if side.out is OPEN else "DUP-16"
        raise ModelViolation(rule, f"HEADERS while what was framed is {side.out.name}")
    if side.ended is not None and side.status is None:
        raise ModelViolation("DUP-16", f"HEADERS after the call ended as {side.ended}")
    if not side.initial:
        raise ModelViolation("STAT-3", "response headers that nobody asked for")
    return side._replace(out=OPEN)


def frame_response_data(side: Side, frame: Data) -> Side:
    """Messages in order (P1); a server's stream ends with trailers, never with DATA (DUP-19)."""
    if frame.end:
        raise ModelViolation("DUP-19", "END_STREAM on a server's DATA")
    return frame_data(side, frame)


def frame_trailers(side: Side, frame: Trailers) -> Side:
    """The status, as given (STAT-1), after all messages (FLOW-8); alone iff nothing else was said (STAT-2).

    RST(NO_ERROR) is due right after them if the client has not half-closed (DUP-3). A call that was cut off has dropped
    its messages (DUP-13, DUP-35), so that there they need not have left, but no message may be partly on the wire.
    """
    if side.out is not IDLE and side.out is not OPEN:
        raise ModelViolation("DUP-16", f"trailers while what was framed is {side.out.name}")
    if side.status is None:
        raise ModelViolation("STAT-1", "trailers though no status is due")
    if frame.code != side.status:
        raise ModelViolation("P6", f"trailers with {frame.code}, the status is {side.status.name}")
    if side.ended is None:
        if side.framed != side.accepted:
            raise ModelViolation("P2", f"trailers after {side.framed} of {side.accepted} messages")
        if side.out is IDLE and side.initial:
            raise ModelViolation("STAT-2", "nothing but trailers, though initial metadata was given")
        side = end(side, side.status, LOCAL)
    early = RESET_NO_ERROR if side.heard is OPEN else NO_RESET
    return side._replace(out=ENDED, status=None, initial=False, reset=early)


def frame_goaway(side: Side, frame: Goaway) -> Side:
    """The id covers every call that was shown (P41); one above it will never be (DUP-26, P40)."""
    if frame.covers:
        return side
    if side.opening:
        raise ModelViolation("P41", "GOAWAY with an id below a call that the application has been shown")
    return close(side._replace(said=DEAF))


FRAMES: Final[dict[type, Callable[[Side, Any], Side]]] = {
    Headers: frame_headers,
    Data: frame_response_data,
    Trailers: frame_trailers,
    Reset: frame_reset,
    Goaway: frame_goaway,
}

# -- frames that come -------------------------------------------------------------------------------------------------


def headers(side: Side, frame: Headers) -> Side:
    """The call begins, with no message needed (D-5); with END_STREAM it has none (DUP-34)."""
    begun = side._replace(said=SAYING, heard=OPEN, opening=True, deadline=frame.timeout)
    return client_ended(begun) if frame.end else begun


def headers_again(side: Side, frame: Headers) -> Side:
    """Mid-stream HEADERS without END_STREAM are malformed: stream error PROTOCOL_ERROR (RFC 9113 8.1, MAL-1)."""
    return end(side, INTERNAL, LIBRARY, RESET_PROTOCOL)


def data(side: Side, frame: Data) -> Side:
    """Messages, to be told whole (FRM-2); trailers with the status of what is broken (FRM-9, STAT-14)."""
    side = side._replace(whole=side.whole + frame.whole, partial=frame.partial)
    if side.single and side.whole > 1 and side.said is not SAID:
        return late(cut_off(side, UNIMPLEMENTED, LIBRARY), frame)
    if frame.error is not None:
        return late(cut_off(side, frame.error, LIBRARY), frame)
    return client_ended(side) if frame.end else side


def client_ended(side: Side) -> Side:
    """The half-close; inside a message it is INTERNAL (DUP-18, FRM-7), before the only one UNIMPLEMENTED (STAT-14)."""
    side = side._replace(heard=ENDED)
    if side.partial:
        return cut_off(side, INTERNAL, LIBRARY)
    if side.single and not side.whole and side.said is not SAID:
        return cut_off(side, UNIMPLEMENTED, LIBRARY)
    return side._replace(half_closed=True)


def trailers(side: Side, frame: Trailers) -> Side:
    """A request's trailers are a half-close (HDR-16)."""
    return client_ended(side)


def after_end(side: Side, frame: Data | Trailers | Headers) -> Side:
    """Frames after END_STREAM: stream error STREAM_CLOSED, the call is cancelled (DUP-17)."""
    return end(side, CANCELLED, LIBRARY, RESET_CLOSED)


def reset(side: Side, frame: Reset) -> Side:
    """Whatever its code: CANCELLED (CANC-2), and nothing is framed any more (DUP-10, DUP-16, DUP-41)."""
    return close(end(side, CANCELLED, Origin.PEER))


def goaway(side: Side, frame: Goaway) -> Side:
    """A client that leaves still reads the answers of its calls (DUP-32)."""
    return side


#: (what was heard, what comes) -> what follows, as long as the call has not ended.
HEARS: Final[dict[tuple[Half, type], Callable[[Side, Any], Side]]] = {
    (IDLE, Headers): headers,
    (OPEN, Headers): headers_again,
    (ENDED, Headers): after_end,
    (OPEN, Data): data,
    (ENDED, Data): after_end,
    (OPEN, Trailers): trailers,
    (ENDED, Trailers): after_end,
    (OPEN, Reset): reset,
    (ENDED, Reset): reset,
}


def hear(side: Side, item: Any) -> Side:
    kind = item.__class__
    if kind is TransportEnded:
        return hear_transport_end(side, item)
    if kind is Goaway:
        return goaway(side, item)
    if side.said is DEAF:
        return _hear_deaf(side, item)
    if side.ended is not None:
        return late(side, item)
    if side.heard is CLOSED:
        return side
    if side.heard is IDLE and kind is not Headers:
        raise ValueError(
            f"{kind.__name__} for a stream that nobody has opened: a fault of the connection (RFC 9113 5.1)"
        )
    return HEARS[side.heard, kind](side, item)


def _hear_deaf(side: Side, item: Any) -> Side:
    if side.heard is IDLE and item.__class__ is Headers:
        reset = RESET_REFUSED if side.status is None else NO_RESET
        return side._replace(heard=ENDED if item.end else OPEN, reset=reset)
    return late(side, item)
