"""What an import costs and how much is installed, each in a fresh process of the environment that has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from duplexcore.interop.peers.environments import ThisPython

from .table import PEERS, ROOT, environments

__all__ = ["ROWS", "Installed", "footprint"]

#: Prints the CPU milliseconds of an import: on a busy machine its time by the clock says nothing.
_IMPORT = "import time, sys; begun = time.process_time(); import {module}; print((time.process_time() - begun) * 1000)"
#: Prints the bytes of distributions, compiled files left out.
_SIZE = """
import json, sys
from importlib.metadata import distribution
files = [file for name in json.loads(sys.argv[1]) for file in distribution(name).files or ()]
print(sum(file.locate().stat().st_size for file in files if file.suffix != ".pyc" and file.locate().is_file()))
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """A row: what is imported, by the environment of which peer, and which distributions it needs. ``ours``: folders of
    this tree that belong to it."""

    name: str
    module: str
    peer: str
    distributions: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()


_H2 = ("h2", "hpack", "hyperframe")
ROWS = (
    Installed("duplexcore, the engine", "duplexcore", "duplexcore-asyncio-h2", _H2, ("src/duplexcore",)),
    Installed(
        "duplexcore_anyio, the transport",
        "duplexcore_anyio",
        "duplexcore-asyncio-h2",
        (*_H2, "anyio", "idna", "typing_extensions"),
        ("src/duplexcore", "transports/duplexcore_anyio"),
    ),
    Installed("grpc.aio", "grpc.aio", "grpc.aio", ("grpcio", "typing_extensions")),
    Installed("grpclib", "grpclib.client, grpclib.server", "grpclib", ("grpclib", "multidict", *_H2)),
    Installed("h2 alone", "h2.connection", "duplexcore-asyncio-h2", _H2),
    Installed("asyncio alone", "asyncio", "duplexcore-asyncio-h2"),
)


def footprint(repetitions: int) -> dict[str, dict[str, float]]:
    """Row -> "import" (CPU milliseconds, the median), "import_low", "import_high", and "size" (MiB; 0: not
    asked); what is not installed
    is left out."""
    found: dict[str, list[float]] = {row.name: [] for row in ROWS}
    with tempfile.TemporaryDirectory(prefix="duplexcore-bench-") as compiled:
        for number in range(repetitions + 1):
            for row in ROWS:
                cost = _python(row, "-c", _IMPORT.format(module=row.module), compiled=compiled)
                if number and cost is not None:  # the first time compiles
                    found[row.name].append(cost)
    return {
        row.name: {
            "import": median(costs),
            "import_low": min(costs),
            "import_high": max(costs),
            "size": _size(row),
        }
        for row in ROWS
        if (costs := found[row.name])
    }


def _size(row: Installed) -> float:
    """MiB."""
    if not row.distributions:
        return 0.0
    own = sum(
        file.stat().st_size
        for folder in row.ours
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    )
    return ((_python(row, "-c", _SIZE, json.dumps(row.distributions)) or 0.0) + own) / 1024**2


def _python(row: Installed, *arguments: str, compiled: str = "") -> float | None:
    """What a Python of the row's environment prints; None where that is not. ``compiled``: where it keeps what it has
    compiled, also if it is told to keep nothing, as in a container."""
    environment = PEERS[row.peer].environment
    here = isinstance(environment, ThisPython)
    python = Path(sys.executable) if here else environments() / environment.name / "bin" / "python"
    unwanted = {"PYTHONDONTWRITEBYTECODE"} if here else {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"}
    variables = {key: value for key, value in os.environ.items() if key not in unwanted}
    variables |= {"PYTHONPYCACHEPREFIX": compiled} if compiled else {}
    try:
        done = subprocess.run(
            [python, *arguments], env=variables, cwd=ROOT / "benchmarks", capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return float(done.stdout)
