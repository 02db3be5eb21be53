"""Two engines, two wires, two clocks and the applications of every call, in one process and one step at a time.

Every run has two phases. First *safety*: whatever is ready may happen next, faults included, and the properties are
checked as it happens. Then *liveness*: faults are over, the wires are free, every reader reads; the world must come to
rest within a bound, with every call ended.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from operator import attrgetter
from typing import Any, TypeVar

from duplexcore import ClientConfig, ServerCall, ServerConfig

from .apps import App, ClientApp, ServerApp
from .between import Between
from .choosing import Chooser
from .disturbances import Cut, Leaver, Reset, Stall, Tuner
from .joined import joined
from .pairs import introduced
from .scripts import CallScript
from .sides import Clock, JoinedSide, Side
from .steps import Actor, StepKind
from .watching import Watcher, heard
from .wires import Frame, Wire

__all__ = ["Scenario", "Simulation"]

W = TypeVar("W", bound=Watcher)

RANK = attrgetter("rank")
#: More steps than that are not a run but a loop.
MAX_STEPS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a simulation is about; all else is choice.

    ``clocks``: what each side's clock shows at the start. ``leaves``: whether the sides may shut down. ``tunes``:
    whether their settings may change. ``faults``: whether the transport may stall, end and break. ``in_process``: the
    sides are joined by the in-process lane, not by HTTP/2; what is under way may stall there, and nothing else.
    ``whole_frames``: no frame arrives, or is lost, in part. ``between``: something stands between the sides, which
    passes frames on in others that say the same.
    """

    calls: Sequence[CallScript] = (CallScript(requests=(3,), responses=(3,)),)
    client: ClientConfig = field(default_factory=ClientConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    clocks: tuple[float, float] = (0.0, 0.0)
    leaves: bool = False
    tunes: bool = False
    faults: bool = False
    in_process: bool = False
    whole_frames: bool = False
    between: bool = False

    def __post_init__(self) -> None:
        if self.in_process and (self.leaves or self.tunes or self.between):
            raise ValueError("the in-process lane has neither shutdowns nor settings, and no frames: leave these out")

    @property
    def wide(self) -> bool:
        """Whether no window comes near its end, whatever is sent."""
        config = self.client, self.server
        stream, connection = min(one.stream_window for one in config), min(one.connection_window for one in config)
        sizes = [(sum(script.requests), sum(script.responses)) for script in self.calls]
        longest = max(map(max, sizes), default=0)
        return not self.tunes and 2 * longest < stream and 2 * longest * len(sizes) < connection


class Simulation:
    """One run of a scenario. `run` does it all; `step` goes by hand."""

    def __init__(self, scenario: Scenario, chooser: Chooser, watchers: Sequence[Watcher] = ()) -> None:
        self.scenario = scenario
        self.client: Side
        self.server: Side
        self._heard = heard(tuple(map(type, watchers)))
        self._shared = {kind: kind() for kind in self._heard.shared}
        self._watchers = watchers = (*self._shared.values(), *watchers)
        self._hooks = {hook: self._bound(hook, who) for hook, who in self._heard.by_hook.items()}
        self._chooser = chooser
        self._forced: Callable[[object], None] | None = getattr(chooser, "forced", None)
        handshake = self._introduce(scenario, chooser)
        whole = scenario.whole_frames
        self.up = Wire("up", chooser, self.server.receive, self.server.receive_end, whole_frames=whole)
        self.down = Wire("down", chooser, self.client.receive, self.client.receive_end, whole_frames=whole)
        if scenario.between:
            self.up.reframed = Between(chooser, answers=False, pads=scenario.wide)
            self.down.reframed = Between(chooser, answers=True, pads=scenario.wide)
        self.client.wire, self.server.wire = self.up, self.down
        self.clocks = (Clock(self.client), Clock(self.server))
        self._listen()
        self._on_event, self._on_command = self._tie_events(), self._tie("on_command")
        self._on_step = self._hooks["on_step"]
        self.clients = [ClientApp(self.client, index, script) for index, script in enumerate(scenario.calls)]
        self.servers: dict[int, ServerApp] = {}
        actors: list[Actor] = [actor for app in self.clients for actor in app.actors]
        actors += [self.client, self.up, self.server, self.down, *self.clocks]
        sides, wires = (self.client, self.server), (self.up, self.down)
        if scenario.leaves:
            actors += [Leaver(side, chooser) for side in sides]
        self._tuners = [Tuner(side, chooser) for side in sides] if scenario.tunes else []
        actors += self._tuners
        if scenario.faults and not scenario.in_process:
            actors += [Reset(side, wires) for side in sides]
            actors += [Cut(wire, chooser) for wire in wires]
        if scenario.faults:
            actors += [Stall(wire) for wire in wires]
        #: Who may act, in the dull order: of those that are ready the first is option 0.
        self.actors: list[Actor] = []
        self._ranks = count()
        self._enter(actors)
        #: Who acts, or acted last.
        self.last: Actor | None = None
        #: What happened, a label a step.
        self.trace: list[str] = []
        for app in self.clients:
            self._hear(app)
        for watcher in watchers:
            watcher.sim = self
            watcher.begin()
        for of_client, frame in handshake:
            wire = self.up if of_client else self.down
            for hear in (wire.on_framed, wire.on_arrived):
                if hear is not None:
                    hear(frame)

    def _introduce(self, scenario: Scenario, chooser: Chooser) -> list[tuple[bool, Frame]]:
        """Makes the sides; the frames of their handshake, True: of the client."""
        here, there = scenario.clocks
        if scenario.in_process:
            ends = joined(scenario.client, scenario.server)
            own = JoinedSide("client", ends[0], chooser, now=here)
            other = JoinedSide("server", ends[1], chooser, now=there, started=self._on_call)
            own.other, other.other = other, own
            self.client, self.server = own, other
            return []
        client, server, handshake = introduced(scenario.client, scenario.server, scenario.clocks)
        self.client = Side("client", client, chooser, now=here)
        self.server = Side("server", server, chooser, now=there, started=self._on_call)
        return handshake

    def _listen(self) -> None:
        """Ties the hooks of what there is from the start; a hook that nobody has overridden costs nothing."""
        for side, outward, inward, clock in (
            (self.client, self.up, self.down, self.clocks[0]),
            (self.server, self.down, self.up, self.clocks[1]),
        ):
            outward.on_framed = self._tie_frames("on_framed", side)
            inward.on_arrived = self._tie_frames("on_arrived", side)
            side.on_bytes = self._tie("on_bytes", side)
            side.on_lost = self._tie("on_lost", side)
            side.on_ended = self._tie("on_ended")
            side.on_closed = self._tie("on_closed", side)
            clock.on_timeout = self._tie("on_timeout", side)

    def _tie(self, hook: str, *first: Any) -> Callable[..., None] | None:
        called = self._hooks[hook]
        if not called:
            return None
        if len(called) == 1:
            return partial(called[0], *first)

        def call(*rest: Any) -> None:
            for one in called:
                one(*first, *rest)

        return call

    def _tie_frames(self, hook: str, side: Side) -> Callable[[Frame], None] | None:
        """For those who have something to do with the type of the frame."""
        hooks, places = self._hooks[hook], self._heard.by_type[hook]
        if not hooks:
            return None

        def call(frame: Frame) -> None:
            for at in places[frame.type]:
                hooks[at](side, frame)

        return call

    def _tie_events(self) -> Callable[[App, Any], None] | None:
        """For those who have something to do with the type of the event."""
        hooks, places = self._hooks["on_event"], self._heard.by_type["on_event"]
        if not hooks:
            return None

        def call(app: App, event: Any) -> None:
            for at in places[type(event)]:
                hooks[at](app, event)

        return call

    def _bound(self, hook: str, who: Sequence[int]) -> list[Callable[..., None]]:
        return [getattr(self._watchers[at], hook) for at in who]

    def _hear(self, app: App) -> None:
        app.on_event = self._on_event or app.on_event
        app.on_command = self._on_command or app.on_command

    def _on_call(self, call: ServerCall) -> None:
        index = _index_of(call)
        app = ServerApp(self.server, index, self.scenario.calls[index])
        app.takes = self.scenario.client.compressions
        app.begin(call)
        self._hear(app)
        assert index not in self.servers, f"call {index} was opened twice"
        self.servers[index] = app
        self._enter(app.actors)
        for hook in self._hooks["on_started"]:
            hook(app)

    def _enter(self, actors: Iterable[Actor]) -> None:
        """From now on these act, too."""
        for actor in actors:
            actor.rank = actor.rank[0], next(self._ranks)
            actor.on_woken = self._ask
            if not actor.over:
                self._ask(actor)

    def _ask(self, actor: Actor) -> None:
        insort(self.actors, actor, key=RANK)

    def shared(self, kind: type[W]) -> W:
        """The watcher of the run that all share whose class names it in ``reads``."""
        found: Any = self._shared[kind]
        return found  # type: ignore[no-any-return]

    def script_of(self, call: ServerCall) -> CallScript:
        return self.scenario.calls[_index_of(call)]

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Both phases. Raises AssertionError, with the property's number, when one does not hold."""
        while self.step():
            if len(self.trace) > MAX_STEPS:
                raise AssertionError("it does not come to rest")
        self.settle()
        self._untie()

    def step(self) -> bool:
        """One step of the first phase. False: nothing can happen any more."""
        ready = [actor for actor in self.actors if actor.ready()]
        if not ready:
            return False
        actor = ready[0]
        if len(ready) > 1:
            last = self.last
            if last is not actor and last in ready:
                ready.remove(last)
                ready.insert(0, last)
            actor = ready[self._chooser.choose(len(ready), "step", ready)]
        elif self._forced is not None:
            self._forced(actor)
        self.trace.append(actor.label)
        self.last = actor
        actor.act()
        if actor.over:
            self.actors.remove(actor)
        for hook in self._on_step:
            hook()
        return True

    def settle(self) -> None:
        """The second phase."""
        self.up.clogged = self.down.clogged = False
        for tuner in self._tuners:
            tuner.restore()
        self._let_finish()
        for hook in self._hooks["on_calm"]:
            hook()
        for app in self.clients:
            if app.call is not None and app.call.ended is None:
                app.cancel()
                app.on_command(app, "cancels")
                app.side.touched()
        self._let_finish()
        for hook in self._hooks["on_rest"]:
            hook()

    def _let_finish(self) -> None:
        for _ in range(MAX_STEPS):
            busy = False
            for app in self.apps():
                app.reader.go_on()
                for actor in app.actors:
                    while actor.kind is StepKind.APP and actor.ready():
                        actor.act()
                        busy = True
            for side in (self.client, self.server):
                while side.write():
                    busy = True
            busy = self.up.deliver_all() or busy
            busy = self.down.deliver_all() or busy
            if not busy:
                return
        raise AssertionError("it does not come to rest")

    def _untie(self) -> None:
        """Nothing goes on: what was seen stays, what ties its parts together goes. Without cycles a run is freed as
        soon as nobody keeps it; looking for such garbage took a tenth of the time."""
        self._watchers, self._shared, self._hooks = (), {}, {}
        self._on_event, self._on_command, self._on_step = None, None, []
        self.actors, self._tuners, self.last = [], [], None
        parts: Sequence[Side | Wire | Clock | App] = (self.client, self.server, self.up, self.down, *self.clocks)
        for part in (*parts, *self.apps()):
            part.untie()

    # --- what was seen ------------------------------------------------------------------------------------------------

    def apps(self) -> list[App]:
        """Both sides of every call, as far as they are there."""
        return [*self.clients, *self.servers.values()]

    def other(self, app: App) -> App:
        """The other side of the same call."""
        return self.servers[app.index] if app.who == "c" else self.clients[app.index]

    def ends(self) -> list[tuple[Any, Any]]:
        """Of each call, how it ended at the client and at the server."""
        return [
            (app.ended, other.ended if (other := self.servers.get(index)) is not None else None)
            for index, app in enumerate(self.clients)
        ]


def _index_of(call: ServerCall) -> int:
    """Of the scenario's calls: the last part of the method's name."""
    return int(call.method.rpartition("/")[2])
