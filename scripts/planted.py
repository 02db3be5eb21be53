"""Faults planted in the engine: does the simulator find them, by which property, and how soon?

python scripts/planted.py                          all of them, and the changes that are none; writes docs/how-good.md
python scripts/planted.py NAME ...                 these only; writes nothing
python scripts/planted.py --merge NAME ...         these only; their rows take their places in the page
python scripts/planted.py --seconds 60 --bases 3   how long each hunt may last, and how many there are of each

Each patch of tests/planted is applied to a copy of the package, never to the tree, and each hunt has a process of its
own. Exit code 1: a fault was not found, or a change that is none was taken for one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.planted.patches import BUGS, NEUTRAL, Hunted, Patch, hunted, package  # noqa: E402 - its path is set first

PAGE = ROOT / "docs" / "how-good.md"
BEGIN, END = "<!-- planted: begin -->", "<!-- planted: end -->"
#: How far the seeds of two hunts are apart, how many runs a change that is none has, and how many a fault at most.
APART, NEUTRAL_RUNS, MOST_RUNS = 1_000_000, 300, 900_000
SHRINKING = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """What the hunts for one fault came to."""

    patch: Patch
    hunts: list[Hunted]

    @property
    def found(self) -> list[Hunted]:
        return [hunt for hunt in self.hunts if hunt.number is not None]

    @property
    def properties(self) -> str:
        counts = Counter(hunt.number for hunt in self.found)
        return ", ".join(str(number) for number, _ in counts.most_common())

    def __str__(self) -> str:
        """As a row of the table."""
        if len(self.found) * 2 <= len(self.hunts):
            tried = max(hunt.seconds for hunt in self.hunts)
            return f"| `{self.patch.name}` | {self.patch.what} | not found in {tried:.0f} s | | | | |"
        runs = median(hunt.runs for hunt in self.found)
        seconds = median(hunt.seconds for hunt in self.found)
        steps = [hunt.smallest for hunt in self.found]
        figures = f"{self.properties} | {runs:,.0f} | {seconds:.1f} | {min(steps)} | {median(steps):.0f}"
        return f"| `{self.patch.name}` | {self.patch.what} | {figures} |"


def look_for(name: str, seconds: float, bases: int) -> Row:
    """Hunts for one fault, with seeds of each of so many bases."""
    patch = Patch.read(BUGS[name])
    with package(patch) as folder, ThreadPoolExecutor(os.cpu_count()) as workers:

        def hunt(base: int) -> Hunted:
            return hunted(folder, seed=base * APART, runs=MOST_RUNS, seconds=seconds, shrinking=SHRINKING)

        hunts = list(workers.map(hunt, range(bases)))
    return Row(patch, hunts)


def alarm_of(name: str, seconds: float) -> str | None:
    """What is said of a change that is none; None: nothing, as it should be."""
    with package(Patch.read(NEUTRAL[name])) as folder:
        hunt = hunted(folder, seed=0, runs=NEUTRAL_RUNS, seconds=seconds)
    if hunt.number is None and hunt.runs < NEUTRAL_RUNS:
        return f"only {hunt.runs} runs in {seconds:.0f} s"
    return hunt.message or None


def merged(rows: list[str], page: str) -> list[str]:
    """With those of the page for the patches that are there and were not looked for now."""
    found = {row.split("`")[1]: row for row in [*page.splitlines(), *rows] if row.startswith("| `")}
    return [found[name] for name in BUGS if name in found]


def written(rows: list[str], neutral: Iterable[str], bases: int) -> str:
    """The part of the page that is made here."""
    table = [
        "| patch | what is wrong | found by | runs | seconds | least | median |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    table += rows
    found = sum("not found" not in row for row in rows)
    about = (
        f"{found} of {len(rows)} are found. Runs and seconds (of processor time) are medians of {bases} hunts from "
        "different seeds; *least* is the shortest trace that any of them was shrunk to, in steps of the simulation "
        "before the world comes to rest, *median* that of the hunt in the middle."
    )
    text = [
        about,
        "",
        *table,
        "",
        f"No alarm in {NEUTRAL_RUNS} runs each of: " + ", ".join(f"`{name}`" for name in neutral) + ".",
    ]
    return "\n".join(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of patches; none: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time for each hunt (60)")
    parser.add_argument("--bases", type=int, default=3, help="hunts for each fault (3)")
    parser.add_argument("--merge", action="store_true", help="put the rows of NAME ... in the page, keep the others")
    options = parser.parse_args()
    if options.seconds <= 0 or options.bases < 1:
        parser.error("--seconds and --bases must be above 0")
    if unknown := [name for name in options.names if name not in BUGS and name not in NEUTRAL]:
        parser.error(f"no such patch: {', '.join(unknown)}; there are {', '.join([*BUGS, *NEUTRAL])}")
    names = options.names or [*BUGS, *NEUTRAL]

    rows, quiet, failed = [], [], False
    for name in names:
        if name in BUGS:
            row = look_for(name, options.seconds, options.bases)
            rows.append(row)
            failed |= len(row.found) * 2 <= len(row.hunts)
            print(row, flush=True)
            continue
        if alarm := alarm_of(name, options.seconds):
            failed = True
        else:
            quiet.append(name)
        print(f"| `{name}` | {alarm or 'no alarm, as it should be'} |", flush=True)
    if (options.merge or not options.names) and not failed:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        was, _, after = rest.partition(END)
        if options.merge:
            quiet = [name for name in NEUTRAL if name in quiet or f"`{name}`" in was]
        table = merged([str(row) for row in rows], was if options.merge else "")
        text = f"{before}{BEGIN}\n\n{written(table, quiet, options.bases)}\n\n{END}{after}"
        PAGE.write_text(text, encoding="utf-8")
        print(f"written: {PAGE.relative_to(ROOT)}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
