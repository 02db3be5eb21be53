"""`duplexcore.testing.probe`: right about servers that keep the rules, and about such as break them."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from xml.etree import ElementTree as ET

import anyio
import pytest
import trustme

from duplexcore.rpc import DuplexMethod, UnaryMethod
from duplexcore.testing.probe import (
    CASES,
    Level,
    Need,
    NoServerError,
    Report,
    Result,
    Target,
    Verdict,
    choose,
    in_words,
    probe,
    run_case,
    to_json,
    to_junit,
    to_markdown,
)
from duplexcore_anyio import DuplexServerCall, Router, ServerContext, serve, server_tls
from tests.support.grpc_peer import ECHO, UNARY, GrpcServer

from .wrong_servers import answering, listening

UNARY_METHOD = UnaryMethod("/test.Echo/Unary", bytes, bytes)
DUPLEX_METHOD = DuplexMethod("/test.Echo/Duplex", bytes, bytes)
#: Frames of each flood.
FLOOD = 200


def router() -> Router:
    router = Router()

    @router.handles(UNARY_METHOD)
    async def unary(request: bytes, context: ServerContext) -> bytes:
        return request

    @router.handles(DUPLEX_METHOD)
    async def duplex(call: DuplexServerCall[bytes, bytes]) -> None:
        async for message in call:
            await call.send(message)

    return router


def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    chain = tmp_path_factory.mktemp("tls") / "chain.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(chain)
    client = ssl.create_default_context()
    client.set_alpn_protocols(["h2"])
    authority.configure_trust(client)
    return server_tls(chain), client


def told(report: Report) -> str:
    return "\n\n".join(in_words(one) for one in report.results if one.verdict in {Verdict.FAIL, Verdict.NOTE})


# --- our server -------------------------------------------------------------------------------------------------------


@pytest.mark.req("SEC-14", "MAL-1", "MAL-3", "MAL-7", "CONN-5", "CONN-11")
@pytest.mark.parametrize(
    ("backend", "tls", "method", "floods"),
    [
        ("asyncio", False, UNARY_METHOD, FLOOD),
        ("asyncio", True, None, 0),
        ("trio", False, DUPLEX_METHOD, 0),
        ("trio", True, None, 0),
    ],
    ids=["asyncio-unary-floods", "asyncio-tls-unknown", "trio-duplex", "trio-tls-unknown"],
)
def test_our_server_keeps_all_the_rules(
    backend: str,
    tls: bool,
    method: UnaryMethod[bytes, bytes] | DuplexMethod[bytes, bytes] | None,
    floods: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    ours, theirs = contexts(tmp_path_factory) if tls else (None, None)

    reports: list[Report] = []

    async def run() -> None:
        async with serve(router(), "127.0.0.1:0", tls=ours) as server:
            target = Target(
                "127.0.0.1",
                server.port,
                tls=theirs,
                method=method.path if method else None,
                kind="duplex" if method is DUPLEX_METHOD else "unary",
                message=b"hello",
                timeout=15.0,
                floods=floods,
            )
            reports.append(await probe(target))

    anyio.run(run, backend=backend)
    (report,) = reports
    assert report.ok, told(report)
    assert not report.failures, told(report)
    needs = [Need.METHOD, Need.UNARY, Need.DUPLEX, Need.FLOODS, Need.TLS]
    skipped = {one.case.id for one in report.results if one.verdict is Verdict.SKIP}
    assert skipped <= {case.id for case in CASES.values() if set(case.needs) & set(needs)} | {
        "CONN-8/one-more",
        "CONN-3/half-hello",
    }
    assert report.count(Verdict.PASS) >= (180 if method else 120)


# --- wrong servers ----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_tls_without_alpn_is_seen(tmp_path_factory: pytest.TempPathFactory) -> None:
    server, client = contexts(tmp_path_factory)
    server.set_alpn_protocols(["http/1.1"])
    async with listening(answering(12), server) as port:
        one = await run_case(CASES["CONN-1/alpn"], Target("127.0.0.1", port, tls=client))
    assert one.verdict is Verdict.FAIL
    assert one.came == "ALPN selects None"


@pytest.mark.anyio
async def test_where_nobody_listens_it_says_so() -> None:
    with pytest.raises(NoServerError, match="nobody answers at"):
        await probe(Target("127.0.0.1", 1, timeout=2.0))


# --- another implementation -------------------------------------------------------------------------------------------

#: What grpcio 1.85 fails, each looked up: the source that the case names does say so. A C-core that keeps more rules
#: than that is welcome; one that seems to break another is a reason to look at the probe first.
GRPCIO_FAILS = {
    *("MAL-1/nul", "MAL-1/cr", "MAL-1/lf", "MAL-1/te", "MAL-1/pseudo-in-trailers", "MAL-1/pseudo-late", "MAL-1/status"),
    *("MAL-1/connection", "MAL-1/keep-alive", "MAL-1/proxy-connection", "MAL-1/transfer-encoding", "MAL-1/upgrade"),
    *("MAL-1/method-twice", "MAL-1/path-twice", "MAL-4/longer", "MAL-4/shorter"),
    *("MAL-3/huffman-eos", "MAL-3/huffman-padding"),
    *("MAL-7/data-0", "MAL-7/headers-0", "MAL-7/rst-0", "MAL-7/priority-0", "MAL-7/goaway-stream", "MAL-7/ping-stream"),
    *("MAL-7/push", "MAL-7/data-idle", "MAL-7/rst-idle", "MAL-7/window-idle"),
    *("CONN-5/unknown-flags", "CONN-11/again", "CONN-11/even", "CONN-11/lower", "CONN-12/says-why"),
    *("DUP-17/after-end", "DUP-17/headers-after-end", "FLOW-9/connection", "FLOW-9/settings", "FLOW-9/stream"),
    *("FRM-1/flag-2", "FRM-1/flag-255", "FRM-2/padded", "FRM-4/huge", "MD-5/bin-joined", "MD-13/padded"),
    *("HDR-9/none", "HDR-9/text", "DEAD-3/nine-digits", "COMP-3/told"),
}
#: Of one kind of method only.
ALSO = {UNARY: {"STAT-14/two"}, ECHO: {"FRM-4/huge-end", "FRM-7/cut-message", "FRM-7/cut-prefix"}}


@pytest.mark.parametrize("method", [UNARY, ECHO], ids=["unary", "duplex"])
def test_grpcio_fails_what_it_is_known_to_fail(method: str) -> None:
    with GrpcServer() as server:
        kind = "unary" if method == UNARY else "duplex"
        target = Target("127.0.0.1", server.port, method=method, kind=kind, message=b"hello")
        report = anyio.run(probe, target)
    failed = {one.case.id for one in report.failures}
    assert not failed - GRPCIO_FAILS - ALSO[method], told(report)
    assert {"MAL-1/connection", "MAL-4/longer", "CONN-11/even", "MD-13/padded"} <= failed
    assert report.count(Verdict.PASS) > 120, told(report)


# --- the table and the reports ----------------------------------------------------------------------------------------


def test_the_table_is_large_and_each_line_says_by_which_source() -> None:
    assert len(CASES) >= 60
    groups = {case.group for case in CASES.values()}
    assert {"MAL", "FRM", "MD", "DEAD", "COMP", "CONN", "SEC", "HDR", "STAT", "DUP", "FLOW", "KEEP", "GOAW"} <= groups
    for case in CASES.values():
        assert case.by
        assert case.allowed
        assert case.title[-1] != "."


def test_a_target_that_is_none_is_refused() -> None:
    for wrong in ({"kind": "both"}, {"method": "Hello"}, {"timeout": 0}):
        with pytest.raises(ValueError, match=r"method|timeout"):
            Target("localhost", 1, **wrong)


def test_reports_are_whole_and_can_be_read() -> None:
    case = CASES["MAL-1/nul"]
    advice = CASES["CONN-12/says-why"]
    results = (
        Result(case, Verdict.FAIL, "status OK (a\x00|b)", frames=("SETTINGS",), answers=True, seconds=0.5),
        Result(advice, Verdict.FAIL, "the connection was closed"),
        Result(CASES["FRM-1/flag-2"], Verdict.SKIP, remark="needs a method"),
        Result(CASES["KEEP-1/echo"], Verdict.PASS, "the same bytes"),
    )
    report = Report(Target("localhost", 50051), results)
    assert not report.ok
    assert Report(report.target, results[1:]).ok
    plain = json.loads(to_json(report))
    assert plain["counts"] == {"pass": 1, "note": 0, "fail": 2, "skip": 1}
    assert [one["id"] for one in plain["cases"]] == [one.case.id for one in results]
    suites = ET.fromstring(to_junit(report))
    assert [suite.get("failures") for suite in suites] == ["1", "0", "0", "0"]
    assert "| MAL-1/nul | NUL in a value | must | fail |" in to_markdown(report)
    assert advice.level is Level.SHOULD


@pytest.mark.anyio
@pytest.mark.parametrize("address", ["[::1]:0", "unix"])
async def test_other_addresses(address: str, tmp_path: Path) -> None:
    path = f"unix:{tmp_path / 'socket'}"
    async with serve(router(), path if address == "unix" else address) as server:
        target = Target(path) if address == "unix" else Target("::1", server.port)
        assert str(target) == (path if address == "unix" else f"[::1]:{server.port}")
        report = await probe(target, choose(["STAT-*", "CONN-2/*"]))
    assert report.count(Verdict.PASS) >= 6, told(report)
    assert not report.failures, told(report)
