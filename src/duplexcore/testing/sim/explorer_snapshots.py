"""Copies of the explorer's halves, as bytes."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from duplexcore import ClientConfig, ServerConfig
from duplexcore.config import Http2

from .configurations import with_window
from .explorer_bounds import Bounds, Feature

if TYPE_CHECKING:
    from .explorer_halves import Half

__all__ = ["client_config", "restored", "server_config", "snapshot"]


def snapshot(half: Half) -> bytes:
    """All of a half but what never changes, its bounds and its configuration: these are made again from numbers."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.dispatch_table = _UNCHANGING
    pickler.dump(half)
    return buffer.getvalue()


def restored(blob: bytes) -> Half:
    """A half that shares nothing that changes with the one that `snapshot` was given."""
    half: Half = pickle.loads(blob)  # noqa: S301 - our own bytes
    return half


#: What pickle makes an object of: a function, and what it is called with.
Reduced = tuple[Callable[..., Any], tuple[Any, ...]]


@lru_cache
def client_config(room: int, http2: Http2) -> ClientConfig:
    """The one configuration of clients whose streams' windows take ``room`` bytes."""
    return with_window(ClientConfig(http2=http2), room)


@lru_cache
def server_config(room: int, http2: Http2) -> ServerConfig:
    """The one configuration of servers whose streams' windows take ``room`` bytes."""
    return with_window(ServerConfig(http2=http2), room)


@lru_cache
def _bounds(fields: tuple[tuple[str, Any], ...], features: int) -> Bounds:
    return Bounds(**dict(fields), features=Feature(features))


def _of_client(config: ClientConfig) -> Reduced:
    return client_config, (config.stream_window, config.http2)


def _of_server(config: ServerConfig) -> Reduced:
    return server_config, (config.stream_window, config.http2)


def _of_bounds(one: Bounds) -> Reduced:
    return _bounds, (tuple((name, getattr(one, name)) for name in _PLAIN), one.features.value)


_PLAIN: Final = tuple(field.name for field in fields(Bounds) if field.name != "features")
_UNCHANGING: Final[dict[type, Callable[[Any], Reduced]]] = {
    ClientConfig: _of_client,
    ServerConfig: _of_server,
    Bounds: _of_bounds,
}
