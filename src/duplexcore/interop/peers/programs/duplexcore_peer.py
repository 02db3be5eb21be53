"""duplexcore itself, seen as the others are: by what its client gives to an application. On asyncio."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import official_program
from official import Flags, Method, Result

from duplexcore import RpcError, Status, __version__
from duplexcore.rpc import DuplexMethod, UnaryMethod
from duplexcore_anyio import Channel as AnyioChannel
from duplexcore_anyio import connect as dial


class Channel:
    def __init__(self, channel: AnyioChannel) -> None:
        self._channel = channel

    async def unary(
        self,
        method: Method,
        request: Any,
        *,
        metadata: Any = (),
        compress: bool | None = None,
        timeout: float | None = None,
    ) -> Result:
        ours = UnaryMethod(method.path, method.request, method.response)
        try:
            came = await self._channel.unary_result(ours, request, metadata=metadata, timeout=timeout)
        except RpcError as error:
            return _result(error.status, list(error.initial_metadata), list(error.trailing_metadata))
        return _result(Status(), list(came.initial_metadata), list(came.trailing_metadata), came.response)

    async def stream(self, method: Method, *, metadata: Any = (), timeout: float | None = None) -> Call:
        ours = DuplexMethod(method.path, method.request, method.response)
        stack = AsyncExitStack()
        call = await stack.enter_async_context(self._channel.duplex(ours, metadata=metadata, timeout=timeout))
        return Call(call, stack)


def _result(status: Status, initial: list[Any], trailing: list[Any], response: Any = None) -> Result:
    return Result(status.code, status.message, response, initial, trailing)


class Call:
    def __init__(self, call: Any, stack: AsyncExitStack) -> None:
        self._call, self._stack = call, stack

    async def send(self, message: Any, *, compress: bool | None = None) -> None:
        with contextlib.suppress(RpcError):  # the call has ended: `end` says how
            await self._call.send(message)

    async def half_close(self) -> None:
        await self._call.half_close()

    async def receive(self) -> Any:
        try:
            return await anext(aiter(self._call), None)
        except RpcError:
            return None

    def compressed(self) -> bool | None:
        return None

    async def cancel(self) -> None:
        self._call.cancel()

    async def end(self) -> Result:
        async with self._stack:
            status = await self._call.wait_closed()
        return _result(status, [], [])


@contextlib.asynccontextmanager
async def connect(flags: Flags) -> AsyncGenerator[Channel, None]:
    async with dial(flags.target) as channel:
        yield Channel(channel)


if __name__ == "__main__":
    official_program.main(f"duplexcore {__version__}", serve=None, connect=connect)
