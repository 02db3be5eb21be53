"""The event loops that tests of the transport run on, and the driver of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from duplexcore_anyio import drivers

__all__ = ["LOOPS", "run"]

#: asyncio and uvloop with the driver that they have by themselves, asyncio with the other one, and trio.
LOOPS = ["asyncio", "asyncio+stream", "asyncio+uvloop", "trio"]


def run(main: Callable[[], Awaitable[None]], name: str, **options: Any) -> None:
    """Runs ``main`` on the loop of that name."""
    backend, _, variant = name.partition("+")
    if variant == "uvloop":
        options["use_uvloop"] = True
    with pytest.MonkeyPatch.context() as patch:
        if variant == "stream":
            patch.setattr(drivers, "on_asyncio", lambda: False)  # as far as the choice of a driver goes
        anyio.run(main, backend=backend, backend_options=options)
