"""Our client passes every case against our server: over real sockets, on each event loop, plain and with TLS."""

from __future__ import annotations

import dataclasses
import ssl
from functools import cache

import pytest
import trustme

from duplexcore import ClientConfig, ServerConfig
from duplexcore.config import Http2
from duplexcore.interop.case import Case, CaseOptions, CaseRun, Target
from duplexcore.interop.cases_skipped import CASES as SKIPPED
from duplexcore.interop.client import Verdict, run_case, run_cases
from duplexcore.interop.server import interop_server
from duplexcore.interop.suites import BY_NAME, OFFICIAL, UnknownCaseError, chosen
from duplexcore_anyio import client_tls

#: What the cases prove of both our sides.
PROVES = {
    "empty_unary": ("FRM-3",),
    "client_compressed_unary": ("COMP-8", "COMP-11"),
    "server_compressed_unary": ("COMP-7", "COMP-8"),
    "client_compressed_streaming": ("COMP-8", "COMP-11"),
    "server_compressed_streaming": ("COMP-8",),
    "ping_pong": ("DUP-2",),
    "empty_stream": ("DUP-34",),
    "status_code_and_message": ("STAT-1", "DUP-3"),
    "special_status_message": ("STAT-8", "STAT-9"),
    "unimplemented_method": ("STAT-12",),
    "unimplemented_service": ("STAT-12",),
    "cancel_after_begin": ("DUP-10", "CANC-4"),
    "cancel_after_first_response": ("DUP-10", "CANC-4"),
}
RUN = [case for case in OFFICIAL if case not in SKIPPED]


def proving(case: Case) -> tuple[pytest.MarkDecorator, ...]:
    return (pytest.mark.req(*PROVES[case.name]),) if case.name in PROVES else ()


cases = pytest.mark.parametrize("case", [pytest.param(case, marks=proving(case), id=case.name) for case in RUN])
#: The long ones made short; nothing here measures how fast the machine is.
QUICK = CaseOptions(
    concurrent_calls=20,
    channel_life=0.04,
    soak_iterations=3,
    soak_per_iteration_max_acceptable_latency=30.0,
    soak_overall_timeout=50.0,
    case_timeout=50.0,
)


@cache
def identity() -> tuple[trustme.CA, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("*.test.google.fr").configure_cert(server)
    return authority, server


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("backend", ["asyncio", "asyncio+uvloop", "trio"])
@cases
async def test_our_client_passes_with_our_server(case: Case, tls: bool, backend: str) -> None:
    authority, server_context = identity()
    context = client_tls()
    authority.configure_trust(context)
    async with interop_server("127.0.0.1:0", tls=server_context if tls else None) as server:
        address = f"127.0.0.1:{server.port}"
        target = Target(address, context, "foo.test.google.fr") if tls else Target(address)
        outcome = await run_case(case, CaseRun(target, QUICK))
    assert (outcome.verdict, outcome.details) == (Verdict.PASSED, ())


@pytest.mark.parametrize(("client", "server"), [("h2", "h2"), ("h2", "native"), ("native", "h2")])
@pytest.mark.parametrize("backend", ["asyncio"])
@cases
async def test_either_http2_passes_with_either(case: Case, client: Http2, server: Http2, backend: str) -> None:
    """Both sides over our own is above: it is the default."""
    async with interop_server("127.0.0.1:0", config=ServerConfig(http2=server)) as serving:
        options = dataclasses.replace(QUICK, config=ClientConfig(http2=client))
        outcome = await run_case(case, CaseRun(Target(f"127.0.0.1:{serving.port}"), options))
    assert (outcome.verdict, outcome.details) == (Verdict.PASSED, ())


@pytest.mark.parametrize("case", SKIPPED, ids=lambda case: case.name)
async def test_what_can_not_be_run_is_skipped_and_says_why(case: Case) -> None:
    outcome = await run_case(case, CaseRun(Target("127.0.0.1:1")))
    assert outcome.verdict is Verdict.SKIPPED
    assert outcome.details[0][0] == "why"


async def test_outcomes_are_told_as_they_come_and_in_the_order_asked_for() -> None:
    told: list[str] = []
    asked = chosen(["ping_pong", "orca_oob", "ping_pong", "empty_unary"])
    async with interop_server("127.0.0.1:0") as server:
        target = Target(f"127.0.0.1:{server.port}")
        outcomes = await run_cases(asked, target, QUICK, done=lambda outcome: told.append(outcome.case.name))
    assert told == [outcome.case.name for outcome in outcomes] == ["ping_pong", "orca_oob", "empty_unary"]


def test_all_are_the_official_ones() -> None:
    assert chosen(["all"]) == list(OFFICIAL)
    assert len({case.name for case in OFFICIAL}) == len(OFFICIAL)
    with pytest.raises(UnknownCaseError, match="tea_unary"):
        chosen(["empty_unary", "tea_unary"])


@pytest.mark.parametrize("backend", ["asyncio"])
@pytest.mark.req("FLOW-2")
async def test_more_large_calls_at_once_than_the_usual_budget_of_unread_bytes_allows(backend: str) -> None:
    options = dataclasses.replace(QUICK, concurrent_calls=500)
    async with interop_server("127.0.0.1:0") as server:
        run = CaseRun(Target(f"127.0.0.1:{server.port}"), options)
        outcome = await run_case(BY_NAME["concurrent_large_unary"], run)
    assert (outcome.verdict, outcome.details) == (Verdict.PASSED, ())
