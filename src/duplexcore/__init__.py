"""gRPC as a sans-IO duplex protocol state machine.

The engine: `ClientConnection` and `ServerConnection` turn bytes into events and commands into bytes; they do no I/O.
Transports that carry it stand beside it: `duplexcore_anyio`.
"""

from ._version import VERSION as __version__
from .call import (
    CallEnded,
    CallEvent,
    ClientCall,
    HalfClosed,
    InitialMetadata,
    Message,
    Origin,
    Receive,
    ReplayBudget,
    Send,
    ServerCall,
)
from .compression import Compression, compression_named, register_compression
from .config import AbuseLimits, ClientConfig, Limit, ServerConfig
from .connection import (
    CallReadable,
    CallRefused,
    CallsAvailable,
    CallStarted,
    CallWritable,
    ClientConnection,
    ConnectionClosed,
    ConnectionDraining,
    ConnectionEvent,
    ConnectionReady,
    ConnectionState,
    PeerWarning,
    ServerConnection,
    TimerKind,
)
from .errors import DuplexcoreError, LocalProtocolError, MessageTooLargeError, RpcError
from .http2 import Frame, FrameType
from .metadata import Metadata, MetadataLike
from .status import ErrorCode, Status, StatusCode

__all__ = [
    "AbuseLimits",
    "CallEnded",
    "CallEvent",
    "CallReadable",
    "CallRefused",
    "CallStarted",
    "CallWritable",
    "CallsAvailable",
    "ClientCall",
    "ClientConfig",
    "ClientConnection",
    "Compression",
    "ConnectionClosed",
    "ConnectionDraining",
    "ConnectionEvent",
    "ConnectionReady",
    "ConnectionState",
    "DuplexcoreError",
    "ErrorCode",
    "Frame",
    "FrameType",
    "HalfClosed",
    "InitialMetadata",
    "Limit",
    "LocalProtocolError",
    "Message",
    "MessageTooLargeError",
    "Metadata",
    "MetadataLike",
    "Origin",
    "PeerWarning",
    "Receive",
    "ReplayBudget",
    "RpcError",
    "Send",
    "ServerCall",
    "ServerConfig",
    "ServerConnection",
    "Status",
    "StatusCode",
    "TimerKind",
    "__version__",
    "compression_named",
    "register_compression",
]
