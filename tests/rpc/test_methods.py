"""Methods as values, codecs, and the shapes of handlers."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from duplexcore import StatusCode
from duplexcore.cli.proto.conversation_pb2 import InputMessage, OutputMessage
from duplexcore.rpc import (
    BytesCodec,
    ClientStreamingMethod,
    Codec,
    DuplexMethod,
    HandlerTable,
    Method,
    MethodKind,
    ProtobufCodec,
    Registered,
    ServerStreamingMethod,
    UnaryMethod,
    codec_for,
)


class Shout:
    """A codec of one's own."""

    content_subtype = "shout"

    def encode(self, value: str, /) -> bytes:
        return value.upper().encode()

    def decode(self, data: bytes, /) -> str:
        return data.decode().lower()


def test_a_method_is_a_value() -> None:
    method = DuplexMethod("/demo.v1.Talk/Hold", bytes, bytes)
    assert (method.service, method.name, method.kind) == ("demo.v1.Talk", "Hold", MethodKind.DUPLEX)
    assert method == DuplexMethod("/demo.v1.Talk/Hold", bytes, bytes)
    assert len({method, DuplexMethod("/demo.v1.Talk/Hold", bytes, bytes)}) == 1
    assert method != ClientStreamingMethod("/demo.v1.Talk/Hold", bytes, bytes)  # type: ignore[comparison-overlap]
    with pytest.raises(AttributeError):
        method.path = "/other/Path"  # type: ignore[misc]


@pytest.mark.parametrize("path", ["", "Talk", "/Talk", "talk/Hold", "//Hold", "/a/", "/a b/C", "/a/B/C", "/ä/B"])
def test_a_path_of_another_form_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"/package\.Service/Method"):
        UnaryMethod(path, bytes, bytes)


def test_a_method_has_a_kind() -> None:
    with pytest.raises(TypeError, match="use the class of its kind"):
        Method("/a/B", bytes, bytes)


def test_codecs() -> None:
    assert isinstance(codec_for(bytes), BytesCodec)
    assert codec_for(InputMessage) == ProtobufCodec(InputMessage)
    shout: Codec[str] = Shout()
    assert codec_for(shout) is shout
    method = UnaryMethod("/a/B", shout, OutputMessage)
    assert method.request_codec.encode("hey") == b"HEY"
    assert method.request_codec.decode(b"HEY") == "hey"
    assert method.response_codec.decode(b"") == OutputMessage()
    for wrong in (str, dict, 3, None):
        with pytest.raises(TypeError, match="codec"):
            codec_for(wrong)  # type: ignore[arg-type]


def test_bytes_take_what_is_like_bytes_and_nothing_else() -> None:
    codec = BytesCodec()
    assert [codec.encode(value) for value in (b"a", bytearray(b"a"), memoryview(b"a"))] == [b"a"] * 3
    for wrong in ("text", 3, None, [1]):
        with pytest.raises(TypeError, match="bytes"):
            codec.encode(wrong)  # type: ignore[arg-type]


def test_protobuf_takes_messages_of_its_class() -> None:
    codec = ProtobufCodec(InputMessage)
    assert codec.decode(codec.encode(InputMessage())) == InputMessage()
    with pytest.raises(TypeError, match="InputMessage, not OutputMessage"):
        codec.encode(OutputMessage())  # type: ignore[arg-type]


# --- shapes of handlers ----------------------------------------------------------------------------------------------


UNARY = UnaryMethod("/demo.Svc/Unary", bytes, bytes)
CLIENT = ClientStreamingMethod("/demo.Svc/Client", bytes, bytes)
SERVER = ServerStreamingMethod("/demo.Svc/Server", bytes, bytes)
DUPLEX = DuplexMethod("/demo.Svc/Duplex", bytes, bytes)


async def two(request: bytes, context: Any) -> bytes:
    return b""


async def one(call: Any) -> bytes:
    return b""


async def one_to_none(call: Any) -> None: ...


async def anything(call: Any) -> Any: ...


async def unannotated(call):  # type: ignore[no-untyped-def]
    ...


async def generator(request: bytes, context: Any) -> AsyncIterator[bytes]:
    yield b""


async def generator_of_one(call: Any) -> AsyncIterator[bytes]:
    yield b""


def blocking(call: Any) -> None: ...


class Service:
    async def two(self, request: bytes, context: Any) -> bytes:
        return b""

    async def __call__(self, call: Any) -> None: ...


GOOD: list[tuple[Method[Any, Any], Any]] = [
    (UNARY, two),
    (UNARY, Service().two),
    (UNARY, functools.partial(two)),
    (CLIENT, one),
    (CLIENT, unannotated),
    (CLIENT, anything),
    (DUPLEX, anything),
    (SERVER, generator),
    (DUPLEX, one_to_none),
    (DUPLEX, unannotated),
    (DUPLEX, Service()),
    (DUPLEX, functools.partial(one_to_none)),
]
BAD: list[tuple[Method[Any, Any], Any, str]] = [
    (UNARY, one, "cannot be called with 2 positional"),
    (UNARY, generator, "async generator"),
    (CLIENT, two, "cannot be called with one positional"),
    (CLIENT, one_to_none, "returns None"),
    (SERVER, two, "no `yield`"),
    (SERVER, generator_of_one, "2 positional"),
    (DUPLEX, two, "one positional"),
    (DUPLEX, one, "call.send"),
    (DUPLEX, generator_of_one, "async generator"),
    (DUPLEX, blocking, "not an async function"),
    (DUPLEX, Service, "not an async function"),
    (DUPLEX, "handler", "cannot be called"),
]


@pytest.mark.req("D-1")
@pytest.mark.parametrize(("method", "handler"), GOOD)
def test_handlers_of_the_methods_shape_are_taken(method: Method[Any, Any], handler: Any) -> None:
    table = HandlerTable()
    table.register(method, handler)
    assert table.find(method.path) == Registered(method, handler)
    assert table.methods == [method]


@pytest.mark.req("D-1")
@pytest.mark.parametrize(("method", "handler", "said"), BAD)
def test_handlers_of_another_shape_are_refused_at_once(method: Method[Any, Any], handler: Any, said: str) -> None:
    table = HandlerTable()
    with pytest.raises(TypeError, match=said) as caught:
        table.register(method, handler)
    assert f"{method.path} is {method.kind.value}: its handler is `async def handler(" in str(caught.value)
    assert table.methods == []


def test_a_path_has_one_handler() -> None:
    table = HandlerTable()
    table.register(UNARY, two)
    with pytest.raises(ValueError, match="already"):
        table.register(UNARY, Service().two)


@pytest.mark.req("D-6")
def test_what_is_unknown_is_told_apart() -> None:
    table = HandlerTable()
    table.register(UNARY, two)
    for path, text in (("/demo.Svc/Other", "'demo.Svc' has no method 'Other'"), ("/other.Svc/Unary", "'other.Svc'")):
        status = table.find(path)
        assert not isinstance(status, Registered)
        assert status.code is StatusCode.UNIMPLEMENTED
        assert text in status.message
