"""One side of a call in the explorer: a real engine, its application, its clock, and what the model says of them.

The two sides of a connection share nothing but what is on the wires. So a side is explored by itself: a `Half` takes an
input and gives frames, and what a half does with an input is computed once, however many states of the whole it is
part of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import hpack

from duplexcore import (
    CallEnded,
    ClientConnection,
    HalfClosed,
    InitialMetadata,
    LocalProtocolError,
    Message,
    Metadata,
    Origin,
    ServerConnection,
    Status,
    StatusCode,
)
from duplexcore.connection import CallReadable, CallStarted, ConnectionClosed, TimerKind
from duplexcore.fingerprint import fingerprint
from duplexcore.testing.model import side as model
from duplexcore.testing.model import vocabulary as say
from duplexcore.testing.model.call import does, frames, hears

from .explorer_bounds import Bounds, Feature
from .explorer_keys import key_of
from .explorer_snapshots import client_config, server_config
from .pairs import introduced
from .properties.base import PropertyError
from .properties.flow import Ledger
from .properties.oracle import EVENTS, Messages, terminal
from .scripts import payload
from .sides import ORDINARY
from .wires import Frame, frames_of, wire_bytes

__all__ = [
    "CLIENT",
    "SERVER",
    "Half",
    "Input",
    "Item",
    "Outcome",
    "begin",
    "inputs",
    "step",
]

CLIENT: Final = "client"
SERVER: Final = "server"
DATA, HEADERS, RST, SETTINGS, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
NAMES: Final = ("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH", "PING", "GOAWAY", "WINDOW_UPDATE")
ES = ACK = 1
MESSAGE: Final = 3
ON_WIRE: Final = 5 + MESSAGE
CUT: Final = 2
TIMEOUT: Final = 1.0
#: Where a writer is that has nothing left to say.
DONE: Final = 99
#: Of a status that only a server's application gives.
SAID: Final = Status(StatusCode.DATA_LOSS, "said")
TRAILING: Final = {"left": "1"}


class Item(NamedTuple):
    """A frame under way, and what the model calls it; None: nothing of a call."""

    frame: Frame
    meaning: Any

    @property
    def label(self) -> str:
        frame = self.frame
        name = NAMES[frame.type]
        if isinstance(self.meaning, say.Trailers):
            return "TRAILERS"
        flagged = frame.flags & 1
        return name + (" ES" if flagged and frame.type in (DATA, HEADERS) else " ACK" if flagged else "")


class Input(NamedTuple):
    """Something that happens to a side. ``what`` is "hears" for a frame of the other side, which is ``item``."""

    what: str
    item: Item | None = None

    @property
    def label(self) -> str:
        return self.what if self.item is None else f"hears {self.item.label}"


class Outcome(NamedTuple):
    """What a side did: how it is now, the frames that it has made, and whether it has ended its direction."""

    half: Half
    items: tuple[Item, ...]


class Half:
    """A side, as far as it matters for what comes. Pickled and compared; never shared."""

    __slots__ = (
        "accepted",
        "at",
        "blocks_to_come",
        "bounds",
        "call",
        "closed",
        "counter",
        "decoder",
        "done",
        "ended",
        "engine",
        "heard_end",
        "ledger",
        "model",
        "name",
        "now",
        "opened",
        "over",
        "readable",
        "refusing",
        "taken",
    )

    engine: Any
    call: Any

    def __init__(self, name: str, engine: ClientConnection | ServerConnection, bounds: Bounds) -> None:
        self.name = name
        self.bounds = bounds
        self.engine = engine
        self.call = None
        self.now = 0.0
        #: How far the writer has come in its plan, and who has given up.
        self.at = 0
        self.done: tuple[str, ...] = ()
        #: Messages that the engine has accepted, and that the reader has taken; the end that it was told.
        self.accepted = self.taken = 0
        self.ended: CallEnded | None = None
        self.readable = False
        #: The engine has closed; its direction is over; the other direction was heard to its end.
        self.closed = self.over = self.heard_end = False
        # Read from the frames alone.
        #: How many header blocks may still come; 1: the trailers, or trailers alone.
        self.blocks_to_come = 2 if name == CLIENT else 1
        self.decoder = hpack.Decoder()
        self.counter = Messages()
        self.opened = False
        self.ledger = Ledger()
        self.model = model.Side(say.CLIENT if name == CLIENT else say.SERVER)
        self.refusing: Any = None

    @property
    def messages_left(self) -> int:
        """How many messages of its plan the writer has not sent."""
        return _plan(self)[self.at :].count("send")

    def key(self) -> bytes:
        """Equal for halves that go on in the same way: see `explorer_keys`."""
        return self.whole_key() if self.bounds.whole else key_of(self)

    def whole_key(self) -> bytes:
        """With everything in the engine. What is read from frames is left out: the engine knows it."""
        return fingerprint(
            [
                *(self.engine, self.call, self.now, self.at, self.done, self.accepted, self.taken, self.ended),
                *(self.readable, self.closed, self.over, self.heard_end, tuple(self.model), self.refusing),
            ]
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    # --- properties -----------------------------------------------------------------------------------------------

    def fail(self, number: str, what: str) -> PropertyError:
        return PropertyError(number, f"{self.name}: {what}")

    def move(self, change: Callable[[model.Side], model.Side]) -> None:
        try:
            self.model = change(self.model)
        except say.ModelViolation as violation:
            raise self.fail(violation.rule, violation.text) from violation


def begin(bounds: Bounds) -> tuple[Half, Half]:
    """Both sides after the handshake: a call can be started."""
    room = bounds.window * ON_WIRE - (CUT if Feature.CUTS in bounds.features else 0)
    client, server, handshake = introduced(
        client_config(room, bounds.http2), server_config(room, bounds.http2), (0.0, 0.0)
    )

    halves = Half(CLIENT, client, bounds), Half(SERVER, server, bounds)
    for of_client, frame in handshake:
        if frame.type in (SETTINGS, WINDOW_UPDATE):
            halves[of_client].ledger.arrived(frame)
    return halves


# --- what can happen ----------------------------------------------------------------------------------------------


def inputs(half: Half) -> Iterator[Input]:
    """Everything that can happen to a side by itself; frames come from the other. `half` may be changed by asking."""
    features = half.bounds.features
    if (planned := _planned(half)) is not None:
        yield Input(planned)
    if half.readable and Feature.READS in features:
        yield Input("reads")
    alive = half.call is not None and half.call.ended is None
    if alive and half.name == CLIENT and Feature.CANCELS in features:
        yield Input("cancels")
    if alive and half.name == SERVER and Feature.ABORTS in features:
        yield Input("aborts")
    leaves = Feature.SHUTDOWN if half.name == CLIENT else Feature.GOAWAY
    if leaves in features and not half.closed and "shuts down" not in half.done:
        yield Input("shuts down")
    if Feature.LOSS in features and not half.heard_end:
        yield Input("loses")
    if (reason := half.engine.timeout_reason) in ORDINARY:
        yield Input(f"timeout: {reason.name}")
    if not half.over and _would_write(half):
        yield Input("writes")


def _plan(half: Half) -> tuple[str, ...]:
    """What the writer says, in order."""
    if half.name == CLIENT:
        return ("start", *("send",) * half.bounds.requests, "half-close")
    return (*("send",) * half.bounds.responses, "finish")


def _planned(half: Half) -> str | None:
    """What the writer says next, if it may now."""
    plan = _plan(half)
    if half.at >= len(plan):
        return None
    what = plan[half.at]
    if half.call is None:
        return what if what == "start" else None
    if half.call.ended is not None:
        return "finish" if half.name == SERVER else None
    return what if what != "send" or half.call.writable else None


def _would_write(half: Half) -> bool:
    """Whether a write makes bytes, or moves the engine; `half` is used up."""
    before = half.key()
    return bool(_write(half)) or half.over or half.key() != before


# --- what happens ---------------------------------------------------------------------------------------------------


def step(half: Half, happened: Input) -> Outcome:
    """Changes the half. Raises `PropertyError`."""
    items: tuple[Item, ...] = ()
    what = happened.what
    ended_before = None if half.call is None else half.call.ended
    if what == "writes":
        items = _write(half)
    elif what == "reads":
        _take(half)
    elif what == "hears":
        assert happened.item is not None
        _hear_frame(half, happened.item)
    elif what in ("the end", "loses"):
        _lose(half, what)
    elif what.startswith("timeout"):
        _time_out(half)
    elif what == "shuts down":
        half.done += (what,)
        half.engine.shutdown()
    else:
        _say(half, what)
    _listen(half)
    if not half.bounds.every_step:
        _hurry(half, what)
    if Feature.READS not in half.bounds.features:
        while half.readable:
            _take(half)
    ended = None if half.call is None else half.call.ended
    if ended_before is not None and ended != ended_before:
        raise half.fail("P8", f"had ended with {ended_before}, and now with {ended}")
    if ended_before is None and ended is not None:
        _stop_writing(half)
    return Outcome(half, items)


def _hurry(half: Half, what: str) -> None:
    """Takes at once what commutes with everything that can happen, here or at the other side:

    * a reader that has emptied its call finds that out: else it would find it later, or be told of more, and look;
    * of a call that has ended, and gives no credit any more, the reader takes what is left: nobody is told;
    * a handler whose call has ended says its status: it frees a place that no other call waits for (CANC-3).
    """
    call = half.call
    if call is None:
        return
    if what == "reads" and not any(call._inbox.waiting):
        _take(half)
    if call.ended is None:
        return
    while half.readable and not call._lane.receiving:
        _take(half)
    if half.name == SERVER and half.at < DONE:
        _say(half, "finish")


def _stop_writing(half: Half) -> None:
    """The call has ended: whatever the writer had left to say changes nothing, but for a server's finish, which is
    still to be said."""
    before = half.key()
    call = half.call
    if half.name == CLIENT and half.at < DONE:
        call.half_close()
    sent = half.at < DONE and call.send_message(b"late")
    call.cancel() if half.name == CLIENT else call.abort()
    if sent or half.key() != before:
        raise half.fail("P8", "a command after the end has changed something")
    if half.name == CLIENT:
        half.at = DONE
    elif half.at < DONE:
        half.at = half.bounds.responses


def _say(half: Half, what: str) -> None:
    """An application's command, to the engine and to the model."""
    call = half.call
    if what in ("cancels", "aborts"):
        pass
    elif what == "finish":
        half.at = DONE
    else:
        half.at += 1
    commands: dict[str, say.Step] = {
        "start": say.Start(Feature.DEADLINES in half.bounds.features),
        "send": say.SendMessage(),
        "half-close": say.HalfClose(),
        "finish": say.Finish(SAID.code),
        "cancels": say.Cancel(),
        "aborts": say.Abort(),
    }
    match what:
        case "start":
            deadline = half.now + TIMEOUT if Feature.DEADLINES in half.bounds.features else None
            try:
                half.call = half.engine.start_call("/sim.Calls/0", deadline=deadline)
            except LocalProtocolError:
                half.at = DONE
                return
        case "send":
            if call.send_message(payload(half.name[0], 0, half.accepted, MESSAGE)):
                half.accepted += 1
            else:
                half.at = DONE
        case "half-close":
            call.half_close()
        case "finish":
            call.finish(SAID, TRAILING)
        case "cancels":
            call.cancel()
            _cancel_again(half)
        case _:
            call.abort()
    half.move(lambda side: does(side, commands[what]))
    if what == "start" and half.refusing is not None:
        half.move(lambda side: hears(side, half.refusing))


def _said(frame: say.Frame, side: model.Side) -> model.Side:
    return frames(side, frame)


def _cancel_again(half: Half) -> None:
    before = half.key()
    half.call.cancel()
    if half.key() != before:
        raise half.fail("P32", "a second cancel has changed something")


def _write(half: Half) -> tuple[Item, ...]:
    """One frame, as far as the engine allows; control frames go together."""
    data = half.engine.data_to_send(half.now, 1)
    items = tuple(_framed(half, frame) for frame in frames_of(data))
    for item in items:
        if item.meaning is not None:
            half.move(partial(_said, item.meaning))
    if not data and half.engine.is_closed:
        half.over = True
    return items


def _framed(half: Half, frame: Frame) -> Item:
    """What a frame of this side means, by a parser of its own."""
    end = bool(frame.flags & ES)
    match frame.type:
        case 0:
            connection, stream = half.ledger.sent(frame)
            if frame.payload and min(connection, stream) < 0:
                raise half.fail("P17", f"has sent {-min(connection, stream)} bytes more than it may")
            return Item(frame, half.counter.feed(frame.payload, end=end))
        case 1:
            fields = dict(half.decoder.decode(frame.payload, raw=True))
            if half.name == CLIENT and not half.opened:
                half.opened = True
                return Item(frame, say.Headers(b"grpc-timeout" in fields, end))
            if end:
                code = fields.get(b"grpc-status")
                return Item(frame, say.Trailers(None if code is None else StatusCode(int(code))))
            return Item(frame, say.Headers())
        case 3:
            return Item(frame, say.Reset(int.from_bytes(frame.payload, "big")))
        case _:
            return Item(frame, None)


def _hear_frame(half: Half, item: Item) -> None:
    frame, meaning = item
    if frame.type in (HEADERS, RST):
        half.blocks_to_come = 0 if frame.type == RST or frame.flags & ES else half.blocks_to_come - 1
    if frame.type == GOAWAY and half.name == CLIENT:
        half.refusing = half.refusing or say.Goaway(covers=False)
        if half.call is not None:
            covers = half.opened and int.from_bytes(frame.payload[:4], "big") >= 1
            half.move(lambda side: hears(side, say.Goaway(covers)))
    elif meaning is not None:
        if frame.type == RST:
            deadline = half.call.deadline if half.name == CLIENT else None
            meaning = say.Reset(meaning.code, overdue=deadline is not None and half.now >= deadline)
        half.move(lambda side: hears(side, meaning))
    elif frame.type in (SETTINGS, WINDOW_UPDATE):
        half.ledger.arrived(frame)
    half.engine.receive_data(wire_bytes(frame), half.now)


def _lose(half: Half, what: str) -> None:
    half.heard_end = True
    _end(half)
    if what == "loses":
        half.engine.transport_failed("connection reset by peer", half.now)
    else:
        half.engine.receive_eof(half.now)


def _end(half: Half) -> None:
    half.refusing = half.refusing if isinstance(half.refusing, say.TransportEnded) else say.TransportEnded()
    if half.call is not None or half.model.said is not model.NEW:
        half.move(lambda side: hears(side, say.TransportEnded()))


def _time_out(half: Half) -> None:
    engine = half.engine
    due, reason = engine.next_timeout(), engine.timeout_reason
    half.now = max(half.now, due)
    engine.handle_timeout(half.now)
    if half.model.deadline and half.call.deadline <= half.now:
        half.move(lambda side: does(side, say.DeadlineFired()))
    if reason is TimerKind.SHUTDOWN:
        raise half.fail("P34", "a shutdown without a deadline has timed out")


def _listen(half: Half) -> None:
    """What a driver does with announcements."""
    ended = False
    while (event := half.engine.next_event()) is not None:
        if type(event) is CallReadable:
            half.readable = True
            ended = ended or event.call.ended is not None
        elif type(event) is CallStarted:
            half.call = event.call
            half.move(lambda side: model.took(side, say.Event.STARTED))
        elif type(event) is ConnectionClosed:
            if half.closed:
                raise half.fail("P26", "has closed twice")
            half.closed = True
            _end(half)
    if ended and terminal(half.call.ended) != half.model.ended:
        raise half.fail("P7", f"has ended as {terminal(half.call.ended)}, expected was {half.model.ended}")


def _take(half: Half) -> None:
    """The reader takes one event."""
    event = half.call.next_event()
    if event is None:
        half.readable = False
        return
    if half.ended is not None:
        raise half.fail("P5", f"was given {event} after its end")
    if type(event) is Message:
        expected = payload("c" if half.name == SERVER else "s", 0, half.taken, MESSAGE)
        if event.payload != expected:
            raise half.fail("P1", f"was given {event.payload!r}, sent was {expected!r}")
        half.taken += 1
    if type(event) is CallEnded:
        half.readable = False
        half.ended = event
        if half.name == CLIENT and event.origin is Origin.PEER and event.status == SAID:
            if half.taken != half.bounds.responses:
                raise half.fail("P2", f"the status came after {half.taken} of {half.bounds.responses} messages")
            if event.trailing_metadata != Metadata(TRAILING):
                raise half.fail("P6", f"was told {event.trailing_metadata}, the server has said {TRAILING}")
        heard: Any = terminal(event)
    else:
        assert isinstance(event, (Message, HalfClosed, InitialMetadata))
        heard = EVENTS[type(event)]
    half.move(lambda side: model.took(side, heard))
