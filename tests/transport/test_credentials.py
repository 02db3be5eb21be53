"""Call credentials (SEC-15), and what a server knows of its client (D-18)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from duplexcore import Metadata, RpcError, StatusCode
from duplexcore_anyio import DuplexServerCall, Router, ServerContext, client_tls, connect, serve, server_tls
from tests.support.transport import HELLO, TALK, four_kinds

Make = Callable[[str, str], Awaitable[Any]]


class Seen:
    """A server that says what metadata came."""

    def __init__(self) -> None:
        self.metadata: list[Metadata] = []
        self.router = Router()
        self.router.add(HELLO, self.hello)

    async def hello(self, request: bytes, context: ServerContext) -> bytes:
        self.metadata.append(context.metadata)
        return b""


class Papers:
    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.ca, self.server, self.client = (str(directory / f"{name}.pem") for name in ("ca", "server", "client"))
        authority.cert_pem.write_to_path(self.ca)
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(self.server)
        leaf = authority.issue_cert("client@example.org")
        leaf.private_key_and_cert_chain_pem.write_to_path(self.client)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


def token(value: str, asked: list[tuple[str, str]] | None = None) -> Make:
    async def make(url: str, method: str) -> Any:
        if asked is not None:
            asked.append((url, method))
        return {"authorization": value}

    return make


@pytest.mark.req("SEC-15")
async def test_credentials_of_the_channel_and_of_the_call(papers: Papers) -> None:
    seen, asked = Seen(), list[tuple[str, str]]()
    async with (
        serve(seen.router, "localhost:0", tls=server_tls(papers.server)) as server,
        connect(server.addresses[0], tls=client_tls(ca=papers.ca), credentials=token("channel", asked)) as channel,
    ):
        await channel.unary(HELLO, b"", metadata={"own": "1"}, credentials=token("call", asked))
        await channel.unary(HELLO, b"", authority="example.org:443")
        assert seen.metadata[0].all("authorization") == ["channel", "call"]
        assert seen.metadata[0].get("own") == "1"
        assert asked == [
            (f"https://localhost:{server.port}/transport.Test", "Hello"),
            (f"https://localhost:{server.port}/transport.Test", "Hello"),
            ("https://example.org/transport.Test", "Hello"),
        ]


@pytest.mark.req("SEC-15")
async def test_credentials_stay_at_home_without_tls() -> None:
    seen, asked = Seen(), list[tuple[str, str]]()
    async with serve(seen.router, "127.0.0.1:0") as server, connect(server.addresses[0]) as channel:
        with pytest.raises(RpcError, match="without TLS") as caught:
            await channel.unary(HELLO, b"", credentials=token("secret", asked))
        assert caught.value.code is StatusCode.UNAUTHENTICATED
        async with connect(server.addresses[0], credentials=token("secret", asked)) as other:
            with pytest.raises(RpcError):
                await other.unary(HELLO, b"")
        assert (asked, seen.metadata) == ([], [])
        async with connect(server.addresses[0], local_credentials=True) as local:
            await local.unary(HELLO, b"", credentials=token("secret"))
        assert seen.metadata[0].get("authorization") == "secret"


@pytest.mark.req("SEC-15", "CHAN-13", "STAT-19")
@pytest.mark.parametrize("code", list(StatusCode))
async def test_codes_that_only_a_server_may_give(code: StatusCode) -> None:
    theirs = {
        StatusCode.CANCELLED,
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.PERMISSION_DENIED,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.UNAUTHENTICATED,
    }

    async def make(url: str, method: str) -> Any:
        raise RpcError(code, "because")

    seen = Seen()
    async with (
        serve(seen.router, "127.0.0.1:0") as server,
        connect(server.addresses[0], local_credentials=True) as channel,
    ):
        with pytest.raises(RpcError, match="because") as caught:
            await channel.unary(HELLO, b"", credentials=make)
        assert caught.value.code is (code if code in theirs else StatusCode.INTERNAL)
        if code not in theirs:
            assert code.name in caught.value.message
    assert seen.metadata == []


@pytest.mark.req("SEC-15", "STAT-19")
async def test_credentials_that_fail_or_take_too_long() -> None:
    async def fail(url: str, method: str) -> Any:
        raise OSError("no token today")

    async def hang(url: str, method: str) -> Any:
        await anyio.sleep_forever()

    async with (
        serve(Seen().router, "127.0.0.1:0") as server,
        connect(server.addresses[0], local_credentials=True) as channel,
    ):
        with pytest.raises(RpcError, match="no token today") as caught:
            await channel.unary(HELLO, b"", credentials=fail)
        assert caught.value.code is StatusCode.UNAUTHENTICATED
        with pytest.raises(RpcError) as late:
            await channel.unary(HELLO, b"", credentials=hang, timeout=0.01)
        assert late.value.code is StatusCode.DEADLINE_EXCEEDED
        with anyio.move_on_after(0.01) as scope:
            await channel.unary(HELLO, b"", credentials=hang)
        assert scope.cancelled_caught


@pytest.mark.req("D-18")
async def test_a_duplex_handler_reads_its_context(papers: Papers) -> None:
    read: dict[str, Any] = {}

    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        remaining = call.time_remaining()
        assert remaining is not None
        read.update(
            method=call.method,
            authority=call.authority,
            peer=call.peer.rpartition(":")[0],
            metadata=call.metadata.get("who"),
            time=0 < remaining <= 30,
            deadline=call.deadline is not None,
            certificate=call.peer_certificate,
            cancelled=call.is_cancelled,
            shutting_down=call.shutting_down,
        )

    tls = server_tls(papers.server, client_ca=papers.ca)
    shown = client_tls(ca=papers.ca, certificate=papers.client)
    async with (
        serve(four_kinds(talk), "127.0.0.1:0", tls=tls) as server,
        connect(server.addresses[0], tls=shown, server_hostname="localhost", authority="a.example") as channel,
        channel.duplex(TALK, timeout=30, metadata={"who": "me"}) as call,
    ):
        assert (await call.wait_closed()).ok
    certificate = read.pop("certificate")
    assert b"client@example.org" in certificate
    assert read == {
        "method": TALK.path,
        "authority": "a.example",
        "peer": "127.0.0.1",
        "metadata": "me",
        "time": True,
        "deadline": True,
        "cancelled": False,
        "shutting_down": False,
    }


async def test_no_certificate() -> None:
    read: list[bytes | None] = []

    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        read.append(call.peer_certificate)

    async with (
        serve(four_kinds(talk), "127.0.0.1:0") as server,
        connect(server.addresses[0]) as channel,
        channel.duplex(TALK) as call,
    ):
        await call.wait_closed()
    assert read == [None]
