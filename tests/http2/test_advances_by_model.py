"""Credit before its time, against what must hold of it whoever asks: a budget, an order, and nobody forgotten."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore.http2.advances import Advances
from duplexcore.http2.flow import ReceiveWindow

BUDGET = 100
SEEDS = st.integers(0, 2**32).map(Random)


class Lane:
    """What it has asked for since it was settled, and what of it was granted."""

    def __init__(self) -> None:
        self.advanced = self.asked = self.granted = 0

    @property
    def waits(self) -> int:
        return self.asked - self.granted

    def consumed(self, size: int) -> None:
        assert size > 0
        self.granted += size
        assert self.granted == self.advanced <= self.asked


@pytest.mark.req("FLOW-3", "FLOW-4", "SEC-11")
@given(SEEDS)
@settings(max_examples=150, database=None)
def test_what_is_out_keeps_a_budget_and_everybody_comes_through(random: Random) -> None:
    connection = ReceiveWindow(10 * BUDGET)
    advances: Any = Advances(BUDGET, connection)
    lanes = [Lane() for _ in range(random.randint(1, 5))]
    waiting: list[Lane] = []  # in the order in which they began to wait
    strained = False  # whether one has asked for more than there was
    for _ in range(random.randint(1, 40)):
        lane = random.choice(lanes)
        if random.random() < 0.6:
            size = random.choice((1, 10, BUDGET // 2, BUDGET // 2 + 1, BUDGET, BUDGET + 1, 3 * BUDGET))
            lane.asked += size
            strained = strained or advances.out + size > BUDGET
            advances.ask(lane, size)
            if lane.waits and lane not in waiting:
                waiting.append(lane)
        elif lane.advanced > 1 and random.random() < 0.5:
            size = random.randint(1, lane.advanced - 1)
            lane.asked -= size
            lane.granted -= size
            advances.repay(lane, size)
        else:
            assert advances.settle(lane) == lane.waits
            assert lane.advanced == 0
            lane.asked = lane.granted = 0
            waiting = [one for one in waiting if one is not lane]
        waiting = check(advances, lanes, waiting)
        assert connection.owed == advances.out == sum(lane.advanced for lane in lanes)
        assert connection.size == 10 * BUDGET + advances.out
        roomy = not waiting and advances.out <= BUDGET / 2
        assert advances.may_stay is roomy or (strained and not advances.may_stay)  # one may have all that it asks for
    for _ in range(len(lanes)):  # each that has all is done with it, and so makes room
        for lane in lanes:
            if not lane.waits:
                assert advances.settle(lane) == 0
                lane.asked = lane.granted = 0
                waiting = check(advances, lanes, waiting)
    assert not any(lane.waits for lane in lanes)
    assert not advances.busy


def check(advances: Any, lanes: list[Lane], before: list[Lane]) -> list[Lane]:
    """Those that wait now."""
    waiting = [lane for lane in before if lane.waits]
    assert waiting == before[len(before) - len(waiting) :]  # the first is the next
    out = sum(lane.granted for lane in lanes)
    assert out - max(lane.granted for lane in lanes) <= BUDGET  # one alone may be beyond it
    if waiting:
        assert out + waiting[0].waits > BUDGET
        assert any(lane.granted and not lane.waits for lane in lanes)  # somebody whose message comes whole
    assert advances.busy is any(lane.asked for lane in lanes)
    return waiting
