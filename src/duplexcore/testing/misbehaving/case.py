"""What a case is: what the server does wrong, how the client is to call it, and what the client must make of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from duplexcore.status import StatusCode

if TYPE_CHECKING:
    from .stage import Stage

__all__ = ["Exercise", "ServerCase"]

OK = (StatusCode.OK,)
#: Body bytes of a good answer in the cases that are not about size; and in the official ones.
SMALL, LARGE = 8, 314_159
LARGE_REQUEST = 271_828


class Exercise(Enum):
    """How a client is to call: the value says it in words. All calls are of `grpc.testing.TestService`."""

    ONE = "one UnaryCall"
    TWO = "one UnaryCall; then another one on the same channel, which must be OK"
    RECONNECT = "one UnaryCall; a second after it another one: both OK, the second on a new connection"
    MANY = "one UnaryCall; then ten at once: all OK"
    DUPLEX = "FullDuplexCall: send one message, do not half-close, read to the end; then a UnaryCall, which must be OK"
    CANCEL = "FullDuplexCall: send one message, read one, cancel; then a UnaryCall, which must be OK"
    UNREAD = "FullDuplexCall: send one message, read nothing; meanwhile a UnaryCall, which must be OK; then cancel"
    DEADLINE = "one UnaryCall with a deadline of 0.3 s; then another one without, which must be OK"


@dataclass(frozen=True, slots=True)
class ServerCase:
    """One way to misbehave.

    ``status``: the codes with which the first call may end, for any client; ``own``: where ours is narrower. Each
    connection is a run of its own: the script has its first call, and the later ones are answered well.
    """

    name: str
    #: What the server does.
    does: str
    #: What the client must do, besides ending the call with one of ``status``.
    must: str
    #: Ids of docs/requirements.md; the first is what the case is about.
    rules: tuple[str, ...]
    script: Callable[[Stage], Awaitable[None]]
    status: tuple[StatusCode, ...] = OK
    own: tuple[StatusCode, ...] = ()
    exercise: Exercise = Exercise.TWO
    #: Bytes in the payload of each request, and of each good answer.
    request_size: int = 16
    response_size: int = SMALL
    #: What must stand in the status message, and the metadata that must come, with the call's first end.
    says: str = ""
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    #: How many messages a FullDuplexCall delivers before its end.
    messages: int = 0
    #: The server's first SETTINGS; None: it sends none.
    settings: dict[int, int] | None = field(default_factory=dict[int, int])
    #: Whether the server gives all DATA of the client back to its windows.
    credit: bool = True

    @property
    def ours(self) -> tuple[StatusCode, ...]:
        """The codes that duplexcore's client may end with."""
        return self.own or self.status
