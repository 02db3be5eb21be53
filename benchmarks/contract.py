"""What a peer's program and the runner say to each other. Standard library only: it runs in every peer's environment.

A program is ``python -m benchmarks.peers.NAME SIDE OPTION=VALUE...``. It speaks lines of JSON, and ends with its
standard input.

    about                                     -> {"library": "grpcio 1.85.1"}, or it fails and says why it can not run
    server                    <- `Service`    -> {"port": 1234}
                              <- "usage"      -> `usage`, as often as it is asked
    client                    <- `Job`        -> {"mark": "begin", "usage": ...}, and waits for a line; more marks
                                              -> `Outcome`; then the next job

The client waits at a mark while nothing is in flight: that is when the runner asks the server what it has used.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import json
import os
import resource
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "DUPLEX",
    "UNARY",
    "Job",
    "Outcome",
    "Service",
    "call_metadata",
    "fault",
    "listening",
    "mark",
    "program",
    "usage",
]

#: The two methods that every server has: each answers a request with the same message.
UNARY = "/duplexcore.bench.Echo/Unary"
DUPLEX = "/duplexcore.bench.Echo/Duplex"
#: Seconds that a call with a deadline has.
TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Service:
    """What a server is to be. ``calls``: how many will be open at once, on all connections."""

    codec: str = "bytes"
    calls: int = 1
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What a client is to do, until ``seconds`` are over or each of the ``width`` that run at once has done so many
    ``operations``; 0: no such end."""

    kind: str
    port: int
    width: int = 1
    size: int = 100
    seconds: float = 1.0
    operations: int = 0
    warm_up: float = 0.2
    codec: str = "bytes"
    #: A deadline and three fields of metadata on each call, one of them different each time.
    dressed: bool = False
    #: PEM of the authority; empty: no TLS.
    authority: str = ""

    @property
    def limit(self) -> int:
        """Operations that each of the ``width`` may do."""
        return self.operations or sys.maxsize

    @property
    def first(self) -> int:
        """The same for the warm-up."""
        return min(self.operations, 1) or sys.maxsize


@dataclass(slots=True)
class Outcome:
    """What came of a job: operations, how long all took, and seconds of each, or of a sample."""

    operations: int = 0
    seconds: float = 0.0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    #: Figures of workloads that have others.
    figures: dict[str, float] = field(default_factory=dict)

    def add_loaded(self, loaded: Outcome) -> None:
        """Another measurement, of the same with much else open."""
        self.figures = {
            f"{name}_loaded": value for name, value in loaded.summary().items() if name in ("operations", "p50", "p99")
        }

    def summary(self) -> dict[str, Any]:
        """As it goes over the line; latencies in microseconds."""
        ordered = sorted(self.latencies)
        points = {}
        if ordered:
            points = {f"p{percent}": ordered[len(ordered) * percent // 100] * 1e6 for percent in (50, 99)}
        return {"operations": self.operations, "seconds": self.seconds, **points, **self.figures}


_numbers = itertools.count(1)


def call_metadata() -> tuple[tuple[str, str], ...]:
    """What a dressed call carries; the first field is different each time."""
    return (
        ("x-request-id", f"{next(_numbers):032x}"),
        ("x-tenant", "acme-europe"),
        ("authorization", "Bearer bGV0IG1lIGluLCBwbGVhc2U6IGl0IGlzIGNvbGQgb3V0IGhlcmU"),
    )


def fault(text: str) -> SystemExit:
    """What a program raises that can not do its job."""
    return SystemExit(text)


def usage() -> dict[str, float]:
    """CPU seconds of this process, user and system, before and after a collection, and its resident bytes and allocated
    blocks after it."""
    before = time.process_time()
    gc.collect()
    after = time.process_time()
    return {"before": before, "after": after, "memory": _resident(), "blocks": sys.getallocatedblocks()}


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def mark(name: str) -> None:
    """Tells the runner where this client is, and waits until it has asked the server. Nothing may be in flight."""
    _say({"mark": name, "usage": usage()})
    if not sys.stdin.buffer.readline():
        os._exit(0)


def listening(port: int) -> None:
    """Tells the runner that the server is ready. From here on a thread answers, and ends the process with its input."""
    _say({"port": port})
    threading.Thread(target=_answer, daemon=True).start()


def program(
    about: Callable[[dict[str, str]], dict[str, Any]],
    serve: Callable[[Service, dict[str, str]], None],
    run: Callable[[Job, dict[str, str]], Outcome],
) -> None:
    """The whole of a program. ``serve`` does not return; ``run`` marks where it begins and ends what is measured."""
    side, *rest = sys.argv[1:] or ["?"]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    options = dict(option.split("=", 1) for option in rest)
    if side == "about":
        _say(about(options))
    elif side == "server":
        serve(Service(**json.loads(sys.stdin.buffer.readline())), options)
    elif side == "client":
        for line in _lines():
            _say(run(Job(**json.loads(line)), options).summary())
    else:
        raise fault(f"{sys.argv[0]}: the side is about, server or client, not {side}")


def as_line(what: Service | Job) -> str:
    """As `program` reads it."""
    return json.dumps(dataclasses.asdict(what))


def _answer() -> None:
    for _ in _lines():
        _say(usage())
    os._exit(0)


def _lines() -> Iterator[bytes]:
    return iter(sys.stdin.buffer.readline, b"")


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()
