"""Which configurations the sides of a simulation have: the usual ones, or windows that hold calls up."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

from duplexcore import ClientConfig, ServerConfig

from .choosing import Chooser
from .scripts import CallScript

__all__ = ["capped", "draw_configurations"]

C = TypeVar("C", ClientConfig, ServerConfig)

#: The windows of streams and of the connection in bytes; None: the usual ones. HTTP/2 has no smaller connection.
WINDOWS = ((None, None), (None, 65_535), (4_096, None), (100, None))
#: A message is at most so many windows long: each needs about four WINDOW_UPDATEs.
LONGEST = 4


def draw_configurations(chooser: Chooser) -> tuple[ClientConfig, ServerConfig]:
    """Of the client and of the server, by choice."""
    return _configurations(*WINDOWS[chooser.choose(len(WINDOWS), "windows", WINDOWS)])


@lru_cache(maxsize=len(WINDOWS))
def _configurations(stream: int | None, connection: int | None) -> tuple[ClientConfig, ServerConfig]:
    client, server = ClientConfig(), ServerConfig()
    if connection is not None:
        client, server = replace(client, connection_window=connection), replace(server, connection_window=connection)
    return (client, server) if stream is None else (_with_window(client, stream), _with_window(server, stream))


def _with_window(config: C, size: int) -> C:
    """Our configurations grant no less than HTTP/2's default, other peers may: any size is legal on the wire."""
    small = copy.copy(config)
    object.__setattr__(small, "stream_window", size)
    return small


def capped(script: CallScript, window: int) -> CallScript:
    """The script with messages that come through the window in bounded time."""

    def cap(sizes: Sequence[int]) -> tuple[int, ...]:
        return tuple(min(size, LONGEST * window) for size in sizes)

    return replace(script, requests=cap(script.requests), responses=cap(script.responses))
