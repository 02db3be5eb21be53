"""The client's half of the cases of `duplexcore.testing.misbehaving`: calls as each asks for, and judges how they end.

Point it at that server, or at the official one of the negative HTTP/2 cases, which has the first eight.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio

from duplexcore import RpcError, Status, StatusCode
from duplexcore.testing.misbehaving import CASES, Exercise, ServerCase
from duplexcore_anyio import Channel, ConnectError, DuplexCall

from .case import Case, CaseFailed, CaseRun
from .expect import code, equal, holds
from .messages import large, output_request
from .methods import FULL_DUPLEX_CALL, UNARY_CALL
from .proto.interop_pb2 import StreamingOutputCallRequest, StreamingOutputCallResponse

__all__ = ["NEGATIVE_CASES"]

#: No call takes longer: seconds. In the case that is about it, much shorter.
CALL_TIMEOUT, SHORT_TIMEOUT = 30.0, 0.3
#: The second call of `goaway` comes so much later, as the official description says.
PAUSE = 1.0
AT_ONCE = 10


@dataclass(slots=True)
class Ended:
    """How a call ended, and what it delivered before."""

    status: Status
    #: Sizes of the bodies.
    messages: list[int] = field(default_factory=list[int])
    #: Initial metadata, then trailing.
    metadata: list[tuple[str, str | bytes]] = field(default_factory=list[tuple[str, str | bytes]])


async def unary(channel: Channel, case: ServerCase, timeout: float = CALL_TIMEOUT) -> Ended:
    """One UnaryCall, whatever comes of it."""
    request = large(request_size=case.request_size, response_size=case.response_size)
    try:
        result = await channel.unary_result(UNARY_CALL, request, timeout=timeout)
    except RpcError as error:
        return Ended(error.status, [], [*error.initial_metadata, *error.trailing_metadata])
    metadata = [*result.initial_metadata, *result.trailing_metadata]
    return Ended(Status(), [len(result.response.payload.body)], metadata)


async def good(channel: Channel, case: ServerCase, what: str) -> None:
    """A UnaryCall that must be answered well."""
    ended = await unary(channel, case)
    code(f"the status of {what}", ended.status, StatusCode.OK, rule=case.rules[0])
    equal(f"the body of {what}, in bytes", ended.messages, [case.response_size], rule=case.rules[0])


def judge(case: ServerCase, ended: Ended, messages: int | None) -> None:
    """The call has ended as the case says; ``messages``: how many it must have delivered, None: as the status says."""
    rule = case.rules[0]
    code("the status of the call", ended.status, *case.ours, rule=rule)
    holds("the status message", case.says in ended.status.message, expected=case.says, came=ended.status, rule=rule)
    for pair in case.metadata:
        wanted = [value for key, value in case.metadata if key == pair[0]]
        came = [value for key, value in ended.metadata if key == pair[0]]
        # What came with headers and with trailers stands one after the other.
        equal(f"the metadata {pair[0]}", came[: len(wanted)], wanted, rule=rule)
    wanted_messages = (1 if ended.status.ok else 0) if messages is None else messages
    equal("the number of messages", len(ended.messages), wanted_messages, rule=rule)


# --- the exercises ----------------------------------------------------------------------------------------------------


async def one(case: ServerCase, run: CaseRun) -> None:
    run.doing = "calling once"
    try:
        async with run.connect() as channel:
            judge(case, await unary(channel, case), None)
    except ConnectError as error:
        if case.settings is not None:
            raise CaseFailed("the connection", expected="one", came=error, rule=case.rules[0]) from error


async def two(case: ServerCase, run: CaseRun, timeout: float = CALL_TIMEOUT) -> None:
    async with run.connect() as channel:
        run.doing = "the first call"
        judge(case, await unary(channel, case, timeout), None)
        run.doing = "the call after it"
        await good(channel, case, "the call after it")


async def reconnect(case: ServerCase, run: CaseRun) -> None:
    async with run.connect() as channel:
        run.doing = "the call before GOAWAY"
        await good(channel, case, "the call before GOAWAY")
        await anyio.sleep(PAUSE)
        run.doing = "the call after GOAWAY"
        await good(channel, case, "the call after GOAWAY")


async def many(case: ServerCase, run: CaseRun) -> None:
    async with run.connect() as channel:
        run.doing = "the first call"
        await good(channel, case, "the first call")
        run.doing = f"{AT_ONCE} calls at once"
        async with anyio.create_task_group() as tasks:
            for number in range(AT_ONCE):
                tasks.start_soon(good, channel, case, f"call {number} of {AT_ONCE} at once")


Talk = DuplexCall[StreamingOutputCallRequest, StreamingOutputCallResponse]


async def duplex(case: ServerCase, run: CaseRun) -> None:
    async with run.connect() as channel:
        run.doing = "the first call"
        messages: list[int] = []
        async with channel.duplex(FULL_DUPLEX_CALL, timeout=CALL_TIMEOUT) as call:
            await call.send(output_request(case.response_size))
            try:
                async for response in call:
                    messages.append(len(response.payload.body))  # noqa: PERF401 - kept also when it fails
            except RpcError as error:
                judge(case, Ended(error.status, messages), case.messages)
            else:
                judge(case, Ended(Status(), messages), case.messages)
        run.doing = "the call after it"
        await good(channel, case, "the call after it")


async def cancel(case: ServerCase, run: CaseRun) -> None:
    async with run.connect() as channel:
        run.doing = "the call that is cancelled"
        async with channel.duplex(FULL_DUPLEX_CALL, timeout=CALL_TIMEOUT) as call:
            await call.send(output_request(case.response_size))
            await call.receive()
            call.cancel()
            judge(case, Ended(await call.wait_closed()), 0)
        run.doing = "the call after it"
        await good(channel, case, "the call after it")


async def unread(case: ServerCase, run: CaseRun) -> None:
    async with run.connect() as channel, channel.duplex(FULL_DUPLEX_CALL, timeout=CALL_TIMEOUT) as call:
        await call.send(output_request(case.response_size))
        run.doing = "a call beside the one that nobody reads"
        await good(channel, case, "the call beside it")
        call.cancel()
        judge(case, Ended(await call.wait_closed()), 0)


EXERCISES: dict[Exercise, Callable[[ServerCase, CaseRun], Awaitable[None]]] = {
    Exercise.ONE: one,
    Exercise.TWO: two,
    Exercise.RECONNECT: reconnect,
    Exercise.MANY: many,
    Exercise.DUPLEX: duplex,
    Exercise.CANCEL: cancel,
    Exercise.UNREAD: unread,
    Exercise.DEADLINE: partial(two, timeout=SHORT_TIMEOUT),
}


def client_case(case: ServerCase) -> Case:
    """The client's half of a case, also of one of your own."""
    return Case(case.name, f"{case.does}: {case.must}", case.rules, partial(EXERCISES[case.exercise], case))


#: One for each case of the misbehaving server, with the same names.
NEGATIVE_CASES: Sequence[Case] = tuple(map(client_case, CASES.values()))
