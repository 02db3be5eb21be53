"""What the server of the soak serves, and its own account of it."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio

from duplexcore import Metadata, RpcError, StatusCode
from duplexcore.rpc import ClientStreamingMethod, DuplexMethod, ServerStreamingMethod, UnaryMethod
from duplexcore_anyio import ClientStreamingServerCall, DuplexServerCall, Router, ServerContext

from .messages import Stream, made

__all__ = [
    "CHATTER",
    "COLLECT",
    "ECHO",
    "FAIL",
    "HOLD",
    "MISSING",
    "REPORT",
    "STREAM",
    "TALK",
    "Held",
    "held",
    "router",
]

ECHO = UnaryMethod("/soak.Load/Echo", bytes, bytes)
FAIL = UnaryMethod("/soak.Load/Fail", bytes, bytes)
HOLD = UnaryMethod("/soak.Load/Hold", bytes, bytes)
STREAM = ServerStreamingMethod("/soak.Load/Stream", bytes, bytes)
COLLECT = ClientStreamingMethod("/soak.Load/Collect", bytes, bytes)
TALK = DuplexMethod("/soak.Load/Talk", bytes, bytes)
CHATTER = DuplexMethod("/soak.Load/Chatter", bytes, bytes)
REPORT = UnaryMethod("/soak.Control/Report", bytes, bytes)
#: Served by nobody.
MISSING = UnaryMethod("/soak.Load/Missing", bytes, bytes)


#: Of this process, where the system has them.
FILES, MEMORY = Path("/proc/self/fd"), Path("/proc/self/statm")


def asked(request: bytes) -> dict[str, Any]:
    return dict(json.loads(request))


class Held:
    """What a process holds on to: handlers that run, tasks, file descriptors, live blocks of Python, and KiB in all."""

    def __init__(self, *, handlers: int, tasks: int, files: int, blocks: int, resident: int) -> None:
        self.handlers, self.tasks, self.files, self.blocks, self.resident = handlers, tasks, files, blocks, resident

    @classmethod
    def read(cls, text: bytes) -> Held:
        return cls(**json.loads(text))

    def written(self) -> bytes:
        return json.dumps(self.__dict__).encode()


def held(handlers: int = 0) -> Held:
    """Of this process, now; call it from a task, when nothing is under way."""
    for _ in range(3):
        gc.collect()
    files = len(list(FILES.iterdir())) if FILES.is_dir() else 0
    return Held(
        handlers=handlers,
        tasks=len(anyio.get_running_tasks()),
        files=files,
        blocks=sys.getallocatedblocks(),
        resident=_resident(),
    )


def _resident() -> int:
    """Resident memory in KiB, 0 where the system does not tell."""
    try:
        return int(MEMORY.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    except OSError:
        return 0


class Handlers:
    """Counts the handlers that run; every method of the load is served by one of these."""

    def __init__(self) -> None:
        self.running = 0

    async def echo(self, request: bytes, call: ServerContext) -> bytes:
        """The request, and the metadata as they came, in front and behind."""
        with self:
            own = Metadata([pair for pair in call.metadata if pair[0].startswith("x-")])
            await call.send_initial_metadata(own)
            call.set_trailing_metadata(own)
            return request

    async def fail(self, request: bytes, call: ServerContext) -> bytes:
        with self:
            want = asked(request)
            trailers = [("x-why", want["message"].encode("unicode_escape").decode())]
            raise RpcError(StatusCode(want["code"]), want["message"], trailing_metadata=trailers)

    async def hold(self, request: bytes, call: ServerContext) -> bytes:
        """Until the client leaves, or its deadline passes."""
        with self:
            await anyio.sleep_forever()
            raise AssertionError("unreachable")

    async def stream(self, request: bytes, call: ServerContext) -> AsyncIterator[bytes]:
        with self:
            want = asked(request)
            for number in range(want["count"]):
                yield made(number, want["size"])

    async def collect(self, call: ClientStreamingServerCall[bytes]) -> bytes:
        with self:
            pause = float(str(call.metadata.get("x-pause", "0")))
            stream = Stream()
            async for request in call:
                stream.take(request)
                if pause:
                    await anyio.sleep(pause)
            return str(stream.count).encode()

    async def talk(self, call: DuplexServerCall[bytes, bytes]) -> None:
        """Says each message back, as it comes."""
        with self:
            async for request in call:
                await call.send(request)

    async def chatter(self, call: DuplexServerCall[bytes, bytes]) -> None:
        """Speaks first, reads a little, and ends the call while the client still sends."""
        with self:
            for number in range(int(str(call.metadata.get("x-count", "0")))):
                await call.send(made(number, 100))
            stream = Stream()
            while stream.count < 3:
                stream.take(await call.receive())

    async def report(self, request: bytes, call: ServerContext) -> bytes:
        with self:
            return held(self.running).written()

    def __enter__(self) -> None:
        self.running += 1

    def __exit__(self, *_: object) -> None:
        self.running -= 1


def router() -> Router:
    handlers, made_router = Handlers(), Router()
    served: list[tuple[Any, Callable[..., Awaitable[Any]] | Callable[..., AsyncIterator[Any]]]] = [
        (ECHO, handlers.echo),
        (FAIL, handlers.fail),
        (HOLD, handlers.hold),
        (STREAM, handlers.stream),
        (COLLECT, handlers.collect),
        (TALK, handlers.talk),
        (CHATTER, handlers.chatter),
        (REPORT, handlers.report),
    ]
    for method, handler in served:
        made_router.add(method, handler)
    return made_router
