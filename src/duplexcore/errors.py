"""What duplexcore raises, sorted by whose fault it is.

The peer's faults are never exceptions of the engine: they are events and statuses.
"""

from __future__ import annotations

from .metadata import EMPTY, Metadata, MetadataLike
from .status import Status, StatusCode

__all__ = ["DuplexcoreError", "LocalProtocolError", "MessageTooLargeError", "RpcError"]


class DuplexcoreError(Exception):
    """The base of all that duplexcore raises."""


class LocalProtocolError(DuplexcoreError):
    """The caller used the engine in a way that the protocol does not allow. Nothing has changed."""


class MessageTooLargeError(LocalProtocolError):
    """A message above ``max_send_message_size`` was offered; nothing of it is sent (FRM-5)."""

    @property
    def status(self) -> Status:
        return Status(StatusCode.RESOURCE_EXHAUSTED, str(self))


class RpcError(DuplexcoreError):
    """A call ended with a status other than OK; raised by a handler, it is the status that the call ends with.

    ``status``, ``code`` and ``message`` say how; ``initial_metadata`` and ``trailing_metadata`` what came along;
    ``unprocessed`` that the peer never saw the call, so that it is safe to send again.
    """

    def __init__(
        self,
        status: Status | StatusCode,
        message: str = "",
        *,
        initial_metadata: MetadataLike = EMPTY,
        trailing_metadata: MetadataLike = EMPTY,
        unprocessed: bool = False,
    ) -> None:
        self.status = status if isinstance(status, Status) else Status(status, message)
        self.initial_metadata = Metadata(initial_metadata)
        self.trailing_metadata = Metadata(trailing_metadata)
        self.unprocessed = unprocessed
        super().__init__(str(self.status))

    def __reduce__(self) -> tuple[object, ...]:
        """Its arguments are not those of `Exception`: without this it could be neither copied nor pickled."""
        return type(self), (self.status,), self.__dict__

    @property
    def code(self) -> StatusCode:
        return self.status.code

    @property
    def message(self) -> str:
        return self.status.message
