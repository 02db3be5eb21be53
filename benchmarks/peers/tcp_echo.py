"""No gRPC at all: as many bytes there and back over a bare asyncio Protocol. The least that a round trip costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.contract import Job, Outcome, Service, listening, program
from benchmarks.loops import Backend, drive
from benchmarks.messages import message_of


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class Asking(asyncio.Protocol):
    def __init__(self, length: int) -> None:
        self._length = length
        self._got = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += len(data)
        if self._got >= self._length:
            self._answer.set_result(self._got)

    def ask(self, message: bytes) -> asyncio.Future[int]:
        self._got = 0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        return self._answer


class Client:
    """See `benchmarks.loops.Client`: a connection is its only call."""

    def __init__(self, asking: Asking, message: bytes) -> None:
        self._asking, self._message = asking, message

    def unary(self) -> asyncio.Future[int]:
        return self._asking.ask(self._message)

    async def open(self) -> Asking:
        return self._asking

    def ways(self, call: Asking) -> tuple[Any, Any]:
        async def send(message: bytes) -> None:
            self._answer = call.ask(message)

        async def receive() -> int:
            return await self._answer

        return send, receive

    async def end(self, call: Asking) -> None:
        """There is nothing to say."""


@asynccontextmanager
async def connect(job: Job) -> AsyncIterator[Client]:
    loop = asyncio.get_running_loop()
    message = message_of(job.codec, job.size)
    transport, asking = await loop.create_connection(lambda: Asking(len(message)), "127.0.0.1", job.port)
    try:
        yield Client(asking, message)
    finally:
        transport.close()


def run(job: Job, _options: dict[str, str]) -> Outcome:
    return asyncio.run(drive(job, Backend.of_asyncio(connect, message_of(job.codec, job.size))))


def serve(_service: Service, _options: dict[str, str]) -> None:
    asyncio.run(_serve())


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    listening(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def about(_options: dict[str, str]) -> dict[str, Any]:
    return {"library": "asyncio.Protocol"}


if __name__ == "__main__":
    program(about, serve, run)
