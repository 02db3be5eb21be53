"""The misbehaving server's cases against a peer's client: what the application gets, and what the server sees."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from duplexcore import StatusCode
from duplexcore.interop.peers.table import Peer
from duplexcore.interop.processes import run_program
from duplexcore.testing.misbehaving import CASES, Check, Exercise, ServerCase, Verdict, misbehave

from .observations import Breach, Sight

__all__ = ["observe_client"]

#: Seconds: of a call; of one with messages of so many bytes; of one with tens of thousands of frames.
TIMEOUT, LARGE_TIMEOUT, LARGE = 3.0, 10.0, 100_000
LONG_TIMEOUT, LONG = 40.0, {"data_frame_padding", "no_df_padding_sanity_test"}
#: How long the server waits for what a client must do: longer than a call, or it would end the calls that wait.
PATIENCE = 45.0
#: Until connections that nobody uses any more are told to be over. Seconds.
SETTLE = 3.0
#: For all cases of one client: seconds.
LIMIT = 150.0
#: Where a server has sent no status, and no table of the documents gives one, a call that fails with another one of
#: these than the rule says is told as something to know.
_ANY_FAILURE = {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "UNIMPLEMENTED"}
_MAPPED = {"ERR-1", "DUP-7"}
#: How the exception begins that came while a channel was made.
CONNECTING = "connect: "
#: What it says of a case that did not end, whatever the deadlines of its calls.
HANGS = "no end"
_STATUS = {code.value: code.name for code in StatusCode}


async def observe_client(
    peer: Peer, folder: Path, cases: Collection[str], *, timeout: float = TIMEOUT
) -> dict[str, Sight]:
    """By case, with so many seconds for each call. Raises RuntimeError when the client's program does not get through
    them all."""
    # What keeps a machine busy comes last, so that nothing else waits for it.
    chosen = sorted((case for name, case in CASES.items() if name in cases), key=lambda case: case.name in LONG)
    heard: dict[str, list[Mapping[str, Any]]] = {}
    done = anyio.Event()

    async def hear(line: str) -> None:
        said = json.loads(line)
        heard.setdefault(said["case"], []).append(said["seen"])

    async with misbehave(*chosen, patience=PATIENCE) as server:
        with tempfile.TemporaryDirectory(prefix="duplexcore-peers-") as directory:
            jobs = Path(directory) / "jobs"
            lines = [json.dumps(_job(case, server.ports, timeout)) + "\n" for case in chosen]
            jobs.write_text("".join(lines), encoding="utf-8")
            command = [*peer.command("observer", folder, None), f"--jobs={jobs}"]
            async with run_program(command, peer.environ("client", folder), hear, done.set) as program:
                with anyio.move_on_after(LIMIT):
                    await done.wait()
        if lacking := [case.name for case in chosen if case.name not in heard]:
            raise RuntimeError(f"{peer.name}'s client says nothing of {', '.join(lacking)}: {program.last_words}")
        with anyio.move_on_after(SETTLE):
            await server.settled()
        server.stop()
    seen: dict[str, list[Verdict]] = {}
    for verdict in server.verdicts:
        seen.setdefault(verdict.case, []).append(verdict)
    return {case.name: _sight(case, heard[case.name], seen.get(case.name, []), timeout) for case in chosen}


def _job(case: ServerCase, ports: Mapping[str, int], timeout: float) -> dict[str, object]:
    return {
        "case": case.name,
        "exercise": case.exercise.name,
        "port": ports[case.name],
        "request_size": case.request_size,
        "response_size": case.response_size,
        "timeout": _timeout(case, timeout),
    }


def _timeout(case: ServerCase, timeout: float) -> float:
    if case.name in LONG:
        return LONG_TIMEOUT
    return max(timeout, LARGE_TIMEOUT) if max(case.request_size, case.response_size) > LARGE else timeout


@dataclass(frozen=True, slots=True)
class _Finding:
    words: str
    breach: Breach = Breach.NONE


def _sight(case: ServerCase, calls: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict], timeout: float) -> Sight:
    limit = _timeout(case, timeout)
    outcome = _outcome(case, calls[0], limit)
    wire = list(dict.fromkeys(_wire(verdicts, waits=outcome.words == "waits")))
    found = [outcome, *_contents(case, calls[0], outcome.breach), *wire]
    if len(verdicts) < 2:  # or each connection was a run of its own, and met the same again
        later = {_outcome(case, call, limit, good=True) for call in calls[1:]} - {_Finding("OK")}
        found += [_Finding(f"a later call: {one.words}", one.breach) for one in sorted(later, key=str)]
    worst = max((one.breach for one in found), key=lambda breach: breach.weight)
    return Sight("; ".join(one.words for one in found), worst)


def _outcome(case: ServerCase, call: Mapping[str, Any], limit: float, *, good: bool = False) -> _Finding:
    """How a call ended: a status, an exception that has none, or the timeout."""
    if call["status"] is None:
        raised = call["raised"]
        if raised == HANGS:
            return _Finding("hangs", Breach.MUST)
        # Where no connection comes about, some libraries say so before there is a channel to call on.
        allowed = raised.startswith(CONNECTING) and case.settings is None
        return _Finding(raised if allowed else f"raises {raised}", Breach.NONE if allowed else Breach.MUST)
    status = _STATUS[call["status"]]
    if status == "DEADLINE_EXCEEDED" and call["seconds"] > 0.9 * limit:
        return _Finding("waits", Breach.MUST)
    wanted = {"OK"} if good else {code.name for code in case.status}
    if status == "OK" and not call["messages"] and case.exercise in {Exercise.ONE, Exercise.TWO}:
        return _Finding("OK, no message", Breach.MUST)
    if status in wanted:
        return _Finding(status)
    free = wanted | {status} <= _ANY_FAILURE and case.rules[0] not in _MAPPED
    return _Finding(status, Breach.SHOULD if free else Breach.MUST)


def _contents(case: ServerCase, call: Mapping[str, Any], breach: Breach) -> Iterator[_Finding]:
    """What came with the end, where that is what the case is about."""
    if breach is Breach.MUST:
        return
    if case.exercise is Exercise.DUPLEX and (count := len(call["messages"])) != case.messages:
        yield _Finding(f"{count} of {case.messages} messages", Breach.SHOULD)
    if case.rules[0] in {"STAT-9", "STAT-5"} and case.says not in call["says"]:
        yield _Finding(f"message {call['says'][:40]!r}")
    came = [*call["initial"], *call["trailing"]]
    for key in dict.fromkeys(key for key, _ in case.metadata):
        wanted = [f"hex:{v.hex()}" if isinstance(v, bytes) else v for k, v in case.metadata if k == key]
        values = [value for name, value in came if name == key]
        if not values:
            yield _Finding(f"without {key}", Breach.MUST)
        elif values[: len(wanted)] != wanted:
            yield _Finding(f"{key} otherwise", Breach.SHOULD)


def _wire(verdicts: Sequence[Verdict], *, waits: bool) -> Iterator[_Finding]:
    """What the server saw. ``waits``: the call met its deadline, so that its RST_STREAM says nothing."""
    checks = [check for verdict in verdicts for check in verdict.failures]
    findings = [_seen(check) for check in checks if not (waits and check.came.startswith("RST_STREAM"))]
    # That it leaves says something where nothing else does.
    yield from [finding for finding in findings if finding != _LEAVES] or findings


_LEAVES = _Finding("leaves the connection", Breach.SHOULD)


def _seen(check: Check) -> _Finding:
    code = check.came.partition("GOAWAY(")[2].partition(")")[0]
    match check.what.split()[:2]:
        case ["sends", sent] if sent.startswith("RST_STREAM("):
            if code not in {"", "NO_ERROR"}:
                return _Finding(f"GOAWAY {code}", Breach.SHOULD)
            return _Finding(check.came.replace("(", " ").partition(")")[0].partition(",")[0], Breach.SHOULD)
        case ["sends", sent] if sent.startswith("GOAWAY("):
            return _Finding("no GOAWAY" if check.came == "none" else f"GOAWAY {check.came}", Breach.SHOULD)
        case ["keeps", "the"] | ["makes", "another"] | ["stays", "to"] | ["acknowledges", "each"]:
            return _LEAVES if code in {"", "NO_ERROR"} else _Finding(f"GOAWAY {code}", Breach.SHOULD)
        case ["closes", "the"]:
            return _Finding("stays", Breach.MUST)
        case _:
            return _Finding(f"not: {check.what}", Breach.MUST)
