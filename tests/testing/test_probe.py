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
    Case,
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

from .wrong_servers import answering, closing, listening, silent

UNARY_METHOD = UnaryMethod("/test.Echo/Unary", bytes, bytes)
DUPLEX_METHOD = DuplexMethod("/test.Echo/Duplex", bytes, bytes)
#: Frames of each flood.
FLOOD = 200

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
async def test_a_server_that_accepts_everything_fails_where_something_is_to_be_refused() -> None:
    async with listening(answering(0)) as port:
        target = Target("127.0.0.1", port, method="/test.Echo/Any", message=b"hello", timeout=1.0)
        results = await judged(MUST_FAIL_WHERE_ALL_IS_ACCEPTED, target, 16)
    lenient = {one.case.id for one in results.values() if one.verdict in {Verdict.PASS, Verdict.NOTE}}
    assert not lenient - {"MAL-7/priority-4", "MAL-7/too-long"}
    assert not [id_ for id_, one in results.items() if "also not to a PING" in one.came and "CONN-3" not in id_]


@pytest.mark.anyio
async def test_each_case_can_fail_by_what_it_finds_itself() -> None:
    """On a server that accepts everything, one that says nothing, one that closes, or one that resets."""
    passing = {case.id: case for case in CASES.values() if Need.TLS not in case.needs}
    for handler, timeout in ((silent, 0.1), (closing, 2.0), (answering(0), 1.0), (answering(0, reset=2), 1.0)):
        for kind in ("unary", "duplex"):
            async with listening(handler) as port:
                target = Target(
                    "127.0.0.1", port, method="/test.E/Any", kind=kind, message=b"hi", timeout=timeout, floods=20
                )
                results = await judged(list(passing.values()), target)
            for one in results.values():
                if one.verdict is Verdict.FAIL:
                    del passing[one.case.id]
    assert not passing


@pytest.mark.anyio
async def test_what_a_server_that_closes_gets_wrong_is_what_must_be_answered() -> None:
    """An endpoint may close for what is malformed, also without GOAWAY; not for what is merely odd."""
    async with listening(closing) as port:
        target = Target("127.0.0.1", port, timeout=5.0)
        results = await judged(choose(["MAL-*", "MD-*", "CONN-5/*"]), target)
    verdicts = {id_: one.verdict for id_, one in results.items() if one.verdict is not Verdict.SKIP}
    right = {id_ for id_, verdict in verdicts.items() if verdict is Verdict.PASS}
    assert {"MAL-1/uppercase", "MAL-3/index-0", "MAL-7/ping-7", "MD-11/60k"} <= right
    assert {"MD-5/bin-plain", "MD-8/alphabet", "CONN-5/unknown-frame", "MAL-3/every-representation"}.isdisjoint(right)


@pytest.mark.anyio
async def test_a_stream_error_that_costs_the_connection_its_next_call_is_seen() -> None:
    case = CASES["MD-5/bin-plain"]
    async with listening(answering(12, once=True)) as port:
        one = await run_case(case, Target("127.0.0.1", port, timeout=0.5))
    assert one.verdict is Verdict.FAIL
    assert one.remark == "the same connection does not answer a good call afterwards"


@pytest.mark.anyio
async def test_a_server_that_is_gone_afterwards_is_seen() -> None:
    """It serves one connection, rightly."""
    served = anyio.Event()

    async def first_only(stream: anyio.abc.ByteStream) -> None:
        if not served.is_set():
            served.set()
            await answering(12)(stream)

    async with listening(first_only) as port:
        one = await run_case(CASES["KEEP-1/echo"], Target("127.0.0.1", port, timeout=2.0))
    assert one.verdict is Verdict.FAIL
    assert one.answers is False
    assert one.remark == "afterwards a good call on a new connection is not answered"


@pytest.mark.anyio
async def test_tls_without_alpn_is_seen(tmp_path_factory: pytest.TempPathFactory) -> None:
    server, client = contexts(tmp_path_factory)
    server.set_alpn_protocols(["http/1.1"])
    async with listening(answering(12), server) as port:
        one = await run_case(CASES["CONN-1/alpn"], Target("127.0.0.1", port, tls=client))
    assert one.verdict is Verdict.FAIL
    assert one.came == "ALPN selects None"


@pytest.mark.anyio
@pytest.mark.parametrize("handler", [silent, closing, answering(5)], ids=["silent", "closing", "not-found"])
async def test_where_good_calls_are_not_answered_nothing_is_judged(handler: object) -> None:
    async with listening(handler) as port:  # type: ignore[arg-type]
        with pytest.raises(NoServerError, match="a good call of /duplexcore"):
            await probe(Target("127.0.0.1", port, timeout=0.3))


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
