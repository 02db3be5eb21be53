"""Codecs: between the messages of an application and the bytes of a call."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable

__all__ = ["BytesCodec", "Codec", "ProtobufCodec", "codec_for"]

T = TypeVar("T")


@runtime_checkable
class Codec(Protocol[T]):
    """Turns messages of one type into bytes and back. Without state: one object may serve any number of calls."""

    @property
    def content_subtype(self) -> str:
        """What stands after ``application/grpc+`` (HDR-10); "" for none, which every peer takes as "proto"."""
        ...

    def encode(self, value: T, /) -> bytes:
        """The bytes of a message. Raises TypeError or ValueError for a value that is not one."""
        ...

    def decode(self, data: bytes, /) -> T:
        """The message that the bytes hold. May raise anything for bytes that hold none."""
        ...


class BytesCodec:
    """Messages as they are on the wire."""

    __slots__ = ()

    @property
    def content_subtype(self) -> str:
        return ""

    def encode(self, value: bytes | bytearray | memoryview, /) -> bytes:
        """Raises TypeError for text and all else that is not bytes-like."""
        if isinstance(value, bytes):
            return value
        if isinstance(value, bytearray | memoryview):
            return bytes(value)
        raise TypeError(f"this method's messages are bytes, not {type(value).__name__}")

    def decode(self, data: bytes, /) -> bytes:
        return data

    def __repr__(self) -> str:
        return "BytesCodec()"


class ProtobufMessage(Protocol):
    """What is asked of a generated class."""

    def SerializeToString(self) -> bytes: ...  # noqa: N802

    @classmethod
    def FromString(cls, s: bytes, /) -> Any: ...  # noqa: N802


class ProtobufCodec(Generic[T]):
    """Messages of one generated protobuf class, by its ``SerializeToString`` and ``FromString``; protobuf itself is not
    imported. Raises TypeError when the class does not have them."""

    __slots__ = ("_parse", "message_class")

    def __init__(self, message_class: type[T]) -> None:
        if not (hasattr(message_class, "SerializeToString") and hasattr(message_class, "FromString")):
            raise TypeError(f"{message_class!r} is no protobuf message class: use bytes, or a codec of your own")
        #: The generated class.
        self.message_class = message_class
        self._parse = cast("type[ProtobufMessage]", message_class).FromString

    @property
    def content_subtype(self) -> str:
        return ""

    def encode(self, value: T, /) -> bytes:
        if not isinstance(value, self.message_class):
            raise TypeError(f"this method's messages are {self.message_class.__name__}, not {type(value).__name__}")
        return cast("ProtobufMessage", value).SerializeToString()

    def decode(self, data: bytes, /) -> T:
        return cast("T", self._parse(data))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProtobufCodec) and other.message_class is self.message_class

    def __hash__(self) -> int:
        return hash(self.message_class)

    def __repr__(self) -> str:
        return f"ProtobufCodec({self.message_class.__name__})"


_BYTES = BytesCodec()


def codec_for(kind: type[T] | Codec[T]) -> Codec[T]:
    """The codec for ``bytes``, for a protobuf message class, or the codec itself when it is one already.

    Raises TypeError for anything else.
    """
    if kind is bytes:
        return cast("Codec[T]", _BYTES)
    if isinstance(kind, type):
        return ProtobufCodec(kind)
    if isinstance(kind, Codec):
        return kind
    raise TypeError(f"{kind!r} is neither bytes, nor a protobuf message class, nor a codec")
