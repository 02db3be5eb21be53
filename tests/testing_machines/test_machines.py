"""The machines on our engine; each finds a planted fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from duplexcore import ClientConnection, ServerConnection
from duplexcore.http2.header_decoder import HeaderDecoder
from duplexcore.testing import raw
from duplexcore.testing.machines import CallMachine, ConnectionMachine, HostilePeerMachine, HostileServerMachine
from duplexcore.testing.sim.properties import PropertyError
from duplexcore.testing.strategies.wire import VIOLATIONS, Violation
from tests.sim.planted import overtaken

SOME = settings(max_examples=25, stateful_step_count=40, database=None)
# To find is the machine's work; to shrink is that of Hypothesis, and takes its time.
MANY = settings(max_examples=400, stateful_step_count=40, database=None, phases=[Phase.generate])


@pytest.mark.parametrize("machine", [CallMachine, ConnectionMachine, HostilePeerMachine, HostileServerMachine])
def test_our_engine_keeps_its_promises(machine: Any) -> None:
    run_state_machine_as_test(machine, settings=SOME)


@pytest.mark.parametrize("role", [HostilePeerMachine, HostileServerMachine])
@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda one: one.name)
def test_each_violation_ends_the_connection_with_its_code(violation: Violation, role: Any) -> None:
    machine = role()
    machine.hello(raw.settings())
    machine.broken = violation
    machine.say(raw.data(1, raw.message(b"last")) + violation.wire)
    assert machine.goaways == [violation.code]
    assert machine.ends == {0: 1}
    machine.one_goaway_with_the_code()
    machine.ends_once()


@pytest.mark.parametrize("machine", [CallMachine, ConnectionMachine])
def test_a_status_that_overtakes_a_message_is_found(machine: Any) -> None:
    # Which of them sees it first depends on the example: a property (P2: ...) or the oracle (STAT-21: ...).
    with overtaken(), pytest.raises(PropertyError, match=r"^[A-Z]+-?\d+: "):
        run_state_machine_as_test(machine, settings=MANY)


@pytest.mark.parametrize(
    ("role", "engine"), [(HostilePeerMachine, ServerConnection), (HostileServerMachine, ClientConnection)]
)
def test_an_engine_that_raises_is_found(role: Any, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    receive: Callable[..., None] = engine.receive_data

    def fragile(self: Any, data: bytes, now: float) -> None:
        receive(self, data, now)
        if self.is_closed:
            raise KeyError("a stream")

    monkeypatch.setattr(engine, "receive_data", fragile)
    with pytest.raises(PropertyError, match="P26: receive_data raised KeyError"):
        run_state_machine_as_test(role, settings=MANY)


@pytest.mark.parametrize("role", [HostilePeerMachine, HostileServerMachine])
def test_a_header_block_that_is_taken_for_the_one_before_it_is_found(
    role: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, before = HeaderDecoder.decode, dict[int, tuple[HeaderDecoder, Any]]()

    def late(self: HeaderDecoder, fragment: bytes) -> Any:
        fields = decode(self, fragment)
        _, last = before.get(id(self), (self, fields))
        before[id(self)] = self, fields  # the decoder, too, or its number would be another's
        return last if len(last.block.fields) == len(fields.block.fields) else fields

    monkeypatch.setattr(HeaderDecoder, "decode", late)
    # Two answers in a connection's short life: found within 400 examples nearly always, and within these for sure.
    with pytest.raises(PropertyError, match="P48: stream"):
        run_state_machine_as_test(role, settings=settings(MANY, max_examples=4_000))


def test_an_invariant_of_ones_own_is_checked() -> None:
    class Short(CallMachine):
        def invariant_nobody_sends(self) -> None:
            assert self.simulation is not None
            assert not any(app.accepted for app in self.simulation.clients), "c0 has sent"

    with pytest.raises(AssertionError, match="c0 has sent"):
        run_state_machine_as_test(Short, settings=MANY)
