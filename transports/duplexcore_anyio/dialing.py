"""How one connection comes about: the socket, TLS, the handshake, and what to say when it fails."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import anyio
from anyio.abc import ByteStream, TaskGroup

from duplexcore import ClientConfig, ClientConnection

from . import asyncio_links
from .driver import Driver, Observer, Watcher
from .drivers import DriverName, Link, drive, wants_transports
from .errors import ConnectError, ConnectRefusedError, ConnectTimeoutError, HandshakeError
from .race import Address, resolve
from .targets import Place, TcpTarget, UnixTarget
from .tls import negotiate, plain

__all__ = ["Dialer", "OneStream", "Targets", "make_ready"]


class Dialer(Protocol):
    """Where a channel has its connections from."""

    #: What the user calls it.
    name: str
    #: Whether there can be another connection after the first.
    again: bool
    #: Whether what is sent does not leave this machine.
    is_local: bool

    async def addresses(self) -> Sequence[Address | str]:
        """Where the server may be, as of now."""
        ...

    async def open(self, address: Address | str) -> Link:
        """A connection to there, TLS and all. Raises `ConnectError`."""
        ...

    async def discard(self) -> None:
        """No connection is wanted any more."""


class Targets:
    """The places that `connect` was told."""

    again = True

    def __init__(
        self,
        places: Sequence[Place],
        *,
        name: str,
        tls: ssl.SSLContext | None,
        server_hostname: str | None,
        driver: DriverName | None,
    ) -> None:
        self.name = name
        self.is_local = all(place.is_local for place in places)
        self._places = places
        self._tls = tls
        self._server_hostname = server_hostname
        self._driver: DriverName | None = driver

    async def addresses(self) -> Sequence[Address]:
        return await resolve(self._places)

    async def open(self, address: Address | str) -> Link:
        assert isinstance(address, Address)
        link = await _open(address, self._driver)
        if self._tls is None:
            return await plain(link, server_side=False)
        target = address.target
        hostname = self._server_hostname or (target.host if isinstance(target, TcpTarget) else None)
        return await negotiate(link, self._tls, server_side=False, hostname=hostname)

    async def discard(self) -> None:
        """Nothing is held between two attempts."""


class OneStream:
    """A stream that was handed in: there is no other after it."""

    again = False
    is_local = True

    def __init__(self, stream: ByteStream, name: str) -> None:
        self.name = name
        self._stream: ByteStream | None = stream

    async def addresses(self) -> Sequence[str]:
        return [self.name]

    async def open(self, address: Address | str) -> Link:
        assert self._stream is not None
        stream, self._stream = self._stream, None
        return stream

    async def discard(self) -> None:
        if self._stream is not None:
            await anyio.aclose_forcefully(self._stream)


async def make_ready(
    dialer: Dialer,
    address: Address | str,
    config: ClientConfig,
    *,
    deadline: float,
    timeout: float,
    tasks: TaskGroup,
    watcher: Watcher,
    observer: Observer | None,
    opened: Callable[[Driver[ClientConnection]], object],
) -> Driver[ClientConnection]:
    """A connection to one address, once the server's SETTINGS have come; ``opened`` hears of it before that.

    ``deadline``: absolute; ``timeout``: the seconds that it came from. Raises `ConnectError`.
    """
    link: Link | None = None
    with anyio.CancelScope(deadline=deadline):
        link = await dialer.open(address)
    if link is None:
        raise ConnectTimeoutError(f"{address} did not answer within {timeout:g} s")
    engine = ClientConnection(config, now=anyio.current_time())
    engine.observer = observer
    peer = str(address.place) if isinstance(address, Address) else address
    driver = drive(engine, link, peer=peer, watcher=watcher)
    opened(driver)
    driver.start(tasks)
    try:
        with anyio.CancelScope(deadline=deadline):
            await driver.ready.wait()
        if engine.is_closed or not driver.ready.is_set():
            raise _handshake_error(driver, str(address), timeout)
    except BaseException:
        driver.close()
        raise
    return driver


async def _open(address: Address, driver: DriverName | None) -> Link:
    place = address.place
    by: Any = asyncio_links if wants_transports(driver) else anyio
    try:
        if isinstance(place, UnixTarget):
            found: Link = await by.connect_unix(place.path)
        else:
            found = await by.connect_tcp(place.host, place.port)
    except OSError as error:
        raise _refused(address, error) from error
    return found


def _refused(address: Address, error: OSError) -> ConnectError:
    reasons = _leaves(error)
    if any(isinstance(reason, FileNotFoundError) for reason in reasons):
        return ConnectRefusedError(f"there is no socket at {address}: is the server running?")
    if any(isinstance(reason, ConnectionRefusedError) for reason in reasons):
        return ConnectRefusedError(f"{address} refused the connection: is the server running, and is the port right?")
    texts = dict.fromkeys(reason.strerror or str(reason) for reason in reasons)
    return ConnectRefusedError(f"{address} cannot be reached: {', '.join(texts)}")


def _leaves(error: BaseException) -> list[OSError]:
    """The errors of the single attempts, which stand behind the one that anyio raises."""
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):
        return [leaf for inner in cause.exceptions for leaf in _leaves(inner)]
    if isinstance(cause, OSError):
        return _leaves(cause)
    return [error] if isinstance(error, OSError) else []


def _handshake_error(driver: Driver[ClientConnection], target: str, timeout: float) -> ConnectError:
    first = driver.first_bytes
    if first.startswith(b"HTTP/1"):
        return HandshakeError(f"{target} speaks HTTP/1.1: it is no gRPC endpoint, or a proxy stands before it")
    if first.startswith((b"\x15\x03", b"\x16\x03")):
        return HandshakeError(f"{target} speaks TLS: connect with tls=True, or with a context (client_tls)")
    if not driver.closed.is_set() or "finish the handshake" in driver.reason:
        return ConnectTimeoutError(
            f"{target} took the connection, but did not begin HTTP/2 within {timeout:g} s: is it a gRPC endpoint?"
        )
    if not first:
        return HandshakeError(
            f"{target} closed the connection at once: is it a gRPC endpoint, and does it want TLS? ({driver.reason})"
        )
    if "going away" in driver.reason:
        return HandshakeError(f"{target} turned the connection away: {driver.reason}")
    return HandshakeError(f"{target} does not speak HTTP/2: {driver.reason}")
