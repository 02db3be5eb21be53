"""Scenarios are coroutines: each runs on the event loop, and over the link, that its parameters say, within a bound."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from duplexcore import ServerConfig, ServerConnection
from tests.scenarios import wire
from tests.scenarios.wire import BOUND, WHERE, Where
from tests.support.grpc_aio_peer import AioPeer
from tests.support.loops import run


@pytest.fixture(params=WHERE, ids=str)
def where(request: pytest.FixtureRequest) -> Where:
    """Our client against our server: the event loop and the link; `wire.everywhere` adds to them."""
    return request.param


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """The event loop of our side alone."""
    return request.param


@pytest.fixture(scope="session")
def aio() -> Iterator[AioPeer]:
    peer = AioPeer()
    yield peer
    peer.close()


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every server engine of the test is known: see `wire.open_calls_of_servers`."""

    def recorded(config: ServerConfig, *, now: float, jitter: float) -> ServerConnection:
        wire.SERVERS.append(ServerConnection(config, now=now, jitter=jitter))
        return wire.SERVERS[-1]

    monkeypatch.setattr("duplexcore_anyio.serving.ServerConnection", recorded)
    yield
    wire.SERVERS.clear()


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Normal endings are logged at debug at most (D-25); a test that makes a handler fail asks for ``loud``."""
    caplog.set_level(logging.DEBUG, logger="duplexcore_anyio")
    yield
    if "loud" not in request.fixturenames:
        records = [record for when in ("setup", "call") for record in caplog.get_records(when)]
        said = [r.getMessage() for r in records if r.name.startswith("duplexcore") and r.levelno > logging.DEBUG]
        assert said == []


@pytest.fixture
def loud() -> None:
    """The test makes a handler fail: that is logged."""


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given: dict[str, Any] = pyfuncitem.funcargs
    where, backend = given.get("where"), given.get("backend")
    name: str = where.backend if where is not None else backend or "asyncio"
    arguments = {arg: given[arg] for arg in pyfuncitem._fixtureinfo.argnames}

    async def bounded() -> None:
        # Not a deadline around the test: its calls would inherit it.
        failure: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_watch, tasks.cancel_scope)
            try:
                await pyfuncitem.obj(**arguments)
            except Exception as error:  # out of the group as it is
                failure = error
            except BaseException:
                if tasks.cancel_scope.cancel_called:
                    pytest.fail(f"hangs: it has not ended within {BOUND:.0f} s")
                raise
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    run(bounded, name)
    return True


async def _watch(scope: anyio.CancelScope) -> None:
    await anyio.sleep(BOUND)
    scope.cancel()
