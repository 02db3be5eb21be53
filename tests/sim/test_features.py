"""What a few runs have switched on besides: each feature is drawn, reaches what it is for, and breaks no property."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from duplexcore.testing.sim.between import (
    ANSWER_WAYS,
    CREDIT_WAYS,
    DATA_WAYS,
    JOINS,
    OF_REQUESTS,
    TRAILER,
    WITH_PADDING,
    Between,
    Way,
)
from duplexcore.testing.sim.choosing import Chooser, TapeChooser
from duplexcore.testing.sim.features import FEATURES
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.properties.base import PropertyError
from duplexcore.testing.sim.simulation import Scenario, Simulation
from duplexcore.testing.sim.targets import EngineOptions, EngineTarget, Watchers
from duplexcore.testing.sim.wires import Frame, body_of


class With(EngineTarget):
    """Each run over HTTP/2 has this feature, and no other."""

    carriers = ("native",)

    def __init__(self, name: str, options: EngineOptions | None = None, watchers: Watchers = tuple) -> None:
        super().__init__(options, watchers)
        self._feature = FEATURES[name]

    def _with_features(self, chooser: Chooser, scenario: Scenario) -> Scenario:
        return self._feature(chooser, scenario)


class Noting:
    """Counts the labels that are drawn."""

    def __init__(self, inner: Chooser) -> None:
        self._inner = inner
        self.drawn: Counter[tuple[str, str]] = Counter()

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        chosen = self._inner.choose(n, kind, labels)
        if kind in ("features", "feature", "between"):
            self.drawn[kind, str(labels[chosen])] += 1
        return chosen


def test_every_feature_is_drawn_and_some_runs_have_none() -> None:
    drawn: Counter[tuple[str, str]] = Counter()
    target = EngineTarget()
    for seed in range(300):
        noting = Noting(PrngChooser(seed))
        target.scenario(noting)
        drawn += noting.drawn
    assert {name for kind, name in drawn if kind == "feature"} == set(FEATURES)
    assert {name for kind, name in drawn if kind == "features"} == {"0", "1", "2"}


def test_they_can_be_left_out() -> None:
    noting = Noting(PrngChooser(1))
    EngineTarget(EngineOptions(features=False)).scenario(noting)
    assert not noting.drawn


@pytest.mark.parametrize("name", FEATURES)
def test_no_property_is_broken(name: str) -> None:
    target = With(name)
    for seed in range(15):
        target(PrngChooser(seed))


@pytest.mark.parametrize(
    ("ways", "frame"),
    [
        (ANSWER_WAYS, Frame(1, 0x5, 3, bytes(range(20)))),
        (DATA_WAYS | WITH_PADDING | OF_REQUESTS, Frame(0, 0x1, 3, bytes(range(20)))),
        (CREDIT_WAYS, Frame(8, 0, 3, (5).to_bytes(4, "big"))),
    ],
    ids=["headers", "DATA", "credit"],
)
def test_other_frames_say_the_same(ways: dict[str, Way], frame: Frame) -> None:
    """What they carry is the same, together; only the last of a kind ends anything."""
    for name, way in ways.items():
        pieces = [one for one in way(frame) if one.type in (0, 1, 8, 9) and not one.payload.endswith(b"\x03103")]
        assert {one.stream for one in pieces} == {3}, name
        if frame.type == 8:
            assert sum(int.from_bytes(one.payload, "big") for one in pieces) == 5, name
            continue
        assert b"".join(body_of(one) for one in pieces if one.payload != TRAILER) == frame.payload, name
        ends = [one.flags & 0x1 for one in pieces if one.type != 9]
        assert ends[-1] == 1, name
        assert not any(ends[:-1]), name


@pytest.mark.req("HDR-16", "FRM-10")
def test_the_end_of_a_stream_goes_on_the_frame_before_it() -> None:
    """Where that is the next of its stream, and says nothing else."""
    headers, other, last = Frame(1, 0x4, 1, b"\x83"), Frame(0, 0, 3, b"x"), Frame(0, 0x1, 1, b"")
    for tape, expected in (
        ([JOINS.index("joined")], [headers._replace(flags=0x5), other]),
        ([JOINS.index("apart")], [headers, other, last]),
    ):
        assert Between(TapeChooser(tape), answers=False, pads=False)([headers, other, last]) == expected
    full = last._replace(payload=b"x")
    assert Between(TapeChooser([1]), answers=False, pads=False)([headers, full])[-1] == full


def test_what_comes_in_other_frames_is_drawn_in_every_way() -> None:
    drawn: Counter[tuple[str, str]] = Counter()
    target = With("something between", EngineOptions(endings=False, faults=False, leaves=False))
    for seed in range(60):
        noting = Noting(PrngChooser(seed))
        target(noting)
        drawn += noting.drawn
    assert {name for kind, name in drawn if kind == "between"} == {
        *ANSWER_WAYS,
        *DATA_WAYS,
        *WITH_PADDING,
        *OF_REQUESTS,
        *CREDIT_WAYS,
    }


def test_a_limit_that_is_not_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that takes what is too long: the reference model knows better."""
    monkeypatch.setattr("duplexcore.call.framing.MessageDecoder._exceed", lambda *_: None)
    target = With("received messages")
    with pytest.raises(PropertyError):
        for seed in range(60):
            target(PrngChooser(seed))


def test_calls_that_wait_beyond_the_limit_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that counts none of them refuses none."""
    monkeypatch.setattr("duplexcore.http2.carrier.Http2Carrier.waiting", 0)
    target = With("waiting calls")
    with pytest.raises(PropertyError, match="refused at its start"):
        for seed in range(60):
            target(PrngChooser(seed))


def test_the_simulation_is_over_http2() -> None:
    with pytest.raises(ValueError, match="no frames"):
        Simulation(Scenario(in_process=True, between=True), PrngChooser(0))


@pytest.mark.req("KEEP-8", "KEEP-9")
@pytest.mark.parametrize("gap", [0.0, 1.0])
def test_a_server_that_lets_clients_ask_too_often_is_found(gap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it has no calls."""
    monkeypatch.setattr("duplexcore.http2.limits.PingStrikes.WITHOUT_CALLS", gap)
    target = With("keepalive")
    with pytest.raises(PropertyError, match="KEEP-8"):
        for seed in range(400):
            target(PrngChooser(seed))


def half_a_change(self: Any, lane: Any, size: int) -> None:
    self.out += size
    lane.advanced += size


@pytest.mark.req("FLOW-4", "SEC-11")
@pytest.mark.parametrize(("what", "instead"), [("_serve", lambda _: None), ("_change", half_a_change)])
def test_credit_that_goes_wrong_is_found(what: str, instead: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those who wait for it none gets it; the connection's window is as it was."""
    monkeypatch.setattr(f"duplexcore.http2.advances.Advances.{what}", instead)
    target = With("advances", EngineOptions(costly=True))
    with pytest.raises(PropertyError, match=r"P20|P18"):
        for seed in range(200):
            target(PrngChooser(seed))
