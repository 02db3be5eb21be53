"""Cases of calls that the client ends: cancelled, or too late. What is more than the official cases ask: the connection
outlives them."""

from __future__ import annotations

import anyio

from duplexcore import Frame, FrameType, StatusCode

from . import expect
from .case import Case, CaseRun
from .cases_streaming import REQUEST_SIZES, RESPONSE_SIZES
from .messages import output_request
from .stub import Stub

__all__ = ["CASES"]

#: The deadline of timeout_on_sleeping_server: seconds.
TIMEOUT = 0.001


async def _cancel_after_begin(run: CaseRun) -> None:
    opened = anyio.Event()

    def watch(way: str, frame: Frame) -> None:
        if way == "out" and frame.type == FrameType.HEADERS:
            opened.set()

    async with run.service(observer=watch) as service:
        run.doing = "StreamingInputCall that is cancelled as soon as its HEADERS are written"
        async with service.streaming_input() as call:
            await opened.wait()
            call.cancel()
            expect.code(run.doing, await call.wait_closed(), StatusCode.CANCELLED, rule="DUP-10")
        await _still_answers(run, service, "a call that was cancelled")


async def _cancel_after_first_response(run: CaseRun) -> None:
    async with run.service() as service:
        run.doing = "FullDuplexCall that is cancelled after its first response"
        async with service.full_duplex() as call:
            await call.send(output_request(RESPONSE_SIZES[0], payload=REQUEST_SIZES[0]))
            await expect.reply("the first response", call, RESPONSE_SIZES[0], rule="DUP-2")
            call.cancel()
            expect.code(run.doing, await call.wait_closed(), StatusCode.CANCELLED, rule="DUP-10")
        await _still_answers(run, service, "a call that was cancelled")


async def _timeout_on_sleeping_server(run: CaseRun) -> None:
    async with run.service() as service:
        run.doing = f"FullDuplexCall with a deadline of {TIMEOUT * 1000:g} ms, to which nothing is to be answered"
        with expect.failing(run.doing, StatusCode.DEADLINE_EXCEEDED, rule="DEAD-5"):
            async with service.full_duplex(timeout=TIMEOUT) as call:
                await call.send(output_request(payload=REQUEST_SIZES[0]))
                await expect.no_more(run.doing, call, rule="DEAD-5")
        await _still_answers(run, service, "a call whose deadline passed")


async def _still_answers(run: CaseRun, service: Stub, what: str) -> None:
    run.doing = f"EmptyCall on the same connection, after {what}: it is to go on (CANC-4)"
    await service.empty()


CASES = (
    Case(
        "cancel_after_begin",
        "a call is cancelled before it has sent anything; the connection goes on",
        ("DUP-10", "CANC-1", "CANC-4"),
        _cancel_after_begin,
    ),
    Case(
        "cancel_after_first_response",
        "a call is cancelled in the middle; the connection goes on",
        ("DUP-10", "CANC-1", "CANC-4"),
        _cancel_after_first_response,
    ),
    Case(
        "timeout_on_sleeping_server",
        "the client's deadline ends a call to which nothing comes; the connection goes on",
        ("DEAD-5", "DUP-12", "CANC-4"),
        _timeout_on_sleeping_server,
    ),
)
