"""The probe's cases against a peer's server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from duplexcore.interop.peers.table import Peer
from duplexcore.interop.processes import LISTENING, run_program
from duplexcore.testing.probe import CASES, Case, Level, Need, Result, Target, Verdict, probe

from .observations import Breach, Sight

__all__ = ["SERVER_CASES", "observe_server"]

UNARY, DUPLEX = "/grpc.testing.TestService/UnaryCall", "/grpc.testing.TestService/FullDuplexCall"
#: Seconds: for a server to listen; for each answer.
START, ANSWER = 30.0, 3.0
#: Not asked here: floods, which show limits more than rules, and what is about TLS.
SERVER_CASES: dict[str, Case] = {
    case.id: case for case in CASES.values() if not {Need.FLOODS, Need.TLS}.intersection(case.needs)
}
#: How the probe says what came, and how the table does.
_SHORTER = (
    ("no grpc-status", "HTTP 200, no grpc-status"),
    ("status ", ""),
    ("the connection was closed", "closed"),
    ("nothing: stream and connection are as before", "nothing"),
    ("nothing, also not to a PING", "silence"),
    ("bytes that cannot be read", "unreadable bytes"),
)


async def observe_server(
    peer: Peer, folder: Path, cases: Collection[str], *, answer: float = ANSWER
) -> dict[str, Sight]:
    """By case id, with so many seconds for each answer; those that the peer cannot be judged by are left out. Raises
    RuntimeError when it does not listen."""
    chosen = [case for id_, case in SERVER_CASES.items() if id_ in cases]
    async with _serving(peer, folder) as port:
        results: list[Result] = []
        for method, kind in ((UNARY, "unary"), (DUPLEX, "duplex")):
            fitting = [case for case in chosen if (Need.DUPLEX in case.needs) == (kind == "duplex")]
            if fitting:
                target = Target("127.0.0.1", port, method=method, kind=kind, timeout=answer)
                results += (await probe(target, fitting)).results
    return {result.case.id: _sight(result) for result in results if result.verdict is not Verdict.SKIP}


@asynccontextmanager
async def _serving(peer: Peer, folder: Path) -> AsyncGenerator[int, None]:
    port, ready = 0, anyio.Event()

    async def hear(line: str) -> None:
        nonlocal port
        if found := LISTENING.search(line):
            port = int(found[1])
            ready.set()

    command = [*peer.command("server", folder, None), "--port=0"]
    async with run_program(command, peer.environ("server", folder), hear, ready.set) as program:
        with anyio.move_on_after(START):
            await ready.wait()
        if not port:
            raise RuntimeError(f"{peer.name}'s server does not listen: {program.last_words}")
        yield port


def _sight(result: Result) -> Sight:
    came = _short(result.came)
    if result.remark.startswith("the same connection"):
        came = f"to the next call: {came}"
    elif result.remark.startswith("afterwards"):
        came = "takes no more calls"
    return Sight(came, _breach(result))


def _short(came: str) -> str:
    """Without debug data and messages, which say the same in other words each time."""
    shown = came
    for words, shorter in _SHORTER:
        if shown.startswith(words):
            shown = shorter + shown.removeprefix(words)
    known = shown.startswith(("RST_STREAM", "GOAWAY", "HTTP", "closed", "no grpc", "unreadable")) or came.startswith(
        "status"
    )
    return shown.partition(" (")[0] if known else shown


def _breach(result: Result) -> Breach:
    match result.verdict, result.case.level:
        case Verdict.FAIL, Level.MUST:
            return Breach.MUST
        case (Verdict.FAIL, Level.SHOULD) | (Verdict.NOTE, Level.MUST | Level.SHOULD):
            return Breach.SHOULD
        case _:
            return Breach.NONE
