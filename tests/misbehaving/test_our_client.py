"""duplexcore's client passes every case, in what it makes of the call and in what the server sees of it."""

from __future__ import annotations

import ssl

import pytest

from duplexcore.interop.case import CaseOptions, CaseRun, Target
from duplexcore.interop.client import Verdict, run_case
from duplexcore.interop.negative import client_case
from duplexcore.testing.misbehaving import CASES, ServerCase, misbehave

#: Every case on both loops and on both links; these on all four.
WHERE = [("asyncio", "plain"), ("trio", "tls")]
ALSO = [("asyncio", "tls"), ("trio", "plain")]
THOROUGH = {"goaway", "rst_after_header", "rst_during_data", "rst_after_data", "ping", "max_streams", "close_mid_call"}


def everywhere() -> list[object]:
    return [
        pytest.param(
            case,
            backend,
            link,
            marks=pytest.mark.req(case.rules[0]),
            id=f"{case.name}-{backend}-{link}",
        )
        for case in CASES.values()
        for backend, link in WHERE + (ALSO if case.name in THOROUGH else [])
    ]


@pytest.mark.parametrize(("case", "backend", "link"), everywhere())
async def test_passes(
    case: ServerCase, backend: str, link: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server_tls, client_tls = contexts if link == "tls" else (None, None)
    async with misbehave(case, tls=server_tls, patience=30.0) as server:
        run = CaseRun(Target(f"127.0.0.1:{server.port}", client_tls), CaseOptions(case_timeout=60.0))
        outcome = await run_case(client_case(case), run)
        await server.settled()
    assert outcome.verdict is Verdict.PASSED, outcome.details
    assert [str(verdict) for verdict in server.verdicts if not verdict.passed] == []
    # A client that has come and gone before any byte could be said shows nothing.
    assert server.verdicts or case.name == "close_at_once"


def test_there_are_cases_of_every_kind() -> None:
    assert len(CASES) >= 150
    official = ["goaway", "rst_after_header", "rst_during_data", "rst_after_data", "ping", "max_streams"]
    assert list(CASES)[:8] == [*official, "data_frame_padding", "no_df_padding_sanity_test"]
