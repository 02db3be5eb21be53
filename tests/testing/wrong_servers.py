"""Servers that are wrong on purpose, each in one way, to show that the probe sees it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

from duplexcore.testing import raw
from duplexcore.testing.raw import RawPeer

Handler = Callable[[ByteStream], Awaitable[None]]
Frame = Callable[[int, int, int, bytes], bytes]
GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


@asynccontextmanager
async def listening(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server on 127.0.0.1."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port: int = listener.listeners[0].extra(SocketAttribute.local_port)
    accepting = TLSListener(listener, tls, standard_compatible=False) if tls else listener

    async def one(stream: ByteStream) -> None:
        try:
            await handler(stream)
        except GONE:
            pass
        finally:
            await anyio.aclose_forcefully(stream)

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(accepting.serve, one)
        yield port
        tasks.cancel_scope.cancel()


async def silent(stream: ByteStream) -> None:
    """Reads, and never says anything."""
    with suppress(anyio.EndOfStream):
        while True:
            await stream.receive()
    await anyio.sleep_forever()


async def closing(stream: ByteStream) -> None:
    """Closes when anything has come."""
    await stream.receive()


def answering(status: int, *, once: bool = False, reset: int | None = None) -> Handler:
    """Accepts everything: reads frames by their length, decodes nothing, checks nothing; whatever ends a stream gets an
    answer with this status, and a message when it is OK. ``once``: only the first on a connection. ``reset``: HEADERS
    get RST_STREAM with this code instead."""

    async def handler(stream: ByteStream) -> None:
        peer, buffer, answered = RawPeer(client=False), b"", 0
        await stream.send(raw.settings({raw.MAX_STREAMS: 10}))
        while True:
            buffer += await stream.receive()
            buffer = buffer.removeprefix(raw.PREFACE)
            while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3], "big")):
                type_, flags, number = buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big") & raw.MAX_ID
                payload, buffer = buffer[9:end], buffer[end:]
                ends = type_ in (raw.DATA, raw.HEADERS) and flags & raw.ES
                if type_ == raw.SETTINGS and not flags & raw.ACK:
                    await stream.send(raw.settings_ack())
                elif type_ == raw.PING and not flags & raw.ACK:
                    await stream.send(raw.ping(payload, ack=True))
                elif type_ == raw.HEADERS and reset is not None:
                    await stream.send(raw.rst(number, reset))
                elif ends and reset is None and not (once and answered):
                    answered += 1
                    await stream.send(_answer(peer, number, status))

    return handler


def _answer(peer: RawPeer, stream: int, status: int) -> bytes:
    if status:
        return peer.trailers_only(stream, status)
    return peer.response(stream) + raw.data(stream, raw.message(b"hello")) + peer.trailers(stream, 0)
