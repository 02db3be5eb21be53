"""grpclib: gRPC on h2 for asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import grpclib.client
from grpclib.const import Cardinality, Handler
from grpclib.server import Server
from h2.connection import H2Connection
from h2.settings import SettingCodes

from benchmarks.contract import DUPLEX, TIMEOUT, UNARY, Job, Outcome, Service, call_metadata, fault, listening, program
from benchmarks.loops import Backend, drive
from benchmarks.messages import codec_of, message_of


class Codec:
    """Bytes as they are, or a protobuf message, as the library wants it."""

    __content_subtype__ = "proto"

    def __init__(self, name: str) -> None:
        self._write, self._read = codec_of(name)

    def encode(self, message: Any, _type: Any) -> bytes:
        return message if self._write is None else self._write(message)

    def decode(self, data: bytes, _type: Any) -> Any:
        return data if self._read is None else self._read(data)


class Client:
    """See `benchmarks.loops.Client`."""

    def __init__(self, channel: Any, job: Job) -> None:
        self._message = message_of(job.codec, job.size)
        kind = type(self._message)
        self._unary = grpclib.client.UnaryUnaryMethod(channel, UNARY, kind, kind)
        self._duplex = grpclib.client.StreamStreamMethod(channel, DUPLEX, kind, kind)
        self.unary = self._dressed if job.dressed else self._plain

    def _plain(self) -> Any:
        return self._unary(self._message)

    def _dressed(self) -> Any:
        return self._unary(self._message, timeout=TIMEOUT, metadata=call_metadata())

    async def open(self) -> Any:
        stream = self._duplex.open()
        await stream.__aenter__()
        await stream.send_request()
        return stream

    def ways(self, call: Any) -> tuple[Any, Any]:
        return call.send_message, call.recv_message

    async def end(self, call: Any) -> None:
        await call.end()
        if await call.recv_message() is not None:
            raise fault("a stream has not ended well")
        await call.__aexit__(None, None, None)


@asynccontextmanager
async def connect(job: Job) -> AsyncIterator[Client]:
    context = None
    if job.authority:
        context = ssl.create_default_context(cafile=job.authority)
        context.set_alpn_protocols(["h2"])
    async with grpclib.client.Channel("127.0.0.1", job.port, ssl=context, codec=Codec(job.codec)) as channel:
        yield Client(channel, job)


def run(job: Job, _options: dict[str, str]) -> Outcome:
    return asyncio.run(drive(job, Backend.of_asyncio(connect, message_of(job.codec, job.size))))


async def _unary(stream: Any) -> None:
    await stream.send_message(await stream.recv_message())


async def _duplex(stream: Any) -> None:
    async for request in stream:
        await stream.send_message(request)


class Echo:
    """The service, as the library wants it."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __mapping__(self) -> dict[str, Any]:
        return {
            UNARY: Handler(_unary, Cardinality.UNARY_UNARY, self._kind, self._kind),
            DUPLEX: Handler(_duplex, Cardinality.STREAM_STREAM, self._kind, self._kind),
        }


def serve(service: Service, _options: dict[str, str]) -> None:
    _allow(service.calls)
    asyncio.run(_serve(service))


def _allow(calls: int) -> None:
    """The library has no setting for it, and h2 allows 100 streams where nobody says more."""
    initiate = H2Connection.initiate_connection

    def with_more(connection: Any) -> None:
        initiate(connection)
        connection.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: max(calls, 100)})

    setattr(H2Connection, initiate.__name__, with_more)


async def _serve(service: Service) -> None:
    server = Server([Echo(type(message_of(service.codec, 0)))], codec=Codec(service.codec))
    context = None
    if service.key:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(service.certificate, service.key)
        context.set_alpn_protocols(["h2"])
    await server.start("127.0.0.1", 0, ssl=context)
    listening(server._server.sockets[0].getsockname()[1])
    await server.wait_closed()


def about(_options: dict[str, str]) -> dict[str, Any]:
    return {"library": f"grpclib {version('grpclib')} on h2 {version('h2')}"}


if __name__ == "__main__":
    program(about, serve, run)
