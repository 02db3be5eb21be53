"""Each peer's program does each workload, in processes of its own as in a real run, but only an operation or two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from benchmarks.figures import figures_of
from benchmarks.processes import Couple, PeerError, Program
from benchmarks.run import certificates
from benchmarks.table import PEERS, WORKLOADS, Peer, Workload, environments
from duplexcore import ServerConfig
from duplexcore.interop.peers.environments import ThisPython
from duplexcore.interop.peers.table import Certificates

TIMED = {"rate", "p50", "p99", "tail", "server", "client", "cpu"}
HELD = {"server_memory", "client_memory"}
#: Kind -> the figures that it has.
FIGURES = {
    "unary": TIMED,
    "ping": TIMED,
    "firehose": TIMED,
    "idle": HELD,
    "opening": TIMED | {"p50_loaded", "p99_loaded", "cpu_loaded", "loaded"},
    "connect": TIMED,
    "connections": TIMED | HELD,
}


@pytest.fixture(scope="module")
def pem() -> Iterator[Certificates]:
    with certificates() as made:
        yield made


def here(name: str) -> Peer:
    """The peer in the environment of the tests, which has grpcio."""
    return replace(PEERS[name], environment=ThisPython(name, ()))


def usable(peer: Peer) -> None:
    with Program(peer, "about") as program:
        assert program.hear()["library"]


def run(
    server: Peer, client: Peer, pem: Certificates, *, names: Iterable[str] = (), without: Iterable[str] = ()
) -> None:
    """The workloads, or all; those that need the same server have the same two processes."""
    chosen = [replace(WORKLOADS[name], width=min(WORKLOADS[name].width, 64)) for name in names or WORKLOADS]
    chosen = [workload for workload in chosen if workload.name not in without]
    for service in {workload.service(pem): None for workload in map(wide, chosen)}:
        with Couple(server, client, service) as couple:
            for workload in chosen:
                if wide(workload).service(pem) == service:
                    one(couple, workload, pem)


def wide(workload: Workload) -> Workload:
    return replace(workload, width=64)


def one(couple: Couple, workload: Workload, pem: Certificates) -> None:
    job = replace(workload.job(30.0, 2, pem), warm_up=30.0)
    measured = couple.measure(job)
    figures = figures_of(job.width, measured)
    assert set(figures) == FIGURES[workload.kind], workload.name
    if "rate" in figures:
        at_once = 1 if workload.kind == "opening" else workload.width
        assert measured.outcome["operations"] == 2 * at_once, workload.name
        assert 0 < figures["p50"] <= figures["p99"]
        assert figures["server"] > 0
        assert figures["client"] > 0


def test_duplexcore_does_every_workload(pem: Certificates) -> None:
    run(peer := here("duplexcore-asyncio-h2"), peer, pem)


def test_a_call_opens_beside_more_than_the_default_limit_allows(pem: Certificates) -> None:
    workload = replace(WORKLOADS["opening-10000"], width=ServerConfig().max_concurrent_calls + 8)
    peer = here("duplexcore-asyncio-native")
    with Couple(peer, peer, workload.service(pem)) as couple:
        one(couple, workload, pem)


def test_grpc_aio_does_every_workload(pem: Certificates) -> None:
    run(peer := here("grpc.aio"), peer, pem)


def test_grpcio_does_every_workload_that_needs_no_thousands_of_threads(pem: Certificates) -> None:
    run(peer := here("grpcio"), peer, pem, without=peer.lacks)


@pytest.mark.gate
def test_grpclib_does_every_workload(pem: Certificates) -> None:
    peer = PEERS["grpclib"]
    if reason := peer.environment.missing(environments()):
        pytest.fail(reason)
    run(peer, peer, pem)


@pytest.mark.parametrize("name", [name for name in PEERS if PEERS[name].ours and name != "duplexcore-asyncio-h2"])
def test_each_loop_carrier_and_driver_works(name: str, pem: Certificates) -> None:
    usable(peer := here(name))
    run(peer, peer, pem, names=("unary-64", "firehose", "opening-10000"))


def test_a_bare_echo_does_round_trips(pem: Certificates) -> None:
    run(peer := here("tcp-echo"), peer, pem, without=peer.lacks)


def test_peers_do_them_with_each_other(pem: Certificates) -> None:
    names = ("unary-64", "ping-64", "firehose")
    run(here("duplexcore-asyncio-h2"), here("grpc.aio"), pem, names=names)
    run(here("grpc.aio"), here("duplexcore-asyncio-h2"), pem, names=names)


def test_a_program_that_fails_says_why() -> None:
    peer = replace(here("grpc.aio"), module="nothing_of_this_name")
    with (
        Program(peer, "about") as program,
        pytest.raises(PeerError, match=r"grpc.aio about: it has ended\n.*No module named benchmarks.peers.nothing"),
    ):
        program.hear()
