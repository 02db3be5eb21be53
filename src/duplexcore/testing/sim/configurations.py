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

#: Stream windows in bytes; None: the usual one.
WINDOWS = (None, 4_096, 100)
#: A message is at most so many windows long: each needs about four WINDOW_UPDATEs.
LONGEST = 4


def draw_configurations(chooser: Chooser) -> tuple[ClientConfig, ServerConfig]:
    """Of the client and of the server, by choice."""
    return _configurations(WINDOWS[chooser.choose(len(WINDOWS), "windows", WINDOWS)])


@lru_cache(maxsize=len(WINDOWS))
def _configurations(window: int | None) -> tuple[ClientConfig, ServerConfig]:
    client, server = ClientConfig(), ServerConfig()
    return (client, server) if window is None else (_with_window(client, window), _with_window(server, window))


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
