"""Which configurations the sides of a simulation have: the usual ones, or windows and limits that hold calls up, and
what carries the calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from duplexcore import ClientConfig, ServerConfig

from .choosing import Chooser
from .scripts import CallScript
from .varying import varied

__all__ = ["CARRIERS", "capped", "carried", "changed", "draw_configurations", "with_window"]

C = TypeVar("C", ClientConfig, ServerConfig)

#: The windows of streams and of the connection in bytes; None: the usual ones. HTTP/2 has no smaller connection.
WINDOWS = ((None, None), (None, 65_535), (4_096, None), (100, None))
#: How many calls a server takes at once; None: more than there are.
AT_ONCE = (None, 1, 2)
#: What carries the calls: the HTTP/2 of the client and of the server; or nothing of the kind, in process.
CARRIERS: dict[str, tuple[str, str] | None] = {
    "h2": ("h2", "h2"),
    "native": ("native", "native"),
    "h2 to native": ("h2", "native"),
    "native to h2": ("native", "h2"),
    "in process": None,
}
#: A message is at most so many windows long: each needs about four WINDOW_UPDATEs.
LONGEST = 4


def draw_configurations(chooser: Chooser, *, refusals: bool = True) -> tuple[ClientConfig, ServerConfig]:
    """Of the client and of the server, by choice. ``refusals``: the server may take few calls at once."""
    windows = WINDOWS[chooser.choose(len(WINDOWS), "windows", WINDOWS)]
    at_once = AT_ONCE[chooser.choose(len(AT_ONCE), "calls at once", AT_ONCE)] if refusals else None
    return _configurations(*windows, at_once)


@lru_cache(maxsize=len(WINDOWS) * len(AT_ONCE))
def _configurations(
    stream: int | None, connection: int | None, at_once: int | None
) -> tuple[ClientConfig, ServerConfig]:
    client, server = ClientConfig(), ServerConfig()
    if at_once is not None:
        server = replace(server, max_concurrent_calls=at_once)
    if connection is not None:
        client, server = replace(client, connection_window=connection), replace(server, connection_window=connection)
    return (client, server) if stream is None else (with_window(client, stream), with_window(server, stream))


@lru_cache(maxsize=512)
def changed(config: C, name: str, value: object) -> C:
    """The same configuration with another value; windows may be smaller than ours ever are."""
    return varied(config, **{name: value})


def carried(config: C, http2: str) -> C:
    """The same configuration, with that one of the HTTP/2 carriers."""
    other: C = changed(config, "http2", http2)
    return other


def with_window(config: C, size: int) -> C:
    """Our configurations grant no less than HTTP/2's default, other peers may: any size is legal on the wire."""
    small: C = changed(config, "stream_window", size)
    return small


def capped(script: CallScript, window: int) -> CallScript:
    """The script with messages that come through the window in bounded time."""
    if window * LONGEST >= max((*script.requests, *script.responses), default=0):
        return script

    def cap(sizes: Sequence[int]) -> tuple[int, ...]:
        return tuple(min(size, LONGEST * window) for size in sizes)

    return varied(script, requests=cap(script.requests), responses=cap(script.responses))
