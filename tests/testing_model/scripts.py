"""Scripts for the model, one word an action.

``C`` or ``S``, then ``.`` for a step, ``>`` for a frame that the side frames, ``<`` for what it hears: from the wire
(``C<``), or in place of what the models would have framed (``C<T:OK``). ``*`` delivers all that is on its way.
"""

from __future__ import annotations

from functools import lru_cache

from duplexcore.status import ErrorCode, StatusCode
from duplexcore.testing.model.call import CallModel, frames, hears
from duplexcore.testing.model.side import Side, history
from duplexcore.testing.model.vocabulary import (
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
    Origin,
    Refuse,
    Reset,
    Role,
    SendInitialMetadata,
    SendMessage,
    Start,
    Step,
    Terminal,
    Trailers,
    TransportEnded,
    Unfit,
)

STEPS: dict[str, Step] = {
    "start": Start(),
    "start+deadline": Start(deadline=True),
    "send": SendMessage(),
    "close": HalfClose(),
    "cancel": Cancel(),
    "deadline": DeadlineFired(),
    "fault": Fault(),
    "headers": SendInitialMetadata(),
    "abort": Abort(),
    "refuse": Refuse(),
    "unfit": Unfit(),
    "unfit-last": Unfit(last=True),
}

EVENTS = {
    "started": Event.STARTED,
    "headers": Event.INITIAL_METADATA,
    "m": Event.MESSAGE,
    "half-closed": Event.HALF_CLOSED,
}


def item(word: str) -> Input:
    """``H`` headers (``H+t`` with grpc-timeout), ``D1``, ``Dp``, ``D1:ES``, ``D!INTERNAL``, ``T:OK``, ``R:CANCEL``;
    ``H!`` and ``T!`` are above the hearer's limit.

    ``G`` is a GOAWAY that covers the call, ``G-`` one that does not, ``EOF`` the end of the connection.
    """
    kind, _, rest = word.partition(":")
    if kind == "EOF":
        return TransportEnded()
    if kind in ("G", "G-"):
        return Goaway(covers=kind == "G")
    if kind in ("H", "H+t"):
        return Headers(timeout=kind == "H+t", end=rest == "ES")
    if kind == "H!":
        return Headers(too_large=True)
    if kind in ("T", "T!"):
        return Trailers(None if rest == "-" else StatusCode[rest], too_large=kind == "T!")
    if kind == "R":
        return Reset(ErrorCode[rest.removeprefix("late,")], overdue=rest.startswith("late,"))
    assert kind[0] == "D", word
    counts, _, error = kind[1:].partition("!")
    return Data(
        int(counts.rstrip("p") or 0),
        partial="p" in counts,
        end=rest == "ES",
        error=StatusCode[error] if error else None,
    )


def frame(word: str) -> Frame:
    found = item(word)
    assert not isinstance(found, TransportEnded)
    return found


def play(script: str, call: CallModel | None = None) -> CallModel:
    call = CallModel() if call is None else call
    for word in script.split():
        call = settle(call) if word == "*" else _act(call, word)
    return call


def _act(call: CallModel, word: str) -> CallModel:
    role, verb, what = (CLIENT if word[0] == "C" else SERVER), word[1], word[2:]
    if verb == ".":
        return call.does(role, STEPS[what] if what in STEPS else Finish(StatusCode[what]))
    if verb == ">":
        return call.frames(role, frame(what))
    assert verb == "<", word
    return call.hears(role) if not what else inject(call, role, item(what))


def inject(call: CallModel, role: Role, came: Input) -> CallModel:
    sides = [*call.sides]
    sides[role] = hears(sides[role], came)
    return CallModel((sides[0], sides[1]), call.wires, call.lost)


def settle(call: CallModel) -> CallModel:
    while any(call.wires):
        for role in Role:
            if call.wires[role]:
                call = call.hears(role)
    return call


def told(side: Side) -> str:
    """The history as text: ``headers m m OK peer``."""
    return " ".join(_word(event) for event in history(side))


def _word(event: Event | Terminal) -> str:
    if isinstance(event, Terminal):
        return str(event)
    return next(word for word, known in EVENTS.items() if known is event)


def terminal(word: str) -> Terminal:
    """``OK peer``, ``UNAVAILABLE transport unprocessed``."""
    code, origin, *rest = word.split()
    return Terminal(StatusCode[code], Origin[origin.upper()], bool(rest))


#: Every kind of frame, to be tried where it may be illegal.
ALPHABET = (
    *("H", "H+t", "H:ES", "D:ES", "D1", "D1:ES", "Dp", "D1p", "D2", "D3"),
    *(
        f"T:{code}"
        for code in (
            "OK",
            "NOT_FOUND",
            "UNIMPLEMENTED",
            "CANCELLED",
            "DEADLINE_EXCEEDED",
            "INTERNAL",
            "RESOURCE_EXHAUSTED",
            "DATA_LOSS",
            "-",
        )
    ),
    *(
        f"R:{code}"
        for code in ("NO_ERROR", "CANCEL", "INTERNAL_ERROR", "PROTOCOL_ERROR", "STREAM_CLOSED", "REFUSED_STREAM")
    ),
)


@lru_cache(maxsize=1 << 14)
def legal(side: Side) -> frozenset[str]:
    """Which words of the alphabet the side may frame now."""
    return frozenset(word for word in ALPHABET if _is_legal(side, word))


def _is_legal(side: Side, word: str) -> bool:
    try:
        frames(side, frame(word))
    except (AssertionError, ValueError):
        return False
    return True
