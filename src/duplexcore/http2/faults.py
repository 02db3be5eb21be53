"""What ends a whole connection. Raised and caught inside `http2`, never seen outside."""

from __future__ import annotations

from ..config import Limit
from ..status import ErrorCode

__all__: list[str] = []


class ConnectionFault(Exception):
    """The peer broke a rule of the connection, perhaps a ``limit``: GOAWAY with ``code``, then close."""

    def __init__(self, code: ErrorCode, reason: str, limit: Limit | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.limit = limit


def too_much(limit: Limit, text: str) -> ConnectionFault:
    """The peer broke a limit that is there to keep it from making work."""
    return ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, text, limit)
