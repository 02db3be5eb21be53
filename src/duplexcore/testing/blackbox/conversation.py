"""The connection to a black box: its windows, its calls, what was read; and runs that a chooser draws."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import anyio

from duplexcore.testing import raw
from duplexcore.testing.link import RawLink
from duplexcore.testing.probe.model import Target
from duplexcore.testing.probe.talk import Talk, connect
from duplexcore.testing.raw import RawFrame
from duplexcore.testing.sim.choosing import Chooser, TapeChooser

from .calls import PATIENCE, Act, BlackCall, Listens, Quits, Says, draw_call
from .checks import KEPT_BYTES, Callee, CheckError, Limits, Log, Server

__all__ = ["Conversation", "converse", "survey"]

DEFAULT_WINDOW = 65_535
#: Windows that we may open our streams with.
WINDOWS = (DEFAULT_WINDOW, 1_000, 5, 0)
#: Cancelled calls in a row, how many; and how much of a message that is never whole each has sent.
STORMS = (0, 12)
STORM_BYTES = 8_000
#: The longest message of a call that fills the window.
LARGEST = 256 * 1024
CALM = raw.CODES.index("ENHANCE_YOUR_CALM")
#: As long as bytes come, a wait may take that many times the grace.
LONGEST: Final = 10


async def converse(server: Server, chooser: Chooser, limits: Limits, log: Log) -> None:
    """One run. Raises `CheckError`; OSError when nobody answers."""
    async with Conversation.on(server, log) as talk:
        await talk.hello(WINDOWS[chooser.choose(len(WINDOWS), "window", WINDOWS)])
        count = 1 + (chooser.choose(limits.calls, "calls", range(1, limits.calls + 1)) if limits.calls > 1 else 0)
        calls = [draw_call(talk, chooser, limits) for _ in range(count)]
        storm = STORMS[chooser.choose(len(STORMS), "cancelled calls", STORMS)]
        await talk.play(calls, chooser)
        for what in (partial(talk.storm, storm), talk.ping, talk.fill, talk.canary):
            if talk.leaving:
                break
            await what()
        talk.conclude()


async def survey(target: Target, callees: Iterable[Callee]) -> Server:
    """The server with its methods, and how a plain call to each ends: those that do not end within the grace are taken
    for such as only their client ends. Raises OSError when nobody answers."""
    known = []
    for callee in callees:
        answer = await _plain_call(target, callee)
        if answer == "no status":
            raise ConnectionError(
                f"a plain call to {callee.path} is answered without grpc-status: it is no gRPC server"
            )
        known.append(replace(callee, usual=answer))
    plain = next((one for one in known if one.usual), None)
    if plain is None:
        nobody = Callee.of_nobody()
        plain = replace(nobody, usual=await _plain_call(target, nobody))
        if not plain.usual:
            raise ConnectionError("a plain call is not answered")
    return Server(target=target, callees=tuple(known), plain=plain)


async def _plain_call(target: Target, callee: Callee) -> str:
    """How it ends, like "OK"; "" when it does not. Raises OSError."""
    server = Server(target=target, callees=(callee,), plain=callee)
    async with Conversation.on(server, Log()) as talk:
        try:
            await talk.hello(DEFAULT_WINDOW)
            return await talk.plain() or ""
        except CheckError as error:
            raise ConnectionError(f"a plain call is not answered: {error}") from error


# --- the connection ---------------------------------------------------------------------------------------------------


class Conversation:
    """The client's side of the connection: its windows, its calls, what was read."""

    def __init__(self, link: RawLink, server: Server, log: Log) -> None:
        self.link, self.server, self.log = link, server, log
        self.grace = server.target.timeout
        self.script = Talk(link, server.target)  # writes request headers
        self.window = DEFAULT_WINDOW
        self.server_window = self.room = DEFAULT_WINDOW
        self.gave = DEFAULT_WINDOW  # what the server may send on the connection
        self.places = 100
        self.calls: dict[int, BlackCall] = {}
        self._active: list[BlackCall] = []  # all open ones are among them
        self._introduced = False
        self.acknowledged = 0  # how many of our SETTINGS
        #: Whether so much is sent that ENHANCE_YOUR_CALM is no fault.
        self.may_defend = False
        #: Whether it has said GOAWAY and leaves in order; and its lowest id.
        self.leaving = False
        self._last_id = raw.MAX_ID
        self.pongs: list[bytes] = []
        self._count = 0
        self._held: bytearray | None = None  # what is to go out in one write
        self._moved = 0  # frames of DATA and of credit that have come
        self._deferred: CheckError | None = None

    @classmethod
    @asynccontextmanager
    async def on(cls, server: Server, log: Log) -> AsyncGenerator[Conversation, None]:
        """A connection of its own, which is closed at the end. Raises OSError."""
        link = await connect(server.target)
        link.credit = False
        try:
            yield cls(link, server, log)
        finally:
            log.lines.extend([f"    the server has gone: {link.ended}"] if link.ended else [])
            await link.aclose()

    def live(self) -> int:
        return sum(call.open for call in self._active)

    def numbered(self) -> int:
        """The number of another call."""
        self._count += 1
        return self._count

    def new_call(self, callee: Callee | None = None, pieces: Sequence[bytes] = ()) -> BlackCall:
        return BlackCall(self, self.numbered(), callee or self.server.plain, list(pieces))

    def opened(self, call: BlackCall) -> int:
        """The stream of a call that starts: ids only grow."""
        stream = 2 * len(self.calls) + 1
        self.calls[stream] = call
        self._active.append(call)
        return stream

    def defer(self, wrong: CheckError) -> None:
        """Something is wrong that harms nobody: it counts at the end, unless something worse comes after it."""
        self._deferred = self._deferred or wrong

    def conclude(self) -> None:
        """The end of a run that has gone well otherwise. Raises what was deferred."""
        if self._deferred is not None:
            raise self._deferred

    async def send(self, data: bytes, told: str) -> None:
        self.log.lines.append(f"--> {told}")
        if len(self.log.sent) < KEPT_BYTES:
            self.log.sent += data
        if self._held is None:
            await self.link.send(data)
        else:
            self._held += data

    async def _release(self) -> None:
        """What was held back goes out, in one write."""
        held, self._held = self._held, None
        if held:
            await self.link.send(bytes(held))

    async def hello(self, window: int) -> None:
        self.window = window
        await self.send(raw.PREFACE + raw.settings({raw.INITIAL_WINDOW: window}), f"SETTINGS INITIAL_WINDOW {window}")
        if not await self.until(lambda: bool(self._introduced and self.acknowledged)):
            raise CheckError("B3", "SETTINGS are not acknowledged" if self._introduced else "no SETTINGS have come")

    async def play(self, calls: Sequence[list[Act]], chooser: Chooser | None = None) -> None:
        """All the calls, in drawn order; then time to end for those that are open."""
        chooser = chooser or TapeChooser(())
        actors = [actor for one in calls for actor in one]
        listens = Listens(self)
        while (ready := [actor for actor in actors if actor.ready()]) and not self.leaving:
            if listens.ready():
                ready.append(listens)
            acts = ready[chooser.choose(len(ready), "step", ready) if len(ready) > 1 else 0]
            await acts.do()
            if acts is not listens:
                listens.left = PATIENCE
        for actor in actors:
            if isinstance(actor, Quits) and actor.must and actor.ready():
                await actor.do()
        await self._finish([actor for actor in actors if isinstance(actor, Says)])

    async def _finish(self, actors: list[Says]) -> None:
        by = anyio.current_time() + self.grace
        by += max((actor.call.timeout or 0.0 for actor in actors), default=0.0)
        while open_calls := [actor.call for actor in actors if actor.call.open]:
            for actor in actors:
                while actor.ready():
                    await actor.do()
            await self.give_credit()
            if anyio.current_time() > by:
                streams = ", ".join(str(call.stream) for call in open_calls)
                raise CheckError("B1", f"open after {self.grace:g} s and their time: streams {streams}")
            await self.listen(by - anyio.current_time() + 0.01)

    async def storm(self, count: int) -> None:
        """Calls that send a part of a message, and are cancelled: every other one in one write, so that a server learns
        all of it at once."""
        part = raw.message(bytes(STORM_BYTES - 5), length=STORM_BYTES)
        for number in range(count):
            if self.leaving:
                return
            call = self.new_call()
            together = number % 2 == 0 and self.server_window >= len(part) <= self.room
            self._held = bytearray() if together else None
            await call.start()
            if not await self.until(partial(call.can_say, len(part))):
                raise CheckError("B6", f"no credit for {len(part)} bytes: {self.rooms(call)}")
            if call.open:
                await call.say(part)
                await call.cancel()
            if together:
                await self._release()

    async def ping(self) -> None:
        payload = b"fuzz" + len(self.log.lines).to_bytes(4, "big")
        await self.send(raw.ping(payload), "PING")
        if not await self.until(lambda: payload in self.pongs):
            raise CheckError("B3", f"PING {payload!r} is not acknowledged, but {self.pongs}")

    async def fill(self) -> None:
        """A message as large as the window that streams begin with."""
        call = self.new_call()
        await call.start()
        size = min(self.server_window, LARGEST)
        whole = raw.message(bytes(max(0, size - 5)))
        at = 0
        while at < len(whole):
            if not await self.until(partial(call.can_say, 1)):
                raise CheckError("B6", f"no credit after {at} of {len(whole)} bytes: {self.rooms(call)}")
            if not call.open:
                return
            piece = whole[at : at + call.fits]
            at += len(piece)
            await call.say(piece, end=at == len(whole))
        if not await self.until(lambda: not call.open):
            raise CheckError("B6", f"a call with a message of {len(whole)} bytes is not answered")

    async def canary(self) -> None:
        """A plain call is answered as it was at first."""
        came, usual = await self.plain(), self.server.plain.usual
        if came is None:
            raise CheckError("B5", f"a plain call is not answered within {self.grace:g} s")
        if came != usual:
            raise CheckError("B5", f"a plain call is answered with {came}, it was {usual}")

    async def plain(self) -> str | None:
        """How a plain call ends, like "OK"; None when it does not."""
        plain = self.server.plain
        call = self.new_call(plain)
        await call.start()
        if not await self.until(partial(call.can_say, len(plain.plain) + 5)):
            raise CheckError("B6", f"no credit for a plain call: {self.rooms(call)}")
        if call.open:
            await call.say(raw.message(plain.plain), end=True)
        return call.answer if await self.until(lambda: not call.open) else None

    # --- reading ------------------------------------------------------------------------------------------------------

    async def listen(self, timeout: float) -> None:
        """What comes next, and what has come with it."""
        one = await self.link.frame(timeout)
        while one is not None:
            self._take(one)
            one = await self.link.frame(0)
        if self.link.ended is not None:
            if self.leaving:
                self._drop()
                return
            raise CheckError("B5", f"the connection is {self.link.ended} {self.link.fault}".rstrip())

    async def give_credit(self) -> None:
        """What the server needs to go on: on the connection always, on streams a good deal."""
        if self.gave < DEFAULT_WINDOW // 2:
            size = DEFAULT_WINDOW - self.gave
            self.gave += size
            await self.send(raw.window_update(0, size), f"WINDOW_UPDATE 0 {size}")
        self._active = [call for call in self._active if call.open or call.begun is None]
        for call in self._active:
            if call.open and call.gave < max(1_000, self.window // 2):
                await call.give(max(1_000, self.window - call.gave))

    async def until(self, done: Callable[[], bool]) -> bool:
        """Whether something is so within the grace, which begins anew while bytes and credit come."""
        now = anyio.current_time()
        by, end = now + self.grace, now + LONGEST * self.grace
        while not done():
            await self.give_credit()
            now, moved = anyio.current_time(), self._moved
            if now >= min(by, end):
                return False
            await self.listen(min(by, end) - now)
            if self._moved != moved:
                by = anyio.current_time() + self.grace
        return True

    def _take(self, one: RawFrame) -> None:
        self.log.lines.append(f"    <-- {one.brief}")
        if len(self.log.came) < KEPT_BYTES:
            flags = one.flags | (raw.EH if one.type == raw.HEADERS else 0)
            self.log.came += raw.frame(one.type, flags, one.stream, one.payload)
        self._moved += one.type in (raw.DATA, raw.WINDOW_UPDATE)
        match one.type:
            case raw.SETTINGS if one.flags & raw.ACK:
                self.acknowledged += 1
            case raw.SETTINGS:
                self._introduce(one.values)
            case raw.PING if one.flags & raw.ACK:
                self.pongs.append(one.payload)
            case raw.WINDOW_UPDATE:
                self._more_room(one)
            case raw.GOAWAY:
                if one.code and not (self.may_defend and one.code == CALM):
                    raise CheckError("B5", f"{one.brief}, though nothing was sent that breaks a rule")
                if one.last_id > self._last_id:
                    raise CheckError("B9", f"{one.brief} after one with id {self._last_id}")
                self.leaving, self._last_id = True, one.last_id
                self._drop(above=one.last_id)
            case _ if one.stream in self.calls:
                if one.type == raw.DATA:
                    self.gave -= len(one.payload)
                    if self.gave < 0:
                        raise CheckError("B2", f"{-self.gave} bytes more than the connection's window")
                self.calls[one.stream].take(one)
            case _:
                pass

    def _introduce(self, values: dict[int, int]) -> None:
        self._introduced = True
        self.places = values.get(raw.MAX_STREAMS, self.places)
        if (window := values.get(raw.INITIAL_WINDOW)) is not None:
            for call in self.calls.values():
                call.room += window - self.server_window
            self.server_window = window

    def _more_room(self, one: RawFrame) -> None:
        increment = int.from_bytes(one.payload, "big")
        if not one.stream:
            self.room += increment
        elif (call := self.calls.get(one.stream)) is not None:
            call.room += increment

    def rooms(self, call: BlackCall) -> str:
        return f"{call.room} left on stream {call.stream}, {self.room} on the connection"

    def _drop(self, above: int = 0) -> None:
        """The server leaves in order: calls that it has not taken are nobody's fault."""
        for stream, call in self.calls.items():
            call.done = call.done or stream > above
