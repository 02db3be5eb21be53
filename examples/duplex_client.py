"""A duplex client: it reads and writes at the same time, until the server ends the call."""

import sys

import anyio

from duplexcore.rpc import DuplexMethod
from duplexcore_anyio import connect

TALK = DuplexMethod("/example.Conversation/Talk", bytes, bytes)


async def main() -> None:
    target = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
    async with connect(target) as channel, channel.duplex(TALK, timeout=30) as call:
        print("first:", (await call.receive()).decode())  # this side has sent nothing yet
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.send_all, [b"hello", b"bye"])  # no half-close: the server ends the call
            async for response in call:
                print("then:", response.decode())
        print("status:", call.status)


anyio.run(main)
