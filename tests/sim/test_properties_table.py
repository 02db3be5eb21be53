"""The table of the fifty properties is complete, and those of the last files can fail: a planted fault for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from duplexcore import CallEnded, ClientCall, Metadata, Origin, Status, StatusCode
from duplexcore.call import headers
from duplexcore.call.base import Call
from duplexcore.call.framing import MessageDecoder
from duplexcore.call.headers import Request
from duplexcore.connection import ServerConnection
from duplexcore.http2.carrier import Http2Carrier
from duplexcore.http2.flow import ReceiveWindow
from duplexcore.http2.lane import Http2Lane
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.properties import ALL, COSTLY, WHERE, Property, PropertyError
from duplexcore.testing.sim.properties.reframing import OFFENDING
from duplexcore.testing.sim.targets import EngineTarget
from duplexcore.testing.sim.watching import Watcher

ROOT = Path(__file__).parents[2]
PROPERTIES = {one.number: one for one in (*ALL, *COSTLY)}


def test_each_of_the_fifty_stands_in_the_table() -> None:
    assert set(WHERE) == {f"P{number}" for number in range(1, 51)}
    for place in WHERE.values():
        assert place.startswith("duplexcore.") or (ROOT / place).exists(), place


def altered(owner: Any, name: str, change: Callable[..., Any]) -> Callable[[pytest.MonkeyPatch], None]:
    """Plants ``change(original, *arguments)`` in the place of a method."""
    original = getattr(owner, name)
    return lambda patch: patch.setattr(owner, name, lambda *arguments, **named: change(original, *arguments, **named))


def ended_otherwise(when: Callable[[CallEnded], bool], **changes: Any) -> Callable[[pytest.MonkeyPatch], None]:
    """Calls whose end is such are told another one."""
    return altered(
        Call, "_end", lambda end, call, ended: end(call, replace(ended, **changes) if when(ended) else ended)
    )


def _raising(receive: Any, engine: Any, data: bytes, now: float) -> None:
    if b"junk" in bytes(data):
        raise ValueError("junk")
    receive(engine, data, now)


def _all_or_nothing(receive: Any, carrier: Any, data: bytes, now: float) -> None:
    if not bytes(data).endswith(OFFENDING):
        receive(carrier, data, now)


def _without_metadata(request: Any) -> Any:
    return replace(request, metadata=Metadata()) if isinstance(request, Request) else request


PLANTED = {
    "P9": ended_otherwise(lambda ended: ended.origin is Origin.PEER, status=Status(StatusCode.UNKNOWN)),
    "P14": ended_otherwise(lambda ended: ended.origin is Origin.TRANSPORT, status=Status(StatusCode.INTERNAL)),
    "P44": altered(
        ClientCall, "on_reset", lambda reset, call, *rest, **more: reset(call, *rest, **(more | {"unprocessed": True}))
    ),
    "P18, the connection": altered(
        ReceiveWindow, "consumed", lambda consumed, window, size: consumed(window, size - 1)
    ),
    "P18": altered(Http2Lane, "consumed", lambda consumed, lane, size: consumed(lane, max(0, size - 1))),
    "P48": altered(headers, "read_request", lambda read, *rest, **more: _without_metadata(read(*rest, **more))),
    "P22": lambda patch: patch.setattr(Call, "writable", property(lambda call: call.send_state < 2)),
    "P23": altered(MessageDecoder, "drop", lambda drop, decoder: None),
    "P24": altered(Http2Carrier, "_remove", lambda remove, carrier, lane: carrier.queues.remove(lane)),
    "P12": altered(Http2Carrier, "receive", _all_or_nothing),
    "P40": altered(Http2Carrier, "_drop", lambda drop, carrier, lane, reason, **more: drop(carrier, lane, reason)),
    "P39": lambda patch: patch.setattr(Http2Carrier, "live", property(lambda carrier: carrier.backlog)),
    "P26": altered(ServerConnection, "receive_data", _raising),
    "P37": ended_otherwise(
        lambda ended: ended.origin is Origin.PEER and ended.status.code is StatusCode.CANCELLED,
        status=Status(StatusCode.ABORTED),
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_property_can_fail(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    number = planted.partition(",")[0]
    run(PROPERTIES[number], 20)
    PLANTED[planted](monkeypatch)
    with pytest.raises(PropertyError) as found:
        run(PROPERTIES[number], 400)
    assert found.value.number == number


class Alone(EngineTarget):
    """Checks one property alone."""

    def __init__(self, property_: type[Property]) -> None:
        super().__init__()
        self._property = property_

    def watchers(self) -> list[Watcher]:
        return [self._property()]


def run(property_: type[Property], seeds: int) -> None:
    target = Alone(property_)
    for seed in range(seeds):
        target.prepare(PrngChooser(seed)).run()
