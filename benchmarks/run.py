"""One interleaved run: workload by workload each repetition goes round over the peers, so that noise hits all alike."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from duplexcore.cli.test_ca import AUTHORITY, CERTIFICATE, KEY, made_folder
from duplexcore.interop.peers.environments import InstallError
from duplexcore.interop.peers.table import Certificates

from .contract import Job, Service
from .figures import figures_of
from .footprint import footprint
from .processes import Couple, PeerError, Program
from .results import Results
from .table import ROOT, Peer, Workload, environments

__all__ = ["Pair", "Plan", "certificates", "revision", "run"]

Pair = tuple[Peer, Peer]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. ``pairs``: server and client. ``operations``: see `Job`; 0: by time.
    ``footprint``: imports and sizes, too."""

    pairs: Sequence[Pair]
    workloads: Sequence[Workload]
    repetitions: int
    seconds: float
    operations: int = 0
    footprint: bool = False
    #: What two different peers do with each other; None: everything.
    crossed: Container[str] | None = None

    @property
    def steps(self) -> int:
        """How many measurements that is, unless a peer turns out to be missing."""
        return self.repetitions * sum(
            self.wants(pair, workload) and not any(workload.name in peer.lacks for peer in pair)
            for pair in self.pairs
            for workload in self.workloads
        )

    def wants(self, pair: Pair, workload: Workload) -> bool:
        """Whether the pair is to do it."""
        return pair[0] is pair[1] or self.crossed is None or workload.name in self.crossed


def run(
    plan: Plan, *, say: Callable[[str], None], step: Callable[[str], None], keep: Callable[[Results], None]
) -> Results:
    """Installs what is missing and runs all; ``say`` is told what matters, ``step`` each measurement, and ``keep`` is
    given what there is after each workload."""
    results = Results(about=_about(plan))
    usable = _usable(plan, results, say)
    with certificates() as pem:
        for repetition in range(plan.repetitions):
            for workload in plan.workloads:
                job, service = workload.job(plan.seconds, plan.operations, pem), workload.service(pem)
                wanted = [pair for pair in usable if plan.wants(pair, workload)]
                for pair in _able(wanted, workload, results, turn=repetition):
                    step(f"{repetition + 1}/{plan.repetitions} {workload.name}: {_pair_name(*pair)}")
                    _one(workload, pair, job, service, results, say)
                results.cells.sort(key=_order(plan))
                keep(results)
    if plan.footprint:
        say("imports and sizes")
        results.footprint = footprint(plan.repetitions)
        keep(results)
    return results


def _one(
    workload: Workload, pair: Pair, job: Job, service: Service, results: Results, say: Callable[[str], None]
) -> None:
    server, client = pair
    cell = results.cell(server.name, client.name, workload.name)
    if len(cell.failures) > 1:
        return  # it does not work: its time is better spent elsewhere
    try:
        with Couple(server, client, service) as couple:
            cell.runs.append(figures_of(job.width, couple.measure(job)))
    except PeerError as error:
        cell.failures.append(str(error))
        say(f"{workload.name}, {cell.name}: failed\n{error}")


def _usable(plan: Plan, results: Results, say: Callable[[str], None]) -> list[Pair]:
    peers = {peer.name: peer for pair in plan.pairs for peer in pair}
    for name, peer in peers.items():
        try:
            if peer.environment.missing(environments()):
                peer.environment.install(environments(), say)
            with Program(peer, "about") as program:
                results.libraries[name] = program.hear()["library"]
        except (InstallError, PeerError) as error:
            results.lacking[name] = str(error).strip().splitlines()[-1]
            say(f"{name} is left out: {results.lacking[name]}")
    return [pair for pair in plan.pairs if not any(peer.name in results.lacking for peer in pair)]


def _able(pairs: Sequence[Pair], workload: Workload, results: Results, turn: int) -> list[Pair]:
    """The pairs that can do it; another one is the first each time."""
    able = []
    for pair in pairs:
        lacks = {
            f"{peer.name}, {workload.name}": peer.lacks[workload.name] for peer in pair if workload.name in peer.lacks
        }
        results.lacking |= lacks
        if not lacks:
            able.append(pair)
    turn %= max(len(able), 1)
    return [*able[turn:], *able[:turn]]


@contextlib.contextmanager
def certificates() -> Iterator[Certificates]:
    """Of an authority that lives as long as the run."""
    with tempfile.TemporaryDirectory(prefix="duplexcore-bench-") as folder:
        made = made_folder(Path(folder) / "ca")
        yield Certificates(made / AUTHORITY, made / CERTIFICATE, made / KEY, "localhost")


def _pair_name(server: Peer, client: Peer) -> str:
    return server.name if server is client else f"{client.name} to {server.name}"


def _order(plan: Plan) -> Callable[[object], tuple[int, int]]:
    pairs = [(server.name, client.name) for server, client in plan.pairs]
    names = [workload.name for workload in plan.workloads]
    return lambda cell: (names.index(cell.workload), pairs.index((cell.server, cell.client)))  # type: ignore[attr-defined]


def _about(plan: Plan) -> dict[str, object]:
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "seconds": plan.seconds,
        "operations": plan.operations,
        "repetitions": plan.repetitions,
    }


def revision() -> str:
    """Of this tree, as git says it."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return git.stdout.strip() or "unknown"
