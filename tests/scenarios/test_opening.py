"""How a call begins, and what each side may say when: D-1 to D-12 but the endings."""

# ruff: noqa: SIM117 - a call has a block of its own where that reads better
from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import grpc.aio
import pytest

from duplexcore import FrameType, LocalProtocolError, Metadata, RpcError, StatusCode
from duplexcore.cli.proto import conversation_pb2
from duplexcore.cli.proto.conversation_pb2 import InputMessage, OutputMessage
from duplexcore.rpc import DuplexMethod, MethodKind
from duplexcore.testing.raw import RawFrame, RawPeer, data, message
from duplexcore_anyio import Channel, DuplexCall, DuplexServerCall, Router, connect, memory_link, serve
from tests.scenarios.wire import PATH, TALK, Tape, Where, drain, echo, everywhere, routed, wired
from tests.support.grpc_aio_peer import AioPeer

TYPED = DuplexMethod("/duplexcore.demo.v1.Conversation/DuplexStreamingFunction", InputMessage, OutputMessage)


# --- D-1 --------------------------------------------------------------------------------------------------------------


@pytest.mark.req("D-1")
async def test_stream_on_both_sides_is_duplex(where: Where) -> None:
    """The contract's method, its stub and its handler."""
    contract = conversation_pb2.DESCRIPTOR.services_by_name["Conversation"].methods_by_name["DuplexStreamingFunction"]
    assert (contract.client_streaming, contract.server_streaming) == (True, True)
    assert f"/{contract.containing_service.full_name}/{contract.name}" == TYPED.path
    assert TYPED.kind is MethodKind.DUPLEX
    served = []

    async def handler(call: DuplexServerCall[InputMessage, OutputMessage]) -> None:
        served.append(type(call))
        async for asked in call:
            await call.send(OutputMessage(number=1, text=asked.text, in_reply_to=asked.number))

    router = Router()
    router.add(TYPED, handler)
    async with wired(router, where) as channel, channel.duplex(TYPED) as call:
        assert isinstance(call, DuplexCall)
        await call.send(InputMessage(number=7, text="hello"))
        answer = await call.receive()
        assert isinstance(answer, OutputMessage)
        assert (answer.number, answer.text, answer.in_reply_to) == (1, "hello", 7)
        await call.send_eof()
        assert await drain(call) == []
    assert served == [DuplexServerCall]


async def _two_arguments(request: bytes, context: object) -> None: ...
async def _yields(call: object) -> AsyncIterator[bytes]:
    yield b""


async def _returns(call: object) -> bytes:
    return b""


def _not_async(call: object) -> None: ...


@pytest.mark.req("D-1")
@pytest.mark.parametrize("handler", [_two_arguments, _yields, _returns, _not_async, "text"])
def test_another_shape_is_refused_when_registered(handler: Any) -> None:
    router = Router()
    with pytest.raises(TypeError, match="duplex"):
        router.add(TALK, handler)
    router.add(TALK, echo)  # the refusal left nothing behind
    with pytest.raises(ValueError, match=PATH):
        router.add(TALK, echo)


@pytest.mark.req("D-1")
async def test_contract_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> AsyncIterator[OutputMessage]:
        async for asked in requests:
            yield OutputMessage(number=asked.number + 1, text=asked.text, in_reply_to=asked.number)

    served = grpc.stream_stream_rpc_method_handler(handler, InputMessage.FromString, OutputMessage.SerializeToString)
    method = DuplexMethod(PATH, InputMessage, OutputMessage)
    async with aio.server(_Talk=served) as target, connect(target) as channel, channel.duplex(method) as call:
        await call.send(InputMessage(number=1, text="ünï"))
        assert await call.receive() == OutputMessage(number=2, text="ünï", in_reply_to=1)
        await call.send_eof()
        assert await drain(call) == []


@pytest.mark.req("D-1")
async def test_contract_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def handler(call: DuplexServerCall[InputMessage, OutputMessage]) -> None:
        async for asked in call:
            await call.send(OutputMessage(number=asked.number + 1, text=asked.text, in_reply_to=asked.number))

    async def body(channel: grpc.aio.Channel) -> list[OutputMessage]:
        stub = channel.stream_stream(TYPED.path, InputMessage.SerializeToString, OutputMessage.FromString)
        call = stub(iter([InputMessage(number=1, text="ünï"), InputMessage(number=2)]))
        return [answer async for answer in call]

    router = Router()
    router.add(TYPED, handler)
    async with serve(router, "127.0.0.1:0") as server:
        answers = await aio.client(f"127.0.0.1:{server.port}", body)
    assert answers == [OutputMessage(number=2, text="ünï", in_reply_to=1), OutputMessage(number=3, in_reply_to=2)]


# --- D-2 --------------------------------------------------------------------------------------------------------------

COUNTS = pytest.mark.parametrize(("requests", "responses"), [(0, 0), (0, 3), (3, 0), (1, 1), (5, 7)])


def some(count: int, who: str) -> list[bytes]:
    """Messages that differ; every other one is empty, and counts as much as the others."""
    return [b"" if index % 2 else f"{who} {index}".encode() for index in range(count)]


@COUNTS
@everywhere
@pytest.mark.req("D-2")
async def test_each_side_sends_any_number(where: Where, requests: int, responses: int) -> None:
    heard = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        heard.extend(await drain(call))
        for one in some(responses, "response"):
            await call.send(one)

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        for one in some(requests, "request"):
            await call.send(one)
        await call.send_eof()
        assert await drain(call) == some(responses, "response")
        assert call.status is not None
        assert call.status.ok
    assert heard == some(requests, "request")


@COUNTS
@pytest.mark.req("D-2")
async def test_any_number_with_grpc_aio_as_server(backend: str, aio: AioPeer, requests: int, responses: int) -> None:
    async def handler(incoming: Any, context: Any) -> AsyncIterator[bytes]:
        heard = [one async for one in incoming]
        assert heard == some(requests, "request")
        for one in some(responses, "response"):
            yield one

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        await call.send_all(some(requests, "request"))
        await call.send_eof()
        assert await drain(call) == some(responses, "response")
        assert call.status is not None
        assert call.status.ok


@COUNTS
@pytest.mark.req("D-2")
async def test_any_number_with_grpc_aio_as_client(backend: str, aio: AioPeer, requests: int, responses: int) -> None:
    heard = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        heard.extend(await drain(call))
        await call.send_all(some(responses, "response"))

    async def body(channel: grpc.aio.Channel) -> tuple[list[bytes], grpc.StatusCode]:
        call = channel.stream_stream(PATH)(iter(some(requests, "request")))
        return [one async for one in call], await call.code()

    async with serve(routed(handler), "127.0.0.1:0") as server:
        answers, code = await aio.client(f"127.0.0.1:{server.port}", body)
    assert (answers, code) == (some(responses, "response"), grpc.StatusCode.OK)
    assert heard == some(requests, "request")


# --- D-4 --------------------------------------------------------------------------------------------------------------

FIVE = {who: [f"{who} {index}".encode() for index in range(5)] for who in ("client", "server")}


@everywhere
@pytest.mark.req("D-4")
async def test_both_write_five_before_either_reads(where: Where) -> None:
    wrote = {"client": anyio.Event(), "server": anyio.Event()}
    heard = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        for one in FIVE["server"]:
            await call.send(one)
        wrote["server"].set()
        await wrote["client"].wait()
        heard.extend(await drain(call))

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        for one in FIVE["client"]:
            await call.send(one)
        wrote["client"].set()
        await wrote["server"].wait()
        assert [await call.receive() for _ in range(5)] == FIVE["server"]
        await call.send_eof()
        assert await drain(call) == []
    assert heard == FIVE["client"]


@pytest.mark.req("D-4")
async def test_writing_first_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        for one in FIVE["server"]:
            await context.write(one)
        heard = [await context.read() for _ in range(5)]
        assert await context.read() == grpc.aio.EOF
        await context.write(b" ".join(heard))

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        for one in FIVE["client"]:
            await call.send(one)
        assert [await call.receive() for _ in range(5)] == FIVE["server"]
        await call.send_eof()
        assert await drain(call) == [b" ".join(FIVE["client"])]


@pytest.mark.req("D-4")
async def test_writing_first_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    heard = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        for one in FIVE["server"]:
            await call.send(one)
        heard.extend(await drain(call))

    async def body(channel: grpc.aio.Channel) -> list[bytes]:
        call = channel.stream_stream(PATH)()
        for one in FIVE["client"]:
            await call.write(one)
        answers = [await call.read() for _ in range(5)]
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF
        return answers

    async with serve(routed(handler), "127.0.0.1:0") as server:
        assert await aio.client(f"127.0.0.1:{server.port}", body) == FIVE["server"]
    assert heard == FIVE["client"]


# --- D-5, D-10 --------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.req("D-5", "D-10")
async def test_opening_needs_no_message(where: Where) -> None:
    """The headers leave with the opening, and END_STREAM with the half-close."""
    opened = anyio.Event()
    seen = []
    tape = Tape()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        seen.append((call.method, call.metadata.get("who")))
        opened.set()
        await drain(call)

    async with wired(routed(handler), where, observer=tape) as channel:
        async with channel.duplex(TALK, metadata={"who": "nobody in particular"}) as call:
            await opened.wait()
            assert [(frame.type, frame.flags & 1) for frame in tape.of("out")] == [(FrameType.HEADERS, 0)]
            await call.send_eof()
            assert (await call.wait_closed()).ok
    assert seen == [(PATH, "nobody in particular")]


@pytest.mark.req("D-5", "D-10")
async def test_headers_leave_alone(backend: str) -> None:
    """A peer that is silent sees them, though nothing else follows."""
    near, far = memory_link()
    peer = RawPeer(client=False)
    await far.send(peer.hello())
    async with Channel.over(near) as channel, channel.duplex(TALK, metadata=[("who", "me")]) as call:
        frames: list[RawFrame] = []
        while not any(frame.type == 1 for frame in frames):
            frames += peer.read(await far.receive())
        opening = next(frame for frame in frames if frame.type == 1)
        assert opening.brief == "HEADERS 1"
        assert opening.field(b":path") == PATH.encode()
        assert opening.field(b"who") == b"me"
        assert not peer.inside_frame
        await far.send(peer.trailers_only(1))
        assert (await call.wait_closed()).ok
        await far.aclose()


@pytest.mark.req("D-5", "D-10")
async def test_opening_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        given = dict(context.invocation_metadata())
        await context.send_initial_metadata([("you-are", given["who"])])
        await context.read()

    async with aio.server(Talk=handler) as target, connect(target) as channel:
        async with channel.duplex(TALK, metadata={"who": "me"}) as call:
            assert (await call.initial_metadata()).get("you-are") == "me"
            await call.send_eof()
            assert await drain(call) == []


@pytest.mark.req("D-5", "D-10")
async def test_opening_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        who = call.metadata.get("who")
        await call.send_initial_metadata({"you-are": who or ""})
        await drain(call)

    async def body(channel: grpc.aio.Channel) -> str:
        call = channel.stream_stream(PATH)(metadata=[("who", "me")])
        initial = dict(await call.initial_metadata())
        await call.done_writing()
        assert await call.code() == grpc.StatusCode.OK
        return initial["you-are"]

    async with serve(routed(handler), "127.0.0.1:0") as server:
        assert await aio.client(f"127.0.0.1:{server.port}", body) == "me"


# --- D-6 --------------------------------------------------------------------------------------------------------------

ODD = DuplexMethod("/a.b_c.Service-1/Do~It%20", bytes, bytes)
NO_METHOD = DuplexMethod("/scenario.Duplex/talk", bytes, bytes)
NO_SERVICE = DuplexMethod("/scenario.duplex/Talk", bytes, bytes)


@pytest.mark.req("D-6")
async def test_the_path_arrives_as_sent(where: Where) -> None:
    paths = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        paths.append(call.method)

    router = routed(handler, (ODD, handler))
    async with wired(router, where) as channel:
        for method in (TALK, ODD):
            async with channel.duplex(method) as call:
                assert await drain(call) == []
    assert paths == [PATH, "/a.b_c.Service-1/Do~It%20"]


@everywhere
@pytest.mark.req("D-6")
async def test_unknown_methods_are_unimplemented_and_the_connection_goes_on(where: Where) -> None:
    async with wired(routed(echo), where) as channel, channel.duplex(TALK) as other:
        for method in (NO_METHOD, NO_SERVICE):
            async with channel.duplex(method) as call:
                with pytest.raises(RpcError) as caught:
                    await call.receive()
                assert caught.value.code is StatusCode.UNIMPLEMENTED
        await other.send(b"still here")
        assert await other.receive() == b"still here"
        await other.send_eof()
        assert (await other.wait_closed()).ok


@pytest.mark.req("D-6")
async def test_unknown_methods_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        await context.write(await context.read())

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as other:
        for method in (NO_METHOD, NO_SERVICE):
            async with channel.duplex(method) as call:
                assert (await call.wait_closed()).code is StatusCode.UNIMPLEMENTED
        await other.send(b"still here")
        assert await drain(other) == [b"still here"]


@pytest.mark.req("D-6")
async def test_unknown_methods_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    paths = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        paths.append(call.method)
        await echo(call)

    async def body(channel: grpc.aio.Channel) -> list[grpc.StatusCode]:
        other = channel.stream_stream(PATH)()
        codes = [await channel.stream_stream(method.path)(iter([])).code() for method in (NO_METHOD, NO_SERVICE)]
        await other.write(b"still here")
        assert await other.read() == b"still here"
        await other.done_writing()
        return [*codes, await other.code(), await channel.stream_stream(ODD.path)(iter([])).code()]

    async with serve(routed(handler, (ODD, handler)), "127.0.0.1:0") as server:
        codes = await aio.client(f"127.0.0.1:{server.port}", body)
    assert codes == [grpc.StatusCode.UNIMPLEMENTED] * 2 + [grpc.StatusCode.OK] * 2
    assert paths == [PATH, ODD.path]


# --- D-7 --------------------------------------------------------------------------------------------------------------

RICH: list[tuple[str, str | bytes]] = [
    ("k", "1"),
    ("other", "x"),
    ("k", "2"),
    ("k", "1"),
    ("b-bin", b"\x00"),
    ("b-bin", b"\x00\xff\x01"),
    ("e-bin", b""),
]


async def reflect(call: DuplexServerCall[bytes, bytes]) -> None:
    """The client's metadata comes back twice: as initial metadata before any message, and with the status."""
    mine = Metadata([pair for pair in call.metadata if pair[0] in ("k", "other", "b-bin", "e-bin", "loud")])
    await call.send_initial_metadata(mine)
    call.set_trailing_metadata(mine)
    await drain(call)


@everywhere
@pytest.mark.req("D-7")
async def test_metadata_travels_with_the_opening(where: Where) -> None:
    async with wired(routed(reflect), where) as channel:
        async with channel.duplex(TALK, metadata=[*RICH, ("LOUD", "Value")]) as call:
            expected = Metadata([*RICH, ("loud", "Value")])
            assert await call.initial_metadata() == expected  # and nobody has sent a message
            assert call.trailing_metadata == Metadata()
            await call.send_eof()
            assert await drain(call) == []
            assert call.trailing_metadata == expected


@pytest.mark.req("D-7")
@pytest.mark.parametrize(
    "bad",
    [
        {"sp ace": "x"},
        {"": "x"},
        {"schlüssel": "x"},
        {":path": "/x"},
        {"grpc-status": "0"},
        {"te": "x"},
        {"k": "a\nb"},
        {"k": "é"},
        {"k": b"bytes"},
        {"k-bin": "text"},
    ],
    ids=repr,
)
async def test_bad_metadata_is_refused_on_this_side(where: Where, bad: Any) -> None:
    started = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        started.append(call.metadata.get("k"))
        with pytest.raises(LocalProtocolError):
            await call.send_initial_metadata(bad)
        with pytest.raises(LocalProtocolError):
            call.set_trailing_metadata(bad)
        await call.send_initial_metadata({"k": "fine"})
        call.set_trailing_metadata({"k": "good"})

    async with wired(routed(handler), where) as channel:
        with pytest.raises(LocalProtocolError):
            async with channel.duplex(TALK, metadata=bad):
                raise AssertionError("the call was opened")
        assert channel.open_calls == 0
        async with channel.duplex(TALK, metadata={"k": "v"}) as call:
            assert (await call.initial_metadata()).get("k") == "fine"
            assert await drain(call) == []
            assert call.trailing_metadata.get("k") == "good"
    assert started == ["v"]


@pytest.mark.req("D-7")
@pytest.mark.parametrize("value", ["AAE", "AAE="], ids=["unpadded", "padded"])
async def test_binary_values_padded_or_not(backend: str, value: str) -> None:
    near, far = memory_link()
    peer = RawPeer(client=False)
    await far.send(peer.hello())
    async with Channel.over(near) as channel, channel.duplex(TALK) as call:
        while not any(frame.type == 1 for frame in peer.read(await far.receive())):
            pass
        await far.send(
            peer.response(1, ("b-bin", value)) + data(1, message(b"m")) + peer.trailers(1, 0, ("b-bin", value))
        )
        assert await drain(call) == [b"m"]
        assert (await call.initial_metadata()).get("b-bin") == b"\x00\x01"
        assert call.trailing_metadata.get("b-bin") == b"\x00\x01"
        await far.aclose()


@pytest.mark.req("D-7")
@pytest.mark.parametrize("value", ["AAE", "AAE="], ids=["unpadded", "padded"])
async def test_binary_values_of_a_client_padded_or_not(backend: str, value: str) -> None:
    client = RawPeer(client=True)
    async with serve(routed(reflect), "127.0.0.1:0") as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await stream.send(client.hello() + client.request(1, PATH, ("b-bin", value), end=True))
            frames: list[RawFrame] = []
            while sum(frame.type == 1 for frame in frames) < 2:
                frames += client.read(await stream.receive())
    lists = [frame for frame in frames if frame.type == 1]
    assert [frame.field(b"b-bin") for frame in lists] == [b"AAE", b"AAE"]


@pytest.mark.req("D-7")
async def test_metadata_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        mine = [pair for pair in context.invocation_metadata() if pair[0] in ("k", "other", "b-bin", "e-bin")]
        await context.send_initial_metadata(mine)
        context.set_trailing_metadata(tuple(mine))
        await context.read()

    async with aio.server(Talk=handler) as target, connect(target) as channel:
        async with channel.duplex(TALK, metadata=RICH) as call:
            back = await call.initial_metadata()
            assert {name: back.all(name) for name in ("k", "other", "b-bin", "e-bin")} == _grouped()
            await call.send_eof()
            assert await drain(call) == []
            back = call.trailing_metadata
            assert {name: back.all(name) for name in ("k", "other", "b-bin", "e-bin")} == _grouped()


def _grouped() -> dict[str, list[str | bytes]]:
    """Order is kept among equal names; grpcio may group them."""
    return {name: [value for key, value in RICH if key == name] for name, _ in RICH}


@pytest.mark.req("D-7")
async def test_metadata_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def body(channel: grpc.aio.Channel) -> tuple[list[Any], list[Any]]:
        call = channel.stream_stream(PATH)(metadata=RICH)
        initial = list(await call.initial_metadata())
        await call.done_writing()
        return initial, list(await call.trailing_metadata())

    async with serve(routed(reflect), "127.0.0.1:0") as server:
        for back in await aio.client(f"127.0.0.1:{server.port}", body):
            assert {name: [value for key, value in back if key == name] for name in _grouped()} == _grouped()


# --- D-11, D-12 -------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.req("D-11", "D-12")
async def test_the_server_speaks_first_and_not_one_to_one(where: Where) -> None:
    """One response that nobody asked for, one request, two responses to it."""

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send(b"unsolicited")
        asked = await call.receive()
        await call.send(asked + b": first")
        await call.send(asked + b": second")
        assert await drain(call) == []

    tape = Tape()
    async with wired(routed(handler), where, observer=tape) as channel, channel.duplex(TALK) as call:
        assert await call.receive() == b"unsolicited"
        assert tape.data("out") == 0  # before the client has sent anything
        await call.send(b"question")
        assert await call.receive() == b"question: first"
        assert await call.receive() == b"question: second"
        await call.send_eof()
        assert await drain(call) == []


@pytest.mark.req("D-11", "D-12")
async def test_speaking_first_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        await context.write(b"unsolicited")
        asked = await context.read()
        await context.write(asked + b": first")
        await context.write(asked + b": second")
        assert await context.read() == grpc.aio.EOF

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        assert await call.receive() == b"unsolicited"
        await call.send(b"question")
        assert [await call.receive(), await call.receive()] == [b"question: first", b"question: second"]
        await call.send_eof()
        assert await drain(call) == []


@pytest.mark.req("D-11", "D-12")
async def test_speaking_first_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send(b"unsolicited")
        asked = await call.receive()
        await call.send_all([asked + b": first", asked + b": second"])
        assert await drain(call) == []

    async def body(channel: grpc.aio.Channel) -> list[bytes]:
        call = channel.stream_stream(PATH)()
        heard = [await call.read()]
        await call.write(b"question")
        heard += [await call.read(), await call.read()]
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF
        assert await call.code() == grpc.StatusCode.OK
        return heard

    async with serve(routed(handler), "127.0.0.1:0") as server:
        heard = await aio.client(f"127.0.0.1:{server.port}", body)
    assert heard == [b"unsolicited", b"question: first", b"question: second"]
