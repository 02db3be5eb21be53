"""The peers. To add one: a row here, and a file in ``programs`` if it has no official program of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .environments import DESCRIPTOR_SET, Environment, GoPrograms, NodePackages, PythonPackages, ThisPython

__all__ = ["PEERS", "Certificates", "Peer", "known_fault"]

_PROGRAMS = Path(__file__).resolve().parent / "programs"


@dataclass(frozen=True, slots=True)
class Certificates:
    """The PEM files of a throw-away authority, and the name that its certificate is for."""

    ca: Path
    cert: Path
    key: Path
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One implementation, as the matrix runs it. In the commands and flags stand ``{env}`` (its environment's folder),
    ``{programs}``, and the fields of `Certificates`."""

    name: str
    language: str
    environment: Environment
    #: The commands, to which the official flags are added.
    server: tuple[str, ...]
    client: tuple[str, ...]
    #: Its client as `programs/observing.py` runs it; empty: there is none.
    observer: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    server_variables: Mapping[str, str] = field(default_factory=dict)
    server_tls: tuple[str, ...] = ("--use_tls", "--tls_cert_file={cert}", "--tls_key_file={key}")
    client_tls: tuple[str, ...] = ("--use_tls", "--use_test_ca", "--ca_file={ca}", "--server_host_override={name}")
    #: Official programs run one case and tell it by their exit code; ours print a line for each of many.
    one_case_each: bool = False
    #: Case -> why a side lacks it. Programs of ours say themselves what their clients lack.
    server_lacks: Mapping[str, str] = field(default_factory=dict)
    client_lacks: Mapping[str, str] = field(default_factory=dict)
    #: Case -> what a side of it does wrong when duplexcore is the other, by which rule. These fail, and are known.
    server_faults: Mapping[str, str] = field(default_factory=dict)
    client_faults: Mapping[str, str] = field(default_factory=dict)
    #: Case -> what its client says when it fails a case by a race of its own, and why. These fail now and then.
    client_races: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    ours: bool = False

    def command(self, side: str, folder: Path, certificates: Certificates | None) -> list[str]:
        """The command of ``"server"``, ``"client"`` or ``"observer"``, but for ports and cases; TLS with
        ``certificates``."""
        parts, tls = {
            "server": (self.server, self.server_tls),
            "client": (self.client, self.client_tls),
            "observer": (self.observer, ()),
        }[side]
        values = self._values(folder)
        if certificates is not None:
            parts += tls
            values |= {
                "ca": str(certificates.ca),
                "cert": str(certificates.cert),
                "key": str(certificates.key),
                "name": certificates.name,
            }
        return [part.format_map(values) for part in parts]

    def environ(self, side: str, folder: Path) -> dict[str, str]:
        """The variables that a program needs."""
        values = self._values(folder)
        variables = {**self.variables, **(self.server_variables if side == "server" else {})}
        return {name: text.format_map(values) for name, text in variables.items()}

    def _values(self, folder: Path) -> dict[str, str]:
        return {"env": str((folder / self.environment.name).resolve()), "programs": str(_PROGRAMS)}


_PROBED = ("client_compressed_unary", "client_compressed_streaming")
_PACKED = ("server_compressed_unary", "server_compressed_streaming")


def _lack(cases: tuple[str, ...], reason: str) -> dict[str, str]:
    return dict.fromkeys(cases, reason)


def _ours(name: str, backend: str, *modules: str, flags: tuple[str, ...] = ()) -> Peer:
    command = (sys.executable, "-c", "from duplexcore.cli import main; main()", "interop")
    return Peer(
        name=name,
        language="Python",
        environment=ThisPython(name, modules),
        server=(*command, "server", f"--backend={backend}", *flags),
        client=(*command, "client", f"--backend={backend}", *flags),
        observer=(sys.executable, "{programs}/duplexcore_peer.py", "observe") if name == "duplexcore" else (),
        server_tls=("--use_tls", "--cert={cert}", "--key={key}"),
        client_tls=("--use_tls", "--ca={ca}", "--server_host_override={name}"),
        ours=True,
    )


def _python(
    name: str,
    environment: Environment,
    server_lacks: Mapping[str, str],
    server_faults: Mapping[str, str] | None = None,
    client_races: Mapping[str, tuple[str, str]] | None = None,
) -> Peer:
    command = ("{env}/bin/python", f"{{programs}}/{name.replace('.', '_')}_peer.py")
    return Peer(
        name=name,
        language="Python",
        environment=environment,
        server=(*command, "server"),
        client=(*command, "client"),
        observer=(*command, "observe"),
        server_lacks=server_lacks,
        server_faults=server_faults or {},
        client_races=client_races or {},
    )


_GRPCIO = PythonPackages("grpcio", ("grpcio==1.85.1", "protobuf==7.36.2", "typing_extensions==4.16.0"))
_GRPCLIB = PythonPackages(
    "grpclib",
    (
        "grpclib==0.4.9",
        "h2==4.4.1",
        "hpack==4.2.0",
        "hyperframe==6.1.0",
        "multidict==7.2.1",
        "protobuf==7.36.2",
    ),
)
_CONNECTRPC = PythonPackages(
    "connectrpc",
    (
        "connectrpc==0.13.0",
        "pyqwest==0.12.0",
        "protobuf==7.36.2",
        "protobuf-py==0.7.0",
        "Hypercorn==0.18.0",
        "h2==4.4.1",
        "hpack==4.2.0",
        "hyperframe==6.1.0",
    ),
)
_GO = GoPrograms("grpc-go", ("google.golang.org/grpc@v1.85.0", "interop/client", "interop/server"))
_NODE = NodePackages("grpc-js", ("@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1"))

_HIDDEN = "does not tell a handler whether a message came compressed, which CompressedRequest needs"

_ROWS = (
    _ours("duplexcore", "asyncio"),
    _ours("duplexcore-trio", "trio", "trio"),
    _ours("duplexcore-uvloop", "uvloop", "uvloop"),
    _ours("duplexcore-h2", "asyncio", flags=("--http2=h2",)),
    _python("grpcio", _GRPCIO, server_lacks=_lack(_PROBED, f"grpcio {_HIDDEN}")),
    _python(
        "grpc.aio",
        _GRPCIO,
        server_lacks=_lack(_PROBED, f"grpc.aio {_HIDDEN}"),
        server_faults={
            "server_compressed_unary": "COMP-11: set_compression in a unary handler has no effect unless it also sends "
            "initial metadata itself"
        },
        client_races={
            "timeout_on_sleeping_server": (
                "Internal error from Core",
                "DEAD-5: a write that fails because the call is over replaces the call's status (grpc/grpc#36066)",
            )
        },
    ),
    _python("grpclib", _GRPCLIB, server_lacks=_lack(_PROBED + _PACKED, "grpclib does not compress")),
    _python(
        "connectrpc",
        _CONNECTRPC,
        server_lacks=_lack(_PROBED, f"connectrpc {_HIDDEN}")
        | _lack(_PACKED, "connectrpc's server compresses whatever the client takes, not what a handler chooses"),
    ),
    Peer(
        name="grpc-go",
        language="Go",
        environment=_GO,
        server=("{env}/bin/server",),
        client=("{env}/bin/client",),
        server_variables={"GRPC_GO_LOG_SEVERITY_LEVEL": "info"},  # or the server says not where it listens
        one_case_each=True,
        server_lacks=_lack(_PROBED + _PACKED, "the official server of grpc-go does not look at compression")
        | {"pick_first_unary": "the official server of grpc-go fills no server_id"},
        client_lacks=_lack(_PROBED + _PACKED, "the official client of grpc-go has no such case"),
    ),
    Peer(
        name="grpc-js",
        language="JavaScript",
        environment=_NODE,
        server=("node", "{programs}/grpc_js_peer.js", "server", f"--descriptor_set={{env}}/{DESCRIPTOR_SET}"),
        client=("node", "{programs}/grpc_js_peer.js", "client", f"--descriptor_set={{env}}/{DESCRIPTOR_SET}"),
        variables={"NODE_PATH": "{env}/node_modules"},
        server_lacks=_lack(_PROBED, f"grpc-js {_HIDDEN}")
        | _lack(_PACKED, "grpc-js compresses by an option of the whole server, which this program leaves off"),
    ),
)


def known_fault(client: Peer, server: Peer, case: str) -> str:
    """What is known to be wrong with the side of a pair that is not duplexcore; empty if nothing is."""
    if client.ours == server.ours:
        return ""
    faults = server.server_faults if client.ours else client.client_faults
    return faults.get(case, "")


def known_race(client: Peer, server: Peer, case: str, note: str) -> str:
    """What is known of a failure that a client which is not duplexcore has now and then; empty if ``note`` says
    something else."""
    says, why = client.client_races.get(case, ("", ""))
    return why if server.ours and says in note else ""


#: Name -> peer; duplexcore first.
PEERS: dict[str, Peer] = {peer.name: peer for peer in _ROWS}
