"""The messages that the cases send, in the sizes of the official description."""

from __future__ import annotations

from .proto.interop_pb2 import (
    BoolValue,
    Payload,
    ResponseParameters,
    SimpleRequest,
    StreamingInputCallRequest,
    StreamingOutputCallRequest,
)

__all__ = ["LARGE_REQUEST", "LARGE_RESPONSE", "input_request", "large", "output_request", "zeros"]

#: "large": bytes of the request's and of the response's payload.
LARGE_REQUEST = 271_828
LARGE_RESPONSE = 314_159


def zeros(size: int) -> Payload:
    return Payload(body=bytes(size))


def large(
    *,
    request_size: int = LARGE_REQUEST,
    response_size: int = LARGE_RESPONSE,
    response_compressed: bool | None = None,
    expect_compressed: bool | None = None,
) -> SimpleRequest:
    """The request of large_unary; what is None is left out."""
    return SimpleRequest(
        response_size=response_size,
        payload=zeros(request_size),
        response_compressed=_if_said(response_compressed),
        expect_compressed=_if_said(expect_compressed),
    )


def input_request(size: int, *, expect_compressed: bool | None = None) -> StreamingInputCallRequest:
    return StreamingInputCallRequest(payload=zeros(size), expect_compressed=_if_said(expect_compressed))


def output_request(
    *sizes: int, payload: int | None = None, compressed: tuple[bool, ...] = ()
) -> StreamingOutputCallRequest:
    """Asks for a response of each size; ``compressed`` says for each whether it is to come so."""
    said = compressed or (None,) * len(sizes)
    return StreamingOutputCallRequest(
        response_parameters=[
            ResponseParameters(size=size, compressed=_if_said(packed)) for size, packed in zip(sizes, said, strict=True)
        ],
        payload=None if payload is None else zeros(payload),
    )


def _if_said(value: bool | None) -> BoolValue | None:
    return None if value is None else BoolValue(value=value)
