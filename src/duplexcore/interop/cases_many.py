"""Cases of many calls: one after another for as long as it takes, all at once, and which server answers them."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio

from duplexcore import DuplexcoreError

from . import expect
from .case import Case, CaseFailed, CaseOptions, CaseRun
from .messages import LARGE_RESPONSE, large, zeros
from .proto.interop_pb2 import SimpleRequest
from .stub import Stub

__all__ = ["CASES"]

PICKED_CALLS = 100
LONG_LIVED_CALLS = 5
#: What a case may take above the time that it is told to take, and each call of many at once: seconds.
SLACK, EACH = 10.0, 0.1


# --- the soaks: one call after another ------------------------------------------------------------------------------


async def _rpc_soak(run: CaseRun) -> None:
    async with run.service() as service:

        @asynccontextmanager
        async def iteration() -> AsyncGenerator[str, None]:
            await _soak_call(run, service)
            yield service.channel.peer

        await _soak(run, iteration)


async def _channel_soak(run: CaseRun) -> None:
    @asynccontextmanager
    async def iteration() -> AsyncGenerator[str, None]:
        async with run.service() as service:
            await _soak_call(run, service)
            yield service.channel.peer  # the end of the channel comes after it, and is not counted

    await _soak(run, iteration)


async def _soak_call(run: CaseRun, service: Stub) -> None:
    options = run.options
    result = await service.unary(
        large(request_size=options.soak_request_size, response_size=options.soak_response_size)
    )
    expect.body("the response", result.response.payload, options.soak_response_size, rule="FLOW-4")


async def _soak(run: CaseRun, iteration: Callable[[], AbstractAsyncContextManager[str]]) -> None:
    """``iteration`` makes its call on being entered, and then tells the server's address. The lines that tell of each
    are the official ones: others read them."""
    options = run.options
    took: list[float] = []
    bad: list[str] = []
    with anyio.move_on_after(options.soak_overall_timeout):
        for number in range(options.soak_iterations):
            run.doing = f"soak iteration {number}"
            start = anyio.current_time()
            peer, outcome = await _iterate(iteration, start, took, options, run.target.address)
            if outcome != "succeeded":
                bad.append(f"iteration {number} {outcome}")
            run.say(f"soak iteration: {number} elapsed_ms: {took[-1] * 1000:.0f} peer: {peer} {outcome}")
            await anyio.sleep_until(start + options.soak_min_time_between_rpcs)
    median, most, worst = (_percentile(took, part) for part in (0.5, 0.9, 1.0))
    run.say(
        f"soak: {len(took)} of {options.soak_iterations} iterations, {len(bad)} failed or too slow; "
        f"ms: {median:.0f} median, {most:.0f} at 90 %, {worst:.0f} worst"
    )
    expect.holds(
        "the soak",
        len(took) == options.soak_iterations,
        expected=f"{options.soak_iterations} iterations within {options.soak_overall_timeout:g} s",
        came=f"{len(took)}",
        rule="--soak_overall_timeout_seconds",
    )
    expect.holds(
        "the soak",
        len(bad) <= options.soak_max_failures,
        expected=f"at most {options.soak_max_failures} iterations that fail or are too slow",
        came=f"{len(bad)}, the first of them {bad[0] if bad else ''}",
        rule="--soak_max_failures",
    )


async def _iterate(
    iteration: Callable[[], AbstractAsyncContextManager[str]],
    start: float,
    took: list[float],
    options: CaseOptions,
    address: str,
) -> tuple[str, str]:
    """One iteration: whom it talked to, and "succeeded" or how it failed; its time goes to ``took``."""
    counted = len(took)
    peer, outcome = address, "succeeded"
    try:
        async with iteration() as peer:
            took.append(anyio.current_time() - start)
            if took[-1] > options.soak_per_iteration_max_acceptable_latency:
                outcome = f"failed: it took longer than {options.soak_per_iteration_max_acceptable_latency * 1000:g} ms"
    except (DuplexcoreError, CaseFailed) as error:
        outcome = f"failed: {error}"
        if len(took) == counted:
            took.append(anyio.current_time() - start)
    return peer, outcome


def _percentile(values: list[float], part: float) -> float:
    """Milliseconds; the nearest of the values that came."""
    return sorted(values)[math.ceil(part * len(values)) - 1] * 1000 if values else math.nan


def _soak_limit(options: CaseOptions) -> float:
    return options.soak_overall_timeout + SLACK


# --- all at once, now and then, and to whom -------------------------------------------------------------------------


async def _pick_first_unary(run: CaseRun) -> None:
    request = SimpleRequest(response_size=1, payload=zeros(1), fill_server_id=True)
    ids: list[str] = []
    async with run.service() as service:
        for number in range(1, PICKED_CALLS + 1):
            run.doing = f"UnaryCall {number} with fill_server_id"
            ids.append((await service.unary(request)).response.server_id)
            expect.holds(
                f"server_id in the response {number}", ids[-1], expected="not empty", came="an empty one", rule="CHAN-9"
            )
            expect.equal(f"server_id in the response {number}", ids[-1], ids[0], rule="CHAN-9")


async def _concurrent_large_unary(run: CaseRun) -> None:
    calls = run.options.concurrent_calls
    done = 0
    request = large()

    async def one(service: Stub, number: int) -> None:
        nonlocal done
        result = await service.unary(request)
        expect.body(f"the response of call {number}", result.response.payload, LARGE_RESPONSE, rule="FLOW-4")
        done += 1
        run.doing = f"{calls} large UnaryCalls at once, of which {done} are answered"

    async with run.service() as service, anyio.create_task_group() as tasks:
        run.doing = f"{calls} large UnaryCalls at once"
        for number in range(1, calls + 1):
            tasks.start_soon(one, service, number)


def _concurrent_limit(options: CaseOptions) -> float:
    return options.case_timeout + EACH * options.concurrent_calls


async def _long_lived_channel(run: CaseRun) -> None:
    pause = run.options.channel_life / (LONG_LIVED_CALLS - 1)
    async with run.service() as service:
        for number in range(1, LONG_LIVED_CALLS + 1):
            run.doing = f"UnaryCall {number} of {LONG_LIVED_CALLS} on one channel, {pause:g} s apart"
            result = await service.unary(large())
            expect.body(f"the response of call {number}", result.response.payload, LARGE_RESPONSE, rule="FLOW-4")
            if number < LONG_LIVED_CALLS:
                await anyio.sleep(pause)


def _life_limit(options: CaseOptions) -> float:
    return options.channel_life + options.case_timeout


CASES = (
    Case("pick_first_unary", "all calls of a channel go to one server", ("CHAN-9",), _pick_first_unary),
    Case("rpc_soak", "call after call on one channel, each in time", ("FLOW-2", "FLOW-5"), _rpc_soak, _soak_limit),
    Case(
        "channel_soak", "call after call, each on a new channel, each in time", ("CHAN-11",), _channel_soak, _soak_limit
    ),
    Case(
        "concurrent_large_unary",
        "many large calls at once share a connection and all finish (--concurrent_calls)",
        ("FLOW-2", "CONN-7"),
        _concurrent_large_unary,
        _concurrent_limit,
    ),
    Case(
        "long_lived_channel",
        "a channel serves calls with silence between them (--channel_life_seconds)",
        ("GOAW-3", "CHAN-4"),
        _long_lived_channel,
        _life_limit,
    ),
)
