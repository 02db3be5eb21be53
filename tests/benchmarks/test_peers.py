"""Each peer's program does each workload, in processes of its own as in a real run, but only an operation or two."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.figures import figures_of
from benchmarks.processes import Couple, PeerError, Program
from benchmarks.table import PEERS, WORKLOADS, Peer, Workload
from duplexcore.interop.peers.environments import ThisPython


def here(name: str) -> Peer:
    """The peer in the environment of the tests, which has grpcio."""
    return replace(PEERS[name], environment=ThisPython(name, ()))


def usable(peer: Peer) -> None:
    try:
        with Program(peer, "about") as program:
            assert program.hear()["library"]
    except PeerError as error:
        pytest.skip(str(error))


def run(server: Peer, client: Peer, codec: str) -> None:
    chosen = [workload for workload in WORKLOADS.values() if workload.codec == codec]
    with Couple(server, client, replace(chosen[0].service(), calls=64)) as couple:
        for workload in chosen:
            one(couple, workload)


def one(couple: Couple, workload: Workload) -> None:
    job = replace(workload.job(30.0, operations=2), warm_up=30.0)
    measured = couple.measure(job)
    assert measured.outcome["operations"] == 2 * workload.width
    figures = figures_of(measured)
    assert set(figures) == {"rate", "p50", "p99", "server", "client", "cpu"}
    assert 0 < figures["p50"] <= figures["p99"]
    assert figures["server"] > 0
    assert figures["client"] > 0


@pytest.mark.parametrize("name", [name for name in PEERS if PEERS[name].ours or name == "grpc.aio"])
def test_a_peer_does_every_workload(name: str) -> None:
    usable(peer := here(name))
    run(peer, peer, "bytes")


def test_peers_do_them_with_each_other() -> None:
    run(here("duplexcore-asyncio-h2"), here("grpc.aio"), "bytes")
    run(here("grpc.aio"), here("duplexcore-asyncio-h2"), "protobuf")


def test_a_program_that_fails_says_why() -> None:
    peer = replace(here("grpc.aio"), module="nothing_of_this_name")
    with (
        Program(peer, "about") as program,
        pytest.raises(PeerError, match=r"grpc.aio about: it has ended\n.*No module named benchmarks.peers.nothing"),
    ):
        program.hear()
