"""The demo's conversation by grpcio, on either side: its threaded API, so that any event loop may run beside it."""

from __future__ import annotations

import queue
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from .conversation import (
    ANSWERS,
    CONVERSE,
    LAST,
    METADATA,
    QUESTION,
    TRAILING_METADATA,
    WELCOME,
    Outcome,
    request_name,
    response_name,
)
from .problems import Problem
from .proto.conversation_pb2 import InputMessage, OutputMessage
from .tls import NAME, ThrowAway
from .trace import Side, Trace

__all__ = ["converse", "serving"]


def converse(target: str, tls: ThrowAway | None, trace: Trace, pace: float, timeout: float) -> Outcome:
    """The client's part."""
    outcome = Outcome()
    requests: queue.SimpleQueue[InputMessage | None] = queue.SimpleQueue()
    with _channel(target, tls) as channel:
        method = channel.stream_stream(
            CONVERSE.path,
            request_serializer=InputMessage.SerializeToString,
            response_deserializer=OutputMessage.FromString,
        )
        trace.says(Side.CLIENT, "open")
        call = method(iter(requests.get, None), metadata=tuple(METADATA.items()), timeout=timeout)
        try:
            for response in call:
                trace.hears(Side.CLIENT, response_name(response))
                outcome.responses.append(response)
                if response == WELCOME:
                    time.sleep(pace)
                    trace.says(Side.CLIENT, request_name(QUESTION))
                    requests.put(QUESTION)
            outcome.status = call.code().name
            outcome.trailing_metadata = {name: str(value) for name, value in call.trailing_metadata()}
        except grpc.RpcError as error:
            raise Problem(f"grpcio's call ended with {call.code().name}: {call.details()}") from error
        finally:
            # Ends grpcio's own thread that reads requests. After the call's end nothing of it reaches the wire.
            requests.put(None)
        trace.hears(Side.CLIENT, f"status {outcome.status}")
    return outcome


@contextmanager
def serving(address: str, tls: ThrowAway | None, trace: Trace, pace: float) -> Generator[str, None, None]:
    """The server's part; the target that clients connect to."""

    def handle(requests: Iterator[InputMessage], context: Any) -> Iterator[OutputMessage]:
        trace.hears(Side.SERVER, "opened")
        trace.says(Side.SERVER, response_name(WELCOME))
        yield WELCOME
        trace.hears(Side.SERVER, request_name(next(requests)))
        for answer in ANSWERS:
            time.sleep(pace)
            trace.says(Side.SERVER, response_name(answer))
            yield answer
        time.sleep(pace)
        context.set_trailing_metadata(tuple(TRAILING_METADATA.items()))
        trace.says(Side.SERVER, f"{response_name(LAST)}, OK")
        yield LAST

    handler = grpc.method_handlers_generic_handler(
        CONVERSE.service,
        {
            CONVERSE.name: grpc.stream_stream_rpc_method_handler(
                handle,
                request_deserializer=InputMessage.FromString,
                response_serializer=OutputMessage.SerializeToString,
            )
        },
    )
    # SO_REUSEPORT would let two servers share a port without a word.
    server = grpc.server(ThreadPoolExecutor(2), handlers=[handler], options=[("grpc.so_reuseport", 0)])
    try:
        if tls is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, grpc.ssl_server_credentials([(tls.key, tls.chain)]))
    except RuntimeError as error:
        raise Problem(f"grpcio cannot listen on {address}: {error}") from error
    server.start()
    try:
        yield address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"
    finally:
        server.stop(None).wait()


def _channel(target: str, tls: ThrowAway | None) -> grpc.Channel:
    if tls is None:
        return grpc.insecure_channel(target)
    options = [("grpc.ssl_target_name_override", NAME)]
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(tls.ca), options=options)
