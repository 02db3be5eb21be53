"""One engine on the bench, opposite a `RawPeer`: no sockets, and a clock that only tests move."""

from __future__ import annotations

from math import inf
from typing import Any

from duplexcore import (
    CallEnded,
    CallEvent,
    CallStarted,
    ClientCall,
    ClientConfig,
    ClientConnection,
    ConnectionClosed,
    ConnectionEvent,
    ServerCall,
    ServerConfig,
    ServerConnection,
)
from duplexcore.testing import raw
from duplexcore.testing.raw import RawFrame, RawPeer

CHAT = "/test.Echo/Chat"


def patient(**settings: Any) -> ServerConfig:
    """A server without the timers that run from the start, and with no opinion about PINGs."""
    return ServerConfig(keepalive_time=inf, unused_timeout=inf, max_ping_strikes=0, **settings)


class _Bench:
    engine: ClientConnection | ServerConnection

    def __init__(self, peer: RawPeer) -> None:
        self.peer = peer
        self.now = 0.0
        #: Every event of the connection so far, in order.
        self.events: list[ConnectionEvent] = []

    def pull(self, max_bytes: int = 64 * 1024) -> list[RawFrame]:
        """All that the engine has to write, as frames."""
        frames = []
        while out := self.engine.data_to_send(self.now, max_bytes):
            frames += self.peer.read(out)
        assert not self.peer.inside_frame, "the engine stopped inside a frame"
        return frames

    def briefs(self) -> list[str]:
        return [frame.brief for frame in self.pull()]

    def give(self, *chunks: bytes) -> None:
        """Bytes of the peer; nothing is pulled."""
        for chunk in chunks:
            self.engine.receive_data(chunk, self.now)

    def feed(self, *chunks: bytes) -> list[str]:
        """Bytes of the peer, and what the engine writes then."""
        self.give(b"".join(chunks))
        return self.briefs()

    def drain(self) -> list[ConnectionEvent]:
        """The events since the last time."""
        fresh = []
        while (event := self.engine.next_event()) is not None:
            fresh.append(event)
        self.events += fresh
        return fresh

    def closed(self) -> ConnectionClosed | None:
        """How the connection ended, if it did."""
        self.drain()
        found = [event for event in self.events if isinstance(event, ConnectionClosed)]
        assert len(found) <= 1
        assert bool(found) is self.engine.is_closed
        return found[0] if found else None


class ClientBench(_Bench):
    """Our client, and a server by hand."""

    engine: ClientConnection

    def __init__(
        self, config: ClientConfig | None = None, *, settings: dict[int, int] | None = None, greet: bool = True
    ) -> None:
        super().__init__(RawPeer(client=False))
        self.engine = ClientConnection(config, now=self.now)
        #: The frames of the engine's handshake.
        self.hello = self.pull()
        if greet:
            self.give(self.peer.hello(settings or {}))
            self.hello += self.pull()
            self.drain()

    def call(
        self, stream: int | None = None, path: str = CHAT, *messages: bytes, half_close: bool = False
    ) -> ClientCall:
        """A call whose headers, messages and half-close are on the wire, as far as the windows let them.

        ``stream``: only there so that tests of both sides can say the same.
        """
        call = self.engine.start_call(path)
        for one in messages:
            assert call.send_message(one)
        if half_close:
            call.half_close()
        self.pull()
        return call


class ServerBench(_Bench):
    """Our server, and a client by hand."""

    engine: ServerConnection

    def __init__(
        self,
        config: ServerConfig | None = None,
        *,
        settings: dict[int, int] | None = None,
        greet: bool = True,
        jitter: float = 0.0,
    ) -> None:
        super().__init__(RawPeer(client=True))
        self.engine = ServerConnection(config or patient(), now=self.now, jitter=jitter)
        self.hello = self.pull()
        if greet:
            self.give(self.peer.hello(settings or {}))
            self.hello += self.pull()
            self.drain()

    def calls(self) -> list[ServerCall]:
        """The calls that were announced since the last time."""
        return [event.call for event in self.drain() if isinstance(event, CallStarted)]

    def call(self, stream: int = 1, path: str = CHAT, *messages: bytes, end: bool = False) -> ServerCall:
        """A call that the peer has opened, and that was announced."""
        out = self.peer.request(stream, path, end=end and not messages)
        for index, one in enumerate(messages, 1):
            out += raw.data(stream, raw.message(one), end=end and index == len(messages))
        self.give(out)
        (call,) = self.calls()
        return call


Bench = ClientBench | ServerBench


def heard(call: ClientCall | ServerCall) -> list[CallEvent]:
    """Everything that the call's queue holds."""
    found = []
    while (event := call.next_event()) is not None:
        found.append(event)
    return found


def outcome(call: ClientCall | ServerCall) -> CallEnded:
    assert call.ended is not None, "the call has not ended"
    return call.ended
