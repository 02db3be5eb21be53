"""Every case can fail: against servers that do one thing wrong, and its report says what was expected and what came."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from duplexcore.interop import cases_ends, cases_many
from duplexcore.interop.case import Case, CaseOptions, CaseRun, Target
from duplexcore.interop.client import Outcome, Verdict, run_case
from duplexcore.interop.service import InteropService
from duplexcore.interop.suites import BY_NAME
from duplexcore_anyio import Router, serve
from tests.support.transport import strange_server

from .test_cases import QUICK, RUN
from .wrong_servers import WRONG, Wrong, router_of

UNIMPLEMENTED = {"unimplemented_method", "unimplemented_service"}


def report(outcome: Outcome) -> str:
    """As it is told, on one line."""
    return " ".join(f"{heading} {text}" for heading, text in outcome.details)


def test_each_case_has_a_server_that_it_catches() -> None:
    assert {wrong.case for wrong in WRONG} == {case.name for case in RUN}


@pytest.mark.parametrize("wrong", WRONG, ids=str)
async def test_what_is_wrong_is_caught(wrong: Wrong, monkeypatch: pytest.MonkeyPatch) -> None:
    if "timeout" in wrong.case:  # so long that the call is on the wire, and the server can do it wrong
        monkeypatch.setattr(cases_ends, "TIMEOUT", 1.0)
    router = router_of(wrong.service())
    wrong.more(router)
    options = dataclasses.replace(QUICK, **wrong.options)
    async with serve(router, "127.0.0.1:0", config=wrong.config) as server:
        outcome = await run_case(BY_NAME[wrong.case], CaseRun(Target(f"127.0.0.1:{server.port}"), options))
    assert outcome.verdict is Verdict.FAILED
    assert re.search(wrong.says, report(outcome)), report(outcome)


async def outcomes_at(target: str, timeout: float = 50.0) -> dict[str, Outcome]:
    """All cases at once."""
    options = dataclasses.replace(QUICK, case_timeout=timeout, soak_overall_timeout=timeout, soak_iterations=1)
    outcomes: dict[str, Outcome] = {}

    async def one(case: Case) -> None:
        outcomes[case.name] = await run_case(case, CaseRun(Target(target), options))

    async with anyio.create_task_group() as tasks:
        for case in RUN:
            tasks.start_soon(one, case)
    return outcomes


def failed(outcomes: dict[str, Outcome]) -> set[str]:
    return {name for name, outcome in outcomes.items() if outcome.verdict is Verdict.FAILED}


async def test_a_server_without_the_service_fails_all_but_two() -> None:
    async with serve(Router(), "127.0.0.1:0") as server:
        outcomes = await outcomes_at(f"127.0.0.1:{server.port}")
    assert failed(outcomes) == {case.name for case in RUN} - UNIMPLEMENTED
    assert "expected OK came UNIMPLEMENTED: unknown service 'grpc.testing.TestService'" in report(
        outcomes["large_unary"]
    )


class _Hangs(InteropService):
    async def never(self, *_: object) -> Any:
        await anyio.sleep_forever()

    async def streams_nothing(self, *_: object) -> AsyncIterator[Any]:
        await anyio.sleep_forever()
        yield None

    empty_call = unary_call = streaming_input_call = full_duplex_call = half_duplex_call = never  # type: ignore[assignment]
    streaming_output_call = streams_nothing  # type: ignore[assignment]


async def test_a_server_that_never_answers_is_a_failure_and_no_hang() -> None:
    async with serve(router_of(_Hangs()), "127.0.0.1:0") as server:
        outcomes = await outcomes_at(f"127.0.0.1:{server.port}", 3.0)
    assert failed(outcomes) == {case.name for case in RUN} - UNIMPLEMENTED
    text = report(outcomes["large_unary"])
    assert (
        text == "what UnaryCall with large messages expected an end came nothing for so long that the case was 3 s old"
    )


async def _says_nothing(stream: ByteStream) -> None:
    await anyio.sleep_forever()


async def _speaks_http_1(stream: ByteStream) -> None:
    await stream.receive()
    await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def _hangs_up(stream: ByteStream) -> None:
    await stream.receive()


@pytest.mark.parametrize(
    ("behave", "timeout", "says"),
    [
        (_says_nothing, 1.0, "connecting expected an end came nothing for so long"),
        (_speaks_http_1, 40.0, "expected a connection came .* speaks HTTP/1.1"),
        (_hangs_up, 40.0, "expected a connection came .* closed the connection|Connection reset|does not speak"),
    ],
)
async def test_what_is_no_grpc_server_fails_every_case(
    behave: Callable[[ByteStream], Awaitable[None]], timeout: float, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases_many, "SLACK", 0.0)
    async with strange_server(behave) as target:
        outcomes = await outcomes_at(target, timeout)
    assert failed(outcomes) == {case.name for case in RUN}
    assert re.search(says, report(outcomes["ping_pong"])), report(outcomes["ping_pong"])


async def test_a_mistake_in_a_case_is_no_verdict_on_the_server_and_is_kept() -> None:
    async def slips(run: CaseRun) -> None:
        run.doing = "arithmetic"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(divide)

    async def divide() -> None:
        raise ZeroDivisionError("by zero")

    outcome = await run_case(Case("slips", "", (), slips), CaseRun(Target("127.0.0.1:1"), CaseOptions()))
    assert outcome.verdict is Verdict.FAILED
    assert report(outcome) == "what arithmetic expected no surprise came ZeroDivisionError: by zero"
    assert isinstance(outcome.error, ZeroDivisionError)
