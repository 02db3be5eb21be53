"""What happens to a connection. These events only announce: what a call has to say stands in the call's own queue."""

from __future__ import annotations

from ..call import ClientCall, Origin, ServerCall
from ..config import Limit
from ..status import Status
from ..values import value

__all__ = [
    "CallReadable",
    "CallRefused",
    "CallStarted",
    "CallWritable",
    "CallsAvailable",
    "ConnectionClosed",
    "ConnectionDraining",
    "ConnectionEvent",
    "ConnectionReady",
    "PeerWarning",
]


@value
class ConnectionReady:
    """The peer's SETTINGS have come (CONN-2)."""


@value
class CallStarted:
    """A client has opened a call (server only)."""

    call: ServerCall


@value
class CallRefused:
    """A client's request reached no handler (server only): ``status`` says why, and was sent, or a reset in its place.

    ``limit``: which limit stood in the way, if one did. ``method`` is what the client wrote, legal or not.
    """

    method: str
    status: Status
    limit: Limit | None = None


@value
class CallReadable:
    """The call has something to take, or has ended.

    Comes again once the call's queue was read empty, not before; but at the call's end in any case, since the outcome
    matters to more than the reader.
    """

    call: ClientCall | ServerCall


@value
class CallWritable:
    """The call's send buffer was full and takes messages again."""

    call: ClientCall | ServerCall


@value
class CallsAvailable:
    """Calls had to wait for a stream, or were refused for it; a new one would start at once again (client only)."""


@value
class ConnectionDraining:
    """The peer has said GOAWAY, or the stream ids are used up: no new calls here, those that it accepted go on."""

    code: int
    reason: str


@value
class ConnectionClosed:
    """The connection is over, and every call on it has ended. Send what is left of the bytes, then close.

    ``code`` is an HTTP/2 error code (RFC 9113 section 7), ``reason`` a text for people. ``limit``: which limit was
    broken, if that ended it.
    """

    code: int
    reason: str
    origin: Origin
    limit: Limit | None = None


@value
class PeerWarning:
    """The peer does what works, but should not be: for a log. Said once on a connection."""

    text: str


#: What `next_event` of a connection gives.
ConnectionEvent = (
    ConnectionReady
    | CallStarted
    | CallRefused
    | CallReadable
    | CallWritable
    | CallsAvailable
    | PeerWarning
    | ConnectionDraining
    | ConnectionClosed
)
