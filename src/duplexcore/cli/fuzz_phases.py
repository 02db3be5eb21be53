"""The phases of `duplexcore fuzz HOST:PORT`: parts that are run, judged and kept alike, each its own way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import anyio
import click

from duplexcore.testing.blackbox import (
    CHECKS,
    CONFORMANCE,
    GROWTH,
    CheckError,
    Limits,
    Log,
    Meter,
    Server,
    conform,
    converse,
)
from duplexcore.testing.probe import CASES, Level, Need, Result, Target, Verdict, run_case
from duplexcore.testing.sim.cases import Case, _versions
from duplexcore.testing.sim.choosing import Chooser, Recorder, Tape, TapeChooser
from duplexcore.testing.sim.hunting import Finding
from duplexcore.testing.sim.policies import Policy, PrngChooser
from duplexcore.testing.sim.properties import PropertyError
from duplexcore.testing.sim.reports import Kept
from duplexcore.testing.sim.shrinking import shrink

from .fuzz_address import AddressOptions, NotAsked, reached
from .fuzz_known import KnownFailure, which
from .fuzz_options import PHASES

__all__ = ["AddressSubject", "Part", "every_check"]

#: Runs that shrinking may take: each has a connection of its own, and one that fails may wait for a whole grace.
SHRINKING = 40
#: After so many runs of a phase what the process holds is judged, besides at its end.
EVERY = 100
#: Seconds that a server has to close what is over, before it is judged.
SETTLING = 5.0
#: Runs with choices that show again what a process holds.
REPLAYED = 40
#: Frames of each flood.
FLOODS = 2_000
#: Calls that a case of the probe makes, about: for `Pace`.
CASE_CALLS = 3


#: What findings are told apart by: the number, and what is known of it.
Kind = tuple[str, KnownFailure | None]


class Pace:
    """No more calls a second than ``rate``, on the average of all so far; each run waits before it begins."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._due = time.monotonic()

    def wait(self) -> None:
        if self._rate is not None and (left := self._due - time.monotonic()) > 0:
            time.sleep(left)

    def count(self, calls: int) -> None:
        if self._rate is not None:
            self._due = max(self._due, time.monotonic()) + calls / self._rate


@dataclass
class Part:
    """One phase of a server, or one case of it: what a run is, and what is kept of one that fails.

    Call it with a chooser: one run, `PropertyError` when it shows a fault.
    """

    name: str
    options: AddressOptions
    server: Server
    pace: Pace

    def __post_init__(self) -> None:
        self.shrinking = SHRINKING
        self.log = Log()
        self.skipped = False  # what the last run could not judge

    def __call__(self, chooser: Chooser) -> object:
        self.pace.wait()
        self.log = Log()
        redacted = self.options.redacted
        try:
            anyio.run(partial(self._run, chooser))
        except CheckError as error:
            number = self.options.case or error.number
            text = str(error) if self.options.phase == "conformance" else str(error).partition(": ")[2]
            raise PropertyError(number, redacted(text)) from error
        except OSError as error:
            raise PropertyError(self.options.case or "B5", redacted(f"no connection: {error}")) from error
        finally:
            self.pace.count(self.log.calls)
        return None

    async def _run(self, chooser: Chooser) -> None:
        match self.options.phase:
            case "stateful":
                limits = Limits(calls=self.options.calls, messages=self.options.messages)
                await converse(self.server, chooser, limits, self.log)
            case "conformance":
                await conform(self.server, CONFORMANCE[self.options.case or ""], self.log)
            case _:
                await self._probe()

    async def _probe(self) -> None:
        case = CASES[_case_id(self.options.case or "")]
        self.log.calls = CASE_CALLS
        result = await run_case(case, _probed(self.server, floods=self.options.phase == "flood"))
        self.skipped = result.verdict is Verdict.SKIP
        self.log.lines += _told(result)
        if result.verdict is Verdict.FAIL and case.level is Level.MUST:
            raise CheckError(case.id, f"{case.title}: {result.came or result.remark}")

    @property
    def calls(self) -> int:
        return self.log.calls

    # --- what is kept -------------------------------------------------------------------------------------------------

    def case(self, finding: Finding) -> Case:
        """Of a finding, as it was when it last failed; metadata is not in it."""
        recorder = Recorder(TapeChooser(finding.tape))
        if self.options.case is None:  # elsewhere nothing is chosen, and the last run is the one that failed
            self._fails(recorder)
        return Case(
            target=self.name,
            options=self.options.as_dict(),
            tape=finding.tape,
            number=finding.number,
            message=finding.message,
            seed=finding.seed,
            policy=finding.policy.value,
            choices=[(one.kind, one.options, one.chosen, one.label) for one in recorder.choices],
            wire={} if self.options.metadata else self.log.wire,
            versions=_versions(),
        )

    def again(self, tape: Tape) -> tuple[PropertyError | None, str]:
        error = self._fails(TapeChooser(tape))
        return error, self.options.redacted(str(self.log))

    def keep(self, case: Case, folder: Path) -> Kept:
        """Of a server there is no more than the case file: what went on inside is not known."""
        return Kept(case.write(folder))

    def _fails(self, chooser: Chooser) -> PropertyError | None:
        try:
            self(chooser)
        except PropertyError as error:
            return error
        return None


def every_check() -> set[str]:
    """The numbers of all checks of all phases."""
    return {*CHECKS, *GROWTH, *CONFORMANCE, *map(_number, CASES)}


class AddressSubject(Part):
    """A server, and all phases that are asked for. Raises click.UsageError, and a `Problem` when nobody answers."""

    def __init__(self, name: str, options: AddressOptions, known: Sequence[KnownFailure] = ()) -> None:
        super().__init__(name, options, reached(name, options), Pace(options.rate))
        self._known = known
        self._parts = {
            phase: [one for one in self._cases(phase) if _fits(one, options.only)]
            for phase in PHASES
            if phase in options.phases
        }
        if options.only and not any(self._parts.values()):
            raise click.UsageError(f"no case of {', '.join(options.phases)} fits {', '.join(options.only)}")
        self._current: Part = self
        self._shrink_progress: Callable[[int, int], None] | None = None
        self._meters: dict[str, Meter] = {}
        #: Number of each check -> its sentence.
        self.checks: dict[str, str] = {}
        for phase, cases in self._parts.items():
            self.checks |= CHECKS if phase == "stateful" else {one: _title(phase, one) for one in cases}
        if options.pid is not None:
            self.checks |= GROWTH
        #: Those of them that at least one run could have failed.
        self.judged: set[str] = set()

    def _cases(self, phase: str) -> Iterable[str]:
        match phase:
            case "stateful":
                return ()
            case "conformance":
                return CONFORMANCE
            case _:
                flood = phase == "flood"
                wanted = (one for one in CASES.values() if (Need.FLOODS in one.needs) is flood)
                return [_number(one.id) for one in wanted if one.level is Level.MUST]

    def findings(
        self,
        seeds: Iterable[int],
        policy: Policy,
        progress: Callable[[int], None],
        in_time: Callable[[], bool],
        shrink_progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Finding]:
        """Phase after phase. ``seeds``: of the runs with choices; ``in_time``: whether there is time for one more."""
        self._shrink_progress = shrink_progress
        runs, met = 0, set[Kind]()
        for phase in self._parts:
            meter = self._meter(phase)
            for options, seed, checks in self._asked(phase, self._parts[phase], seeds):
                if options.case is not None and not in_time():
                    break
                runs += 1
                part = self._part(options)
                finding = self._ran(part, seed, policy, runs, met)
                if not part.skipped:
                    self.judged.update(checks)
                if finding is not None:
                    yield finding
                progress(runs)
                if meter is not None:
                    meter.ran()
                    if meter.runs % EVERY == 0:
                        yield from self._grown(meter, policy, runs, met)
            if meter is not None:
                yield from self._grown(meter, policy, runs, met)

    def _asked(
        self, phase: str, cases: Iterable[str], seeds: Iterable[int]
    ) -> Iterator[tuple[AddressOptions, int, Iterable[str]]]:
        """The runs of a phase: what each is, its seed, and the checks that it makes."""
        if phase == "stateful":
            options = replace(self.options, phase=phase, case=None)
            for seed in seeds:
                yield options, seed, CHECKS
        for case in cases:
            yield replace(self.options, phase=phase, case=case), 0, (case,)

    def _meter(self, phase: str) -> Meter | None:
        """Of the process, if it is known."""
        if self.options.pid is None:
            return None
        meter = self._meters[phase] = Meter(self.options.pid, phase, SETTLING)
        return meter

    def _grown(self, meter: Meter, policy: Policy, runs: int, met: set[Kind]) -> Iterator[Finding]:
        """What the process holds too much of."""
        for error in meter.judge():
            found = PropertyError(error.number, str(error).partition(": ")[2])
            if (kind := self._kind(found)) not in met:
                met.add(kind)
                part = self._part(replace(self.options, phase=meter.phase, case=error.number))
                part.log.lines.append(str(meter))
                yield Finding(error.number, str(found), 0, policy, (), runs, 0)
        if meter.last is not None:
            self.judged |= GROWTH.keys()

    @property
    def remarks(self) -> list[str]:
        """What the process has held, phase by phase."""
        return [str(meter) for meter in self._meters.values() if meter.runs]

    def __call__(self, chooser: Chooser) -> object:
        """One run; of a case about what the process holds, all of its phase, whatever else fails there."""
        case, phase = self.options.case, self.options.phase
        if case not in GROWTH or (meter := self._meter(phase)) is None:
            return super().__call__(chooser)
        self.log = Log()
        for options, seed, _ in self._asked(phase, self._cases(phase), range(REPLAYED)):
            Part(self.name, options, self.server, self.pace)._fails(PrngChooser(seed))
            meter.ran()
        errors = [error for error in meter.judge() if error.number == case]
        self.log.lines.append(str(meter))
        for error in errors:
            raise PropertyError(error.number, str(error).partition(": ")[2])
        return None

    def _ran(self, part: Part, seed: int, policy: Policy, runs: int, met: set[Kind]) -> Finding | None:
        """One run. What does not fail again as it is made smaller is kept as it was: time is real here."""
        recorder = Recorder(PrngChooser(seed, policy))
        try:
            part(recorder)
        except PropertyError as error:
            if self._kind(error) in met:
                return None
            met.add(self._kind(error))
            tape, smallest = recorder.tape, error
            if tape:
                try:
                    smallest, tape = shrink(
                        part, tape, budget=SHRINKING, kind=self._kind, progress=self._shrink_progress
                    )
                except ValueError:
                    tape = recorder.tape
            return Finding(smallest.number, str(smallest), seed, policy, tape, runs, len(recorder.tape))
        return None

    def _kind(self, error: PropertyError) -> Kind:
        """What is known to fail hides nothing else of its check."""
        return error.number, which(self._known, error.number, str(error))

    def _part(self, options: AddressOptions) -> Part:
        self._current = Part(self.name, options, self.server, self.pace)
        return self._current

    # What is asked after a finding is asked of the part that has found it.

    @property
    def calls(self) -> int:
        return self._current.log.calls

    def case(self, finding: Finding) -> Case:
        return self._current.case(finding) if self._current is not self else super().case(finding)

    def again(self, tape: Tape) -> tuple[PropertyError | None, str]:
        current = self._current
        if current is self:
            return super().again(tape)
        if current.options.case in GROWTH:  # all the runs of a phase have shown it
            return None, str(current.log)
        return current.again(tape)


def _probed(server: Server, *, floods: bool) -> Target:
    """As the probe knows servers: by one method that answers OK, if there is one."""
    plain = server.plain
    good = plain.usual == "OK"
    return replace(
        server.target,
        method=plain.path if good else None,
        kind="duplex" if good and plain.many_requests else "unary",
        message=plain.plain if good else b"",
        floods=FLOODS if floods else 0,
    )


def _told(result: Result) -> list[str]:
    came = f": {result.came}" if result.came else ""
    return [f"{result.case.id}: {result.case.title}{came}", *(f"    <-- {one}" for one in result.frames)]


def _fits(number: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(number, pattern) for pattern in patterns)


def _number(id_: str) -> str:
    """The id of a probe's case as the number of a finding: part of a file's name."""
    return id_.replace("/", ".")


def _case_id(number: str) -> str:
    """Raises `NotAsked` for one of another version."""
    found = next((one for one in CASES if _number(one) == number), None)
    if found is None:
        raise NotAsked(f"there is no case {number}: the case file is of another version")
    return found


def _title(phase: str, number: str) -> str:
    return CONFORMANCE[number].title if phase == "conformance" else CASES[_case_id(number)].title
