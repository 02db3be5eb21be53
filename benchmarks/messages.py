"""The messages: bytes as they are, or a protobuf message with them in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["codec_of", "message_of"]


def message_of(codec: str, size: int) -> Any:
    """A message with so many bytes of payload."""
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    if codec == "bytes":
        return payload
    return _wrapper()(value=payload)


def codec_of(codec: str) -> tuple[Callable[[Any], bytes] | None, Callable[[bytes], Any] | None]:
    """How to write and to read one; None: bytes as they are."""
    if codec == "bytes":
        return None, None
    wrapper = _wrapper()
    return wrapper.SerializeToString, wrapper.FromString


def _wrapper() -> Any:
    from google.protobuf.wrappers_pb2 import BytesValue  # noqa: PLC0415 - bytes need no protobuf

    return BytesValue
