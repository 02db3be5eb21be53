"""connectrpc, in its gRPC protocol: the client on pyqwest, the server as an ASGI application in Hypercorn."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from importlib.metadata import version
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import official
import official_program
import pyqwest
from connectrpc.client import ConnectClient, ResponseMetadata
from connectrpc.code import Code
from connectrpc.codec import Codec
from connectrpc.compat import google_protobuf_binary_codec
from connectrpc.compression.gzip import GzipCompression
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.protocol import ProtocolType
from connectrpc.server import ConnectASGIApplication, Endpoint
from official import Flags, Method, Refused, Result

#: The library's codes stand in the order of gRPC's numbers.
CODES = dict(enumerate(Code, start=1))
NUMBERS = {code: number for number, code in CODES.items()}
KINDS = {
    "unary_unary": StreamType.UNARY,
    "unary_stream": StreamType.SERVER_STREAM,
    "stream_unary": StreamType.CLIENT_STREAM,
    "stream_stream": StreamType.BIDI_STREAM,
}
CODEC: Codec[Any, Any] = google_protobuf_binary_codec()
LACKS = {"client_compressed_streaming": "connectrpc chooses compression for a client, not for a message"}


def info(method: Method) -> MethodInfo[Any, Any]:
    return MethodInfo(
        name=method.name,
        service_name=method.path.split("/")[1],
        input=method.request,
        output=method.response,
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=KINDS[method.kind],
    )


# The library leaves the base64 of binary metadata to its users.


def to_header(key: str, value: Any) -> str:
    return base64.b64encode(value).decode().rstrip("=") if key.endswith("-bin") else value


def from_header(key: str, value: str) -> Any:
    return base64.b64decode(value + "=" * (-len(value) % 4)) if key.endswith("-bin") else value


def from_headers(headers: Any) -> list[tuple[str, Any]]:
    ours = (official.INITIAL_KEY, official.TRAILING_KEY)
    return [(key, from_header(key, value)) for key, value in headers.allitems() if key in ours]


def received(headers: Any) -> list[tuple[str, Any]]:
    """Of a response: all, and what is no base64 as it came."""
    pairs: list[tuple[str, Any]] = []
    for key, value in headers.allitems():
        try:
            pairs.append((key, from_header(key, value)))
        except ValueError:
            pairs.append((key, value))
    return pairs


# -- client ------------------------------------------------------------------------------------------------------------


class Channel:
    def __init__(self, http: pyqwest.Client, url: str, additional: list[tuple[str, str]]) -> None:
        self._additional = additional
        self._clients = {
            packed: ConnectClient(
                url,
                codec=CODEC,
                protocol=ProtocolType.GRPC,
                send_compression=GzipCompression() if packed else None,
                http_client=http,
            )
            for packed in (False, True)
        }

    async def unary(
        self,
        method: Method,
        request: Any,
        *,
        metadata: Any = (),
        compress: bool | None = None,
        timeout: float | None = None,
    ) -> Result:
        call = self._call(method, metadata, timeout, self._clients[bool(compress)])
        await call.send(request)
        response = await call.receive()
        result = await call.end()
        result.response = response
        return result

    async def stream(self, method: Method, *, metadata: Any = (), timeout: float | None = None) -> Call:
        return self._call(method, metadata, timeout, self._clients[False])

    def _call(self, method: Method, metadata: Any, timeout: float | None, client: ConnectClient) -> Call:
        headers = {key: to_header(key, value) for key, value in [*self._additional, *metadata]}
        options: dict[str, Any] = {"method": info(method), "headers": headers}
        if timeout is not None:
            options["timeout_ms"] = round(timeout * 1000)

        async def one(request: Any, execute: Any) -> AsyncIterator[Any]:
            yield await execute(request=request, **options)

        async def responses(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
            match method.kind:
                case "unary_unary":
                    came = one(await anext(requests), client.execute_unary)
                case "stream_unary":
                    came = one(requests, client.execute_client_stream)
                case "unary_stream":
                    came = client.execute_server_stream(request=await anext(requests), **options)
                case _:
                    came = client.execute_bidi_stream(request=requests, **options)
            async for response in came:
                yield response

        return Call(responses)


class Call:
    """The library takes an iterator and gives one: a task of its own reads, so that both sides can go on."""

    def __init__(self, responses: Callable[[AsyncIterator[Any]], AsyncIterator[Any]]) -> None:
        self._requests: asyncio.Queue[Any] = asyncio.Queue()
        self._responses: asyncio.Queue[Any] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(responses))

    async def _run(self, responses: Callable[[AsyncIterator[Any]], AsyncIterator[Any]]) -> Result:
        with ResponseMetadata() as metadata:
            try:
                async for response in responses(self._queued()):
                    self._responses.put_nowait(response)
                result = Result(0)
            except ConnectError as error:
                result = Result(NUMBERS[error.code], error.message)
            finally:
                self._responses.put_nowait(None)
        result.initial, result.trailing = received(metadata.headers), received(metadata.trailers)
        return result

    async def _queued(self) -> AsyncIterator[Any]:
        while (request := await self._requests.get()) is not None:
            yield request

    async def send(self, message: Any, *, compress: bool | None = None) -> None:
        self._requests.put_nowait(message)

    async def half_close(self) -> None:
        self._requests.put_nowait(None)

    async def receive(self) -> Any:
        return await self._responses.get()

    def compressed(self) -> bool | None:
        return None

    async def cancel(self) -> None:
        await asyncio.sleep(0)  # let the call begin
        self._task.cancel()

    async def end(self) -> Result:
        return await self._task


@contextlib.asynccontextmanager
async def connect(flags: Flags) -> AsyncGenerator[Channel, None]:
    options: dict[str, Any] = {}
    host = flags.server_host
    if flags.server_host_override:
        host = flags.server_host_override
        options["dns_overrides"] = {host: [flags.server_host]}
    if flags.use_tls:
        options["tls_ca_cert"] = flags.read("ca_file") if flags.ca_file else None
        options["tls_include_system_certs"] = not flags.ca_file
    async with pyqwest.HTTPTransport(
        http_version=pyqwest.HTTPVersion.HTTP2, enable_otel=False, follow_redirects=False, **options
    ) as transport:
        scheme = "https" if flags.use_tls else "http"
        yield Channel(pyqwest.Client(transport), f"{scheme}://{host}:{flags.server_port}", flags.additional_metadata)


# -- server ------------------------------------------------------------------------------------------------------------


def _begin(context: Any) -> None:
    initial, trailing = official.echoes(from_headers(context.request_headers))
    for key, value in initial:
        context.response_headers.add(key, to_header(key, value))
    for key, value in trailing:
        context.response_trailers.add(key, to_header(key, value))


def _refusal(refused: Refused) -> ConnectError:
    return ConnectError(CODES[refused.code], refused.message)


async def empty_call(request: Any, context: Any) -> Any:
    return official.pb.Empty()


async def unary_call(request: Any, context: Any) -> Any:
    _begin(context)
    try:
        return official.simple_response(request)
    except Refused as refused:
        raise _refusal(refused) from None


async def _responses(requests: Iterable[Any] | AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests if isinstance(requests, AsyncIterator) else _each(requests):
        try:
            for planned in official.stream_responses(request):
                await asyncio.sleep(planned.delay)
                yield planned.response
        except Refused as refused:
            raise _refusal(refused) from None


async def _each(requests: Iterable[Any]) -> AsyncIterator[Any]:
    for request in requests:
        yield request


async def streaming_output_call(request: Any, context: Any) -> AsyncIterator[Any]:
    _begin(context)
    async for response in _responses([request]):
        yield response


async def streaming_input_call(requests: AsyncIterator[Any], context: Any) -> Any:
    _begin(context)
    total = sum([len(request.payload.body) async for request in requests])
    return official.pb.StreamingInputCallResponse(aggregated_payload_size=total)


async def full_duplex_call(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
    _begin(context)
    async for response in _responses(requests):
        yield response


async def half_duplex_call(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
    _begin(context)
    async for response in _responses([request async for request in requests]):
        yield response


class Application(ConnectASGIApplication[None]):
    @property
    def path(self) -> str:
        return f"/{official.SERVICE}"


def endpoints(_: None) -> dict[str, Any]:
    made = [
        (official.EMPTY_CALL, Endpoint.unary, empty_call),
        (official.UNARY_CALL, Endpoint.unary, unary_call),
        (official.OUTPUT_CALL, Endpoint.server_stream, streaming_output_call),
        (official.INPUT_CALL, Endpoint.client_stream, streaming_input_call),
        (official.DUPLEX_CALL, Endpoint.bidi_stream, full_duplex_call),
        (official.HALF_DUPLEX_CALL, Endpoint.bidi_stream, half_duplex_call),
    ]
    return {method.path: make(info(method), function) for method, make, function in made}


async def _serve(flags: Flags) -> None:
    listener = socket.create_server(("127.0.0.1", flags.port))
    config = hypercorn.config.Config()
    config.loglevel = "WARNING"
    if flags.use_tls:
        config.certfile, config.keyfile = flags.tls_cert_file, flags.tls_key_file
    config.bind = [f"fd://{listener.fileno()}"]
    application: Any = Application(service=None, endpoints=endpoints, codecs=[CODEC])
    official_program.listening(listener.getsockname()[1])
    await hypercorn.asyncio.serve(application, config)


def serve(flags: Flags) -> None:
    asyncio.run(_serve(flags))


if __name__ == "__main__":
    official_program.main(f"connectrpc {version('connectrpc')}", serve=serve, connect=connect, lacks=LACKS)
