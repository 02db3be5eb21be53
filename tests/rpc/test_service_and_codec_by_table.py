"""Which handlers fit which methods, and what bytes are, against a table of all shapes."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import BoolValue, Int32Value, StringValue
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore.rpc import ClientStreamingMethod, DuplexMethod, MethodKind, ServerStreamingMethod, UnaryMethod
from duplexcore.rpc.codec import codec_for
from duplexcore.rpc.service import HandlerTable
from duplexcore.status import Status, StatusCode


def handlers() -> dict[str, Any]:
    """One of each shape."""

    async def two(request: bytes, context: object) -> bytes:
        return b""

    async def two_generates(request: bytes, context: object) -> Any:
        yield b""

    async def one(call: object) -> bytes:
        return b""

    async def one_nothing(call: object) -> None: ...

    async def one_unsaid(call):  # type: ignore[no-untyped-def]
        ...

    async def two_nothing(request: bytes, context: object) -> None: ...

    async def two_type_of_nothing(request: bytes, context: object) -> None: ...

    two_type_of_nothing.__annotations__["return"] = type(None)

    async def one_anything(call: object) -> Any: ...

    def plain(request: bytes, context: object) -> bytes:
        return b""

    shapes = (two, two_generates, one, one_nothing, one_unsaid, two_nothing, two_type_of_nothing, one_anything, plain)
    return {shape.__name__: shape for shape in shapes} | {"no function": 3}


OF_KIND: dict[MethodKind, Any] = {
    one.kind: one for one in (UnaryMethod, ClientStreamingMethod, ServerStreamingMethod, DuplexMethod)
}
ONE, TWO = {"one", "one_nothing", "one_unsaid", "one_anything"}, {"two", "two_nothing", "two_type_of_nothing"}
NOTHING = {"one_nothing", "two_nothing", "two_type_of_nothing"}
FIT = {
    MethodKind.UNARY: TWO - NOTHING,
    MethodKind.CLIENT_STREAMING: ONE - NOTHING,
    MethodKind.SERVER_STREAMING: {"two_generates"},
    MethodKind.DUPLEX: ONE - {"one"},
}


@given(st.lists(st.tuples(st.sampled_from(MethodKind), st.sampled_from(sorted(handlers()))), min_size=12, max_size=12))
@settings(max_examples=30, database=None)
def test_a_handler_fits_its_method_or_is_refused(drawn: list[tuple[MethodKind, str]]) -> None:
    table, shapes = HandlerTable(), handlers()
    served: list[str] = []
    for number, (kind, name) in enumerate(drawn):
        method = OF_KIND[kind](f"/p.S{number % 2}/M{number}", bytes, bytes)
        assert (method.kind, method.service, method.name) == (kind, f"p.S{number % 2}", f"M{number}")
        assert method == OF_KIND[kind](method.path, bytes, bytes) != OF_KIND[kind](method.path + "x", bytes, bytes)
        if name in FIT[kind]:
            table.register(method, shapes[name])
            served.append(method.path)
            with pytest.raises(ValueError, match="has a handler already"):
                table.register(method, shapes[name])
            found = table.find(method.path)
            assert not isinstance(found, Status)
            assert (found.method, found.handler) == (method, shapes[name])
        else:
            with pytest.raises(TypeError, match=kind.value):
                table.register(method, shapes[name])
            found = table.find(method.path)
            known = any(path.startswith(f"/p.S{number % 2}/") for path in served)
            text = (
                f"service 'p.S{number % 2}' has no method 'M{number}'"
                if known
                else f"unknown service 'p.S{number % 2}'"
            )
            assert found == Status(StatusCode.UNIMPLEMENTED, text)
    assert [one.path for one in table.methods] == served


@given(st.binary(max_size=5), st.sampled_from((bytes, bytearray, memoryview)), st.sampled_from(("text", 3, None)))
@settings(max_examples=20, database=None)
def test_bytes_are_bytes(data: bytes, kind: Any, other: Any) -> None:
    codec: Any = codec_for(bytes)
    assert codec.encode(kind(data)) == codec.decode(data) == data
    assert type(codec.encode(kind(data))) is bytes
    assert (codec.content_subtype, codec_for(codec)) == ("", codec)
    with pytest.raises(TypeError, match="this method's messages are bytes"):
        codec.encode(other)
    with pytest.raises(TypeError, match="neither bytes, nor a protobuf message class, nor a codec"):
        codec_for(other)


@given(st.text(max_size=5), st.sampled_from((StringValue, Int32Value)), st.sampled_from((b"", 3, None)))
@settings(max_examples=20, database=None)
def test_messages_are_of_their_class(text: str, cls: Any, other: Any) -> None:
    codec: Any = codec_for(cls)
    message = cls(value=text) if cls is StringValue else cls(value=len(text))
    assert codec.decode(codec.encode(message)) == message
    assert codec.encode(message) == message.SerializeToString()
    assert type(codec.decode(b"")) is codec.message_class is cls
    assert (codec.content_subtype, codec_for(codec)) == ("", codec)
    assert codec == codec_for(cls) != codec_for(BoolValue)
    assert hash(codec) == hash(codec_for(cls))
    for wrong in (other, BoolValue()):
        with pytest.raises(TypeError, match=f"this method's messages are {cls.__name__}"):
            codec.encode(wrong)
