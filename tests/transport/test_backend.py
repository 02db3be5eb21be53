"""What is asked of anyio's backend, once for a connection, is what anyio itself would say each time."""

from __future__ import annotations

import math

import anyio

from duplexcore_anyio.waiting import backend as found


async def test_deadlines_are_those_that_anyio_tells() -> None:
    ask = found().current_effective_deadline
    with anyio.CancelScope(deadline=anyio.current_time() + 5):
        assert ask() == anyio.current_effective_deadline() < math.inf
        with anyio.CancelScope(shield=True):
            assert ask() == math.inf
    with anyio.CancelScope() as scope:
        scope.cancel()
        assert ask() == -math.inf


async def test_scopes_are_those_that_anyio_makes() -> None:
    make = found().create_cancel_scope
    with make(deadline=math.inf) as scope:
        assert type(scope) is type(anyio.CancelScope())
        scope.cancel()
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    with make(deadline=anyio.current_time() - 1) as late:
        await anyio.sleep_forever()
    assert late.cancelled_caught
