"""The event loops that tests of the transport run on, and the driver of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
import uvloop

from duplexcore_anyio import drivers

__all__ = ["LOOPS", "run"]

#: asyncio and uvloop with the driver that they have by themselves, asyncio with the other one, and trio. uvloop runs as
#: most programs run it, without anyio: then nothing tells anyio, outside of tasks, on which loop it is.
LOOPS = ["asyncio", "asyncio+stream", "asyncio+uvloop", "trio"]


def run(main: Callable[[], Coroutine[Any, Any, None]], name: str, **options: Any) -> None:
    """Runs ``main`` on the loop of that name."""
    backend, _, variant = name.partition("+")
    if variant == "uvloop":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
        return
    with pytest.MonkeyPatch.context() as patch:
        if variant == "stream":
            patch.setattr(drivers, "on_asyncio", lambda: False)  # as far as the choice of a driver goes
        anyio.run(main, backend=backend, backend_options=options)
