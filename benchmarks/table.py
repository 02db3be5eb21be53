"""What is run: the peers and the workloads, a row each."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from duplexcore.interop.peers.environments import Environment, ThisPython
from duplexcore.interop.peers.table import PEERS as IMPLEMENTATIONS
from duplexcore.interop.peers.table import Certificates

from .contract import Job, Service
from .loops import AT_ONCE

__all__ = ["CROSSED", "CROSSED_WORKLOADS", "PEERS", "ROOT", "WORKLOADS", "Peer", "Workload", "environments"]

ROOT = Path(__file__).resolve().parent.parent


def environments() -> Path:
    """Where the other implementations are installed: ``DUPLEXCORE_PEERS``, or beside the code, as `make peers` does."""
    return Path(os.environ.get("DUPLEXCORE_PEERS") or ROOT / ".peers").resolve()


# -- workloads ---------------------------------------------------------------------------------------------------------

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Workload:
    """What a client does (`benchmarks.contract.Job`). ``unit``: what its rate counts."""

    name: str
    what: str
    kind: str
    width: int = 1
    size: int = 100
    codec: str = "bytes"
    dressed: bool = False
    tls: bool = False
    unit: str = "operations/s"

    def service(self, certificates: Certificates) -> Service:
        """The server that it needs; with room for calls that come and go beside those that stay open."""
        service = Service(codec=self.codec, calls=self.width + AT_ONCE)
        if not self.tls:
            return service
        return replace(service, certificate=str(certificates.cert), key=str(certificates.key))

    def job(self, seconds: float, operations: int, certificates: Certificates) -> Job:
        """What its client does; the port is not known yet."""
        return Job(
            kind=self.kind,
            port=0,
            width=self.width,
            size=self.size,
            seconds=seconds,
            operations=operations,
            codec=self.codec,
            dressed=self.dressed,
            authority=str(certificates.ca) if self.tls else "",
        )


_PLAIN = (
    Workload("unary-1", "unary calls, one after another", "unary"),
    Workload("unary-64", "unary calls, 64 in flight on one connection", "unary", width=64),
    Workload("ping-1", "round trips on one duplex stream", "ping"),
    Workload("ping-64", "round trips on 64 duplex streams of one connection", "ping", width=64),
    Workload("firehose", "one duplex stream, both directions at once; one message sent and one received", "firehose"),
    Workload("bulk", "the firehose with messages of 1 MiB", "firehose", size=MIB, unit="MiB/s each way"),
    Workload("idle-1000", "1,000 open, silent duplex streams", "idle", width=1_000, unit="KiB of each stream"),
    Workload("idle-10000", "10,000 open, silent duplex streams", "idle", width=10_000, unit="KiB of each stream"),
    Workload(
        "opening-10000",
        "a duplex call for one message, with 10,000 streams open beside it and with none",
        "opening",
        width=10_000,
    ),
    Workload("connect", "a connection, one unary call, and its end", "connect"),
    Workload("connect-tls", "the same over TLS", "connect", tls=True),
    Workload(
        "connections-1000",
        "1,000 connections, on each one unary call after another",
        "connections",
        width=1_000,
        unit="operations/s, KiB of each connection",
    ),
)
_VARIED = tuple(
    replace(workload, name=f"{workload.name}/{suffix}", what=f"{workload.what}; {what}", **changes)
    for suffix, what, changes, names in (
        ("protobuf", "protobuf messages", {"codec": "protobuf"}, ("unary-1", "unary-64", "ping-64", "firehose")),
        ("dressed", "each call with a deadline and 3 fields of metadata", {"dressed": True}, ("unary-1", "unary-64")),
    )
    for workload in _PLAIN
    if workload.name in names
)
WORKLOADS = {workload.name: workload for workload in _PLAIN + _VARIED}


# -- peers -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peer:
    """An implementation: the module of `benchmarks.peers` that is its program, and how it is to run."""

    name: str
    module: str
    environment: Environment
    options: Mapping[str, str] = field(default_factory=dict)
    #: Workload -> why it can not do it.
    lacks: Mapping[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether it is duplexcore."""
        return self.name.startswith("duplexcore")

    def command(self, side: str) -> list[str]:
        """The program."""
        python = (
            sys.executable
            if isinstance(self.environment, ThisPython)
            else str(environments() / self.environment.name / "bin" / "python")
        )
        options = [f"{name}={value}" for name, value in self.options.items()]
        return [python, "-m", f"benchmarks.peers.{self.module}", side, *options]


def _ours(loop: str, http2: str, driver: str = "") -> Peer:
    options = {"loop": loop, "http2": http2} | ({"driver": driver} if driver else {})
    name = "-".join(("duplexcore", *options.values()))
    return Peer(name, "duplexcore_anyio", ThisPython(name, ()), options)


def _other(name: str, module: str, lacks: Mapping[str, str] | None = None) -> Peer:
    return Peer(name, module, IMPLEMENTATIONS[name].environment, lacks=lacks or {})


_ROWS = (
    _ours("asyncio", "native"),
    _ours("asyncio", "h2"),
    _ours("asyncio", "native", "stream"),
    _ours("asyncio", "h2", "stream"),
    _ours("uvloop", "native"),
    _ours("uvloop", "h2"),
    _ours("trio", "native"),
    _ours("trio", "h2"),
    _other("grpc.aio", "grpc_aio"),
    _other("grpcio", "grpcio_sync", dict.fromkeys(("idle-10000", "opening-10000"), "each open call has a thread")),
    _other(
        "grpclib",
        "grpclib_asyncio",
        dict.fromkeys(("idle-10000", "opening-10000"), "its h2 looks at every open stream for each new one: minutes"),
    ),
    Peer(
        "tcp-echo",
        "tcp_echo",
        ThisPython("tcp-echo", ()),
        lacks={name: "it is no gRPC" for name in WORKLOADS if name != "ping-1"},
    ),
)
#: Name -> peer; duplexcore first.
PEERS = {peer.name: peer for peer in _ROWS}
#: Server and client of two kinds, for what duplexcore itself uses beside the C core; and what they do.
CROSSED = tuple(
    (PEERS[server], PEERS[client])
    for ours in ("duplexcore-asyncio-native", "duplexcore-asyncio-h2")
    for server, client in ((ours, "grpc.aio"), ("grpc.aio", ours))
)
CROSSED_WORKLOADS = tuple(workload.name for workload in _PLAIN[:6])
