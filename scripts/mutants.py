"""Mutation testing of the engine with cosmic-ray: which small changes of the code does nothing notice?

python scripts/mutants.py --sample 300 --seed 0             so many mutants, taken at random from all
python scripts/mutants.py --rooms call,connection           of these rooms only
python scripts/mutants.py --python .venv/bin/python         with what the tests run (this script needs cosmic-ray)

The tree is copied to .build/mutants and never changed: scripts/judge_mutant.py replaces the text of a module as it is
imported. A run that was stopped goes on where it was when it is started again with the same arguments on the same code.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.mutants_left_out import Declared, LeftOut  # noqa: E402 - its path is set first

STATE = ROOT / ".build" / "mutants"
#: The rooms of the engine; "vocabulary" are the modules beside them. Each has its tests below tests/.
ROOMS = ("call", "http2", "connection", "rpc", "vocabulary")
#: What the tests need of the tree.
TREE = ("src", "transports", "tests", "docs", "scripts", "examples", "protos", "pyproject.toml", "README.md")
#: What is judged, and by what it was noticed: a line of JSON each.
MUTANTS, RESULTS = "mutants.jsonl", "results.jsonl"


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


def all_mutants(rooms: Sequence[str]) -> list[Any]:
    """Every mutation of the rooms, in a fixed order, but for those that nothing could notice."""
    from cosmic_ray.commands.init import _all_work_items  # type: ignore[import-not-found]  # noqa: PLC0415

    paths = modules(rooms)
    declared = Declared.in_modules((ROOT / path).read_text(encoding="utf-8") for path in modules(ROOMS))
    rules = {path: LeftOut((ROOT / path).read_text(encoding="utf-8"), declared) for path in paths}
    found = [item.mutations[0] for item in _all_work_items(paths, {})]
    by_rule = Counter(rules[Path(one.module_path)].by(one.operator_name, one.start_pos) for one in found)
    print("left out: " + ", ".join(f"{number} {name}" for name, number in by_rule.most_common() if name))
    found = [one for one in found if rules[Path(one.module_path)].by(one.operator_name, one.start_pos) is None]
    return sorted(found, key=lambda one: (str(one.module_path), one.operator_name, one.occurrence))


def statement_at(tree: ast.Module, line: int) -> tuple[int, int]:
    """The first and the last line of the smallest statement there; of a compound one, without its body."""
    first = last = line
    for node in ast.walk(tree):  # outer ones come first
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno):
            body = getattr(node, "body", None)
            end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
            if line <= max(end, node.lineno):
                first, last = node.lineno, max(end, node.lineno)
    return first, last


def is_imported(tree: ast.Module, line: int) -> bool:
    """Whether what stands there is run as the module is imported: in no body of a function."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return not any(body[0].lineno <= line <= (body[-1].end_lineno or 0) for body in bodies)


def defined_at(tree: ast.Module, line: int) -> tuple[set[str], range]:
    """What the statement there gives a name: constants and fields, or the functions and classes around it; and the
    lines of the innermost function or class that it belongs to."""
    names: set[str] = set()
    within = range(line, line + 1)
    for node in ast.walk(tree):  # outer ones come first
        first = min([getattr(node, "lineno", 0), *(one.lineno for one in getattr(node, "decorator_list", ()))])
        if not isinstance(node, ast.stmt) or not first <= line <= (node.end_lineno or 0):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names, within = {node.name}, range(first, (node.end_lineno or first) + 1)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if assigned := {
            one.id for target in targets if target for one in ast.walk(target) if isinstance(one, ast.Name)
        }:
            names, within = assigned, range(first, (node.end_lineno or first) + 1)
    return names, within


@cache
def named_in(module: Path) -> dict[str, set[int]]:
    """Of each name, the lines of the module where it stands."""
    found: dict[str, set[int]] = defaultdict(set)
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        for attribute in ("id", "attr", "arg"):
            name = getattr(node, attribute, None)
            if isinstance(name, str):
                found[name].add(node.lineno)  # type: ignore[attr-defined]
    return found


def lines_of(module: Path, tree: ast.Module, line: int) -> dict[str, list[int]]:
    """Which lines a check must reach to notice a change there: those of the statement; of what is run as the module is
    imported, all lines of the engine that name what it defines."""
    if not is_imported(tree, line):
        first, last = statement_at(tree, line)
        return {str(module): list(range(first, last + 1))}
    names, within = defined_at(tree, line)
    found = {str(module): set(within)}
    for other in modules(ROOMS):
        found.setdefault(str(other), set()).update(*(named_in(other).get(name, ()) for name in names))
    return {name: sorted(lines) for name, lines in found.items() if lines}


def changed(before: str, after: str) -> list[str]:
    """The lines that differ, as in a diff."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def drawn(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The sample: each mutant with its place, and with the text of its module."""
    from cosmic_ray.mutating import mutate_code  # type: ignore[import-not-found]  # noqa: PLC0415
    from cosmic_ray.plugins import get_operator  # type: ignore[import-not-found]  # noqa: PLC0415

    mutants = all_mutants(options.rooms)
    sample = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))  # noqa: S311
    print(f"{len(sample)} of {len(mutants)} mutants")
    found = []
    for number, one in enumerate(sample):
        before = Path(one.module_path).read_text(encoding="utf-8")
        after = mutate_code(before, get_operator(one.operator_name)(**one.operator_args), one.occurrence)
        tree = ast.parse(before)
        found.append(
            {
                "id": number,
                "module": str(one.module_path),
                "line": one.start_pos[0],
                "operator": one.operator_name.removeprefix("core/"),
                "lines": lines_of(Path(one.module_path), tree, one.start_pos[0]),
                "imported": is_imported(tree, one.start_pos[0]),
                "text": after,
                "changed": changed(before, after),
            }
        )
    return found


def prepare(options: argparse.Namespace) -> None:
    """A copy of the tree, and the sample, unless those of the same run are there."""
    digest = hashlib.sha256()
    for folder in ("src", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    run = {name: getattr(options, name) for name in ("sample", "seed", "rooms")}
    same = json.dumps(run | {"code": digest.hexdigest()})
    mark = STATE / "run.json"
    if mark.exists() and mark.read_text() == same:
        print("going on where the last run stopped (remove .build/mutants to begin again)")
        return
    shutil.rmtree(STATE, ignore_errors=True)
    tree = STATE / "tree"
    tree.mkdir(parents=True)
    for name in TREE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tree / name)
    lines = [json.dumps(one) for one in drawn(options)]
    for worker in range(options.workers):
        own = lines[worker :: options.workers]
        (STATE / f"{worker}.{MUTANTS}").write_text("\n".join(own) + "\n", encoding="utf-8")
    mark.write_text(same)


def execute(python: Path, minutes: float) -> None:
    """Measures once which tests reach which lines; then all judges at once, until all is judged or the time is over."""
    command = [str(python.absolute()), "scripts/judge_mutant.py", str(STATE / "reach.json")]
    tree = STATE / "tree"
    if not (STATE / "reach.json").exists():
        print("which tests reach which lines?", flush=True)
        subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL)
    ends = time.monotonic() + 60 * minutes
    shares = sorted(STATE.glob(f"*.{MUTANTS}"))
    judges = [  # each with the processes that it forks
        subprocess.Popen([*command, str(share), str(share).replace(MUTANTS, RESULTS)], cwd=tree, start_new_session=True)
        for share in shares
    ]
    total, shown = sum(len(share.read_text(encoding="utf-8").splitlines()) for share in shares), -1
    try:
        while any(judge.poll() is None for judge in judges) and time.monotonic() < ends:
            time.sleep(2)
            if (done := len(results())) != shown:
                print(f"{done} of {total}", flush=True)
                shown = done
    finally:
        for judge in judges:
            with suppress(ProcessLookupError):
                os.killpg(judge.pid, signal.SIGKILL)
            judge.wait()


def results() -> dict[int, dict[str, Any]]:
    """What has been judged so far."""
    lines = [line for path in STATE.glob(f"*.{RESULTS}") for line in path.read_text().splitlines()]
    return {one["id"]: one for one in map(json.loads, lines)}


def report() -> None:
    """The scores by module and by room, then the survivors."""
    judged = results()
    paths = sorted(STATE.glob(f"*.{MUTANTS}"))
    mutants = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    counts: dict[str, Counter[str | None]] = defaultdict(Counter)
    survivors = []
    for mutant in sorted(mutants, key=lambda one: (one["module"], one["line"])):
        if mutant["id"] not in judged:
            continue
        killer = judged[mutant["id"]]["killer"]
        if killer is None:
            survivors.append(mutant)
        module = Path(mutant["module"])
        name = module.relative_to("src/duplexcore").as_posix()
        for of in (name, f"{room_of(module)} (all)", "the engine (all)"):
            counts[of][killer] += 1
    print("\n| module | mutants | killed by the properties alone | by properties and tests |")
    print("| --- | --- | --- | --- |")
    for name, killed in sorted(counts.items(), key=lambda pair: ("(all)" in pair[0], pair[0])):
        total = killed.total()
        alone, both = killed["simulator"] + killed["property tests"], total - killed[None]
        print(f"| {name} | {total} | {alone} ({alone / total:.0%}) | {both} ({both / total:.0%}) |")
    print(f"\n{len(survivors)} survived" + (":" if survivors else ""))
    for one in survivors:
        print(f"\n{one['module']}:{one['line']} {one['operator']}")
        print("\n".join(f"    {line}" for line in one["changed"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=int, default=60, help="how many mutants (60)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0)")
    parser.add_argument("--rooms", default=",".join(ROOMS), help=f"of {', '.join(ROOMS)}, with commas between (all)")
    parser.add_argument("--workers", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--minutes", type=float, default=20.0, help="stop after so many (20)")
    parser.add_argument("--python", type=Path, default=ROOT / ".venv" / "bin" / "python", help="to run the tests with")
    options = parser.parse_args()
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
    execute(options.python, options.minutes)
    report()
    return 0


if __name__ == "__main__":
    sys.exit(main())
