"""The two processes of a measurement, each on a core of its own where there are two."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from .contract import Job, Service, as_line
from .table import ROOT, Peer

__all__ = ["Couple", "Measured", "PeerError", "Program", "cores"]

#: Seconds that a program may take to answer, besides the time that it was given.
PATIENCE = 120.0


class PeerError(Exception):
    """A peer's program failed. The text has what it said last."""


def cores() -> tuple[int | None, int | None]:
    """The server's and the client's; None where there is no choice."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (usable[0], usable[-1]) if len(usable) > 1 else (None, None)


class Program:
    """A peer's program that runs. Lines of JSON go in and out. Leaving ends it."""

    def __init__(self, peer: Peer, side: str, core: int | None = None) -> None:
        self.name = f"{peer.name} {side}"
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])]
        variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths if peer.ours else paths[:1])}
        try:
            self._process = subprocess.Popen(
                peer.command(side),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                cwd=ROOT,
                env=variables,
            )
        except OSError as error:
            raise PeerError(f"{self.name}: {error}") from error
        if core is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self._process.pid, {core})
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._complaints):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was not written is of no use now
                    stream.close()

    def tell(self, line: str) -> None:
        """One line in."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._failure("it has ended") from error

    def hear(self, patience: float = PATIENCE) -> dict[str, Any]:
        """One line out. Raises `PeerError`."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(patience):
                    raise self._failure(f"no answer within {patience:.0f} s")
                data = os.read(self._process.stdout.fileno(), 65_536)
                if not data:
                    raise self._failure("it has ended")
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            heard: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise self._failure(f"it said {line[:200]!r}") from error
        return heard

    def _failure(self, what: str) -> PeerError:
        self._process.kill()
        self._process.wait()
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip().splitlines()[-8:]
        return PeerError("\n".join([f"{self.name}: {what}", *said]))


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a job: what the client said, and what each side used at each mark."""

    outcome: dict[str, float]
    server: dict[str, dict[str, float]]
    client: dict[str, dict[str, float]]

    def cpu(self, side: str, suffix: str = "") -> float:
        """Seconds that the side has used between begin and end."""
        marks = self._of(side)
        return marks[f"end{suffix}"]["before"] - marks[f"begin{suffix}"]["after"]

    def memory(self, side: str) -> float:
        """Bytes by which the side has grown from empty to filled."""
        marks = self._of(side)
        return marks["filled"]["memory"] - marks["empty"]["memory"]

    def growth(self, side: str, figure: str) -> float:
        """What the side has when it is filled, "memory" or "blocks", in what it had when empty."""
        marks = self._of(side)
        return marks["filled"][figure] / marks["empty"][figure]

    def marked(self, name: str) -> bool:
        """Whether the client has been there."""
        return name in self.client

    def _of(self, side: str) -> dict[str, dict[str, float]]:
        return {"server": self.server, "client": self.client}[side]


class Couple:
    """A server that listens and a client of it, each on a core of its own."""

    def __init__(self, server: Peer, client: Peer, service: Service) -> None:
        at_server, at_client = cores()
        self._port = 0
        self._service = service
        self._processes = contextlib.ExitStack()
        self._server = self._processes.enter_context(Program(server, "server", at_server))
        self._client = self._processes.enter_context(Program(client, "client", at_client))

    def __enter__(self) -> Self:
        try:
            self._server.tell(as_line(self._service))
            self._port = int(self._server.hear()["port"])
        except BaseException:
            self._processes.close()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        self._processes.close()

    def measure(self, job: Job, patience: float = PATIENCE) -> Measured:
        """Runs a job; its ``port`` is filled in. Raises `PeerError`."""
        self._client.tell(as_line(replace(job, port=self._port)))
        patience += 2 * job.seconds + job.width / 100
        of_server: dict[str, dict[str, float]] = {}
        of_client: dict[str, dict[str, float]] = {}
        while "mark" in (said := self._client.hear(patience)):
            of_client[said["mark"]] = said["usage"]
            self._server.tell("usage")
            of_server[said["mark"]] = self._server.hear(patience)
            self._client.tell("on")
        return Measured(said, of_server, of_client)
