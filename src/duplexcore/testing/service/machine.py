"""The machine to subclass: a service of one's own, run in every order that the simulator finds."""

from __future__ import annotations

import math
import unittest
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar

from duplexcore import ServerConfig
from duplexcore.rpc import HandlerTable

from ..sim.cases import Case
from ..sim.choosing import Chooser, Tape, TapeChooser
from ..sim.hunting import Finding, hunt
from ..sim.pictures import mermaid, text
from ..sim.policies import Policy
from ..sim.properties import PropertyError
from ..sim.reports import Kept
from .callers import Caller, Calls, Script
from .loop import SteppedLoop
from .places import place_of_error
from .replays import ServiceReplay, case_of, keep_case, replay_machine
from .simulation import ServiceSimulation

__all__ = ["ServiceFailure", "ServiceMachine", "always", "at_rest", "sometimes"]

Check = TypeVar("Check", bound=Callable[..., Any])
#: How many runs may be spent to make a failure small.
SHRINKING = 800
#: The longest picture, in lines.
PICTURE = 300


def always(check: Check) -> Check:
    """Marks a method that is called after every step, and raises AssertionError if what must hold does not."""
    check._checked = "always"  # type: ignore[attr-defined]
    return check


def at_rest(check: Check) -> Check:
    """The same, once in a run: when every call has ended, every handler has returned, and every client is gone."""
    check._checked = "at_rest"  # type: ignore[attr-defined]
    return check


def sometimes(check: Check) -> Check:
    """Marks a method that is asked after every step, and must have been true once among all runs of a test: a state
    that the test was made for. If it never is, the test fails: it does not test what it seems to."""
    check._checked = "sometimes"  # type: ignore[attr-defined]
    return check


class Listener(Protocol):
    """Hears of a run."""

    def attach(self, simulation: ServiceSimulation) -> None:
        """The run has not begun."""


class ServiceFailure(AssertionError):
    """A service failed. The text has it all; ``tape`` is for `ServiceMachine.replay`."""

    def __init__(self, machine: str, how: str, case: Case, run: ServiceReplay) -> None:
        #: The run, as text and as a Mermaid diagram.
        self.picture = _bounded(text(run.recording.entries, race=case.race, handshake=False))
        self.diagram = mermaid(run.recording.entries, race=case.race, fault=case.message, handshake=False)
        race = "" if case.race is None else f"\n\nthe race: {case.race.told}"
        again = f"Have it again with {machine}.replay({case.tape!r})"
        super().__init__(f"{machine}: {case.message}\n\n{how}{race}\n\n{self.picture}\n{again}")
        #: The name of what did not hold.
        self.number = case.number
        self.tape = case.tape
        #: All of it, and the two steps whose order makes the difference.
        self.case = case
        self.race = case.race
        self._run = run

    def keep(self, folder: Path) -> Kept:
        """Writes the case file, the page, the diagram and the test. Raises OSError."""
        return keep_case(self.case, self._run, folder)


class ServiceMachine:
    """Subclass it, say what is served (`service`) and what clients call (`calls`), and put ``TestX = X.TestCase`` in a
    module of pytest's. Each run has a new instance: what `service` keeps on it, the checks can look at."""

    #: What the clients may call: one method's calls, or several.
    calls: ClassVar[Calls | Sequence[Calls]] = ()
    #: At most so many calls in a run, on at most so many connections.
    max_calls: ClassVar[int] = 3
    connections: ClassVar[int] = 2
    #: How many runs a test has. The same ones each time.
    runs: ClassVar[int] = 200
    #: Whether connections stall and break; whether the server shuts connections down.
    faults: ClassVar[bool] = True
    shutdowns: ClassVar[bool] = False
    #: Whether a handler may raise what is no `RpcError`.
    handlers_may_fail: ClassVar[bool] = False
    #: Without keepalive: a server that pings by the hour never rests.
    config: ClassVar[ServerConfig] = ServerConfig(keepalive_time=math.inf)
    policy: ClassVar[Policy] = Policy.MIX
    #: Where the test leaves the files of a failure; None: nowhere.
    cases: ClassVar[Path | None] = Path(".duplexcore") / "cases"
    #: For pytest: ``TestX = X.TestCase``.
    TestCase: ClassVar[type[unittest.TestCase]]

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.TestCase = _test_case(cls)

    # --- to be overridden ---------------------------------------------------------------------------------------------

    def service(self) -> HandlerTable:
        """The router of a new service. Called once for each run, in a task of its event loop."""
        raise TypeError(f"{type(self).__name__} has no service: override service() to return the router of a new one")

    # --- what checks can look at --------------------------------------------------------------------------------------

    simulation: ServiceSimulation

    @property
    def callers(self) -> list[Caller]:
        """The clients' calls: `Caller.sent`, `Caller.received`, `Caller.status`."""
        return self.simulation.callers

    @property
    def running(self) -> list[int]:
        """The calls whose handlers have begun and not returned."""
        return self.simulation.running

    # --- running ------------------------------------------------------------------------------------------------------

    @classmethod
    def run(cls, chooser: Chooser, listener: Listener | None = None) -> set[str]:
        """One run by a chooser: a target for `hunt`, `shrink` and fuzzers. Returns the names of the marks it reached.

        ``listener`` hears of it. Raises `PropertyError`, TypeError for a machine that lacks something.
        """
        machine, loop = cls(), SteppedLoop()  # type: ignore[abstract]
        scripts = cls._draw(chooser)
        with loop.running():
            try:
                simulation = machine.simulation = ServiceSimulation(
                    machine.service,
                    scripts,
                    chooser,
                    loop,
                    config=cls.config,
                    faults=cls.faults,
                    shutdowns=cls.shutdowns,
                    handlers_may_fail=cls.handlers_may_fail,
                )
                if listener is not None:
                    listener.attach(simulation)
                return machine._run()
            finally:
                loop.close()

    @classmethod
    def check(cls, seeds: Iterable[int] | None = None) -> None:
        """What the test does: the dullest run, then one for each seed, then the marks.

        Raises `ServiceFailure`; AssertionError for a mark that no run has reached.
        """
        reached: set[str] = set()

        def target(chooser: Chooser) -> None:
            reached.update(cls.run(chooser))

        try:
            target(TapeChooser(()))
        except PropertyError:
            cls._fail((), "in the dullest run of all")
        source = range(cls.runs) if seeds is None else seeds
        finding = next(hunt(target, source, policy=cls.policy, shrinking=SHRINKING), None)
        if finding is not None:
            cls._fail(finding.tape, _how(finding), seed=finding.seed, policy=finding.policy.value)
        missing = [name for name in cls._checks("sometimes") if name not in reached]
        if missing:
            raise AssertionError(
                f"{cls.__name__}: {', '.join(missing)} was never true. Let its calls do more, or give it more than "
                f"{cls.runs} runs; if it can not happen, say so with @always"
            )

    @classmethod
    def replay(cls, tape: Sequence[int]) -> str:
        """Has a run again; the picture of it when nothing fails. Raises `ServiceFailure`."""
        run = replay_machine(cls, tuple(tape))
        if run.error is not None:
            cls._fail(tuple(tape), "in a replay")
        return _bounded(text(run.recording.entries, handshake=False))

    # --- inside -------------------------------------------------------------------------------------------------------

    @classmethod
    def _draw(cls, chooser: Chooser) -> list[Script]:
        kinds = (cls.calls,) if isinstance(cls.calls, Calls) else tuple(cls.calls)
        if not kinds:
            raise TypeError(f"{cls.__name__} has no calls: set `calls` to what its clients may call")
        if cls.max_calls < 1 or cls.connections < 1:
            raise ValueError(f"{cls.__name__}: max_calls and connections must be at least 1")
        names = [kind.method.path for kind in kinds]
        scripts: list[Script] = []
        # Each further call says that it is there, so that a failure loses the calls that it does not need.
        while len(scripts) < cls.max_calls and (not scripts or chooser.choose(2, "another call", ("no", "yes"))):
            kind = kinds[chooser.choose(len(kinds), "method", names) if len(kinds) > 1 else 0]
            scripts.append(kind.draw(chooser, cls.connections))
        return scripts

    def _run(self) -> set[str]:
        always = [getattr(self, name) for name in self._checks("always")]
        waited = {name: getattr(self, name) for name in self._checks("sometimes")}
        reached: set[str] = set()

        def on_step() -> None:
            for check in always:
                _ask(check)
            for name, mark in waited.items():
                if name not in reached and mark():
                    reached.add(name)

        self.simulation.on_step = on_step
        self.simulation.run()
        for name in self._checks("at_rest"):
            _ask(getattr(self, name))
        return reached

    @classmethod
    def _checks(cls, kind: str) -> list[str]:
        return [name for name in dir(cls) if getattr(getattr(cls, name, None), "_checked", None) == kind]

    @classmethod
    def _fail(cls, tape: Tape, how: str, **facts: Any) -> NoReturn:
        run = replay_machine(cls, tape)
        if run.error is None:
            raise AssertionError(
                f"{cls.__name__} failed, but not again: it looks at something besides its calls and time"
            )
        raise ServiceFailure(cls.__name__, how, case_of(cls, run, tape, **facts), run) from run.error


def _ask(check: Callable[[], object]) -> None:
    try:
        check()
    except AssertionError as error:
        raise PropertyError(check.__name__, str(error) or f"it does not hold{place_of_error(error)}") from error


def _bounded(picture: str) -> str:
    """Without its middle, if it is long."""
    lines = picture.splitlines(keepends=True)
    if len(lines) <= PICTURE:
        return picture
    half = PICTURE // 2
    return "".join([*lines[:half], f"      ... {len(lines) - 2 * half:,} lines ...\n", *lines[-half:]])


def _how(finding: Finding) -> str:
    return (
        f"found in run {finding.runs} (seed {finding.seed}) of {finding.choices} choices, "
        f"made small to {len(finding.tape)}"
    )


def _test_case(machine: type[ServiceMachine]) -> type[unittest.TestCase]:
    def in_every_order(_case: unittest.TestCase) -> None:
        try:
            machine.check()
        except ServiceFailure as failure:
            if machine.cases is not None:
                kept = failure.keep(machine.cases)
                failure.add_note(
                    f"page:   {kept.page}\ntest:   {kept.test}\nagain:  duplexcore fuzz replay {kept.case}"
                )
            raise

    members = {"__module__": machine.__module__, "test_in_every_order": in_every_order}
    return type(f"{machine.__name__}TestCase", (unittest.TestCase,), members)
