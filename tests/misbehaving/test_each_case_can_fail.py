"""A case that nobody can fail shows nothing: wrong clients fail each, by the server's verdict or by their status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import anyio
import pytest

from duplexcore import StatusCode
from duplexcore.interop.case import CaseFailed, CaseOptions, CaseRun, Target
from duplexcore.interop.negative import client_case
from duplexcore.testing.misbehaving import CASES, Exercise, ServerCase, Stage, Verdict, misbehave

from .wrong_clients import attack

#: Where nothing was said, nothing needs an ACK, and who hangs up does right.
RIGHT = {"never acknowledges": {"close_at_once"}, "hangs up": {"close_at_once"}}


#: Much work for clients that take all of it, and seen to fail by the others.
HEAVY = {"data_frame_padding", "no_df_padding_sanity_test", "message_at_limit"}


async def verdicts_on(client: str) -> dict[str, Verdict]:
    """One connection of that client to each case."""
    names = [name for name in CASES if name not in HEAVY or client in ("ignores", "hangs up")]
    async with anyio.create_task_group() as tasks:
        async with misbehave(*names, patience=2.0) as server:
            for port in server.ports.values():
                tasks.start_soon(attack, client, port)
            while server.connections < len(names):
                await anyio.sleep(0.01)
            await server.settled()
        tasks.cancel_scope.cancel()
    return {verdict.case: verdict for verdict in server.verdicts}


@pytest.mark.parametrize("client", ["ignores", "never acknowledges", "hangs up"])
@pytest.mark.parametrize("backend", ["asyncio"])
async def test_a_wrong_client_fails(client: str, backend: str) -> None:
    found = await verdicts_on(client)
    assert {name for name, verdict in found.items() if verdict.passed} <= RIGHT.get(client, set())
    assert len(found) >= len(CASES) - len(HEAVY) - 1


async def honest(stage: Stage) -> None:
    """Answers as if nothing were to be shown."""
    while True:
        await stage.answer(await stage.call())


async def unkind(stage: Stage) -> None:
    """Ends every call as one ends that a client could not read."""
    while True:
        call = await stage.call()
        await stage.send(call.headers(("grpc-status", "13"), end=True))


async def blamed(script: Callable[[Stage], Awaitable[None]], cases: Iterable[ServerCase]) -> dict[str, str]:
    """Our own client against a server with another script: the rules by which its assertions failed."""
    changed = [replace(case, script=script, settings={}, credit=True, exercise=Exercise.ONE) for case in cases]
    found = {}
    async with misbehave(*changed, patience=30.0) as server:
        for case in changed:
            run = CaseRun(Target(f"127.0.0.1:{server.ports[case.name]}"), CaseOptions())
            with pytest.raises(CaseFailed, match="expected") as caught:
                await client_case(case).run(run)
            found[case.name] = caught.value.rule
        server.stop()
    return found


@pytest.mark.parametrize("backend", ["asyncio"])
async def test_who_takes_it_for_ok_fails(backend: str) -> None:
    cases = [case for case in CASES.values() if StatusCode.OK not in case.ours or case.metadata]
    assert await blamed(honest, cases) == {case.name: case.rules[0] for case in cases}


@pytest.mark.parametrize("backend", ["asyncio"])
async def test_who_fails_what_is_right_fails(backend: str) -> None:
    cases = [case for case in CASES.values() if StatusCode.INTERNAL not in case.ours]
    assert await blamed(unkind, cases) == {case.name: case.rules[0] for case in cases}


def test_these_are_all_cases() -> None:
    """Each must end with OK or must not."""
    assert all(StatusCode.OK not in case.ours or StatusCode.INTERNAL not in case.ours for case in CASES.values())
