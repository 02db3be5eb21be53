"""grpcio, the synchronous interface. Its calls block, so that its methods here are coroutines in name only."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import official
import official_program
from official import Flags, Method, Refused, Result

CODES = {code.value[0]: code for code in grpc.StatusCode}
LACKS = {"client_compressed_streaming": "grpcio's client chooses compression for a call, not for a message"}

# -- client ------------------------------------------------------------------------------------------------------------


class Channel:
    def __init__(self, channel: grpc.Channel, additional: list[tuple[str, str]]) -> None:
        self._channel, self._additional = channel, additional

    def _callable(self, method: Method) -> Any:
        make = getattr(self._channel, method.kind)
        return make(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

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
        future = self._callable(method).future(
            request, metadata=[*self._additional, *metadata], compression=compression, timeout=timeout
        )
        result = _ended(future)
        result.response = future.result() if result.code == 0 else None
        return result

    async def stream(self, method: Method, *, metadata: Any = (), timeout: float | None = None) -> Call:
        metadata = [*self._additional, *metadata]
        return Call(
            method.kind, lambda requests: _start(self._callable(method), method.kind, requests, metadata, timeout)
        )


def _start(callable_: Any, kind: str, requests: Iterator[Any], metadata: Any, timeout: float | None) -> Any:
    match kind:
        case "stream_unary":
            return callable_.future(requests, metadata=metadata, timeout=timeout)
        case "unary_stream":
            return callable_(next(requests), metadata=metadata, timeout=timeout)
        case _:
            return callable_(requests, metadata=metadata, timeout=timeout)


class Call:
    """The library takes requests from an iterator: here from a queue, whose end is None."""

    def __init__(self, kind: str, start: Callable[[Iterator[Any]], Any]) -> None:
        self._kind = kind
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._start = start
        self._call = None if kind == "unary_stream" else self._started()

    def _started(self) -> Any:
        return self._start(iter(self._requests.get, None))

    async def send(self, message: Any, *, compress: bool | None = None) -> None:
        self._requests.put(message)
        if self._call is None:
            self._call = self._started()

    async def half_close(self) -> None:
        self._requests.put(None)

    async def receive(self) -> Any:
        try:
            return self._call.result() if self._kind == "stream_unary" else next(self._call, None)
        except grpc.RpcError:
            return None

    def compressed(self) -> bool | None:
        return None

    async def cancel(self) -> None:
        self._call.cancel()
        self._requests.put(None)  # for the thread that takes requests

    async def end(self) -> Result:
        result = _ended(self._call)
        self._requests.put(None)
        return result


def _ended(call: Any) -> Result:
    """Waits for the end."""
    code = call.code().value[0]
    return Result(
        code, call.details() or "", None, list(call.initial_metadata() or ()), list(call.trailing_metadata() or ())
    )


@contextlib.asynccontextmanager
async def connect(flags: Flags) -> AsyncGenerator[Channel, None]:
    options = channel_options(flags)
    if flags.use_tls:
        credentials = grpc.ssl_channel_credentials(flags.read("ca_file") if flags.ca_file else None)
        channel = grpc.secure_channel(flags.target, credentials, options)
    else:
        channel = grpc.insecure_channel(flags.target, options)
    with channel:
        yield Channel(channel, flags.additional_metadata)


def channel_options(flags: Flags) -> list[tuple[str, Any]]:
    # Without this channels to one address share a connection, and channel_soak would show nothing.
    options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
    if flags.server_host_override:
        options.append(("grpc.default_authority", flags.server_host_override))
        if flags.use_tls:
            options.append(("grpc.ssl_target_name_override", flags.server_host_override))
    return options


# -- server ------------------------------------------------------------------------------------------------------------


def _begin(context: grpc.ServicerContext) -> None:
    initial, trailing = official.echoes(context.invocation_metadata())
    if initial:
        context.send_initial_metadata(initial)
    context.set_trailing_metadata(trailing)


@contextlib.contextmanager
def _refusing(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        context.abort(CODES[refused.code], refused.message)


def empty_call(request: Any, context: grpc.ServicerContext) -> Any:
    return official.pb.Empty()


def unary_call(request: Any, context: grpc.ServicerContext) -> Any:
    if request.response_compressed.value:
        context.set_compression(grpc.Compression.Gzip)
    _begin(context)
    with _refusing(context):
        return official.simple_response(request)


def streaming_output_call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
    compressed = [parameters.compressed.value for parameters in request.response_parameters]
    if any(compressed):
        context.set_compression(grpc.Compression.Gzip)
    _begin(context)
    yield from _responses(request, context)


def _responses(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
    with _refusing(context):
        for planned in official.stream_responses(request):
            time.sleep(planned.delay)
            if planned.compress is False:
                context.disable_next_message_compression()
            yield planned.response


def streaming_input_call(requests: Iterable[Any], context: grpc.ServicerContext) -> Any:
    _begin(context)
    return official.pb.StreamingInputCallResponse(
        aggregated_payload_size=sum(len(request.payload.body) for request in requests)
    )


def full_duplex_call(requests: Iterable[Any], context: grpc.ServicerContext) -> Iterator[Any]:
    _begin(context)
    for request in requests:
        yield from _responses(request, context)


def half_duplex_call(requests: Iterable[Any], context: grpc.ServicerContext) -> Iterator[Any]:
    yield from full_duplex_call(list(requests), context)


def handlers(**functions: Callable[..., Any]) -> grpc.GenericRpcHandler:
    """The service; also that of grpc.aio, which takes coroutines."""
    methods = {
        "empty_call": official.EMPTY_CALL,
        "unary_call": official.UNARY_CALL,
        "streaming_output_call": official.OUTPUT_CALL,
        "streaming_input_call": official.INPUT_CALL,
        "full_duplex_call": official.DUPLEX_CALL,
        "half_duplex_call": official.HALF_DUPLEX_CALL,
    }
    made = {
        method.name: getattr(grpc, f"{method.kind}_rpc_method_handler")(
            functions[name],
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )
        for name, method in methods.items()
    }
    return grpc.method_handlers_generic_handler(official.SERVICE, made)


def listen(server: Any, flags: Flags) -> int:
    """Opens the port, of a server of either interface."""
    address = f"127.0.0.1:{flags.port}"
    if not flags.use_tls:
        return int(server.add_insecure_port(address))
    pair = (flags.read("tls_key_file"), flags.read("tls_cert_file"))
    return int(server.add_secure_port(address, grpc.ssl_server_credentials([pair])))


def serve(flags: Flags) -> None:
    server = grpc.server(ThreadPoolExecutor(32))
    service = handlers(
        empty_call=empty_call,
        unary_call=unary_call,
        streaming_output_call=streaming_output_call,
        streaming_input_call=streaming_input_call,
        full_duplex_call=full_duplex_call,
        half_duplex_call=half_duplex_call,
    )
    server.add_generic_rpc_handlers((service,))
    port = listen(server, flags)
    server.start()
    official_program.listening(port)
    server.wait_for_termination()


if __name__ == "__main__":
    official_program.main(f"grpcio {grpc.__version__}", serve=serve, connect=connect, lacks=LACKS, blocking=True)
