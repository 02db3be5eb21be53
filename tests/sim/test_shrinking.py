"""What fails is made small: by each way what no other can, never into another failure, within its budget."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest

from duplexcore.testing.sim import shrinking
from duplexcore.testing.sim.choosing import Chooser, Tape, TapeChooser
from duplexcore.testing.sim.mirrored import mirrored
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.properties import P2, PropertyError
from duplexcore.testing.sim.shrinking import Target, shrink
from duplexcore.testing.sim.smaller import WAYS, Now, Plan, Run
from duplexcore.testing.sim.targets import EngineOptions, EngineTarget
from duplexcore.testing.sim.turns import TurnChooser, TurnRecorder

from .planted import overtaken
from .support import drawn


def acts(chooser: Chooser, names: Sequence[str]) -> str:
    """Who acts next; the last is the only one that can."""
    if len(names) > 1:
        return names[chooser.choose(len(names), "step", names)]
    chooser.forced(names[0])  # type: ignore[attr-defined]
    return names[0]


def steps_of(target: Target, tape: Tape) -> int:
    recorder = TurnRecorder(TapeChooser(tape))
    with pytest.raises(PropertyError):
        target(recorder)
    return len(recorder.turns) - 1


# -- a target for each way, which no other way makes as small ----------------------------------------------------------


def one_call(chooser: Chooser) -> None:
    """Fails where a call has drawn 2 things of note and acts three times; each call must be over at the end."""
    counts = 1 + chooser.choose(4, "calls", ())
    notes = [(chooser.choose(3, "first", ()), chooser.choose(3, "second", ())) for _ in range(counts)]
    left = {f"call {number}": 3 for number in range(counts)}
    while left:
        name = acts(chooser, list(left))
        left[name] -= 1
        if not left[name]:
            del left[name]
    if (2, 2) in notes:
        raise PropertyError("T1", "a call that is noted")


def in_blocks(chooser: Chooser) -> None:
    """Fails after b, a, four times, with eight turns of ``d`` before it or none; who acted last is option 0."""
    order, last = "", "a"
    while len(order) < 40:
        last = acts(chooser, (last, *(name for name in "abcd" if name != last)))
        order += last
        if order in (4 * "ba", 8 * "d" + 4 * "ba"):
            raise PropertyError("T2", order)


def dull_is_long(chooser: Chooser) -> None:
    """The dull option needs ten steps more."""
    short = chooser.choose(3, "short", ("no", "yes", "twice"))
    for _ in range(5 if short == 1 else 15):
        acts(chooser, ("a",))
    raise PropertyError("T3", "at last")


def two_at_once(chooser: Chooser) -> None:
    """Two choices that must agree, or nothing fails: with both another way there are fewer steps."""
    here, there = chooser.choose(4, "here", ()), chooser.choose(4, "there", ())
    for _ in range(9 - here):
        acts(chooser, ("a",))
    if here == there:
        raise PropertyError("T4", "both")


def one_for_two(chooser: Chooser) -> None:
    """Fails where one side says two messages and the other one, by their sizes."""
    said = []
    for kind in ("requests", "responses"):
        said.append([chooser.choose(9, "size", ()) for _ in range(chooser.choose(4, kind, ()))])
    steps = {"[[6, 7], [1]]": 2, "[[1], [6, 7]]": 4}.get(str(said), 0)
    for _ in range(steps):
        acts(chooser, ("c0 writer",))
    if steps:
        raise PropertyError("T8", "one for two")


def no_steps(chooser: Chooser) -> None:
    """A tape and nothing else: fails when two 3s come, whatever is between them."""
    threes = sum(chooser.choose(5, "number", ()) == 3 for _ in range(12))
    if threes >= 2:
        raise PropertyError("T5", "two of them")


def a_large_number(chooser: Chooser) -> None:
    """Fails from 600 on."""
    if chooser.choose(1_000, "number", ()) >= 600:
        raise PropertyError("T6", "large")


@pytest.mark.parametrize(
    ("way", "target", "tape", "steps", "smallest"),
    [
        ("without_a_number", one_call, (3, 1, 0, 0, 1, 2, 2, 1, 1, *(3, 2, 1, 0) * 2), 3, (0, 2, 2)),
        ("fewer_turns", in_blocks, (3, *(0,) * 7, 2, *(1,) * 7), 8, (1,) * 8),
        ("other_choices", dull_is_long, (0,), 5, (1,)),
        ("shorter_tape", no_steps, (3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3), 0, (3, 3)),
        ("smaller_numbers", a_large_number, (999,), 0, (600,)),
    ],
)
def test_no_way_does_what_another_does(
    way: str, target: Target, tape: Tape, steps: int, smallest: Tape, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shrinking, "strays", by_no_chance)
    assert shrink(target, tape, budget=200)[1] == smallest
    assert steps_of(target, smallest) == steps
    monkeypatch.setattr(shrinking, "WAYS", [one for one in WAYS if one.__name__ != way])
    assert shrink(target, tape, budget=200)[1] != smallest


def test_a_dull_opening_is_tried_at_once() -> None:
    """Each choice alone is found by others, too: this one is quick."""
    tried = list[int]()

    def target(chooser: Chooser) -> None:
        tried.append(sum(chooser.choose(5, "any", ()) for _ in range(40)))
        raise PropertyError("T7", "whatever it is")

    shrink(target, (4,) * 40, budget=3)
    assert tried[1] == 0


def test_chance_changes_two_things_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shrink(two_at_once, (1, 1))[1] == (3, 3)
    monkeypatch.setattr(shrinking, "strays", by_no_chance)
    assert shrink(two_at_once, (1, 1))[1] == (1, 1)


def test_what_the_server_says_may_take_fewer_steps_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shrink(one_for_two, (1, 1, 2, 6, 7))[1] == (2, 6, 7, 1, 1)
    monkeypatch.setattr(shrinking, "mirrored", by_no_chance)
    assert shrink(one_for_two, (1, 1, 2, 6, 7))[1] == (1, 1, 2, 6, 7)


@pytest.mark.parametrize("seed", range(10))
def test_the_mirrored_run_has_responses_for_requests(seed: int) -> None:
    target = EngineTarget(EngineOptions(features=False))
    first = TurnRecorder(PrngChooser(seed))
    calls = target(first).scenario.calls
    (plan,) = mirrored(lambda: Run(first.tape, first.turns))
    others = target(plan.chooser()).scenario.calls
    assert [(call.responses, call.requests) for call in others] == [(call.requests, call.responses) for call in calls]


def by_no_chance(now: Now) -> Iterator[Plan]:
    yield from ()


# -- what holds of all -------------------------------------------------------------------------------------------------


def test_another_failure_is_none() -> None:
    def target(chooser: Chooser) -> None:
        number = chooser.choose(100, "number", ())
        raise PropertyError("large" if number >= 50 else "small", "")

    error, tape = shrink(target, (99,))
    assert (error.number, tape) == ("large", (50,))


@pytest.mark.parametrize("budget", [0, 1, 7, 60])
def test_no_more_runs_than_the_budget_and_the_first(budget: int) -> None:
    told: list[tuple[int, int]] = []

    def hear(runs: int, steps: int) -> None:
        told.append((runs, steps))

    shrink(in_blocks, (3, *(0,) * 7, 2, *(1,) * 7), budget=budget, progress=hear)
    assert [runs for runs, _ in told] == list(range(1, budget + 1))
    assert [steps for _, steps in told] == sorted((steps for _, steps in told), reverse=True)


@pytest.mark.parametrize("seed", range(8))
def test_a_run_by_its_turns_is_the_same(seed: int) -> None:
    target = EngineTarget()
    first = TurnRecorder(PrngChooser(seed))
    trace = target(first).trace
    again = TurnRecorder(TurnChooser(first.turns))
    assert target(again).trace == trace
    assert (again.turns, again.tape) == (first.turns, first.tape)
    assert len(trace) == len(first.turns) - 1


@pytest.mark.parametrize("nth", [0, 1])
def test_a_planted_fault_becomes_short_from_anywhere(nth: int) -> None:
    """A call, its message and its status, both written and delivered before the message is read."""

    def target(chooser: Chooser) -> None:
        drawn(chooser, max_calls=2, properties=[P2]).run()

    with overtaken():
        long = next(itertools.islice(failing(target), nth, None))
        error, tape = shrink(target, long, budget=250)
        assert error.number == "P2"
        assert steps_of(target, tape) <= 10 < steps_of(target, long)


def failing(target: Target) -> Iterator[Tape]:
    for seed in itertools.count():
        recorder = TurnRecorder(PrngChooser(seed))
        try:
            target(recorder)
        except PropertyError as error:
            if error.number == "P2":
                yield recorder.tape
