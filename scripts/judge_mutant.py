"""Judges mutants of the engine, one after the other: which are noticed, and by what?

python scripts/judge_mutant.py MAP                       which tests reach which lines, as JSON into the file MAP
python scripts/judge_mutant.py MAP MUTANTS RESULTS       judges each line of MUTANTS, and adds a line to RESULTS

A server that forks: what the tests need is imported once, the engine anew for each mutant, with the text of one module
replaced as it is imported. First the simulator with its properties, then the tests of the properties, then the tests
that reach the lines of the mutant, the quickest of each file first, until one fails.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from itertools import zip_longest
from pathlib import Path
from types import CodeType
from typing import Any

import coverage
import pytest

__all__ = ["Reach", "in_turn", "judge", "outcome"]

#: Where the properties' own tests are, and the others of the engine.
PROPERTIES = ("tests/testing_machines/test_machines.py", "tests/testing_machines/test_codec_properties.py")
TESTS = tuple(f"tests/{room}" for room in ("call", "connection", "http2", "vocabulary", "rpc"))
#: Exhaustive tests: they notice much that others notice sooner, and take most of the time.
SLOW = "every_byte or every_order or walk or duplex_table or splits or flood or memory"
#: Runs of the simulator: with the properties that cost little, and with all.
RUNS, COSTLY_RUNS = 300, 8
#: What one stage may take: seconds of processor time, seconds that it may lie still, bytes of memory.
BUSY, STILL, MEMORY = 120, 1_800, 4 << 30
SIMULATOR = "the simulator"
QUIET = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "-W", "ignore::pytest.PytestWarning"]


# -- which tests reach a line -----------------------------------------------------------------------------------------


class Reach:
    """Of each line of the engine, the tests that reach it, in the order in which they should be asked."""

    def __init__(self, lines: dict[str, dict[str, list[int]]], tests: Sequence[str]) -> None:
        self._lines = lines
        self._tests = tests

    def of(self, module: str, first: int, last: int) -> list[str]:
        """The tests that reach one of the lines."""
        reached = self._lines.get(module, {})
        numbers = sorted({number for line in range(first, last + 1) for number in reached.get(str(line), ())})
        return [self._tests[number] for number in numbers]

    def all(self) -> list[str]:
        return list(self._tests)


class Meter:
    """A plugin of pytest's that notes for each line which test has reached it, and how long each test took."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.measured.switch_context(item.nodeid)
        began = time.perf_counter()
        yield
        self.seconds[item.nodeid] = time.perf_counter() - began
        self.measured.switch_context("")


def measure(path: Path) -> None:
    """Runs everything once, and writes `Reach` down."""
    measured = coverage.Coverage(data_file=None, config_file=False, source_pkgs=["duplexcore"], branch=False)
    meter = Meter(measured)
    measured.start()
    measured.switch_context(SIMULATOR)
    simulate()
    measured.switch_context("")
    pytest.main([*QUIET[1:], *PROPERTIES, *TESTS, "-k", f"not ({SLOW})"], plugins=[meter])
    measured.stop()
    data = measured.get_data()
    tests = sorted(meter.seconds, key=lambda test: meter.seconds[test])
    tests = [
        SIMULATOR,
        *(test for test in tests if is_property(test)),
        *in_turn(t for t in tests if not is_property(t)),
    ]
    places = {test: place for place, test in enumerate(tests)}
    lines: dict[str, dict[str, list[int]]] = {}
    for name in data.measured_files():
        by_line = data.contexts_by_lineno(name)
        module = name.partition("/src/")[2]
        lines[f"src/{module}"] = {
            str(line): sorted(places[one] for one in contexts if one in places) for line, contexts in by_line.items()
        }
    path.write_text(json.dumps({"tests": tests, "lines": lines}))


def is_property(test: str) -> bool:
    return test.startswith(PROPERTIES)


def in_turn(tests: Iterable[str]) -> list[str]:
    """One test of each file, then another of each: what one file does not notice another may."""
    files: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        files[test.partition("::")[0]].append(test)
    return [test for row in zip_longest(*files.values()) for test in row if test is not None]


# -- one mutant -------------------------------------------------------------------------------------------------------


def simulate() -> None:
    """The runs of the simulator; raises where a property does not hold."""
    from duplexcore.testing.sim.policies import PrngChooser  # noqa: PLC0415
    from duplexcore.testing.sim.targets import EngineOptions, EngineTarget  # noqa: PLC0415

    for runs, options in ((RUNS, EngineOptions()), (COSTLY_RUNS, EngineOptions(costly=True))):
        target = EngineTarget(options)
        for seed in range(runs):
            target(PrngChooser(seed))


class Chosen:
    """A plugin of pytest's that runs these tests, in this order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (one for one in items if one.nodeid in self._places), key=lambda one: self._places[one.nodeid]
        )


def run_tests(tests: Sequence[str]) -> bool:
    """Whether all pass."""
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    return pytest.main([*QUIET, *files], plugins=[Chosen(tests)]) in (
        pytest.ExitCode.OK,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    )


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
                return compile(text, self.path, "exec")

        return importlib.util.spec_from_file_location(name, self._path, loader=Loader(name, str(self._path)))


def outcome(work: Callable[[], bool], *, busy: int = BUSY, still: float = STILL) -> str:
    """What a process of its own comes to: "passes", "fails", "hangs"."""
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setpgid(0, 0)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (busy, busy))
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            code = 0 if work() else 1
        except BaseException:  # noqa: BLE001 - whatever it is, the mutant is noticed
            code = 1
        finally:
            os._exit(code)
    ends = time.monotonic() + still
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
            return "passes" if status == 0 else "hangs" if killed else "fails"
        if time.monotonic() > ends:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hangs"
        time.sleep(0.01)


def judge(mutant: dict[str, Any], reach: Reach) -> str | None:
    """What notices the mutant: "simulator", "property tests", "tests"; None: nothing."""
    name = mutant["module"].removeprefix("src/").removesuffix(".py").replace("/", ".")
    asked = [] if mutant["imported"] else reach.of(mutant["module"], mutant["first"], mutant["last"])
    asked = asked or reach.all()  # what is run at import is no test's, and any test may notice it

    def mutated(work: Callable[[], bool]) -> Callable[[], bool]:
        def run() -> bool:
            sys.meta_path.insert(0, Replaced(name, Path(mutant["module"]).absolute(), mutant["text"]))
            return work()

        return run

    def simulated() -> bool:
        simulate()
        return True

    by_properties = [test for test in asked if is_property(test)]
    others = [test for test in asked if not is_property(test) and test != SIMULATOR]
    stages: list[tuple[str, bool, Callable[[], bool]]] = [
        ("simulator", SIMULATOR in asked, simulated),
        ("property tests", bool(by_properties), lambda: run_tests(by_properties)),
        ("tests", bool(others), lambda: run_tests(others)),
    ]
    for killer, wanted, work in stages:
        if wanted and outcome(mutated(work)) != "passes":
            return killer
    return None


def serve(reach: Reach, mutants: Path, results: Path) -> None:
    """All that have not been judged yet."""
    done = {json.loads(line)["id"] for line in results.read_text().splitlines()} if results.exists() else set()
    for line in mutants.read_text(encoding="utf-8").splitlines():
        mutant = json.loads(line)
        if mutant["id"] in done:
            continue
        began = time.monotonic()
        killer = judge(mutant, reach)
        with results.open("a") as out:
            out.write(json.dumps({"id": mutant["id"], "killer": killer, "seconds": time.monotonic() - began}) + "\n")


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
    loaded = json.loads(table.read_text())
    serve(Reach(loaded["lines"], loaded["tests"]), Path(sys.argv[2]), Path(sys.argv[3]))


if __name__ == "__main__":
    main()
