"""Windows of a few messages: what no configuration allows, and every peer may have (RFC 9113 section 6.9.2)."""

from __future__ import annotations

import copy
from typing import TypeVar

from duplexcore import ClientConfig, ServerConfig

__all__ = ["small_window"]

C = TypeVar("C", ClientConfig, ServerConfig)


def small_window(config: C, size: int) -> C:
    """The same configuration with a stream window of ``size`` bytes, however small: its peer is held up soon."""
    small = copy.copy(config)
    object.__setattr__(small, "stream_window", size)
    return small
