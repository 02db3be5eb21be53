"""Properties that are checked on copies of an engine, now and then: P11, P28, P29 and P35.

A copy costs about as much as a call, so these look at every so many steps only, in runs that ask for them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from duplexcore import CallStarted, ClientCall, LocalProtocolError, ServerCall, Status, StatusCode
from duplexcore.fingerprint import fingerprint

from .base import Property

if TYPE_CHECKING:
    from ..sides import Side

__all__ = ["P11", "P28", "P29", "P35"]

#: Every so many opportunities one is taken; not a power of 2, so that it does not beat with the rhythm of a run.
EVERY = 7


class P11(Property):
    """Any split of the same inbound bytes gives the same events, outbound bytes and fingerprint."""

    number = "P11"

    def begin(self) -> None:
        self._count = 0
        self._copy: tuple[Side, Any] | None = None

    def on_bytes(self, side: Side, data: bytes) -> None:
        self._count += 1
        if self._count % EVERY or side.closed is not None:
            return
        copy = copied(side.engine)
        for index in range(len(data)):
            copy.receive_data(data[index : index + 1], side.now)
        self._copy = side, copy

    def on_step(self) -> None:
        if self._copy is None:
            return
        (side, copy), self._copy = self._copy, None
        for event in iter(copy.next_event, None):
            if type(event) is CallStarted and self.sim.script_of(event.call).single_request:
                event.call.expect_single_request()  # as its application has said at once
        if fingerprint(copy) != fingerprint(side.engine):
            self.fail(f"{side.name} is in another state when the bytes arrive one by one")


class P28(Property):
    """A local call illegal in its state raises LocalProtocolError, emits nothing and changes no fingerprint."""

    number = "P28"

    def begin(self) -> None:
        self._count = 0

    def on_step(self) -> None:
        self._count += 1
        if self._count % EVERY:
            return
        apps = [app for app in self.sim.apps() if app.call is not None]
        if apps:
            app = apps[self._count // EVERY % len(apps)]
            for what, do in _commands(app.call):
                self._try(app.side, app.call, what, do)

    def _try(self, side: Side, call: Any, what: str, do: Callable[[Any], object]) -> None:
        engine, copy = copied((side.engine, call))
        before = fingerprint(engine)
        try:
            do(copy)
        except LocalProtocolError:
            if fingerprint(engine) != before:
                self.fail(f"{what} was refused, and has changed {side.name}")


class P29(P28):
    """A local call that fails midway (bad metadata) leaves no bytes and no HPACK change behind."""

    number = "P29"

    def on_step(self) -> None:
        self._count += 1
        side = self.sim.client
        if self._count % EVERY or side.closed is not None:
            return
        copy = copied(side.engine)
        before = fingerprint(copy)
        for bad in ({"Bad Key": "x"}, {"fine": "x", "grpc-status": "0"}, {"fine": "line\nbreak"}):
            try:
                copy.start_call("/sim.Calls/0", bad)
            except LocalProtocolError:
                continue
            self.fail(f"metadata {bad} was taken")
        if fingerprint(copy) != before:
            self.fail("a call that was refused for its metadata has changed the client")


class P35(Property):
    """Waking before ``next_timeout()`` is a no-op."""

    number = "P35"

    def begin(self) -> None:
        self._count = 0

    def on_step(self) -> None:
        self._count += 1
        if self._count % EVERY:
            return
        for side in (self.sim.client, self.sim.server):
            due = side.engine.next_timeout()
            if due is not None and due > side.now:
                copy = copied(side.engine)
                copy.handle_timeout((side.now + due) / 2)
                while copy.next_event() is not None:
                    self.fail(f"{side.name} had something to say before its timeout")
                if fingerprint(copy) != fingerprint(side.engine):
                    self.fail(f"{side.name} has changed before its timeout was due")


def copied(what: Any) -> Any:
    """A copy that shares nothing with its original."""
    return pickle.loads(pickle.dumps(what))  # noqa: S301 - our own bytes


def _commands(call: Any) -> Iterator[tuple[str, Callable[[Any], object]]]:
    yield "send_message", lambda call: call.send_message(b"x")
    if isinstance(call, ClientCall):
        yield "half_close", lambda call: call.half_close()
    if isinstance(call, ServerCall):
        yield "send_initial_metadata", lambda call: call.send_initial_metadata()
        yield "finish", lambda call: call.finish(Status(StatusCode.OK))
        yield "finish with bad metadata", lambda call: call.finish(Status(StatusCode.OK), {"Bad Key": ""})
