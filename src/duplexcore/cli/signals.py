"""Waiting for Ctrl-C and for those who stop processes."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import click

__all__ = ["interruptible", "signals"]

T = TypeVar("T")


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


async def interruptible(work: Callable[[], Awaitable[T]]) -> T:
    """The work's result. SIGINT and SIGTERM cancel it, and raise `click.exceptions.Exit` with the code that shells
    expect: as a KeyboardInterrupt, Ctrl-C would strike whichever task happens to run."""
    stopped_by: signal.Signals | None = None
    result: list[T] = []
    try:
        async with signals(signal.SIGINT, signal.SIGTERM) as caught, anyio.create_task_group() as tasks:

            async def stop() -> None:
                nonlocal stopped_by
                stopped_by = await anext(caught)
                tasks.cancel_scope.cancel()

            tasks.start_soon(stop)
            result.append(await work())
            tasks.cancel_scope.cancel()
    except Exception:
        if stopped_by is None:
            raise
    if not result:
        assert stopped_by is not None
        raise click.exceptions.Exit(128 + stopped_by)
    return result[0]
