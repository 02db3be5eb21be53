"""Programs that are run beside this one: what they say is read as it comes, and they are ended when they are no longer
needed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
from anyio.abc import ByteReceiveStream, Process

__all__ = ["LISTENING", "Program", "run_program"]

#: How a server says that it is ready.
LISTENING = re.compile(r"listening on \S*:(\d+)")
#: When a line of a log was written: the same words are to look the same.
_STAMP = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")
#: Of a line, and of what is kept of a program's last words.
_LONGEST, _LINES = 2_000, 12


@dataclass(slots=True)
class Program:
    """A process whose words are read as they come."""

    process: Process
    #: The last lines of its standard error, for who asks why.
    said: deque[str] = field(default_factory=lambda: deque(maxlen=_LINES))

    @property
    def last_words(self) -> str:
        return " / ".join(self.said)

    async def ended(self) -> str:
        """How, once it has."""
        code = await self.process.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{how}: {self.last_words}" if self.said else how


@asynccontextmanager
async def run_program(
    command: Sequence[str], variables: dict[str, str], hear: Callable[[str], Awaitable[None]], done: Callable[[], None]
) -> AsyncGenerator[Program, None]:
    """Runs a program; ``hear`` gets each line of its standard output, and of its standard error that the first has
    not; ``done`` is called at the end of the output. On leaving it is ended."""
    environ = os.environ | {"PYTHONUNBUFFERED": "1"} | variables
    process = await anyio.open_process(command, stdin=subprocess.DEVNULL, env=environ)
    assert process.stdout is not None
    assert process.stderr is not None
    program = Program(process)

    async def read(stream: ByteReceiveStream, heard: bool) -> None:
        async for line in _lines(stream):
            if not heard and (words := _STAMP.sub("", line.strip())):
                program.said.append(words)
            if heard or LISTENING.search(line):
                await hear(line)
        if heard:
            done()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, process.stdout, True)
            tasks.start_soon(read, process.stderr, False)
            try:
                yield program
            finally:
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


async def _end(process: Process) -> None:
    """First politely. Not by `Process.terminate`, which may reap a process that has just ended, and then asyncio, which
    waits for it in a thread, does not know how it ended."""
    for sign, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, sign)
            with anyio.move_on_after(patience):
                await process.wait()
    await process.aclose()


async def _lines(stream: ByteReceiveStream) -> AsyncGenerator[str, None]:
    """The lines of a stream, cut where they are very long."""
    rest = b""
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line[:_LONGEST].decode(errors="replace").rstrip()
        rest = rest[:_LONGEST]
    if rest:
        yield rest.decode(errors="replace").rstrip()
