"""Services that do one thing wrong each: what the cases must catch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from duplexcore import AbuseLimits, Metadata, RpcError, ServerConfig, StatusCode
from duplexcore.interop import methods
from duplexcore.interop.proto import interop_pb2 as pb
from duplexcore.interop.service import InteropService
from duplexcore_anyio import DuplexServerCall, Router, ServerContext

__all__ = ["WRONG", "Wrong", "router_of"]

Talk = DuplexServerCall[Any, Any]


@dataclass(frozen=True)
class Wrong:
    """A server that is wrong, the case that catches it, and what its report says besides."""

    case: str
    name: str
    says: str  # a pattern
    service: Callable[[], InteropService] = InteropService
    config: ServerConfig = field(default_factory=ServerConfig)
    more: Callable[[Router], None] = lambda _: None
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.case}-{self.name}"


def router_of(service: InteropService) -> Router:
    router = Router()
    service.add_to(router)
    return router


WRONG: list[Wrong] = []


def caught(case: str, says: str, **more: Any) -> Callable[[type[InteropService]], type[InteropService]]:
    """The class below is what ``case`` catches; may stand there several times."""

    def keep(service: type[InteropService]) -> type[InteropService]:
        WRONG.append(Wrong(case, service.__name__, says, service, **more))
        return service

    return keep


# --- unary ----------------------------------------------------------------------------------------------------------


@caught("empty_unary", "expected a message of 0 bytes.*came one of 2.*FRM-3")
class AnswersWithBytes(InteropService):
    async def empty_call(self, request: Any, context: ServerContext) -> Any:
        return pb.Empty.FromString(b"\x08\x01")


@caught("empty_unary", "what EmptyCall with an empty message.*expected OK.*came UNAVAILABLE: not today")
class RefusesEmptyCalls(InteropService):
    async def empty_call(self, request: Any, context: ServerContext) -> Any:
        raise RpcError(StatusCode.UNAVAILABLE, "not today")


@caught("large_unary", "expected a body of 314159 bytes.*came one of 314158.*FLOW-4")
@caught("rpc_soak", "iterations that fail.*came 3, the first of them iteration 0 failed: .* 314158")
@caught("channel_soak", "iterations that fail.*came 3, the first of them iteration 0 failed: .* 314158")
@caught("concurrent_large_unary", "response of call .*314159.*came one of 314158")
@caught("long_lived_channel", "response of call 1.*314159.*came one of 314158")
class OneByteShort(InteropService):
    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        return pb.SimpleResponse(payload=pb.Payload(body=bytes(request.response_size - 1)))


@caught("client_compressed_unary", "the probe.*expected INVALID_ARGUMENT.*came OK.*COMP-11")
@caught("client_compressed_streaming", "the probe.*expected INVALID_ARGUMENT.*came OK.*COMP-11")
class TakesAnyCompression(InteropService):
    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        request.ClearField("expect_compressed")
        return await super().unary_call(request, context)

    async def streaming_input_call(self, call: Any) -> Any:
        return pb.StreamingInputCallResponse(
            aggregated_payload_size=sum([len(request.payload.body) async for request in call])
        )


@caught("client_compressed_unary", "UnaryCall sent compressed with gzip.*expected OK.*came INVALID_ARGUMENT")
@caught("client_compressed_streaming", "a compressed and a plain request.*expected OK.*came INVALID_ARGUMENT")
class SeesNoCompression(InteropService):
    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        if request.expect_compressed.value:
            raise RpcError(StatusCode.INVALID_ARGUMENT, "it came plain")
        return await super().unary_call(request, context)

    async def streaming_input_call(self, call: Any) -> Any:
        async for request in call:
            if request.expect_compressed.value:
                raise RpcError(StatusCode.INVALID_ARGUMENT, "it came plain")
        return pb.StreamingInputCallResponse()


@caught("server_compressed_unary", "response_compressed true.*flag set.*came.*flag clear.*COMP-7")
@caught("server_compressed_streaming", "response 1.*flag set.*came.*flag clear.*COMP-8")
class NeverCompresses(InteropService):
    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        request.ClearField("response_compressed")
        return await super().unary_call(request, context)

    async def streaming_output_call(self, request: Any, context: ServerContext) -> AsyncIterator[Any]:
        for wanted in request.response_parameters:
            wanted.ClearField("compressed")
        async for response in super().streaming_output_call(request, context):
            yield response


@caught("server_compressed_unary", "response_compressed false.*flag clear.*came.*flag set.*COMP-8")
@caught("server_compressed_streaming", "response 2.*flag clear.*came.*flag set.*COMP-8")
class AlwaysCompresses(InteropService):
    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        request.response_compressed.value = True
        return await super().unary_call(request, context)

    async def streaming_output_call(self, request: Any, context: ServerContext) -> AsyncIterator[Any]:
        for wanted in request.response_parameters:
            wanted.compressed.value = True
        async for response in super().streaming_output_call(request, context):
            yield response


# --- streams --------------------------------------------------------------------------------------------------------


@caught("client_streaming", "aggregated_payload_size.*expected 74922.*came 27182")
@caught("client_compressed_streaming", "aggregated_payload_size.*expected 73086.*came 27182")
class CountsTheFirst(InteropService):
    async def streaming_input_call(self, call: Any) -> Any:
        first = await call.receive()
        if first.expect_compressed.value and not call.was_compressed:
            raise RpcError(StatusCode.INVALID_ARGUMENT)
        return pb.StreamingInputCallResponse(aggregated_payload_size=len(first.payload.body))


@caught("server_streaming", "response 4.*expected a body of 58979 bytes.*came the end of the call, OK")
@caught("server_compressed_streaming", "response 2.*expected a body of 92653 bytes.*came the end of the call, OK")
class SendsOneTooFew(InteropService):
    async def streaming_output_call(self, request: Any, context: ServerContext) -> AsyncIterator[Any]:
        del request.response_parameters[-1]
        async for response in super().streaming_output_call(request, context):
            yield response


@caught("server_streaming", "after response 4.*expected the end of the call.*came a response with a body of 7 bytes")
@caught("server_compressed_streaming", "after response 2.*expected the end.*came a response with a body of 7 bytes")
class SendsOneTooMany(InteropService):
    async def streaming_output_call(self, request: Any, context: ServerContext) -> AsyncIterator[Any]:
        request.response_parameters.add(size=7)
        async for response in super().streaming_output_call(request, context):
            yield response


@caught("server_streaming", "response 1.*expected a body of 31415 bytes.*came one of 58979")
class SendsBackwards(InteropService):
    async def streaming_output_call(self, request: Any, context: ServerContext) -> AsyncIterator[Any]:
        for wanted in reversed(request.response_parameters):
            yield pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(wanted.size)))


@caught("ping_pong", "request 1 of a FullDuplexCall.*came nothing for so long", options={"case_timeout": 0.3})
class AnswersAfterTheHalfClose(InteropService):
    async def full_duplex_call(self, call: Talk) -> None:
        await self.half_duplex_call(call)


@caught("ping_pong", "request 1.*expected a body of 31415 bytes.*came the end of the call, OK.*DUP-2")
@caught("cancel_after_first_response", "first response.*expected a body of 31415.*came the end of the call, OK")
@caught("custom_metadata", "response of FullDuplexCall.*expected a body of 314159.*came the end of the call, OK")
class EndsAtOnce(InteropService):
    async def full_duplex_call(self, call: Talk) -> None:
        return


@caught(
    "ping_pong", "after response 4 and the half-close.*expected the end of the call.*came a response with a body of 3"
)
@caught("empty_stream", "half-closed without a request.*expected the end.*came a response with a body of 3.*DUP-34")
class SaysGoodBye(InteropService):
    async def full_duplex_call(self, call: Talk) -> None:
        await super().full_duplex_call(call)
        await call.send(pb.StreamingOutputCallResponse(payload=pb.Payload(body=b"bye")))


@caught("empty_stream", "expected OK.*came INVALID_ARGUMENT: no request")
class WantsARequest(InteropService):
    async def full_duplex_call(self, call: Talk) -> None:
        async for _ in call:
            pass
        raise RpcError(StatusCode.INVALID_ARGUMENT, "no request")


# --- metadata and status --------------------------------------------------------------------------------------------


def without(*names: str) -> Callable[[ServerContext], None]:
    """Makes a context forget what the client sent under some names."""

    def forget(context: ServerContext) -> None:
        engine = context._core.engine
        kept = Metadata([(name, value) for name, value in context.metadata if name not in names])
        engine.metadata = kept

    return forget


@caught("custom_metadata", "x-grpc-test-echo-initial in the initial metadata of UnaryCall.*came None")
class DropsInitialMetadata(InteropService):
    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        without("x-grpc-test-echo-initial")(context)
        return await super().unary_call(request, context)


@caught("custom_metadata", "x-grpc-test-echo-trailing-bin in the trailers of FullDuplexCall.*came None.*MD-5")
class DropsTrailersOfStreams(InteropService):
    async def full_duplex_call(self, call: Talk) -> None:
        without("x-grpc-test-echo-trailing-bin")(call)
        await super().full_duplex_call(call)


@caught("custom_metadata", r"trailers of UnaryCall.*xab\\xab\\xab.*came b'q6ur'")
class EchoesTheBase64(InteropService):
    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        response = await super().unary_call(request, context)
        context.set_trailing_metadata([("x-grpc-test-echo-trailing-bin", b"q6ur")])
        return response


@caught("status_code_and_message", "UnaryCall that asks for a status.*expected UNKNOWN.*came OK")
@caught("special_status_message", "expected UNKNOWN.*came OK")
class EndsWithOk(InteropService):
    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        return pb.SimpleResponse()


@caught("status_code_and_message", "message of UnaryCall.*expected 'test status message'.*came 'oops'")
@caught("special_status_message", "the status message.*came 'oops'.*STAT-8")
class SaysItInOtherWords(InteropService):
    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        raise RpcError(StatusCode.UNKNOWN, "oops")


@caught("status_code_and_message", "FullDuplexCall that asks for a status.*expected UNKNOWN.*came INTERNAL.*DUP-3")
class HasOneCodeForStreams(InteropService):
    async def full_duplex_call(self, call: Talk) -> None:
        raise RpcError(StatusCode.INTERNAL, "test status message")


@caught("special_status_message", "the status message.*BMP .* came 'test with whitespace")
class StripsTheMessage(InteropService):
    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        raise RpcError(StatusCode.UNKNOWN, request.response_status.message.strip())


async def _empty(request: Any, context: ServerContext) -> Any:
    return pb.Empty()


async def _lost(request: Any, context: ServerContext) -> Any:
    raise RpcError(StatusCode.NOT_FOUND, "lost")


def _serves(method: Any, handler: Callable[[Any, ServerContext], Awaitable[Any]]) -> Callable[[Router], None]:
    return lambda router: router.add(method, handler)


WRONG += [
    Wrong(
        case,
        handler.__name__,
        f"{method.path}, which the server does not have.*expected UNIMPLEMENTED.*came {came}.*STAT-12",
        more=_serves(method, handler),
    )
    for case, method in (
        ("unimplemented_method", methods.UNIMPLEMENTED_METHOD),
        ("unimplemented_service", methods.UNIMPLEMENTED_SERVICE),
    )
    for handler, came in ((_empty, "OK"), (_lost, "NOT_FOUND: lost"))
]

# --- ends -----------------------------------------------------------------------------------------------------------

_UNFORGIVING = ServerConfig(abuse=AbuseLimits(peer_resets=0))
_GONE = "EmptyCall on the same connection.*CANC-4.*expected OK.*came UNAVAILABLE"

WRONG += [
    Wrong(case, "ends-the-connection-at-a-reset", _GONE, config=_UNFORGIVING)
    for case in ("cancel_after_begin", "cancel_after_first_response")
]


@caught("timeout_on_sleeping_server", "deadline of .* ms.*expected DEADLINE_EXCEEDED.*came OK.*DEAD-5")
class DoesNotSleep(InteropService):
    async def full_duplex_call(self, call: Talk) -> None:
        return


@caught("timeout_on_sleeping_server", "expected the end of the call, OK.*came a response with a body of 1 bytes")
class AnswersUnasked(InteropService):
    async def full_duplex_call(self, call: Talk) -> None:
        await call.send(pb.StreamingOutputCallResponse(payload=pb.Payload(body=b"?")))
        await anyio.sleep_forever()


# --- many -----------------------------------------------------------------------------------------------------------


@caught("pick_first_unary", "server_id in the response 1.*expected not empty.*CHAN-9")
class HasNoId(InteropService):
    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        return pb.SimpleResponse()


@caught("pick_first_unary", "server_id in the response 3.*expected 'a'.*came 'b'")
class IsTwoServers(InteropService):
    calls = 0

    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        self.calls += 1
        return pb.SimpleResponse(server_id="a" if self.calls < 3 else "b")


@caught("rpc_soak", "at most 0 iterations that fail.*came 1, the first of them iteration 1 failed: ABORTED")
@caught("channel_soak", "at most 0 iterations that fail.*came 1, the first of them iteration 1 failed: ABORTED")
@caught("concurrent_large_unary", "20 large UnaryCalls at once.*expected OK.*came ABORTED")
@caught("long_lived_channel", "UnaryCall 2 of 5.*expected OK.*came ABORTED")
class FailsTheSecondCall(InteropService):
    calls = 0

    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        self.calls += 1
        if self.calls == 2:
            raise RpcError(StatusCode.ABORTED)
        return await super().unary_call(request, context)


@caught("rpc_soak", "expected 3 iterations within 0.5 s.*came [01]", options={"soak_overall_timeout": 0.5})
@caught("channel_soak", "expected 3 iterations within 0.5 s.*came [01]", options={"soak_overall_timeout": 0.5})
@caught("concurrent_large_unary", "20 large .*came nothing for so long", options={"case_timeout": 1.0})
class StopsAfterTheFirst(InteropService):
    calls = 0

    async def unary_call(self, request: Any, context: ServerContext) -> Any:
        self.calls += 1
        if self.calls > 1:
            await anyio.sleep_forever()
        return await super().unary_call(request, context)


WRONG += [
    Wrong(
        case,
        "too-slow",
        "at most 0 iterations.*came 3, the first of them iteration 0 failed: it took longer than 1e-06 ms",
        options={"soak_per_iteration_max_acceptable_latency": 1e-9},
    )
    for case in ("rpc_soak", "channel_soak")
]
