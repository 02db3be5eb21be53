"""The service as the cases call it: every call carries the additional metadata of the flags."""

from __future__ import annotations

from typing import TypeVar, Unpack

from duplexcore import Metadata
from duplexcore.rpc import UnaryMethod
from duplexcore_anyio import CallOptions, Channel, ClientStreamingCall, DuplexCall, ServerStreamingCall, UnaryResult

from .methods import EMPTY_CALL, FULL_DUPLEX_CALL, STREAMING_INPUT_CALL, STREAMING_OUTPUT_CALL, UNARY_CALL
from .proto.interop_pb2 import (
    Empty,
    SimpleRequest,
    SimpleResponse,
    StreamingInputCallRequest,
    StreamingInputCallResponse,
    StreamingOutputCallRequest,
    StreamingOutputCallResponse,
)

__all__ = ["InputCall", "OutputCall", "Stub", "TalkCall"]

Req = TypeVar("Req")
Resp = TypeVar("Resp")

InputCall = ClientStreamingCall[StreamingInputCallRequest, StreamingInputCallResponse]
OutputCall = ServerStreamingCall[StreamingOutputCallResponse]
TalkCall = DuplexCall[StreamingOutputCallRequest, StreamingOutputCallResponse]


class Stub:
    """grpc.testing.TestService on a channel. Raises as the channel's own calls do."""

    def __init__(self, channel: Channel, metadata: Metadata) -> None:
        self.channel = channel
        self._metadata = metadata

    async def call(
        self, method: UnaryMethod[Req, Resp], request: Req, **options: Unpack[CallOptions]
    ) -> UnaryResult[Resp]:
        """Any unary method."""
        return await self.channel.unary_result(method, request, **self._with_metadata(options))

    async def empty(self, **options: Unpack[CallOptions]) -> UnaryResult[Empty]:
        return await self.call(EMPTY_CALL, Empty(), **options)

    async def unary(self, request: SimpleRequest, **options: Unpack[CallOptions]) -> UnaryResult[SimpleResponse]:
        return await self.call(UNARY_CALL, request, **options)

    def streaming_input(self, **options: Unpack[CallOptions]) -> InputCall:
        return self.channel.client_streaming(STREAMING_INPUT_CALL, **self._with_metadata(options))

    def streaming_output(self, request: StreamingOutputCallRequest, **options: Unpack[CallOptions]) -> OutputCall:
        return self.channel.server_streaming(STREAMING_OUTPUT_CALL, request, **self._with_metadata(options))

    def full_duplex(self, **options: Unpack[CallOptions]) -> TalkCall:
        return self.channel.duplex(FULL_DUPLEX_CALL, **self._with_metadata(options))

    def _with_metadata(self, options: CallOptions) -> CallOptions:
        return {**options, "metadata": self._metadata + options.get("metadata", ())}
