"""One call of a black box: what it will send, what has come, and the actors that play it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import anyio

from duplexcore.status import StatusCode
from duplexcore.testing import raw
from duplexcore.testing.model import SERVER, Data, DataReader, Headers, Impossible, PossibleStates, Reset, Trailers
from duplexcore.testing.raw import RawFrame
from duplexcore.testing.sim.choosing import Chooser
from duplexcore.testing.sim.steps import Actor, StepKind

from .checks import Callee, CheckError, Limits

if TYPE_CHECKING:
    from .conversation import Conversation

__all__ = ["Act", "BlackCall", "Listens", "Quits", "Says", "draw_call"]

#: How calls may be limited in time: none, or as ``grpc-timeout`` says, in seconds.
TIMEOUTS: Final = ((None, ""), (0.2, "200m"), (0.02, "20m"))
#: How often a run may listen while nothing else is done.
PATIENCE = 3
#: Seconds that a listening step waits for what comes.
GLIMPSE = 0.002
#: The longest DATA frame that every server takes.
LONGEST_FRAME = 16_384


class BlackCall:
    """One call, from the client's side: what it will send, what came, what the server may be doing."""

    def __init__(
        self,
        talk: Conversation,
        index: int,
        callee: Callee,
        pieces: list[bytes],
        timeout: tuple[float | None, str] = (None, ""),
    ) -> None:
        self.talk = talk
        self.index = index
        self.callee = callee
        self.stream = 0  # until it starts
        self.pieces = pieces
        self.timeout, self.timeout_text = timeout
        self.begun: float | None = None
        self.half_closed = self.cancelled = self.done = False
        self.was_reset = False  # by the server
        self.gave = talk.window  # credit that is left for the server on this stream
        self.room = 0  # and for us, from its start on
        self.states = PossibleStates(SERVER, single=not callee.many_requests)
        self.said, self.heard = DataReader(), DataReader()
        self.responses = 0
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
        headers = self.talk.script.request(*extra, stream=self.stream, path=self.callee.path)
        await self.talk.send(headers, f"HEADERS {self.stream} {self.callee.path}{note}")
        self.talk.log.calls += 1

    async def say(self, payload: bytes, *, end: bool = False) -> None:
        """One DATA frame; there is room for it, and it is not too long."""
        self.room -= len(payload)
        self.talk.room -= len(payload)
        self.half_closed = self.half_closed or end
        self.states.sent(self.said.read(payload, end=end))
        await self.talk.send(
            raw.data(self.stream, payload, end=end), f"DATA {self.stream} {len(payload)}{' ES' if end else ''}"
        )

    @property
    def fits(self) -> int:
        """How many bytes a DATA frame may hold now."""
        return min(self.room, self.talk.room, LONGEST_FRAME)

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
            wrong = CheckError("B4", f"stream {self.stream}: {one.brief}: {error}")
            if self.done and isinstance(seen, Reset):
                self.talk.defer(wrong)
                return
            raise wrong from error
        if isinstance(seen, Data):
            self.responses += seen.whole
        if self.callee.one_response:
            self._count(ok=isinstance(seen, Trailers) and seen.code is StatusCode.OK)
        if isinstance(seen, Trailers | Reset):
            self.done = True
            self.was_reset = self.was_reset or isinstance(seen, Reset)
            self.answer = self.answer or (
                f"RST_STREAM {raw.code_name(seen.code)}"
                if isinstance(seen, Reset)
                else "no status"
                if seen.code is None
                else seen.code.name
            )

    def _count(self, *, ok: bool) -> None:
        if self.responses > 1 or (ok and not self.responses):
            how = "OK without a message" if ok else f"{self.responses} messages"
            raise CheckError("B8", f"stream {self.stream}: {how}, and {self.callee.path} has one response")

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
    callees = talk.server.callees
    callee = callees[_chosen(chooser, "method", [one.path for one in callees])]
    counts = [1, *(n for n in range(limits.messages + 1) if n != 1)] if callee.many_requests else [1]
    pieces: list[bytes] = []
    cuts = ("whole", "in the prefix", "after the prefix")
    for _ in range(counts[_chosen(chooser, "requests", counts)]):
        message = raw.message(callee.draw(chooser))
        cut = (0, 3, 5)[chooser.choose(len(cuts), "message", cuts)]
        pieces += [message[:cut], message[cut:]] if cut else [message]
    timeout = TIMEOUTS[chooser.choose(len(TIMEOUTS), "timeout", [text or "none" for _, text in TIMEOUTS])]
    endings = ("half-close", "cancel", "either")
    ending = chooser.choose(len(endings), "ending", endings)
    call = BlackCall(talk, talk.numbered(), callee, pieces, timeout)
    must = ending == 1 or not callee.usual  # what never ends by itself is cancelled
    actors: list[Act] = [Says(call, ending != 1)]
    if ending or must:
        actors.append(Quits(call, must=must))
    return actors


def _chosen(chooser: Chooser, kind: str, options: Sequence[object]) -> int:
    return chooser.choose(len(options), kind, options) if len(options) > 1 else 0


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
        return call.has_room(min(len(self._left[0]), 1)) if self._left else self._half_closes

    @property
    def remaining(self) -> int:
        return len(self._left) + 1

    async def do(self) -> None:
        call = self.call
        if call.begun is None:
            await call.start()
        elif self._left:
            piece = self._left.pop(0)
            fits = call.fits
            if piece[fits:]:
                self._left.insert(0, piece[fits:])
            await call.say(piece[:fits])
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


def _unpadded(one: RawFrame) -> bytes:
    return one.payload[1 : len(one.payload) - one.payload[0]] if one.flags & raw.PADDED else one.payload


def _status(value: bytes | None) -> StatusCode | None:
    if value is None:
        return None
    try:
        return StatusCode(int(value))
    except ValueError:
        return StatusCode.UNKNOWN
