"""grpc.aio as a peer, on an asyncio loop in a thread of its own: the tests' side may be on trio, too.

Handlers and client bodies are coroutine functions that run over there. They meet the test only in what the call
carries, in what they return, and in `Gate`s.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import grpc
import grpc.aio

__all__ = ["AioPeer", "Gate"]

T = TypeVar("T")

#: Nothing that is asked of the peer takes longer: seconds.
BOUND = 120.0
#: Every channel has a connection of its own, and messages may have any size.
CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
SERVER_OPTIONS = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]

ClientBody = Callable[[grpc.aio.Channel], Awaitable[T]]


class Gate:
    """An event that either side may set and wait for."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        self._event.set()

    @property
    def is_open(self) -> bool:
        return self._event.is_set()

    async def passed(self) -> None:
        """Waits, on any event loop."""
        while not self._event.is_set():
            await anyio.sleep(0.001)


class AioPeer:
    """The thread and its loop. One a process: grpc.aio is at its best with a single loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="grpc.aio", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BOUND)
        self._loop.close()

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine over there, to its end; cancelled with the task that waits for it."""
        bounded = asyncio.wait_for(coroutine, BOUND)
        # In a context of its own: ours may say that the event loop is trio's.
        future = Context().run(asyncio.run_coroutine_threadsafe, bounded, self._loop)
        try:
            return await anyio.to_thread.run_sync(future.result, abandon_on_cancel=True)
        finally:
            future.cancel()

    @asynccontextmanager
    async def server(self, **handlers: Callable[..., Any]) -> AsyncIterator[str]:
        """A server of duplex handlers over bytes, by the method's name in the service ``scenario.Duplex``: its target.

        With ``_`` in front of the name, a `grpc.RpcMethodHandler` is taken as it is.
        """
        methods = {
            name.lstrip("_"): handler if name.startswith("_") else grpc.stream_stream_rpc_method_handler(handler)
            for name, handler in handlers.items()
        }
        async with self.serving(grpc.method_handlers_generic_handler("scenario.Duplex", methods)) as target:
            yield target

    @asynccontextmanager
    async def serving(self, handler: grpc.GenericRpcHandler) -> AsyncIterator[str]:
        """A server of any service."""

        async def start() -> tuple[grpc.aio.Server, int]:
            server = grpc.aio.server(options=SERVER_OPTIONS)
            server.add_generic_rpc_handlers((handler,))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            return server, port

        server, port = await self.run(start())
        try:
            yield f"127.0.0.1:{port}"
        finally:
            with anyio.CancelScope(shield=True):
                await self.run(server.stop(None))

    async def client(self, target: str, body: ClientBody[T]) -> T:
        """Runs ``body`` over there, with a channel to ``target``: what it returned."""

        async def main() -> T:
            async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
                return await body(channel)

        return await self.run(main())
