"""Several calls on one connection, which may be shut down, and whose settings change."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, initialize, rule

from ..sim.scripts import CallScript
from ..sim.simulation import Scenario
from ..strategies.calls import call_scripts
from .directing import DirectedMachine

__all__ = ["ConnectionMachine"]

SIDES = st.sampled_from(("client", "server"))


class ConnectionMachine(DirectedMachine):
    """Calls are a bundle: rules take any that was opened. Override `scripts` and `scenario`, add ``invariant_*``."""

    unopened = Bundle("unopened")
    calls = Bundle("calls")

    def scripts(self) -> st.SearchStrategy[list[CallScript]]:
        """The calls that may be opened: at most five."""
        return st.lists(call_scripts(), min_size=1, max_size=5)

    def scenario(self, scripts: list[CallScript]) -> Scenario:
        """Both sides may leave, and change their settings."""
        return Scenario(calls=tuple(scripts), leaves=True, tunes=True, faults=True)

    @initialize(target=unopened, data=st.data())
    def connect(self, data: st.DataObject) -> int:
        """The connection is there; the result is the first call that may be opened."""
        self.begin(self.scenario(data.draw(self.scripts(), "scripts")))
        return 0

    @rule(target=calls, call=consumes(unopened))
    def client_opens(self, call: int) -> int:
        """A call starts, as far as the connection takes it."""
        self.let(f"c{call} writer")
        return call

    @rule(target=unopened, call=calls)
    def another(self, call: int) -> int:
        """There is one more; the last is the last."""
        assert self.simulation is not None
        return min(call + 1, len(self.simulation.clients) - 1)

    @rule(call=calls, who=st.sampled_from("cs"))
    def application_writes(self, call: int, who: str) -> None:
        """The client's or the server's, what comes next."""
        self.let(f"{who}{call} writer")

    @rule(call=calls, who=st.sampled_from("cs"))
    def application_reads(self, call: int, who: str) -> None:
        """One event."""
        self.let(f"{who}{call} reader")

    @rule(call=calls, who=st.sampled_from(("c cancels", "s aborts")))
    def application_gives_up(self, call: int, who: str) -> None:
        """At any moment."""
        self.let(f"{who[0]}{call}{who[1:]}")

    @rule(side=SIDES, by_frame=st.booleans())
    def engine_writes(self, side: str, by_frame: bool) -> None:
        """Bytes set out: all, or a frame."""
        self.let(side, int(by_frame))

    @rule(way=st.sampled_from(("up", "down")), portion=st.integers(0, 3))
    def bytes_arrive(self, way: str, portion: int) -> None:
        """All, a frame, a frame's header, or one byte."""
        self.let(way, portion)

    @rule(side=SIDES)
    def time_passes(self, side: str) -> None:
        """On one side's clock, to its next timeout."""
        self.let(f"{side} clock")

    @rule(side=SIDES, with_grace=st.booleans())
    def side_leaves(self, side: str, with_grace: bool) -> None:
        """GOAWAY: no more calls, those that are open go on."""
        self.let(f"{side} shuts down", int(with_grace))

    @rule(side=SIDES, which=st.integers(0, 1))
    def settings_change(self, side: str, which: int) -> None:
        """A window, or how many calls there may be; later it is as before."""
        self.let(f"{side} settings", which)

    @rule(side=SIDES)
    def connection_breaks(self, side: str) -> None:
        """What is under way is lost; the other side hears of it later."""
        self.let(f"{side} loses the connection")
