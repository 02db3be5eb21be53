"""A network in memory for tests of channels: addresses, and what stands behind each at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from duplexcore import ErrorCode, ServerConfig
from duplexcore.testing import raw
from duplexcore_anyio import Backoff, asyncio_links, memory_link, serve_stream
from tests.support.transport import echo, four_kinds

SETTINGS = raw.frame(raw.SETTINGS) + raw.settings_ack()
Behave = Callable[[ByteStream], Coroutine[Any, Any, None]]


def steady(**options: Any) -> Backoff:
    """Back-off without chance."""
    return Backoff(draw=lambda: 0.5, **options)


@contextmanager
def suppressing() -> Iterator[None]:
    """A peer that is not ours has seen the other side close."""
    try:
        yield
    except* (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass


class Net:
    """Addresses in memory: what stands behind one, now. None: nobody listens; a number: so many seconds until then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.behind: dict[str, Behave | float | None] = {}
        #: When which address was tried.
        self.attempts: list[tuple[float, str]] = []
        self._monkeypatch = monkeypatch

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:

            async def connect_tcp(host: str, port: int) -> ByteStream:
                self.attempts.append((round(anyio.current_time() - start, 3), host))
                behave = self.behind.get(host)
                if isinstance(behave, float):
                    await anyio.sleep(behave)
                    behave = None
                if behave is None:
                    raise ConnectionRefusedError
                near, far = memory_link()
                tasks.start_soon(answer, behave, far)
                return near

            async def answer(behave: Behave, stream: ByteStream) -> None:
                with suppressing():
                    await behave(stream)

            start = anyio.current_time()
            self._monkeypatch.setattr(anyio, "connect_tcp", connect_tcp)
            self._monkeypatch.setattr(asyncio_links, "connect_tcp", connect_tcp)
            yield
            tasks.cancel_scope.cancel()


def served(talk: Any = echo, **config: Any) -> Behave:
    return partial(serve_stream, four_kinds(talk), config=ServerConfig(**config))


def taking(after: int, how: str) -> Behave:
    """A peer that takes calls to ``after``, and refuses those that come then."""

    async def behave(stream: ByteStream) -> None:
        peer = raw.RawPeer(client=False)
        await stream.send(peer.hello())
        taken = 0
        while True:
            frames = peer.read(await stream.receive())
            for frame in frames:
                if frame.type != raw.HEADERS:
                    continue
                taken += 1
                if taken <= after:
                    continue
                last = 2 * after - 1 if after else 0
                await stream.send(
                    raw.rst(frame.stream, ErrorCode.REFUSED_STREAM) if how == "refuse" else raw.goaway(last)
                )

    return behave
