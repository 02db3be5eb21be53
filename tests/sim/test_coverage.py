"""Coverage as numbers: everything that can be reached is, and what is not is told."""

from __future__ import annotations

import json

import duplexcore.call.base
from duplexcore.call.tables import SAID
from duplexcore.testing.sim.choosing import TapeChooser
from duplexcore.testing.sim.coverage import Coverage, denominators, measure
from duplexcore.testing.sim.coverage_cells import TABLES, Cell, counted
from duplexcore.testing.sim.coverage_marks import MARKS
from duplexcore.testing.sim.coverage_orders import Orders, Race, races
from duplexcore.testing.sim.explorer import explore
from duplexcore.testing.sim.explorer_bounds import Bounds, Feature
from duplexcore.testing.sim.scripts import CallScript
from duplexcore.testing.sim.simulation import Scenario, Simulation

#: Enough for all of it, with room to spare.
RUNS = 1_600


def test_every_cell_order_and_mark_is_reached() -> None:
    known = denominators()
    coverage = measure(range(RUNS), known.races)
    assert coverage.missing(known) == []
    assert {cell for cell in coverage.cells if cell in set().union(*(table.legal for table in TABLES))} == known.cells


def test_the_races_of_a_small_world_are_among_those_that_are_kept() -> None:
    """The file is what the explorer says: a small part of it, made anew."""
    found = races(explore(Bounds(features=Feature.CANCELS | Feature.ABORTS), reduced=True))
    assert Race("client: cancels", "client: hears TRAILERS") in found
    assert Race("client: send", "client: half-close") not in found  # one writer
    assert found <= denominators().races


def test_there_are_enough_marks_and_each_has_a_name_of_its_own() -> None:
    assert len(MARKS) >= 40
    assert len(set(MARKS)) == len(MARKS)


def test_what_is_not_reached_is_told() -> None:
    known = denominators()
    missing = Coverage().missing(known)
    assert len(missing) == len(known.cells) + len(known.races) + len(MARKS)
    assert "mark: cancel crossed trailers" in missing
    assert Coverage().reached(known)["marks"] == (0, len(MARKS))


def test_cells_are_counted_only_meanwhile() -> None:
    with counted() as cells:
        Simulation(Scenario(calls=(CallScript(),)), TapeChooser([])).run()
    assert cells[Cell("SEND", "IDLE", "OPENING")]
    seen = cells.total()
    Simulation(Scenario(calls=(CallScript(),)), TapeChooser([])).run()
    assert cells.total() == seen
    assert vars(duplexcore.call.base)["SAID"] is SAID


def test_a_chooser_goes_for_an_order_that_is_wanted() -> None:
    order = Race("client: cancels", "client: writes")
    script = CallScript(requests=(3,), cancels=True)
    for wanted in (False, True):
        orders = Orders(TapeChooser([]), {order} if wanted else None)
        Simulation(Scenario(calls=(script,)), orders).run()
        assert (order in orders.seen) is wanted


def test_the_denominators_are_readable_as_a_file() -> None:
    known = denominators()
    again = json.loads(json.dumps(known.as_dict()))
    assert {Race(*race) for race in again["races"]} == known.races
