"""The explorer on the real engine: worlds are complete and keep their counts, shortcuts lose nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from duplexcore.testing.sim.explorer import ExplorationError, Explorer, explore
from duplexcore.testing.sim.explorer_bounds import Bounds, Feature
from duplexcore.testing.sim.explorer_halves import Half, Input, inputs, step
from duplexcore.testing.sim.explorer_snapshots import restored, snapshot
from duplexcore.testing.sim.explorer_worlds import PINNED
from duplexcore.testing.sim.properties import PropertyError

from .planted import overtaken

GOLDEN = Path(__file__).with_name("golden") / "explored.json"
CALL = Feature.CANCELS | Feature.DEADLINES | Feature.ABORTS | Feature.LOSS | Feature.READS
ENDS = Feature.CANCELS | Feature.ABORTS | Feature.READS
PLAIN = Feature(0)
SMALL = Bounds(features=Feature.CANCELS)


def labels(explorer: Explorer) -> set[tuple[bytes, str]]:
    """Every state of a side, with everything that has happened to it."""
    return {(explorer.key(half), happened.label) for half, happened in explorer.pairs()}


@pytest.mark.parametrize("name", PINNED)
def test_a_world_is_complete_and_keeps_its_counts(name: str) -> None:
    """A count that changes is a change of what can happen: look at it, then `python scripts/explored.py --pin`."""
    world = PINNED[name]
    found = explore(world.bounds, reduced=world.reduced).found
    assert found.complete
    assert found.as_dict() == json.loads(GOLDEN.read_text(encoding="utf-8"))[name]


@pytest.mark.parametrize("name", ["no messages", "cut messages"])
def test_both_http2_give_the_same_states(name: str) -> None:
    """Not only as many: what is compared does not tell which of them it comes from."""
    ours, h2s = (explore(replace(PINNED[name].bounds, http2=http2), reduced=True) for http2 in ("native", "h2"))
    assert ours.found.as_dict() == h2s.found.as_dict()
    assert labels(ours) == labels(h2s)


class Merging(Explorer):
    """Keeps one other half of each that was merged into one that was there."""

    merged: dict[int, bytes]

    def _intern(self, half: Half) -> int:
        if not hasattr(self, "merged"):
            self.merged = {}
        blob, whole = snapshot(half), half.whole_key()
        number = super()._intern(half)
        if number not in self.merged and whole != self.half(number).whole_key():
            self.merged[number] = blob
        return number


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(
            responses=0, features=Feature.CANCELS | Feature.DEADLINES | Feature.ABORTS | Feature.READS | Feature.CUTS
        ),
        Bounds(requests=0, responses=0),
    ],
    ids=str,
)
def test_merged_states_have_the_same_steps_to_states_that_are_merged_again(bounds: Bounds) -> None:
    """A bisimulation, as far as it was explored: of every half one that differs from it in its whole fingerprint."""
    explorer = Merging(bounds, reduced=True)
    explorer.run()
    steps: dict[int, list[Input]] = {}
    for number, happened in explorer.pairs():
        steps.setdefault(number, []).append(happened)
    assert len(explorer.merged) > 20
    for number, blob in explorer.merged.items():
        assert tuple(inputs(restored(blob))) == explorer.inputs(number)
        for happened in steps.get(number, ()):
            outcome = step(restored(blob), happened)
            after, made = explorer.step(number, happened)
            assert outcome.half.key() == explorer.key(after), happened.label
            assert outcome.items == explorer.items(made), happened.label


@pytest.mark.parametrize(
    "bounds", [Bounds(requests=0, responses=0, features=CALL), Bounds(responses=0, features=ENDS)], ids=str
)
def test_steps_that_are_hurried_change_nothing_that_can_be_seen(bounds: Bounds) -> None:
    hurried = explore(bounds, reduced=True)
    every = explore(replace(bounds, every_step=True), reduced=True)
    assert every.found.states > hurried.found.states
    assert {label for _, label in labels(every)} == {label for _, label in labels(hurried)}
    assert set(every.found.ends) == set(hurried.found.ends)


@pytest.mark.parametrize("features", [PLAIN, Feature.CANCELS | Feature.ABORTS, Feature.LOSS, Feature.SHUTDOWN])
def test_a_reduced_exploration_misses_nothing_that_a_side_can_tell(features: Feature) -> None:
    bounds = Bounds(features=features)
    whole, reduced = explore(bounds), explore(bounds, reduced=True)
    assert reduced.found.states < whole.found.states
    assert labels(reduced) == labels(whole)
    assert reduced.found.ends == whole.found.ends


def test_what_is_forgotten_of_an_engine_does_not_matter() -> None:
    """With whole fingerprints: more states, the same things that happen, the same ends."""
    cut = explore(SMALL, reduced=True)
    whole = explore(Bounds(features=SMALL.features, whole=True), reduced=True)
    assert whole.found.states > cut.found.states
    assert {happened.label for _, happened in whole.pairs()} == {happened.label for _, happened in cut.pairs()}
    assert set(whole.found.ends) == set(cut.found.ends)


def test_every_split_of_every_frame_leads_to_the_same_state() -> None:
    """P11."""
    assert explore(Bounds(features=Feature.CANCELS | Feature.ABORTS), reduced=True, thorough=True).found.complete


def test_a_planted_fault_is_found_by_the_shortest_way() -> None:
    with overtaken(), pytest.raises(PropertyError) as found:
        explore(Bounds(requests=0, features=Feature.READS), reduced=True)
    assert found.value.number in ("P1", "P2", "P3", "P7", "STAT-21")
    assert "\n  client: start\n" in str(found.value)


def test_an_exploration_goes_on_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "explored"
    first = Explorer(SMALL, reduced=True)
    assert not first.run(200).complete
    first.save(path)
    again = Explorer.load(path, SMALL, reduced=True)
    assert again.run().as_dict() == explore(SMALL, reduced=True).found.as_dict()
    with pytest.raises(ExplorationError, match="another world"):
        Explorer.load(path, Bounds(features=PLAIN), reduced=True)
    path.write_bytes(b"no pickle")
    with pytest.raises(ExplorationError, match="can not be read"):
        Explorer.load(path, SMALL)


def test_shards_find_together_what_one_finds_alone() -> None:
    shards = [Explorer(SMALL, reduced=True, shard=(which, 3)) for which in range(3)]
    busy = True
    while busy:
        busy = False
        for which, shard in enumerate(shards):
            shard.run()
            for other in range(3):
                handed = shard.hand_over(other) if other != which else None
                busy = (handed is not None and bool(shards[other].take_in(handed))) or busy
    alone = explore(SMALL, reduced=True).found
    assert sum(shard.found.states for shard in shards) == alone.states
    assert sum(shard.found.at_rest for shard in shards) == alone.at_rest
    assert set().union(*(shard.found.ends for shard in shards)) == set(alone.ends)


def test_worlds_that_can_not_be_are_refused() -> None:
    with pytest.raises(ValueError, match="requests is 9: it must be from 0 to 8"):
        Bounds(requests=9)
    with pytest.raises(ValueError, match="shard 3 of 3"):
        Explorer(SMALL, shard=(3, 3))
    with pytest.raises(ExplorationError, match="can not be read"):
        Explorer(SMALL).take_in(b"no pickle")
