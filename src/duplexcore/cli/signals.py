"""Waiting for Ctrl-C and for those who stop processes."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio

__all__ = ["signals"]


@asynccontextmanager
async def signals(*wanted: signal.Signals) -> AsyncGenerator[AsyncIterator[signal.Signals], None]:
    """The signals that come, as they come. Where the platform has none for event loops, there is only Ctrl-C's
    KeyboardInterrupt."""
    try:
        receiver = anyio.open_signal_receiver(*wanted)
        opened = receiver.__enter__()
    except NotImplementedError:  # asyncio on Windows
        yield _never()
        return
    try:
        yield opened
    finally:
        receiver.__exit__(None, None, None)


async def _never() -> AsyncIterator[signal.Signals]:
    await anyio.sleep_forever()
    yield signal.SIGINT
