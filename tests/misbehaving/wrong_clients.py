"""Clients that are wrong on purpose, made of raw frames: each calls, and what it does then is wrong in every case."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from duplexcore.testing import raw
from duplexcore.testing.link import RawLink, dial

UNARY = "/grpc.testing.TestService/UnaryCall"

#: Longer than any server of these tests is patient; nobody waits so long.
LONG = 60.0


def request(link: RawLink, stream: int) -> bytes:
    return link.peer.request(stream, UNARY) + raw.data(stream, raw.message(bytes(200)), end=True)


async def ignores(link: RawLink) -> None:
    """Calls, and reads nothing any more, nor leaves."""
    await link.stream.send(link.peer.hello(ack=False) + request(link, 1))
    await anyio.sleep(LONG)


async def never_acknowledges(link: RawLink) -> None:
    """Calls, once and again, and takes what comes, but acknowledges nothing."""
    await link.send(link.peer.hello(ack=False) + request(link, 1))
    stream = 1
    while (frame := await link.frame(LONG)) is not None:
        if frame.stream == stream and (frame.end or frame.type == raw.RST) and stream < 5:
            stream += 2
            await link.send(request(link, stream))


async def hangs_up(link: RawLink) -> None:
    """Calls, and is gone."""
    await link.send(link.peer.hello(ack=False) + request(link, 1))


CLIENTS: dict[str, Callable[[RawLink], Awaitable[None]]] = {
    "ignores": ignores,
    "never acknowledges": never_acknowledges,
    "hangs up": hangs_up,
}


async def attack(name: str, port: int) -> None:
    """One connection of that client, to its end."""
    link = await dial("127.0.0.1", port, answer=False, credit=name != "ignores")
    try:
        await CLIENTS[name](link)
    finally:
        await link.aclose()
