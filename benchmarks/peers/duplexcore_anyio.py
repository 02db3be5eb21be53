"""duplexcore on its anyio transport. ``loop``: asyncio, uvloop or trio; ``http2``: the carrier; ``driver``: what drives
a connection, when it is not to be chosen by itself."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

import anyio

from benchmarks.contract import DUPLEX, TIMEOUT, UNARY, Job, Outcome, Service, call_metadata, listening, program
from benchmarks.loops import Backend, drive
from benchmarks.messages import message_of
from duplexcore import ClientConfig, ServerConfig
from duplexcore.rpc import DuplexMethod, UnaryMethod
from duplexcore_anyio import (
    Channel,
    DuplexCall,
    DuplexServerCall,
    Router,
    ServerContext,
    client_tls,
    connect,
    server_tls,
)
from duplexcore_anyio import (
    serve as listen,
)

#: Loop -> how anyio is told.
LOOPS: dict[str, dict[str, Any]] = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}


class Client:
    """See `benchmarks.loops.Client`."""

    def __init__(self, channel: Channel, job: Job) -> None:
        kind: Any = type(message_of(job.codec, 0))
        self._channel = channel
        self._message = message_of(job.codec, job.size)
        self._unary = UnaryMethod(UNARY, kind, kind)
        self._duplex = DuplexMethod(DUPLEX, kind, kind)
        self.unary: Callable[[], Any] = (
            self._dressed if job.dressed else partial(channel.unary, self._unary, self._message)
        )

    def _dressed(self) -> Any:
        return self._channel.unary(self._unary, self._message, timeout=TIMEOUT, metadata=call_metadata())

    async def open(self) -> DuplexCall[Any, Any]:
        call = self._channel.duplex(self._duplex)
        await call.__aenter__()
        return call

    def ways(self, call: DuplexCall[Any, Any]) -> tuple[Any, Any]:
        return call.send, call.receive

    async def end(self, call: DuplexCall[Any, Any]) -> None:
        async with call_left(call):
            await call.send_eof()
            async for _ in call:
                pass


@asynccontextmanager
async def call_left(call: DuplexCall[Any, Any]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await call.aclose()


def connecting(options: dict[str, str], job: Job) -> Any:
    config = dataclasses.replace(ClientConfig(), **_carrier(options))
    tls = client_tls(ca=job.authority) if job.authority else None
    return connect(f"127.0.0.1:{job.port}", tls=tls, config=config, **_driver(options))


def _backend(options: dict[str, str], job: Job) -> Backend:
    @asynccontextmanager
    async def connected(job: Job) -> AsyncIterator[Client]:
        async with connecting(options, job) as channel:
            yield Client(channel, job)

    return Backend(connected, together, anyio.Event, anyio.Semaphore, message_of(job.codec, job.size))


async def together(actions: Any) -> None:
    async with anyio.create_task_group() as tasks:
        for action in actions:
            tasks.start_soon(action)


def run(job: Job, options: dict[str, str]) -> Outcome:
    return anyio.run(drive, job, _backend(options, job), **LOOPS[options["loop"]])


async def _unary(request: Any, _context: ServerContext) -> Any:
    return request


async def _duplex(call: DuplexServerCall[Any, Any]) -> None:
    async for request in call:
        await call.send(request)


def serve(service: Service, options: dict[str, str]) -> None:
    anyio.run(_serve, service, options, **LOOPS[options["loop"]])


async def _serve(service: Service, options: dict[str, str]) -> None:
    kind: Any = type(message_of(service.codec, 0))
    router = Router()
    router.add(UnaryMethod(UNARY, kind, kind), _unary)
    router.add(DuplexMethod(DUPLEX, kind, kind), _duplex)
    limit = max(ServerConfig().max_concurrent_calls, service.calls)
    config = dataclasses.replace(ServerConfig(max_concurrent_calls=limit), **_carrier(options))
    tls = server_tls(service.certificate, service.key) if service.key else None
    async with listen(router, "127.0.0.1:0", tls=tls, config=config, **_driver(options)) as server:
        listening(server.port)
        await server.serve_forever()


def _carrier(options: dict[str, str]) -> dict[str, Any]:
    known = "http2" in {each.name for each in dataclasses.fields(ClientConfig)}
    return {"http2": options["http2"]} if known else {}


def _driver(options: dict[str, str]) -> dict[str, Any]:
    return {"driver": options["driver"]} if "driver" in options else {}


def about(options: dict[str, str]) -> dict[str, Any]:
    if options["loop"] != "asyncio":
        __import__(options["loop"])
    if not _carrier(options) and options["http2"] != "h2":
        raise SystemExit("this duplexcore has no native carrier")
    if options.get("driver") and "driver" not in inspect.signature(connect).parameters:
        raise SystemExit("this duplexcore has one driver")
    used = "asyncio" if options["loop"] == "asyncio" else f"{options['loop']} {version(options['loop'])}"
    return {"library": f"duplexcore {version('duplexcore')} on {used}"}


if __name__ == "__main__":
    program(about, serve, run)
