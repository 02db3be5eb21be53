"""Which driver a connection gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from anyio.abc import ByteStream

from duplexcore import ServerCall

from .asyncio_links import AsyncioLink
from .driver import Driver, Watcher
from .keeper import EngineT
from .protocol_driver import ProtocolDriver
from .stream_driver import StreamDriver
from .waiting import on_asyncio

__all__ = ["DriverName", "Link", "checked", "drive", "wants_transports"]

#: "protocol": the engine in the callbacks of asyncio's transports. "stream": two tasks around an anyio stream.
DriverName = Literal["protocol", "stream"]
#: What a driver can drive.
Link = ByteStream | AsyncioLink


def checked(name: DriverName | None) -> DriverName | None:
    """A driver that there is. Raises ValueError for another."""
    if name not in ("protocol", "stream", None):
        raise ValueError(f"driver is {name!r}: use 'protocol', 'stream' or None")
    return name


def wants_transports(name: DriverName | None) -> bool:
    """Whether connections are to be transports of asyncio; ``name`` is what the user wants, None for the best.

    Raises ValueError for "protocol" on an event loop that is not asyncio's.
    """
    if name == "protocol" and not on_asyncio():
        raise ValueError("driver 'protocol' needs asyncio: leave it out, or use 'stream'")
    return name != "stream" and on_asyncio()


def drive(
    engine: EngineT,
    link: Link,
    *,
    peer: str,
    accept: Callable[[ServerCall], None] | None = None,
    watcher: Watcher | None = None,
) -> Driver[EngineT]:
    """A driver for the link, not started yet."""
    if isinstance(link, AsyncioLink):
        return ProtocolDriver(engine, link, peer=peer, accept=accept, watcher=watcher)
    return StreamDriver(engine, link, peer=peer, accept=accept, watcher=watcher)
