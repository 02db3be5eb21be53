"""grpcio's asyncio interface, grpc.aio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import grpcio_peer
import official
import official_program
from official import Flags, Method, Refused, Result

# -- client ------------------------------------------------------------------------------------------------------------


class Channel:
    def __init__(self, channel: grpc.aio.Channel, additional: list[tuple[str, str]]) -> None:
        self._channel, self._additional = channel, additional

    def _start(self, method: Method, *request: Any, metadata: Any, **more: Any) -> Any:
        make = getattr(self._channel, method.kind)
        started = make(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        return started(*request, metadata=grpc.aio.Metadata(*self._additional, *metadata), **more)

    async def unary(
        self,
        method: Method,
        request: Any,
        *,
        metadata: Any = (),
        compress: bool | None = None,
        timeout: float | None = None,
    ) -> Result:
        compression = {None: None, True: grpc.Compression.Gzip, False: grpc.Compression.NoCompression}[compress]
        call = self._start(method, request, metadata=metadata, compression=compression, timeout=timeout)
        result = await _ended(call)
        result.response = await call if result.code == 0 else None
        return result

    async def stream(self, method: Method, *, metadata: Any = (), timeout: float | None = None) -> Call:
        return Call(method.kind, lambda *request: self._start(method, *request, metadata=metadata, timeout=timeout))


class Call:
    def __init__(self, kind: str, start: Any) -> None:
        self._kind, self._start = kind, start
        self._call = None if kind == "unary_stream" else start()

    async def send(self, message: Any, *, compress: bool | None = None) -> None:
        if self._kind == "unary_stream":
            self._call = self._start(message)
            return
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):  # the call ended: `end` says how
            await self._call.write(message)

    async def half_close(self) -> None:
        if self._kind != "unary_stream":
            with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                await self._call.done_writing()

    async def receive(self) -> Any:
        try:
            if self._kind == "stream_unary":
                return await self._call
            message = await self._call.read()
        except grpc.RpcError:
            return None
        return None if message is grpc.aio.EOF else message

    def compressed(self) -> bool | None:
        return None

    async def cancel(self) -> None:
        self._call.cancel()

    async def end(self) -> Result:
        return await _ended(self._call)


async def _ended(call: Any) -> Result:
    """Waits for the end."""
    code = (await call.code()).value[0]
    return Result(
        code,
        await call.details() or "",
        None,
        list(await call.initial_metadata() or ()),
        list(await call.trailing_metadata() or ()),
    )


@contextlib.asynccontextmanager
async def connect(flags: Flags) -> AsyncGenerator[Channel, None]:
    options = grpcio_peer.channel_options(flags)
    if flags.use_tls:
        credentials = grpc.ssl_channel_credentials(flags.read("ca_file") if flags.ca_file else None)
        channel = grpc.aio.secure_channel(flags.target, credentials, options)
    else:
        channel = grpc.aio.insecure_channel(flags.target, options)
    async with channel:
        yield Channel(channel, flags.additional_metadata)


# -- server ------------------------------------------------------------------------------------------------------------


async def _begin(context: grpc.aio.ServicerContext) -> None:
    initial, trailing = official.echoes(context.invocation_metadata() or ())
    if initial:
        await context.send_initial_metadata(initial)
    context.set_trailing_metadata(trailing)


@contextlib.asynccontextmanager
async def _refusing(context: grpc.aio.ServicerContext) -> AsyncGenerator[None, None]:
    try:
        yield
    except Refused as refused:
        await context.abort(grpcio_peer.CODES[refused.code], refused.message)


async def empty_call(request: Any, context: grpc.aio.ServicerContext) -> Any:
    return official.pb.Empty()


async def unary_call(request: Any, context: grpc.aio.ServicerContext) -> Any:
    if request.response_compressed.value:
        context.set_compression(grpc.Compression.Gzip)
    await _begin(context)
    async with _refusing(context):
        return official.simple_response(request)


async def streaming_output_call(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
    if any(parameters.compressed.value for parameters in request.response_parameters):
        context.set_compression(grpc.Compression.Gzip)
    await _begin(context)
    async for response in _responses(request, context):
        yield response


async def _responses(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
    async with _refusing(context):
        for planned in official.stream_responses(request):
            await asyncio.sleep(planned.delay)
            if planned.compress is False:
                context.disable_next_message_compression()
            yield planned.response


async def streaming_input_call(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> Any:
    await _begin(context)
    total = sum([len(request.payload.body) async for request in requests])
    return official.pb.StreamingInputCallResponse(aggregated_payload_size=total)


async def full_duplex_call(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
    await _begin(context)
    async for request in requests:
        async for response in _responses(request, context):
            yield response


async def half_duplex_call(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
    await _begin(context)
    for request in [request async for request in requests]:
        async for response in _responses(request, context):
            yield response


async def _serve(flags: Flags) -> None:
    server = grpc.aio.server()
    service = grpcio_peer.handlers(
        empty_call=empty_call,
        unary_call=unary_call,
        streaming_output_call=streaming_output_call,
        streaming_input_call=streaming_input_call,
        full_duplex_call=full_duplex_call,
        half_duplex_call=half_duplex_call,
    )
    server.add_generic_rpc_handlers((service,))
    port = grpcio_peer.listen(server, flags)
    await server.start()
    official_program.listening(port)
    await server.wait_for_termination()


def serve(flags: Flags) -> None:
    asyncio.run(_serve(flags))


if __name__ == "__main__":
    official_program.main(f"grpc.aio {grpc.__version__}", serve=serve, connect=connect, lacks=grpcio_peer.LACKS)
