"""The costly properties, and that each property can fail."""

from __future__ import annotations

from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.properties import ALL, COSTLY
from duplexcore.testing.sim.properties.oracle import Oracle

from .support import drawn


def test_the_costly_properties_hold() -> None:
    for seed in range(20):
        drawn(PrngChooser(seed), leaves=True, faults=bool(seed % 2), properties=COSTLY).run()


def test_every_property_has_its_number_and_its_sentence() -> None:
    numbers = [one.number for one in (*ALL, *COSTLY)]
    assert len(set(numbers)) == len(numbers)
    for one in (*ALL, *COSTLY):
        assert one.__name__ == one.number or one is Oracle
        assert one.__doc__
        assert one.__doc__.endswith(".")
