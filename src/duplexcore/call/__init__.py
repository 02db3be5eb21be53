"""One gRPC call: tables, framing, header lists, and both sides of it. Knows no HTTP/2, no socket, no clock."""

from .client import ClientCall
from .events import CallEnded, CallEvent, HalfClosed, InitialMetadata, Message, Origin
from .replay import ReplayBudget
from .server import ServerCall
from .tables import Receive, Send

__all__ = [
    "CallEnded",
    "CallEvent",
    "ClientCall",
    "HalfClosed",
    "InitialMetadata",
    "Message",
    "Origin",
    "Receive",
    "ReplayBudget",
    "Send",
    "ServerCall",
]
