"""P7 and the oracle: what each side frames, hears and tells its application is what the reference model says, exactly.

The simulation knows every step, so the model predicts every event. What it is told comes from the scripts and from the
frames on the wire, read here by a parser of its own; nothing is asked of the engines but what they tell applications.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from duplexcore import CallEnded, HalfClosed, InitialMetadata, Message, Origin
from duplexcore.config import Config, Limit
from duplexcore.connection import TimerKind
from duplexcore.status import StatusCode
from duplexcore.testing.model import side as model
from duplexcore.testing.model import vocabulary as say
from duplexcore.testing.model.call import does, frames, hears

from ..apps import App
from ..blocks import Fields, HeaderReader
from ..header_lists import is_tight, request_size, response_size, shortest_end
from ..patience import Patience
from ..sides import HOURS, Side
from ..wires import Frame, body_of
from .base import Property, PropertyError

__all__ = ["Oracle"]

DATA, HEADERS, RST, PING, GOAWAY, CONTINUATION = 0, 1, 3, 6, 7, 9
ES, END_HEADERS = 0x1, 0x4
PREFIX = 5
NO_LIMIT = 2**32
#: Nothing in a run is as long: bytes.
LONGEST = 1 << 20
MAX_ID = 2**31 - 1
UNFIT, UNFIT_LAST = say.Unfit(), say.Unfit(last=True)
#: What befalls a side that may send no list that is due.
UNSAID = {say.Terminal(StatusCode.INTERNAL, say.Origin.LIBRARY, unprocessed) for unprocessed in (False, True)}
#: A client's and a server's side of a call of which nothing is known yet.
NEW = (model.Side(say.CLIENT), model.Side(say.SERVER))
ORIGINS = {origin: say.Origin[origin.name] for origin in Origin}

EVENTS: dict[type, say.Event] = {
    InitialMetadata: say.Event.INITIAL_METADATA,
    Message: say.Event.MESSAGE,
    HalfClosed: say.Event.HALF_CLOSED,
}

#: What tasks do, as the model calls it, where it is always the same.
STEPS: dict[str, say.Step] = {
    "send": say.SendMessage(),
    "half-close": say.HalfClose(),
    "cancels": say.Cancel(),
    "initial metadata": say.SendInitialMetadata(),
    "aborts": say.Abort(),
}


#: With what a server ends an answer; statuses that it gives before it looks for a place (HDR-14).
ENDINGS = (say.Trailers, say.Reset)
FIRST = (StatusCode.RESOURCE_EXHAUSTED, StatusCode.INTERNAL)
STARTS = (say.Start(deadline=False), say.Start(deadline=True))
FINISHES = {code: say.Finish(code) for code in StatusCode}
DEADLINE_FIRED, CANCEL, TRANSPORT_ENDED = say.DeadlineFired(), say.Cancel(), say.TransportEnded()


class Messages:
    """Counts the messages in one direction of a stream."""

    __slots__ = ("_bytes", "_count", "_limit", "_said")

    def __init__(self, limit: int = NO_LIMIT, said: Sequence[bytes] = ()) -> None:
        self._bytes = bytearray()
        self._limit = limit
        #: The messages before they were packed, which may have made them shorter.
        self._said = said
        self._count = 0

    def feed(self, payload: bytes, *, end: bool) -> say.Data:
        data = self._bytes
        data += payload
        whole = at = 0
        while len(data) - at >= PREFIX:
            size = PREFIX + int.from_bytes(data[at + 1 : at + PREFIX], "big")
            if size > PREFIX + self._limit:  # known from its prefix (FRM-4)
                return say.Data(whole, False, end, StatusCode.RESOURCE_EXHAUSTED)
            if len(data) - at < size:
                break
            if self._said and len(self._said[self._count]) > self._limit:  # known when it is unpacked
                return say.Data(whole, False, end, StatusCode.RESOURCE_EXHAUSTED)
            at += size
            whole += 1
            self._count += 1
        del data[:at]
        return say.Data(whole, bool(data), end)


class Oracle(Property):
    """Everything that happens to a call is what the reference model of the specification predicts."""

    number = "P7"
    framed_types = arrived_types = (DATA, HEADERS, RST, PING, GOAWAY, CONTINUATION)

    def begin(self) -> None:
        sides = (self.sim.client, self.sim.server)
        self._readers = {side: HeaderReader() for side in sides}
        self._blocks: dict[Side, bytearray] = {side: bytearray() for side in sides}
        self._opened: dict[Side, Frame] = {}  # the HEADERS of the block that is being read
        self._wires: dict[Side, deque[tuple[int | None, Any]]] = {side: deque() for side in sides}
        self._heard: dict[tuple[Side, int], Messages] = {}  # of sides that take no long messages
        self._counts: dict[tuple[Side, int], Messages] = {}
        self._calls: dict[int, int] = {}  # stream -> index of the call
        self._begun: set[tuple[Side, int]] = set()  # who has framed HEADERS of which stream
        self._models: dict[tuple[Side, int], model.Side] = {}
        self._refusing: dict[Side, say.Input] = {}
        #: Whether a deadline may have passed before any clock goes on.
        self._hasty = any(script.timeout == 0 for script in self.sim.scenario.calls)
        #: Calls whose handlers have said their status.
        self._finished: set[int] = set()
        #: The last stream that the server's latest GOAWAY covers.
        self._covered = MAX_ID
        scenario = self.sim.scenario
        self._tight = is_tight(scenario)
        #: Of the server, where PINGs may come.
        self._patience = Patience(scenario.server) if scenario.client.keepalive_time < HOURS else None
        self._spent_in = 0  # the step in which the server has heard something last
        #: What the first GOAWAY has told the client.
        self._farewell: int | None = None

    # --- what the applications do, and are told -----------------------------------------------------------------------

    def on_command(self, app: App, what: str) -> None:
        if what == "start":
            self._judge_start(app)
        if app.call is None:
            return
        step: say.Step
        if what == "send" and self._is_too_long(app):
            return
        if what == "start":
            step = STARTS[app.script.timeout is not None]
        elif what == "finish":
            step = FINISHES[app.script.status]
        else:
            step = STEPS[what]
        self._move(app.side, app.index, does, step)
        if what == "finish":
            self._finished.add(app.index)
        if what == "start" and (refusal := self._refusing.get(app.side)):  # a connection that takes no more calls
            self._move(app.side, app.index, hears, refusal)

    def on_started(self, app: App) -> None:
        self._move(app.side, app.index, model.took, say.Event.STARTED)
        if app.script.single_request:
            self._move(app.side, app.index, does, say.ExpectOne())

    def on_event(self, app: App, event: Any) -> None:
        if type(event) is Message:
            self._compare_packing(app)
        heard = terminal(event) if type(event) is CallEnded else EVENTS[type(event)]
        self._move(app.side, app.index, model.took, heard)

    def on_ended(self, app: App) -> None:
        assert app.ended is not None
        if self._hasty:
            self._expire(app.side, ended=True)
        came = terminal(app.ended)
        if self._tight and came in UNSAID:
            self._leave_unsaid(app.side, app.index)
        expected = self._model(app.side, app.index).ended
        if came != expected:
            self.fail(f"{app} has ended as {came} ({app.ended.status.message}), expected was {expected}")

    def _expire(self, side: Side, *, ended: bool = False) -> None:
        """What is due comes before all that is heard (DEAD-9), also where no clock had to go on to it.

        ``ended``: only calls that have ended, with what makes bytes or by what the application says.
        """
        for app in self.sim.apps():
            at = app.side is side and self._models.get((side, app.index))
            if ended and app.ended is None:
                continue
            if at and at.deadline and at.ended is None and app.call.deadline <= side.now:
                self._move(side, app.index, does, DEADLINE_FIRED)

    def on_timeout(self, side: Side, reason: TimerKind) -> None:
        for app in self.sim.apps():
            at = app.side is side and self._models.get((side, app.index))
            if at and at.deadline and app.call.deadline <= side.now:
                self._move(side, app.index, does, DEADLINE_FIRED)
            elif at and reason is TimerKind.SHUTDOWN and side is self.sim.client:  # its grace is over (CHAN-11)
                self._move(side, app.index, does, CANCEL)
        if reason is TimerKind.SHUTDOWN and side is self.sim.server:  # so is the server's: it closes (DUP-31)
            self._end_all(side, TRANSPORT_ENDED)

    # --- the wire -----------------------------------------------------------------------------------------------------

    def on_framed(self, side: Side, frame: Frame) -> None:
        index, item = self._read(side, frame)
        self._wires[side].append((index, item))
        if index is not None and item is not None:
            if self._tight and type(item) in ENDINGS and side is self.sim.server:
                self._leave_unsaid(side, index)
            for said in self._said(side, item):
                self._move(side, index, frames, said)
        elif frame.type == GOAWAY and side is self.sim.server:
            self._covered = int.from_bytes(frame.payload[:4], "big")
        if self._patience is not None and side is self.sim.server:
            self._patience.framed(frame)

    def _said(self, side: Side, item: Any) -> Sequence[Any]:
        """What ``side`` has framed itself: the end of a request goes on DATA, and what stands between may move it."""
        if side is self.sim.client and self.sim.scenario.between:
            if type(item) is say.Headers and item.end:
                return replace(item, end=False), say.Data(end=True)
            if type(item) is say.Trailers:
                return (say.Data(end=True),)
        return (item,)

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if self._hasty:
            self._expire(side)
        other = self.sim.server if side is self.sim.client else self.sim.client
        index, item = self._wires[other].popleft()
        if self._patience is not None and side is self.sim.server and side.closed is None:
            if self._patience.spent:  # the rest of what came with the last PING is not heard
                if self._spent_in != len(self.sim.trace):
                    self._judge_patience(side)
                return
            self._patience.arrived(frame, side.now)
            self._spent_in = len(self.sim.trace)
        if frame.type == GOAWAY and side is self.sim.client:
            if self._farewell is None and side.closed is None:
                self._farewell = int.from_bytes(frame.payload[4:8], "big")
            self._refusing.setdefault(side, say.Goaway(covers=False))
            last = int.from_bytes(frame.payload[:4], "big")
            streams = {index: stream for stream, index in self._calls.items()}
            for app in self.sim.clients:
                if (side, app.index) in self._models:
                    covers = streams.get(app.index, last + 1) <= last
                    self._move(side, app.index, hears, say.Goaway(covers))
        elif index is not None and item is not None:
            if side is self.sim.server and type(item) is say.Headers:
                if frame.stream > self._covered:
                    self._move(side, index, frames, say.Goaway(covers=False))
                elif (code := self._rejected(index, item)) in FIRST:  # in the order of HDR-14
                    self._move(side, index, does, say.Refuse(code))
                elif self._full():
                    self._move(side, index, does, say.Refuse())
                elif code is not None:
                    self._move(side, index, does, say.Refuse(code))
            if type(item) is say.Data and (limit := self._config(side).max_receive_message_size) < LONGEST:
                item = self._judged(side, frame, limit)
            if type(item) is say.Reset:
                item = say.Reset(item.code, overdue=self._overdue(side, index))
            self._move(side, index, hears, item)

    def on_lost(self, side: Side | None) -> None:
        assert side is not None
        if self._hasty:
            self._expire(side)
        self._end_all(side, TRANSPORT_ENDED)

    def on_closed(self, side: Side) -> None:
        if self._hasty:
            self._expire(side, ended=True)
        for app in self.sim.apps() if self._tight else ():  # one that ended so may have been the last
            if app.side is side and app.ended is not None and terminal(app.ended) in UNSAID:
                self._leave_unsaid(side, app.index)
        self._end_all(side, TRANSPORT_ENDED)
        if side is self.sim.server and self._patience is not None:
            self._judge_patience(side)

    def on_rest(self) -> None:
        if self._patience is not None:
            self._judge_patience(self.sim.server)
            told = self.sim.client.draining
            if (None if told is None else told.code) != self._farewell:
                self.fail(f"a GOAWAY with code {self._farewell} has come, the client is told {told}")
        for (side, index), at in self._models.items():
            owed = model.owes(at)
            if owed and side.closed is None:
                self.fail(f"{side.name} still owes {owed} of call {index}")

    # --- inside -------------------------------------------------------------------------------------------------------

    def _model(self, side: Side, index: int) -> model.Side:
        at = self._models.get((side, index))
        if at is None:
            at = NEW[side is self.sim.server]
            if at.role is say.CLIENT and self.sim.scenario.calls[index].single_response:
                return at._replace(single=True)  # a server's application says it later
        return at

    def _move(self, side: Side, index: int, move: Callable[[model.Side, Any], model.Side], what: Any) -> None:
        """The model of a call at ``side`` takes a step, frames, hears or is told: ``what``."""
        try:
            self._models[side, index] = move(self._model(side, index), what)
        except say.ModelViolation as violation:
            text = f"{side.name}, call {index}: {violation.text}"
            raise PropertyError(violation.rule, text) from violation

    def _end_all(self, side: Side, ending: say.TransportEnded) -> None:
        self._refusing[side] = ending
        for owner, index in list(self._models):
            if owner is side:
                self._move(side, index, hears, ending)

    def _leave_unsaid(self, side: Side, index: int) -> None:
        """The header list that is due does not go where it is above the peer's limit (MD-12)."""
        scenario, at = self.sim.scenario, self._model(side, index)
        if side is self.sim.client:
            fits = request_size(scenario, index)[1] <= scenario.server.hard_header_list_size
            if not fits and at.ended is None and at.out is model.IDLE:
                self._move(side, index, does, UNFIT)
            return
        most = scenario.client.hard_header_list_size
        if at.ended is None and at.out is model.IDLE and at.initial:
            if response_size(scenario, self.sim.servers[index]) <= most:
                return
            self._move(side, index, does, UNFIT)
            at = self._model(side, index)
        if at.status is not None and at.out is model.IDLE and shortest_end(scenario, index, at.status) > most:
            self._move(side, index, does, UNFIT_LAST)

    def _is_too_large(self, side: Side, fields: Fields) -> bool:
        """Whether the one that hears a header list of ``side`` refuses it (MD-11); none is above its hard limit."""
        other = self._config(self.sim.server if side is self.sim.client else self.sim.client)
        if fields.size > other.hard_header_list_size:
            text = f"{side.name} sends {fields.size} bytes of headers, the other takes {other.hard_header_list_size}"
            raise PropertyError("MD-12", text)
        return fields.size > other.max_header_list_size

    def _rejected(self, index: int, request: say.Headers) -> StatusCode | None:
        """With which status the server answers a call by itself: its headers are too large (MD-11), it serves no such
        subtype (HDR-10), or knows no such coding (COMP-2)."""
        if request.too_large:
            return StatusCode.RESOURCE_EXHAUSTED
        script, client, server = self.sim.scenario.calls[index], self.sim.scenario.client, self.sim.scenario.server
        if script.subtype and script.subtype not in (server.content_subtypes or (script.subtype,)):
            return StatusCode.INTERNAL
        coding = script.coding or client.compression
        if coding not in (None, "identity", *server.compressions):
            return StatusCode.UNIMPLEMENTED
        return None

    def _full(self) -> bool:
        """Whether the server has no place for another call: each counts until its handler has said its status, and the
        call is over (CONN-8, CANC-3)."""
        running = 0
        for (side, index), at in self._models.items():
            if side is self.sim.server and at.opening:
                running += at.ended is None or index not in self._finished
        return running >= self.sim.scenario.server.max_concurrent_calls

    def _compare_packing(self, app: App) -> None:
        """Whether the message that was just taken came packed (COMP-11)."""
        other = self.sim.other(app)
        packed = other.packed[sum(type(event) is Message for event in app.events) - 1]
        if app.call.was_compressed != packed:
            self.fail(f"{other} has {'not ' * (not packed)}packed what {app} has taken; to that it is told otherwise")

    def _judge_start(self, app: App) -> None:
        """Whether a call may be started: not after a shutdown, nor when too many wait for a stream (CONN-7)."""
        side, most = app.side, self.sim.scenario.client.max_waiting_calls
        refused = side.leaving
        if not refused and most < len(self.sim.clients):
            framed = set(self._calls.values())
            others = [one for one in self.sim.clients if one.call is not None and one is not app]
            refused = sum(one.ended is None and one.index not in framed for one in others) >= most
        if refused is not (app.call is None):
            self.fail(f"{app} was {'not ' * refused}refused at its start")

    def _judge_patience(self, server: Side) -> None:
        """Whether the server has ended the connection for too many PINGs, as it should (KEEP-8)."""
        assert self._patience is not None
        ended = server.closed is not None and server.closed.limit is Limit.MAX_PING_STRIKES
        if ended is not self._patience.spent:
            text = f"too many PINGs have {'not ' * (not self._patience.spent)}come, the server says {server.closed}"
            raise PropertyError("KEEP-8", text)

    def _config(self, side: Side) -> Config:
        scenario = self.sim.scenario
        return scenario.client if side is self.sim.client else scenario.server

    def _is_too_long(self, app: App) -> bool:
        """Whether the message that was just said is (FRM-5), as its call should have noticed."""
        limit = self._config(app.side).max_send_message_size
        if app.too_long != (app.tried > limit):
            self.fail(f"{app} has said a message of {app.tried} bytes, the limit is {limit}: too long {app.too_long}")
        return app.too_long

    def _judged(self, side: Side, frame: Frame, limit: int) -> say.Data:
        """DATA as who hears it reads it: a message above the limit ends the call, unless nobody reads any more."""
        if (heard := self._heard.get((side, frame.stream))) is None:
            index = self._calls[frame.stream]
            sender: App = self.sim.servers[index] if side is self.sim.client else self.sim.clients[index]
            heard = self._heard[side, frame.stream] = Messages(limit, sender.accepted)
        item = heard.feed(body_of(frame), end=bool(frame.flags & ES))
        deaf = side is self.sim.server and self._calls[frame.stream] in self._finished
        return replace(item, error=None) if deaf else item

    def _overdue(self, side: Side, index: int) -> bool:
        if side is not self.sim.client:
            return False
        deadline = self.sim.clients[index].call.deadline
        return deadline is not None and side.now >= deadline

    def _read(self, side: Side, frame: Frame) -> tuple[int | None, Any]:
        """Which call a frame is of, and what the model calls it."""
        match frame.type:
            case 1 | 9:
                block = self._blocks[side]
                block += body_of(frame)
                if frame.type == HEADERS:
                    self._opened[side] = frame
                if not frame.flags & END_HEADERS:
                    return None, None
                fields = self._readers[side].read(bytes(block))
                block.clear()
                return self._headers(side, self._opened[side], fields)
            case 0:
                count = self._counts.setdefault((side, frame.stream), Messages())
                return self._calls[frame.stream], count.feed(body_of(frame), end=bool(frame.flags & ES))
            case 3:
                return self._calls.get(frame.stream), say.Reset(int.from_bytes(frame.payload, "big"))
            case _:
                return None, None

    def _headers(self, side: Side, frame: Frame, fields: Fields) -> tuple[int | None, Any]:
        if fields.get(b":status", b"").startswith(b"1"):
            return None, None
        end = bool(frame.flags & ES)
        large = self._tight and self._is_too_large(side, fields)
        if side is self.sim.client and (side, frame.stream) not in self._begun:
            self._begun.add((side, frame.stream))
            index = self._calls[frame.stream] = int(fields[b":path"].rpartition(b"/")[2])
            return index, say.Headers(b"grpc-timeout" in fields, end, large)
        if end:
            code = fields.get(b"grpc-status")
            return self._calls[frame.stream], say.Trailers(None if code is None else StatusCode(int(code)), large)
        return self._calls[frame.stream], say.Headers(too_large=large)


def terminal(ended: CallEnded) -> say.Terminal:
    return say.Terminal(ended.status.code, ORIGINS[ended.origin], ended.unprocessed)
