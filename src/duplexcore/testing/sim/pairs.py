"""Pairs of connections that have shaken hands: made once for each configuration, copied for each run."""

from __future__ import annotations

import pickle
from functools import lru_cache

from duplexcore import ClientConfig, ClientConnection, ServerConfig, ServerConnection

from .wires import Frame, frames_of

__all__ = ["introduced"]


def introduced(
    client: ClientConfig, server: ServerConfig, clocks: tuple[float, float]
) -> tuple[ClientConnection, ServerConnection, list[tuple[bool, Frame]]]:
    """A client and a server, READY both, and the frames that made them so, in order; True: of the client."""
    blob, frames = _introduced(client, server, clocks)
    return *pickle.loads(blob), frames  # noqa: S301 - our own bytes


@lru_cache(maxsize=64)
def _introduced(
    client: ClientConfig, server: ServerConfig, clocks: tuple[float, float]
) -> tuple[bytes, list[tuple[bool, Frame]]]:
    pair: tuple[ClientConnection, ServerConnection] = (
        ClientConnection(client, now=clocks[0]),
        ServerConnection(server, now=clocks[1]),
    )
    frames: list[tuple[bool, Frame]] = []
    quiet = 0
    while quiet < 2:
        for index in (0, 1):
            data = pair[index].data_to_send(clocks[index])
            quiet = 0 if data else quiet + 1
            frames += [(not index, frame) for frame in frames_of(data)]
            pair[1 - index].receive_data(data, clocks[1 - index])
    for end in pair:
        while end.next_event() is not None:
            pass
    return pickle.dumps(pair), frames
