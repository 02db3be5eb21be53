"""What a flood makes the engine keep is bounded by the configuration, however long it lasts: measured, not argued."""

from __future__ import annotations

import pytest

from scripts import limits
from tests.support.floods import FLOODS, KIB, SLACK, Flood, measure

#: In frames; `scripts/limits.py` measures longer ones for the page.
COUNTS = [60, 240]


@pytest.mark.parametrize(
    "flood",
    [pytest.param(flood, marks=pytest.mark.req(*flood.rules), id=name) for name, flood in FLOODS.items()],
)
@pytest.mark.req("SEC-14")
def test_memory_is_bounded(flood: Flood) -> None:
    bound = SLACK + flood.most(flood.config)
    for count in COUNTS:
        taken = measure(flood, count)
        assert taken.most <= bound, f"{taken.most / KIB:,.0f} KiB after {taken.frames:,} frames: {flood.formula}"
        if taken.frames < count:
            break  # the engine has had enough


def test_the_table_of_limits_is_that_of_the_code() -> None:
    page = limits.PAGE.read_text(encoding="utf-8")
    assert limits.between(page, "limits", None) == limits.limits_table()
    assert set(FLOODS) <= set(limits.between(page, "memory", None).replace(" |", "|").replace("| ", "|").split("|"))
