"""Workers share tapes and failures through a database, in memory, in a folder and at a real Redis server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis.database import ExampleDatabase, InMemoryExampleDatabase, ReadOnlyDatabase

from duplexcore.testing.sim.choosing import Chooser, Recorder, Tape, TapeChooser
from duplexcore.testing.sim.coverage_marks import MARKS
from duplexcore.testing.sim.coverage_orders import Race
from duplexcore.testing.sim.databases import DatabaseError, MissingPackageError, opened, without_password
from duplexcore.testing.sim.exchange import INTERVAL, LONGEST
from duplexcore.testing.sim.mutating import mutant
from duplexcore.testing.sim.novelty import Cells, Turns
from duplexcore.testing.sim.novelty_coverage import Covered
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.properties import PropertyError
from duplexcore.testing.sim.sharing import INDEX, Bounds, Failure, Shelf, shelves
from duplexcore.testing.sim.simulation import Simulation
from duplexcore.testing.sim.targets import EngineOptions, EngineTarget
from duplexcore.testing.sim.workers import Worker

from .planted import overtaken
from .redis_server import RedisServer, needs_redis, redis_server

OPTIONS = EngineOptions(calls=1, messages=1, leaves=False, faults=False)
TAPES: list[Tape] = [(1, 2, 3, 4), (5, 6, 7, 8, 9, 10)]


class Overtaken(EngineTarget):
    """The engine with a planted fault."""

    def __call__(self, chooser: Chooser) -> Simulation:
        with overtaken():
            return super().__call__(chooser)


class Clock:
    """Stands still, but when it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def worker(database: ExampleDatabase, index: int = 0, **given: object) -> Worker:
    """One of two, whose shrinking is short."""
    shelf = Shelf(database, "engine", OPTIONS, given.pop("bounds", None))  # type: ignore[arg-type]
    make = given.pop("make", EngineTarget)
    given = {"clock": Clock(), "shrinking": 60} | given
    return Worker(make, shelf, index=index, workers=2, **given)  # type: ignore[arg-type]


def until_found(one: Worker, runs: int = 200) -> Failure:
    for _ in range(runs):
        failure = one.once()
        if failure is not None:
            return failure
    raise AssertionError(f"nothing found in {runs} runs")


# --- mutants ----------------------------------------------------------------------------------------------------------


def mutated(*chance: int) -> Tape:
    """What a mutant of `TAPES` answers to ten questions with 100 options each."""
    recorder = Recorder(mutant(TAPES, TapeChooser(chance)))
    for _ in range(10):
        recorder.choose(100, "any", ())
    return recorder.tape


def test_a_change_is_one_choice() -> None:
    assert mutated(0, 2, 0, 7) == (1, 2, 7, 4, 0, 0, 0, 0, 0, 0)


def test_a_splice_goes_on_with_another_tape_from_the_same_place_or_from_any() -> None:
    assert mutated(0, 2, 1, 1, 0) == (1, 2, 7, 8, 9, 10, 0, 0, 0, 0)
    assert mutated(0, 2, 1, 1, 1, 5) == (1, 2, 10, 0, 0, 0, 0, 0, 0, 0)


def test_a_cut_goes_on_by_chance() -> None:
    assert mutated(1, 3, 2, 41, 42) == (5, 6, 7, 41, 42, 0, 0, 0, 0, 0)


# --- what is in a database --------------------------------------------------------------------------------------------


def test_what_others_have_written_is_checked() -> None:
    database = InMemoryExampleDatabase()
    shelf = Shelf(database, "engine", OPTIONS, Bounds(choices=4))
    shelf.put_tape((1, 2))
    shelf.put_tape((1, 2, 3, 4, 5))  # too long
    shelf.put_failure(Failure("P1", "it fails", (3,)))
    [tapes] = [key for key in database.data if b"/tapes/" in key]
    [failures] = [key for key in database.data if b"/failures/" in key]
    for junk in (b"", b"\xff", b"[" * 5_000, b'["1"]', b"[-1]", b"[1,2,3,4,5]", b"[true]", b"null", b" " * 100_000):
        database.save(tapes, junk)
        database.save(failures, junk)
    database.save(failures, b'{"number":"P1","message":"it fails","tape":[1.5]}')
    assert shelf.tapes() == {(1, 2)}
    assert shelf.failures() == [Failure("P1", "it fails", (3,))]
    database.save(INDEX, b"junk")
    database.save(INDEX, b'{"target":"engine","options":{"of":"another version"}}')
    assert [(one.target, one.options) for one in shelves(database)] == [("engine", OPTIONS)]


def test_targets_and_options_do_not_mix() -> None:
    database = InMemoryExampleDatabase()
    for target, calls in (("engine", 1), ("engine", 2), ("other:Target", 1)):
        Shelf(database, target, EngineOptions(calls=calls)).put_tape((calls,))
    found = list(shelves(database))
    assert [(one.target, one.options.calls, one.tapes()) for one in found] == [
        ("engine", 1, {(1,)}),
        ("engine", 2, {(2,)}),
        ("other:Target", 1, {(1,)}),
    ]


def test_reading_ends_at_the_bounds() -> None:
    database = InMemoryExampleDatabase()
    shelf = Shelf(database, "engine", OPTIONS, Bounds(tapes=3, failures=2))
    for one in range(9):
        shelf.put_tape((1, one))
        shelf.put_failure(Failure("P1", "", (one,)))
    assert (len(shelf.tapes()), len(shelf.failures())) == (3, 2)


def test_a_failure_is_there_once_until_it_is_taken_away() -> None:
    shelf = Shelf(InMemoryExampleDatabase(), "engine", OPTIONS)
    failure = Failure("P1", "it fails", (1,))
    shelf.put_failure(failure)
    shelf.put_failure(Failure("P1", "it fails", (1,)))
    assert shelf.failures() == [failure]
    shelf.take_away(failure)
    assert shelf.failures() == []


@pytest.mark.parametrize("bound", ["tapes", "failures", "per_property", "choices", "marks"])
def test_bounds_are_one_at_least(bound: str) -> None:
    with pytest.raises(ValueError, match=f"{bound} is 0: it must be 1 at least"):
        Bounds(**{bound: 0})


# --- workers ----------------------------------------------------------------------------------------------------------


def test_what_reaches_something_new_is_shared_and_replayed_and_mutated_by_others() -> None:
    database = InMemoryExampleDatabase()
    one, other = worker(database, 0), worker(database, 1)
    for _ in range(20):
        one.once()
    one.end()
    shared = Shelf(database, "engine", OPTIONS).tapes()
    assert len(shared) == one.tally.corpus > 3
    assert list(other.begin()) == []
    for _ in range(3 * len(shared)):
        other.once()
    tally = other.tally
    assert tally.replayed == len(shared)
    assert 0 < tally.others <= tally.corpus
    assert tally.mutated > 0
    assert tally.marks >= one.tally.marks  # each of them was in a tape that was replayed


def test_the_same_mark_is_new_once() -> None:
    database = InMemoryExampleDatabase()
    one = worker(database, bounds=Bounds(marks=1))
    for _ in range(10):
        one.once()
    assert one.tally.corpus == 1


def test_a_full_database_takes_no_more() -> None:
    database = InMemoryExampleDatabase()
    bounds = Bounds(tapes=2)
    workers = [worker(database, index, bounds=bounds) for index in (0, 1)]
    for one in workers:
        for _ in range(12):
            one.once()
        one.end()
    assert len(Shelf(database, "engine", OPTIONS).tapes()) == 2
    assert workers[1].tally.full
    assert workers[1].tally.corpus == 2


def test_a_failure_that_is_known_is_not_reported_again() -> None:
    database = InMemoryExampleDatabase()
    one = worker(database, 0, make=Overtaken)
    other = worker(database, 1, make=Overtaken, bounds=Bounds(per_property=1))
    failure = until_found(one)
    assert Shelf(database, "engine", OPTIONS).failures() == [failure]
    assert list(other.begin()) == [failure]  # it fails there, too
    again = [found for _ in range(40) if (found := other.once()) is not None]
    assert failure.number not in [found.number for found in again]
    assert other.tally.met > 1
    assert other.tally.found == len(again)


def test_no_two_report_the_same_property_and_tape() -> None:
    database = InMemoryExampleDatabase()
    bounds = Bounds(per_property=2)
    workers = [worker(database, index, make=Overtaken, bounds=bounds) for index in (0, 1)]
    found = [failure.key for _ in range(15) for one in workers if (failure := one.once()) is not None]
    assert len(found) == len(set(found)) > 0
    assert {one.key for one in Shelf(database, "engine", OPTIONS).failures()} == set(found)
    with overtaken():
        for number, tape in found:
            with pytest.raises(PropertyError, match=f"^{number}:"):
                EngineTarget(OPTIONS)(TapeChooser(tape))


def test_a_fixed_failure_fails_no_more_and_stays() -> None:
    database = InMemoryExampleDatabase()
    failure = until_found(worker(database, make=Overtaken))
    fixed = worker(database, 1)
    assert list(fixed.begin()) == []
    assert (fixed.tally.known, fixed.tally.met) == (1, 0)
    assert Shelf(database, "engine", OPTIONS).failures() == [failure]


def test_who_is_stopped_while_it_shrinks_shares_what_it_has() -> None:
    database = InMemoryExampleDatabase()
    runs = 0

    class Counted(Overtaken):
        def __call__(self, chooser: Chooser) -> Simulation:
            nonlocal runs
            runs += 1
            return super().__call__(chooser)

    one = worker(database, make=Counted, shrinking=5_000, stopped=lambda: True)
    failure = until_found(one)
    assert runs == one.tally.runs + 1  # to see that it fails again, and no more
    with pytest.raises(PropertyError, match=failure.number):
        Overtaken(OPTIONS)(TapeChooser(failure.tape))


def test_a_failure_by_chance_is_told_as_such() -> None:
    class Fickle(EngineTarget):
        runs = 0

        def __call__(self, chooser: Chooser) -> Simulation:
            Fickle.runs += 1
            if Fickle.runs == 3:
                raise PropertyError("P99", "now and then")
            return super().__call__(chooser)

    failure = until_found(worker(InMemoryExampleDatabase(), make=Fickle))
    assert failure.number == "P99"
    assert "not when it was run again" in failure.message


def test_the_same_worker_does_the_same_again() -> None:
    def tapes() -> set[Tape]:
        database = InMemoryExampleDatabase()
        one = worker(database)
        for _ in range(20):
            one.once()
        one.end()
        return Shelf(database, "engine", OPTIONS).tapes()

    assert tapes() == tapes()


def test_an_index_is_below_the_number_of_workers() -> None:
    with pytest.raises(ValueError, match="worker 2 of 2: the index is from 0 to 1"):
        worker(InMemoryExampleDatabase(), 2)


def test_cells_name_sides_and_states() -> None:
    cells = Cells()
    EngineTarget(OPTIONS, lambda: (cells,))(TapeChooser(()))
    assert {mark[0] for mark in cells.marks} == {"client", "server"}  # type: ignore[index]
    assert len(cells.marks) > 10


def test_what_coverage_counts_is_new_where_cells_are_not() -> None:
    covered = Covered()
    EngineTarget(OPTIONS, lambda: covered.watchers)(covered.overhearing(PrngChooser(3)))
    cells = Cells()
    EngineTarget(OPTIONS, lambda: cells.watchers)(PrngChooser(3))
    more = covered.marks - cells.marks
    assert covered.marks > cells.marks
    assert any(isinstance(mark, Race) for mark in more)
    assert any(mark in MARKS for mark in more)


def test_turns_are_of_any_target() -> None:
    turns = Turns()
    EngineTarget(OPTIONS)(turns.overhearing(TapeChooser(())))
    assert ("", "c start") in turns.marks
    assert len(turns.marks) > 5
    first = set(turns.marks)
    other = Turns()
    EngineTarget(EngineOptions())(other.overhearing(PrngChooser(1)))
    assert other.marks - first
    database = InMemoryExampleDatabase()
    one = worker(database, novelty=Turns)
    for _ in range(10):
        one.once()
    assert one.tally.corpus > 1


# --- addresses --------------------------------------------------------------------------------------------------------


def test_a_folder_is_a_database(tmp_path: Path) -> None:
    address = str(tmp_path / "shared" / "fuzz")
    one = worker(opened(address))
    for _ in range(6):
        one.once()
    one.end()
    assert len(Shelf(opened(address), "engine", OPTIONS).tapes()) == one.tally.corpus > 0


def test_what_is_read_beside_is_not_written_to(tmp_path: Path) -> None:
    mine, theirs = str(tmp_path / "mine"), str(tmp_path / "theirs")
    Shelf(opened(theirs), "engine", OPTIONS).put_tape((1, 2))
    both = Shelf(opened(mine, [theirs]), "engine", OPTIONS)
    both.put_tape((3, 4))
    assert both.tapes() == {(1, 2), (3, 4)}
    assert Shelf(opened(mine), "engine", OPTIONS).tapes() == {(3, 4)}
    assert Shelf(opened(theirs), "engine", OPTIONS).tapes() == {(1, 2)}


def test_a_folder_that_can_not_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="file can not be a database: "):
        opened(str(tmp_path / "file"))


@pytest.mark.parametrize("address", ["http://x:y@somewhere/1", "redis://localhost:port"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(ValueError, match="is no ") as caught:
        opened(address)
    assert ":y@" not in str(caught.value)


def test_a_missing_package_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingPackageError, match="needs redis, which is not installed") as caught:
        opened("redis://localhost")
    assert caught.value.extra == "redis"


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    address = RedisServer(tmp_path).address.replace("redis://", "redis://me:secret@")
    with pytest.raises(DatabaseError, match="can not be used: ") as caught:
        opened(address)
    assert str(caught.value).startswith("redis://me:***@127.0.0.1:")
    assert "secret" not in str(caught.value)


def test_passwords_are_not_shown() -> None:
    assert without_password("redis://:secret@host:1/2") == "redis://:***@host:1/2"
    assert without_password("unix://me@/path?db=1&password=secret") == "unix://me@/path?db=1&password=***"
    assert without_password("redis://host:1/2") == "redis://host:1/2"


# --- a real Redis server ----------------------------------------------------------------------------------------------


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@needs_redis
def test_workers_share_through_redis(redis: RedisServer) -> None:
    one, other = worker(opened(redis.address), 0), worker(opened(redis.address), 1)
    for _ in range(10):
        one.once()
    one.end()
    list(other.begin())
    for _ in range(6):
        other.once()
    assert other.tally.replayed == 2
    assert other.tally.known == 0
    found = until_found(worker(opened(redis.address), make=Overtaken))
    other.end()
    assert other.tally.known == 1
    shelf = Shelf(ReadOnlyDatabase(opened(redis.address)), "engine", OPTIONS)
    assert shelf.failures() == [found]
    shelf.take_away(found)
    assert shelf.failures() == [found]  # those who only read


@needs_redis
def test_a_redis_that_dies_leaves_the_worker_alone_until_it_is_back_and_has_lost_nothing(redis: RedisServer) -> None:
    said: list[str] = []
    clock = Clock()
    one = worker(opened(redis.address), make=Overtaken, clock=clock, tell=said.append)
    before = until_found(one)
    redis.die()
    for _ in range(12):
        clock.now += LONGEST
        one.once()
    then = one.tally
    assert then.alone
    assert len(said) == 1
    assert said[0].startswith(f"{redis.address} can not be used: ")
    assert said[0].endswith("; going on alone")
    redis.start()  # empty
    one.end()
    assert len(said) == 1  # it does not ask before its time
    clock.now += LONGEST
    one.once()
    assert not one.tally.alone
    assert said[1:] == ["the database is back"]
    one.end()  # what its last run has added
    shelf = Shelf(opened(redis.address), "engine", OPTIONS)
    assert before in shelf.failures()
    assert len(shelf.failures()) == one.tally.known
    assert len(shelf.tapes()) == one.tally.corpus > 0


@needs_redis
def test_a_redis_that_is_full_or_asks_for_a_password_is_told(redis: RedisServer) -> None:
    said: list[str] = []
    clock = Clock()
    one = worker(opened(redis.address), clock=clock, tell=said.append)
    redis.say("CONFIG SET maxmemory 1")
    for _ in range(4):
        one.once()
        clock.now += LONGEST
    one.end()
    assert len(said) == 1
    assert "'maxmemory'" in said[0]
    redis.say("CONFIG SET maxmemory 0")
    clock.now += LONGEST
    one.end()
    assert said[1:] == ["the database is back"]
    assert len(Shelf(opened(redis.address), "engine", OPTIONS).tapes()) == one.tally.corpus > 0
    redis.say("CONFIG SET requirepass secret")
    with pytest.raises(DatabaseError, match=r"can not be used: .*authenticat"):
        opened(redis.address)
    opened(redis.address.replace("redis://", "redis://:secret@"))


@needs_redis
def test_it_asks_less_often_while_nobody_answers(redis: RedisServer) -> None:
    clock = Clock()
    one = worker(opened(redis.address), clock=clock)
    one.once()
    redis.die()
    asked = []
    while clock.now < 5 * LONGEST:
        before = one._exchange._due
        one.once()
        if one._exchange._due != before:
            asked.append(clock.now)
        clock.now += INTERVAL
    assert asked == [5.0, 15.0, 35.0, 75.0, 135.0, 195.0, 255.0]
