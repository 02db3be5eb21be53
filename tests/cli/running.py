"""The command as its users run it: in a process of its own, waited for by what it prints."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "duplexcore")
#: Longer than anything takes; only a failing test waits so long.
PATIENCE = 60.0


def duplexcore(*arguments: str | Path, input: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        input=input,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class Running:
    """A process whose output is read line by line as it comes."""

    def __init__(self, *command: str | Path) -> None:
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.lines: list[str] = []
        self._coming: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_err, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._coming.put(line.rstrip("\n"))
        self._coming.put(None)

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        self._errors.extend(self.process.stderr)

    def until(self, text: str) -> str:
        """The next line that holds a text."""
        while True:
            line = self._coming.get(timeout=PATIENCE)
            assert line is not None, f"it ended before it said {text!r}: {self.lines}\n{self.errors}"
            self.lines.append(line)
            if text in line:
                return line

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end_of_input(self) -> None:
        """What Ctrl-D does."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def ends(self) -> int:
        """Its exit code, all output read."""
        code = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        while (line := self._coming.get(timeout=PATIENCE)) is not None:
            self.lines.append(line)
        self._coming.put(None)
        return code

    @property
    def errors(self) -> str:
        return "".join(self._errors)


@contextmanager
def running(*command: str | Path) -> Iterator[Running]:
    """A process that does not outlive the block."""
    run = Running(*command)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()
        for stream in (run.process.stdin, run.process.stdout, run.process.stderr):
            for thread in run._threads:
                thread.join(PATIENCE)
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


@contextmanager
def serving(*arguments: str | Path) -> Iterator[tuple[Running, str]]:
    """`duplexcore serve`, ready, and the target that it serves at."""
    where = () if "--uds" in arguments or "--port" in arguments else ("--port", "0")
    with running(COMMAND, "serve", *where, *arguments) as server:
        line = server.until("listening on ")
        server.until("stops")
        yield server, line.split()[2]


def chatting(target: str, *arguments: str | Path) -> list[str]:
    """The command line of a guest."""
    return [COMMAND, "chat", target, *map(str, arguments)]
