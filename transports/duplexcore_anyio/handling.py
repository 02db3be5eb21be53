"""One call on a server, from its handler's start to its status."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any

import anyio

from duplexcore import LocalProtocolError, MessageTooLargeError, Metadata, RpcError, Status, StatusCode
from duplexcore.metadata import EMPTY
from duplexcore.rpc import MethodKind, Registered

from .keeper import LOGGER, shown
from .server_calls import ClientStreamingServerCall, DuplexServerCall, ServerContext, ServerCore
from .streams import CallReader, CallWriter
from .tasks import is_cancelled, sole

__all__ = ["run_handler"]

OK = Status()


async def run_handler(core: ServerCore, registered: Registered) -> None:
    """Runs the handler in its scope, then says how the call ended; never raises but to be cancelled from outside."""
    engine = core.engine
    outcome: tuple[Status, Metadata] | None = None
    try:
        if engine.deadline is not None and anyio.current_time() >= engine.deadline:
            core.driver.tick(engine.deadline)  # it passed before the handler could run (DEAD-5)
        deadline = math.inf if engine.deadline is None else engine.deadline
        with core.driver.new_scope(deadline=deadline) as core.scope:
            if engine.ended is not None:  # before the task ran
                core.scope.cancel()
            try:
                await _KINDS[registered.method.kind](core, registered)
                outcome = OK, core.trailing_metadata
            except Exception as raised:  # noqa: BLE001 - whatever a handler raises is an answer to its client
                outcome = _judge(core, sole(raised))
            except anyio.get_cancelled_exc_class() as raised:
                if is_cancelled():
                    raise
                outcome = _judge(core, raised)
    finally:
        core.leave()
        _finish(core, outcome)
        core.tell()


def _finish(core: ServerCore, outcome: tuple[Status, Metadata] | None) -> None:
    """``outcome`` None: the handler was cancelled."""
    engine = core.engine
    if outcome is None and core.scope is not None and core.scope.cancelled_caught:
        core.driver.tick(engine.deadline)  # its scope may be ahead of the engine's timer by a moment
    status, metadata = outcome or (Status(StatusCode.UNAVAILABLE, "the server is shutting down"), EMPTY)
    try:
        engine.finish(status, metadata)
    except LocalProtocolError as error:
        LOGGER.error("%s: the trailing metadata can not be sent: %s", shown(engine.method), shown(str(error)))
        engine.finish(Status(StatusCode.INTERNAL, "the trailing metadata can not be sent"))


def _judge(core: ServerCore, error: BaseException) -> tuple[Status, Metadata]:
    """The status that an exception of the handler means (D-25)."""
    if core.engine.ended is not None:
        LOGGER.debug("%s: after its end: %r", shown(core.engine.method), error)
        return OK, EMPTY
    if isinstance(error, RpcError) and not error.status.ok:
        return error.status, core.trailing_metadata + _sendable(core, error.trailing_metadata)
    if isinstance(error, MessageTooLargeError):
        return error.status, core.trailing_metadata
    LOGGER.error("the handler of %s failed", shown(core.engine.method), exc_info=error)
    return Status(StatusCode.UNKNOWN, "the handler failed"), core.trailing_metadata


async def _request(core: ServerCore, registered: Registered) -> Any:
    """The one request. When there is none, or more, the engine ends the call, and the handler is not run."""
    return await CallReader(core, registered.method.request_codec).receive()


async def _respond(core: ServerCore, registered: Registered, response: Any) -> None:
    await CallWriter(core, registered.method.response_codec).send(response)


def _sendable(core: ServerCore, metadata: Metadata) -> Metadata:
    """What of an error's metadata can be sent: a handler may pass on what another server has said. What is left out is
    told to whoever reads the log, since the client can not be told (MD-2)."""
    sendable = metadata.echoable()
    if len(sendable) < len(metadata):
        names = ", ".join(sorted({name for name, value in metadata if (name, value) not in sendable}))
        LOGGER.warning(
            "%s: trailing metadata that can not be sent is left out: %s", shown(core.engine.method), shown(names)
        )
    return sendable


async def _unary(core: ServerCore, registered: Registered) -> None:
    """As `_request` and `_respond` do it, without the objects and coroutines between: most calls are of this kind."""
    method = registered.method
    payload = core.engine.take_message()
    if payload is None and (payload := await core.take()) is None:
        await core.end_of_messages()
    try:
        request = method.request_codec.decode(payload)
    except Exception as error:
        raise core.undecodable(error) from error
    core.respond(method.response_codec.encode(await registered.handler(request, ServerContext(core))))


async def _server_streaming(core: ServerCore, registered: Registered) -> None:
    request = await _request(core, registered)
    writer = CallWriter(core, registered.method.response_codec)
    responses: AsyncGenerator[Any, None] = registered.handler(request, ServerContext(core))
    async with aclosing(responses):
        async for response in responses:
            await writer.send(response)


async def _client_streaming(core: ServerCore, registered: Registered) -> None:
    response = await registered.handler(ClientStreamingServerCall(core, registered.method))
    await _respond(core, registered, response)


def _duplex(core: ServerCore, registered: Registered) -> Awaitable[None]:
    """What the handler gives is awaited as it is: a coroutine around it would run with each message."""
    awaited: Awaitable[None] = registered.handler(DuplexServerCall(core, registered.method))
    return awaited


_KINDS = {
    MethodKind.UNARY: _unary,
    MethodKind.SERVER_STREAMING: _server_streaming,
    MethodKind.CLIENT_STREAMING: _client_streaming,
    MethodKind.DUPLEX: _duplex,
}
