"""The states of a channel, as a table that executes (gRPC doc "connectivity-semantics-and-api", CHAN-1)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["CHANNEL", "ChannelState", "ChannelTurn"]


class ChannelState(IntEnum):
    """What a new call meets: IDLE, it makes the channel connect; CONNECTING, it waits; READY, it goes out;
    TRANSIENT_FAILURE, it fails at once, unless it is one that waits; SHUTDOWN, it fails for good."""

    IDLE = 0
    CONNECTING = 1
    READY = 2
    TRANSIENT_FAILURE = 3
    SHUTDOWN = 4


class ChannelTurn(IntEnum):
    """WANTED: a call, or `connect`, wants a connection. CONNECTED, FAILED: how an attempt went. LOST: the connection
    is over, or its server is leaving. CLOSE: by this side; or the one connection that there can be was lost."""

    WANTED = 0
    CONNECTED = 1
    FAILED = 2
    LOST = 3
    CLOSE = 4


#: A failure stays until a connection is there again, however many attempts that takes (CHAN-4).
CHANNEL: Final[dict[tuple[ChannelState, ChannelTurn], ChannelState]] = {
    (ChannelState.IDLE, ChannelTurn.WANTED): ChannelState.CONNECTING,
    (ChannelState.IDLE, ChannelTurn.CLOSE): ChannelState.SHUTDOWN,
    (ChannelState.CONNECTING, ChannelTurn.CONNECTED): ChannelState.READY,
    (ChannelState.CONNECTING, ChannelTurn.FAILED): ChannelState.TRANSIENT_FAILURE,
    (ChannelState.CONNECTING, ChannelTurn.CLOSE): ChannelState.SHUTDOWN,
    (ChannelState.READY, ChannelTurn.LOST): ChannelState.IDLE,
    (ChannelState.READY, ChannelTurn.CLOSE): ChannelState.SHUTDOWN,
    (ChannelState.TRANSIENT_FAILURE, ChannelTurn.FAILED): ChannelState.TRANSIENT_FAILURE,
    (ChannelState.TRANSIENT_FAILURE, ChannelTurn.CONNECTED): ChannelState.READY,
    (ChannelState.TRANSIENT_FAILURE, ChannelTurn.CLOSE): ChannelState.SHUTDOWN,
    (ChannelState.SHUTDOWN, ChannelTurn.CLOSE): ChannelState.SHUTDOWN,
}
