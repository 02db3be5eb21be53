"""What must not end a server, and what must not keep it from ending."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from duplexcore_anyio import connect, serve, server_tls
from tests.support.transport import HELLO, four_kinds


@pytest.mark.parametrize("family", ["tcp", "unix"])
async def test_a_failed_accept_is_tried_again(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept, failures = socket.socket._accept, [OSError(errno.EMFILE, "Too many open files")]  # type: ignore[attr-defined]

    def no_descriptors(self: socket.socket) -> Any:
        if failures:
            raise failures.pop()
        return accept(self)

    monkeypatch.setattr(socket.socket, "_accept", no_descriptors)
    address = "127.0.0.1:0" if family == "tcp" else f"unix:{tmp_path}/s"
    async with serve(four_kinds(), address) as server, connect(server.addresses[0]) as channel:
        assert await channel.unary(HELLO, b"you") == b"hello, you"
    assert not failures
    assert [record.message.endswith("Too many open files") for record in caplog.records] == [True]


async def test_an_unfinished_tls_handshake_does_not_hold_up_the_end(tmp_path: Path) -> None:
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pem"))
    with anyio.fail_after(10):  # the handshake alone may take `handshake_timeout`, 120 s
        async with serve(four_kinds(), "127.0.0.1:0", tls=server_tls(tmp_path / "pem")) as server:
            silent = await anyio.connect_tcp("127.0.0.1", server.port)
            await anyio.sleep(0.05)
            await server.stop()
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await silent.receive()
        await silent.aclose()
