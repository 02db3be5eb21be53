"""The machine to subclass: a service of one's own, run in every order that the simulator finds."""

from __future__ import annotations

import math
import unittest
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NoReturn, TypeVar

from duplexcore import ServerConfig
from duplexcore.rpc import HandlerTable

from ..sim.choosing import Chooser, Recorder, Tape, TapeChooser
from ..sim.hunting import Finding, hunt
from ..sim.pictures import mermaid, text
from ..sim.policies import Policy
from ..sim.properties import PropertyError
from .callers import Caller, Calls, Script
from .loop import SteppedLoop
from .places import place_of_error
from .recording import ServiceRecording
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


class ServiceFailure(AssertionError):
    """A service failed. The text has it all; ``tape`` is for `ServiceMachine.replay`."""

    def __init__(self, text: str, *, number: str, tape: Tape, picture: str, diagram: str) -> None:
        super().__init__(text)
        #: The name of what did not hold.
        self.number = number
        self.tape = tape
        #: The run, as text and as a Mermaid diagram.
        self.picture = picture
        self.diagram = diagram


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
    def run(cls, chooser: Chooser, recording: ServiceRecording | None = None) -> set[str]:
        """One run by a chooser: a target for `hunt`, `shrink` and fuzzers. Returns the names of the marks it reached.

        Raises `PropertyError`, TypeError for a machine that lacks something.
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
                if recording is not None:
                    recording.attach(simulation)
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
            cls._fail(finding.tape, _how(finding))
        missing = [name for name in cls._checks("sometimes") if name not in reached]
        if missing:
            raise AssertionError(
                f"{cls.__name__}: {', '.join(missing)} was never true. Let its calls do more, or give it more than "
                f"{cls.runs} runs; if it can not happen, say so with @always"
            )

    @classmethod
    def replay(cls, tape: Sequence[int]) -> str:
        """Has a run again; the picture of it when nothing fails. Raises `ServiceFailure`."""
        recording = ServiceRecording()
        try:
            cls.run(TapeChooser(tape), recording)
        except PropertyError:
            cls._fail(tuple(tape), "in a replay")
        return _bounded(text(recording.entries))

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
    def _fail(cls, tape: Tape, how: str) -> NoReturn:
        recording, recorder = ServiceRecording(), Recorder(TapeChooser(tape))
        try:
            cls.run(recorder, recording)
        except PropertyError as error:
            picture = _bounded(text(recording.entries))
            again = f"Have it again with {cls.__name__}.replay({tuple(tape)!r})"
            raise ServiceFailure(
                f"{cls.__name__}: {error}\n\n{how}\n\n{picture}\n{again}",
                number=error.number,
                tape=tuple(tape),
                picture=picture,
                diagram=mermaid(recording.entries),
            ) from error
        raise AssertionError(f"{cls.__name__} failed, but not again: it looks at something besides its calls and time")


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
        machine.check()

    members = {"__module__": machine.__module__, "test_in_every_order": in_every_order}
    return type(f"{machine.__name__}TestCase", (unittest.TestCase,), members)
