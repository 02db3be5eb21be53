"""The states of a connection, as a table that executes."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["CONNECTION", "ConnectionState", "Turn"]


class ConnectionState(IntEnum):
    """How far the connection is in its life."""

    HANDSHAKING = 0
    READY = 1
    DRAINING = 2
    CLOSED = 3


class Turn(IntEnum):
    """READY: the peer's SETTINGS came. DRAIN: either side said that it is leaving. CLOSE: nothing goes any more."""

    READY = 0
    DRAIN = 1
    CLOSE = 2


CONNECTION: Final[dict[tuple[ConnectionState, Turn], ConnectionState]] = {
    (ConnectionState.HANDSHAKING, Turn.READY): ConnectionState.READY,
    (ConnectionState.HANDSHAKING, Turn.DRAIN): ConnectionState.DRAINING,
    (ConnectionState.HANDSHAKING, Turn.CLOSE): ConnectionState.CLOSED,
    (ConnectionState.READY, Turn.DRAIN): ConnectionState.DRAINING,
    (ConnectionState.READY, Turn.CLOSE): ConnectionState.CLOSED,
    (ConnectionState.DRAINING, Turn.READY): ConnectionState.DRAINING,
    (ConnectionState.DRAINING, Turn.DRAIN): ConnectionState.DRAINING,
    (ConnectionState.DRAINING, Turn.CLOSE): ConnectionState.CLOSED,
}
