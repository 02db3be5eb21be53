"""Faults of the engine, and changes that are none, as patches: applied to a copy of the package, never to ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

__all__ = ["BUGS", "NEUTRAL", "Hunted", "Patch", "PatchError", "hunted", "package"]

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent.parent / "src" / "duplexcore"
HUNTER = HERE / "hunter.py"
#: What the simulator does not need.
LEFT_OUT = shutil.ignore_patterns("__pycache__", "cli", "interop")


class PatchError(ValueError):
    """The patch does not fit the package any more."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A unified diff with a header: ``what`` it changes, the ``rule`` that it breaks, and ``who`` might do so (of a
    change that breaks nothing: why somebody would)."""

    name: str
    what: str
    rule: str
    who: str
    #: File -> the lines that it has in one place, and those that it has there instead.
    changes: list[tuple[str, str, str]] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Patch:
        """Raises `PatchError`."""
        header, _, diff = path.read_text(encoding="utf-8").partition("\n\n")
        said: dict[str, str] = {}
        for line in re.sub(r"\n +", " ", header).splitlines():
            key, colon, text = line.partition(": ")
            if not colon:
                raise PatchError(f"{path.name}: {line!r} is not of the form 'What: ...'")
            said[key] = text
        if not {"What"} < said.keys() <= {"What", "Rule", "Who", "Why"}:
            raise PatchError(f"{path.name}: the header has {', '.join(said)}")
        who = said.get("Who") or said.get("Why", "")
        return cls(path.stem, said["What"], said.get("Rule", ""), who, list(_changes(diff)))

    def apply(self, package: Path) -> None:
        """Changes the package in ``package``. Raises `PatchError` where the lines are not found, or found twice."""
        for name, before, after in self.changes:
            path = package / name
            text = path.read_text(encoding="utf-8")
            if (count := text.count(before)) != 1:
                raise PatchError(f"{self.name}: what it changes stands {count} times in {name}:\n{before}")
            text = text.replace(before, after)
            compile(text, name, "exec")
            path.write_text(text, encoding="utf-8")


def _changes(diff: str) -> Iterator[tuple[str, str, str]]:
    name, before, after = "", "", ""
    for line in [*diff.splitlines(keepends=True), "@@\n"]:
        if line.startswith(("@@", "--- ")) and before != after:
            yield name, before, after
        if line.startswith(("@@", "--- ")):
            before = after = ""
        elif line.startswith("+++ "):
            name = line[4:].strip().removeprefix("b/")
        else:
            before += line[1:] if line[0] in " -" else ""
            after += line[1:] if line[0] in " +" else ""


def _folder(name: str) -> dict[str, Path]:
    return {path.stem: path for path in sorted((HERE / name).glob("*.patch"))}


#: Name -> file.
BUGS = _folder("bugs")
NEUTRAL = _folder("neutral")


@contextmanager
def package(patch: Patch | None) -> Iterator[Path]:
    """A folder to import the package from, as it is or with the patch; it is gone afterwards. Raises `PatchError`."""
    with TemporaryDirectory(prefix="duplexcore-planted-") as folder:
        copy = Path(folder) / PACKAGE.name
        shutil.copytree(PACKAGE, copy, ignore=LEFT_OUT)
        if patch is not None:
            patch.apply(copy)
        yield Path(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunted:
    """What a hunt came to. ``number``: of the property that does not hold, None when all held in all ``runs``.

    ``seconds``: of processor time, until it was found; ``steps``: of the run, and of the smallest one that shows it.
    """

    number: str | None
    message: str
    runs: int
    seconds: float
    steps: int
    smallest: int


def hunted(folder: Path, *, seed: int, runs: int, seconds: float, shrinking: int = 0, calm: bool = False) -> Hunted:
    """Hunts in a process of its own in which ``folder`` has the package, with the seeds from ``seed`` on.

    It ends with the first fault, after so many runs, or after so many seconds of processor time. ``calm``: nobody gives
    up or shuts down, and the transport has no faults. Strings hash alike in every hunt, so that the same seeds find the
    same. Raises RuntimeError with its output when the process fails.
    """
    numbers = {"seed": seed, "runs": runs, "seconds": seconds, "shrinking": shrinking, "calm": calm}
    done = subprocess.run(
        [sys.executable, str(HUNTER), json.dumps(numbers)],
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=20 * (seconds + 60),
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the hunt failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    if not Path(result.pop("package")).is_relative_to(folder):
        raise RuntimeError(f"it hunted in another package than that of {folder}")
    return Hunted(**result)
