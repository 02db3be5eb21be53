"""The typed API's pure half: methods as values, codecs, and which handler serves which method. No I/O."""

from .codec import BytesCodec, Codec, ProtobufCodec, codec_for
from .methods import ClientStreamingMethod, DuplexMethod, Method, MethodKind, ServerStreamingMethod, UnaryMethod
from .rich_status import RICH_STATUS, rich_status
from .service import HandlerTable, Registered

__all__ = [
    "RICH_STATUS",
    "BytesCodec",
    "ClientStreamingMethod",
    "Codec",
    "DuplexMethod",
    "HandlerTable",
    "Method",
    "MethodKind",
    "ProtobufCodec",
    "Registered",
    "ServerStreamingMethod",
    "UnaryMethod",
    "codec_for",
    "rich_status",
]
