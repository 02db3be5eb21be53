"""How a channel comes about: the target, TLS, the handshake, and what to say when it fails."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType

import anyio
from anyio.abc import ByteStream

from duplexcore import ClientConfig, ClientConnection

from .channel import Channel
from .driver import Driver, Observer
from .errors import ConnectError, ConnectRefusedError, ConnectTimeoutError, HandshakeError, HostNotFoundError
from .targets import TcpTarget, UnixTarget, parse_target
from .tasks import Background
from .tls import client_tls, negotiate

__all__ = ["Connecting", "connect", "over_stream"]


def connect(
    target: str,
    *,
    tls: bool | ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    authority: str | None = None,
    config: ClientConfig | None = None,
    connect_timeout: float = 20.0,
    inherit_deadline: bool = True,
    observer: Observer | None = None,
) -> Connecting:
    """A channel to a server: ``async with connect("localhost:50051") as channel``.

    ``target``: ``host:port``, ``[v6]:port`` or ``unix:/path``. ``tls``: None or False for none, True for the system's
    authorities, or a context (`client_tls`). ``server_hostname``: the name that the certificate must have, instead of
    the target's. ``authority``: what calls name as ``:authority``, instead of the target. ``config``: limits and
    windows; its ``authority`` and ``scheme`` come from here. ``connect_timeout``: seconds until the server's SETTINGS
    have come. ``inherit_deadline``: whether calls take over the deadline of the cancel scopes around them.
    ``observer``: called with "in" or "out" and each HTTP/2 frame.

    Raises ValueError for a target that is none; entering raises `ConnectError`. Leaving cancels the calls that are
    left, says GOAWAY and closes, within 2 s; an exception of the body comes out as it is.
    """
    where = parse_target(target)
    context = client_tls() if tls is True else (tls or None)
    if isinstance(where, TcpTarget) and not where.host:
        raise ValueError(f"target {target!r} names no host")

    async def link() -> tuple[ByteStream, str]:
        stream = await _open(where)
        if context is not None:
            hostname = server_hostname or (where.host if isinstance(where, TcpTarget) else None)
            if hostname is None and context.check_hostname:
                await anyio.aclose_forcefully(stream)
                raise ValueError("TLS over a Unix socket needs server_hostname: the name in the server's certificate")
            stream = await negotiate(stream, context, server_side=False, hostname=hostname)
        return stream, str(where)

    settings = dataclasses.replace(
        config or ClientConfig(),
        authority=where.authority if authority is None else authority,
        scheme="http" if context is None else "https",
    )
    return Connecting(link, settings, str(where), connect_timeout, inherit_deadline=inherit_deadline, observer=observer)


def over_stream(
    stream: ByteStream,
    *,
    authority: str,
    scheme: str,
    config: ClientConfig | None,
    connect_timeout: float,
    inherit_deadline: bool,
    observer: Observer | None,
) -> Connecting:
    """See `Channel.over`."""

    async def link() -> tuple[ByteStream, str]:
        return stream, authority

    settings = dataclasses.replace(config or ClientConfig(), authority=authority, scheme=scheme)
    return Connecting(link, settings, authority, connect_timeout, inherit_deadline=inherit_deadline, observer=observer)


class Connecting:
    """A connection that comes about when it is entered, and ends when it is left. See `connect`."""

    def __init__(
        self,
        link: Callable[[], Awaitable[tuple[ByteStream, str]]],
        config: ClientConfig,
        target: str,
        connect_timeout: float,
        *,
        inherit_deadline: bool,
        observer: Observer | None,
    ) -> None:
        self._link = link
        self._config = config
        self._target = target
        self._timeout = connect_timeout
        self._inherit = inherit_deadline
        self._observer = observer
        self._tasks = Background()
        self._channel: Channel | None = None

    async def __aenter__(self) -> Channel:
        if self._channel is not None:
            raise RuntimeError("a connection is entered once: call connect() again")
        deadline = anyio.current_time() + self._timeout
        linked: tuple[ByteStream, str] | None = None
        with anyio.CancelScope(deadline=deadline):
            linked = await self._link()
        if linked is None:
            raise ConnectTimeoutError(f"{self._target} did not answer within {self._timeout:g} s")
        stream, peer = linked
        config = self._config
        if config.handshake_timeout > self._timeout:
            config = dataclasses.replace(config, handshake_timeout=self._timeout)
        engine = ClientConnection(config, now=anyio.current_time())
        engine.observer = self._observer
        driver = Driver(engine, stream, peer=peer)
        self._channel = channel = Channel(driver, inherit_deadline=self._inherit)
        tasks = await self._tasks.__aenter__()
        driver.start(tasks)
        try:
            with anyio.CancelScope(deadline=deadline):
                await driver.ready.wait()
            if engine.is_closed or not driver.ready.is_set():
                raise _handshake_error(driver, self._target, self._timeout)
        except BaseException as error:
            await self._close(channel, error)
            raise
        return channel

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool:
        assert self._channel is not None
        return await self._close(self._channel, exc_val)

    async def _close(self, channel: Channel, error: BaseException | None) -> bool:
        try:
            await channel.aclose()
        finally:
            swallowed = await self._tasks.leave(error)
        return swallowed


async def _open(target: TcpTarget | UnixTarget) -> ByteStream:
    try:
        if isinstance(target, UnixTarget):
            return await anyio.connect_unix(target.path)
        return await anyio.connect_tcp(target.host, target.port)
    except socket.gaierror as error:
        assert isinstance(target, TcpTarget)
        raise HostNotFoundError(f"no such host: {target.host!r} ({error.strerror}): check the name") from error
    except OSError as error:
        raise _refused(target, error) from error


def _refused(target: TcpTarget | UnixTarget, error: OSError) -> ConnectError:
    reasons = _leaves(error)
    if any(isinstance(reason, FileNotFoundError) for reason in reasons):
        return ConnectRefusedError(f"there is no socket at {target}: is the server running?")
    if any(isinstance(reason, ConnectionRefusedError) for reason in reasons):
        return ConnectRefusedError(f"{target} refused the connection: is the server running, and is the port right?")
    texts = dict.fromkeys(reason.strerror or str(reason) for reason in reasons)
    return ConnectRefusedError(f"{target} cannot be reached: {', '.join(texts)}")


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
    return HandshakeError(f"{target} does not speak HTTP/2: {driver.reason}")
