"""Services in the simulator: races are found, made small and drawn; right services pass; wrong use is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from duplexcore import RpcError, StatusCode
from duplexcore.rpc import ClientStreamingMethod, DuplexMethod, HandlerTable, ServerStreamingMethod, UnaryMethod
from duplexcore.testing.service import Calls, ServiceFailure, ServiceMachine, always, at_rest, sometimes
from duplexcore.testing.sim.choosing import TapeChooser
from duplexcore.testing.sim.policies import PrngChooser
from duplexcore_anyio import ClientStreamingServerCall, DuplexServerCall, Router, ServerContext

from .rooms import FOLDER, Ghosts, LostLines

TALK = DuplexMethod("/test.Service/Talk", bytes, bytes)


def test_the_room_of_the_example_passes_as_its_users_run_it() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_room.py"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.parametrize(
    ("machine", "number", "told"),
    [
        (Ghosts, "nobody_is_a_ghost", "1 members"),
        (LostLines, "everybody_hears_the_same", "[b'"),
    ],
)
def test_each_race_of_the_hasty_room_is_found_made_small_and_drawn(
    machine: type[ServiceMachine], number: str, told: str
) -> None:
    with pytest.raises(ServiceFailure) as failed:
        machine.check()
    failure = failed.value
    assert failure.number == number
    assert told in str(failure)
    assert failure.picture in str(failure)
    assert "made small to" in str(failure)
    assert len(failure.tape) < 70
    assert "[2]" not in failure.picture  # two calls are enough for each
    assert "handler is waiting at hasty_room.py:" in failure.picture
    assert failure.diagram.startswith("sequenceDiagram\n")
    with pytest.raises(ServiceFailure) as again:
        machine.replay(failure.tape)
    assert again.value.number == number
    assert again.value.picture == failure.picture


def served(handler: Any, method: Any = TALK, **members: Any) -> type[ServiceMachine]:
    """A machine around one handler."""

    def service(self: ServiceMachine) -> HandlerTable:
        router = Router()
        router.add(method, handler)
        return router

    return type(
        "Served", (ServiceMachine,), {"calls": Calls(method, messages=(b"a", b"b")), "service": service} | members
    )


async def echo(call: DuplexServerCall[bytes, bytes]) -> None:
    async for message in call:
        await call.send(message)


def test_clients_see_what_was_sent() -> None:
    @always
    def echoed(self: ServiceMachine) -> None:
        for caller in self.callers:
            assert caller.received == caller.sent[: len(caller.received)]

    @at_rest
    def whole(self: ServiceMachine) -> None:
        for caller in self.callers:
            if caller.status is not None and caller.status.ok:
                assert caller.received == caller.sent

    @sometimes
    def all_of_it(self: ServiceMachine) -> bool:
        return len(self.callers) > 1 and any(len(caller.received) == 2 for caller in self.callers)

    served(echo, echoed=echoed, whole=whole, all_of_it=all_of_it, runs=100).check()


def test_every_kind_of_method() -> None:
    async def unary(request: bytes, context: ServerContext) -> bytes:
        await anyio.sleep(0.1)
        return request * 2

    async def stream(request: bytes, context: ServerContext) -> AsyncIterator[bytes]:
        for _ in range(2):
            yield request

    async def collect(call: ClientStreamingServerCall[bytes]) -> bytes:
        return b"".join([message async for message in call])

    for kind, handler in ((UnaryMethod, unary), (ServerStreamingMethod, stream), (ClientStreamingMethod, collect)):

        @at_rest
        def twice(self: ServiceMachine) -> None:
            for caller in self.callers:
                if caller.status is not None and caller.status.ok:
                    expected = b"".join(caller.sent) * (1 if handler is collect else 2)  # noqa: B023
                    assert b"".join(caller.received) == expected

        @sometimes
        def well(self: ServiceMachine) -> bool:
            return any(caller.status is not None and caller.status.ok for caller in self.callers)

        served(handler, kind("/test.Service/M", bytes, bytes), twice=twice, well=well, runs=40).check()


def test_time_is_virtual_and_deadlines_are_kept() -> None:
    async def slow(call: DuplexServerCall[bytes, bytes]) -> None:
        await anyio.sleep(86_400)

    @sometimes
    def too_late(self: ServiceMachine) -> bool:
        return any(one.status is not None and one.status.code is StatusCode.DEADLINE_EXCEEDED for one in self.callers)

    @sometimes
    def in_time(self: ServiceMachine) -> bool:
        return any(one.status is not None and one.status.ok for one in self.callers)

    served(slow, too_late=too_late, in_time=in_time, runs=60).check()


def test_handlers_see_a_shutdown() -> None:
    seen: list[bool] = []

    async def until_told(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.wait_shutting_down()
        seen.append(True)

    served(until_told, shutdowns=True, runs=40).check()
    assert seen


def test_an_rpc_error_is_an_answer_and_any_other_exception_a_failure() -> None:
    async def refuses(call: DuplexServerCall[bytes, bytes]) -> None:
        raise RpcError(StatusCode.NOT_FOUND, "nobody here")

    async def fails(call: DuplexServerCall[bytes, bytes]) -> None:
        raise KeyError("ann")

    served(refuses, runs=20).check()
    served(fails, runs=20, handlers_may_fail=True).check()
    with pytest.raises(
        ServiceFailure, match=r"handlers do not fail: .*KeyError\('ann'\) at test_service.py:"
    ) as failed:
        served(fails, runs=20).check()
    assert "in the dullest run" in str(failed.value)


def test_a_handler_that_does_not_end_is_told_with_the_line_that_it_waits_at() -> None:
    async def stays(call: DuplexServerCall[bytes, bytes]) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()

    with pytest.raises(ServiceFailure, match=r"handlers end: .*call 0 is waiting at test_service.py:\d+: await anyio"):
        served(stays, runs=5).check()


def test_a_handler_that_spins_is_told() -> None:
    async def spins(call: DuplexServerCall[bytes, bytes]) -> None:
        while True:
            await anyio.sleep(0)

    with pytest.raises(ServiceFailure, match="rest: "):
        served(spins, runs=0).check()


def test_sockets_and_threads_are_refused() -> None:
    async def calls_out(call: DuplexServerCall[bytes, bytes]) -> None:
        await anyio.connect_tcp("127.0.0.1", 1)

    with pytest.raises(ServiceFailure, match="a service in the simulator has no sockets, threads"):
        served(calls_out, runs=0).check()


def test_a_seed_gives_the_same_run() -> None:
    class Traced(LostLines):
        @at_rest
        def keep(self) -> None:
            traces.append(list(self.simulation.trace))

        everybody_hears_the_same = None  # type: ignore[assignment]

    traces: list[list[str]] = []
    for _ in range(2):
        for seed in range(10):
            Traced.run(PrngChooser(seed))
    assert traces[:10] == traces[10:]
    assert len({tuple(trace) for trace in traces}) == 10


def test_wrong_use_is_told() -> None:
    with pytest.raises(TypeError, match="Bare has no calls"):
        type("Bare", (ServiceMachine,), {}).check()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"Bare has no service: override service\(\)"):
        type("Bare", (ServiceMachine,), {"calls": Calls(TALK, messages=(b"x",))}).check()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="no messages to choose from"):
        Calls(TALK, messages=())
    with pytest.raises(ValueError, match="max_calls and connections must be at least 1"):
        served(echo, max_calls=0).check()

    async def inside() -> None:
        served(echo).check()

    with pytest.raises(RuntimeError, match="can not run inside a running event loop"):
        anyio.run(inside)


def test_a_mark_that_no_run_reaches_fails() -> None:
    @sometimes
    def snow(self: ServiceMachine) -> bool:
        return False

    with pytest.raises(AssertionError, match="snow was never true"):
        served(echo, snow=snow, runs=3).check()


def test_a_service_that_depends_on_more_than_the_choices_is_told() -> None:
    runs: list[int] = []

    async def moody(call: DuplexServerCall[bytes, bytes]) -> None:
        runs.append(1)
        assert len(runs) > 1, "the first run fails"

    with pytest.raises(AssertionError, match="failed, but not again"):
        served(moody).check()


def test_a_replay_that_does_not_fail_is_a_picture() -> None:
    picture = served(echo).replay((0, 1))
    assert "app: start" in picture


def test_the_dullest_run_serves_first_come_first_served() -> None:
    order: list[str] = []

    async def counts(call: DuplexServerCall[bytes, bytes]) -> None:
        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(note, name)

    async def note(name: str) -> None:
        order.append(name)

    served(counts).run(TapeChooser(()))
    assert order == ["a", "b", "c"]
    orders = set()
    for seed in range(60):
        order.clear()
        served(counts, max_calls=1, faults=False).run(PrngChooser(seed))
        orders.add("".join(order))
    assert len({one for one in orders if len(one) == 3}) == 6
