"""The probe on servers that are wrong on purpose: in memory, and on virtual time."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from duplexcore.testing.probe import CASES, Case, Need, NoServerError, Result, Target, Verdict, choose, probe, run_case
from tests.support.memory import Network, on_virtual_time

from .wrong_servers import Handler, answering, closing, silent

pytestmark = pytest.mark.anyio

MUST_FAIL_WHERE_ALL_IS_ACCEPTED = [
    *choose(
        [
            "MAL-1/*",
            "MAL-2/*",
            "MAL-4/*",
            "MAL-7/*",
            "FLOW-9/*",
            "FLOW-1/*",
            "CONN-3/http-1",
            "CONN-3/[pn]*",
            "CONN-11/[eal]*",
        ]
    ),
    *[case for case in choose(["MAL-3/*"]) if case.id != "MAL-3/every-representation"],
    *[case for case in choose(["CONN-7/*"]) if case.id != "CONN-7/acknowledged"],
    *[case for case in choose(["DEAD-3/*"]) if case.id not in {"DEAD-3/zeros", "DEAD-3/any"}],
    *choose(["FRM-1/*", "FRM-4/*", "FRM-7/*", "COMP-2/[in]*", "COMP-3/*", "COMP-5/*", "STAT-14/*", "DUP-17/*"]),
    *choose(["HDR-2/*", "HDR-4/*", "HDR-9/[tn]*", "FLOW-7/window-0", "CONN-12/*", "DEAD-5/passes"]),
]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return on_virtual_time(request.param)


async def judged(cases: list[Case], target: Target, together: int = 32) -> dict[str, Result]:
    """Each case by what it finds itself, without the good call afterwards."""
    results: dict[str, Result] = {}
    limit = anyio.Semaphore(together)

    async def one(case: Case) -> None:
        async with limit:
            results[case.id] = await run_case(case, target, afterwards=False)

    async with anyio.create_task_group() as tasks:
        for case in cases:
            tasks.start_soon(one, case)
    return results


async def test_a_server_that_accepts_everything_fails_where_something_is_to_be_refused(network: Network) -> None:
    async with network.serving(answering(0)) as port:
        target = Target("127.0.0.1", port, method="/test.Echo/Any", message=b"hello", timeout=1.0)
        results = await judged(MUST_FAIL_WHERE_ALL_IS_ACCEPTED, target, 16)
    lenient = {one.case.id for one in results.values() if one.verdict in {Verdict.PASS, Verdict.NOTE}}
    assert not lenient - {"MAL-7/priority-4", "MAL-7/too-long"}
    assert not [id_ for id_, one in results.items() if "also not to a PING" in one.came and "CONN-3" not in id_]


async def test_each_case_can_fail_by_what_it_finds_itself(network: Network) -> None:
    """On a server that accepts everything, one that says nothing, one that closes, or one that resets."""
    passing = {case.id: case for case in CASES.values() if Need.TLS not in case.needs}
    for handler, timeout in ((silent, 0.1), (closing, 2.0), (answering(0), 1.0), (answering(0, reset=2), 1.0)):
        for kind in ("unary", "duplex"):
            async with network.serving(handler) as port:
                target = Target(
                    "127.0.0.1", port, method="/test.E/Any", kind=kind, message=b"hi", timeout=timeout, floods=20
                )
                results = await judged(list(passing.values()), target)
            for one in results.values():
                if one.verdict is Verdict.FAIL:
                    del passing[one.case.id]
    assert not passing


async def test_what_a_server_that_closes_gets_wrong_is_what_must_be_answered(network: Network) -> None:
    """An endpoint may close for what is malformed, also without GOAWAY; not for what is merely odd."""
    async with network.serving(closing) as port:
        target = Target("127.0.0.1", port, timeout=5.0)
        results = await judged(choose(["MAL-*", "MD-*", "CONN-5/*"]), target)
    verdicts = {id_: one.verdict for id_, one in results.items() if one.verdict is not Verdict.SKIP}
    right = {id_ for id_, verdict in verdicts.items() if verdict is Verdict.PASS}
    assert {"MAL-1/uppercase", "MAL-3/index-0", "MAL-7/ping-7", "MD-11/60k"} <= right
    assert {"MD-5/bin-plain", "MD-8/alphabet", "CONN-5/unknown-frame", "MAL-3/every-representation"}.isdisjoint(right)


async def test_a_stream_error_that_costs_the_connection_its_next_call_is_seen(network: Network) -> None:
    case = CASES["MD-5/bin-plain"]
    async with network.serving(answering(12, once=True)) as port:
        one = await run_case(case, Target("127.0.0.1", port, timeout=0.5))
    assert one.verdict is Verdict.FAIL
    assert one.remark == "the same connection does not answer a good call afterwards"


async def test_a_server_that_is_gone_afterwards_is_seen(network: Network) -> None:
    """It serves one connection, rightly."""
    served = anyio.Event()

    async def first_only(stream: anyio.abc.ByteStream) -> None:
        if not served.is_set():
            served.set()
            await answering(12)(stream)

    async with network.serving(first_only) as port:
        one = await run_case(CASES["KEEP-1/echo"], Target("127.0.0.1", port, timeout=2.0))
    assert one.verdict is Verdict.FAIL
    assert one.answers is False
    assert one.remark == "afterwards a good call on a new connection is not answered"


@pytest.mark.parametrize("handler", [silent, closing, answering(5)], ids=["silent", "closing", "not-found"])
async def test_where_good_calls_are_not_answered_nothing_is_judged(network: Network, handler: Handler) -> None:
    async with network.serving(handler) as port:
        with pytest.raises(NoServerError, match="a good call of /duplexcore"):
            await probe(Target("127.0.0.1", port, timeout=0.3))
