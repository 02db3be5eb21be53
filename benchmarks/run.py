"""One interleaved run: workload by workload each repetition goes round over the peers, so that noise hits all alike."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from duplexcore.interop.peers.environments import InstallError

from .figures import figures_of
from .processes import Couple, PeerError, Program
from .results import Results
from .table import ROOT, Peer, Workload, environments

__all__ = ["Plan", "run"]

Pair = tuple[Peer, Peer]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. ``pairs``: server and client. ``operations``: see `Job`; 0: by time."""

    pairs: Sequence[Pair]
    workloads: Sequence[Workload]
    repetitions: int
    seconds: float
    operations: int = 0

    @property
    def steps(self) -> int:
        """How many measurements that is."""
        return len(self.pairs) * len(self.workloads) * self.repetitions


def run(plan: Plan, *, say: Callable[[str], None], step: Callable[[str], None]) -> Results:
    """Installs what is missing and runs all; ``say`` is told what matters, ``step`` each measurement."""
    results = Results(about=_about(plan))
    usable = _usable(plan, results, say)
    for repetition in range(plan.repetitions):
        for workload in plan.workloads:
            turn = repetition % max(len(usable), 1)
            for server, client in [*usable[turn:], *usable[:turn]]:
                step(f"{repetition + 1}/{plan.repetitions} {workload.name}: {_pair_name(server, client)}")
                _one(plan, workload, server, client, results, say)
    results.cells.sort(key=_order(plan))
    return results


def _one(
    plan: Plan, workload: Workload, server: Peer, client: Peer, results: Results, say: Callable[[str], None]
) -> None:
    cell = results.cell(server.name, client.name, workload.name)
    if len(cell.failures) > 1:
        return  # it does not work: its time is better spent elsewhere
    service, job = workload.service(), workload.job(plan.seconds, plan.operations)
    try:
        with Couple(server, client, service) as couple:
            cell.runs.append(figures_of(couple.measure(job)))
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


def _pair_name(server: Peer, client: Peer) -> str:
    return server.name if server is client else f"{client.name} to {server.name}"


def _order(plan: Plan) -> Callable[[object], tuple[int, int]]:
    pairs = [(server.name, client.name) for server, client in plan.pairs]
    names = [workload.name for workload in plan.workloads]
    return lambda cell: (names.index(cell.workload), pairs.index((cell.server, cell.client)))  # type: ignore[attr-defined]


def _about(plan: Plan) -> dict[str, object]:
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": git.stdout.strip() or "unknown",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "seconds": plan.seconds,
        "operations": plan.operations,
        "repetitions": plan.repetitions,
    }
