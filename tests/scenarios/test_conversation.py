"""The conversation that is pictured at the top of docs/scenarios.md, step by step."""

from __future__ import annotations

from typing import Any

import grpc.aio
import pytest

from duplexcore import FrameType
from duplexcore.cli.proto.conversation_pb2 import InputMessage, OutputMessage
from duplexcore.rpc import DuplexMethod
from duplexcore_anyio import Channel, DuplexServerCall, Router, connect, serve
from tests.scenarios.wire import Tape, Where, everywhere, wired
from tests.support.grpc_aio_peer import AioPeer

METHOD = DuplexMethod("/duplexcore.demo.v1.Conversation/DuplexStreamingFunction", InputMessage, OutputMessage)

RESPONSES = [
    OutputMessage(number=1, text="welcome, guest"),
    OutputMessage(number=2, text="one", in_reply_to=1),
    OutputMessage(number=3, text="two", in_reply_to=1),
    OutputMessage(number=4, text="goodbye"),
]
REQUEST = InputMessage(number=1, text="hello")


async def converse(call: DuplexServerCall[InputMessage, OutputMessage]) -> None:
    assert call.metadata.get("guest") == "yes"
    await call.send(RESPONSES[0])
    assert await call.receive() == REQUEST
    for response in RESPONSES[1:]:
        await call.send(response)
    call.set_trailing_metadata({"mood": "good"})


async def join(channel: Channel) -> None:
    async with channel.duplex(METHOD, metadata={"guest": "yes"}) as call:
        assert await call.receive() == RESPONSES[0]  # before any request
        await call.send(REQUEST)
        assert await call.receive() == RESPONSES[1]
        assert await call.receive() == RESPONSES[2]  # two answers to one request
        assert [response async for response in call] == [RESPONSES[3]]
        assert call.status is not None
        assert call.status.ok
        assert call.trailing_metadata.get("mood") == "good"


router = Router()
router.add(METHOD, converse)


@everywhere
@pytest.mark.req("D-5", "D-7", "D-11", "D-12", "D-14")
async def test_the_pictured_conversation(where: Where) -> None:
    tape = Tape()
    async with wired(router, where, observer=tape) as channel:
        await join(channel)
    told = [
        (direction, FrameType(frame.type).name)
        for direction, frame in tape.frames
        if frame.stream_id and frame.type in (FrameType.HEADERS, FrameType.DATA)
    ]
    assert told[:4] == [("out", "HEADERS"), ("in", "HEADERS"), ("in", "DATA"), ("out", "DATA")]
    assert told[-1] == ("in", "HEADERS")
    assert tape.ends("out") == 0  # the client never half-closed


@pytest.mark.req("D-5", "D-7", "D-11", "D-12", "D-14")
async def test_the_pictured_conversation_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        await context.write(RESPONSES[0])
        assert await context.read() == REQUEST
        for response in RESPONSES[1:]:
            await context.write(response)
        context.set_trailing_metadata((("mood", "good"),))

    served = grpc.stream_stream_rpc_method_handler(handler, InputMessage.FromString, OutputMessage.SerializeToString)
    service = grpc.method_handlers_generic_handler(METHOD.service, {METHOD.name: served})
    async with aio.serving(service) as target, connect(target) as channel:
        await join(channel)


@pytest.mark.req("D-5", "D-7", "D-11", "D-12", "D-14")
async def test_the_pictured_conversation_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def body(channel: grpc.aio.Channel) -> None:
        stub = channel.stream_stream(METHOD.path, InputMessage.SerializeToString, OutputMessage.FromString)
        call = stub(metadata=[("guest", "yes")])
        assert await call.read() == RESPONSES[0]
        await call.write(REQUEST)
        assert [await call.read() for _ in range(3)] == RESPONSES[1:]
        assert await call.read() == grpc.aio.EOF
        assert await call.code() == grpc.StatusCode.OK
        assert dict(await call.trailing_metadata())["mood"] == "good"

    async with serve(router, "127.0.0.1:0") as server:
        await aio.client(f"127.0.0.1:{server.port}", body)
