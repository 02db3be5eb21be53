"""Connections for `ProtocolDriver`: sockets, dialed or accepted, that become transports of asyncio (or of uvloop)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any, cast

from anyio import ClosedResourceError, TypedAttributeProvider
from anyio.abc import AsyncResource, SocketAttribute, SocketListener
from anyio.streams.tls import TLSAttribute

__all__ = ["AsyncioLink", "accept", "connect_tcp", "connect_unix"]

#: Whoever waits for a handshake has a bound of its own: this one only replaces a shorter one of asyncio's. Seconds.
HANDSHAKE_TIME = 86_400.0
#: How long the peer may take to answer the end of TLS: seconds.
PARTING_TIME = 1.0


class AsyncioLink(asyncio.Protocol, AsyncResource, TypedAttributeProvider):
    """A connected socket, then a transport on it that nobody drives yet: what is read all the same is kept."""

    transport: asyncio.Transport

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        #: What came before reading was paused: a read at most.
        self.early = b""
        self.at_eof = False
        #: Whether the connection is gone, and why if it failed.
        self.is_lost = False
        self.error: Exception | None = None

    async def open(
        self, context: ssl.SSLContext | None = None, *, server_side: bool = False, hostname: str | None = None
    ) -> None:
        """Makes the transport, with TLS if there is a ``context``.

        Raises `ssl.SSLError`, `ssl.CertificateError` and OSError; all is closed then.
        """
        loop = asyncio.get_running_loop()
        tls: dict[str, Any] = {}
        if context is not None:
            times = {"ssl_handshake_timeout": HANDSHAKE_TIME, "ssl_shutdown_timeout": PARTING_TIME}
            tls = {"ssl": context, **times}
        try:
            if server_side:
                await loop.connect_accepted_socket(self._itself, self.raw, **tls)
            else:
                if tls:
                    tls["server_hostname"] = hostname or ""
                make = loop.create_unix_connection if self.raw.family == socket.AF_UNIX else loop.create_connection
                await make(self._itself, sock=self.raw, **tls)
        except BaseException:
            await self.aclose()
            raise

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        known: dict[Any, Callable[[], Any]] = {SocketAttribute.raw_socket: lambda: self.raw}
        with contextlib.suppress(OSError):  # the peer has left
            address = self.raw.getpeername()
            known[SocketAttribute.remote_address] = lambda: address
        if hasattr(self, "transport") and (tls := self.transport.get_extra_info("ssl_object")):
            known[TLSAttribute.ssl_object] = lambda: tls
        return known

    async def aclose(self) -> None:
        """At once, whatever is under way."""
        if hasattr(self, "transport"):
            self.transport.abort()
        else:
            self.raw.close()

    def _itself(self) -> AsyncioLink:
        return self

    # --- heard from the transport -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has another base
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self.early += data
        self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.at_eof = True
        return not self.transport.get_extra_info("ssl_object")  # TLS has no half-close

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost, self.error = True, exc


async def connect_tcp(host: str, port: int) -> AsyncioLink:
    """To one address, that is no name. Raises OSError."""
    family, kind, number, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )[0]
    return await _connect(socket.socket(family, kind, number), address)


async def connect_unix(path: str) -> AsyncioLink:
    """To a Unix socket; the path of an abstract one begins with a zero byte. Raises OSError."""
    return await _connect(socket.socket(socket.AF_UNIX), path)


async def _connect(raw: socket.socket, address: Any) -> AsyncioLink:
    raw.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(raw, address)
    except BaseException:
        raw.close()
        raise
    return AsyncioLink(raw)


async def accept(listener: SocketListener) -> AsyncioLink:
    """The next connection of a listener. Raises OSError, ClosedResourceError when the listener is closed already."""
    raw = listener.extra(SocketAttribute.raw_socket)
    if raw.fileno() < 0:
        raise ClosedResourceError
    accepted, _ = await asyncio.get_running_loop().sock_accept(raw)
    if accepted.family != socket.AF_UNIX:  # asyncio does so itself, but not where the listener names no protocol
        with contextlib.suppress(OSError):  # the peer has left: that is told in a moment
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return AsyncioLink(accepted)
