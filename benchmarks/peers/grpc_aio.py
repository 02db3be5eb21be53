"""grpc.aio: the C++ core's binding for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from benchmarks.contract import DUPLEX, TIMEOUT, UNARY, Job, Outcome, Service, call_metadata, fault, listening, program
from benchmarks.loops import Backend, drive
from benchmarks.messages import codec_of, message_of

#: Each channel has a connection of its own.
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


class Client:
    """See `benchmarks.loops.Client`."""

    def __init__(self, channel: Any, job: Job) -> None:
        self._message = message_of(job.codec, job.size)
        write, read = codec_of(job.codec)
        self._unary = channel.unary_unary(UNARY, write, read)
        self._duplex = channel.stream_stream(DUPLEX, write, read)
        self.unary = self._dressed if job.dressed else self._plain

    def _plain(self) -> Any:
        return self._unary(self._message)

    def _dressed(self) -> Any:
        return self._unary(self._message, timeout=TIMEOUT, metadata=call_metadata())

    async def open(self) -> Any:
        return self._duplex()

    def ways(self, call: Any) -> tuple[Any, Any]:
        return call.write, call.read

    async def end(self, call: Any) -> None:
        await call.done_writing()
        if await call.read() is not aio.EOF or await call.code() is not grpc.StatusCode.OK:
            raise fault("a stream has not ended well")


@asynccontextmanager
async def connect(job: Job) -> AsyncIterator[Client]:
    target = f"127.0.0.1:{job.port}"
    if job.authority:
        channel = aio.secure_channel(target, _theirs(job), OPTIONS)
    else:
        channel = aio.insecure_channel(target, OPTIONS)
    async with channel:
        yield Client(channel, job)


def run(job: Job, _options: dict[str, str]) -> Outcome:
    return asyncio.run(drive(job, Backend.of_asyncio(connect, message_of(job.codec, job.size))))


async def _unary(request: Any, _context: Any) -> Any:
    return request


async def _duplex(requests: Any, context: Any) -> None:
    async for request in requests:
        await context.write(request)


def serve(service: Service, _options: dict[str, str]) -> None:
    asyncio.run(_serve(service))


async def _serve(service: Service) -> None:
    server = aio.server()
    read, write = reversed(codec_of(service.codec))
    handlers = {
        UNARY.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(_unary, read, write),
        DUPLEX.rpartition("/")[2]: grpc.stream_stream_rpc_method_handler(_duplex, read, write),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(UNARY.split("/")[1], handlers),))
    if service.key:
        port = server.add_secure_port("127.0.0.1:0", _own(service))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    listening(port)
    await server.wait_for_termination()


def _theirs(job: Job) -> Any:
    return grpc.ssl_channel_credentials(Path(job.authority).read_bytes())


def _own(service: Service) -> Any:
    pair = Path(service.key).read_bytes(), Path(service.certificate).read_bytes()
    return grpc.ssl_server_credentials([pair])


def about(_options: dict[str, str]) -> dict[str, Any]:
    return {"library": f"grpcio {grpc.__version__}"}


if __name__ == "__main__":
    program(about, serve, run)
