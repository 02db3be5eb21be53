"""What a server offers to the cases: grpc.testing.TestService, with every feature that they ask for."""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import AsyncIterator, Iterable
from typing import cast

import anyio

from duplexcore import Metadata, RpcError, Status, StatusCode
from duplexcore_anyio import ClientStreamingServerCall, DuplexServerCall, Router, ServerContext

from .methods import (
    EMPTY_CALL,
    FULL_DUPLEX_CALL,
    HALF_DUPLEX_CALL,
    STREAMING_INPUT_CALL,
    STREAMING_OUTPUT_CALL,
    UNARY_CALL,
)
from .proto.interop_pb2 import (
    COMPRESSABLE,
    BoolValue,
    Empty,
    Payload,
    ResponseParameters,
    SimpleRequest,
    SimpleResponse,
    StreamingInputCallRequest,
    StreamingInputCallResponse,
    StreamingOutputCallRequest,
    StreamingOutputCallResponse,
)

__all__ = ["ECHO_INITIAL", "ECHO_TRAILING", "InteropService"]

#: EchoMetadata: what comes under the first goes back as initial metadata, under the second as trailing.
ECHO_INITIAL = "x-grpc-test-echo-initial"
ECHO_TRAILING = "x-grpc-test-echo-trailing-bin"
#: The coding of responses that are asked for compressed; the one that every implementation has.
CODING = "gzip"
#: No case asks for more; what a stranger asks for has a bound.
MAX_RESPONSE = 64 * 1024 * 1024
MAX_HELD_RESPONSES = 100_000

DuplexCall = DuplexServerCall[StreamingOutputCallRequest, StreamingOutputCallResponse]


class InteropService:
    """The handlers. ``server_id``: what `SimpleRequest.fill_server_id` is answered with; made up when not given."""

    def __init__(self, server_id: str = "") -> None:
        self.server_id = server_id or f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def add_to(self, router: Router) -> None:
        """Serves the methods. UnimplementedCall is none of them: that it is missing is what a case looks at."""
        router.add(EMPTY_CALL, self.empty_call)
        router.add(UNARY_CALL, self.unary_call)
        router.add(STREAMING_OUTPUT_CALL, self.streaming_output_call)
        router.add(STREAMING_INPUT_CALL, self.streaming_input_call)
        router.add(FULL_DUPLEX_CALL, self.full_duplex_call)
        router.add(HALF_DUPLEX_CALL, self.half_duplex_call)

    async def empty_call(self, request: Empty, context: ServerContext) -> Empty:
        return Empty()

    async def unary_call(self, request: SimpleRequest, context: ServerContext) -> SimpleResponse:
        _check_compressed(request, context)
        _choose_compression(context, [request.response_compressed])
        await _echo_metadata(context)
        if _says_ok(request):
            return SimpleResponse()
        response = SimpleResponse(payload=_payload(request.response_type, request.response_size))
        if request.fill_server_id:
            response.server_id, response.hostname = self.server_id, platform.node()
        context.compress_next(request.response_compressed.value)
        return response

    async def streaming_output_call(
        self, request: StreamingOutputCallRequest, context: ServerContext
    ) -> AsyncIterator[StreamingOutputCallResponse]:
        _choose_compression(context, [wanted.compressed for wanted in request.response_parameters])
        await _echo_metadata(context)
        if _says_ok(request):
            return
        for wanted in request.response_parameters:
            response = await _due(request.response_type, wanted)
            context.compress_next(wanted.compressed.value)
            yield response

    async def streaming_input_call(
        self, call: ClientStreamingServerCall[StreamingInputCallRequest]
    ) -> StreamingInputCallResponse:
        await _echo_metadata(call)
        size = 0
        async for request in call:
            _check_compressed(request, call)
            size += len(request.payload.body)
        return StreamingInputCallResponse(aggregated_payload_size=size)

    async def full_duplex_call(self, call: DuplexCall) -> None:
        call.choose_compression(CODING)  # which requests will come, nobody knows yet
        await _echo_metadata(call)
        async for request in call:
            if _says_ok(request):
                return
            await _answer(call, request.response_type, request.response_parameters)

    async def half_duplex_call(self, call: DuplexCall) -> None:
        held: list[tuple[int, ResponseParameters]] = []
        async for request in call:
            if _says_ok(request):
                return
            held.extend((request.response_type, wanted) for wanted in request.response_parameters)
            if len(held) > MAX_HELD_RESPONSES:
                raise RpcError(StatusCode.RESOURCE_EXHAUSTED, f"at most {MAX_HELD_RESPONSES} responses are kept back")
        _choose_compression(call, [wanted.compressed for _, wanted in held])
        await _echo_metadata(call)
        for kind, wanted in held:
            await _answer(call, kind, [wanted])


async def _answer(call: DuplexCall, kind: int, parameters: Iterable[ResponseParameters]) -> None:
    for wanted in parameters:
        response = await _due(kind, wanted)
        await call.send(response, compress=wanted.compressed.value)


async def _due(kind: int, wanted: ResponseParameters) -> StreamingOutputCallResponse:
    """The response, when its time has come: ``interval_us`` after the one before."""
    if wanted.interval_us > 0:
        await anyio.sleep(wanted.interval_us / 1e6)
    return StreamingOutputCallResponse(payload=_payload(kind, wanted.size))


def _payload(kind: int, size: int) -> Payload:
    if kind != COMPRESSABLE:
        raise RpcError(
            StatusCode.INVALID_ARGUMENT, f"response_type {kind} is not supported: there is only COMPRESSABLE"
        )
    if not 0 <= size <= MAX_RESPONSE:
        raise RpcError(StatusCode.INVALID_ARGUMENT, f"a response of {size} bytes: from 0 to {MAX_RESPONSE} are served")
    return Payload(type=COMPRESSABLE, body=bytes(size))


def _says_ok(request: SimpleRequest | StreamingOutputCallRequest) -> bool:
    """EchoStatus: a status that is asked for ends the call at once, and is raised when it is an error; what the client
    still sends is not read."""
    if not request.HasField("response_status"):
        return False
    wanted = request.response_status
    if wanted.code == StatusCode.OK:
        return True
    raise RpcError(Status(cast("StatusCode", wanted.code), wanted.message))  # it makes UNKNOWN of what is no code


def _check_compressed(request: SimpleRequest | StreamingInputCallRequest, context: ServerContext) -> None:
    """CompressedRequest: whether the request came as the client says that it sent it."""
    if request.HasField("expect_compressed") and request.expect_compressed.value != context.was_compressed:
        came = "compressed" if context.was_compressed else "plain"
        raise RpcError(StatusCode.INVALID_ARGUMENT, f"expect_compressed says otherwise: this request came {came}")


def _choose_compression(context: ServerContext, wishes: Iterable[BoolValue]) -> None:
    """CompressedResponse: the coding has to be told before the first message. Nobody asked: none."""
    if any(wish.value for wish in wishes):
        context.choose_compression(CODING)


async def _echo_metadata(context: ServerContext) -> None:
    """EchoMetadata. Initial metadata goes out at once only if there is any: errors stay Trailers-Only (STAT-3)."""
    received = context.metadata.echoable()
    initial, trailing = (Metadata([(key, v) for v in received.all(key)]) for key in (ECHO_INITIAL, ECHO_TRAILING))
    context.set_trailing_metadata(trailing)
    if initial:
        await context.send_initial_metadata(initial)
