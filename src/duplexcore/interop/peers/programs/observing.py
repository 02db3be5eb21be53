"""What a library's client makes of a server that misbehaves: the calls that each case asks for, and what the
application gets of them. It judges nothing.

The jobs are a file of JSON lines, each a `Job`, whose exercise is the name of a
`duplexcore.testing.misbehaving.Exercise`. For each call a line is printed, ``{"case", "seen"}``, with a `Seen`; the
call that the case is about comes first.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import official
from official import Flags, Peer, Result

#: Seconds: of a call that is about its deadline; before the second call of RECONNECT.
SHORT_TIMEOUT, PAUSE = 0.3, 1.0
#: A case that takes so many of its timeouts hangs, whatever its deadlines say.
HANGS = 4
AT_ONCE = 10
#: Before the name of an exception that came before the first call.
CONNECTING = "connect: "
#: Jobs that run at a time.
TOGETHER = 6
#: Characters of a status message, an exception or a value that are kept, and metadata fields.
LONGEST, MOST = 160, 10


@dataclass
class Seen:
    """A call, as the application has it: ``status`` is the number; None when ``raised`` says that it got an exception
    that has none."""

    status: int | None = None
    raised: str = ""
    says: str = ""
    #: Sizes of the bodies that came.
    messages: list[int] = field(default_factory=list)
    #: Of the names that begin with "x-"; bytes as "hex:00ff".
    initial: list[tuple[str, str]] = field(default_factory=list)
    trailing: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Job:
    """A case, the port where a server plays it, and how to call. ``timeout``: of each call, in seconds."""

    case: str
    exercise: str
    port: int
    request_size: int
    response_size: int
    timeout: float


@dataclass
class Exercise:
    """The calls of one case. ``blocking``: the coroutines of the peer block, so that they need threads of their own."""

    job: Job
    peer: Peer
    blocking: bool

    async def unary(self, timeout: float | None = None) -> Seen:
        job = self.job
        request = official.pb.SimpleRequest(response_size=job.response_size, payload=official.payload(job.request_size))
        return await self._watched(self.peer.unary(official.UNARY_CALL, request, timeout=timeout or job.timeout), [])

    async def _watched(self, ended: Awaitable[Result], messages: list[int]) -> Seen:
        started = time.monotonic()
        task = asyncio.ensure_future(ended)  # of its own: a library may cancel the one that it is called in
        try:
            await asyncio.wait([task])
            result = task.result()
        except asyncio.CancelledError:
            if not task.cancelled():
                task.cancel()
                raise
            seen = Seen(raised="CancelledError", messages=messages)
        except Exception as error:  # what the application would get, whatever it is
            seen = Seen(raised=type(error).__name__, says=str(error)[:LONGEST], messages=messages)
        else:
            if result.response is not None:
                messages.append(len(result.response.payload.body))
            seen = Seen(result.code, "", result.message[:LONGEST], messages)
            seen.initial, seen.trailing = _shown(result.initial), _shown(result.trailing)
        seen.seconds = round(time.monotonic() - started, 2)
        return seen

    async def talk(self, act: Callable[[Any, list[int]], Awaitable[None]]) -> Seen:
        """A FullDuplexCall that sends one message, acts, and waits for the end."""
        messages: list[int] = []

        async def whole() -> Result:
            call = await self.peer.stream(official.DUPLEX_CALL, timeout=self.job.timeout)
            await call.send(official.asking(self.job.response_size))
            await act(call, messages)
            return await call.end()

        return await self._watched(whole(), messages)

    async def one(self) -> list[Seen]:
        return [await self.unary()]

    async def two(self) -> list[Seen]:
        return [await self.unary(), await self.unary()]

    async def deadline(self) -> list[Seen]:
        return [await self.unary(SHORT_TIMEOUT), await self.unary()]

    async def reconnect(self) -> list[Seen]:
        first = await self.unary()
        await asyncio.sleep(PAUSE)
        return [first, await self.unary()]

    async def many(self) -> list[Seen]:
        first = await self.unary()
        if self.blocking:
            calls = [asyncio.to_thread(lambda: asyncio.run(self.unary())) for _ in range(AT_ONCE)]
            return [first, *await asyncio.gather(*calls)]
        return [first, *await asyncio.gather(*(self.unary() for _ in range(AT_ONCE)))]

    async def duplex(self) -> list[Seen]:
        async def read(call: Any, messages: list[int]) -> None:
            while (message := await call.receive()) is not None:
                messages.append(len(message.payload.body))

        return [await self.talk(read), await self.unary()]

    async def cancel(self) -> list[Seen]:
        async def cancel(call: Any, messages: list[int]) -> None:
            await call.receive()
            await call.cancel()

        return [await self.talk(cancel), await self.unary()]

    async def unread(self) -> list[Seen]:
        beside: list[Seen] = []

        async def leave(call: Any, messages: list[int]) -> None:
            beside.append(await self.unary())
            await call.cancel()

        return [await self.talk(leave), *beside]


def _shown(metadata: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [
        (key, (f"hex:{value.hex()}" if isinstance(value, bytes) else value)[:LONGEST])
        for key, value in metadata
        if key.startswith("x-")
    ][:MOST]


async def _run(job: Job, flags: Flags, blocking: bool) -> list[Seen]:
    """A case on a channel of its own."""
    own = Flags(**(vars(flags) | {"server_port": job.port}))
    try:
        async with asyncio.timeout(HANGS * job.timeout), flags.connect(own) as peer:
            exercise = Exercise(job, peer, blocking)
            calls: list[Seen] = await getattr(exercise, job.exercise.lower())()
            return calls
    except TimeoutError:
        return [Seen(raised="no end", seconds=HANGS * job.timeout)]
    except Exception as error:  # there is no channel to call on
        return [Seen(raised=f"{CONNECTING}{type(error).__name__}", says=str(error)[:LONGEST])]


def asked(flags: Flags) -> list[Job]:
    """The jobs of the file that the flag names."""
    return [Job(**json.loads(line)) for line in flags.read("jobs").decode().splitlines()]


async def observe(jobs: list[Job], flags: Flags, *, blocking: bool) -> None:
    """All jobs, some at a time, a line for each as it ends."""
    limit = asyncio.Semaphore(TOGETHER)

    async def one(job: Job) -> None:
        async with limit:
            if blocking:
                calls = await asyncio.to_thread(lambda: asyncio.run(_run(job, flags, blocking)))
            else:
                calls = await _run(job, flags, blocking)
        for call in calls:
            print(json.dumps({"case": job.case, "seen": asdict(call)}), flush=True)

    await asyncio.gather(*map(one, jobs))
