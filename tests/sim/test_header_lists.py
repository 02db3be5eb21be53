"""Limits of header lists in simulated runs: sizes follow from scripts, and what a side makes of limits is judged."""

from __future__ import annotations

from typing import Any

import pytest

from duplexcore import Status, StatusCode
from duplexcore.call.headers import BadBlock
from duplexcore.status import ErrorCode
from duplexcore.testing.sim.blocks import HeaderReader
from duplexcore.testing.sim.header_lists import request_size, response_size
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.properties.base import PropertyError
from duplexcore.testing.sim.properties.endings import stream_of
from duplexcore.testing.sim.sides import Side
from duplexcore.testing.sim.targets import EngineOptions
from duplexcore.testing.sim.watching import Watcher
from duplexcore.testing.sim.wires import Frame
from tests.sim.test_features import With

HEADERS, ES = 1, 1


class Sizes(Watcher):
    """Compares the lists that open a side with what their scripts say."""

    arrived_types = framed_types = (HEADERS,)

    def __init__(self) -> None:
        self.compared = 0

    def begin(self) -> None:
        self._readers = {side: HeaderReader() for side in (self.sim.client, self.sim.server)}
        self._opened: set[int] = set()

    def on_framed(self, side: Side, frame: Frame) -> None:
        fields = self._readers[side].read(frame.payload)
        if side is self.sim.client:
            least, most = request_size(self.sim.scenario, int(fields[b":path"].rpartition(b"/")[2]))
        elif frame.flags & ES:
            return
        else:
            app = next(app for app in self.sim.servers.values() if stream_of(app) == frame.stream)
            least = most = response_size(self.sim.scenario, app)
        assert least <= fields.size <= most
        self.compared += 1


@pytest.mark.req("MD-10")
@pytest.mark.parametrize("name", ["header lists", "metadata", "names", "codings", "timeouts"])
def test_sizes_are_told_from_scripts(name: str) -> None:
    sizes = Sizes()
    target = With(name, EngineOptions(faults=False, leaves=False), lambda: [sizes])
    for seed in range(12):
        target(PrngChooser(seed))
    assert sizes.compared > 12


def _says_nothing(*_: object) -> tuple[()]:
    return ()


def _fits(*_: object) -> bool:
    return True


def _no_limit(*_: object) -> int:
    return 2**32


def _another(*_: object) -> BadBlock:
    return BadBlock(Status(StatusCode.INTERNAL), ErrorCode.CANCEL)


@pytest.mark.req("MD-11", "MD-12")
@pytest.mark.parametrize(
    ("where", "planted", "found"),
    [
        ("call.server.ServerCall._fits", _fits, "MD-12"),
        ("http2.lane.Http2Lane.header_limit", property(_no_limit), "MD-12"),
        ("call.server._lesser", _says_nothing, "P33"),
        ("call.headers._too_large", _another, "P7"),
    ],
    ids=["answers", "requests", "cut down", "too large"],
)
def test_a_side_that_does_not_keep_to_a_limit_is_found(
    where: str, planted: Any, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"duplexcore.{where}", planted)
    target = With("header lists")
    with pytest.raises(PropertyError, match=found):
        for seed in range(100):
            target(PrngChooser(seed))
