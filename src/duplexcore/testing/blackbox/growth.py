"""What the process of a server holds, as Linux tells, and how much more than at first is too much."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .checks import CheckError

__all__ = ["GROWTH", "Held", "Meter", "ProcessError", "held"]

#: Number of each check of a process -> its sentence.
GROWTH: Final = {
    "B10": "After the runs of a phase the process has as many open files as after the first ones, but for a few.",
    "B11": "After the runs of a phase the process holds as much memory as after the first ones, but for little a run.",
}
#: Runs of a phase after which a server has what it makes once: pools, caches, modules.
WARM_UP = 5
#: So many more open files are no leak: logs, sources of chance, what threads wake each other with.
FILES = 8
#: Bytes of memory that allocators may keep, and a run.
MEMORY, MEMORY_A_RUN = 8 * 1024**2, 16 * 1024
#: Seconds between two looks at files that are still to be closed.
GLANCE = 0.02
PROC = Path("/proc")


class ProcessError(ValueError):
    """Nothing is told of a process. The text says why."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds: resident memory in bytes, and open files, sockets among them."""

    memory: int
    files: int

    def __str__(self) -> str:
        return f"{self.memory / 1024**2:.1f} MiB and {self.files} open files"


def held(pid: int) -> Held:
    """What it holds now. Raises `ProcessError`."""
    if not (PROC / "self" / "status").exists():
        raise ProcessError("what a process holds is only told by Linux, and there is no /proc here")
    try:
        status = (PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
        memory = next((line for line in status.splitlines() if line.startswith("VmRSS:")), None)
        files = len(list((PROC / str(pid) / "fd").iterdir()))
    except (FileNotFoundError, ProcessLookupError) as error:
        raise ProcessError(f"there is no process {pid}") from error
    except PermissionError as error:
        raise ProcessError(f"process {pid} is somebody else's: its open files can not be read") from error
    if memory is None:
        raise ProcessError(f"process {pid} has no memory: it is over, or a thread of the kernel")
    return Held(int(memory.split()[1]) * 1024, files)


class Meter:
    """Measures a process over the runs of a phase: tell it of each with `ran`, when nothing is open, and `judge`.

    ``grace``: seconds that files may take to be closed. Where the process is gone nothing is judged any more.
    """

    def __init__(self, pid: int, phase: str, grace: float) -> None:
        self.pid, self.phase, self.grace = pid, phase, grace
        self.runs = 0
        self.first: Held | None = None
        self.last: Held | None = None
        self.gone = ""

    def ran(self) -> None:
        """A run is over."""
        self.runs += 1
        if self.runs == WARM_UP:
            self.first = self._look()

    def judge(self) -> Iterator[CheckError]:
        """What has grown too much since the first runs."""
        first = self.first
        if first is None or self.runs == WARM_UP or (last := self._settled(first.files + FILES)) is None:
            return
        self.last = last
        runs = self.runs - WARM_UP
        if last.files > first.files + FILES:
            yield CheckError("B10", f"{last.files - first.files} more open files after {runs} runs: {self}")
        if last.memory > first.memory + MEMORY + MEMORY_A_RUN * runs:
            more = (last.memory - first.memory) / 1024**2
            yield CheckError("B11", f"{more:.1f} MiB more memory after {runs} runs: {self}")

    def __str__(self) -> str:
        begin = f"{self.phase}: process {self.pid}"
        if self.gone:
            return f"{begin} was not measured to the end: {self.gone}"
        if self.first is None or self.last is None:
            return f"{begin} was not measured: that takes more than {WARM_UP} runs"
        return f"{begin} held {self.first} after {WARM_UP} runs, {self.last} after {self.runs}"

    def _look(self) -> Held | None:
        try:
            return held(self.pid)
        except ProcessError as error:
            self.gone = str(error)
            return None

    def _settled(self, files: int) -> Held | None:
        """What it holds when it has no more than so many files, or the grace is over."""
        until = time.monotonic() + self.grace
        while (now := self._look()) is not None and now.files > files and time.monotonic() < until:
            time.sleep(GLANCE)
        return now
