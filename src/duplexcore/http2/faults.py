"""What ends a whole connection. Raised and caught inside `http2`, never seen outside."""

from __future__ import annotations

from ..status import ErrorCode

__all__: list[str] = []


class ConnectionFault(Exception):
    """The peer broke a rule of the connection: GOAWAY with ``code``, then close."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
