"""Tests that are coroutines run on each event loop, and with each driver, within a bound; or on a ``backend`` of their
own choice."""

from __future__ import annotations

import asyncio
import inspect
import math
from typing import Any

import anyio
import pytest

from tests.support.loops import LOOPS, run

#: No test takes longer, whatever the machine has to do besides: seconds.
BOUND = 60.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if inspect.iscoroutinefunction(metafunc.function) and "backend" not in metafunc.fixturenames:
        metafunc.fixturenames.append("backend")
        metafunc.parametrize("backend", LOOPS)


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given: dict[str, Any] = pyfuncitem.funcargs
    arguments = {name: given[name] for name in pyfuncitem._fixtureinfo.argnames}

    backend = str(pyfuncitem.callspec.params["backend"])

    async def bounded() -> None:
        if backend == "asyncio+uvloop":  # a bound that handlers do not see
            async with asyncio.timeout(BOUND):
                await pyfuncitem.obj(**arguments)
        else:
            with anyio.fail_after(math.inf if "clock" in given else BOUND):  # virtual time has no bound
                await pyfuncitem.obj(**arguments)

    options = {"clock": given["clock"]} if "clock" in given else {}
    run(bounded, backend, **options)
    return True
