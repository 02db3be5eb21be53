"""One connection to the server: what a script sends, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import anyio

from duplexcore.testing import raw
from duplexcore.testing.link import RawLink, dial
from duplexcore.testing.raw import AnyField, RawFrame

from .answers import ANSWERED, Came, Kind
from .model import Target

#: How many of the server's frames a result shows.
SHOWN = 16


class Talk:
    """A script's side of the connection. Calls are on stream 1 unless it says otherwise."""

    def __init__(self, link: RawLink, target: Target) -> None:
        self.link, self.target = link, target
        self.peer = link.peer
        self.settings: dict[int, int] = {}  # the server's
        self.acknowledged = False  # our SETTINGS
        self._introduced = False
        self.window = 65_535  # of the connection, as the server has raised it; sends are not counted
        self.pongs: list[bytes] = []
        self._http: dict[int, int | None] = {}
        self._ends: dict[int, Came] = {}
        self._gone: Came | None = None
        self._leaving = False
        self._highest = 0
        self._pings = 0

    # --- sending ------------------------------------------------------------------------------------------------------

    async def send(self, *parts: bytes) -> None:
        """All at once; that the server is gone shows in what came."""
        await self.link.send(b"".join(parts))

    async def hello(self, settings: raw.Settings = ()) -> None:
        await self.send(raw.PREFACE, raw.settings(settings))

    def fields(
        self,
        *extra: AnyField,
        without: Iterable[str] = (),
        first: Iterable[AnyField] = (),
        path: str | None = None,
        **changed: str,
    ) -> list[AnyField]:
        """Of a good request, changed: ``without`` some, ``extra`` ones at the end, others ``first``; keywords replace
        the value of a pseudo-header (``method="GET"``)."""
        target = self.target
        tls = target.tls is not None
        host = "localhost" if target.host.startswith("unix:") else str(target)
        values = {
            ":method": "POST",
            ":scheme": "https" if tls else "http",
            ":path": target.path if path is None else path,
            ":authority": target.authority or host,
            "te": "trailers",
            "content-type": "application/grpc",
        }
        values.update({f":{name}": value for name, value in changed.items()})
        given = ((name, value) for name, value in values.items() if name not in set(without))
        return [*first, *given, *target.metadata, *extra]

    def request(self, *extra: AnyField, stream: int = 1, end: bool = False, path: str | None = None) -> bytes:
        """HEADERS of a good call, with ``extra`` fields."""
        return self.headers(self.fields(*extra, path=path), stream=stream, end=end)

    def headers(self, fields: Iterable[AnyField], *, stream: int = 1, end: bool = False, **more: object) -> bytes:
        self._highest = max(self._highest, stream)
        return self.peer.headers(stream, fields, end=end, **more)  # type: ignore[arg-type]

    def headers_of(self, block: bytes, *, stream: int = 1) -> bytes:
        """HEADERS with a block that is written by hand."""
        self._highest = max(self._highest, stream)
        return raw.frame(raw.HEADERS, raw.EH, stream, block)

    def message(self, stream: int = 1, *, end: bool = True) -> bytes:
        """DATA with the message that the method answers."""
        return raw.data(stream, raw.message(self.target.message), end=end)

    def call(self, *extra: AnyField, stream: int = 1, path: str | None = None) -> bytes:
        """A whole call, good but for ``extra``."""
        return self.request(*extra, stream=stream, path=path) + self.message(stream)

    # --- what came ----------------------------------------------------------------------------------------------------

    async def outcome(self, stream: int = 1) -> Came:
        """How the stream ended, or the connection; what followed up to a PING's answer is counted in, so that a status
        before a connection error is one."""
        return (await self.outcomes([stream]))[0]

    async def outcomes(self, streams: Iterable[int]) -> list[Came]:
        """How each of the streams ended, or the connection, with one PING for all: servers count those."""
        left = list(streams)
        await self._until(lambda: all(stream in self._ends for stream in left) or self._gone is not None)
        alive = await self.fence()
        return [self._gone or self._ends.get(one) or Came(Kind.OPEN if alive else Kind.SILENCE) for one in left]

    async def fate(self, *, fence: bool = True) -> Came:
        """Whether the connection ends. ``fence``: a PING that is answered, and then nothing for a while, means that it
        does not; without, the whole timeout is waited."""
        alive = await self.fence() if fence else False
        patience = self.target.timeout / 20 if alive else self.target.timeout
        await self._until(lambda: self._gone is not None, patience)
        return self._gone or Came(Kind.OPEN if alive or await self.fence() else Kind.SILENCE)

    async def good(self, *extra: AnyField) -> Came:
        """Another call, a good one, on the same connection."""
        stream = max(1, self._highest + 2 | 1)
        await self.send(self.call(*extra, stream=stream))
        return await self.outcome(stream)

    async def responding(self, stream: int = 1) -> bool:
        """Waits until the response begins, or the stream is reset: whether it does."""
        await self._until(lambda: stream in self._http or stream in self._ends or self._gone is not None)
        return stream in self._http or stream in self._ends

    async def elsewhere(self) -> str | None:
        """A good call on another connection: None when it is answered, otherwise what came."""
        return await good_call(self.target)

    async def fence(self) -> bool:
        """Whether a PING is answered: then everything before it has been read."""
        if self._gone is not None:
            return False
        self._pings += 1
        payload = b"fence" + self._pings.to_bytes(3, "big")
        await self.send(raw.ping(payload))
        await self._until(lambda: payload in self.pongs or self._gone is not None)
        return payload in self.pongs and self._gone is None

    async def server_settings(self) -> dict[int, int]:
        """The server's; empty also when none have come."""
        await self._until(lambda: self._introduced or self._gone is not None)
        return self.settings

    async def acknowledgement(self) -> bool:
        """Whether the server has acknowledged our SETTINGS."""
        await self._until(lambda: self.acknowledged or self._gone is not None)
        return self.acknowledged

    async def credit(self, above: int) -> bool:
        """Whether the connection's window, without what was sent, gets above that many bytes."""
        await self._until(lambda: self.window > above or self._gone is not None)
        return self.window > above

    async def closed(self) -> bool:
        """Whether the server closes the connection."""
        await self._until(lambda: self.link.ended is not None)
        return self.link.ended is not None

    async def last_word(self, stream: int = 1) -> Came:
        """As `outcome`, but how the stream ended counts, also when the connection has ended after it."""
        came = await self.outcome(stream)
        return self._ends.get(stream, came)

    def is_answered(self, came: Came) -> bool:
        return ANSWERED.fits(came, self.target.normal)

    def responses(self, stream: int = 1) -> list[RawFrame]:
        """The header blocks of a response."""
        return [one for one in self.link.frames if one.type == raw.HEADERS and one.stream == stream]

    def data(self, stream: int = 1) -> int:
        """Bytes of DATA that have come."""
        return sum(len(one.payload) for one in self.link.frames if one.type == raw.DATA and one.stream == stream)

    def held(self, text: str) -> Came:
        return Came(Kind.HELD, text=text)

    def broken(self, text: str) -> Came:
        return Came(Kind.BROKEN, text=text)

    @property
    def shown(self) -> tuple[str, ...]:
        briefs = [one.brief for one in self.link.frames]
        more = len(briefs) - SHOWN
        shown = [*briefs[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
        return (*shown, *([self.link.ended] if self.link.ended else []))

    async def _until(self, done: Callable[[], bool], timeout: float | None = None) -> None:
        """Reads on until something is so, the connection has ended, or the time is over."""
        by = anyio.current_time() + (self.target.timeout if timeout is None else timeout)
        while not done():
            if (one := await self.link.frame(by - anyio.current_time())) is not None:
                self._take(one)
                continue
            if self.link.ended is not None:
                self._end()
            return

    def _take(self, one: RawFrame) -> None:
        match one.type:
            case raw.HEADERS | raw.DATA:
                self._response(one)
            case raw.RST if one.code or one.stream not in self._ends:
                self._ends[one.stream] = Came(Kind.RESET, one.code)
            case raw.SETTINGS if one.flags & raw.ACK:
                self.acknowledged = True
            case raw.SETTINGS:
                self.settings.update(one.values)
                self._introduced = True
            case raw.PING if one.flags & raw.ACK:
                self.pongs.append(one.payload)
            case raw.WINDOW_UPDATE if one.stream == 0:
                self.window += int.from_bytes(one.payload, "big")
            case raw.GOAWAY if one.code:
                self._gone = Came(Kind.GOAWAY, one.code, text=_readable(one.payload[8:]))
            case raw.GOAWAY:
                self._leaving = True
            case _:
                pass

    def _response(self, one: RawFrame) -> None:
        stream = one.stream
        if one.type == raw.HEADERS and stream not in self._http:
            self._http[stream] = _number(one.field(b":status"))
        if one.end:
            http, code = self._http.get(stream), _number(one.field(b"grpc-status"))
            text = _readable(one.field(b"grpc-message") or b"")
            self._ends.setdefault(stream, Came(Kind.RESPONSE, http=http, status=code, text=text))

    def _end(self) -> None:
        if self._gone is None and self.link.ended == "unreadable":
            self._gone = Came(Kind.UNREADABLE, text=self.link.fault)
        elif self._gone is None:
            said = "after GOAWAY NO_ERROR" if self._leaving else self.link.ended or ""
            self._gone = Came(Kind.CLOSED, text=said)


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) < 10 else None


def _readable(text: bytes) -> str:
    """Debug data and messages are not to be trusted: short, and printable."""
    shown = text[:120].decode("latin-1")
    return "".join(letter if letter.isprintable() else "·" for letter in shown)


async def connect(target: Target) -> RawLink:
    """Raises OSError, also when it takes too long."""
    link = await dial(target.host, target.port, tls=target.tls, server_name=target.server_name, timeout=target.timeout)
    link.patience = target.timeout
    return link


async def good_call(target: Target) -> str | None:
    """A good call on a new connection. None when it is answered as it should, otherwise what came instead."""
    try:
        link = await connect(target)
    except OSError as error:
        return str(error) or type(error).__name__
    try:
        talk = Talk(link, target)
        await talk.hello()
        came = await talk.good()
    finally:
        await link.aclose()
    return None if talk.is_answered(came) else str(came)
