"""grpc.aio's client, through every case: whatever it does, the server goes on and has a verdict on it."""

from __future__ import annotations

import asyncio

import pytest

from duplexcore.testing.misbehaving import CASES, misbehave

from .grpc_aio_client import exercise

#: Where grpc.aio keeps to the rules, in its status and on the wire: enough to see that the server is fair to others.
KEEPS = {
    "rst_after_header",
    "rst_during_data",
    "rst_after_data",
    "ping",
    "max_streams",
    "no_df_padding_sanity_test",
    "goaway",
    "metadata_repeated",
    "http_503",
    "rst_enhance_your_calm",
    "trailers_only",
    "message_in_pieces",
    "gzip",
    "goaway_and_answer",
    "close_mid_call",
    "window_negative",
    "late_data",
    "unread_call",
}


@pytest.mark.parametrize("backend", ["asyncio"])
async def test_every_case_judges_it(backend: str) -> None:
    codes: dict[str, list[str]] = {}
    at_once = asyncio.Semaphore(64)

    async def run(name: str, port: int) -> None:
        async with at_once:
            codes[name] = await exercise(CASES[name], port, limit=30.0 if name in KEEPS else 2.0)

    async with misbehave(patience=20.0) as server:
        await asyncio.gather(*(run(name, port) for name, port in server.ports.items()))
        server.stop()
    assert set(codes) == set(CASES)
    judged = {verdict.case for verdict in server.verdicts}
    assert set(CASES) - judged <= {"close_at_once"}
    for name in KEEPS:
        assert codes[name][0] in {status.name for status in CASES[name].status}, (name, codes[name])
        assert set(codes[name][1:]) <= {"OK"}, (name, codes[name])
        assert [str(verdict) for verdict in server.verdicts if verdict.case == name and not verdict.passed] == []
