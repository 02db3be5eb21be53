"""The load itself: who calls what over which link, and the count of what came of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from duplexcore import ClientConfig, RpcError, StatusCode
from duplexcore_anyio import Channel, connect

from .cutter import Cutter
from .messages import Wrong
from .scenarios import SCENARIOS, SHORT, Scenario, chosen
from .server import Ports
from .service import REPORT, Held, held

__all__ = ["Count", "Load"]

#: A call that takes longer hangs: seconds.
HANGS = 60.0
#: How many failures are kept in words.
SHOWN = 20
#: Through the proxy: each of these may end as UNAVAILABLE as well, and must be right if it does not.
CUT = [row for row in SCENARIOS if row.name in {"unary", "turns", "responses", "requests", "duplex"}]


@dataclass
class Count:
    """What came of the calls so far: by scenario, and those that a cut connection ended."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    cuts: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return self.right.total() + self.wrong.total() + self.cut.total()

    def fail(self, name: str, why: str) -> None:
        self.wrong[name] += 1
        if len(self.failures) < SHOWN:
            self.failures.append(f"{name}: {why}")


@dataclass(frozen=True)
class Link:
    """Workers on one channel. ``breaks``: its connections are cut, so calls may be UNAVAILABLE."""

    port: int
    workers: int
    rows: list[Scenario]
    breaks: bool = False


class Load:
    """``workers``: how many calls are under way at once, about."""

    def __init__(self, ports: Ports, *, workers: int, seed: int, config: ClientConfig) -> None:
        self._ports = ports
        self._workers = workers
        self._choice = random.Random(seed)
        self._config = config
        self.count = Count()

    async def run(self, seconds: float) -> tuple[Held, Held]:
        """Calls for so long, lets what is under way end, closes everything, and says what this process and the server
        still hold."""
        until = anyio.current_time() + seconds
        cutter = Cutter(self._ports.steady, self._choice)
        async with anyio.create_task_group() as tasks:
            await tasks.start(cutter.run)
            share = max(1, self._workers // 4)
            links = [
                Link(self._ports.steady, share, SCENARIOS),
                Link(self._ports.steady, share, SCENARIOS),
                Link(self._ports.leaving, share, SHORT),
                Link(cutter.port, share, CUT, breaks=True),
            ]
            async with anyio.create_task_group() as working:
                for link in links:
                    working.start_soon(self._work, link, until)
            tasks.cancel_scope.cancel()
        self.count.cuts += cutter.cuts
        return await self._quiet()

    async def _work(self, link: Link, until: float) -> None:
        async with self._channel(link.port) as channel, anyio.create_task_group() as tasks:
            for _ in range(link.workers):
                tasks.start_soon(self._call_until, link, channel, until, random.Random(self._choice.random()))

    @asynccontextmanager
    async def _channel(self, port: int) -> AsyncIterator[Channel]:
        async with connect(f"127.0.0.1:{port}", config=self._config) as channel:
            yield channel

    async def _call_until(self, link: Link, channel: Channel, until: float, choice: random.Random) -> None:
        while anyio.current_time() < until:
            row = chosen(choice, link.rows)
            try:
                with anyio.fail_after(HANGS):
                    await row.run(channel, choice)
            except TimeoutError:
                self.count.fail(row.name, f"no end after {HANGS:g} s")
            except RpcError as error:
                if link.breaks and error.code is StatusCode.UNAVAILABLE:
                    self.count.cut[row.name] += 1
                else:
                    self.count.fail(row.name, str(error))
            except Wrong as wrong:
                self.count.fail(row.name, str(wrong))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
                self.count.fail(row.name, repr(error))
            else:
                self.count.right[row.name] += 1

    async def _quiet(self) -> tuple[Held, Held]:
        """Once the server's handlers have ended, within a time in which they must."""
        async with self._channel(self._ports.steady) as channel:
            server = Held.read(await channel.unary(REPORT, b""))
            for _ in range(100):
                if server.handlers == 1:  # the one that reports
                    break
                await anyio.sleep(0.1)
                server = Held.read(await channel.unary(REPORT, b""))
        await anyio.sleep(0.2)
        return held(), server
