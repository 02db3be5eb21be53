"""`duplexcore fuzz HOST:PORT` against real servers: what it finds in others is known, and in ours it finds nothing.

Run by `make interop`, like the matrix: grpclib lives in an environment of its own. What is known of others stands in
tests/known_failures; an entry that does not fail any more fails the test.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from google.protobuf import descriptor_pb2

from duplexcore.cli.app import command
from duplexcore.interop.peers.environments import default_folder
from duplexcore.interop.peers.table import PEERS
from duplexcore.interop.proto import interop_pb2
from tests.cli.running import running

pytestmark = pytest.mark.gate

FOLDER = default_folder()
KNOWN = Path(__file__).resolve().parents[1] / "known_failures"
#: Server -> its file of known failures; None: nothing is known, and nothing may be found.
SERVERS = {"grpcio": "grpcio", "grpc.aio": "grpcio", "grpclib": "grpclib", "duplexcore": None}


@pytest.mark.parametrize("server", SERVERS)
def test_nothing_new_is_found(server: str, tmp_path: Path) -> None:
    peer, known = PEERS[server], SERVERS[server]
    missing = peer.environment.missing(FOLDER)
    assert not missing, f"{missing}: `make peers` installs it"
    described = tmp_path / "interop.desc"
    file = descriptor_pb2.FileDescriptorProto.FromString(interop_pb2.DESCRIPTOR.serialized_pb)
    described.write_bytes(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())
    with running(*peer.command("server", FOLDER, None), "--port=0") as program:
        port = program.until("listening on ").rpartition(":")[2].strip()
        arguments = [
            *("run", f"127.0.0.1:{port}", "--descriptor", str(described), "--numbers", "20", "--timeout", "1"),
            *("--method", "/grpc.testing.TestService/UnaryCall", "--runs", "10", "--cases", str(tmp_path)),
            *("--only", "C?", "--only", "C10", "--only", "MAL-1.*"),
            *(["--known-failures", str(KNOWN / f"{known}.toml")] if known else []),
        ]
        result = CliRunner().invoke(command, ["fuzz", *arguments])
    assert result.exit_code == 0, result.output
    assert "nothing found" in result.output
