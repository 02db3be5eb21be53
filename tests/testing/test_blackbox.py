"""The black box on servers written by hand: one that keeps the rules, and one for each check that does not. All of it
in memory, and on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute

from duplexcore.testing import raw
from duplexcore.testing.blackbox import CHECKS, CONFORMANCE, Callee, CheckError, Limits, Log, conform, converse, survey
from duplexcore.testing.blackbox import Server as Known
from duplexcore.testing.link import RawLink
from duplexcore.testing.probe import Target
from duplexcore.testing.raw import RawFrame
from duplexcore.testing.sim.choosing import TapeChooser
from duplexcore.testing.sim.policies import PrngChooser
from tests.support.memory import Network, on_virtual_time

pytestmark = pytest.mark.anyio

GRACE = 0.4
#: Faults by which it closes the connection, and at which frames.
HANGS_UP = {"hangs up": raw.PING, "hangs up at once": raw.HEADERS}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return on_virtual_time(request.param)


class Server:
    """Answers each half-closed call with OK and no message. ``fault``: what it does wrong from the second connection
    on: the first is the plain call that shows how it answers."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.connections = 0
        #: Connections that are good ones, by their number.
        self.well: set[int] = set()
        self.fields: set[tuple[bytes, bytes]] = set()
        self.endless: set[tuple[int, int]] = set()
        #: Streams of calls to a method that it has not; their connections take turns.
        self.refused: set[int] = set()

    async def __call__(self, stream: ByteStream) -> None:
        self.connections += 1
        self.refused.clear()
        fault = self.fault if self.connections > 1 and self.connections not in self.well else ""
        link = RawLink(stream, client=False, answer=fault != "no PING ACK", credit=fault != "no credit")
        try:
            await link.send(raw.settings({raw.MAX_STREAMS: 100}))
            while (one := await link.frame(10)) is not None:
                self.fields |= set(one.fields or ())
                if one.type == HANGS_UP.get(fault):
                    break
                if fault == "no PING ACK" and one.type == raw.SETTINGS and not one.flags & raw.ACK:
                    await link.send(raw.settings_ack())
                if answer := self._answer(link, one, fault):
                    await link.send(answer)
        finally:
            await link.aclose()

    def _answer(self, link: RawLink, one: RawFrame, fault: str) -> bytes:
        peer, stream = link.peer, one.stream
        if one.stream in self.refused and one.type == raw.DATA:
            return raw.rst(stream, 5) if fault == "a second reset" else b""
        if one.type == raw.HEADERS and fault == "refuses":
            return raw.rst(stream, 7)
        if one.type == raw.HEADERS and fault == "GOAWAY":
            return raw.goaway(stream, 1)
        if fault != "silent" and one.type == raw.HEADERS and one.field(b":path") == Callee.of_nobody().path.encode():
            self.refused.add(stream)
            return peer.trailers_only(stream, 12) + raw.rst(stream, 0)
        if one.type == raw.HEADERS and self.fault == "endless" and one.field(b":path") == b"/t.T/Watch":
            self.endless.add((id(link), stream))
        if not one.end or fault == "silent" or (id(link), stream) in self.endless:
            return b""
        good = peer.response(stream)
        match fault:
            case "two responses":
                return good + raw.data(stream, raw.message(b"1")) + raw.data(stream, raw.message(b"2"))
            case "rising GOAWAY":
                return raw.goaway(1) + raw.goaway(3)
            case "too much":
                return good + b"".join(raw.data(stream, bytes(16_384)) for _ in range(5))
            case "after the end":
                return good + peer.trailers(stream) + raw.data(stream, raw.message(b"more"))
            case "another status":
                return peer.trailers_only(stream, 13)
            case _:
                return good + peer.trailers(stream)


def single(error: BaseException) -> CheckError:
    while isinstance(error, BaseExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, CheckError)
    return error


@asynccontextmanager
async def listening(server: Server) -> AsyncIterator[int]:
    """Its port on 127.0.0.1: for those who come from elsewhere."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(listener.serve, server))
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def serving(network: Network, server: Server) -> AsyncIterator[Target]:
    async with network.serving(server) as port:
        yield Target("127.0.0.1", port, method="/t.T/Unary", timeout=GRACE)


async def run(network: Network, server: Server, chooser: Any) -> Log:
    log = Log()
    async with serving(network, server) as target:
        known = await survey(target, [Callee.of(target)])
        assert known.plain.usual == "OK"
        await converse(known, chooser, Limits(), log)
    return log


async def test_a_server_that_keeps_the_rules_passes_in_any_order(network: Network) -> None:
    for seed in range(6):
        log = await run(network, Server(), PrngChooser(seed))
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
        ("hangs up", "B5"),
    ],
)
async def test_each_check_finds_a_server_that_breaks_it(network: Network, fault: str, number: str) -> None:
    with pytest.raises((CheckError, BaseExceptionGroup)) as caught:
        # The first choice is the window of our streams, small for the server that minds none; the last, that many
        # calls are cancelled.
        await run(network, Server(fault), TapeChooser([int(fault == "too much"), 0, 0, 0, 0, 1]))
    error = single(caught.value)
    assert error.number == number, str(error)
    assert number in CHECKS


@pytest.mark.parametrize("id_", CONFORMANCE)
async def test_a_server_that_keeps_the_rules_conforms(network: Network, id_: str) -> None:
    async with serving(network, Server()) as target:
        known = await survey(target, [Callee.of(target)])
        log = Log()
        await conform(known, CONFORMANCE[id_], log)
    assert log.wire["client"].startswith(raw.PREFACE.hex())
    assert log.wire["server"]


@pytest.mark.parametrize(
    ("fault", "id_", "number"),
    [
        ("silent", "C1", "B1"),
        ("another status", "C2", "B5"),
        ("no credit", "C5", "B6"),
        ("refuses", "C6", "B7"),
        ("no PING ACK", "C7", "B3"),
        ("too much", "C9", "B2"),
        ("no credit", "C10", "B6"),
        ("a second reset", "C10", "B4"),
    ],
)
async def test_conformance_finds_a_server_that_breaks_a_rule(
    network: Network, fault: str, id_: str, number: str
) -> None:
    with pytest.raises((CheckError, BaseExceptionGroup)) as caught:
        async with serving(network, Server(fault)) as target:
            await conform(await survey(target, [Callee.of(target)]), CONFORMANCE[id_], Log())
    assert single(caught.value).number == number


@pytest.mark.parametrize("fault", ["", "two responses"])
async def test_a_single_response_is_counted(network: Network, fault: str) -> None:
    """The server by hand sends none, or two."""
    server = Server(fault)
    server.connections = 1
    with pytest.raises((CheckError, BaseExceptionGroup)) as caught:
        async with serving(network, server) as target:
            callee = Callee(path="/t.T/Unary", many_requests=False, one_response=True, draw=lambda _: b"", usual="OK")
            await conform(Known(target=target, callees=(callee,), plain=callee), CONFORMANCE["C1"], Log())
    assert single(caught.value).number == "B8"


async def test_a_goaway_that_rises_is_found(network: Network) -> None:
    with pytest.raises((CheckError, BaseExceptionGroup)) as caught:
        await run(network, Server("rising GOAWAY"), TapeChooser([]))
    assert single(caught.value).number == "B9"


async def test_a_call_that_only_its_client_ends_is_cancelled_and_no_alarm(network: Network) -> None:
    """As those of a health watch: what other methods show is still checked."""
    async with serving(network, Server("endless")) as target:
        callees = [
            Callee(path=path, many_requests=False, one_response=False, draw=lambda _: b"")
            for path in ("/t.T/Watch", "/t.T/U")
        ]
        known = await survey(target, callees)
        assert [one.usual for one in known.callees] == ["", "OK"]
        assert known.plain is known.callees[1]
        for seed in range(4):
            await converse(known, PrngChooser(seed), Limits(), Log())


async def test_a_server_that_does_not_answer_at_all_is_told(network: Network) -> None:
    server = Server("silent")
    server.connections = 1
    async with serving(network, server) as target:
        with pytest.raises(ConnectionError, match="a plain call is not answered"):
            await survey(target, [Callee.of(target)])
