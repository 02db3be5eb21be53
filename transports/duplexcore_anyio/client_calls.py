"""A client's calls, one class for each kind of method with a stream."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from anyio.abc import ObjectReceiveStream, ObjectSendStream

from duplexcore import Metadata, Status
from duplexcore.rpc import Method

from .client_core import ClientCore
from .exchange import Exchange
from .streams import CallReader, RequestWriter

__all__ = ["ClientStreamingCall", "DuplexCall", "ServerStreamingCall"]

Req = TypeVar("Req")
Resp = TypeVar("Resp")
SelfT = TypeVar("SelfT", bound="_Call")
NOT_ENTERED = "the call has not started: enter it with `async with`"


class _Call:
    """What every call of a client has. It starts when its `async with` is entered, and is over when that is left."""

    def __init__(self, start: Callable[[], Awaitable[ClientCore]]) -> None:
        self._start = start
        self._started: ClientCore | None = None

    @property
    def _core(self) -> ClientCore:
        if self._started is None:
            raise RuntimeError(NOT_ENTERED)
        return self._started

    async def _enter(self) -> ClientCore:
        if self._started is not None:
            raise RuntimeError("a call is entered once: make another one")
        self._started = await self._start()
        return self._started

    async def __aenter__(self) -> Self:
        await self._enter()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leaves the call: cancels it unless it has ended, and never waits (D-26)."""
        if self._started is not None:
            self._started.leave()

    def cancel(self) -> None:
        """Ends the call now, as CANCELLED; messages that were not framed are dropped. After the end it does nothing."""
        self._core.cancel()

    async def initial_metadata(self) -> Metadata:
        """What the server sent before its first message; waits for it. Empty when the call ended with OK without any.

        Raises `RpcError` when the call failed before it came.
        """
        return await self._core.initial_metadata()

    async def wait_closed(self) -> Status:
        """The status, once the call has ended; does not depend on anyone reading (D-32)."""
        return await self._core.wait_closed()

    @property
    def status(self) -> Status | None:
        """How the call ended; None before."""
        ended = self._core.engine.ended
        return ended.status if ended else None

    @property
    def is_waiting(self) -> bool:
        """Whether the call waits for a stream, behind others, or for a connection: nothing of it has left yet."""
        return self._core.engine.is_waiting

    @property
    def trailing_metadata(self) -> Metadata:
        """What came with the status; empty before."""
        return self._core.trailing_metadata

    @property
    def was_compressed(self) -> bool:
        """Whether the response that was received last came compressed."""
        return self._core.engine.was_compressed

    @property
    def deadline(self) -> float | None:
        """On anyio's clock."""
        return self._core.engine.deadline

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; None without one."""
        return self._core.time_remaining()


class _NotEntered:
    """Stands for the reader and the writer of a call until it has started."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name) if name.startswith("__") else RuntimeError(NOT_ENTERED)


_NOT_ENTERED: Any = _NotEntered()


class _Receiving(_Call, ObjectReceiveStream[Resp], Generic[Resp]):
    """A call with a stream of responses."""

    #: The responses, as an object of its own.
    reader: CallReader[Resp] = _NOT_ENTERED

    async def receive(self) -> Resp:
        """See `CallReader.receive`."""
        return await self.reader.receive()

    async def __anext__(self) -> Resp:
        return await self.reader.__anext__()


class _Sending(_Call, ObjectSendStream[Req], Generic[Req]):
    """A call with a stream of requests."""

    #: The requests, as an object of its own.
    writer: RequestWriter[Req] = _NOT_ENTERED

    async def send(self, item: Req, *, compress: bool | None = None) -> None:
        """See `CallWriter.send`."""
        await self.writer.send(item, compress=compress)

    async def send_all(self, source: Iterable[Req] | AsyncIterable[Req]) -> None:
        """See `CallWriter.send_all`."""
        await self.writer.send_all(source)

    async def send_eof(self) -> None:
        """See `RequestWriter.send_eof`."""
        await self.writer.send_eof()


class ServerStreamingCall(_Receiving[Resp], Generic[Resp]):
    """``returns (stream Resp)``: one request, sent on entering; any number of responses. See `CallReader.receive`."""

    def __init__(self, start: Callable[[], Awaitable[ClientCore]], method: Method[Req, Resp], request: Req) -> None:
        super().__init__(start)
        self._method: Method[Any, Resp] = method
        self._request = method.request_codec.encode(request)

    async def _enter(self) -> ClientCore:
        core = await super()._enter()
        self.reader = CallReader(core, self._method.response_codec)
        try:
            core.send_only(self._request)
        except BaseException:
            core.leave()
            raise
        return core


class ClientStreamingCall(_Sending[Req], Generic[Req, Resp]):
    """``(stream Req) returns``: any number of requests, then one response. See `CallWriter`."""

    def __init__(self, start: Callable[[], Awaitable[ClientCore]], method: Method[Req, Resp]) -> None:
        super().__init__(start)
        self._method = method

    async def _enter(self) -> ClientCore:
        core = await super()._enter()
        self.writer = RequestWriter(core, self._method.request_codec)
        self._reader = CallReader(core, self._method.response_codec)
        return core

    async def response(self) -> Resp:
        """Half-closes, and waits for the one response; asked again it is the same. Raises `RpcError` for any status but
        OK, BusyResourceError while another task sends or waits for the response."""
        self._core  # noqa: B018
        if not hasattr(self, "_response"):
            await self.writer.send_eof()
            self._response = await self._reader.receive()
        return self._response


class DuplexCall(_Receiving[Resp], _Sending[Req], Generic[Req, Resp]):
    """``(stream Req) returns (stream Resp)``: each side sends 0 to N messages, and the server ends the call whenever it
    likes. One task may read and another one write."""

    def __init__(self, start: Callable[[], Awaitable[ClientCore]], method: Method[Req, Resp]) -> None:
        super().__init__(start)
        self._method = method

    async def _enter(self) -> ClientCore:
        core = await super()._enter()
        self.reader = CallReader(core, self._method.response_codec)
        self.writer = RequestWriter(core, self._method.request_codec)
        # From here on without a coroutine around each of them.
        self.receive = self.reader.receive  # type: ignore[method-assign]
        self.send = self.writer.send  # type: ignore[method-assign]
        return core

    def exchange(self, source: Iterable[Req] | AsyncIterable[Req]) -> Exchange[Req, Resp]:
        """Sends while it is read (D-30): ``async with call.exchange(source) as replies: async for reply in replies``.

        In the background every message of ``source`` is sent, then the call is half-closed. A failure of the source
        cancels the call and is raised out of the block; an early end of the call is told by ``replies``. Leaving the
        block early stops the sending.
        """
        core = self._core
        return Exchange(core, self.writer, self.reader, source)
