"""P50: on asyncio and on trio applications see what the model allows, and wrong adapters are found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from duplexcore.testing.service.adapters import BACKENDS, Play, play, play_drawn
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore.testing.sim.properties import PropertyError
from duplexcore.testing.sim.scripts import CallScript
from duplexcore_anyio.client_core import ClientCore
from duplexcore_anyio.core import CallCore
from duplexcore_anyio.server_calls import ServerCore

#: Of each backend, in five tests so that several workers share them.
SCRIPTS, SHARES = 120, 4


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_applications_see_can_be(backend: str, share: int) -> None:
    for seed in range(share, SCRIPTS, SHARES):
        play_drawn(PrngChooser(seed), backend)


def test_a_plain_call_is_told_in_the_plain_order() -> None:
    told = [*map(str, play(Play(CallScript(requests=(3,), responses=(3,), drains=True)), "asyncio").history)]
    assert [one for one in told if "told" in one] == [
        "server is told: STARTED",
        "server is told: MESSAGE",
        "server is told: HALF_CLOSED",
        "client is told: MESSAGE",
        "client is told: OK",
    ]


async def loses_a_message(take: Any, core: Any) -> bytes | None:
    payload = await take(core)
    return await take(core) if payload == b"s0." else payload  # of three bytes, the first size that is drawn


async def shows_the_status_first(take: Any, core: Any) -> bytes | None:
    return None if core.engine.ended is not None else await take(core)


async def shows_a_message_twice(take: Any, core: Any) -> bytes | None:
    again = LAST.pop(id(core), None)
    payload: bytes | None = await take(core) if again is None else again
    if payload is not None and again is None:
        LAST[id(core)] = payload
    return payload


def forgets_the_half_close(end: Any, core: Any) -> None:
    core.said_all = True


def cancels_nobody(on_end: Any, core: Any) -> None:
    """The handler is not told."""


LAST: dict[int, bytes] = {}
WRONG: list[tuple[Any, str, Callable[..., Any]]] = [
    (CallCore, "take", loses_a_message),
    (ClientCore, "take", shows_the_status_first),
    (CallCore, "take", shows_a_message_twice),
    (ClientCore, "end_writing", forgets_the_half_close),
    (ServerCore, "on_end", cancels_nobody),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong[2].__name__)
def test_a_wrong_adapter_is_found(
    wrong: tuple[Any, str, Callable[..., Any]], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, change = wrong
    right = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *arguments: change(right, *arguments))
    with pytest.raises(PropertyError, match="P50"):
        for seed in range(SCRIPTS):
            play_drawn(PrngChooser(seed), backend)


def test_a_server_that_never_ends_the_call_is_left_to_its_client() -> None:
    waits = Play(CallScript(requests=(), half_close=False, drains=True))
    told = [str(play(waits, backend).history[-1]) for backend in BACKENDS]
    assert told == ["server is told: its end"] * 2
