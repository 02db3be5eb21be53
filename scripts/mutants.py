"""Mutation testing of the engine with cosmic-ray: which small changes of the code does nothing notice?

python scripts/mutants.py --sample 300 --seed 0             so many mutants, taken at random from all
python scripts/mutants.py --rooms call,connection           of these rooms only
python scripts/mutants.py --python .venv/bin/python         with what the tests run (this script needs cosmic-ray)

Each worker has a copy of the tree below .build/mutants, so the tree itself is never changed. A run that was stopped
goes on where it was when it is started again with the same arguments on the same code. Each mutant is judged by
scripts/judge_mutant.py: by the simulator's properties, and by the engine's own tests if those notice nothing.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".build" / "mutants"
#: The rooms of the engine; "vocabulary" are the modules beside them. Each has its tests below tests/.
ROOMS = ("call", "http2", "connection", "rpc", "vocabulary")
#: What the tests need of the tree.
TREE = ("src", "transports", "tests", "docs", "scripts", "examples", "protos", "pyproject.toml", "README.md")
#: A mutant that is judged longer has hung: seconds.
TIMEOUT = 600.0


def modules(rooms: Iterable[str]) -> list[Path]:
    """The files of the rooms, relative to the tree."""
    package = Path("src/duplexcore")
    found: list[Path] = []
    for room in rooms:
        folder = ROOT / package / ("" if room == "vocabulary" else room)
        found += [package / path.relative_to(ROOT / package) for path in sorted(folder.glob("*.py"))]
    return [path for path in found if path.name not in ("__init__.py", "_version.py")]


def room_of(module: Path) -> str:
    return module.parent.name if module.parent.name in ROOMS else "vocabulary"


def types_in(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where types stand, from and to (line, column): they are never evaluated, so nothing can notice a change."""
    places = []
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            of = getattr(node, name, None)
            if of is not None:
                places.append(((of.lineno, of.col_offset), (of.end_lineno, of.end_col_offset)))
    return places


def all_mutants(rooms: Sequence[str]) -> list[Any]:
    """Every mutation of the rooms, in a fixed order, but for those of types."""
    from cosmic_ray.commands.init import _all_work_items  # type: ignore[import-not-found]  # noqa: PLC0415

    paths = modules(rooms)
    types = {path: types_in((ROOT / path).read_text(encoding="utf-8")) for path in paths}
    found = [item.mutations[0] for item in _all_work_items(paths, {})]
    found = [
        one for one in found if not any(begin <= one.start_pos < end for begin, end in types[Path(one.module_path)])
    ]
    return sorted(found, key=lambda one: (str(one.module_path), one.operator_name, one.occurrence))


def prepare(options: argparse.Namespace) -> None:
    """A copy and a session for each worker, unless those of the same run are there."""
    from cosmic_ray.work_db import use_db  # type: ignore[import-not-found]  # noqa: PLC0415
    from cosmic_ray.work_item import WorkItem  # type: ignore[import-not-found]  # noqa: PLC0415

    digest = hashlib.sha256()
    for folder in ("src", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    run = {name: getattr(options, name) for name in ("sample", "seed", "rooms", "quick", "workers")}
    same = json.dumps(run | {"code": digest.hexdigest()})
    mark = STATE / "run.json"
    if mark.exists() and mark.read_text() == same:
        print("going on where the last run stopped (remove .build/mutants to begin again)")
        for worker in range(options.workers):  # a run that was killed leaves its last mutant there
            shutil.copytree(ROOT / "src", STATE / str(worker) / "src", dirs_exist_ok=True)
        return
    shutil.rmtree(STATE, ignore_errors=True)
    mutants = all_mutants(options.rooms)
    sample = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))  # noqa: S311
    print(f"{len(sample)} of {len(mutants)} mutants")
    for worker in range(options.workers):
        tree = STATE / str(worker)
        for name in TREE:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            tree.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, tree / name)
        with use_db(tree / "session.sqlite") as session:
            session.add_work_items(
                WorkItem.single(f"{number:05}", one)
                for number, one in enumerate(sample)
                if number % options.workers == worker
            )
        judge = f"{options.python.absolute()} scripts/judge_mutant.py"
        tests = " ".join(f"tests/{room}" for room in [*options.rooms, *(set(ROOMS) - set(options.rooms))])
        tests = f"--quick {tests}" if options.quick else tests
        (tree / "command").write_text(f"{judge} {tests}", encoding="utf-8")
    mark.write_text(same)


def work(minutes: float) -> None:
    """What a worker does in its copy: one mutant after the other, until all are judged or the time is over."""
    from cosmic_ray.mutating import mutate_and_test  # type: ignore[import-not-found]  # noqa: PLC0415
    from cosmic_ray.work_db import use_db  # noqa: PLC0415

    ends = time.monotonic() + 60 * minutes
    command = Path("command").read_text(encoding="utf-8")
    with use_db("session.sqlite") as session:
        for item in sorted(session.pending_work_items, key=lambda item: item.job_id):
            if time.monotonic() > ends:
                break
            session.set_result(item.job_id, mutate_and_test(item.mutations, command, TIMEOUT))


def execute(workers: int, minutes: float) -> None:
    """All workers at once."""
    from cosmic_ray.work_db import use_db  # noqa: PLC0415

    with ExitStack() as stack:
        running = []
        for worker in range(workers):
            command = [sys.executable, str(ROOT / "scripts" / "mutants.py"), "--work", "--minutes", str(minutes)]
            one = subprocess.Popen(command, cwd=STATE / str(worker))
            running.append(one)
            stack.callback(one.wait)
        shown = None
        while any(one.poll() is None for one in running):
            time.sleep(2)
            done = total = 0
            for worker in range(workers):
                with use_db(STATE / str(worker) / "session.sqlite") as session:
                    done, total = done + session.num_results, total + session.num_work_items
            if done != shown:
                print(f"{done} of {total}", flush=True)
                shown = done


def report(workers: int) -> None:
    """The scores by module and by room, then the survivors."""
    from cosmic_ray.work_db import use_db  # noqa: PLC0415

    counts: dict[str, Counter[str]] = defaultdict(Counter)
    survivors = []
    for worker in range(workers):
        with use_db(STATE / str(worker) / "session.sqlite") as session:
            for item, result in session.completed_work_items:
                mutation = item.mutations[0]
                killer = "survived"
                if result.is_killed:
                    killer = "properties" if "killed by properties" in (result.output or "") else "tests"
                else:
                    survivors.append((str(mutation.module_path), mutation, result.diff or ""))
                module = Path(mutation.module_path)
                name = module.relative_to("src/duplexcore").as_posix()
                for of in (name, f"{room_of(module)} (all)", "the engine (all)"):
                    counts[of][killer] += 1
    print("\n| module | mutants | killed by the properties alone | by properties and tests |")
    print("| --- | --- | --- | --- |")
    for name, killed in sorted(counts.items(), key=lambda pair: ("(all)" in pair[0], pair[0])):
        total = killed.total()
        alone, both = killed["properties"], killed["properties"] + killed["tests"]
        print(f"| {name} | {total} | {alone} ({alone / total:.0%}) | {both} ({both / total:.0%}) |")
    print(f"\n{len(survivors)} survived" + (":" if survivors else ""))
    for name, mutation, diff in sorted(survivors, key=lambda one: (one[0], one[1].start_pos)):
        print(f"\n{name}:{mutation.start_pos[0]} {mutation.operator_name}")
        changed = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        print("\n".join(f"    {line}" for line in changed))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=int, default=60, help="how many mutants (60)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    parser.add_argument("--rooms", default=",".join(ROOMS), help=f"of {', '.join(ROOMS)}, with commas between (all)")
    parser.add_argument(
        "--quick", action="store_true", help="without the exhaustive tests, which take most of the time"
    )
    parser.add_argument("--workers", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--minutes", type=float, default=20.0, help="begin no mutant after so many (20)")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--python", type=Path, default=ROOT / ".venv" / "bin" / "python", help="to run the tests with")
    options = parser.parse_args()
    if options.work:
        work(options.minutes)
        return 0
    options.rooms = options.rooms.split(",")
    if unknown := set(options.rooms) - set(ROOMS):
        parser.error(f"no such room: {', '.join(sorted(unknown))}; there are {', '.join(ROOMS)}")
    if options.sample < 1 or options.workers < 1:
        parser.error("--sample and --workers must be at least 1")
    try:
        import cosmic_ray  # type: ignore[import-not-found]  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        parser.error("cosmic-ray is not installed here: use `make mutants`, which has an environment for it")
    os.chdir(ROOT)
    prepare(options)
    execute(options.workers, options.minutes)
    report(options.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
