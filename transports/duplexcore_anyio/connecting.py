"""`connect`, and a channel's coming and going."""

from __future__ import annotations

import dataclasses
import ssl
from types import TracebackType

from anyio.abc import ByteStream

from duplexcore import ClientConfig

from .backoff import Backoff
from .channel import Channel
from .connections import Connections
from .credentials import CallCredentials
from .dialing import Dialer, OneStream, Targets
from .driver import Observer
from .drivers import DriverName, checked
from .targets import UnixTarget, parse_target
from .tasks import Background
from .tls import client_tls

__all__ = ["Connecting", "connect", "over_stream"]


def connect(
    target: str,
    *,
    tls: bool | ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    authority: str | None = None,
    config: ClientConfig | None = None,
    connect_timeout: float = 20.0,
    backoff: Backoff | None = None,
    inherit_deadline: bool = True,
    credentials: CallCredentials | None = None,
    local_credentials: bool = False,
    observer: Observer | None = None,
    driver: DriverName | None = None,
) -> Connecting:
    """A channel to a server: ``async with connect("localhost:50051") as channel``.

    ``target``: ``host:port``, ``[v6]:port``, ``dns:host``, ``unix:/path``, ``unix-abstract:name``, or addresses of one
    server, ``ipv4:a:port,b:port`` and ``ipv6:[a]:port,[b]:port``; without a port it is 443. ``tls``: None or False for
    none, True for the system's authorities, or a context (`client_tls`). ``server_hostname``: the name that the
    certificate must have, instead of the target's. ``authority``: what calls name as ``:authority``, instead of the
    target. ``config``: limits and windows; its ``authority`` and ``scheme`` come from here. ``connect_timeout``:
    seconds until the server's SETTINGS have come. ``backoff``: how long later attempts wait for each other.
    ``inherit_deadline``: whether calls take over the deadline of the cancel scopes around them. ``credentials``: make
    metadata for each call: an async function of the service's URL and the method's name; only with TLS, or with
    ``local_credentials`` where nothing leaves this machine. ``observer``: called with "in" or "out" and each HTTP/2
    frame of every connection. ``driver``: "protocol" (asyncio's own transports), "stream" (anyio's byte streams), or
    None for the first where it can be had.

    Raises ValueError for a target or driver that is none; entering raises `ConnectError` when the first connection
    fails. Leaving cancels the calls that are left, says GOAWAY and closes, within 2 s; an exception of the body comes
    out as it is.
    """
    places = parse_target(target)
    context = client_tls() if tls is True else (tls or None)
    if context is not None and context.check_hostname and server_hostname is None and isinstance(places[0], UnixTarget):
        raise ValueError("TLS over a Unix socket needs server_hostname: the name in the server's certificate")
    settings = dataclasses.replace(
        config or ClientConfig(),
        authority=places[0].authority if authority is None else authority,
        scheme="http" if context is None else "https",
    )
    name = str(places[0]) if len(places) == 1 else target
    dialer = Targets(places, name=name, tls=context, server_hostname=server_hostname, driver=checked(driver))
    return Connecting(
        dialer,
        settings,
        connect_timeout,
        backoff,
        inherit_deadline=inherit_deadline,
        credentials=credentials,
        local_credentials=local_credentials,
        observer=observer,
    )


def over_stream(
    stream: ByteStream,
    *,
    authority: str,
    scheme: str,
    config: ClientConfig | None,
    connect_timeout: float,
    inherit_deadline: bool,
    credentials: CallCredentials | None,
    local_credentials: bool,
    observer: Observer | None,
) -> Connecting:
    """See `Channel.over`."""
    settings = dataclasses.replace(config or ClientConfig(), authority=authority, scheme=scheme)
    dialer = OneStream(stream, authority)
    return Connecting(
        dialer,
        settings,
        connect_timeout,
        None,
        inherit_deadline=inherit_deadline,
        credentials=credentials,
        local_credentials=local_credentials,
        observer=observer,
    )


class Connecting:
    """A channel that comes about when it is entered, and ends when it is left. See `connect`."""

    def __init__(
        self,
        dialer: Dialer,
        config: ClientConfig,
        connect_timeout: float,
        backoff: Backoff | None,
        *,
        inherit_deadline: bool,
        credentials: CallCredentials | None,
        local_credentials: bool,
        observer: Observer | None,
    ) -> None:
        self._dialer = dialer
        self._config = config
        self._timeout = connect_timeout
        self._backoff = backoff or Backoff()
        self._inherit = inherit_deadline
        self._credentials = credentials
        self._local_credentials = local_credentials
        self._observer = observer
        self._tasks = Background()
        self._channel: Channel | None = None

    async def __aenter__(self) -> Channel:
        if self._channel is not None:
            raise RuntimeError("a connection is entered once: call connect() again")
        connections = Connections(
            self._dialer, self._config, timeout=self._timeout, backoff=self._backoff, observer=self._observer
        )
        self._channel = Channel(
            connections,
            self._config,
            inherit_deadline=self._inherit,
            credentials=self._credentials,
            local_credentials=self._local_credentials,
        )
        tasks = await self._tasks.__aenter__()
        try:
            await connections.start(tasks)
        except BaseException as error:
            await self._tasks.leave(error)
            raise
        return self._channel

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> bool:
        assert self._channel is not None
        try:
            await self._channel.aclose()
        finally:
            swallowed = await self._tasks.leave(exc_val)
        return swallowed
