"""What is run: the peers and the workloads, a row each."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from duplexcore.interop.peers.environments import Environment, ThisPython
from duplexcore.interop.peers.table import PEERS as IMPLEMENTATIONS

from .contract import Job, Service

__all__ = ["PEERS", "ROOT", "WORKLOADS", "Peer", "Workload", "environments"]

ROOT = Path(__file__).resolve().parent.parent


def environments() -> Path:
    """Where the other implementations are installed: ``DUPLEXCORE_PEERS``, or beside the code, as `make peers` does."""
    return Path(os.environ.get("DUPLEXCORE_PEERS") or ROOT / ".peers").resolve()


# -- peers -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peer:
    """An implementation: the module of `benchmarks.peers` that is its program, and how it is to run."""

    name: str
    module: str
    environment: Environment
    options: Mapping[str, str] = field(default_factory=dict)

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


def _other(name: str, module: str) -> Peer:
    return Peer(name, module, IMPLEMENTATIONS[name].environment)


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
)
PEERS = {peer.name: peer for peer in _ROWS}


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
    unit: str = "operations/s"

    def service(self) -> Service:
        """The server that it needs."""
        return Service(codec=self.codec, calls=self.width)

    def job(self, seconds: float, operations: int = 0) -> Job:
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
        )


_PLAIN = (
    Workload("unary-1", "unary calls, one after another", "unary"),
    Workload("unary-64", "unary calls, 64 in flight on one connection", "unary", width=64),
    Workload("ping-1", "round trips on one duplex stream", "ping"),
    Workload("ping-64", "round trips on 64 duplex streams of one connection", "ping", width=64),
    Workload("firehose", "one duplex stream, both directions at once; one message sent and one received", "firehose"),
    Workload("bulk", "the firehose with messages of 1 MiB", "firehose", size=MIB, unit="MiB/s each way"),
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
