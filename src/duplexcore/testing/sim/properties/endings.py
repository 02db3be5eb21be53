"""Properties of how calls end, each by its cause: P9, P14, P37, P39, P40 and P44."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexcore import CallEnded, Message, Origin, StatusCode
from duplexcore.status import ErrorCode

from ..apps import App, ClientApp
from ..header_lists import is_tight
from ..wires import Frame
from .base import Property

if TYPE_CHECKING:
    from ..sides import Side

__all__ = ["P9", "P14", "P37", "P39", "P40", "P44"]

DATA, HEADERS, RST, GOAWAY, CONTINUATION = 0, 1, 3, 7, 9
ES, END_HEADERS = 0x1, 0x4


class Streams(Property):
    """Knows which client's call a stream is."""

    def client_of(self, stream: int) -> ClientApp | None:
        return next((app for app in self.sim.clients if app.call is not None and stream_of(app) == stream), None)

    def _too_long(self, app: ClientApp) -> bool:
        """Whether a message may be above the client's limit: it ends the call before what is behind it in one read."""
        return max(app.script.responses, default=0) > self.sim.scenario.client.max_receive_message_size


class P9(Streams):
    """Trailers that reach a call which goes on end it with their status, and a following RST_STREAM(NO_ERROR) changes
    nothing."""

    number = "P9"
    arrived_types = (HEADERS, RST, CONTINUATION)

    def begin(self) -> None:
        self._ends = False  # what the header block that is coming says of its stream
        self._heard: dict[ClientApp, CallEnded | None] = {}
        self._reset: set[int] = set()

    def on_arrived(self, side: Side, frame: Frame) -> None:
        app = self.client_of(frame.stream) if side is self.sim.client else None
        if app is None or app.script.single_response or is_tight(self.sim.scenario) or self._too_long(app):
            return  # there the oracle knows which end it is
        if frame.type == HEADERS:
            self._ends = bool(frame.flags & ES)
        if frame.type != RST and frame.flags & END_HEADERS and self._ends and app.ended is None:
            self._heard[app] = None
        elif frame.type == RST and not int.from_bytes(frame.payload, "big") and app in self._heard:
            self._heard[app] = app.ended

    def on_step(self) -> None:
        for app, ended in self._heard.items():
            if app.ended is None or (ended is not None and app.ended != ended):
                self.fail(f"{app} has heard its status, and then ended as {app.ended}")

    def on_rest(self) -> None:
        for app in self._heard:
            server = self.sim.servers.get(app.index)
            said = None if server is None or server.said is None else server.ended
            if said is not None and said.status == server.said and said.origin is Origin.LOCAL:  # type: ignore[union-attr]
                got = sum(type(event) is Message for event in app.events)
                if app.ended.status != said.status or got != len(server.accepted):  # type: ignore[union-attr]
                    self.fail(f"{app} ended as {app.ended} with {got} messages, its server has said {said}")


class P14(Property):
    """When the transport ends each open call of that side ends at once: a client's as UNAVAILABLE, a server's as
    CANCELLED."""

    number = "P14"

    def begin(self) -> None:
        self._open: list[App] = []

    def on_lost(self, side: Side | None) -> None:
        self._open = [
            app
            for app in self.sim.apps()
            if app.side is side and app.call is not None and app.ended is None and not _is_due(app)
        ]

    def on_step(self) -> None:
        for app in self._open:
            expected = StatusCode.UNAVAILABLE if app.who == "c" else StatusCode.CANCELLED
            if app.ended is None or (app.ended.status.code, app.ended.origin) != (expected, Origin.TRANSPORT):
                self.fail(f"{app} was open when its transport ended, and is {app.ended}")
        self._open = []


class P37(Streams):
    """RST_STREAM(CANCEL) that reaches a client at or after its own deadline is DEADLINE_EXCEEDED, else CANCELLED."""

    number = "P37"
    arrived_types = (RST,)

    def begin(self) -> None:
        self._expected: tuple[ClientApp, StatusCode] | None = None

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if side is not self.sim.client or frame.type != RST or int.from_bytes(frame.payload, "big") != ErrorCode.CANCEL:
            return
        app = self.client_of(frame.stream)
        if app is not None and app.ended is None and not self._too_long(app):
            late = app.call.deadline is not None and side.now >= app.call.deadline
            self._expected = app, StatusCode.DEADLINE_EXCEEDED if late else StatusCode.CANCELLED

    def on_step(self) -> None:
        if self._expected is not None:
            (app, code), self._expected = self._expected, None
            if app.ended is None or app.ended.status.code is not code:
                self.fail(f"{app} was reset with CANCEL: it is {app.ended}, expected was {code.name}")


class P39(Streams):
    """The calls of streams that a GOAWAY covers go on: as long as the transport holds, neither it nor the end of the
    connection is what ends them."""

    number = "P39"
    arrived_types = (GOAWAY,)

    def begin(self) -> None:
        self._spared: list[ClientApp] = []

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if side is self.sim.client and frame.type == GOAWAY and side.closed is None:
            last = int.from_bytes(frame.payload[:4], "big")
            self._spared = [
                app
                for app in self.sim.clients
                if app.call is not None and app.ended is None and 0 < stream_of(app) <= last
            ]

    def on_lost(self, side: Side | None) -> None:
        if side is not self.sim.server:
            self._spared = []

    def on_step(self) -> None:
        for app in self._spared:
            ended = app.ended
            if ended is not None and ended.origin is Origin.TRANSPORT:
                self.fail(f"{app}, stream {stream_of(app)}, was covered by GOAWAY, and ended as {ended}")


class P40(Streams):
    """Streams above a GOAWAY's id end as UNAVAILABLE, unprocessed, and its sender never shows them to anybody."""

    number = "P40"
    framed_types = arrived_types = (GOAWAY,)

    def begin(self) -> None:
        self._above: list[ClientApp] = []
        self._last = 2**31

    def on_framed(self, side: Side, frame: Frame) -> None:
        if side is self.sim.server and frame.type == GOAWAY:
            self._last = min(self._last, int.from_bytes(frame.payload[:4], "big"))

    def on_started(self, app: App) -> None:
        if stream_of(app) > self._last:
            self.fail(f"{app}, stream {stream_of(app)}, is shown after GOAWAY {self._last}")

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if side is self.sim.client and frame.type == GOAWAY and side.closed is None:
            last = int.from_bytes(frame.payload[:4], "big")
            self._above = [
                app for app in self.sim.clients if app.call is not None and app.ended is None and stream_of(app) > last
            ]

    def on_step(self) -> None:
        for app in self._above:
            ended = app.ended
            if ended is None or ended.status.code is not StatusCode.UNAVAILABLE or not ended.unprocessed:
                self.fail(f"{app}, stream {stream_of(app)}, was above GOAWAY, and is {ended}")
        self._above = []


class P44(Property):
    """A call that ended as unprocessed was never shown to its server's application."""

    number = "P44"

    def on_ended(self, app: App) -> None:
        if app.who == "c" and app.ended is not None and app.ended.unprocessed and app.index in self.sim.servers:
            self.fail(f"{app} is unprocessed, and its server has it")

    def on_started(self, app: App) -> None:
        client = self.sim.clients[app.index]
        if client.ended is not None and client.ended.unprocessed:
            self.fail(f"{app} begins, its client was told that nobody has seen it")


def _is_due(app: App) -> bool:
    """Whether the deadline of a call that goes on has passed: it ends by that, whatever happens next (DEAD-9)."""
    deadline = app.call.deadline
    return deadline is not None and bool(deadline <= app.side.now)


def stream_of(app: Any) -> int:
    """0 before it has one, and where calls have no streams."""
    return int(getattr(app.call._lane, "stream_id", 0))
