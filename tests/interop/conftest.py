"""Tests are coroutines or functions: the former run on the event loop that ``backend`` names, within a bound."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator

import anyio
import pytest

from tests.interop.peers import Flavour, Peers
from tests.support.grpc_aio_peer import AioPeer

#: No test takes longer, whatever else the machine has to do: seconds. A hang is a failure.
BOUND = 60.0


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """The event loop of our side."""
    return request.param


@pytest.fixture(params=["grpcio", "grpc.aio"])
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Which of the two is the other side."""
    return request.param


@pytest.fixture(scope="session")
def aio() -> Iterator[AioPeer]:
    peer = AioPeer()
    yield peer
    peer.close()


@pytest.fixture
def peers(flavour: Flavour, aio: AioPeer) -> Peers:
    return Peers(flavour, aio)


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a peer does is logged above debug; a test that makes a handler of ours fail asks for ``loud``."""
    caplog.set_level(logging.DEBUG, logger="duplexcore_anyio")
    yield
    if "loud" not in request.fixturenames:
        records = [one for one in caplog.get_records("call") if one.name.startswith("duplexcore")]
        assert [one.getMessage() for one in records if one.levelno > logging.DEBUG] == []


@pytest.fixture
def loud() -> None:
    """Something of ours is expected to fail, and to be logged."""


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def bounded() -> None:
        with anyio.fail_after(BOUND):
            await pyfuncitem.obj(**arguments)

    anyio.run(bounded, backend=str(pyfuncitem.funcargs["backend"]))
    return True
