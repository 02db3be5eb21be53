"""Properties of what the applications of a call see: P1 to P9, P32 and P34."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar

from duplexcore import CallEnded, HalfClosed, InitialMetadata, Message, Metadata, Origin, StatusCode
from duplexcore.connection import TimerKind

from ..apps import App, ClientApp, ServerApp
from ..header_lists import told
from ..sides import Side
from .base import Property

__all__ = ["P1", "P2", "P3", "P4", "P5", "P6", "P8", "P32", "P34"]


class P1(Property):
    """The messages delivered on a direction are, byte for byte, a prefix of those accepted from the sender."""

    number = "P1"
    event_types = (Message,)

    def begin(self) -> None:
        self._got: dict[App, int] = {}

    def on_event(self, app: App, event: Any) -> None:
        count = self._got.get(app, 0)
        sent = self.sim.other(app).accepted
        if count >= len(sent):
            self.fail(f"{app} was given a message that nobody sent: {event.payload[:40]!r}")
        if event.payload != sent[count]:
            self.fail(f"{app} was given {event.payload[:40]!r} as message {count}, sent was {sent[count][:40]!r}")
        self._got[app] = count + 1


class P2(Property):
    """If a call ends with the status that its server sent, the client got every message sent before that status."""

    number = "P2"
    event_types = (CallEnded,)

    def on_event(self, app: App, event: Any) -> None:
        if isinstance(app, ClientApp) and has_sent_status(self.sim.servers.get(app.index), event):
            if app.script.single_response and not event.status.ok:
                return  # its one message comes with an OK status (STAT-16)
            got = sum(type(one) is Message for one in app.events)
            sent = len(self.sim.other(app).accepted)
            if got != sent:
                self.fail(f"{app} got the server's status after {got} of {sent} messages")


class P3(Property):
    """A client's events are ``InitialMetadata? Message* CallEnded``, a server's ``Message* HalfClosed? CallEnded``."""

    number = "P3"

    #: Side -> event -> those that may come before it; None is the beginning.
    GRAMMAR: ClassVar[dict[str, dict[type, set[type | None]]]] = {
        "c": {
            InitialMetadata: {None},
            Message: {None, InitialMetadata, Message},
            CallEnded: {None, InitialMetadata, Message},
        },
        "s": {Message: {None, Message}, HalfClosed: {None, Message}, CallEnded: {None, Message, HalfClosed}},
    }

    def on_event(self, app: App, event: Any) -> None:
        before = type(app.events[-2]) if len(app.events) > 1 else None
        if before not in self.GRAMMAR[app.who].get(type(event), ()):
            self.fail(f"{app} was given {type(event).__name__} after {before.__name__ if before else 'nothing'}")


class P4(Property):
    """At the end every call that was opened has exactly one terminal event on each side that learned of it."""

    number = "P4"

    def on_rest(self) -> None:
        for app in self.sim.apps():
            ends = sum(type(event) is CallEnded for event in app.events)
            if app.call is not None and ends != 1:
                self.fail(f"{app} was given {ends} ends: {app.events}")


class P5(Property):
    """No event of a call follows its terminal event."""

    number = "P5"

    def on_event(self, app: App, event: Any) -> None:
        if len(app.events) > 1 and type(app.events[-2]) is CallEnded:
            self.fail(f"{app} was given {event} after its end")

    def on_rest(self) -> None:
        for app in self.sim.apps():
            if app.call is not None and (event := app.call.next_event()) is not None:
                self.fail(f"{app} has {event} left at the end")


class P6(Property):
    """Status, message and trailing metadata delivered are those sent, but for a local or transport cause, and for what
    the client's limit leaves no room for (MD-12)."""

    number = "P6"
    event_types = (CallEnded,)

    def on_event(self, app: App, event: Any) -> None:
        if not isinstance(app, ClientApp) or event.origin is not Origin.PEER:
            return
        server = self.sim.servers.get(app.index)
        sent = None if server is None or server.said is None else server.ended
        if sent is not None and sent.status == server.said:  # type: ignore[union-attr]
            heard, said = (event.status, event.trailing_metadata), (sent.status, sent.trailing_metadata)
            if heard != said:
                status, metadata = told(self.sim.scenario, server)  # type: ignore[arg-type]
                if heard != (status, Metadata(metadata)):
                    self.fail(f"{app} was told {heard}, its server has said {said}")


class P8(Property):
    """Once a call has ended, nothing that happens later changes its outcome."""

    number = "P8"
    event_types = (CallEnded,)

    def begin(self) -> None:
        self._ended: dict[App, CallEnded] = {}

    def on_ended(self, app: App) -> None:
        ended = app.ended
        assert ended is not None
        before = self._ended.setdefault(app, ended)
        if before is not ended and before != ended:
            self.fail(f"{app} had ended with {self._ended[app]}, and now with {ended}")

    def on_event(self, app: App, event: Any) -> None:
        before = self._ended.get(app, event)
        if before is not event and before != event:
            self.fail(f"{app} had ended with {self._ended[app]}, its reader is given {event}")

    def on_rest(self) -> None:
        for app in self._ended:
            self.on_ended(app)


class P32(Property):
    """A second cancel emits nothing, delivers nothing and raises nothing."""

    number = "P32"

    def on_command(self, app: App, what: str) -> None:
        if what == "cancels" and app.call is not None:
            ended = app.ended
            app.call.cancel()
            if app.ended is not ended:
                self.fail(f"a second cancel has changed how {app} ended")


class P34(Property):
    """DEADLINE_EXCEEDED never comes before the own deadline, and past it no call stays open."""

    number = "P34"
    event_types = (CallEnded,)

    def on_event(self, app: App, event: Any) -> None:
        if event.status.code is not StatusCode.DEADLINE_EXCEEDED:
            return
        deadline = app.call.deadline
        if isinstance(app, ServerApp) and app.said is not None:
            return  # so its application says
        if event.origin is Origin.LOCAL and (deadline is None or app.side.now < deadline):
            self.fail(f"{app} ended at {app.side.now}, its deadline is {deadline}")

    def on_timeout(self, side: Side, reason: TimerKind) -> None:
        for app in self.sim.apps():
            call = app.call
            if app.side is side and call is not None and call.ended is None and side.now >= (call.deadline or inf):
                self.fail(f"{app} is open at {side.now}, past its deadline {call.deadline}")


def has_sent_status(server: ServerApp | None, event: CallEnded) -> bool:
    """Whether the end that a client was given is what its server's application has said."""
    return (
        server is not None
        and server.said is not None
        and server.ended is not None
        and event.origin is Origin.PEER
        and event.status == server.said == server.ended.status
    )
