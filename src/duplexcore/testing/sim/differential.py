"""Both HTTP/2 carriers under the same choices: what applications are told, and how connections end, must be the same.

Frames may have other bytes (header blocks are packed in another way), so whole frames arrive here, and a connection
that breaks keeps whole frames: then a choice is about the same thing whatever carries the calls. That any split of the
same bytes makes no difference is P11.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .choosing import Chooser
from .configurations import CARRIERS, carried
from .properties import Property, PropertyError
from .simulation import Scenario, Simulation
from .targets import EngineTarget
from .watching import Watcher

__all__ = ["D1", "NAME", "PAIRS", "Differential", "Told", "told"]

#: The carriers of the client and of the server; all must be like the first.
PAIRS = tuple(pair for pair in CARRIERS.values() if pair is not None)

#: How the target is named.
NAME = f"{__name__}:Differential"

#: A choice: what it was about, and among what; sizes in bytes may differ.
Asked = tuple[str, int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Told:
    """What a run has shown to its applications: of each call and side what was taken and said, and how each
    connection ended."""

    apps: dict[str, Any]
    closed: dict[str, Any]
    steps: tuple[str, ...]


class D1(Property):
    """Whichever carrier each side has, the same choices give the same events, statuses and ends of connections."""

    number = "D1"


class Differential(EngineTarget):
    """One run over h2, again over our own carrier, and over one of each. Raises `PropertyError` as D1 where they
    differ."""

    carriers = ("h2",)

    @property
    def properties(self) -> Sequence[type[Property]]:
        """The others hold, or not, over each carrier by itself."""
        return (D1,)

    def scenario(self, chooser: Chooser) -> Scenario:
        return replace(super().scenario(chooser), whole_frames=True)

    def execute(self, chooser: Chooser) -> Simulation:
        noting = Noting(chooser)
        drawn = self.scenario(noting)
        noting.drawn = len(noting.asked)
        first = self._over(PAIRS[0], drawn, noting, self.watchers())
        self.simulation = first
        first.run()
        mixed = PAIRS[2 + len(noting.answers) % 2]
        for pair in (PAIRS[1], mixed):
            self._compare(first, drawn, pair, noting)
        return first

    def _compare(self, first: Simulation, drawn: Scenario, pair: tuple[str, str], noting: Noting) -> None:
        following = Following(noting)
        other = self._over(pair, drawn, following, ())
        names = f"over {' and '.join(pair)}"
        try:
            other.run()
        except OtherChoiceError as error:
            raise PropertyError(D1.number, f"{names}, after {len(other.trace)} steps: {error}") from error
        expected, found = told(first), told(other)
        for what in ("steps", "apps", "closed"):
            if getattr(found, what) != getattr(expected, what):
                raise PropertyError(D1.number, f"{names}: {_difference(getattr(expected, what), getattr(found, what))}")

    def _over(
        self, pair: tuple[str, str], drawn: Scenario, chooser: Chooser, watchers: Sequence[Watcher]
    ) -> Simulation:
        scenario = replace(drawn, client=carried(drawn.client, pair[0]), server=carried(drawn.server, pair[1]))
        return Simulation(scenario, chooser, watchers)


class OtherChoiceError(Exception):
    """Something else can happen here than in the run before."""


class Noting:
    """Asks another chooser, and notes what was asked and answered."""

    def __init__(self, inner: Chooser) -> None:
        self._inner = inner
        self.asked: list[Asked] = []
        self.answers: list[int] = []
        #: How many of them were about the scenario.
        self.drawn = 0

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        chosen = self._inner.choose(n, kind, labels)
        self.asked.append(_asked(n, kind, labels))
        self.answers.append(chosen)
        return chosen


class Following:
    """Answers as before, as long as it is asked the same; from the scenario on, which is drawn once."""

    def __init__(self, noting: Noting) -> None:
        self._noting = noting
        self._at = noting.drawn

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        at, noting = self._at, self._noting
        asked = _asked(n, kind, labels)
        if at >= len(noting.asked):
            raise OtherChoiceError(f"{_shown(asked)}; nothing could happen before")
        if asked != noting.asked[at]:
            raise OtherChoiceError(f"{_shown(asked)}; over h2 it is {_shown(noting.asked[at])}")
        self._at = at + 1
        return noting.answers[at]


def told(simulation: Simulation) -> Told:
    """What a run that is over has shown."""
    return Told(
        apps={
            f"{app.side.name}, call {app.index}": (app.events, app.ended, len(app.accepted), app.refused)
            for app in simulation.apps()
        },
        closed={side.name: side.closed for side in (simulation.client, simulation.server)},
        steps=tuple(simulation.trace),
    )


def _asked(n: int, kind: str, labels: Sequence[object]) -> Asked:
    return kind, n, tuple(actor.name for actor in labels) if kind == "step" else ()  # type: ignore[attr-defined]


def _shown(asked: Asked) -> str:
    kind, n, names = asked
    return f"who acts is one of {', '.join(names)}" if names else f"{kind} is one of {n}"


def _difference(expected: Any, found: Any) -> str:
    if isinstance(expected, dict):
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                return f"{name} has {found.get(name)}, over h2 {expected.get(name)}"
    at = next((at for at, (one, other) in enumerate(zip(expected, found, strict=False)) if one != other), len(found))
    return f"step {at + 1} is {[*found, 'none'][at]}, over h2 {[*expected, 'none'][at]}"
