"""Tests that are coroutines run on asyncio and trio, each within a bound; others choose their own ``backend``."""

from __future__ import annotations

import inspect
import math
from typing import Any

import anyio
import pytest

#: No test takes longer, whatever the machine has to do besides: seconds.
BOUND = 60.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if inspect.iscoroutinefunction(metafunc.function) and "backend" not in metafunc.fixturenames:
        metafunc.fixturenames.append("backend")
        metafunc.parametrize("backend", ["asyncio", "trio"])


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given: dict[str, Any] = pyfuncitem.funcargs
    arguments = {name: given[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def bounded() -> None:
        with anyio.fail_after(math.inf if "clock" in given else BOUND):  # virtual time has no bound
            await pyfuncitem.obj(**arguments)

    name = str(pyfuncitem.callspec.params["backend"])
    options: dict[str, Any] = {"use_uvloop": True} if name == "asyncio+uvloop" else {}
    if "clock" in given:
        options["clock"] = given["clock"]
    anyio.run(bounded, backend=name.partition("+")[0], backend_options=options)
    return True
