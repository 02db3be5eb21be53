"""Calls without a connection: one on a lane that only takes notes, or a client's joined to a server's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from duplexcore import (
    CallEnded,
    CallEvent,
    ClientCall,
    ClientConfig,
    ErrorCode,
    HalfClosed,
    InitialMetadata,
    Limit,
    Message,
    Origin,
    ServerCall,
    ServerConfig,
    Status,
)
from duplexcore.call.framing import MessageDecoder, Run, Unpacked
from duplexcore.call.in_process import Direction, InProcessLink
from duplexcore.call.lane import Block, Lane
from duplexcore.metadata import Field, MetadataLike, encode_metadata

CHAT = "/test.Echo/Chat"


class Owner:
    """Both a client's and a server's: notes what it is told."""

    def __init__(self, *, room: bool = True) -> None:
        self._full = None if room else Limit.MAX_CONCURRENT_CALLS
        self.notes: list[str] = []
        self.timeout: float | None = None

    def _call_readable(self, call: Any) -> None:
        self.notes.append("readable")

    def _call_writable(self, call: Any) -> None:
        self.notes.append("writable")

    def _deadline_over(self, call: Any) -> None:
        self.notes.append("deadline over")

    def _call_started(self, call: ServerCall, timeout: float | None) -> None:
        self.notes.append("started")
        self.timeout = timeout

    def _call_refused(self, call: ServerCall, status: Status, limit: Limit | None) -> None:
        self.notes.append("refused")

    def _te_missing(self) -> None:
        self.notes.append("te missing")

    def _call_released(self, call: ServerCall) -> None:
        self.notes.append("released")


class NotingLane:
    """A lane that carries nothing and notes what it is asked."""

    def __init__(self, header_limit: int = 2**32) -> None:
        self.header_limit = header_limit
        self.wanted = 0
        self.consumed_bytes = 0
        self.aborts: list[ErrorCode] = []

    def wants_write(self) -> None:
        self.wanted += 1

    def consumed(self, size: int) -> None:
        self.consumed_bytes += size

    def advance(self, size: int) -> None:
        self.consumed_bytes += size

    def settle(self, size: int) -> int:
        return 0

    def kept(self, change: int) -> None: ...

    def abort(self, code: ErrorCode) -> None:
        self.aborts.append(code)


def client_call(
    lane: Lane,
    owner: Owner | None = None,
    config: ClientConfig | None = None,
    *,
    metadata: MetadataLike = (),
    deadline: float | None = None,
    authority: str = "test",
    subtype: str = "",
    single_response: bool = False,
) -> ClientCall:
    """A client's call as `ClientConnection.start_call` makes it."""
    return ClientCall(
        CHAT,
        lane,
        owner or Owner(),
        config or ClientConfig(),
        custom=encode_metadata(metadata),
        authority=authority,
        deadline=deadline,
        subtype=subtype,
        single_response=single_response,
    )


def server_call(lane: Lane, owner: Owner | None = None, config: ServerConfig | None = None) -> ServerCall:
    return ServerCall(lane, owner or Owner(), config or ServerConfig())


class Joined:
    """A client call and a server call on an in-process link."""

    def __init__(
        self,
        *,
        window: int = 65_535,
        client_config: ClientConfig | None = None,
        server_config: ServerConfig | None = None,
        **options: Any,
    ) -> None:
        self.link = InProcessLink(window=window)
        self.client_owner, self.server_owner = Owner(), Owner()
        self.client = client_call(self.link.client, self.client_owner, client_config, **options)
        self.server = server_call(self.link.server, self.server_owner, server_config)
        self.link.client.call, self.link.server.call = self.client, self.server

    def run(self, now: float = 0.0) -> Joined:
        self.link.run(now)
        return self

    def aborts(self, direction: Direction) -> list[ErrorCode]:
        """The resets under way."""
        return [item for item in self.link.lanes[direction].carried if isinstance(item, ErrorCode)]


def decoded(decoder: MessageDecoder, data: bytes) -> list[bytes | Unpacked]:
    """The messages that ``data`` completes, each by itself."""
    found: list[bytes | Unpacked] = []
    for item in decoder.feed(data):
        found += [item.take()[0] for _ in range(item.count)] if isinstance(item, Run) else [item]
    return found


def block(*fields: tuple[bytes | str, bytes | str]) -> Block:
    return Block.of([(_raw(name), _raw(value)) for name, value in fields])


def _raw(text: bytes | str) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


REQUEST: list[Field] = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", CHAT.encode()),
    (b":authority", b"test"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]


def altered(fields: list[Field], **changes: str | bytes | None) -> list[Field]:
    """The same fields with some values changed, left out (None) or added; ``_`` stands for "-", ``p_`` for ":"."""
    new = {_name(key): None if value is None else _raw(value) for key, value in changes.items()}
    out = [(key, new.pop(key, value)) for key, value in fields]
    return [(key, value) for key, value in (*out, *new.items()) if value is not None]


def _name(key: str) -> bytes:
    return (":" + key[2:] if key.startswith("p_") else key.replace("_", "-")).encode()


def brief(event: CallEvent) -> str:
    """``headers``, the message itself, ``half-closed``, or the code of the status."""
    match event:
        case InitialMetadata():
            return "headers"
        case Message(payload):
            return payload.decode("latin-1") or "''"
        case HalfClosed():
            return "half-closed"
        case CallEnded(status):
            return status.code.name


def history(call: ClientCall | ServerCall) -> str:
    """All that the call's queue holds, in words; that it keeps to the grammar of its side is checked on the way."""
    events = []
    while (event := call.next_event()) is not None:
        events.append(event)
    check_grammar(call, events)
    return " ".join(map(brief, events))


def check_grammar(call: ClientCall | ServerCall, events: Iterable[CallEvent]) -> None:
    """``InitialMetadata? Message* CallEnded`` or ``Message* HalfClosed? CallEnded`` (P3, P5)."""
    order = [InitialMetadata, Message, CallEnded] if isinstance(call, ClientCall) else [Message, HalfClosed, CallEnded]
    ranks = [order.index(type(event)) for event in events]
    assert ranks == sorted(ranks), events
    assert all(ranks.count(order.index(once)) <= 1 for once in order if once is not Message), events


def ended(call: ClientCall | ServerCall) -> CallEnded:
    assert call.ended is not None, "the call has not ended"
    return call.ended


def code(call: ClientCall | ServerCall) -> str:
    return ended(call).status.code.name


def origin(call: ClientCall | ServerCall) -> Origin:
    return ended(call).origin
