"""One call between two engines."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from ..sim.scripts import CallScript
from ..sim.simulation import Scenario
from ..strategies.calls import call_scripts
from .directing import DirectedMachine

__all__ = ["CallMachine"]

PORTIONS = st.integers(0, 3)


class CallMachine(DirectedMachine):
    """One call; each rule is a step of one of those who take part. Override `script` to say which calls, `scenario`
    for how the engines are configured, and add methods ``invariant_*`` that look at `simulation`."""

    def script(self) -> st.SearchStrategy[CallScript]:
        """The calls that are run."""
        return call_scripts()

    def scenario(self, script: CallScript) -> Scenario:
        """One call, on engines with the usual configuration."""
        return Scenario(calls=(script,), faults=True)

    @initialize(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        """The connection is there, and both sides know what they will do."""
        self.begin(self.scenario(data.draw(self.script(), "script")))

    @precondition(lambda self: self.can("c0 writer"))
    @rule()
    def client_writes(self) -> None:
        """Starts the call, sends, or half-closes: what comes next."""
        self.let("c0 writer")

    @precondition(lambda self: self.can("c0 reader"))
    @rule()
    def client_reads(self) -> None:
        """One event."""
        self.let("c0 reader")

    @precondition(lambda self: self.can("c0 cancels"))
    @rule()
    def client_cancels(self) -> None:
        """At any moment."""
        self.let("c0 cancels")

    @precondition(lambda self: self.can("s0 writer"))
    @rule()
    def server_writes(self) -> None:
        """Sends, or gives the status."""
        self.let("s0 writer")

    @precondition(lambda self: self.can("s0 reader"))
    @rule()
    def server_reads(self) -> None:
        """One event."""
        self.let("s0 reader")

    @precondition(lambda self: self.can("s0 aborts"))
    @rule()
    def server_aborts(self) -> None:
        """At any moment."""
        self.let("s0 aborts")

    @rule(side=st.sampled_from(("client", "server")), by_frame=st.booleans())
    def engine_writes(self, side: str, by_frame: bool) -> None:
        """Bytes set out: all, or a frame."""
        self.let(side, int(by_frame))

    @rule(way=st.sampled_from(("up", "down")), portion=PORTIONS)
    def bytes_arrive(self, way: str, portion: int) -> None:
        """All, a frame, a frame's header, or one byte."""
        self.let(way, portion)

    @rule(side=st.sampled_from(("client", "server")))
    def time_passes(self, side: str) -> None:
        """On one side's clock, to its next timeout."""
        self.let(f"{side} clock")

    @rule(side=st.sampled_from(("client", "server")))
    def connection_breaks(self, side: str) -> None:
        """What is under way is lost; the other side hears of it later."""
        self.let(f"{side} loses the connection")
