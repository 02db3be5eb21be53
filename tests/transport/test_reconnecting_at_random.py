"""Calls of every kind by chance, to servers that by chance refuse, leave, hang, break off or serve; on virtual time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from random import Random
from typing import Any

import anyio
import pytest
import trio.testing
from anyio.abc import ByteStream

from duplexcore import ClientConfig, RpcError, StatusCode
from duplexcore.testing import raw
from duplexcore_anyio import Backoff, Channel, ChannelState, DuplexServerCall, connect
from tests.support.net import Behave, Net, served, taking
from tests.support.transport import COUNT, HELLO, SUM, TALK

ADDRESSES = ["10.0.0.1", "10.0.0.2", "fd00::1"]
CALLS, TURNS = 60, 40
#: How a call may end that nobody has cancelled. What a server has never seen is one of the others, not these.
ENDS = {StatusCode.OK, StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED}


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0.0005)


def message(number: int) -> bytes:
    return b"%04d" % number * 700


class Servers:
    """What stands behind the addresses; changes by chance."""

    def __init__(self, chance: Random, net: Net, addresses: list[str]) -> None:
        self.taken: Counter[str] = Counter()
        self._chance = chance
        self._net = net
        self._addresses = addresses
        self._open: list[ByteStream] = []
        self.all_serve(max_concurrent_calls=3)

    def all_serve(self, **config: Any) -> None:
        for address in self._addresses:
            self._net.behind[address] = partial(self._noted, served(self._talk, **config))

    def change(self) -> None:
        """Something else behind each address."""
        for address in self._addresses:
            behave = self._one()
            self._net.behind[address] = behave if behave is None or isinstance(behave, float) else self._kept(behave)

    async def lose_one(self) -> None:
        """A connection breaks."""
        if self._open:
            await self._open.pop(self._chance.randrange(len(self._open))).aclose()

    async def lose_all(self) -> None:
        while self._open:
            await self.lose_one()

    def _kept(self, behave: Behave) -> Behave:
        return partial(self._noted, behave)

    async def _noted(self, behave: Behave, stream: ByteStream) -> None:
        self._open.append(stream)
        await behave(stream)

    async def _talk(self, call: DuplexServerCall[bytes, bytes]) -> None:
        """Echo, once for each call, of messages that come once and in order."""
        self.taken[str(dict(call.metadata)["id"])] += 1
        number = 0
        async for one in call:
            assert one == message(number)
            await call.send(one)
            number += 1

    def _one(self) -> Behave | float | None:
        chance, talk = self._chance, self._talk
        age = chance.choice([0.005, 0.05, 0.5, 2.0, 10.0])
        return chance.choice(
            [
                *(None, 0.0, 0.2, 3.0, 50.0),
                *(self._hang_up, self._goaways, self._breaks, self._breaks),
                *(taking(0, "refuse"), taking(2, "refuse"), taking(0, "goaway"), taking(2, "goaway")),
                *(served(talk), served(talk, max_concurrent_calls=1), served(talk, max_connection_idle=0.01)),
                served(talk, max_concurrent_calls=2, max_connection_age=age, max_connection_age_grace=0.2),
                served(talk, max_connection_age=age, max_connection_age_grace=100.0),
            ]
        )

    async def _hang_up(self, stream: ByteStream) -> None:
        await stream.aclose()

    async def _goaways(self, stream: ByteStream) -> None:
        await stream.send(raw.RawPeer(client=False).hello())
        await anyio.sleep(self._chance.choice([0, 0.001, 0.1, 1]))
        await stream.send(raw.goaway(0) * 5)
        await anyio.sleep(self._chance.choice([0, 0.001, 0.1, 1]))
        await stream.aclose()

    async def _breaks(self, stream: ByteStream) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(served(self._talk, max_concurrent_calls=3), stream)
            await anyio.sleep(self._chance.choice([0, 0.001, 0.01, 0.1, 1]))
            await stream.aclose()
            tasks.cancel_scope.cancel()


async def one_call(channel: Channel, chance: Random, name: str) -> None:
    """Of one kind or another; right to the last byte when it ends well."""
    options: Any = {"wait_for_ready": chance.random() < 0.5, "timeout": chance.choice([0.05, 1.0, 10.0, 100.0])}
    match chance.choice(["unary", "counting", "adding", "talk", "talk"]):
        case "unary":
            assert await channel.unary(HELLO, b"you", **options) == b"hello, you"
        case "counting":
            async with channel.server_streaming(COUNT, b"5", **options) as counting:
                assert [number async for number in counting] == [b"%d" % number for number in range(5)]
        case "adding":
            async with channel.client_streaming(SUM, **options) as adding:
                await adding.send_all([b"1", b"2"])
                assert await adding.response() == b"3"
        case _:
            said = [message(number) for number in range(chance.randrange(25))]
            pauses = [chance.choice([0, 0, 0.01, 0.3]) for _ in said]

            async def source() -> AsyncIterator[bytes]:
                for one, pause in zip(said, pauses, strict=True):
                    yield one
                    await anyio.sleep(pause)

            async with (
                channel.duplex(TALK, metadata={"id": name}, **options) as talk,
                talk.exchange(source()) as replies,
            ):
                assert [reply async for reply in replies] == said


@pytest.mark.parametrize("backend", ["trio"])
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.req("CHAN-4", "CHAN-11", "RETRY-3", "GOAW-6")
async def test_calls_end_servers_see_each_once_and_nothing_stays(
    backend: str, clock: Any, seed: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chance, net = Random(seed), Net(monkeypatch)
    addresses = ADDRESSES[: chance.choice([1, 1, 2, 3])]

    async def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)
    servers = Servers(chance, net, addresses)
    ends: list[StatusCode | None] = []

    async def call(name: str) -> None:
        patience = chance.choice([None, None, None, 0, 0.02, 1.0])
        with anyio.move_on_after(1000 if patience is None else patience) as scope:
            try:
                await one_call(channel, chance, name)
                ends.append(StatusCode.OK)
            except RpcError as error:
                ends.append(error.code)
        if scope.cancelled_caught:
            assert patience is not None, "a call with a deadline did not end"
            ends.append(None)

    async def churn() -> None:
        for _ in range(TURNS):
            servers.change()
            if chance.random() < 0.4:
                await servers.lose_one()
            await anyio.sleep(chance.choice([0, 0.01, 0.1, 1, 3]))

    backoff = Backoff(initial=0.05, maximum=2, draw=chance.random)
    config = ClientConfig(max_waiting_calls=20)
    async with net.running():
        async with connect("many.example:1", backoff=backoff, connect_timeout=2.0, config=config) as channel:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(churn)
                for number in range(CALLS):
                    tasks.start_soon(call, str(number))
                    await anyio.sleep(chance.choice([0, 0, 0.01, 0.1, 1.0]))
            servers.all_serve()
            await servers.lose_all()
            await anyio.sleep(5)
            assert await channel.unary(HELLO, b"you", timeout=30, wait_for_ready=True) == b"hello, you"
            await anyio.sleep(5)  # what was drained is closed
            connections: Any = channel._connections
            assert (channel.state, channel.open_calls, channel.waiting_calls) == (ChannelState.READY, 0, 0)
            assert (len(connections._all), channel._replay.kept) == (1, 0)
            servers.change()
            await servers.lose_all()
        assert not connections._all
    assert len(ends) == CALLS
    assert {end for end in ends if end is not None} <= ENDS
    assert [name for name, times in servers.taken.items() if times > 1] == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert (
        len(net.attempts) > 1
    )  # at least those before and after `lose_all`: trio draws the order of tasks, and so how many more
