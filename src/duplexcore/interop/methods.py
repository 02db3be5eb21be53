"""The methods of the interop service, as values: grpc.testing.TestService."""

from __future__ import annotations

from duplexcore.rpc import ClientStreamingMethod, DuplexMethod, ServerStreamingMethod, UnaryMethod

from .proto.interop_pb2 import (
    Empty,
    SimpleRequest,
    SimpleResponse,
    StreamingInputCallRequest,
    StreamingInputCallResponse,
    StreamingOutputCallRequest,
    StreamingOutputCallResponse,
)

__all__ = [
    "EMPTY_CALL",
    "FULL_DUPLEX_CALL",
    "HALF_DUPLEX_CALL",
    "STREAMING_INPUT_CALL",
    "STREAMING_OUTPUT_CALL",
    "UNARY_CALL",
    "UNIMPLEMENTED_METHOD",
    "UNIMPLEMENTED_SERVICE",
]

_SERVICE = "/grpc.testing.TestService"

EMPTY_CALL = UnaryMethod(f"{_SERVICE}/EmptyCall", Empty, Empty)
UNARY_CALL = UnaryMethod(f"{_SERVICE}/UnaryCall", SimpleRequest, SimpleResponse)
STREAMING_OUTPUT_CALL = ServerStreamingMethod(
    f"{_SERVICE}/StreamingOutputCall", StreamingOutputCallRequest, StreamingOutputCallResponse
)
STREAMING_INPUT_CALL = ClientStreamingMethod(
    f"{_SERVICE}/StreamingInputCall", StreamingInputCallRequest, StreamingInputCallResponse
)
FULL_DUPLEX_CALL = DuplexMethod(f"{_SERVICE}/FullDuplexCall", StreamingOutputCallRequest, StreamingOutputCallResponse)
HALF_DUPLEX_CALL = DuplexMethod(f"{_SERVICE}/HalfDuplexCall", StreamingOutputCallRequest, StreamingOutputCallResponse)
#: No server has these two.
UNIMPLEMENTED_METHOD = UnaryMethod(f"{_SERVICE}/UnimplementedCall", Empty, Empty)
UNIMPLEMENTED_SERVICE = UnaryMethod("/grpc.testing.UnimplementedService/UnimplementedCall", Empty, Empty)
