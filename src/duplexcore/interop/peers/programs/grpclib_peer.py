"""grpclib, on asyncio and h2. It compresses nothing, and gives a call that its client cancels no status."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import grpclib
import grpclib.client
import official
import official_program
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream
from official import Flags, Method, Refused, Result

LACKS = {
    **dict.fromkeys(
        [
            "client_compressed_unary",
            "server_compressed_unary",
            "client_compressed_streaming",
            "server_compressed_streaming",
        ],
        "grpclib does not compress, and refuses what is compressed",
    ),
    **dict.fromkeys(
        ["cancel_after_begin", "cancel_after_first_response"],
        "grpclib has no status for a call that its client cancels",
    ),
}

# -- client ------------------------------------------------------------------------------------------------------------

METHODS = {
    "unary_unary": grpclib.client.UnaryUnaryMethod,
    "unary_stream": grpclib.client.UnaryStreamMethod,
    "stream_unary": grpclib.client.StreamUnaryMethod,
    "stream_stream": grpclib.client.StreamStreamMethod,
}


class Channel:
    def __init__(self, channel: grpclib.client.Channel, additional: list[tuple[str, str]]) -> None:
        self._channel, self._additional = channel, additional

    async def unary(
        self,
        method: Method,
        request: Any,
        *,
        metadata: Any = (),
        compress: bool | None = None,
        timeout: float | None = None,
    ) -> Result:
        stream = self._open(method, metadata, timeout)
        result = Result(0)
        try:
            async with stream:
                await stream.send_message(request, end=True)
                result.response = await stream.recv_message()
        except _STATUSES as error:
            result = _status(error)
        result.initial, result.trailing = _metadata(stream)
        return result

    async def stream(self, method: Method, *, metadata: Any = (), timeout: float | None = None) -> Call:
        call = Call(self._open(method, metadata, timeout))
        await call.begin()
        return call

    def _open(self, method: Method, metadata: Any, timeout: float | None) -> Any:
        callable_ = METHODS[method.kind](self._channel, method.path, method.request, method.response)
        return callable_.open(timeout=timeout, metadata=[*self._additional, *metadata])


#: TimeoutError is how the library says that the deadline has passed.
_STATUSES = (GRPCError, TimeoutError)


def _status(error: BaseException) -> Result:
    if isinstance(error, GRPCError):
        return Result(error.status.value, error.message or "")
    return Result(official.DEADLINE_EXCEEDED, "the deadline has passed")


def _metadata(stream: Any) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    return list((stream.initial_metadata or {}).items()), list((stream.trailing_metadata or {}).items())


class Call:
    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._failure: Result | None = None
        self._left = False

    async def begin(self) -> None:
        await self._stream.__aenter__()
        await self._watched(self._stream.send_request)

    async def _watched(self, action: Callable[[], Awaitable[Any]]) -> Any:
        """What the action gives; None when the call has failed, now or before."""
        if self._failure is not None:
            return None
        try:
            return await action()
        except _STATUSES as error:
            self._failure = _status(error)
        except Exception as error:
            try:
                await self._leave(error)  # as the end of `async with`, it may find a status
            except GRPCError as status:
                self._failure = _status(status)
            else:
                raise
        return None

    async def _leave(self, error: Exception | None) -> None:
        if not self._left:
            self._left = True
            await self._stream.__aexit__(type(error) if error else None, error, None)

    async def send(self, message: Any, *, compress: bool | None = None) -> None:
        await self._watched(lambda: self._stream.send_message(message))

    async def half_close(self) -> None:
        await self._watched(self._stream.end)

    async def receive(self) -> Any:
        return await self._watched(self._stream.recv_message)

    def compressed(self) -> bool | None:
        return None

    async def cancel(self) -> None:
        await self._stream.cancel()

    async def end(self) -> Result:
        if self._stream.initial_metadata is None:
            await self._watched(self._stream.recv_initial_metadata)
        await self._watched(self._stream.recv_trailing_metadata)
        result = self._failure or Result(0)
        result.initial, result.trailing = _metadata(self._stream)
        # A failure is known: it need not look for one.
        await self._leave(None if self._failure is None else GRPCError(Status.UNKNOWN))
        return result


@contextlib.asynccontextmanager
async def connect(flags: Flags) -> AsyncGenerator[Channel, None]:
    context = None
    if flags.use_tls:
        context = ssl.create_default_context(cafile=flags.ca_file or None)
        context.set_alpn_protocols(["h2"])
    override = flags.server_host_override or None
    channel = grpclib.client.Channel(
        flags.server_host,
        flags.server_port,
        ssl=context,
        config=Configuration(ssl_target_name_override=override if context else None),
    )
    async with channel:
        yield Channel(channel, flags.additional_metadata)


# -- server ------------------------------------------------------------------------------------------------------------


def _handler(method: Method, function: Callable[[Any], Awaitable[None]]) -> Handler:
    async def handle(stream: Stream[Any, Any]) -> None:
        initial, trailing = official.echoes((stream.metadata or {}).items())
        try:
            await stream.send_initial_metadata(metadata=initial)
            await function(stream)
        except Refused as refused:
            await stream.send_trailing_metadata(
                status=Status(refused.code), status_message=refused.message, metadata=trailing
            )
        else:
            await stream.send_trailing_metadata(metadata=trailing)

    return Handler(handle, Cardinality[method.kind.upper()], method.request, method.response)


async def empty_call(stream: Any) -> None:
    await stream.recv_message()
    await stream.send_message(official.pb.Empty())


async def unary_call(stream: Any) -> None:
    await stream.send_message(official.simple_response(await stream.recv_message()))


async def streaming_output_call(stream: Any) -> None:
    await _respond(stream, await stream.recv_message())


async def _respond(stream: Any, request: Any) -> None:
    for planned in official.stream_responses(request):
        await asyncio.sleep(planned.delay)
        await stream.send_message(planned.response)


async def streaming_input_call(stream: Any) -> None:
    total = sum([len(request.payload.body) async for request in stream])
    await stream.send_message(official.pb.StreamingInputCallResponse(aggregated_payload_size=total))


async def full_duplex_call(stream: Any) -> None:
    async for request in stream:
        await _respond(stream, request)


async def half_duplex_call(stream: Any) -> None:
    for request in [request async for request in stream]:
        await _respond(stream, request)


class Service:
    def __mapping__(self) -> dict[str, Handler]:
        functions = {
            official.EMPTY_CALL: empty_call,
            official.UNARY_CALL: unary_call,
            official.OUTPUT_CALL: streaming_output_call,
            official.INPUT_CALL: streaming_input_call,
            official.DUPLEX_CALL: full_duplex_call,
            official.HALF_DUPLEX_CALL: half_duplex_call,
        }
        return {method.path: _handler(method, function) for method, function in functions.items()}


async def _serve(flags: Flags) -> None:
    context = None
    if flags.use_tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(flags.tls_cert_file, flags.tls_key_file)
        context.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", flags.port))
    server = Server([Service()])
    await server.start(sock=listener, ssl=context)
    official_program.listening(listener.getsockname()[1])
    await server.wait_closed()


def serve(flags: Flags) -> None:
    asyncio.run(_serve(flags))


if __name__ == "__main__":
    official_program.main(f"grpclib {grpclib.__version__}", serve=serve, connect=connect, lacks=LACKS)
