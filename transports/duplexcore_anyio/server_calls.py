"""What a handler is given: the context of its call, and the call itself where it has streams."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any, Generic, NoReturn, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from duplexcore import LocalProtocolError, Metadata, MetadataLike, RpcError, ServerCall, StatusCode
from duplexcore.metadata import ALLOWED_ON_SERVERS, EMPTY, InvalidMetadataError, encode_metadata
from duplexcore.rpc import Method

from .core import CallCore
from .errors import CallClosedError
from .keeper import Keeper
from .streams import CallReader, CallWriter

__all__ = ["ClientStreamingServerCall", "DuplexServerCall", "ServerContext", "ServerCore"]

Req = TypeVar("Req")
Resp = TypeVar("Resp")


class ServerCore(CallCore[ServerCall]):
    """One call that a client has opened, and the scope that its handler runs in."""

    __slots__ = ("scope", "shutting_down", "trailing_metadata")

    def __init__(self, engine: ServerCall, driver: Keeper[Any], shutting_down: anyio.Event) -> None:
        CallCore.__init__(self, engine, driver)
        #: Set when the server stops, with grace or without.
        self.shutting_down = shutting_down
        #: Cancelled when the call ends before its handler; made with its task.
        self.scope: anyio.CancelScope | None = None
        self.trailing_metadata = EMPTY

    def on_end(self) -> None:
        self.on_writable()
        if self.scope is not None and not self.left:
            self.scope.cancel()

    def respond(self, payload: bytes) -> None:
        """The one response of a method: there is room for it. After the call's end it does nothing."""
        self.engine.send_message(payload, self.compress_next)

    async def end_of_messages(self) -> NoReturn:
        if self.engine.ended is not None:
            await self.refuse()
        raise anyio.EndOfStream

    async def refuse(self) -> NoReturn:
        """The client has left, or the deadline has passed: the handler is cancelled, here at the latest (D-35). Only
        code that shields itself from that sees an exception."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        await anyio.lowlevel.checkpoint()
        ended = self.engine.ended
        assert ended is not None
        raise CallClosedError(ended.status, ended.trailing_metadata)

    def closed_error(self) -> Exception:
        return anyio.ClosedResourceError(f"the handler of {self.engine.method} has returned: its call is over")

    def source_failed(self) -> None:
        """The handler gets the exception, and with it the call its status."""

    def undecodable(self, error: Exception) -> Exception:
        text = f"a request is not what the method says: {str(error) or type(error).__name__}"
        return RpcError(StatusCode.INTERNAL, text)

    def end_writing(self) -> None:
        self.said_all = True

    async def send_initial_metadata(self, metadata: MetadataLike) -> None:
        if self.left:
            raise self.closed_error()
        if self.engine.ended is not None:
            await self.refuse()
        self.engine.send_initial_metadata(metadata)
        self.driver.wake_writer()


class ServerContext:
    """What a handler knows of its call, and can say besides messages."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    @property
    def method(self) -> str:
        """``/package.Service/Method``, as it came (D-6)."""
        return self._core.engine.method

    @property
    def metadata(self) -> Metadata:
        """What the client opened the call with."""
        return self._core.engine.metadata

    @property
    def authority(self) -> str:
        """The host that the client meant to call."""
        return self._core.engine.authority

    @property
    def user_agent(self) -> str:
        """What the client calls itself."""
        return self._core.engine.user_agent

    @property
    def peer(self) -> str:
        """The client's address: ``host:port``, ``unix:...``, or what `serve_stream` was told."""
        return self._core.driver.peer

    @property
    def deadline(self) -> float | None:
        """On anyio's clock; the handler's cancel scope has it, too."""
        return self._core.engine.deadline

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; None without one."""
        deadline = self._core.engine.deadline
        return None if deadline is None else max(0.0, deadline - anyio.current_time())

    @property
    def is_cancelled(self) -> bool:
        """Whether the call has ended before its handler: the client left, or the deadline passed."""
        engine = self._core.engine  # which hears of the deadline a moment later than the handler's scope
        return engine.ended is not None or (engine.deadline is not None and anyio.current_time() >= engine.deadline)

    @property
    def shutting_down(self) -> bool:
        """Whether the server has begun to stop: a call that ends by itself within the grace is not cut off (D-36)."""
        return self._core.shutting_down.is_set()

    async def wait_shutting_down(self) -> None:
        """Until the server begins to stop. For a task of the handler, beside the one that reads."""
        await self._core.shutting_down.wait()

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate that the client has shown, DER; None without TLS, or when it has shown none. It was checked
        against the ``client_ca`` of `server_tls`; without that no client is asked for one."""
        return self._core.driver.peer_certificate

    @property
    def was_compressed(self) -> bool:
        """Whether the request that was received last came compressed."""
        return self._core.engine.was_compressed

    def choose_compression(self, name: str | None) -> None:
        """The coding of the responses, instead of the configuration's; None: plain, as it is when the client does not
        take the coding. Raises `LocalProtocolError` once initial metadata or a message was sent, and for a coding that
        is not one of the configuration's ``compressions``."""
        if self._core.left:
            raise self._core.closed_error()
        self._core.engine.choose_compression(name)

    def compress_next(self, compress: bool | None) -> None:
        """How the next response is sent, for handlers that return or yield it: as ``compress`` of `CallWriter.send`."""
        if self._core.left:
            raise self._core.closed_error()
        self._core.compress_next = compress

    async def send_initial_metadata(self, metadata: MetadataLike = ()) -> None:
        """Sends the response's metadata now, before any message; without it, it goes with the first.

        Raises `LocalProtocolError` when it or a message was sent already, or for metadata that can not be sent.
        """
        await self._core.send_initial_metadata(metadata)

    def set_trailing_metadata(self, metadata: MetadataLike) -> None:
        """What goes with the status; said again, it replaces what was said. Raises `LocalProtocolError` for metadata
        that can not be sent."""
        if self._core.left:
            raise self._core.closed_error()
        metadata = Metadata(metadata)
        try:
            encode_metadata(metadata, ALLOWED_ON_SERVERS)
        except InvalidMetadataError as error:
            raise LocalProtocolError(str(error)) from None
        self._core.trailing_metadata = metadata


class ClientStreamingServerCall(ServerContext, ObjectReceiveStream[Req], Generic[Req]):
    """A client-streaming call, as its handler sees it: any number of requests; the handler returns the response."""

    def __init__(self, core: ServerCore, method: Method[Req, Any]) -> None:
        super().__init__(core)
        #: The requests, as an object of its own.
        self.reader = CallReader(core, method.request_codec)

    async def receive(self) -> Req:
        """See `CallReader.receive`: EndOfStream when the client has half-closed."""
        return await self.reader.receive()

    def __aiter__(self) -> CallReader[Req]:
        return self.reader

    async def __anext__(self) -> Req:
        return await self.reader.__anext__()

    async def aclose(self) -> None:
        """Reads no more."""
        await self.reader.aclose()


class DuplexServerCall(ServerContext, ObjectReceiveStream[Req], ObjectSendStream[Resp], Generic[Req, Resp]):
    """A duplex call, as its handler sees it. Returning ends it with OK; there is no half-close of a server's own."""

    def __init__(self, core: ServerCore, method: Method[Req, Resp]) -> None:
        super().__init__(core)
        #: The requests, and the responses, as objects of their own.
        self.reader = CallReader(core, method.request_codec)
        self.writer = CallWriter(core, method.response_codec)
        # Without a coroutine around each of them.
        self.receive = self.reader.receive  # type: ignore[method-assign]
        self.send = self.writer.send  # type: ignore[method-assign]

    async def receive(self) -> Req:
        """See `CallReader.receive`: EndOfStream when the client has half-closed."""
        return await self.reader.receive()

    def __aiter__(self) -> CallReader[Req]:
        return self.reader

    async def __anext__(self) -> Req:
        return await self.reader.__anext__()

    async def send(self, item: Resp, *, compress: bool | None = None) -> None:
        """See `CallWriter.send`."""
        await self.writer.send(item, compress=compress)

    async def send_all(self, source: Iterable[Resp] | AsyncIterable[Resp]) -> None:
        """See `CallWriter.send_all`."""
        await self.writer.send_all(source)

    async def aclose(self) -> None:
        """Neither reads nor sends any more."""
        await self.reader.aclose()
        await self.writer.aclose()
