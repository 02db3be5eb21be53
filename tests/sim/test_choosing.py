"""Choosers: what they give, and that a recorded run can be had again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from duplexcore.testing.sim.choosing import BytesChooser, OdometerChooser, Recorder, TapeChooser
from duplexcore.testing.sim.policies import Policy, PrngChooser

from .support import run


def test_a_tape_is_replayed_and_dull_behind_its_end() -> None:
    chooser = TapeChooser([2, 9])
    assert [chooser.choose(n, "", ()) for n in (3, 4, 5)] == [2, 3, 0]


def test_bytes_are_choices() -> None:
    chooser = BytesChooser(b"\x05\x01\x00")
    assert [chooser.choose(n, "", ()) for n in (4, 300, 7)] == [1, 256, 0]


def test_the_odometer_counts_through_all_runs_also_where_a_choice_decides_what_follows() -> None:
    def game(chooser: OdometerChooser) -> Sequence[int]:
        first = chooser.choose(3, "", ())
        return [first, *(chooser.choose(2, "", ()) for _ in range(first))]

    games = [game(chooser) for chooser in OdometerChooser.all()]
    assert games == [[0], [1, 0], [1, 1], [2, 0, 0], [2, 0, 1], [2, 1, 0], [2, 1, 1]]


@pytest.mark.parametrize("policy", Policy)
def test_a_seed_gives_the_same_run_and_its_tape_too(policy: Policy) -> None:
    for seed in range(10):
        first, again = Recorder(PrngChooser(seed, policy)), Recorder(PrngChooser(seed, policy))
        trace = run(first).trace
        assert run(again).trace == trace
        assert run(TapeChooser(first.tape)).trace == trace


def test_the_choices_are_recorded_with_their_names() -> None:
    recorder = Recorder(TapeChooser([]))
    run(recorder)
    assert {choice.kind for choice in recorder.choices} >= {"calls", "step", "size"}
    assert [choice.chosen for choice in recorder.choices] == [0] * len(recorder.choices)
    assert "client writes" in [choice.label for choice in recorder.choices]


def test_the_policies_differ() -> None:
    """Each reaches ends that a call has in its own proportion; none ends every call before it began."""
    for policy in Policy:
        ends = [end for seed in range(60) for end in run(PrngChooser(seed, policy)).ends()]
        assert any(client is not None and client.status.ok for client, _ in ends), policy
        assert any(client is not None and not client.status.ok for client, _ in ends), policy
