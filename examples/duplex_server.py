"""A duplex server: it speaks first, answers twice, and ends the call when it has heard enough."""

import contextlib
import sys

import anyio

from duplexcore.rpc import DuplexMethod
from duplexcore_anyio import DuplexServerCall, Router, serve

TALK = DuplexMethod("/example.Conversation/Talk", bytes, bytes)
router = Router()


@router.handles(TALK)
async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
    await call.send(b"welcome")  # before any request
    async for request in call:
        await call.send(b"you said " + request)
        await call.send(b"and I am still listening")
        if request == b"bye":
            break  # returning ends the call with OK, though the client could still send


async def main() -> None:
    async with serve(router, sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051") as server:
        print("listening on", server.addresses[0], flush=True)
        await server.serve_forever()


with contextlib.suppress(KeyboardInterrupt):
    anyio.run(main)
