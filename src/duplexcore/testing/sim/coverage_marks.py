"""Situations that a good set of runs reaches at least once: marks, each with a name that says what it is.

An unhit mark means that the runs have become tamer than they were, or the engine has.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from duplexcore import CallEnded, ErrorCode, HalfClosed, InitialMetadata, Limit, Message, Origin, StatusCode
from duplexcore.connection import TimerKind

from .apps import App
from .between import TRAILER
from .header_lists import is_tight, told
from .sides import Side
from .watching import Watcher
from .wires import PADDED, Frame, body_of

__all__ = ["MARKS", "Marks"]

DATA, HEADERS, RST, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 7, 8, 9
ES = 1

MARKS: Final = (
    # What the applications do, and when
    "client cancels before its headers are framed",
    "client cancels with messages unsent",
    "client cancels after its half-close",
    "client cancels with messages unread",
    "client cancels after the server has finished",
    "client cancels with a message partly on the wire",
    "client sends after the end",
    "client half-closes after the end",
    "call refused locally: the connection is shutting down",
    "call refused locally: too many wait",
    "server finishes before the half-close arrives",
    "server finishes with requests unread",
    "server finishes with responses unsent",
    "server finishes after the end",
    "server sends after the end",
    "server aborts with responses unsent",
    "server aborts with a message partly on the wire",
    "server aborts after the half-close",
    "a send buffer is full",
    # What crosses on the wire
    "cancel crossed trailers",
    "cancel crossed data",
    "cancel crossed an abort",
    "deadline crossed trailers",
    "both deadlines fired",
    "goaway crossed headers",
    "both sides shut down",
    "window update crossed a reset",
    "half-close crossed trailers",
    "data arrives for a call that has ended",
    "trailers arrive for a call that has ended",
    # What is heard
    "status queued behind unread data",
    "initial metadata without a message",
    "trailers only",
    "an empty message",
    "a message in several frames",
    "several messages in a frame",
    "end of stream on an empty frame",
    "end of stream on data",
    "half-close is taken",
    "status that is not OK",
    "a status with a message",
    "reset without error after the status",
    "an ended call is read later",
    # Clocks
    "client deadline before its headers are framed",
    "client deadline with messages unread",
    "server deadline with a message partly on the wire",
    "server deadline before the client's",
    "client deadline before the server's",
    "deadline after the half-close",
    "drain timeout",
    "shutdown timeout",
    # The connection
    "transport lost before any call",
    "transport lost with a call open",
    "transport lost after the calls",
    "transport lost with messages unread",
    "call ends as unprocessed",
    "a call outlives goaway",
    "window of a stream used up",
    "credit is given back",
    # What some runs have switched on
    "a header block goes on in continuations",
    "a frame is padded",
    "end of stream on a request's headers",
    "a request has trailers",
    "a message above the limit",
    "a request above the server's limit stays here",
    "a request above the server's own limit is refused",
    "an answer above the client's limit is no answer",
    "an end above the client's limit is cut down",
    "an end above the client's limit is a reset",
    "an answer above the client's own limit is refused",
    "a message came packed",
    "the server answers a call by itself",
    "keepalive asks",
    "keepalive ends the connection",
    "too many pings end the connection",
    "too many pings end a call",
    "an idle connection is left",
    "an old connection is left",
    "a connection without calls is left",
)


class Marks(Watcher):
    """Counts `MARKS`: ``hit``."""

    def __init__(self, hit: Counter[str] | None = None) -> None:
        self.hit: Counter[str] = Counter() if hit is None else hit

    def mark(self, name: str, when: object = True) -> None:
        assert name in _KNOWN, name
        if when:
            self.hit[name] += 1

    def begin(self) -> None:
        self._finished: set[int] = set()
        self._cancelled: set[int] = set()
        self._half_closed: set[int] = set()
        self._deadlines: dict[int, set[str]] = {}
        self._leaving: set[Side] = set()
        self._goaway_heard = False
        self._framed: dict[Side, Counter[int]] = {self.sim.client: Counter(), self.sim.server: Counter()}

    # --- applications -------------------------------------------------------------------------------------------------

    def on_command(self, app: App, what: str) -> None:
        getattr(self, _COMMANDS[what])(app) if what in _COMMANDS else None
        if app.call is not None:
            self.mark("a send buffer is full", what == "send" and not app.refused and not app.call.writable)

    def _cancels(self, app: App) -> None:
        self.mark("client cancels before its headers are framed", app.call.ended.unprocessed)
        self.mark("client cancels with messages unsent", app.accepted and self._bytes(app) < self._owed(app))
        self.mark("client cancels with a message partly on the wire", self._partly(app))
        self.mark("client cancels after its half-close", app.index in self._half_closed)
        self.mark("client cancels with messages unread", app.readable)
        self.mark("client cancels after the server has finished", app.index in self._finished)
        self._cancelled.add(app.index)

    def _half_close(self, app: App) -> None:
        self.mark("client half-closes after the end", app.ended)
        if not app.ended:
            self._half_closed.add(app.index)

    def _send(self, app: App) -> None:
        self.mark(f"{'client' if app.who == 'c' else 'server'} sends after the end", app.refused)

    def _start(self, app: App) -> None:
        if app.call is None:
            why = "the connection is shutting down" if app.side.leaving else "too many wait"
            self.mark(f"call refused locally: {why}")

    def _finish(self, app: App) -> None:
        self.mark("server finishes after the end", app.said is None)  # type: ignore[attr-defined]
        if app.said is not None:  # type: ignore[attr-defined]
            self._finished.add(app.index)
            self.mark("server finishes before the half-close arrives", not app.half_closed)
            self.mark("server finishes with requests unread", app.readable)
            self.mark("server finishes with responses unsent", self._bytes(app) < self._owed(app))

    def _aborts(self, app: App) -> None:
        self.mark("server aborts with responses unsent", self._bytes(app) < self._owed(app))
        self.mark("server aborts with a message partly on the wire", self._partly(app))
        self.mark("server aborts after the half-close", app.half_closed)
        self.mark("cancel crossed an abort", app.index in self._cancelled)

    def on_event(self, app: App, event: Any) -> None:
        before = app.events[-2] if len(app.events) > 1 else None
        match event:
            case Message(payload):
                self.mark("an empty message", not payload)
                self.mark("a message came packed", app.call.was_compressed)
                self.mark("an ended call is read later", app.ended)
                self.mark("status queued behind unread data", app.who == "c" and _by_peer(app.ended))
            case HalfClosed():
                self.mark("half-close is taken")
            case CallEnded(status, _, origin):
                self.mark("initial metadata without a message", type(before) is InitialMetadata)
                self.mark("trailers only", before is None and app.who == "c" and origin is Origin.PEER)
                self.mark("a message above the limit", event.limit is Limit.MAX_RECEIVE_MESSAGE_SIZE)
                self.mark("the server answers a call by itself", app.who == "c" and _rejected(self.sim, app))
                self.mark("status that is not OK", not status.ok and origin is Origin.PEER)
                self.mark("a status with a message", status.message and app.who == "c" and _said(self.sim, app))
            case _:
                pass

    def on_ended(self, app: App) -> None:
        ended = app.ended
        assert ended is not None
        if app.who == "c":
            self.mark("call ends as unprocessed", ended.unprocessed and ended.origin is Origin.TRANSPORT)
            self.mark("a call outlives goaway", self._goaway_heard and ended.origin is Origin.PEER)
        self.mark("too many pings end a call", ended.limit is Limit.MAX_PING_STRIKES)
        if ended.status.code is StatusCode.DEADLINE_EXCEEDED and ended.origin is Origin.LOCAL:
            self._deadline(app, ended)
        if is_tight(self.sim.scenario):
            self._limited(app, ended)

    def _limited(self, app: App, ended: CallEnded) -> None:
        """What limits of header lists have made of the end of a call."""
        internal, exhausted = (
            ended.status.code is code for code in (StatusCode.INTERNAL, StatusCode.RESOURCE_EXHAUSTED)
        )
        library = ended.origin is Origin.LIBRARY
        if app.who == "c":
            refused = exhausted and ended.origin is Origin.PEER and app.index not in self.sim.servers
            self.mark("a request above the server's limit stays here", internal and library and ended.unprocessed)
            self.mark("a request above the server's own limit is refused", refused)
            self.mark("an answer above the client's own limit is refused", ended.limit is Limit.MAX_HEADER_LIST_SIZE)
            return
        self.mark("an answer above the client's limit is no answer", internal and library)
        if app.said == ended.status:  # type: ignore[attr-defined]
            whole = app.said, app.script.trailing_metadata  # type: ignore[attr-defined]
            self.mark("an end above the client's limit is cut down", told(self.sim.scenario, app) != whole)  # type: ignore[arg-type]

    def _deadline(self, app: App, ended: CallEnded) -> None:
        seen = self._deadlines.setdefault(app.index, set())
        other = "s" if app.who == "c" else "c"
        self.mark("both deadlines fired", other in seen)
        if app.who == "c":
            self.mark("client deadline before its headers are framed", ended.unprocessed)
            self.mark("client deadline with messages unread", app.events and type(app.events[-1]) is not CallEnded)
            self.mark("client deadline before the server's", other not in seen)
            self.mark("deadline crossed trailers", app.index in self._finished)
        else:
            self.mark("server deadline with a message partly on the wire", self._partly(app))
            self.mark("server deadline before the client's", other not in seen)
            self.mark("deadline after the half-close", app.half_closed)
        seen.add(app.who)

    # --- the wire -----------------------------------------------------------------------------------------------------

    def on_framed(self, side: Side, frame: Frame) -> None:
        self.mark("a frame is padded", frame.type in (DATA, HEADERS) and frame.flags & PADDED)
        self.mark("a header block goes on in continuations", frame.type == CONTINUATION)
        if frame.type == HEADERS and frame.flags & ES and side is self.sim.client:
            trailers = frame.payload == TRAILER
            self.mark("a request has trailers" if trailers else "end of stream on a request's headers")
        if frame.type == DATA:
            body = body_of(frame)
            self._framed[side][frame.stream] += len(body)
            self.mark("a message in several frames", len(body) >= 16_384)
            self.mark("several messages in a frame", _whole(body) > 1)
            self.mark("end of stream on an empty frame", frame.flags & ES and not body)
            self.mark("end of stream on data", frame.flags & ES and body)
            self.mark("window of a stream used up", self._framed[side][frame.stream] >= side_window(self, side))
        elif frame.type == WINDOW_UPDATE:
            self.mark("credit is given back")
        elif frame.type == GOAWAY:
            self._leaving.add(side)
            self.mark("both sides shut down", len(self._leaving) == 2)

    def on_arrived(self, side: Side, frame: Frame) -> None:
        client = side is self.sim.client
        app = self._app(side, frame.stream)
        if frame.type == GOAWAY and client:
            self._goaway_heard = True
            self.mark("goaway crossed headers", frame.payload[:4] != b"\x7f\xff\xff\xff" and self._above(frame))
        if app is None:
            return
        over = app.ended is not None
        trailers = frame.type == HEADERS and bool(frame.flags & ES)
        self.mark("data arrives for a call that has ended", over and frame.type == DATA)
        self.mark("trailers arrive for a call that has ended", over and trailers)
        self.mark("cancel crossed data", client and app.index in self._cancelled and frame.type == DATA)
        self.mark("cancel crossed trailers", client and app.index in self._cancelled and trailers)
        self.mark("window update crossed a reset", over and frame.type == WINDOW_UPDATE)
        ending = frame.type == DATA and frame.flags & ES
        self.mark("half-close crossed trailers", not client and ending and app.index in self._finished)
        if client and frame.type == RST:
            code = int.from_bytes(frame.payload, "big")
            self.mark("reset without error after the status", code == ErrorCode.NO_ERROR)
            self.mark("an end above the client's limit is a reset", code == ErrorCode.INTERNAL_ERROR)

    # --- clocks and the connection ------------------------------------------------------------------------------------

    def on_timeout(self, side: Side, reason: TimerKind) -> None:
        self.mark("drain timeout", reason is TimerKind.DRAIN)
        self.mark("shutdown timeout", reason is TimerKind.SHUTDOWN)
        self.mark("keepalive asks", reason is TimerKind.KEEPALIVE)
        self.mark("keepalive ends the connection", reason is TimerKind.KEEPALIVE_TIMEOUT)
        self.mark("an idle connection is left", reason is TimerKind.IDLE)
        self.mark("an old connection is left", reason is TimerKind.AGE)
        self.mark("a connection without calls is left", reason is TimerKind.UNUSED)

    def on_closed(self, side: Side) -> None:
        assert side.closed is not None
        self.mark("too many pings end the connection", side.closed.limit is Limit.MAX_PING_STRIKES)

    def on_lost(self, side: Side | None) -> None:
        apps = [app for app in self.sim.apps() if app.side is side and app.call is not None]
        self.mark("transport lost before any call", not apps)
        self.mark("transport lost with a call open", any(app.ended is None for app in apps))
        self.mark("transport lost after the calls", apps and all(app.ended is not None for app in apps))
        self.mark("transport lost with messages unread", any(app.readable for app in apps))

    # --- inside -------------------------------------------------------------------------------------------------------

    def _app(self, side: Side, stream: int) -> App | None:
        apps = self.sim.apps()
        return next((app for app in apps if app.side is side and app.call is not None and _stream(app) == stream), None)

    def _above(self, goaway: Frame) -> bool:
        last = int.from_bytes(goaway.payload[:4], "big")
        return any(app.call is not None and _stream(app) > last for app in self.sim.clients)

    def _bytes(self, app: App) -> int:
        return self._framed[app.side][_stream(app)]

    def _owed(self, app: App) -> int:
        return sum(5 + len(message) for message in app.accepted)

    def _partly(self, app: App) -> bool:
        """Whether a message of the app is on the wire in part."""
        at, sent = 0, self._bytes(app)
        for message in app.accepted:
            at += 5 + len(message)
            if at >= sent:
                break
        return 0 < sent != at


_KNOWN: Final = frozenset(MARKS)
_COMMANDS: Final = {
    "start": "_start",
    "send": "_send",
    "half-close": "_half_close",
    "cancels": "_cancels",
    "finish": "_finish",
    "aborts": "_aborts",
}


def _stream(app: App) -> int:
    return int(getattr(app.call._lane, "stream_id", 0))


def side_window(marks: Marks, side: Side) -> int:
    """What the other side grants a stream before it gives anything back."""
    scenario = marks.sim.scenario
    return (scenario.server if side is marks.sim.client else scenario.client).stream_window


def _whole(payload: bytes) -> int:
    at = count = 0
    while len(payload) - at >= 5 and payload[at] == 0:
        at += 5 + int.from_bytes(payload[at + 1 : at + 5], "big")
        count += at <= len(payload)
    return count


def _by_peer(ended: CallEnded | None) -> bool:
    return ended is not None and ended.origin is Origin.PEER


def _rejected(sim: Any, app: App) -> bool:
    """Whether the server has given a status to a call that its application has never seen."""
    ended = app.ended
    return _by_peer(ended) and not ended.unprocessed and app.index not in sim.servers  # type: ignore[union-attr]


def _said(sim: Any, app: App) -> bool:
    server = sim.servers.get(app.index)
    return server is not None and server.said is not None
