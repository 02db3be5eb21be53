"""What a client may never do, whatever the server does: seen from the frames of both, one at a time."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from duplexcore.testing import raw
from duplexcore.testing.raw import Field, RawFrame

from .verdict import Check
from .windows import Windows

MAX_FRAME = 16_384
_TIMEOUT = re.compile(rb"[0-9]{1,8}[HMSmun]")
_PATH = re.compile(rb"/[^/]+/[^/]+")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
#: Breaches that are told; a client that breaks one rule a thousand times is told of the first ones.
TOLD = 10


@dataclass(slots=True)
class Stream:
    """What has been said on one, by either side."""

    client_ended: bool = False
    client_reset: bool = False
    server_ended: bool = False
    server_reset: bool = False

    @property
    def is_open(self) -> bool:
        return not (self.client_reset or self.server_reset or (self.client_ended and self.server_ended))


class Judge:
    """`said` hears the server's bytes, `heard` the client's frames; `checks` is what came of it."""

    def __init__(self, *, credited: bool = True) -> None:
        #: Whether all DATA of the client is credited as it is read.
        self.credited = credited
        self.streams: dict[int, Stream] = {}
        self.granted = Windows()  # by the client, for the server's DATA
        self.given = Windows()  # by the server, for the client's
        self.max_streams: int | None = None
        self.most_open = 0
        #: What the client advertises.
        self.client_settings: dict[int, int] = {}
        self.pings: list[bytes] = []  # not acknowledged yet
        self.pinged = 0
        self.unacked: deque[dict[int, int]] = deque()
        self.goaways: list[RawFrame] = []  # the client's
        self._breaches: list[Check] = []
        self._greeted = False

    # --- the server's side --------------------------------------------------------------------------------------------

    def said(self, data: bytes) -> None:
        """Bytes of whole frames that leave now; what is malformed on purpose counts for nothing."""
        at = 0
        while len(data) - at >= 9:
            size, stream = int.from_bytes(data[at : at + 3], "big"), int.from_bytes(data[at + 5 : at + 9], "big")
            frame = RawFrame(data[at + 3], data[at + 4], stream, data[at + 9 : at + 9 + size])
            at += 9 + size
            self._said(frame)

    def _said(self, frame: RawFrame) -> None:
        match frame.type:
            case raw.DATA:
                self.granted.spend(frame.stream, len(frame.payload))
            case raw.SETTINGS if not frame.flags & raw.ACK and not len(frame.payload) % 6 and not frame.stream:
                self.unacked.append(frame.values)
            case raw.PING if not frame.flags & raw.ACK and len(frame.payload) == 8 and not frame.stream:
                self.pings.append(frame.payload)
                self.pinged += 1
            case raw.WINDOW_UPDATE if len(frame.payload) == 4:
                self.given.credit(frame.stream, int.from_bytes(frame.payload, "big"))
            case raw.RST if frame.stream in self.streams:
                self.streams[frame.stream].server_reset = True
            case _:
                pass
        if frame.end and frame.stream in self.streams:
            self.streams[frame.stream].server_ended = True

    # --- the client's side --------------------------------------------------------------------------------------------

    def heard(self, frame: RawFrame) -> None:
        if not self._greeted:
            self._greeted = True
            self._rule("CONN-2", frame.type == raw.SETTINGS, "SETTINGS come first", frame.brief)
        if frame.type != raw.HEADERS:  # those are as long as their block
            self._rule("FLOW-12", len(frame.payload) <= MAX_FRAME, "no frame is above 16,384 bytes", frame.brief)
        match frame.type:
            case raw.SETTINGS if frame.flags & raw.ACK:
                self._acknowledged()
            case raw.SETTINGS:
                self.client_settings |= frame.values
                if (initial := frame.values.get(raw.INITIAL_WINDOW)) is not None:
                    self.granted.resize(initial)
            case raw.PING if frame.flags & raw.ACK:
                known = frame.payload in self.pings
                self._rule("KEEP-1", known, "an ACK repeats the PING's 8 bytes", frame.payload.hex())
                if known:
                    self.pings.remove(frame.payload)
            case raw.WINDOW_UPDATE:
                size = int.from_bytes(frame.payload, "big")
                self._rule("FLOW-9", size > 0, "credit is above 0", frame.brief)
                self.granted.credit(frame.stream, size)
            case raw.GOAWAY:
                self.goaways.append(frame)
            case raw.HEADERS:
                self._headers(frame)
            case raw.DATA:
                self._data(frame)
            case raw.RST:
                known = frame.stream in self.streams
                self._rule("DUP-9", known, "no RST_STREAM on a stream that was never opened", frame.brief)
                if known:
                    self.streams[frame.stream].client_reset = True
            case _:
                pass
        if frame.end and frame.stream in self.streams:
            self.streams[frame.stream].client_ended = True

    def _acknowledged(self) -> None:
        self._rule("CONN-4", bool(self.unacked), "one ACK for each SETTINGS", "an ACK more")
        values = self.unacked.popleft() if self.unacked else {}
        self.max_streams = values.get(raw.MAX_STREAMS, self.max_streams)
        if (initial := values.get(raw.INITIAL_WINDOW)) is not None:
            self.given.resize(initial)

    def _headers(self, frame: RawFrame) -> None:
        if (stream := self.streams.get(frame.stream)) is not None:
            fine = not stream.client_ended and not stream.client_reset
            self._rule("CANC-5", fine, "nothing on a stream that it has ended", frame.brief)
            return
        fine = frame.stream % 2 == 1 and frame.stream > max(self.streams, default=0)
        self._rule("CONN-11", fine, "stream ids are odd and grow", frame.brief)
        self.streams[frame.stream] = Stream()
        self.given.credit(frame.stream, 0)  # the window counts from now, through all SETTINGS
        self.granted.credit(frame.stream, 0)
        now_open = sum(stream.is_open for stream in self.streams.values())
        self.most_open = max(self.most_open, now_open)
        if self.max_streams is not None:
            fine = now_open <= self.max_streams
            self._rule("CONN-6", fine, f"never more than {self.max_streams} streams open", f"{now_open} were open")
        for rule, fine, what, came in _judge_request(frame.fields or ()):
            self._rule(rule, fine, what, came)

    def _data(self, frame: RawFrame) -> None:
        stream = self.streams.get(frame.stream)
        if stream is None:
            self._rule("MAL-8", False, "no DATA on a stream that was never opened", frame.brief)
            return
        self._rule("DUP-17", not stream.client_ended, "no DATA after END_STREAM", frame.brief)
        self._rule("CANC-5", not stream.client_reset, "no DATA after RST_STREAM", frame.brief)
        size = len(frame.payload)
        fine = size <= max(0, self.given.room(frame.stream))
        came = f"{frame.brief} with a window of {self.given.room(frame.stream)}"
        self._rule("FLOW-7", fine, "no DATA beyond the windows", came)
        self.given.spend(frame.stream, size)
        if self.credited:
            self.given.credit(0, size)
            self.given.credit(frame.stream, size)

    def _rule(self, rule: str, fine: bool, what: str, came: str) -> None:
        if not fine and len(self._breaches) < TOLD:
            self._breaches.append(Check(rule, what, False, came))

    # --- at the end ---------------------------------------------------------------------------------------------------

    def forgive(self) -> None:
        """The connection is over: nothing needs an ACK any more."""
        self.unacked.clear()
        self.pings.clear()

    def checks(self, fault: str) -> list[Check]:
        """What has come of it; ``fault``: why the client's bytes could not be read, or ""."""
        missing = len(self.unacked)
        found = [
            Check("CONN-4", "acknowledges each SETTINGS", not missing, f"{missing} without ACK"),
            Check("MAL-2", "sends what can be decoded", not fault, fault),
        ]
        if self.pinged:
            open_pings = len(self.pings)
            found.append(Check("KEEP-1", "acknowledges each PING", not open_pings, f"{open_pings} without ACK"))
        return found + self._breaches


def _judge_request(fields: tuple[Field, ...]) -> list[tuple[str, bool, str, str]]:
    values = dict(reversed(fields))
    names = [name for name, _ in fields]
    regular = [name for name in names if not name.startswith(b":")]
    timeout, kind = values.get(b"grpc-timeout"), values.get(b"content-type", b"")
    legal = all(map(_NAME.fullmatch, regular))
    return [
        ("HDR-2", values.get(b":method") == b"POST", ":method is POST", _shown(values, b":method")),
        ("HDR-3", values.get(b":scheme") in (b"http", b"https"), ":scheme is http or https",
            _shown(values, b":scheme")),
        ("HDR-4", bool(_PATH.fullmatch(values.get(b":path", b""))), ":path is /service/method",
            _shown(values, b":path")),
        ("HDR-5", bool(values.get(b":authority")), ":authority is sent", "none"),
        ("HDR-7", values.get(b"te") == b"trailers", "te: trailers is sent", _shown(values, b"te")),
        ("HDR-8", kind.startswith(b"application/grpc"), "content-type is application/grpc",
            _shown(values, b"content-type")),
        ("HDR-1", names[len(names) - len(regular) :] == regular, "pseudo-headers come first",
            b", ".join(names).decode()),
        ("MAL-1", legal, "field names are legal and in lower case", repr(regular)),
        ("DEAD-1", timeout is None or bool(_TIMEOUT.fullmatch(timeout)), "grpc-timeout is 1 to 8 digits and a unit",
            repr(timeout)),
    ]  # fmt: skip


def _shown(values: dict[bytes, bytes], name: bytes) -> str:
    return repr(values[name]) if name in values else "none"
