"""Legal calls, in drawn order and number, for a gRPC server of which nothing is known but a method: and what must hold.

One run is one connection: `converse` draws scripts and their order from a chooser, plays them with raw frames, and
raises `CheckError` at the first thing that no server which keeps the rules could do. Nothing that is sent breaks a
rule, so no server has a reason to end the connection. Time is real here, and what the server's tasks do in it is not
chosen: the same choices may go well the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import anyio

from duplexcore.status import StatusCode
from duplexcore.testing import raw
from duplexcore.testing.link import RawLink
from duplexcore.testing.model import SERVER, Data, DataReader, Headers, Impossible, PossibleStates, Reset, Trailers
from duplexcore.testing.probe.model import Target
from duplexcore.testing.probe.talk import Talk, connect
from duplexcore.testing.raw import RawFrame
from duplexcore.testing.sim.choosing import Chooser
from duplexcore.testing.sim.steps import Actor, StepKind

__all__ = ["CHECKS", "CheckError", "Limits", "Log", "converse", "plain_call"]

CHECKS: Final = {
    "B1": "A call that is half-closed, or whose time is over, ends, within the grace.",
    "B2": "DATA never exceeds the credit that the server was given, on the stream and on the connection.",
    "B3": "SETTINGS and PING are acknowledged, PING with its payload.",
    "B4": "What comes on a call is what some server that keeps the rules could send.",
    "B5": "The connection stays, and after all calls a plain one is answered as it was at first.",
    "B6": "Credit comes back: after all calls, cancelled ones too, a message as large as the window is taken.",
    "B7": "Calls that have ended leave their places: none is refused below SETTINGS_MAX_CONCURRENT_STREAMS.",
}

DEFAULT_WINDOW = 65_535
#: Windows that we may open our streams with.
WINDOWS = (DEFAULT_WINDOW, 1_000, 5, 0)
#: How calls may be limited in time: none, or as ``grpc-timeout`` says, in seconds.
TIMEOUTS: Final = ((None, ""), (0.2, "200m"), (0.02, "20m"))
#: Cancelled calls in a row, how many; and how much of a message that is never whole each has sent.
STORMS = (0, 12)
STORM_BYTES = 8_000
#: The longest message of a call that fills the window.
LARGEST = 256 * 1024
#: As long as bytes come, a wait may take that many times the grace.
LONGEST = 10
#: Lines at the beginning and at the end of a log that are shown.
SHOWN = 40
#: How often a run may listen while nothing else is done.
PATIENCE = 3
#: Seconds that a listening step waits for what comes.
GLIMPSE = 0.002
MAX_STREAM = 2**31 - 1


class CheckError(AssertionError):
    """The server did what it must not. ``number``: of `CHECKS`."""

    def __init__(self, number: str, what: str) -> None:
        super().__init__(f"{number}: {what}")
        self.number = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run contains, at most. ``messages``: of a call to a duplex method."""

    calls: int = 4
    messages: int = 3


@dataclass(slots=True)
class Log:
    """What went over the connection, a line each: ``-->`` from here, ``<--`` from the server."""

    lines: list[str] = field(default_factory=list)
    calls: int = 0

    def __str__(self) -> str:
        left_out = len(self.lines) - 2 * SHOWN
        if left_out <= 0:
            return "\n".join(self.lines) + "\n"
        return "\n".join([*self.lines[:SHOWN], f"    ({left_out} more)", *self.lines[-SHOWN:]]) + "\n"


async def converse(target: Target, chooser: Chooser, limits: Limits, log: Log, usual: str) -> None:
    """One run. ``usual``: what `plain_call` has said. Raises `CheckError`; OSError when nobody answers."""
    link = await connect(target)
    link.credit = False
    try:
        talk = Conversation(link, target, chooser, log)
        await talk.hello(WINDOWS[chooser.choose(len(WINDOWS), "window", WINDOWS)])
        count = 1 + (chooser.choose(limits.calls, "calls", range(1, limits.calls + 1)) if limits.calls > 1 else 0)
        calls = [draw_call(talk, chooser, limits) for _ in range(count)]
        storm = STORMS[chooser.choose(len(STORMS), "cancelled calls", STORMS)]
        await talk.play(calls)
        for what in (partial(talk.storm, storm), talk.ping, talk.fill, partial(talk.canary, usual)):
            if talk.leaving:
                break
            await what()
    finally:
        log.lines.extend([f"    the server has gone: {link.ended}"] if link.ended else [])
        await link.aclose()


async def plain_call(target: Target) -> str:
    """What one plain call is answered with, like "OK" or "UNIMPLEMENTED". Raises OSError when it is not answered."""
    log = Log()
    link = await connect(target)
    link.credit = False
    try:
        talk = Conversation(link, target, _Dull(), log)
        await talk.hello(DEFAULT_WINDOW)
        return await talk.plain()
    except CheckError as error:
        raise ConnectionError(f"a plain call is not answered: {error}") from error
    finally:
        await link.aclose()


# --- a call -----------------------------------------------------------------------------------------------------------


class BlackCall:
    """One call, from the client's side: what it will send, what came, what the server may be doing."""

    def __init__(self, talk: Conversation, index: int, pieces: list[bytes], timeout: tuple[float | None, str]) -> None:
        self.talk = talk
        self.index = index
        self.stream = 0  # until it starts
        self.pieces = pieces
        self.timeout, self.timeout_text = timeout
        self.begun: float | None = None
        self.half_closed = self.cancelled = self.done = False
        self.gave = talk.window  # credit that is left for the server on this stream
        self.room = 0  # and for us, from its start on
        self.states = PossibleStates(SERVER, single=talk.target.kind == "unary")
        self.said, self.heard = DataReader(), DataReader()
        self.answer = ""

    @property
    def open(self) -> bool:
        return self.begun is not None and not (self.done or self.cancelled)

    async def start(self) -> None:
        self.begun = anyio.current_time()
        self.stream = self.talk.opened(self)
        self.room = self.talk.server_window
        extra = [("grpc-timeout", self.timeout_text)] if self.timeout_text else []
        self.states.sent(Headers(bool(self.timeout_text), end=False))
        note = f" (grpc-timeout: {self.timeout_text})" if self.timeout_text else ""
        await self.talk.send(self.talk.script.request(*extra, stream=self.stream), f"HEADERS {self.stream}{note}")
        self.talk.log.calls += 1

    async def say(self, payload: bytes, *, end: bool = False) -> None:
        """One DATA frame; there is room for it."""
        self.room -= len(payload)
        self.talk.room -= len(payload)
        self.half_closed = self.half_closed or end
        self.states.sent(self.said.read(payload, end=end))
        await self.talk.send(
            raw.data(self.stream, payload, end=end), f"DATA {self.stream} {len(payload)}{' ES' if end else ''}"
        )

    def has_room(self, size: int) -> bool:
        return min(self.room, self.talk.room) >= size

    def can_say(self, size: int) -> bool:
        """Whether there is no reason to wait: there is room, or the call is over."""
        return self.has_room(size) or not self.open

    async def cancel(self) -> None:
        self.cancelled = True
        self.states.sent(Reset(8))
        await self.talk.send(raw.rst(self.stream, 8), f"RST {self.stream} CANCEL")

    async def give(self, size: int) -> None:
        self.gave += size
        await self.talk.send(raw.window_update(self.stream, size), f"WINDOW_UPDATE {self.stream} {size}")

    def take(self, one: RawFrame) -> None:
        """A frame of this call has come. Raises `CheckError`."""
        seen = self._seen(one)
        if seen is None:
            return
        try:
            self.states.observed(seen)
        except Impossible as error:
            raise CheckError("B4", f"stream {self.stream}: {one.brief}: {error}") from error
        if isinstance(seen, Trailers | Reset):
            self.done = True
            self.answer = self.answer or (
                f"RST_STREAM {raw.code_name(seen.code)}"
                if isinstance(seen, Reset)
                else "no status"
                if seen.code is None
                else seen.code.name
            )

    def _seen(self, one: RawFrame) -> Headers | Data | Trailers | Reset | None:
        match one.type:
            case raw.DATA:
                self.gave -= len(one.payload)
                if self.gave < 0 and one.payload:
                    raise CheckError("B2", f"stream {self.stream}: {-self.gave} bytes more than the window")
                return self.heard.read(_unpadded(one), end=one.end)
            case raw.RST:
                if one.code == 7 and self.talk.live() < self.talk.places:
                    text = f"stream {self.stream} is refused with {self.talk.live()} of {self.talk.places} calls open"
                    raise CheckError("B7", text)
                return Reset(one.code)
            case raw.HEADERS if (one.field(b":status") or b"200").startswith(b"1"):
                return None
            case raw.HEADERS if one.end:
                return Trailers(_status(one.field(b"grpc-status")))
            case raw.HEADERS:
                return Headers()
            case _:
                return None


def draw_call(talk: Conversation, chooser: Chooser, limits: Limits) -> list[Act]:
    """A call by choice, as its actors; the one of all zeros is a plain one."""
    counts = (1,) if talk.target.kind == "unary" else (1, *(n for n in range(limits.messages + 1) if n != 1))
    count = counts[chooser.choose(len(counts), "requests", counts)] if len(counts) > 1 else 1
    pieces: list[bytes] = []
    cuts = ("whole", "in the prefix", "after the prefix")
    for _ in range(count):
        message = raw.message(talk.target.message)
        cut = (0, 3, 5)[chooser.choose(len(cuts), "message", cuts)]
        pieces += [message[:cut], message[cut:]] if cut else [message]
    timeout = TIMEOUTS[chooser.choose(len(TIMEOUTS), "timeout", [text or "none" for _, text in TIMEOUTS])]
    endings = ("half-close", "cancel", "either")
    ending = chooser.choose(len(endings), "ending", endings)
    call = talk.new_call(pieces, timeout)
    actors: list[Act] = [Says(call, ending != 1)]
    if ending:
        actors.append(Quits(call, must=ending == 1))
    return actors


class Act(Actor):
    """What the policies weigh; `do` is the step, here one that waits."""

    async def do(self) -> None:
        """Takes its step."""
        raise NotImplementedError


class Says(Act):
    """Starts its call, sends its pieces, half-closes."""

    def __init__(self, call: BlackCall, half_closes: bool) -> None:
        super().__init__(f"call {call.index} says", StepKind.APP)
        self.call = call
        self._left = list(call.pieces)
        self._half_closes = half_closes

    def ready(self) -> bool:
        call = self.call
        if call.begun is None:
            return call.talk.live() < call.talk.places
        if not call.open or call.half_closed:
            return False
        return call.has_room(len(self._left[0])) if self._left else self._half_closes

    @property
    def remaining(self) -> int:
        return len(self._left) + 1

    async def do(self) -> None:
        call = self.call
        if call.begun is None:
            await call.start()
        elif self._left:
            await call.say(self._left.pop(0))
        else:
            await call.say(b"", end=True)


class Quits(Act):
    """Cancels its call, at any moment."""

    def __init__(self, call: BlackCall, *, must: bool) -> None:
        super().__init__(f"call {call.index} cancels", StepKind.END)
        self.call, self.must = call, must

    def ready(self) -> bool:
        return self.call.open

    async def do(self) -> None:
        await self.call.cancel()


class Listens(Act):
    """Reads what has come, and gives credit; a few times, then somebody has to say something again."""

    def __init__(self, talk: Conversation) -> None:
        super().__init__("listens", StepKind.WIRE)
        self._talk = talk
        self.left = PATIENCE

    def ready(self) -> bool:
        return self.left > 0

    async def do(self) -> None:
        self.left -= 1
        await self._talk.listen(GLIMPSE)
        await self._talk.give_credit()


# --- the connection ---------------------------------------------------------------------------------------------------


class Conversation:
    """The client's side of the connection: its windows, its calls, what was read."""

    def __init__(self, link: RawLink, target: Target, chooser: Chooser, log: Log) -> None:
        self.link, self.target, self.log = link, target, log
        self.script = Talk(link, target)  # writes request headers
        self._chooser = chooser
        self.window = DEFAULT_WINDOW
        self.server_window = self.room = DEFAULT_WINDOW
        self.gave = DEFAULT_WINDOW  # what the server may send on the connection
        self.places = 100
        self.calls: dict[int, BlackCall] = {}
        self._introduced = self._acknowledged = False
        #: Whether it has said GOAWAY, with NO_ERROR.
        self.leaving = False
        self._pongs: list[bytes] = []
        self._count = 0
        self._moved = 0  # frames of DATA and of credit that have come

    def live(self) -> int:
        return sum(call.open for call in self.calls.values())

    def new_call(self, pieces: list[bytes], timeout: tuple[float | None, str] = (None, "")) -> BlackCall:
        self._count += 1
        return BlackCall(self, self._count, pieces, timeout)

    def opened(self, call: BlackCall) -> int:
        """The stream of a call that starts: ids only grow."""
        stream = 2 * len(self.calls) + 1
        self.calls[stream] = call
        return stream

    async def send(self, data: bytes, told: str) -> None:
        self.log.lines.append(f"--> {told}")
        await self.link.send(data)

    async def hello(self, window: int) -> None:
        self.window = window
        await self.send(raw.PREFACE + raw.settings({raw.INITIAL_WINDOW: window}), f"SETTINGS INITIAL_WINDOW {window}")
        if not await self._until(lambda: self._introduced and self._acknowledged):
            raise CheckError("B3", "SETTINGS are not acknowledged" if self._introduced else "no SETTINGS have come")

    async def play(self, calls: Sequence[list[Act]]) -> None:
        """All the calls, in drawn order; then time to end for those that are open."""
        actors = [actor for one in calls for actor in one]
        listens = Listens(self)
        while (ready := [actor for actor in actors if actor.ready()]) and not self.leaving:
            if listens.ready():
                ready.append(listens)
            acts = ready[self._chooser.choose(len(ready), "step", ready) if len(ready) > 1 else 0]
            await acts.do()
            if acts is not listens:
                listens.left = PATIENCE
        for actor in actors:
            if isinstance(actor, Quits) and actor.must and actor.ready():
                await actor.do()
        await self._finish([actor for actor in actors if isinstance(actor, Says)])

    async def _finish(self, actors: list[Says]) -> None:
        by = anyio.current_time() + self.target.timeout
        by += max((actor.call.timeout or 0.0 for actor in actors), default=0.0)
        while open_calls := [actor.call for actor in actors if actor.call.open]:
            for actor in actors:
                while actor.ready():
                    await actor.do()
            await self.give_credit()
            if anyio.current_time() > by:
                streams = ", ".join(str(call.stream) for call in open_calls)
                raise CheckError("B1", f"open after {self.target.timeout:g} s and their time: streams {streams}")
            await self.listen(by - anyio.current_time() + 0.01)

    async def storm(self, count: int) -> None:
        """Calls that send a part of a message, and are cancelled."""
        for _ in range(count):
            call = self.new_call([])
            await call.start()
            part = raw.message(bytes(STORM_BYTES - 5), length=STORM_BYTES)
            if not await self._until(partial(call.can_say, len(part))):
                raise CheckError("B6", f"no credit for {len(part)} bytes: {self._rooms(call)}")
            if call.open:
                await call.say(part)
                await call.cancel()

    async def ping(self) -> None:
        payload = b"fuzz" + len(self.log.lines).to_bytes(4, "big")
        await self.send(raw.ping(payload), "PING")
        if not await self._until(lambda: payload in self._pongs):
            raise CheckError("B3", f"PING {payload!r} is not acknowledged, but {self._pongs}")

    async def fill(self) -> None:
        """A message as large as the window that streams begin with."""
        call = self.new_call([])
        await call.start()
        size = min(self.server_window, LARGEST)
        whole = raw.message(bytes(max(0, size - 5)))
        at = 0
        while at < len(whole):
            if not await self._until(partial(call.can_say, 1)):
                raise CheckError("B6", f"no credit after {at} of {len(whole)} bytes: {self._rooms(call)}")
            if not call.open:
                return
            piece = whole[at : at + min(call.room, self.room, 16_384)]
            at += len(piece)
            await call.say(piece, end=at == len(whole))
        if not await self._until(lambda: not call.open):
            raise CheckError("B6", f"a call with a message of {len(whole)} bytes is not answered")

    async def canary(self, usual: str) -> None:
        came = await self.plain()
        if came != usual:
            raise CheckError("B5", f"a plain call is answered with {came}, it was {usual}")

    async def plain(self) -> str:
        call = self.new_call([])
        await call.start()
        if not await self._until(partial(call.can_say, len(self.target.message) + 5)):
            raise CheckError("B6", f"no credit for a plain call: {self._rooms(call)}")
        if call.open:
            await call.say(raw.message(self.target.message), end=True)
        if not await self._until(lambda: not call.open):
            raise CheckError("B5", f"a plain call is not answered within {self.target.timeout:g} s")
        return call.answer

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
        for call in self.calls.values():
            if call.open and call.gave < max(1_000, self.window // 2):
                await call.give(max(1_000, self.window - call.gave))

    async def _until(self, done: Callable[[], bool]) -> bool:
        """Whether something is so within the grace, which begins anew while bytes and credit come."""
        now = anyio.current_time()
        by, end = now + self.target.timeout, now + LONGEST * self.target.timeout
        while not done():
            await self.give_credit()
            now, moved = anyio.current_time(), self._moved
            if now >= min(by, end):
                return False
            await self.listen(min(by, end) - now)
            if self._moved != moved:
                by = anyio.current_time() + self.target.timeout
        return True

    def _take(self, one: RawFrame) -> None:
        self.log.lines.append(f"    <-- {one.brief}")
        self._moved += one.type in (raw.DATA, raw.WINDOW_UPDATE)
        match one.type:
            case raw.SETTINGS if one.flags & raw.ACK:
                self._acknowledged = True
            case raw.SETTINGS:
                self._introduce(one.values)
            case raw.PING if one.flags & raw.ACK:
                self._pongs.append(one.payload)
            case raw.WINDOW_UPDATE:
                self._more_room(one)
            case raw.GOAWAY:
                if one.code:
                    raise CheckError("B5", f"{one.brief}, though nothing was sent that breaks a rule")
                self.leaving = True
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

    def _rooms(self, call: BlackCall) -> str:
        return f"{call.room} left on stream {call.stream}, {self.room} on the connection"

    def _drop(self, above: int = 0) -> None:
        """The server leaves in order: calls that it has not taken are nobody's fault."""
        for stream, call in self.calls.items():
            call.done = call.done or stream > above


class _Dull:
    """Always the first option."""

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        return 0


def _unpadded(one: RawFrame) -> bytes:
    return one.payload[1 : len(one.payload) - one.payload[0]] if one.flags & raw.PADDED else one.payload


def _status(value: bytes | None) -> StatusCode | None:
    if value is None:
        return None
    try:
        return StatusCode(int(value))
    except ValueError:
        return StatusCode.UNKNOWN
