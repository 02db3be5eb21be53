"""The states of an HTTP/2 stream, as far as a lane must know them (RFC 9113 section 5.1): what has been framed.

Server push does not exist here, so neither do the reserved states. What is not in the table is not allowed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..call.tables import by_number

__all__ = ["STREAM", "Step", "StreamState"]


class StreamState(IntEnum):
    """The states of RFC 9113 section 5.1 that exist without push."""

    IDLE = 0
    OPEN = 1
    HALF_CLOSED_LOCAL = 2
    HALF_CLOSED_REMOTE = 3
    CLOSED = 4


class Step(IntEnum):
    """A frame sent or received; END stands for its END_STREAM flag."""

    OPENED = 0
    SEND_END = 1
    RECEIVE_END = 2
    SEND_RESET = 3
    RECEIVE_RESET = 4


STREAM: Final[dict[tuple[StreamState, Step], StreamState]] = {
    (StreamState.IDLE, Step.OPENED): StreamState.OPEN,
    (StreamState.OPEN, Step.SEND_END): StreamState.HALF_CLOSED_LOCAL,
    (StreamState.OPEN, Step.RECEIVE_END): StreamState.HALF_CLOSED_REMOTE,
    (StreamState.OPEN, Step.SEND_RESET): StreamState.CLOSED,
    (StreamState.OPEN, Step.RECEIVE_RESET): StreamState.CLOSED,
    (StreamState.HALF_CLOSED_LOCAL, Step.RECEIVE_END): StreamState.CLOSED,
    (StreamState.HALF_CLOSED_LOCAL, Step.SEND_RESET): StreamState.CLOSED,
    (StreamState.HALF_CLOSED_LOCAL, Step.RECEIVE_RESET): StreamState.CLOSED,
    (StreamState.HALF_CLOSED_REMOTE, Step.SEND_END): StreamState.CLOSED,
    (StreamState.HALF_CLOSED_REMOTE, Step.SEND_RESET): StreamState.CLOSED,
    (StreamState.HALF_CLOSED_REMOTE, Step.RECEIVE_RESET): StreamState.CLOSED,
}
#: For every frame: ``FRAMED[step][state]``.
FRAMED: Final = by_number(STREAM, StreamState, Step)
#: By state: whether frames of the peer still mean something, and whether this side still has frames to send.
RECEIVES: Final = tuple(STREAM.get((state, Step.RECEIVE_END)) is not None for state in StreamState)
SENDS: Final = tuple(STREAM.get((state, Step.SEND_END)) is not None for state in StreamState)
