"""What the transport raises. A call's own outcome is an `RpcError`; see `duplexcore.errors`."""

from __future__ import annotations

import anyio

from duplexcore import DuplexcoreError, Metadata, Status

__all__ = [
    "AddressInUseError",
    "CallClosedError",
    "ConnectError",
    "ConnectRefusedError",
    "ConnectTimeoutError",
    "HandshakeError",
    "HostNotFoundError",
    "ListenError",
    "TLSError",
]


class ConnectError(DuplexcoreError):
    """No connection came about. The text says what is wrong and what to do."""


class ConnectRefusedError(ConnectError):
    """Nothing listens at the target, or it cannot be reached."""


class HostNotFoundError(ConnectError):
    """The target's host name does not resolve."""


class ConnectTimeoutError(ConnectError, TimeoutError):
    """The connection was not ready within ``connect_timeout``."""


class TLSError(ConnectError):
    """TLS failed: a certificate was refused, the peer does not speak it, or it did not agree on HTTP/2."""


class HandshakeError(ConnectError):
    """The peer does not speak HTTP/2: it closed at once, or sent something else."""


class ListenError(DuplexcoreError):
    """A server cannot listen at an address. The text says why."""


class AddressInUseError(ListenError):
    """Another process, or server, listens there."""


class CallClosedError(DuplexcoreError, anyio.BrokenResourceError):
    """A message can not be sent: the server has ended the call with OK, or, in a handler, the client has left (D-34).

    ``status`` and ``trailing_metadata`` are those of the call.
    """

    def __init__(self, status: Status, trailing_metadata: Metadata) -> None:
        self.status = status
        self.trailing_metadata = trailing_metadata
        super().__init__(f"the call has ended already, with {status}")
