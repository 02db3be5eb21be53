"""One side of a duplex stream of 256 MiB in each direction, both at once; a process of its own, for its memory's sake.

``python -m tests.interop.big_stream {server|client} {ours|grpc.aio} {asyncio|trio} [PORT]``. A server says its port,
and stops when its input ends. Both say at last, as JSON, how their memory grew between the first 8 MiB and the end, and
how much they had sent when they had taken half.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import grpc
import grpc.aio

from duplexcore.rpc import DuplexMethod
from duplexcore_anyio import CallReader, CallWriter, DuplexServerCall, Router, connect, serve

MIB = 1024 * 1024
SIZE = 64 * 1024
COUNT = 256 * MIB // SIZE
WARM = 8 * MIB // SIZE

STREAM = DuplexMethod("/interop.Big/Stream", bytes, bytes)
BODY = bytes(range(256)) * (SIZE // 256 - 1) + bytes(252)


def message(index: int) -> bytes:
    return index.to_bytes(4, "big") + BODY


def peak() -> int:
    """The most memory that this process has held at one time: bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage() on Linux also counts what the process was before it became this program
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Count:
    """Makes the messages and takes them, which must come in order; knows how the memory grew since all was warm."""

    def __init__(self) -> None:
        self.sent = self.sent_at_half = 0
        self.taken = 0
        self.before = 0

    def messages(self) -> Iterator[bytes]:
        for index in range(COUNT):
            yield message(index)
            self.sent += 1

    def take(self, one: bytes) -> None:
        assert one == message(self.taken), f"message {self.taken} is not what was sent"
        self.taken += 1
        if self.taken == WARM:
            self.before = peak()
        if self.taken == COUNT // 2:
            self.sent_at_half = self.sent

    def report(self) -> None:
        found = {"taken": self.taken, "sent_at_half": self.sent_at_half, "grown": peak() - self.before, "peak": peak()}
        print(json.dumps(found), flush=True)


# --- ours -------------------------------------------------------------------------------------------------------------


async def write(writer: CallWriter[bytes], count: Count) -> None:
    for one in count.messages():
        await writer.send(one)


async def read(reader: CallReader[bytes], count: Count) -> None:
    async for one in reader:
        count.take(one)


async def our_server(count: Count) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, call.writer, count)
            tasks.start_soon(read, call.reader, count)

    router = Router()
    router.add(STREAM, handler)
    async with serve(router, "127.0.0.1:0") as server:
        print(server.port, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read)


async def our_client(count: Count, port: int) -> None:
    async with connect(f"127.0.0.1:{port}") as channel, channel.duplex(STREAM) as call:

        async def say() -> None:
            await write(call.writer, count)
            await call.send_eof()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say)
            tasks.start_soon(read, call.reader, count)


# --- theirs -----------------------------------------------------------------------------------------------------------


async def their_server(count: Count) -> None:
    async def handler(requests: AsyncIterator[bytes], context: Any) -> None:
        async def reader() -> None:
            async for one in requests:
                count.take(one)

        reading = asyncio.create_task(reader())
        for one in count.messages():
            await context.write(one)
        await reading

    server = grpc.aio.server()
    methods = {STREAM.name: grpc.stream_stream_rpc_method_handler(handler)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(STREAM.service, methods),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await anyio.to_thread.run_sync(sys.stdin.read)
    await server.stop(None)


async def their_client(count: Count, port: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream(STREAM.path)()

        async def say() -> None:
            for one in count.messages():
                await call.write(one)
            await call.done_writing()

        saying = asyncio.create_task(say())
        while (one := await call.read()) is not grpc.aio.EOF:
            count.take(one)
        await saying
        assert await call.code() is grpc.StatusCode.OK


def main(role: str, whose: str, backend: str, *port: str) -> None:
    count = Count()
    sides: dict[tuple[str, str], Callable[..., Coroutine[Any, Any, None]]] = {
        ("server", "ours"): our_server,
        ("client", "ours"): our_client,
        ("server", "grpc.aio"): their_server,
        ("client", "grpc.aio"): their_client,
    }
    anyio.run(sides[role, whose], count, *map(int, port), backend=backend)
    count.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
