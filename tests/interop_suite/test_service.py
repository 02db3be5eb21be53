"""What our server does beyond what the cases look at: the rest of the official description, and its bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from duplexcore import ClientConfig, Metadata, RpcError, StatusCode
from duplexcore.interop import service
from duplexcore.interop.messages import LARGE_RESPONSE, input_request, large, output_request, zeros
from duplexcore.interop.methods import (
    FULL_DUPLEX_CALL,
    HALF_DUPLEX_CALL,
    STREAMING_INPUT_CALL,
    STREAMING_OUTPUT_CALL,
    UNARY_CALL,
)
from duplexcore.interop.proto.interop_pb2 import (
    BoolValue,
    EchoStatus,
    ResponseParameters,
    SimpleRequest,
    StreamingOutputCallRequest,
)
from duplexcore.interop.server import interop_router
from duplexcore_anyio import Channel
from tests.support.transport import ROUNDING, joined

ECHO = Metadata([("x-grpc-test-echo-initial", "there"), ("x-grpc-test-echo-trailing-bin", b"\0\xff")])


@asynccontextmanager
async def calling(**options: Any) -> AsyncIterator[Channel]:
    async with joined(interop_router("this one"), **options) as channel:
        yield channel


async def code_of(channel: Channel, request: SimpleRequest, **options: Any) -> StatusCode:
    with pytest.raises(RpcError) as raised:
        await channel.unary(UNARY_CALL, request, **options)
    return raised.value.code


# --- what is asked for and not served -------------------------------------------------------------------------------


async def test_a_response_type_that_is_not_supported_is_an_invalid_argument() -> None:
    kind: Any = 7
    request = StreamingOutputCallRequest(response_type=kind, response_parameters=[ResponseParameters(size=1)])
    async with calling() as channel:
        assert await code_of(channel, SimpleRequest(response_type=kind, response_size=1)) is StatusCode.INVALID_ARGUMENT
        for method in (FULL_DUPLEX_CALL, HALF_DUPLEX_CALL):
            async with channel.duplex(method) as call:
                await call.send(request)
                await call.send_eof()
                assert (await call.wait_closed()).code is StatusCode.INVALID_ARGUMENT
        async with channel.server_streaming(STREAMING_OUTPUT_CALL, request) as stream:
            assert (await stream.wait_closed()).code is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("size", [-1, service.MAX_RESPONSE + 1, 2**31 - 1])
async def test_a_response_of_a_size_that_is_none_or_too_much_is_an_invalid_argument(size: int) -> None:
    async with calling() as channel:
        assert await code_of(channel, SimpleRequest(response_size=size)) is StatusCode.INVALID_ARGUMENT


async def test_the_responses_that_are_kept_back_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_HELD_RESPONSES", 3)
    async with calling() as channel, channel.duplex(HALF_DUPLEX_CALL) as call:
        for _ in range(2):
            await call.send(output_request(1, 1))
        assert (await call.wait_closed()).code is StatusCode.RESOURCE_EXHAUSTED


# --- half-duplex, intervals -----------------------------------------------------------------------------------------


async def test_a_half_duplex_call_answers_after_the_half_close_and_in_order() -> None:
    async with calling() as channel, channel.duplex(HALF_DUPLEX_CALL) as call:
        await call.send(output_request(3, 1))
        await call.send(output_request(2))
        with anyio.move_on_after(0.05) as waiting:
            await call.receive()
        assert waiting.cancelled_caught
        await call.send_eof()
        assert [len(response.payload.body) async for response in call] == [3, 1, 2]


@pytest.mark.parametrize("method", [FULL_DUPLEX_CALL, HALF_DUPLEX_CALL], ids=lambda method: method.name)
async def test_each_response_waits_for_its_interval(method: Any) -> None:
    """Times are from below: a slow machine only makes them longer."""
    wanted = [ResponseParameters(size=1, interval_us=30_000), ResponseParameters(size=2, interval_us=30_000)]
    async with calling() as channel, channel.duplex(method) as call:
        start = anyio.current_time()
        await call.send(StreamingOutputCallRequest(response_parameters=wanted))
        await call.send_eof()
        await call.receive()
        assert anyio.current_time() - start >= 0.03 - ROUNDING
        await call.receive()
        assert anyio.current_time() - start >= 0.06 - ROUNDING


# --- the status that is asked for -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [FULL_DUPLEX_CALL, HALF_DUPLEX_CALL], ids=lambda method: method.name)
@pytest.mark.req("DUP-3", "DUP-15")
async def test_a_status_ends_the_call_at_once_and_later_requests_are_not_read(method: Any) -> None:
    status = EchoStatus(code=StatusCode.ABORTED, message="enough")
    async with calling() as channel, channel.duplex(method) as call:
        await call.send(StreamingOutputCallRequest(response_status=status))
        await call.send(output_request(1))
        with pytest.raises(RpcError) as raised:  # though the client has not half-closed
            await call.receive()
        assert (raised.value.code, raised.value.message) == (StatusCode.ABORTED, "enough")


async def test_responses_that_were_asked_for_before_the_status_still_come() -> None:
    async with calling() as channel, channel.duplex(FULL_DUPLEX_CALL) as call:
        await call.send(output_request(5))
        await call.send(StreamingOutputCallRequest(response_status=EchoStatus(code=StatusCode.ABORTED)))
        assert len((await call.receive()).payload.body) == 5
        assert (await call.wait_closed()).code is StatusCode.ABORTED


async def test_the_status_ok_ends_a_call_too() -> None:
    wanted = EchoStatus(code=StatusCode.OK)
    async with calling() as channel:
        assert (await channel.unary(UNARY_CALL, SimpleRequest(response_size=9, response_status=wanted))).ByteSize() == 0
        async with channel.duplex(FULL_DUPLEX_CALL) as call:
            await call.send(StreamingOutputCallRequest(response_status=wanted))
            assert (await call.wait_closed()).ok


@pytest.mark.parametrize("code", [-1, 17, 2**31 - 1])
@pytest.mark.req("STAT-6")
async def test_a_code_that_is_none_is_unknown(code: int) -> None:
    async with calling() as channel:
        request = SimpleRequest(response_status=EchoStatus(code=code, message="odd"))
        assert await code_of(channel, request) is StatusCode.UNKNOWN


# --- metadata, the server's id --------------------------------------------------------------------------------------


async def test_metadata_is_echoed_by_each_kind_of_call_also_with_an_error() -> None:
    async with calling() as channel:
        with pytest.raises(RpcError) as raised:
            request = SimpleRequest(response_status=EchoStatus(code=StatusCode.ABORTED))
            await channel.unary(UNARY_CALL, request, metadata=ECHO)
        assert raised.value.initial_metadata.get(ECHO[0][0]) == "there"
        assert raised.value.trailing_metadata.get(ECHO[1][0]) == b"\0\xff"
        async with channel.server_streaming(STREAMING_OUTPUT_CALL, output_request(1), metadata=ECHO) as call:
            assert (await call.initial_metadata()).all(ECHO[0][0]) == ["there"]
            await call.wait_closed()
            assert call.trailing_metadata.all(ECHO[1][0]) == [b"\0\xff"]


async def test_the_server_says_which_it_is_only_where_it_is_asked() -> None:
    async with calling() as channel:
        assert (await channel.unary(UNARY_CALL, SimpleRequest(fill_server_id=True))).server_id == "this one"
        assert (await channel.unary(UNARY_CALL, SimpleRequest())).server_id == ""
    assert service.InteropService().server_id != service.InteropService().server_id


# --- compression ----------------------------------------------------------------------------------------------------


@pytest.mark.req("COMP-8", "COMP-9")
async def test_a_response_is_compressed_where_it_is_asked_for_even_if_that_makes_it_longer() -> None:
    tiny = SimpleRequest(response_size=1, response_compressed=BoolValue(value=True))
    async with calling() as channel:
        assert (await channel.unary_result(UNARY_CALL, tiny)).was_compressed
        for method in (FULL_DUPLEX_CALL, HALF_DUPLEX_CALL):
            async with channel.duplex(method) as call:
                await call.send(output_request(1, 1, compressed=(True, False)))
                await call.send_eof()
                assert [call.was_compressed async for _ in call] == [True, False]


@pytest.mark.req("COMP-8")
async def test_nothing_is_compressed_that_was_not_asked_for() -> None:
    async with calling() as channel:
        assert not (await channel.unary_result(UNARY_CALL, large())).was_compressed
        async with channel.duplex(FULL_DUPLEX_CALL) as call:
            await call.send(output_request(LARGE_RESPONSE))
            await call.receive()
            assert not call.was_compressed


@pytest.mark.req("COMP-7")
async def test_a_client_that_takes_no_coding_gets_plain_responses() -> None:
    async with calling(client=ClientConfig(compressions=())) as channel:
        result = await channel.unary_result(UNARY_CALL, large(response_compressed=True))
        assert len(result.response.payload.body) == LARGE_RESPONSE
        assert not result.was_compressed


@pytest.mark.req("COMP-11")
async def test_what_comes_otherwise_than_the_client_says_is_an_invalid_argument() -> None:
    async with calling() as channel:
        wrong = large(expect_compressed=False)
        assert await code_of(channel, wrong, compression="gzip") is StatusCode.INVALID_ARGUMENT
        async with channel.client_streaming(STREAMING_INPUT_CALL, compression="gzip") as call:
            await call.send(input_request(1000, expect_compressed=True), compress=True)
            await call.send(input_request(1000, expect_compressed=True), compress=False)
            with pytest.raises(RpcError, match="this request came plain"):
                await call.response()
        says_nothing = SimpleRequest(payload=zeros(1000))
        assert (await channel.unary(UNARY_CALL, says_nothing, compression="gzip")).payload.body == b""
