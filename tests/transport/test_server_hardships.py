"""What must not end a server or its connections, and what must not keep them from ending."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from duplexcore import RpcError, StatusCode
from duplexcore_anyio import DuplexServerCall, ListenError, connect, serve, server_tls
from tests.support.transport import HELLO, TALK, four_kinds, over_tcp


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


async def test_a_socket_that_cannot_be_asked_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of another user, say: whether somebody listens is not known."""

    def refused(*_: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refused)
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(str(path))
        inode = path.stat().st_ino
        with pytest.raises(ListenError, match="Permission denied"):
            async with serve(four_kinds(), f"unix:{path}"):
                pytest.fail("it listens")
        assert path.stat().st_ino == inode


async def test_a_server_is_entered_once() -> None:
    serving = serve(four_kinds(), "127.0.0.1:0")
    async with serving as server:
        with pytest.raises(RuntimeError, match="once"):
            await serving.__aenter__()
        assert len(server.addresses) == 1
    with pytest.raises(RuntimeError, match="once"):
        await serving.__aenter__()


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


async def cancelled_elsewhere() -> None:
    """Awaits what of asyncio's was cancelled: a CancelledError, although nobody cancels the one who awaits."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@pytest.mark.req("D-25")
@pytest.mark.parametrize("backend", ["asyncio"])
async def test_a_stray_cancellation_fails_its_own_call_only(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        async for message in call:
            if message == b"stray":
                await cancelled_elsewhere()
            await call.send(message)

    async with over_tcp(four_kinds(talk)) as channel, channel.duplex(TALK) as other:
        await other.send(b"before")
        assert await other.receive() == b"before"
        async with channel.duplex(TALK) as call:
            await call.send(b"stray")
            with pytest.raises(RpcError) as caught:
                await call.receive()
            assert (caught.value.code, caught.value.message) == (StatusCode.UNKNOWN, "the handler failed")
        await other.send(b"after")
        assert await other.receive() == b"after"
    assert [record.levelno for record in caplog.records if record.name == "duplexcore_anyio"] == [logging.ERROR]


@pytest.mark.req("D-24")
@pytest.mark.parametrize("backend", ["asyncio"])
async def test_a_stray_cancellation_in_a_source_is_not_swallowed(backend: str) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"first"
        await cancelled_elsewhere()

    async with over_tcp(four_kinds()) as channel, channel.duplex(TALK) as call:
        with pytest.raises(asyncio.CancelledError):
            async with call.exchange(source()) as replies:
                async for reply in replies:
                    assert reply == b"first"
        assert call.status is not None
        assert call.status.code is StatusCode.CANCELLED
