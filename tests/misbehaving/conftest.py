"""Tests that are coroutines run on asyncio and trio, or on the ``backend`` that they name, each within a bound.

The bound is not a deadline around the test: its calls would inherit it.
"""

from __future__ import annotations

import inspect
import ssl

import anyio
import pytest
import trustme

#: No test takes longer, whatever the machine has to do besides: seconds.
BOUND = 100.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if inspect.iscoroutinefunction(metafunc.function) and "backend" not in metafunc.fixturenames:
        metafunc.fixturenames.append("backend")
        metafunc.parametrize("backend", ["asyncio", "trio"])


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def bounded() -> None:
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, tasks.cancel_scope)
            try:
                await pyfuncitem.obj(**given)
            except Exception as error:  # out of the group as it is
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def watch(scope: anyio.CancelScope) -> None:
        await anyio.sleep(BOUND)
        scope.cancel()
        pytest.fail(f"it has not ended within {BOUND:g} s")

    anyio.run(bounded, backend=str(pyfuncitem.callspec.params["backend"]))
    return True


@pytest.fixture(scope="session")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's, which trust each other."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    client.set_alpn_protocols(["h2"])
    return server, client
