"""What is set on a socket, where there is one and the system knows it."""

from __future__ import annotations

import contextlib
import math
import socket

from anyio import TypedAttributeProvider
from anyio.abc import SocketAttribute

from duplexcore import ClientConfig, ServerConfig

__all__ = ["limit_unacknowledged"]

#: Linux only.
TCP_USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)


def limit_unacknowledged(link: TypedAttributeProvider, config: ClientConfig | ServerConfig) -> None:
    """With keepalive on, TCP itself gives up when what was sent stays unacknowledged so long (gRFC A18, KEEP-10)."""
    if config.keepalive_time == math.inf or TCP_USER_TIMEOUT is None:
        return
    raw = link.extra(SocketAttribute.raw_socket, None)
    if raw is None or raw.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with contextlib.suppress(OSError, OverflowError):  # it is a help, and nothing rests on it
        raw.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, max(1, int(config.keepalive_timeout * 1000)))
