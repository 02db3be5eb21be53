"""What a script has in its hands: one connection, the client's calls on it, and checks of what the client does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import anyio

from duplexcore.testing import raw
from duplexcore.testing.link import RawLink
from duplexcore.testing.raw import AnyField, RawFrame

from .case import SMALL, ServerCase
from .judge import Judge
from .verdict import Check, Verdict

#: Bytes that are written at once while a long body is sent.
BATCH = 65_536
#: Frames of the client that a verdict shows.
SHOWN = 200
#: No connection is held longer, whatever the client does: seconds.
LONGEST = 120.0


class Gone(Exception):
    """The client has left, or is silent for too long, where the script needs it."""


def payload_message(size: int) -> bytes:
    """A `SimpleResponse` or `StreamingOutputCallResponse` whose payload has ``size`` zero bytes, with its prefix."""
    return raw.message(payload_bytes(size))


def payload_bytes(size: int) -> bytes:
    """The same without prefix: field 1 is the payload, whose field 2 is the body."""
    body = b"\x12" + _varint(size) + bytes(size)
    return b"\x0a" + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


@dataclass(eq=False, slots=True)
class Call:
    """One call of the client, and the frames of its stream that a server may send. Those with header blocks must be
    sent in the order in which they were made: HPACK remembers."""

    stage: Stage
    stream: int
    request: RawFrame
    #: Bytes of DATA that have come, whether the client has half-closed, and the code of its RST_STREAM.
    received: int = 0
    ended: bool = False
    reset: int | None = None

    def headers(self, *extra: tuple[str, str], end: bool = False, cuts: Iterable[int] = ()) -> bytes:
        """Response-Headers."""
        return self.fields(raw.response_fields(*extra), end=end, cuts=cuts)

    def fields(self, fields: Iterable[AnyField], *, end: bool = False, cuts: Iterable[int] = ()) -> bytes:
        """HEADERS with just these fields."""
        return self.stage.link.peer.headers(self.stream, fields, end=end, cuts=tuple(cuts))

    def data(self, payload: bytes = b"", *, end: bool = False, pad: int | None = None) -> bytes:
        return raw.data(self.stream, payload, end=end, pad=pad)

    def message(self, size: int = SMALL) -> bytes:
        """A good message in one DATA frame."""
        return self.data(payload_message(size))

    def trailers(self, status: int | str = 0, *extra: tuple[str, str]) -> bytes:
        return self.fields([("grpc-status", str(status)), *extra], end=True)

    def answer(self) -> bytes:
        """A whole good answer."""
        return self.headers() + self.message() + self.trailers()

    def rst(self, code: int) -> bytes:
        return raw.rst(self.stream, code)


class Stage:
    """One connection. Frames of the client are read whenever the script waits; every wait ends after ``patience`` s."""

    def __init__(self, link: RawLink, case: ServerCase, patience: float) -> None:
        self.link = link
        self.case = case
        self.patience = self._patience = patience
        self.judge = Judge(credited=link.credit)
        self.checks: list[Check] = []
        self.calls: dict[int, Call] = {}
        #: Calls that the script has not taken yet.
        self.waiting: deque[Call] = deque()
        self._shown: list[str] = []
        self._pings = 0
        self._done = False  # the script has come to its end
        self._gone = "stopped in the middle"
        self._until = anyio.current_time() + LONGEST

    # --- saying -------------------------------------------------------------------------------------------------------

    async def send(self, *frames: bytes) -> None:
        """Frames, in one write. Whether the client still reads shows in what it does next."""
        data = b"".join(frames)
        self.judge.said(data)
        await self.link.send(data)

    async def flow(self, call: Call, data: bytes, *, chunk: int = 16_384, pad: int | None = None) -> None:
        """DATA frames of ``chunk`` bytes each, as the client's windows allow. Raises `Gone` when it stalls."""
        extra = 0 if pad is None else pad + 1
        least = extra + (chunk if chunk < 1024 else 1)
        windows, at = self.judge.granted, 0
        while at < len(data):
            if not await self.until(lambda: windows.room(call.stream) >= least or call.reset is not None):
                self.check("FLOW-1", "gives credit back for all of DATA, with padding", False, f"stalls at {at} bytes")
                raise Gone("it gives no credit")
            if call.reset is not None:
                raise Gone(f"it resets the stream: {raw.code_name(call.reset)}")
            batch, room = bytearray(), min(windows.room(call.stream), BATCH)
            while at < len(data) and room >= least:
                size = min(chunk, len(data) - at, room - extra)
                batch += raw.data(call.stream, data[at : at + size], pad=pad)
                at, room = at + size, room - size - extra
            await self.send(bytes(batch))

    async def answer(self, call: Call) -> None:
        """Answer well."""
        await self.send(call.headers())
        await self.flow(call, payload_message(self.case.response_size))
        await self.send(call.trailers())

    # --- hearing ------------------------------------------------------------------------------------------------------

    async def until(self, done: Callable[[], bool]) -> bool:
        """Reads on until ``done``; False when the client is gone or silent before."""
        by = min(anyio.current_time() + self._patience, self._until)
        while not done():
            frame = await self.link.frame(max(0.0, by - anyio.current_time()))
            if frame is None:
                if self.link.ended is None:  # who was silent once is not waited for so long again
                    self._patience = self.patience / 10
                return False
            self._hear(frame)
        return True

    def _hear(self, frame: RawFrame) -> None:
        if len(self._shown) < SHOWN:
            self._shown.append(frame.brief)
        self.judge.heard(frame)
        call = self.calls.get(frame.stream)
        if call is None and frame.type == raw.HEADERS:
            call = self.calls[frame.stream] = Call(self, frame.stream, frame)
            self.waiting.append(call)
        if call is not None:
            call.received += len(frame.payload) if frame.type == raw.DATA else 0
            call.ended = call.ended or frame.end
            if frame.type == raw.RST:
                call.reset = frame.code

    async def call(self, *, until: Literal["headers", "message", "end"] = "end") -> Call:
        """The next call, once so much of its request has come: "end" is the half-close. Raises `Gone`."""

        def there() -> bool:
            if not self.waiting:
                return False
            first = self.waiting[0]
            return first.ended or until == "headers" or (until == "message" and first.received > 0)

        if not await self.until(there):
            raise Gone("no call came" if not self.waiting else "its request did not come whole")
        return self.waiting.popleft()

    # --- judging ------------------------------------------------------------------------------------------------------

    def check(self, rule: str, what: str, passed: bool, came: str = "") -> None:
        self.checks.append(Check(rule, what, passed, "" if passed else came))

    async def survives(self, *frames: bytes, rule: str) -> None:
        """Sends the frames and a PING behind them: who acknowledges it has taken them and goes on."""
        self._pings += 1
        payload = b"alive%3d" % (self._pings % 1000)
        await self.send(*frames, raw.ping(payload))
        alive = await self.until(lambda: payload not in self.judge.pings)
        came = (
            "no ACK of the PING" if self.link.ended is None else f"the connection is {self.link.ended}{self._parting()}"
        )
        self.check(rule, "keeps the connection", alive, came)

    async def resets(self, call: Call, *codes: int, rule: str) -> None:
        """The client must reset the stream."""
        await self.until(lambda: call.reset is not None)
        wanted = " or ".join(raw.code_name(code) for code in codes)
        came = "no RST_STREAM" if call.reset is None else f"RST_STREAM({raw.code_name(call.reset)})"
        self.check(rule, f"sends RST_STREAM({wanted})", call.reset in codes, f"{came}{self._parting()}")

    async def says_goodbye(self, *codes: int, rule: str) -> None:
        """The client must end the connection, with GOAWAY."""
        await self.until(lambda: bool(self.judge.goaways))
        wanted = " or ".join(raw.code_name(code) for code in codes)
        code = self.judge.goaways[-1].code if self.judge.goaways else None
        came = "none" if code is None else raw.code_name(code)
        self.check(rule, f"sends GOAWAY({wanted})", code in codes, came)
        self.judge.forgive()
        await self.leaves(rule=rule)

    async def leaves(self, *, rule: str) -> None:
        """The client must close the connection."""
        await self.until(lambda: False)
        self.check(rule, "closes the connection", self.link.ended is not None, "it stays open")

    async def closes(self) -> None:
        """The server hangs up: what the client was sent is still delivered to it."""
        if await self.link.send_eof():
            self.link.deaf = True  # nothing can be said any more, also no ACK
        else:  # TLS has no half-close here
            await self.link.stream.aclose()
            self.link.ended = self.link.ended or "closed"
        self.judge.forgive()
        await self.leaves(rule=self.case.rules[0])

    async def calls_again(self) -> None:
        """The client must go on with another call on this connection, which is answered well. Raises `Gone`."""
        what = "makes another call on this connection"
        try:
            call = await self.call()
        except Gone as gone:
            self.check(self.case.rules[0], what, False, f"{gone}{self._parting()}")
            raise
        await self.answer(call)
        self.check(self.case.rules[0], what, True)

    def _parting(self) -> str:
        if not self.judge.goaways:
            return ""
        last = self.judge.goaways[-1]
        return f", with GOAWAY({raw.code_name(last.code)}) {last.payload[8:200].decode('latin-1')!r}"

    # --- the whole connection -----------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Runs the script, and answers what else comes."""
        try:
            if self.case.settings is not None:
                await self.send(raw.settings(self.case.settings))
            await self.case.script(self)
            self._done = True
            await self._linger()
        except Gone as gone:
            self._gone = f"{gone}{self._parting()}"
        if self.link.ended is None:
            await self.send(raw.goaway(max(self.calls, default=0)))

    def verdict(self, number: int) -> Verdict | None:
        """What has come of it; None when nobody has called, nor done anything wrong."""
        if not self._done:
            if not self.calls and not self.checks and not self.judge.goaways and self.link.ended != "unreadable":
                return None
            self.check(self.case.rules[0], "stays to the end of the case", False, self._gone)
        checks = dict.fromkeys((*self.checks, *self.judge.checks(self._fault())))  # each once
        return Verdict(self.case.name, number, tuple(checks), tuple(self._shown))

    def _fault(self) -> str:
        return self.link.fault if self.link.ended == "unreadable" else ""

    async def _linger(self) -> None:
        while True:
            try:
                await self.answer(await self.call())
            except Gone:
                return
