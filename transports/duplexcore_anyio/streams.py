"""The two halves of a call as objects of their own: its reader and its writer (D-16, D-17)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import Any, TypeVar

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from duplexcore.rpc import Codec

from .core import CallCore

__all__ = ["CallReader", "CallWriter", "RequestWriter"]

M = TypeVar("M")


class CallReader(ObjectReceiveStream[M]):
    """What the peer sends, message by message. Reads never touch the writer."""

    def __init__(self, core: CallCore[Any], codec: Codec[M]) -> None:
        self._core = core
        self._decode = codec.decode
        self._closed = False

    async def receive(self) -> M:
        """The next message. Cancelled, it has taken none.

        Raises EndOfStream when there are no more (a client: and the status is OK), `RpcError` after any other status;
        asked again, the same. BusyResourceError while another task receives.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        core = self._core
        payload = await core.take()
        if payload is None:
            await core.end_of_messages()
        try:
            return self._decode(payload)
        except Exception as error:
            raise core.undecodable(error) from error

    async def __anext__(self) -> M:
        if self._closed:
            raise anyio.ClosedResourceError
        core = self._core
        payload = await core.take()
        if payload is None:
            try:
                await core.end_of_messages()
            except anyio.EndOfStream:
                raise StopAsyncIteration from None
        try:  # as above, without a call
            return self._decode(payload)
        except Exception as error:
            raise core.undecodable(error) from error

    @property
    def was_compressed(self) -> bool:
        """Whether the message that was received last came compressed."""
        return bool(self._core.engine.was_compressed)

    async def aclose(self) -> None:
        """Reads no more; the call goes on, and what still comes waits within its window."""
        self._closed = True


class CallWriter(ObjectSendStream[M]):
    """What this side sends, message by message."""

    def __init__(self, core: CallCore[Any], codec: Codec[M]) -> None:
        self._core = core
        self._encode = codec.encode
        self._closed = False

    async def send(self, item: M, *, compress: bool | None = None) -> None:
        """Hands a message to the bounded send queue; waits while that is full (D-23). Cancelled while it waits, it has
        sent nothing.

        ``compress``: None packs it with the call's coding if that makes it smaller; True packs it in any case, but for
        an empty one and a client that does not take the coding; False never does.

        After the call has ended: `RpcError` with its status, or `CallClosedError` when that is OK. Raises
        ClosedResourceError after this side's own end, BusyResourceError while another task sends, TypeError for what
        is no message of the method, `LocalProtocolError` for ``compress=True`` on a client's call
        without a coding, `MessageTooLargeError` above ``max_send_message_size``; the call then goes on.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        core, payload = self._core, self._encode(item)
        if not core.offer_now(payload, compress):
            await core.offer(payload, compress)

    async def send_all(self, source: Iterable[M] | AsyncIterable[M]) -> None:
        """Sends every message of an iterable or async iterable, and closes it when it is a generator.

        An exception of the source cancels the call and is raised (D-24). Does not half-close.
        """
        try:
            if isinstance(source, AsyncIterable):
                await self._send_async(source)
            else:
                await self._send_sync(source)
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()
            elif isinstance(source, Generator):
                source.close()

    async def _send_async(self, source: AsyncIterable[M]) -> None:
        iterator = aiter(source)
        while True:
            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                return
            except Exception:
                self._core.source_failed()
                raise
            await self.send(item)

    async def _send_sync(self, source: Iterable[M]) -> None:
        iterator = iter(source)
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                return
            except Exception:
                self._core.source_failed()
                raise
            await self.send(item)

    async def aclose(self) -> None:
        """Sends no more."""
        self._closed = True


class RequestWriter(CallWriter[M]):
    """A client's writer: it can say that it is done."""

    async def send_eof(self) -> None:
        """Half-closes: no more messages from this side; the server may go on. A second time, or after the end of the
        call, it does nothing. Raises BusyResourceError while another task sends."""
        if self._core.busy_writing:
            raise anyio.BusyResourceError("sending to")
        self._core.end_writing()

    async def aclose(self) -> None:
        """Half-closes, and sends no more."""
        self._closed = True
        self._core.end_writing()
