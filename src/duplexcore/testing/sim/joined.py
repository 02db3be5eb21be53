"""Two ends joined by the in-process lane, in the place of two connections: the same calls without HTTP/2.

Each call has an `InProcessLink`, which carries what it says. What is under way in it also stands on the simulation's
wires, as the frames that HTTP/2 would have for it: for those who watch, and so that it is the wires that say when
something arrives. The link then hands over its own item; nothing is read from the frame but whose it is.
"""

from __future__ import annotations

from collections import Counter, deque
from itertools import islice
from typing import Any

from duplexcore import ClientCall, ClientConfig, ServerCall, ServerConfig, Status
from duplexcore.call.in_process import Direction, InProcessLink
from duplexcore.call.lane import Data, Headers, Output
from duplexcore.config import Config, Limit
from duplexcore.connection import CallReadable, CallStarted, TimerKind
from duplexcore.connection.tables import ConnectionState
from duplexcore.connection.timers import Timers
from duplexcore.fingerprint import fingerprint
from duplexcore.metadata import MetadataLike, encode_metadata
from duplexcore.status import ErrorCode

from .blocks import HeaderWriter
from .wires import HEADER

__all__ = ["ClientEnd", "ServerEnd", "joined"]

DATA, HEADERS, RST = 0, 1, 3
ES, END_HEADERS = 0x1, 0x4


class Links:
    """What both ends share: a link for each call, and how many of its items are on the wire in each direction."""

    def __init__(self) -> None:
        self.by_stream: dict[int, InProcessLink] = {}
        self.under_way: dict[Direction, Counter[int]] = {direction: Counter() for direction in Direction}


class End:
    """One end: what a simulation asks of a connection. It never closes, and has no timeouts but those of calls."""

    state = ConnectionState.READY

    def __init__(self, config: Config, links: Links, toward: Direction) -> None:
        self.config = config
        self._links = links
        self._toward = toward
        self._writer = HeaderWriter()
        back = Direction.TO_CLIENT if toward is Direction.TO_SERVER else Direction.TO_SERVER
        self._back = back
        #: How many items of each call are on the wire, from here and to here.
        self._gone, self._coming = links.under_way[toward], links.under_way[back]
        #: The calls that this end knows, by the number that stands for their stream.
        self._met: dict[int, InProcessLink] = {}
        self._events: deque[Any] = deque()
        self._timers = Timers()
        #: Of a frame that has come in part.
        self._part = b""

    # --- what a driver does -------------------------------------------------------------------------------------------

    def data_to_send(self, now: float, max_bytes: int) -> bytes:
        """What the calls have to say, each in turn, as frames."""
        out = bytearray()
        moved = True
        while moved and len(out) < max_bytes:
            moved = False
            for stream, link in self._met.items():
                if len(out) < max_bytes:
                    link.pull(self._toward, now)
                    before = len(out)
                    self._set_out(stream, link, out)
                    moved = moved or len(out) > before
        return bytes(out)

    def resets_to_send(self) -> bytes:
        """What the calls have reset, as frames: the lane carries it at once, without being pulled."""
        out = bytearray()
        for stream, link in self._met.items():
            self._set_out(stream, link, out)
        return bytes(out)

    def _set_out(self, stream: int, link: InProcessLink, out: bytearray) -> None:
        """Items that the link carries and no frame stands for yet."""
        if not link.closed:
            gone, carried = self._gone[stream], link.lanes[self._toward].carried
            if gone < len(carried):
                self._gone[stream] = len(carried)
                for item in islice(carried, gone, None):
                    out += self._frame(stream, item)

    def receive_data(self, data: bytes, now: float) -> None:
        self.handle_timeout(now)
        self._part += data
        while len(self._part) >= HEADER:
            end = HEADER + int.from_bytes(self._part[:3], "big")
            if len(self._part) < end:
                break
            stream = int.from_bytes(self._part[5:9], "big")
            self._part = self._part[end:]
            self._take_over(stream)

    def _take_over(self, stream: int) -> None:
        """The next item of a call is there."""
        self._coming[stream] -= 1
        if (link := self._met.get(stream)) is None:
            link = self._met[stream] = self._meet(self._links.by_stream[stream])
        link.deliver(self._back)

    def _meet(self, link: InProcessLink) -> InProcessLink:
        """The other end has opened a call."""
        raise NotImplementedError

    def next_event(self) -> Any:
        return self._events.popleft() if self._events else None

    def next_timeout(self) -> float | None:
        following = self._timers.next()
        return following[0] if following else None

    @property
    def timeout_reason(self) -> TimerKind | None:
        following = self._timers.next()
        return following[1] if following else None

    def handle_timeout(self, now: float) -> None:
        while (due := self._timers.pop_due(now)) is not None:
            due[1].on_deadline()

    def fingerprint(self) -> bytes:
        """A digest of the calls and of what is under way."""
        return fingerprint([(stream, link.lanes) for stream, link in self._met.items()])

    # --- heard from the calls -----------------------------------------------------------------------------------------

    def _call_readable(self, call: Any) -> None:
        self._events.append(CallReadable(call))

    def _call_writable(self, call: Any) -> None:
        """Writers look for themselves."""

    def _deadline_over(self, call: Any) -> None:
        self._timers.stop(TimerKind.DEADLINE, call)

    def _limit_time(self, call: Any, deadline: float | None) -> None:
        call.deadline = deadline
        if deadline is not None:
            self._timers.start(TimerKind.DEADLINE, deadline, call)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _frame(self, stream: int, item: Output | ErrorCode) -> bytes:
        match item:
            case Headers(fields, end):
                return _frame(HEADERS, END_HEADERS | end, stream, self._writer.write(fields))
            case Data(payload, end):
                return _frame(DATA, int(end), stream, bytes(payload))
            case _:
                return _frame(RST, 0, stream, int(item).to_bytes(4, "big"))


class ClientEnd(End):
    """Opens calls."""

    config: ClientConfig

    def start_call(
        self,
        method: str,
        metadata: MetadataLike = (),
        *,
        deadline: float | None = None,
        authority: str | None = None,
        content_subtype: str = "",
        compression: str | None = None,
        single_response: bool = False,
    ) -> ClientCall:
        """As `ClientConnection.start_call`."""
        coding = compression or self.config.compression
        link = InProcessLink(window=self.config.stream_window)
        call = ClientCall(
            method,
            link.client,
            self,
            self.config,
            custom=encode_metadata(metadata),
            authority=authority or self.config.authority,
            deadline=deadline,
            subtype=content_subtype,
            compression=None if coding == "identity" else coding,
            single_response=single_response,
        )
        link.client.call = call
        stream = 2 * len(self._met) + 1
        self._links.by_stream[stream] = self._met[stream] = link
        self._limit_time(call, deadline)
        return call


class ServerEnd(End):
    """Hears of calls."""

    config: ServerConfig
    _now = 0.0
    _running = 0

    def receive_data(self, data: bytes, now: float) -> None:
        self._now = now
        super().receive_data(data, now)

    def _meet(self, link: InProcessLink) -> InProcessLink:
        link.server.call = ServerCall(link.server, self, self.config)
        return link

    @property
    def _full(self) -> Limit | None:
        return Limit.MAX_CONCURRENT_CALLS if self._running >= self.config.max_concurrent_calls else None

    def _call_refused(self, call: ServerCall, status: Status, limit: Limit | None) -> None:
        """Nobody is told."""

    def _te_missing(self) -> None:
        """Our clients send it."""

    def _call_started(self, call: ServerCall, timeout: float | None) -> None:
        self._running += 1
        self._limit_time(call, None if timeout is None else self._now + timeout)
        self._events.append(CallStarted(call))

    def _call_released(self, call: ServerCall) -> None:
        self._running -= 1


def joined(client: ClientConfig, server: ServerConfig) -> tuple[ClientEnd, ServerEnd]:
    """Two ends. The windows of the calls are those of the client's configuration, in both directions."""
    links = Links()
    return ClientEnd(client, links, Direction.TO_SERVER), ServerEnd(server, links, Direction.TO_CLIENT)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
