"""duplexcore against the other Python implementations, each in an environment of its own, in both directions: every
official case, on asyncio and trio, plain and over TLS; and plain over h2.

`make interop` runs it, after `make peers` has made the environments; a bare pytest does not.
"""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from duplexcore.interop.matrix import CASES, Cell, Matrix
from duplexcore.interop.peers.environments import default_folder
from duplexcore.interop.peers.table import PEERS, known_fault, known_race

pytestmark = pytest.mark.gate

FOLDER = default_folder()
OURS = ("duplexcore", "duplexcore-trio")
OTHERS = ("grpcio", "grpc.aio", "grpclib")
PAIRS = [(ours, other) for other in OTHERS for ours in OURS] + [(other, ours) for other in OTHERS for ours in OURS]
#: Over h2, which is not the default, in the clear alone: TLS is below both; grpc.aio's HTTP/2 is grpcio's.
OVER_H2 = [
    ("duplexcore-h2", "grpcio"),
    ("grpcio", "duplexcore-h2"),
    ("duplexcore-h2", "grpclib"),
    ("grpclib", "duplexcore-h2"),
]
CELLS = [(*pair, tls) for pair in PAIRS for tls in (False, True)] + [(*pair, False) for pair in OVER_H2]
#: What may be skipped, literally: a case that is skipped for another reason than before is news.
PROBED = {"client_compressed_unary", "client_compressed_streaming"}
PACKED = {"server_compressed_unary", "server_compressed_streaming"}
CANCELLED = {"cancel_after_begin", "cancel_after_first_response"}
SKIPPED_BY_SERVER = {"grpcio": PROBED, "grpc.aio": PROBED, "grpclib": PROBED | PACKED}
SKIPPED_BY_CLIENT = {
    "grpcio": {"client_compressed_streaming"},
    "grpc.aio": {"client_compressed_streaming"},
    "grpclib": PROBED | PACKED | CANCELLED,
}


@pytest.fixture(scope="module")
def folder() -> Path:
    missing = [why for name in OTHERS if (why := PEERS[name].environment.missing(FOLDER))]
    assert not missing, f"{missing}: `make peers` installs them"
    return FOLDER


def run_pair(client: str, server: str, tls: bool, folder: Path) -> dict[str, Cell]:
    """Every case of one pair: one server, one client, in processes of their own."""
    matrix = Matrix(clients=[PEERS[client]], servers=[PEERS[server]], folder=folder, tls=[tls])
    cells = anyio.run(matrix.run)
    assert sorted(cell.case for cell in cells) == sorted(CASES)
    return {cell.case: cell for cell in cells}


@pytest.mark.parametrize(
    ("client", "server", "tls"),
    CELLS,
    ids=[f"{client}-to-{server}-{'tls' if tls else 'plain'}" for client, server, tls in CELLS],
)
@pytest.mark.req("FRM-3", "DUP-2", "DUP-3", "DUP-10", "DUP-34", "MD-1", "STAT-8", "STAT-9", "STAT-12", "DEAD-1")
def test_every_official_case_passes(client: str, server: str, tls: bool, folder: Path) -> None:
    cells = run_pair(client, server, tls, folder)
    failed = {case: cell for case, cell in cells.items() if cell.verdict == "failed"}
    known = {case for case in CASES if known_fault(PEERS[client], PEERS[server], case)}
    assert {case: cell.note for case, cell in failed.items() if not cell.known} == {}
    assert known - failed.keys() == set(), "these pass now: take them from the faults in the table of peers"
    skipped = {case for case, cell in cells.items() if cell.verdict == "skipped"}
    assert skipped == SKIPPED_BY_SERVER.get(server, set()) | SKIPPED_BY_CLIENT.get(client, set())


def test_known_faults_and_lacks_name_cases_and_say_why() -> None:
    for peer in PEERS.values():
        for said in (peer.server_lacks, peer.client_lacks, peer.server_faults, peer.client_faults):
            assert said.keys() <= set(CASES)
            assert all(said.values())
        assert peer.client_races.keys() <= set(CASES)
        assert all(says and why for says, why in peer.client_races.values())
        known = (peer.server_lacks, peer.client_lacks, peer.server_faults, peer.client_faults, peer.client_races)
        assert not peer.ours or not any(known)


def test_a_race_is_known_by_what_the_client_says() -> None:
    client, ours, other = PEERS["grpc.aio"], PEERS["duplexcore"], PEERS["grpcio"]
    case, note = "timeout_on_sleeping_server", "status 4 expected, 13 came: 'Internal error from Core'"
    assert "#36066" in known_race(client, ours, case, note)
    assert not known_race(client, ours, case, "status 4 expected, 13 came: 'what else'")
    assert not known_race(client, ours, "empty_unary", note)
    assert not known_race(client, other, case, note)
    assert not known_race(other, ours, case, note)
