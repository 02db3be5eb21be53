"""A peer whose inside is unknown: what it may do is believed, what it can not do is explained."""

from __future__ import annotations

import pytest
from hypothesis import given

from duplexcore.status import StatusCode
from duplexcore.testing.model.explorer import Feature, Move, Script, World, moves
from duplexcore.testing.model.possible import Impossible, PossibleStates
from duplexcore.testing.model.vocabulary import CLIENT, SERVER, Event, Goaway, Origin, Role, Terminal, TransportEnded
from tests.testing_model.scripts import frame, item
from tests.testing_model.test_properties import walks


def watch(role: Role, script: str) -> PossibleStates:
    """``<`` what is sent to the peer, ``>`` what it frames, ``!`` silence."""
    states = PossibleStates(role)
    for word in script.split():
        if word[0] == "<":
            states.sent(item(word[1:]))
        elif word[0] == ">":
            states.observed(frame(word[1:]))
        else:
            states.at_rest()
    return states


POSSIBLE = [
    (SERVER, "<H >H >D2 >T:OK >R:NO_ERROR !"),
    (SERVER, "<H >T:NOT_FOUND >R:NO_ERROR !"),
    (SERVER, "<H <D1:ES >T:OK >R:NO_ERROR !"),  # it had not heard of the half-close
    (SERVER, "<H <D1:ES >T:OK !"),  # it had
    (SERVER, "<H <D1 <R:CANCEL >H >D3 >Dp"),  # what was framed before the reset was heard
    (SERVER, "<H <D1 <R:CANCEL >H >D3 !"),
    (SERVER, "<H >H >Dp >R:CANCEL !"),
    (SERVER, "<H+t >T:DEADLINE_EXCEEDED >R:NO_ERROR !"),
    (SERVER, "<H+t >H >Dp >R:CANCEL !"),
    (SERVER, "<H >R:REFUSED_STREAM !"),
    (SERVER, "<H >R:INTERNAL_ERROR !"),
    (SERVER, "<H <D!RESOURCE_EXHAUSTED >T:RESOURCE_EXHAUSTED >R:NO_ERROR !"),
    (SERVER, "<H <D!RESOURCE_EXHAUSTED >T:OK >R:NO_ERROR !"),  # its application was faster
    (SERVER, "<H <Dp:ES >T:INTERNAL !"),
    (SERVER, "<H <D:ES <D1 >R:STREAM_CLOSED !"),
    (SERVER, "<H >G- !"),
    (CLIENT, ">H >D1 >D2:ES <H <T:OK !"),
    (CLIENT, ">H+t <H >R:CANCEL <T:OK !"),
    (CLIENT, ">H <T:OK >D1 >R:NO_ERROR !"),  # it had not heard of the trailers when it framed DATA
    (CLIENT, ">H <H <H >R:PROTOCOL_ERROR !"),
    (CLIENT, ">H <EOF !"),
    (CLIENT, "!"),
]


@pytest.mark.parametrize(("role", "script"), POSSIBLE, ids=str)
def test_what_can_be(role: Role, script: str) -> None:
    assert watch(role, script).states


IMPOSSIBLE = [
    (SERVER, "<H >D1", "DUP-22"),
    (SERVER, "<H >H >H", "DUP-21"),
    (SERVER, "<H >H >D1 >D:ES", "DUP-19"),
    (SERVER, "<H >T:OK >D1", "DUP-17"),
    (SERVER, "<H >T:OK >T:OK", "DUP-16"),
    (SERVER, "<H >T:OK !", "P4"),  # it knows of no half-close, and does not say that the rest is not wanted
    (SERVER, "<H >T:OK >R:CANCEL", "ERR-D"),
    (SERVER, "<H >H >R:PROTOCOL_ERROR", "P33"),
    (SERVER, "<H >H >Dp >T:OK", "P2"),
    (SERVER, "<H <D!INTERNAL !", "P4"),
    (SERVER, "<H >H >G-", "P41"),
    (SERVER, ">H", "STAT-3"),
    (CLIENT, ">D1", "DUP-22"),
    (CLIENT, ">H >T:OK", "FRM-10"),
    (CLIENT, ">H >D:ES >D1", "DUP-17"),
    (CLIENT, ">H <T:OK >R:NO_ERROR >R:NO_ERROR", "P33"),
    (CLIENT, ">H <T:OK !", "P4"),
    (CLIENT, ">H >R:CANCEL >D1", "DUP-41"),
    (CLIENT, ">H <H >R:PROTOCOL_ERROR", "P33"),
]


@pytest.mark.parametrize(("role", "script", "rule"), IMPOSSIBLE, ids=str)
def test_what_can_not_be(role: Role, script: str, rule: str) -> None:
    before, _, last = script.rpartition(" ")
    states = watch(role, before)
    with pytest.raises(Impossible) as raised:
        if last == "!":
            states.at_rest()
        else:
            states.observed(frame(last[1:]))
    assert rule in raised.value.rules
    assert str(raised.value.observation) in str(raised.value)
    assert states.states, "what was possible before is kept, to be shown"


def test_what_the_application_of_a_known_service_is_told() -> None:
    states = watch(SERVER, "<H <D2:ES")
    for event in (Event.STARTED, Event.MESSAGE):
        states.took(event)
    with pytest.raises(Impossible) as raised:
        states.took(Event.HALF_CLOSED)
    assert raised.value.rules == ("P3",)
    states.took(Event.MESSAGE)
    states.took(Event.HALF_CLOSED)
    states.sent(TransportEnded())
    states.took(Terminal(StatusCode.CANCELLED, Origin.TRANSPORT))


def test_how_a_call_may_have_ended() -> None:
    assert watch(CLIENT, ">H <H <T:NOT_FOUND").endings() == {Terminal(StatusCode.NOT_FOUND, Origin.PEER)}
    states = PossibleStates(CLIENT)
    states.observed(frame("H"))
    states.sent(Goaway(covers=False))
    assert states.endings() == {Terminal(StatusCode.UNAVAILABLE, Origin.TRANSPORT, unprocessed=True)}


@given(walks())
def test_whatever_the_models_do_is_possible_to_those_who_see_only_the_wire(
    walk: tuple[Script, list[Move], World],
) -> None:
    """Complete: each model is watched from outside. What is sent to it is known when it is framed, long before it is
    heard; where frames can be lost or be read as too large, only when it is heard."""
    script, way, world = walk
    early = not script.features & (Feature.LOSS | Feature.LIMITS)
    watched = {role: PossibleStates(role) for role in Role}
    for move in way:
        if move.verb == "frames":
            watched[move.role].observed(move.what)  # type: ignore[arg-type]
            if early:
                watched[move.role.peer].sent(move.what)  # type: ignore[arg-type]
        elif move.verb == "hears" and not early:
            watched[move.role].sent(move.what)  # type: ignore[arg-type]
    if not any(moves(world, script)):
        for states in watched.values():
            states.at_rest()
