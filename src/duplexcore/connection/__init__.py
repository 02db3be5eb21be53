"""A connection's two sides: `ClientConnection` and `ServerConnection`, their events and timers."""

from .client import ClientConnection
from .events import (
    CallReadable,
    CallsAvailable,
    CallStarted,
    CallWritable,
    ConnectionClosed,
    ConnectionDraining,
    ConnectionEvent,
    ConnectionReady,
)
from .server import ServerConnection
from .tables import ConnectionState
from .timers import TimerKind

__all__ = [
    "CallReadable",
    "CallStarted",
    "CallWritable",
    "CallsAvailable",
    "ClientConnection",
    "ConnectionClosed",
    "ConnectionDraining",
    "ConnectionEvent",
    "ConnectionReady",
    "ConnectionState",
    "ServerConnection",
    "TimerKind",
]
