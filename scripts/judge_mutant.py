"""Judges mutants of the engine, one after the other: which are noticed, and by what?

python scripts/judge_mutant.py MAP                       which checks reach which lines, as JSON into the file MAP
python scripts/judge_mutant.py MAP MUTANTS RESULTS       judges each line of MUTANTS, and adds a line to RESULTS

A check is a run of the simulator with a seed, or a test. All is imported and collected once; a process is forked for
each mutant, in which the code of the function that it changes is exchanged. For what runs as a module is imported
the module is imported anew, and all that knows it. Asked are only the checks that reach the changed lines: first the
properties (the simulator and the tests of properties), then the others; near ones first, then the quick ones.
"""

from __future__ import annotations

import functools
import gc
import importlib
import importlib.util
import json
import os
import resource
import signal
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import pytest

__all__ = ["Check", "Reach", "exchange", "outcome"]

#: Where the properties' own tests are, and the engine's: what Hypothesis drives of these is a property, too.
PROPERTIES = ("tests/testing_machines/test_machines.py", "tests/testing_machines/test_codec_properties.py")
TESTS = tuple(f"tests/{room}" for room in ("call", "connection", "http2", "vocabulary", "rpc"))
#: Exhaustive tests: they notice much that others notice sooner, and take most of the time.
SLOW = "every_byte or every_order or walk or duplex_table or splits or flood_memory"
#: Runs of the simulator: with the properties that cost little, with all, and over both HTTP/2 side by side.
RUNS, COSTLY_RUNS, DIFFERENTIAL_RUNS = 1_000, 16, 60
#: What a check may take: seconds of processor time, and real ones; both more by so many times what it takes without.
BUSY, STILL, LONGER = 2.0, 120.0, 10
MEMORY = 4 << 30
SIMULATOR, PROPERTY, TEST = "simulator", "property tests", "tests"
STAGES = (SIMULATOR, PROPERTY, TEST)
QUIET = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "-W", "ignore::pytest.PytestWarning"]


# -- which checks reach a line ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """``name``: of a test, or of a run of the simulator: "cheap 17"; ``seconds``: of processor time."""

    name: str
    stage: str
    seconds: float

    def is_of(self, module: str) -> bool:
        """Whether it is a test of the module, by the name of its file and its room."""
        return self.far_from(module) == 0 and self.stage != SIMULATOR

    def far(self, module: str) -> int:
        """In which order it is asked: a test by how far it is from those of the module."""
        return self.far_from(module) if self.stage == TEST else 0

    def far_from(self, module: str) -> int:
        """How far from the tests of a module it is: 0 (its own), 1 (those of its room), 2."""
        path, name = Path(self.name.partition("::")[0]), Path(module)
        room = "vocabulary" if name.parent.name == "duplexcore" else name.parent.name
        return 2 if path.parent.name != room else 1 if name.stem not in path.stem else 0


class Reach:
    """Of each line of the engine, the checks that reach it, in the order in which they should be asked.

    ``lines``: module -> line -> numbers of checks; -1: the line is run as its module is imported.
    """

    def __init__(self, lines: dict[str, dict[str, list[int]]], checks: Sequence[Check]) -> None:
        self._lines = lines
        self._checks = checks

    @classmethod
    def read(cls, path: Path) -> Reach:
        loaded = json.loads(path.read_text(encoding="utf-8"))
        return cls(loaded["lines"], [Check(**one) for one in loaded["checks"]])

    def of(self, module: str, lines: dict[str, list[int]]) -> list[Check]:
        """The checks that reach one of the lines (module -> lines), those of the module first."""
        return self._sorted(module, (self._checks[number] for number in self._reaching(lines)))

    def of_imported(self, module: str, lines: dict[str, list[int]]) -> list[Check]:
        """The same, and the module's own tests: who looks at a constant reaches no line. All where there are none."""
        numbers = self._reaching(lines)
        numbers |= {number for number, check in enumerate(self._checks) if check.is_of(module)}
        return self._sorted(module, (self._checks[number] for number in numbers or range(len(self._checks))))

    def _reaching(self, lines: dict[str, list[int]]) -> set[int]:
        reached = (self._lines.get(one, {}).get(str(line), ()) for one, its in lines.items() for line in its)
        return {number for its in reached for number in its if number >= 0}

    def imported(self, module: str, lines: Iterable[int]) -> bool:
        """Whether one of the lines is run as the package is imported."""
        reached = self._lines.get(module, {})
        return any(-1 in reached.get(str(line), ()) for line in lines)

    @staticmethod
    def _sorted(module: str, checks: Iterable[Check]) -> list[Check]:
        return sorted(checks, key=lambda one: (one.stage == TEST, one.far(module), one.seconds, one.name))


def is_property(item: pytest.Item) -> bool:
    """Whether the test is one of the properties' own, or Hypothesis drives it."""
    return item.nodeid.startswith(PROPERTIES) or hasattr(getattr(item, "obj", None), "hypothesis")


def run_item(session: pytest.Session, item: pytest.Item) -> bool:
    """Whether the test passes. What its module and session have set up is taken down, too."""
    failed = session.testsfailed
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return session.testsfailed == failed


class Meter:
    """A plugin of pytest's that notes for each line which check has reached it, and how long each check takes."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.checks: list[Check] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for name in simulations():
            self._note(name, SIMULATOR, functools.partial(simulate, name))
        for item in session.items:
            self._note(item.nodeid, PROPERTY if is_property(item) else TEST, functools.partial(run_item, session, item))
        return True

    def _note(self, name: str, stage: str, run: Callable[[], bool]) -> None:
        self.measured.switch_context(name)
        began = time.process_time()
        if run():
            self.checks.append(Check(name, stage, time.process_time() - began))
        else:
            print(f"fails without a mutant: {name}", file=sys.stderr)
        self.measured.switch_context("")


def measure(path: Path) -> None:
    """Runs everything once, and writes `Reach` down."""
    measured = coverage.Coverage(data_file=None, config_file=False, source_pkgs=["duplexcore"], branch=False)
    meter = Meter(measured)
    measured.start()
    pytest.main([*QUIET[1:], *PROPERTIES, *TESTS, "-k", f"not ({SLOW})"], plugins=[meter])
    measured.stop()
    data = measured.get_data()
    numbers = {check.name: number for number, check in enumerate(meter.checks)} | {"": -1}
    lines: dict[str, dict[str, list[int]]] = {}
    for name in data.measured_files():
        lines["src/" + name.rpartition("/src/")[2]] = {
            str(line): sorted(numbers[one] for one in contexts if one in numbers)
            for line, contexts in data.contexts_by_lineno(name).items()
        }
    checks = [asdict(one) for one in meter.checks]
    path.write_text(json.dumps({"checks": checks, "lines": lines}), encoding="utf-8")


# -- the simulator ----------------------------------------------------------------------------------------------------


def simulations() -> list[str]:
    """The names of the runs."""
    counts = {"costly": COSTLY_RUNS, "differential": DIFFERENTIAL_RUNS, "cheap": RUNS}
    return [f"{kind} {seed}" for kind, count in counts.items() for seed in range(count)]


def simulate(name: str) -> bool:
    """One run; raises where a property does not hold."""
    from duplexcore.testing.sim.differential import Differential  # noqa: PLC0415
    from duplexcore.testing.sim.policies import PrngChooser  # noqa: PLC0415
    from duplexcore.testing.sim.targets import EngineOptions, EngineTarget  # noqa: PLC0415

    kind, _, seed = name.partition(" ")
    target = Differential if kind == "differential" else EngineTarget
    target(EngineOptions(costly=kind == "costly"))(PrngChooser(int(seed)))
    return True


# -- one mutant -------------------------------------------------------------------------------------------------------


def codes(code: CodeType) -> Iterator[CodeType]:
    """All within it."""
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from codes(one)


def compiled(text: str, path: str) -> CodeType:
    """Also where a mutant is such that Python warns of it: "is" with a literal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(text, path, "exec")


def exchange(path: Path, text: str) -> None:
    """Gives every function of the module at ``path`` the code that it has in ``text``; forgets what was remembered."""
    new = {(one.co_qualname, one.co_firstlineno): one for one in codes(compiled(text, str(path)))}
    gc.unfreeze()  # tests/plugins/garbage.py hides what there was when all tests were collected
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename == str(path):
            code = new.get((one.__code__.co_qualname, one.__code__.co_firstlineno))
            if code is not None and code.co_freevars == one.__code__.co_freevars:
                one.__code__ = code
        elif isinstance(one, functools._lru_cache_wrapper):  # the type of what lru_cache makes has no other name
            one.cache_clear()


class Replaced:
    """Finds one module, with another text."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        self._name, self._path, self._text = name, path, text

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        text = self._text

        class Loader(SourceFileLoader):
            def get_code(self, fullname: str) -> CodeType:
                return compiled(text, self.path)

        return importlib.util.spec_from_file_location(name, self._path, loader=Loader(name, str(self._path)))


def limit(seconds: float) -> None:
    """From now on, so long a check may take. What takes longer is ended by a signal."""
    signal.setitimer(signal.ITIMER_PROF, BUSY + LONGER * seconds)
    signal.setitimer(signal.ITIMER_REAL, STILL + LONGER**2 * seconds)


def outcome(work: Callable[[Callable[[str], None]], bool]) -> tuple[bool, str]:
    """Whether a process of its own says that all passes, and the last that it has told (``work`` gets what tells)."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reader)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            told_stage = ""

            def tell(stage: str) -> None:
                nonlocal told_stage
                if stage != told_stage:
                    os.write(writer, f"{stage}\n".encode())
                    told_stage = stage

            code = 0 if work(tell) else 1
        except BaseException:  # noqa: BLE001 - whatever it is, the mutant is noticed
            code = 1
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as told:
        last = (told.read().splitlines() or [""])[-1]
    _, status = os.waitpid(child, 0)
    return status == 0, last


def passes(checks: Iterable[Check], tell: Callable[[str], None], session: pytest.Session | None = None) -> bool:
    """Whether all pass, in this process; the stage of each is told before it begins."""
    items = {item.nodeid: item for item in session.items} if session else {}
    for check in checks:
        tell(check.stage)
        limit(check.seconds)
        if check.stage == SIMULATOR:
            simulate(check.name)
        elif session is None or check.name not in items or not run_item(session, items[check.name]):
            return False
    return True


class Chosen:
    """A plugin of pytest's that runs these tests, in this order."""

    def __init__(self, checks: Sequence[Check], tell: Callable[[str], None]) -> None:
        self._checks, self._tell = checks, tell

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not session.testsfailed and not passes(self._checks, self._tell, session):
            session.testsfailed = 1
        return True


def passes_anew(checks: Sequence[Check], tell: Callable[[str], None]) -> bool:
    """The same where nothing of the engine has been imported: near tests first, since to collect them takes time."""
    if not passes([one for one in checks if one.stage == SIMULATOR], tell):
        return False
    batches: dict[bool, list[Check]] = defaultdict(list)
    for check in checks:
        if check.stage != SIMULATOR:
            batches[check.stage == TEST].append(check)
    for _, batch in sorted(batches.items()):
        tell(batch[0].stage)
        limit(60)
        files = list(dict.fromkeys(check.name.partition("::")[0] for check in batch))
        if pytest.main([*QUIET, *files], plugins=[Chosen(batch, tell)]) != pytest.ExitCode.OK:
            return False
    return True


def judged(mutant: dict[str, Any], work: Callable[[Callable[[str], None]], bool], asked: int, results: Path) -> None:
    """Adds what became of the mutant to the results: what noticed it, None if nothing did."""
    began = time.monotonic()
    passed, stage = outcome(work)
    seconds = time.monotonic() - began
    line = {"id": mutant["id"], "killer": None if passed else stage, "asked": asked, "seconds": seconds}
    with results.open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")


class Warm:
    """A plugin of pytest's that judges what stands in functions, all tests being collected: a line that comes in is a
    mutant, a line that goes out says that it is judged."""

    def __init__(self, orders: int, answers: int, reach: Reach, results: Path) -> None:
        self._orders, self._answers, self._reach, self._results = orders, answers, reach, results

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        simulate("cheap 0")  # all that it needs is imported
        with os.fdopen(self._orders, encoding="utf-8") as orders:
            while line := orders.readline():
                mutant = json.loads(line)
                importlib.import_module(name_of(mutant["module"]))  # what is imported later would have no mutant
                checks = self._reach.of(mutant["module"], mutant["lines"])
                judged(mutant, functools.partial(self._passes, mutant, checks, session), len(checks), self._results)
                os.write(self._answers, b"\n")
        return True

    @staticmethod
    def _passes(
        mutant: dict[str, Any], checks: Sequence[Check], session: pytest.Session, tell: Callable[[str], None]
    ) -> bool:
        exchange(Path(mutant["module"]).absolute(), mutant["text"])
        return passes(checks, tell, session)


def name_of(module: str) -> str:
    """By which it is imported."""
    return module.removeprefix("src/").removesuffix(".py").replace("/", ".")


def judge_anew(mutant: dict[str, Any], reach: Reach, results: Path) -> None:
    """Judges what runs as a module is imported."""
    module = mutant["module"]
    checks = reach.of_imported(module, mutant["lines"])

    def work(tell: Callable[[str], None]) -> bool:
        tell(checks[0].stage)
        sys.meta_path.insert(0, Replaced(name_of(module), Path(module).absolute(), mutant["text"]))
        return passes_anew(checks, tell)

    judged(mutant, work, len(checks), results)


def serve(reach: Reach, mutants: Path, results: Path) -> None:
    """All that have not been judged yet."""
    done = {json.loads(line)["id"] for line in results.read_text().splitlines()} if results.exists() else set()
    left = [json.loads(line) for line in mutants.read_text(encoding="utf-8").splitlines()]
    left = [one for one in left if one["id"] not in done]
    (orders, order), (answer, answers) = os.pipe(), os.pipe()
    child = os.fork()  # so that the engine is not imported here
    if not child:
        os.close(order)
        warm = Warm(orders, answers, reach, results)
        pytest.main([*QUIET, *PROPERTIES, *TESTS, "-k", f"not ({SLOW})"], plugins=[warm])
        os._exit(0)
    os.close(orders)
    os.close(answers)
    try:
        for mutant in left:
            if mutant["imported"] or reach.imported(mutant["module"], mutant["lines"][mutant["module"]]):
                judge_anew(mutant, reach, results)
                continue
            line = memoryview(json.dumps(mutant).encode() + b"\n")
            while line:
                line = line[os.write(order, line) :]
            if not os.read(answer, 1):
                raise RuntimeError("the process that judges is over")
    finally:
        os.kill(child, signal.SIGTERM)


def main() -> None:
    os.environ["HYPOTHESIS_PROFILE"] = "quick"
    sys.path[:0] = [str(Path(one).absolute()) for one in ("src", "transports", ".")]
    import anyio.pytest_plugin  # noqa: F401, PLC0415 - what takes long to import, and is not of ours
    import h2.connection  # noqa: F401, PLC0415
    import hypothesis.stateful  # noqa: F401, PLC0415
    import trio  # noqa: F401, PLC0415

    table = Path(sys.argv[1])
    if len(sys.argv) == 2:
        measure(table)
        return
    serve(Reach.read(table), Path(sys.argv[2]), Path(sys.argv[3]))


if __name__ == "__main__":
    main()
