"""256 MiB in each direction of one call, both at once: the memory of our side stays what it was after the first 8."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.big_stream import COUNT, MIB, SIZE

ROOT = Path(__file__).parents[2]
#: Where the growth of our side may end: windows, buffers and what the allocator keeps, but nothing of the 512 MiB.
ALLOWED = 8 * MIB
#: More messages than all windows and buffers of both sides hold: what is sent beyond them was read.
BUFFERED = 4 * MIB // SIZE


def process(*args: str) -> subprocess.Popen[str]:
    # Without coverage, which would make it slow and the memory its own.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}
    command = [sys.executable, "-m", "tests.interop.big_stream", *args]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("client", "server", "backend"),
    [("ours", "ours", "asyncio"), ("ours", "grpc.aio", "trio"), ("grpc.aio", "ours", "asyncio")],
)
@pytest.mark.req("FLOW-2", "FLOW-3", "FLOW-7", "FLOW-10", "D-3")
def test_a_stream_of_256_mib_each_way(client: str, server: str, backend: str) -> None:
    assert SIZE * COUNT == 256 * MIB
    loop = {"ours": backend, "grpc.aio": "asyncio"}
    with process("server", server, loop[server]) as serving:
        assert serving.stdin is not None
        assert serving.stdout is not None
        port = serving.stdout.readline().strip()
        with process("client", client, loop[client], port) as calling:
            client_said, _ = calling.communicate()
        server_said, _ = serving.communicate("")
    assert (calling.returncode, serving.returncode) == (0, 0)
    for whose, said in ((client, client_said), (server, server_said)):
        report = json.loads(said)
        print(whose, report)
        assert report["taken"] == COUNT
        assert report["sent_at_half"] > BUFFERED  # neither direction waits for the other
        if whose == "ours":
            assert report["grown"] < ALLOWED
