"""gRPC on asyncio and trio, through anyio: `connect` to a server, `serve` one. The engine is `duplexcore`."""

try:
    import anyio as _anyio
except ImportError as error:
    raise ImportError("duplexcore_anyio needs anyio: pip install 'duplexcore[anyio]'") from error
else:
    del _anyio

from .backoff import Backoff
from .channel import CallOptions, Channel, UnaryResult
from .channel_state import ChannelState
from .client_calls import ClientStreamingCall, DuplexCall, ServerStreamingCall
from .connecting import Connecting, connect
from .credentials import CallCredentials
from .driver import Observer
from .errors import (
    AddressInUseError,
    CallClosedError,
    ConnectError,
    ConnectRefusedError,
    ConnectTimeoutError,
    HandshakeError,
    HostNotFoundError,
    ListenError,
    TLSError,
)
from .exchange import Exchange
from .links import memory_link
from .router import Router
from .server import Server, Serving, serve
from .server_calls import ClientStreamingServerCall, DuplexServerCall, ServerContext
from .serving import serve_stream
from .streams import CallReader, CallWriter, RequestWriter
from .tls import client_tls, server_tls

__all__ = [
    "AddressInUseError",
    "Backoff",
    "CallClosedError",
    "CallCredentials",
    "CallOptions",
    "CallReader",
    "CallWriter",
    "Channel",
    "ChannelState",
    "ClientStreamingCall",
    "ClientStreamingServerCall",
    "ConnectError",
    "ConnectRefusedError",
    "ConnectTimeoutError",
    "Connecting",
    "DuplexCall",
    "DuplexServerCall",
    "Exchange",
    "HandshakeError",
    "HostNotFoundError",
    "ListenError",
    "Observer",
    "RequestWriter",
    "Router",
    "Server",
    "ServerContext",
    "ServerStreamingCall",
    "Serving",
    "TLSError",
    "UnaryResult",
    "client_tls",
    "connect",
    "memory_link",
    "serve",
    "serve_stream",
    "server_tls",
]
