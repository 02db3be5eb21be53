"""The black box on servers written by hand: one that keeps the rules, and one for each check that does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from duplexcore.testing import raw
from duplexcore.testing.blackbox import CHECKS, CheckError, Limits, Log, converse, plain_call
from duplexcore.testing.link import RawLink
from duplexcore.testing.probe import Target
from duplexcore.testing.raw import RawFrame
from duplexcore.testing.sim.choosing import TapeChooser
from duplexcore.testing.sim.policies import PrngChooser

pytestmark = pytest.mark.anyio

GRACE = 0.4


class Server:
    """Answers each half-closed call with OK and no message. ``fault``: what it does wrong from the second connection
    on: the first is the plain call that shows how it answers."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.connections = 0

    async def __call__(self, stream: SocketStream) -> None:
        self.connections += 1
        fault = self.fault if self.connections > 1 else ""
        link = RawLink(stream, client=False, answer=fault != "no PING ACK", credit=fault != "no credit")
        try:
            await link.send(raw.settings({raw.MAX_STREAMS: 100}))
            while (one := await link.frame(10)) is not None:
                if fault == "no PING ACK" and one.type == raw.SETTINGS and not one.flags & raw.ACK:
                    await link.send(raw.settings_ack())
                if answer := self._answer(link, one, fault):
                    await link.send(answer)
        finally:
            await link.aclose()

    def _answer(self, link: RawLink, one: RawFrame, fault: str) -> bytes:
        peer, stream = link.peer, one.stream
        if one.type == raw.HEADERS and fault == "refuses":
            return raw.rst(stream, 7)
        if one.type == raw.HEADERS and fault == "GOAWAY":
            return raw.goaway(stream, 1)
        if not one.end or fault == "silent":
            return b""
        good = peer.response(stream)
        match fault:
            case "too much":
                return good + b"".join(raw.data(stream, bytes(16_384)) for _ in range(5))
            case "after the end":
                return good + peer.trailers(stream) + raw.data(stream, raw.message(b"more"))
            case "another status":
                return peer.trailers_only(stream, 13)
            case _:
                return good + peer.trailers(stream)


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Target]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(listener.serve, server))
        port = listener.extra(SocketAttribute.local_port)
        yield Target("127.0.0.1", port, method="/t.T/Unary", timeout=GRACE)
        tasks.cancel_scope.cancel()


async def run(server: Server, chooser: Any) -> Log:
    log = Log()
    async with serving(server) as target:
        usual = await plain_call(target)
        assert usual == "OK"
        await converse(target, chooser, Limits(), log, usual)
    return log


async def test_a_server_that_keeps_the_rules_passes_in_any_order() -> None:
    for seed in range(6):
        log = await run(Server(), PrngChooser(seed))
        assert log.calls > 1
        assert "<-- PING ACK" in str(log)


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        ("silent", "B1"),
        ("too much", "B2"),
        ("no PING ACK", "B3"),
        ("after the end", "B4"),
        ("another status", "B5"),
        ("GOAWAY", "B5"),
        ("no credit", "B6"),
        ("refuses", "B7"),
    ],
)
async def test_each_check_finds_a_server_that_breaks_it(fault: str, number: str) -> None:
    with pytest.raises((CheckError, BaseExceptionGroup)) as caught:
        # The first choice is the window of our streams, small for the server that minds none; the last, that many
        # calls are cancelled.
        await run(Server(fault), TapeChooser([int(fault == "too much"), 0, 0, 0, 0, 1]))
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, CheckError)
    assert error.number == number, str(error)
    assert number in CHECKS


async def test_a_server_that_does_not_answer_at_all_is_told() -> None:
    server = Server("silent")
    server.connections = 1
    async with serving(server) as target:
        with pytest.raises(ConnectionError, match="a plain call is not answered"):
            await plain_call(target)
