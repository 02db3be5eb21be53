"""The soak: it runs on each event loop, and what it is there to find it finds."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from benchmarks.soak import scenarios
from benchmarks.soak.load import Count
from benchmarks.soak.messages import Stream, Wrong, made
from benchmarks.soak.service import Held
from benchmarks.soak.verdict import judged
from duplexcore.rpc import DuplexMethod, UnaryMethod
from duplexcore_anyio import Channel, DuplexServerCall, Router, ServerContext, memory_link, serve_stream

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_short_run_holds(backend: str, tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    command = [sys.executable, "-m", "benchmarks.soak", "--seconds", "3", "--backend", backend, "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    figures = json.loads(report.read_text())
    assert figures["wrong"] == {}, done.stdout
    assert sum(figures["right"].values()) > 20
    # Memory after half a second says nothing; what must be gone must be gone.
    left = [check["what"] for check in figures["checks"] if not check["holds"]]
    assert [what for what in left if not what.endswith(("blocks", "KiB"))] == []


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--backend", "curio"], ["pressure", "--case", "none"]])
def test_wrong_use_is_told(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "benchmarks.soak", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "Error: Invalid value" in done.stderr


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([made(0, 10), made(2, 10)], "message 2 came where 1 was due"),
        ([made(0, 10), made(0, 10)], "message 0 came where 1 was due"),
        ([made(0, 10)[:-1] + b"?"], "message 0 of 18 bytes is not what was sent"),
        ([made(0, 10)[:-1]], "message 0 of 17 bytes is not what was sent"),
    ],
    ids=["lost", "twice", "changed", "cut"],
)
def test_a_message_that_is_not_right_is_seen(messages: list[bytes], why: str) -> None:
    stream = Stream()
    with pytest.raises(Wrong, match=why):
        for message in messages:
            stream.take(message)


def test_a_server_that_loses_a_message_is_seen() -> None:
    """The real scenario against a wrong server, over the real transport."""

    async def loses(call: DuplexServerCall[bytes, bytes]) -> None:
        async for request in call:
            if request[3] != 1:
                await call.send(request)

    with pytest.raises(BaseExceptionGroup) as caught:
        anyio.run(_one, scenarios.duplex, loses)
    assert caught.group_contains(Wrong, match=r"came where 1 was due|replies: ")


def test_a_wrong_status_is_seen() -> None:
    async def fine(request: bytes, call: ServerContext) -> bytes:
        return request

    with pytest.raises(BaseExceptionGroup) as caught:
        anyio.run(_one, scenarios.failing, fine)
    assert caught.group_contains(Wrong, match="OK came where")


async def _one(scenario: scenarios.Call, handler: object) -> None:
    """One call, its server's handler exchanged for another."""
    router = Router()
    methods = {
        "duplex": DuplexMethod("/soak.Load/Talk", bytes, bytes),
        "failing": UnaryMethod("/soak.Load/Fail", bytes, bytes),
    }
    router.add(methods[scenario.__name__], handler)  # type: ignore[call-overload]
    near, far = memory_link()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_stream, router, far)
        async with Channel.over(near) as channel:
            await scenario(channel, random.Random(3))


def _held(**changes: int) -> Held:
    return Held(**{"handlers": 0, "tasks": 3, "files": 9, "blocks": 100_000, "resident": 40_000, **changes})


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"tasks": 4}, "server: tasks"),
        ({"files": 10}, "server: open files"),
        ({"blocks": 105_000}, "server: live blocks"),
        ({"resident": 60_000}, "server: resident KiB"),
        ({"handlers": 2}, "server: handlers that run"),
    ],
    ids=["task", "file", "blocks", "memory", "handler"],
)
def test_what_is_left_behind_is_seen(changes: dict[str, int], what: str) -> None:
    count = Count()
    count.right["unary"] = 5
    first = _held(), _held(handlers=1)
    assert all(check.holds for check in judged(count, first, first))
    last = _held(), _held(**{"handlers": 1, **changes})
    assert [check.what for check in judged(count, first, last) if not check.holds] == [what]


def test_a_wrong_call_is_never_good() -> None:
    count = Count()
    count.right["unary"] = 5
    count.fail("unary", "it was wrong")
    state = _held(), _held(handlers=1)
    assert [check.what for check in judged(count, state, state) if not check.holds] == [
        "calls with a wrong message, status or metadata"
    ]
