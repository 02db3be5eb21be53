"""What is simulated: scenarios drawn by the chooser, with the properties that must hold, and how a target is named.

A target's name is ``engine``, or ``module:Name`` for something in a module that one of `KINDS` knows how to run. A
kind looks at what stands there, and answers with its maker or None; `register` adds one.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from .choosing import Chooser
from .configurations import CARRIERS, capped, carried, draw_configurations
from .features import draw_features
from .properties import ALL, COSTLY, P1, P2, P3, P4, P5, P6, P8, P20, P27, P32, P33, P34, P44, Property, PropertyError
from .properties.oracle import Oracle
from .scripts import draw_script
from .simulation import Scenario, Simulation
from .watching import Watcher

__all__ = [
    "EngineOptions",
    "EngineTarget",
    "Maker",
    "NoTargetError",
    "Runnable",
    "Watchers",
    "maker",
    "named",
    "register",
]

#: What holds whatever carries the calls; the other properties speak of HTTP/2's frames, windows and settings.
ANYWHERE = frozenset((P1, P2, P3, P4, P5, P6, P8, P20, P27, P32, P33, P34, P44, Oracle))

#: Makes the watchers of a run, besides the properties.
Watchers = Callable[[], Sequence[Watcher]]


class NoTargetError(ValueError):
    """Nothing of that name can be run. The text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What runs of the engine contain. Raises ValueError for values that can not be.

    ``calls``: on one connection, at most; ``messages``: each way, at most. ``endings``: cancels, deadlines, aborts;
    ``leaves``: shutdowns; ``settings``: small windows, what carries the calls, settings that change, and
    with ``refusals`` servers that take few calls at once; ``faults``: stalls, ends and breaks of the transport;
    ``features``: what `draw_features` knows; ``costly``: the properties that look at copies of the engines, too.
    """

    calls: int = 4
    messages: int = 3
    endings: bool = True
    leaves: bool = True
    settings: bool = True
    refusals: bool = True
    faults: bool = True
    features: bool = True
    costly: bool = False

    def __post_init__(self) -> None:
        for name in ("calls", "messages"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= 100:
                raise ValueError(f"{name} is {value}: it must be from 1 to 100")

    def as_dict(self) -> dict[str, Any]:
        """For case files: `EngineOptions(**options.as_dict())` is equal."""
        return asdict(self)

    @property
    def properties(self) -> Sequence[type[Property]]:
        """What is checked."""
        return (*ALL, *COSTLY) if self.costly else ALL


class EngineTarget:
    """Both engines, under scripts that the chooser draws. Call it with a chooser: one run.

    Raises `PropertyError`, also where the engine or an application raises what nobody expects: its number is "crash".
    Subclasses may prepare something else to be run.
    """

    def __init__(self, options: EngineOptions | None = None, watchers: Watchers = tuple) -> None:
        self.options = options or EngineOptions()
        self._watchers = watchers
        #: The run that was begun last, and its oracle.
        self.simulation: Simulation | None = None
        self.oracle: Oracle | None = None

    #: From which what carries the calls of a run is drawn.
    carriers: ClassVar[Sequence[str]] = tuple(CARRIERS)

    def __call__(self, chooser: Chooser) -> Simulation:
        try:
            with _garbage_kept():
                return self.execute(chooser)
        except PropertyError:
            raise
        except Exception as error:
            raise PropertyError("crash", f"{type(error).__name__}: {error}") from error

    def execute(self, chooser: Chooser) -> Simulation:
        """One run. Raises whatever comes."""
        self.simulation = simulation = self.prepare(chooser)
        simulation.run()
        return simulation

    def prepare(self, chooser: Chooser) -> Simulation:
        """A run that has not begun."""
        scenario = self.scenario(chooser)
        watchers = self.watchers()
        if scenario.in_process:
            watchers = [one for one in watchers if _holds_anywhere(one)]
        return Simulation(scenario, chooser, watchers)

    def scenario(self, chooser: Chooser) -> Scenario:
        """What a run is about."""
        options = self.options
        counts = range(1, options.calls + 1)
        count = 1 + (chooser.choose(len(counts), "calls", counts) if len(counts) > 1 else 0)
        scripts = [draw_script(chooser, max_messages=options.messages, endings=options.endings) for _ in range(count)]
        # Not in each run: where a fault may come it will, and hides what would have come after it.
        leaves = options.leaves and bool(chooser.choose(2, "leaves", ("no", "yes")))
        faults = options.faults and bool(chooser.choose(2, "faults", ("no", "yes")))
        if not options.settings:
            return Scenario(calls=tuple(scripts), leaves=leaves, faults=faults)
        client, server = draw_configurations(chooser, refusals=options.refusals)
        calls = [capped(script, client.stream_window) for script in scripts]
        names = self.carriers
        pair = CARRIERS[names[chooser.choose(len(names), "carrier", names) if len(names) > 1 else 0]]
        if pair is None:
            scenario = Scenario(calls=calls, client=client, server=server, faults=faults, in_process=True)
            return self._with_features(chooser, scenario)
        client, server = carried(client, pair[0]), carried(server, pair[1])
        tunes = bool(chooser.choose(2, "settings", ("stay", "change")))
        scenario = Scenario(calls=calls, client=client, server=server, leaves=leaves, tunes=tunes, faults=faults)
        return self._with_features(chooser, scenario)

    def _with_features(self, chooser: Chooser, scenario: Scenario) -> Scenario:
        return draw_features(chooser, scenario) if self.options.features else scenario

    @property
    def properties(self) -> Sequence[type[Property]]:
        """What is checked."""
        return self.options.properties

    def watchers(self) -> list[Watcher]:
        """Those of a new run: what was asked for, then the properties."""
        properties = [one() for one in self.properties]
        self.oracle = next((one for one in properties if isinstance(one, Oracle)), None)
        return [*self._watchers(), *properties]


@contextmanager
def _garbage_kept() -> Generator[None]:
    """A run is small, and garbage as a whole: looking for some in it again and again took a fifth of its time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _holds_anywhere(watcher: Watcher) -> bool:
    return not isinstance(watcher, Property) or type(watcher) in ANYWHERE


Runnable = EngineTarget
#: Makes a target of options and watchers.
Maker = Callable[[EngineOptions, Watchers], Runnable]


def _targets(found: object) -> Maker | None:
    """A class that is a target already."""
    return found if isinstance(found, type) and issubclass(found, EngineTarget) else None


#: What can stand behind ``module:Name``, the latest first.
KINDS: list[Callable[[object], Maker | None]] = [_targets]


def register(kind: Callable[[object], Maker | None]) -> None:
    """Adds a kind of target: it is asked before those that are there."""
    KINDS.insert(0, kind)


def maker(name: str) -> Maker:
    """What makes the target of a name. Raises `NoTargetError`."""
    if name == "engine":
        return EngineTarget
    found = named(name)
    for kind in KINDS:
        made = kind(found)
        if made is not None:
            return made
    raise NoTargetError(f"{name} is no service, and nothing else that can be run: {type(found).__name__}")


def named(name: str) -> object:
    """What stands at ``module:Name``. Raises `NoTargetError`."""
    module_name, colon, attribute = name.partition(":")
    if not (colon and module_name and attribute):
        raise NoTargetError(f"{name!r} is no target: it is 'engine', or MODULE:NAME")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise NoTargetError(f"module {module_name!r} needs one that is missing: {error}") from error
        raise NoTargetError(f"there is no module {module_name!r} here") from error
    except Exception as error:
        raise NoTargetError(f"module {module_name!r} can not be imported: {type(error).__name__}: {error}") from error
    try:
        found: object = getattr(module, attribute)
    except AttributeError as error:
        raise NoTargetError(f"module {module_name!r} has no {attribute!r}") from error
    return found
