"""Properties of the model itself: on every state of small explorations, and on random walks that go further."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexcore.status import StatusCode
from duplexcore.testing.model import race_table
from duplexcore.testing.model.call import CallModel, does, hears
from duplexcore.testing.model.explorer import (
    ALL,
    PLAIN,
    STATUS,
    Feature,
    Move,
    Script,
    World,
    apply,
    ending,
    explore,
    moves,
    next_frames,
    room,
)
from duplexcore.testing.model.race_table import RACE_TABLE, allowed
from duplexcore.testing.model.side import CLOSED, DEAF, IDLE, NEW, Side, history, next_event, owes, took
from duplexcore.testing.model.vocabulary import (
    CLIENT,
    SERVER,
    Abort,
    Cancel,
    Data,
    DeadlineFired,
    Event,
    Fault,
    Finish,
    Goaway,
    HalfClose,
    Headers,
    Input,
    ModelViolation,
    Origin,
    Reset,
    Role,
    SendInitialMetadata,
    SendMessage,
    Step,
    Terminal,
    Trailers,
    TransportEnded,
)
from tests.testing_model.scripts import ALPHABET, frame, legal, play

CLIENT_STEPS: tuple[Step, ...] = (SendMessage(), HalfClose(), Cancel(), DeadlineFired(), Fault())
SERVER_STEPS: tuple[Step, ...] = (SendMessage(), SendInitialMetadata(), Finish(), Abort(), DeadlineFired(), Fault())
LATE: tuple[Input, ...] = (
    Headers(),
    Data(1),
    Data(0, partial=True),
    Data(end=True),
    Data(1, error=StatusCode.INTERNAL),
    Trailers(StatusCode.OK),
    Trailers(None),
    Reset(0),
    Reset(8),
    Reset(8, overdue=True),
    Goaway(covers=True),
    Goaway(covers=False),
    TransportEnded(),
)


def check_order(side: Side) -> None:
    """P3, P5, DUP-39: the grammar of events, the terminal once and last."""
    events = history(side)
    first = Event.INITIAL_METADATA if side.role is CLIENT else Event.STARTED
    middle = [event for event in events if event not in (first, Event.HALF_CLOSED) and not isinstance(event, Terminal)]
    expected = [first] * (first in events) + middle + [Event.HALF_CLOSED] * (Event.HALF_CLOSED in events)
    assert set(middle) <= {Event.MESSAGE}
    assert list(events) == expected + ([side.ended] if side.ended else [])
    assert side.role is SERVER or Event.HALF_CLOSED not in events
    assert side.role is CLIENT or not events or events[0] is Event.STARTED


def check_end(side: Side) -> None:
    """P5, P8, P32: whatever comes after the end, nothing that can be observed changes."""
    if side.ended is None:
        return
    for step in CLIENT_STEPS if side.role is CLIENT else SERVER_STEPS:
        assert does(side, step) == side
    for item in LATE:
        assert history(hears(side, item)) == history(side)
        assert not set(owes(hears(side, item))) - set(owes(side))
    assert legal(side) <= {"H"} | {word for word in ALPHABET if word[0] in "TR"}


def check_frames(side: Side, script: Script) -> None:
    """What the explorer lets a side frame is what the judge allows, and the other way round (P1, P10, P33)."""
    offered = set(next_frames(side, script, room=True))
    judged = {frame(word) for word in legal(side)}
    assert offered <= judged, (side, offered - judged)
    missing = judged - offered
    for extra in missing:  # all that the explorer leaves out on purpose
        assert (
            (isinstance(extra, Data) and (extra.whole > 1 or extra.partial or not extra.end))
            or (isinstance(extra, Headers) and side.ended is not None)
            or (isinstance(extra, Data) and extra.end and side.said.name == "SAID")
        ), (side, extra)
    assert side.out is not CLOSED or not judged
    resets = {word for word in legal(side) if word[0] == "R"}
    assert bool(resets) == bool(side.reset)


def check(world: World, script: Script) -> None:
    call = world.call
    for side in call.sides:
        check_side(side, script)
    check_conservation(world)


@lru_cache(maxsize=1 << 14)
def check_side(side: Side, script: Script) -> None:
    check_order(side)
    check_end(side)
    check_frames(side, script)


def check_conservation(world: World) -> None:
    """P1: what was heard and what is on its way is no more than what was accepted."""
    for role in Role:
        sender, receiver = world.call.sides[role], world.call.sides[role.peer]
        if sender.ended is None:
            on_its_way = sum(item.whole for item in world.call.wires[role.peer] if isinstance(item, Data))
            assert receiver.whole + on_its_way <= sender.framed <= sender.accepted


@pytest.mark.req("DUP-39", "DUP-11", "DUP-14", "DUP-36")
@pytest.mark.parametrize(
    "script",
    [
        Script(0, 0, 1, ALL),
        Script(1, 1, 1, Feature.CANCEL | Feature.DEADLINES),
        Script(1, 1, 1, Feature.RESETS | Feature.CUT),
        Script(1, 1, 1, Feature.LOSS | Feature.GOAWAY),
        Script(1, 1, 1, Feature.LIMITS | Feature.DEADLINES, single_request=True, single_response=True),
        Script(2, 2, 2, Feature.CANCEL),
        Script(0, 2, 1, Feature.READS | Feature.CUT | Feature.LOSS),
        Script(1, 1, 1, Feature.CANCEL | Feature.DEADLINES | Feature.LISTS),
    ],
    ids=str,
)
def test_on_every_state(script: Script) -> None:
    found = explore(script, lambda world: check(world, script))
    assert script.single_request or set(found.pairs) <= set(RACE_TABLE)


#: States and moves: a change here is a change of the rules, or of what the model remembers.
COUNTS = {
    (0, 0, 1, PLAIN): (29, 47),
    (1, 1, 1, PLAIN): (247, 642),
    (1, 1, 1, Feature.CANCEL): (668, 1_901),
    (1, 1, 1, Feature.CANCEL | Feature.DEADLINES): (2_064, 6_546),
    (1, 1, 1, ALL & ~Feature.READS): (22_444, 91_877),
    (2, 2, 2, Feature.CANCEL): (2_276, 7_476),
}


@pytest.mark.parametrize("script", COUNTS, ids=str)
def test_the_number_of_states(script: tuple[int, int, int, Feature]) -> None:
    found = explore(Script(*script))
    assert (found.states, found.transitions) == COUNTS[script]


@pytest.mark.req("DUP-11", "DUP-39")
def test_the_race_table_is_what_the_models_reach_and_each_pair_was_reviewed() -> None:
    pairs = race_table.find_pairs()
    assert set(pairs) == set(RACE_TABLE)
    golden = Path(race_table.__file__).with_name("race_table.txt")
    assert golden.read_text(encoding="utf-8") == race_table.render(pairs), "write it again with race_table.render"
    for (client, server), way in pairs.items():
        world = World(CallModel())
        assert way, (client, server)
        world = Script(1, 1, 1, ALL).begin()
        for move in way:
            world = apply(world, move)
        assert (ending(world.call.client.ended), ending(world.call.server.ended)) == (client, server)


PEER, LIBRARY, LOCAL, TRANSPORT = Origin
OK, NOT_FOUND, CANCELLED = StatusCode.OK, StatusCode.NOT_FOUND, StatusCode.CANCELLED
INTERNAL, UNAVAILABLE, UNIMPLEMENTED = StatusCode.INTERNAL, StatusCode.UNAVAILABLE, StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("client", "server", "may"),
    [
        (Terminal(OK, PEER), Terminal(OK, LOCAL), True),
        (Terminal(OK, PEER), Terminal(NOT_FOUND, LOCAL), False),
        (Terminal(NOT_FOUND, PEER), Terminal(NOT_FOUND, LOCAL), True),
        (Terminal(OK, PEER), Terminal(CANCELLED, PEER), False),
        (Terminal(OK, PEER), None, False),
        (Terminal(CANCELLED, LOCAL), Terminal(OK, LOCAL), True),
        (Terminal(CANCELLED, PEER), Terminal(OK, LOCAL), False),
        (Terminal(UNAVAILABLE, TRANSPORT), Terminal(OK, LOCAL), True),
        (Terminal(UNAVAILABLE, TRANSPORT, True), Terminal(OK, LOCAL), False),
        (Terminal(UNAVAILABLE, TRANSPORT, True), None, True),
        (Terminal(UNIMPLEMENTED, LIBRARY), Terminal(OK, LOCAL), True),
        (Terminal(UNIMPLEMENTED, PEER), Terminal(UNIMPLEMENTED, LIBRARY), True),
        (Terminal(INTERNAL, PEER), Terminal(UNIMPLEMENTED, LIBRARY), True),
        (Terminal(NOT_FOUND, PEER), Terminal(UNIMPLEMENTED, LIBRARY), False),
        (Terminal(INTERNAL, PEER), Terminal(INTERNAL, LIBRARY), True),
        (None, Terminal(OK, LOCAL), False),
    ],
)
def test_which_pairs_are_allowed(client: Terminal | None, server: Terminal | None, may: bool) -> None:
    assert allowed(client, server) is may


# -- random walks -----------------------------------------------------------------------------------------------------

EVERYTHING = ALL | Feature.CUT | Feature.LIMITS | Feature.LISTS


@st.composite
def walks(draw: st.DrawFn) -> tuple[Script, list[Move], World]:
    script = Script(
        draw(st.integers(0, 4)),
        draw(st.integers(0, 4)),
        draw(st.integers(1, 3)),
        draw(st.sampled_from([PLAIN, Feature.CANCEL, Feature.DEADLINES | Feature.CUT, EVERYTHING])),
    )
    world, way = script.begin(), list[Move]()
    for choice in draw(st.lists(st.integers(0, 11), max_size=70)):
        if not (open_moves := list(moves(world, script))):
            break
        way.append(open_moves[choice % len(open_moves)])
        world = apply(world, way[-1])
    return script, way, world


@pytest.mark.req("DUP-39", "STAT-21")
@given(walks())
def test_on_random_walks(walk: tuple[Script, list[Move], World]) -> None:
    script, way, _ = walk
    world, ended = script.begin(), dict[Role, Terminal]()
    for move in way:
        world = apply(world, move)
        check(world, script)
        for role in Role:
            end = world.call.sides[role].ended
            assert ended.setdefault(role, end) == end if end else role not in ended  # P4, P8
    client, server = world.call.outcome()
    if client is not None and client.origin is Origin.PEER and client.code is STATUS:
        assert server == Terminal(STATUS, Origin.LOCAL)  # P6
        assert world.call.client.whole == script.responses  # P2


@given(walks())
def test_a_half_close_and_the_delivery_of_a_frame_that_does_not_end_the_call_commute(
    walk: tuple[Script, list[Move], World],
) -> None:
    """P10."""
    call = walk[2].call
    if call.client.said.name != "SAYING" or call.client.ended or not call.wires[CLIENT]:
        return
    one = call.does(CLIENT, HalfClose()).hears(CLIENT)
    other = call.hears(CLIENT)
    if other.client.ended is None:
        assert other.does(CLIENT, HalfClose()) == one


@given(walks(), st.integers(0, 5))
def test_an_application_takes_each_event_once_in_order(walk: tuple[Script, list[Move], World], extra: int) -> None:
    for side in walk[2].call.sides:
        fresh = side._replace(taken=0)
        for event in history(fresh):
            assert next_event(fresh) == event
            wrong = [other for other in (*Event, Terminal(StatusCode.ABORTED, Origin.PEER)) if other != event]
            for other in wrong:
                with pytest.raises(ModelViolation):
                    took(fresh, other)
            fresh = took(fresh, event)
        assert next_event(fresh) is None
        for other in (*Event, *([side.ended] if side.ended else [])):
            with pytest.raises(ModelViolation):
                took(fresh, other)


@pytest.mark.req("STAT-21", "DUP-15")
def test_who_may_lose_what_was_unread() -> None:
    heard = play("C.start C>H S< S.send S.send S.OK S>H S>D2 S>T:OK *").client
    assert heard.ended
    with pytest.raises(ModelViolation, match="STAT-21"):
        took(heard, heard.ended)
    with pytest.raises(ModelViolation, match="STAT-21"):  # a status that was received waits for what came before it
        took(heard, heard.ended, discards=True)
    cancelled = play("C.start C>H S< S.send S>H S>D1 * C.cancel").client
    assert cancelled.ended
    with pytest.raises(ModelViolation, match="STAT-21"):
        took(cancelled, cancelled.ended)
    after = took(cancelled, cancelled.ended, discards=True)
    assert next_event(after) is None
    server = play("C.start C>H C.send C>D1 * S.OK S>T:OK").server
    assert server.ended
    assert next_event(took(server, server.ended)) is None
    with pytest.raises(ModelViolation, match="DUP-39"):
        took(took(server, server.ended), Event.MESSAGE)


@pytest.mark.req("DEAD-5", "DUP-12")
@given(walks())
def test_past_its_deadline_no_call_stays_open(walk: tuple[Script, list[Move], World]) -> None:
    """P34, and P37: DEADLINE_EXCEEDED only when a deadline has fired somewhere."""
    _, way, world = walk
    fired = any(isinstance(move.what, DeadlineFired) for move in way)
    for side in world.call.sides:
        if side.deadline and side.said not in (NEW, DEAF):
            assert does(side, DeadlineFired()).ended == Terminal(
                StatusCode.DEADLINE_EXCEEDED, Origin.LOCAL, side.role is CLIENT and side.out is IDLE
            )
        if side.ended is not None and side.ended.code is StatusCode.DEADLINE_EXCEEDED:
            assert fired


@given(walks())
def test_resets_are_sent_once_and_never_on_a_stream_that_is_over(walk: tuple[Script, list[Move], World]) -> None:
    """P33."""
    for role in Role:
        sent = [
            move for move in walk[1] if move.role is role and isinstance(move.what, Reset) and move.verb == "frames"
        ]
        assert len(sent) <= 1
        frames_of = [move.what for move in walk[1] if move.role is role and move.verb == "frames"]
        frames_of = [item for item in frames_of if not isinstance(item, Goaway)]
        assert not sent or isinstance(frames_of[-1], Reset)
        ends = [item for item in frames_of if isinstance(item, Trailers) or (isinstance(item, Data) and item.end)]
        assert len(ends) <= 1
        assert (
            not any(isinstance(item, Headers | Data) for item in frames_of[frames_of.index(ends[0]) + 1 :])
            if ends
            else True
        )


def test_a_wire_delivers_in_order_what_was_framed() -> None:
    call = play("C.start C>H C.send C>D1")
    with pytest.raises(ModelViolation, match="P1"):
        call.hears(SERVER, Data(1))
    call = call.hears(SERVER, Headers())
    assert call.hears(SERVER, Data(0, error=StatusCode.INTERNAL)).server.ended
    with pytest.raises(ModelViolation, match="P1"):
        call.hears(SERVER, Data(2))
    with pytest.raises(ModelViolation, match="P1"):
        call.hears(SERVER, Data(1)).hears(SERVER)
    lost = call.loses()
    assert lost.hears(SERVER).server.ended == Terminal(StatusCode.CANCELLED, Origin.TRANSPORT)
    assert lost.does(CLIENT, SendMessage()).frames(CLIENT, Data(1)).wires == lost.wires
    closed = call.closes(CLIENT)
    assert closed.client.ended == Terminal(StatusCode.UNAVAILABLE, Origin.TRANSPORT)
    assert closed.hears(SERVER).hears(SERVER).outcome()[1] == Terminal(StatusCode.CANCELLED, Origin.TRANSPORT)


def test_the_window_of_the_explorer_stops_a_sender() -> None:
    script = Script(2, 0, 1, Feature.READS)
    call = play("C.start C.send C.send C>H C>D1")
    assert not room(call, CLIENT, script)
    call = call.hears(SERVER).hears(SERVER)
    assert not room(call, CLIENT, script)
    assert room(call.takes(SERVER, Event.STARTED).takes(SERVER, Event.MESSAGE), CLIENT, script)
