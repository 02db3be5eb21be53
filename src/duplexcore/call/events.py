"""What happens to one call, in the order in which it happens.

A client sees ``InitialMetadata? Message* CallEnded``, a server ``Message* HalfClosed? CallEnded``.
"""

from __future__ import annotations

from enum import Enum

from ..config import Limit
from ..metadata import EMPTY, Metadata
from ..status import Status
from ..values import value

__all__ = ["CallEnded", "CallEvent", "HalfClosed", "InitialMetadata", "Message", "Origin"]


class Origin(Enum):
    """Who ended a call or a connection."""

    PEER = "peer"
    #: This library, judging what the peer sent.
    LIBRARY = "library"
    #: This side's application or its deadline.
    LOCAL = "local"
    #: The connection underneath was lost.
    TRANSPORT = "transport"


@value
class InitialMetadata:
    """The server's initial metadata has come (client only; absent from a Trailers-Only answer)."""

    metadata: Metadata


@value
class Message:
    """One whole message; ``compressed``: it came so (COMP-11)."""

    payload: bytes
    compressed: bool = False


@value
class HalfClosed:
    """The client will send no more messages (server only)."""


@value
class CallEnded:
    """The call is over; comes exactly once, last (DUP-39).

    On a client ``status`` is the call's outcome. On a server it is the status that was sent, or CANCELLED when the
    client left or the connection was lost first. ``unprocessed``: the peer's application never saw the call, so it is
    safe to send it again.
    ``limit``: which limit the peer broke, on the call or on its connection, if that ended it.
    """

    status: Status
    trailing_metadata: Metadata = EMPTY
    origin: Origin = Origin.PEER
    unprocessed: bool = False
    limit: Limit | None = None


#: What `next_event` of a call gives.
CallEvent = InitialMetadata | Message | HalfClosed | CallEnded
