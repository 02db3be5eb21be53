"""The disagreement table: what real peers do with odd input (docs/peers.json), and docs/peers.md made of it.

python -m scripts.peers                   run the peers, write both (about five minutes)
python -m scripts.peers --document        write docs/peers.md from docs/peers.json
python -m scripts.peers --check           exit 1 if docs/peers.md is not what docs/peers.json says
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import anyio

from duplexcore.interop.peers.environments import default_folder
from duplexcore.interop.peers.table import PEERS, Peer
from duplexcore.testing.misbehaving import CASES as CLIENT_CASES
from scripts.peer_table import document
from scripts.peer_table.clients import observe_client
from scripts.peer_table.observations import Cell, Half, Observations, Sight
from scripts.peer_table.servers import SERVER_CASES, observe_server

#: In the order of the columns.
SERVERS = ("duplexcore", "grpcio", "grpc.aio", "grpclib", "connectrpc", "grpc-go", "grpc-js")
CLIENTS = ("duplexcore", "grpcio", "grpc.aio", "grpclib", "connectrpc")
#: Each case runs so often; one whose outcomes differ, so often in all.
RUNS, MORE_RUNS = 2, 5
#: Peers that run at a time.
TOGETHER = 2
#: For everything: seconds.
LIMIT = 360.0

Observe = Callable[[Peer, Path, Collection[str]], Awaitable[dict[str, Sight]]]


async def watch(peer: Peer, folder: Path, observe: Observe, cases: Collection[str], say: Callable[[str], None]) -> Half:
    """All cases of one peer, those that vary more often. The result has this one column."""
    cells: dict[str, Cell] = {}
    again = cases
    for run in range(MORE_RUNS):
        if run >= RUNS:
            again = [case for case, cell in cells.items() if cell.varies]
        if not again:
            break
        started = time.monotonic()
        for case, sight in (await observe(peer, folder, again)).items():
            cells.setdefault(case, Cell()).add(sight)
        say(f"{peer.name}: run {run + 1}, {len(again)} cases, {time.monotonic() - started:.0f} s")
    return {case: {peer.name: cell} for case, cell in cells.items()}


async def watch_all(folder: Path, say: Callable[[str], None]) -> Observations:
    """Every peer that is installed. Raises TimeoutError when the whole takes too long, and RuntimeError for a peer that
    does not run."""
    limiter = anyio.CapacityLimiter(TOGETHER)
    halves: dict[str, list[Half]] = {"server": [], "client": []}

    async def one(side: str, name: str, observe: Observe, cases: Collection[str]) -> None:
        async with limiter:
            halves[side].append(await watch(PEERS[name], folder, observe, cases, lambda text: say(f"{side} of {text}")))

    missing = _missing(folder)
    servers, clients = ([name for name in names if name not in missing] for names in (SERVERS, CLIENTS))
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            for name in clients:
                tasks.start_soon(one, "client", name, observe_client, CLIENT_CASES)
            for name in servers:
                tasks.start_soon(one, "server", name, observe_server, SERVER_CASES)
    peers = {name: PEERS[name].environment.versions(folder) for name in servers}
    today = dt.datetime.now(dt.UTC).date().isoformat()
    return Observations(
        today,
        peers,
        _joined(halves["server"], SERVER_CASES, servers),
        _joined(halves["client"], CLIENT_CASES, clients),
    )


def _missing(folder: Path) -> dict[str, str]:
    """Those that cannot run, with the reason."""
    return {name: reason for name in SERVERS if (reason := PEERS[name].environment.missing(folder))}


def _joined(columns: Sequence[Half], cases: Collection[str], peers: Sequence[str]) -> Half:
    rows: Half = {}
    for case in cases:
        cells = {name: cell for column in columns for name, cell in column.get(case, {}).items()}
        if cells:
            rows[case] = {name: cells[name] for name in peers if name in cells}
    return rows


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="What real peers do where they disagree.")
    parser.add_argument("--document", action="store_true", help="write docs/peers.md from docs/peers.json")
    parser.add_argument("--check", action="store_true", help="exit 1 if docs/peers.md is stale")
    parser.add_argument("--dir", type=Path, default=default_folder(), help="where the peers are installed")
    parser.add_argument("--some", action="store_true", help="leave out peers that are not installed")
    options = parser.parse_args(argv)
    if not options.document and not options.check:
        if (missing := _missing(options.dir)) and not options.some:
            parser.error("; ".join(f"{name}: {reason}" for name, reason in missing.items()))
        started = time.monotonic()

        def say(text: str) -> None:
            print(f"[{time.monotonic() - started:4.0f} s] {text}", file=sys.stderr, flush=True)

        anyio.run(partial(watch_all, options.dir, say)).write()
    text = document.DOCUMENT.read_text(encoding="utf-8")
    made = document.made(text, Observations.read())
    if options.check:
        return int(made != text)
    document.DOCUMENT.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
