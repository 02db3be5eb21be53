"""A connection's two sides: `ClientConnection` and `ServerConnection`, their events and timers."""

from .client import ClientConnection
from .events import (
    CallReadable,
    CallRefused,
    CallsAvailable,
    CallStarted,
    CallWritable,
    ConnectionClosed,
    ConnectionDraining,
    ConnectionEvent,
    ConnectionReady,
    PeerWarning,
)
from .server import ServerConnection
from .tables import ConnectionState
from .timers import TimerKind

__all__ = [
    "CallReadable",
    "CallRefused",
    "CallStarted",
    "CallWritable",
    "CallsAvailable",
    "ClientConnection",
    "ConnectionClosed",
    "ConnectionDraining",
    "ConnectionEvent",
    "ConnectionReady",
    "ConnectionState",
    "PeerWarning",
    "ServerConnection",
    "TimerKind",
]
