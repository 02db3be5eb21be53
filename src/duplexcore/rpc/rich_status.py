"""The rich error model: a ``google.rpc.Status`` in the trailing metadata (gRFC L44, STAT-20)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..metadata import Metadata
from ..status import Status

if TYPE_CHECKING:
    from google.rpc import status_pb2  # type: ignore[import-untyped, unused-ignore]

__all__ = ["RICH_STATUS", "rich_status"]

#: The name under which it travels; a server sets it as it is, with ``SerializeToString()``.
RICH_STATUS: Final = "grpc-status-details-bin"


def rich_status(status: Status, trailing_metadata: Metadata) -> status_pb2.Status | None:
    """What the server told beyond code and message; None when it told nothing.

    Needs the package ``googleapis-common-protos``. Raises ValueError for bytes that are no ``google.rpc.Status``, and
    when its code is not that of ``status``: the two then contradict each other, and neither can be trusted.
    """
    value = trailing_metadata.get(RICH_STATUS)
    if value is None:
        return None
    assert isinstance(value, bytes)  # as under every name in "-bin"
    # Not at the top: whoever does not use it needs no protobuf.
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from google.rpc import status_pb2  # noqa: PLC0415

    try:
        rich = status_pb2.Status.FromString(value)
    except DecodeError as error:
        raise ValueError(f"{RICH_STATUS} is no google.rpc.Status: {error}") from None
    if rich.code != status.code:
        raise ValueError(f"{RICH_STATUS} has the code {rich.code}, the call ended with {int(status.code)}")
    return rich
