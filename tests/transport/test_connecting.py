"""How a connection comes about, and what is said when it does not."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from duplexcore import ClientConfig, RpcError, StatusCode
from duplexcore_anyio import (
    AddressInUseError,
    Channel,
    ConnectError,
    ConnectRefusedError,
    ConnectTimeoutError,
    HandshakeError,
    HostNotFoundError,
    ListenError,
    TLSError,
    client_tls,
    connect,
    memory_link,
    serve,
    server_tls,
)
from tests.support.transport import HELLO, TALK, four_kinds, joined, over_tcp, strange_server


def _ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


#: Whether this machine has the loopback address of IPv6; some containers have not.
IPV6 = socket.has_ipv6 and _ipv6()


async def greet(channel: Channel) -> None:
    assert await channel.unary(HELLO, b"you") == b"hello, you"


async def fails(target: str, error: type[ConnectError], *texts: str, **options: Any) -> None:
    with pytest.raises(error) as caught:
        async with connect(target, **options):
            pytest.fail("it connected")
    for text in texts:
        assert text in str(caught.value)


# --- links that work --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_tcp(host: str) -> None:
    if host == "[::1]" and not IPV6:
        pytest.skip("no IPv6 on this machine")
    async with serve(four_kinds(), f"{host}:0") as server:
        assert server.addresses == [f"{host}:{server.port}"]
        async with connect(server.addresses[0]) as channel:
            assert channel.peer in (server.addresses[0], f"127.0.0.1:{server.port}", f"[::1]:{server.port}")
            assert server.connections == 1
            await greet(channel)


async def test_every_interface_and_two_addresses(tmp_path: Path) -> None:
    path = f"unix:{tmp_path}/socket"
    async with serve(four_kinds(), ":0", path) as server:
        assert server.addresses == [f"localhost:{server.port}", path]
        for address in server.addresses:
            async with connect(address) as channel:
                await greet(channel)


async def test_unix_sockets_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    for _ in range(2):
        async with serve(four_kinds(), f"unix:{path}") as server, connect(server.addresses[0]) as channel:
            await greet(channel)
            with pytest.raises(LookupError):
                _ = server.port
        assert not path.exists()


async def test_a_socket_that_a_dead_server_has_left_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with serve(four_kinds(), f"unix:{path}") as server, connect(server.addresses[0]) as channel:
        await greet(channel)


async def test_the_link_in_memory() -> None:
    async with joined(four_kinds(), authority="here") as channel:
        assert channel.peer == "here"
        await greet(channel)


@pytest.mark.parametrize("capacity", [1, 100])
async def test_a_narrow_link_in_memory(capacity: int) -> None:
    near, far = memory_link(capacity)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(near.send, b"x" * 1000)
        heard = b""
        while len(heard) < 1000:
            part = await far.receive()
            assert len(part) <= capacity
            heard += part
        assert heard == b"x" * 1000
    await near.send_eof()
    with pytest.raises(anyio.EndOfStream):
        await far.receive()
    await far.send(b"y")
    assert await near.receive() == b"y"
    await far.aclose()
    with pytest.raises(anyio.EndOfStream):
        await near.receive()
    with pytest.raises(anyio.ClosedResourceError):
        await near.send(b"z")
    with pytest.raises(anyio.ClosedResourceError):
        await far.receive()


def test_a_link_needs_room() -> None:
    with pytest.raises(ValueError, match="capacity"):
        memory_link(0)


# --- TLS --------------------------------------------------------------------------------------------------------------


class Papers:
    """Two authorities; a server's and a client's certificate of the first."""

    def __init__(self, directory: Path) -> None:
        authority, other = trustme.CA(), trustme.CA()
        self.ca, self.other_ca = str(directory / "ca.pem"), str(directory / "other.pem")
        authority.cert_pem.write_to_path(self.ca)
        other.cert_pem.write_to_path(self.other_ca)
        self.server, self.client = str(directory / "server.pem"), str(directory / "client.pem")
        authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(self.server)
        authority.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(self.client)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


async def test_tls(papers: Papers) -> None:
    router = four_kinds()
    async with (
        serve(router, "127.0.0.1:0", tls=server_tls(papers.server)) as server,
        connect(f"127.0.0.1:{server.port}", tls=client_tls(ca=papers.ca)) as channel,
    ):
        await greet(channel)
        async with channel.duplex(TALK) as call, call.exchange(b"x" * 50_000 for _ in range(40)) as replies:
            assert [len(reply) async for reply in replies] == [50_000] * 40


async def test_tls_over_a_unix_socket_names_the_server(papers: Papers, tmp_path: Path) -> None:
    async with serve(four_kinds(), f"unix:{tmp_path}/s", tls=server_tls(papers.server)) as server:
        context = client_tls(ca=papers.ca)
        async with connect(server.addresses[0], tls=context, server_hostname="localhost") as channel:
            await greet(channel)
        with pytest.raises(ValueError, match="server_hostname"):
            async with connect(server.addresses[0], tls=context):
                pass


async def test_client_certificates(papers: Papers) -> None:
    tls = server_tls(papers.server, client_ca=papers.ca)
    async with serve(four_kinds(), "127.0.0.1:0", tls=tls) as server:
        target = f"127.0.0.1:{server.port}"
        async with connect(target, tls=client_tls(ca=papers.ca, certificate=papers.client)) as channel:
            await greet(channel)
        # With TLS 1.3 the client is through before the server has looked at its certificate.
        await fails(target, ConnectError, tls=client_tls(ca=papers.ca))


async def test_certificates_are_checked(papers: Papers) -> None:
    async with serve(four_kinds(), "127.0.0.1:0", tls=server_tls(papers.server)) as server:
        target = f"127.0.0.1:{server.port}"
        await fails(target, TLSError, "certificate was refused", tls=True)
        await fails(target, TLSError, "certificate was refused", tls=client_tls(ca=papers.other_ca))
        await fails(
            target, TLSError, "refused", "example.org", tls=client_tls(ca=papers.ca), server_hostname="example.org"
        )
        async with connect(f"localhost:{server.port}", tls=client_tls(ca=papers.ca)) as channel:
            await greet(channel)  # and the server lives on


async def test_http2_must_be_agreed_on(papers: Papers) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(papers.server)

    async def behave(stream: Any) -> None:
        secured = await anyio.streams.tls.TLSStream.wrap(
            stream, server_side=True, ssl_context=context, standard_compatible=False
        )
        with anyio.move_on_after(5), contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            await secured.receive()

    async with strange_server(behave) as target:
        await fails(target, TLSError, "ALPN", tls=client_tls(ca=papers.ca))


async def test_a_server_refuses_clients_without_alpn(papers: Papers) -> None:
    context = ssl.create_default_context(cafile=papers.ca)
    async with serve(four_kinds(), "127.0.0.1:0", tls=server_tls(papers.server)) as server:
        stream = await anyio.connect_tcp(
            "127.0.0.1", server.port, tls=True, ssl_context=context, tls_standard_compatible=False
        )
        async with stream:
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError)):
                await stream.receive()


def test_contexts_are_strict(papers: Papers) -> None:
    for context in (client_tls(), server_tls(papers.server)):
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert client_tls().check_hostname
    assert client_tls().verify_mode is ssl.CERT_REQUIRED


async def test_tls_to_a_server_without(papers: Papers) -> None:
    async with serve(four_kinds(), "127.0.0.1:0") as server:
        await fails(f"127.0.0.1:{server.port}", TLSError, tls=client_tls(ca=papers.ca))


async def test_no_tls_to_a_server_with(papers: Papers) -> None:
    async with serve(four_kinds(), "127.0.0.1:0", tls=server_tls(papers.server)) as server:
        await fails(f"127.0.0.1:{server.port}", HandshakeError, "TLS")
        async with connect(f"127.0.0.1:{server.port}", tls=client_tls(ca=papers.ca)) as channel:
            await greet(channel)


# --- peers that are none ----------------------------------------------------------------------------------------------


async def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    await fails(f"127.0.0.1:{port}", ConnectRefusedError, "refused", "is the server running")
    await fails(f"unix:{tmp_path}/none", ConnectRefusedError, "no socket")


async def test_no_such_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    await fails("nowhere.invalid:1", HostNotFoundError, "nowhere.invalid", "Name or service not known")


async def test_a_peer_that_speaks_http_1() -> None:
    async def behave(stream: Any) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    async with strange_server(behave) as target:
        await fails(target, HandshakeError, "HTTP/1.1", target)


async def test_a_peer_that_closes_at_once() -> None:
    async def behave(stream: Any) -> None: ...

    async with strange_server(behave) as target:
        await fails(target, HandshakeError, "closed the connection at once", "TLS")


async def test_a_peer_that_babbles() -> None:
    async def behave(stream: Any) -> None:
        await stream.send(b"220 mail.example.org ESMTP\r\n" * 10)
        with anyio.move_on_after(5):
            await stream.receive()

    async with strange_server(behave) as target:
        await fails(target, HandshakeError, "does not speak HTTP/2")


async def test_a_peer_that_says_nothing() -> None:
    async def behave(stream: Any) -> None:
        await anyio.sleep_forever()

    async with strange_server(behave) as target:
        await fails(target, ConnectTimeoutError, "within 0.05 s", connect_timeout=0.05)
        await fails(target, ConnectTimeoutError, "within 0.05 s", connect_timeout=0.05, tls=client_tls())
        with pytest.raises(TimeoutError):
            async with connect(target, connect_timeout=0.01):
                pass


async def test_a_server_survives_what_is_no_client() -> None:
    async with serve(four_kinds(), "127.0.0.1:0") as server, connect(f"127.0.0.1:{server.port}") as channel:
        for words in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"", bytes(100)):
            async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
                if words:
                    await stream.send(words)
                await stream.send_eof()
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    while True:
                        await stream.receive()
        await greet(channel)


@pytest.mark.parametrize(
    "target", ["", "host:", ":x", "host:70000", "http://host:1", "unix:", "::1:80", "a b:1", "host:1/"]
)
def test_what_is_no_target(target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        connect(target)


def test_an_empty_host_is_for_servers() -> None:
    with pytest.raises(ValueError, match="names no host"):
        connect(":80")


# --- addresses that cannot be had -------------------------------------------------------------------------------------


async def test_a_port_in_use(tmp_path: Path) -> None:
    path = f"unix:{tmp_path}/s"
    async with serve(four_kinds(), "127.0.0.1:0", path) as server:
        for address in server.addresses:
            with pytest.raises(AddressInUseError, match="in use"):
                async with serve(four_kinds(), "127.0.0.1:0", address):
                    pytest.fail("it listens")
        async with connect(path) as channel:
            await greet(channel)


async def test_addresses_of_others(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    for address in ("192.0.2.1:0", f"unix:{tmp_path}/file", f"unix:{tmp_path}/no/where"):
        with pytest.raises(ListenError, match="cannot listen"):
            async with serve(four_kinds(), address):
                pytest.fail("it listens")
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(ValueError, match="needs an address"):
        serve(four_kinds())


# --- entering and leaving ---------------------------------------------------------------------------------------------


async def test_a_sole_exception_comes_out_as_it_is() -> None:
    class Own(Exception):
        pass

    with pytest.raises(Own):
        async with over_tcp(four_kinds()):
            raise Own
    with pytest.raises(RpcError) as caught:
        async with over_tcp(four_kinds()) as channel, channel.duplex(TALK) as call:
            call.cancel()
            await call.receive()
    assert caught.value.code is StatusCode.CANCELLED
    with pytest.raises(ExceptionGroup) as group:
        async with over_tcp(four_kinds()):
            raise ExceptionGroup("mine", [Own(), Own()])
    assert len(group.value.exceptions) == 2


async def test_a_cancelled_body_is_cancelled_and_no_more() -> None:
    with anyio.CancelScope() as scope:
        async with over_tcp(four_kinds()) as channel, channel.duplex(TALK) as call:
            scope.cancel()
            await call.receive()
    assert scope.cancelled_caught


async def test_connecting_can_be_cancelled() -> None:
    async def behave(stream: Any) -> None:
        await anyio.sleep_forever()

    async with strange_server(behave) as target:
        with anyio.move_on_after(0.05) as scope:
            async with connect(target):
                pytest.fail("it connected")
        assert scope.cancelled_caught


async def test_a_channel_is_entered_once() -> None:
    async with serve(four_kinds(), "127.0.0.1:0") as server:
        connecting = connect(f"127.0.0.1:{server.port}", config=ClientConfig(user_agent="test"))
        async with connecting as channel:
            await greet(channel)
        with pytest.raises(RuntimeError, match="once"):
            await connecting.__aenter__()
        with pytest.raises(anyio.ClosedResourceError):
            await channel.unary(HELLO, b"")
        await channel.aclose()
        assert channel.is_closed


# The stream under TLS is a module of its own; tests that wrap one by hand need it loaded.
import anyio.streams.tls  # noqa: E402
