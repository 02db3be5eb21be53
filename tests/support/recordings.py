"""Bytes of whole conversations, for tests that cut, break and mutate them.

A `Recording` knows which side hears it and how to bring a fresh engine to the point where it begins. Some are written
by hand with `RawPeer`, some are what our own engines say to each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from duplexcore import (
    CallReadable,
    CallStarted,
    CallWritable,
    ClientCall,
    ClientConnection,
    ConnectionEvent,
    HalfClosed,
    Message,
    ServerCall,
    ServerConnection,
    Status,
    StatusCode,
)
from duplexcore.testing import raw
from duplexcore.testing.raw import RawPeer, message

Engine = ClientConnection | ServerConnection
AnyCall = ClientCall | ServerCall


@dataclass(frozen=True)
class Recording:
    name: str
    client: bool  # which of our sides hears it
    data: bytes
    hello: bytes = b""  # what a client hears first, whole, before it can open its calls

    def prepare(self) -> tuple[Engine, list[AnyCall]]:
        """An engine that is about to hear `data`, and the calls that it has opened."""
        if not self.client:
            server = ServerConnection(now=0.0)
            server.data_to_send(0.0)
            return server, []
        engine = ClientConnection(now=0.0)
        calls: list[AnyCall] = [open_call(engine, index) for index in range(CALLS)]
        _pull(engine)
        if self.hello:
            engine.receive_data(self.hello, 0.0)
            _pull(engine)
            assert engine.open_calls == CALLS
        return engine, calls

    def __repr__(self) -> str:  # the id of a parametrised test
        return self.name


CALLS = 6


def open_call(engine: ClientConnection, index: int) -> ClientCall:
    call = engine.start_call(f"/test.Echo/Call{index}", [("x-index", str(index))], single_response=index == 4)
    call.send_message(b"%d " % index * 20)
    if index % 2:
        call.half_close()
    return call


def _pull(engine: Engine) -> bytes:
    out = b""
    while more := engine.data_to_send(0.0):
        out += more
    return out


# --- by hand ----------------------------------------------------------------------------------------------------------


def _requests() -> bytes:
    peer = RawPeer(client=True)
    out = [
        peer.hello({raw.INITIAL_WINDOW: 70_000, raw.MAX_LIST: 10_000}),
        raw.window_update(0, 100_000),
        peer.request(1, "/test.Echo/One", ("x-a", "b"), ("x-bin", "AAEC")),
        raw.data(1, message(b"first") + message(b"second")[:3]),
        peer.request(3, "/test.Echo/Two", cuts=(5, 5, 30), pad=7, prio=True),
        raw.data(1, message(b"second")[3:], pad=4),
        raw.ping(),
        raw.data(3, b"", pad=0),
        raw.data(3, message(b""), end=True),
        peer.request(5, "/test.Echo/Empty", end=True),
        peer.headers(7, [*raw.request_fields(), ("Bad", "name")]),
        raw.frame(0x42, 0xFF, 9, b"unknown"),
        peer.headers(9, raw.request_fields("/test.Echo/Length", ("content-length", "10"))),
        raw.data(9, message(b"12345")),
        raw.data(9, b"", end=True),
        peer.request(11, "/test.Echo/Reset"),
        raw.data(11, message(bytes(20_000))[:16_000]),
        raw.rst(11),
        raw.data(7, b"late"),
        peer.request(13, "/test.Echo/Fault"),
        raw.data(13, message(b"good") + b"\x07bad!"),
        peer.headers(13, [("x-late", "trailer")], end=True),
        raw.priority(1, 3),
        raw.settings({raw.INITIAL_WINDOW: 10, raw.TABLE_SIZE: 100}),
        raw.settings_ack(),
        peer.headers(15, [(":method", "GET"), *raw.request_fields()[1:]]),
        raw.window_update(3, 100),
        raw.data(1, message(b"third"), end=True),
        raw.goaway(0, 0, b"leaving"),
        raw.ping(ack=True),
    ]
    return b"".join(out)


def _answers() -> tuple[bytes, bytes]:
    peer = RawPeer(client=False)
    hello = peer.hello({raw.MAX_STREAMS: 100})
    out = [
        peer.headers(1, [(":status", "103"), ("link", "x")]),
        peer.headers(1, raw.response_fields(("x-initial", "1"), ("x-bin", "AAEC,AA")), cuts=(3, 20), pad=9),
        raw.data(1, message(b"one") + message(b"") + message(b"cut")[:2]),
        peer.trailers_only(3, 5, ("grpc-message", "not%20found"), ("x-trailing", "t")),
        raw.ping(b"abcdefgh"),
        raw.data(1, message(b"cut")[2:], pad=255),
        peer.response(5),
        raw.data(5, message(bytes(3_000))),
        raw.rst(5, 11),
        raw.settings({raw.INITIAL_WINDOW: 100_000, raw.MAX_FRAME: 20_000}),
        raw.data(5, b"late"),
        peer.trailers(5, 0),
        peer.response(7),
        raw.data(7, message(b"x"), end=True),
        peer.response(9),
        raw.data(9, message(b"the only one")),
        raw.goaway(9, 0, b"max_age"),
        peer.trailers(1, 0, ("x-end", "of 1")),
        raw.rst(1, 0),
        raw.frame(0x20, 1, 1, b"?"),
        peer.trailers(9, 0),
        raw.window_update(0, 5),
    ]
    return hello, b"".join(out)


def _faults(client: bool) -> list[tuple[str, bytes]]:
    """Connection errors with bytes behind them."""
    bad = {
        "bad ping": raw.frame(raw.PING, 0, 0, b"short"),
        "oversized": raw.frame(raw.DATA, 0, 1, length=2**20),
        "bad hpack": raw.frame(raw.HEADERS, raw.EH, 1, b"\x80"),
        "inside a block": raw.frame(raw.HEADERS, 0, 1, b"\x88") + raw.ping(),
        "settings": raw.settings({raw.INITIAL_WINDOW: 2**31}),
    }
    return [(name, frames + raw.ping() * 3 + bytes(50)) for name, frames in bad.items()]


# --- by our engines ---------------------------------------------------------------------------------------------------


def _between_engines() -> tuple[bytes, bytes, bytes]:
    """What a client said; what the server said first; and then."""
    client, server = ClientConnection(now=0.0), ServerConnection(now=0.0)
    for index in range(CALLS):
        open_call(client, index)
    said = _pull(client)
    hello = _pull(server)
    client.receive_data(hello, 0.0)
    said += _pull(client)
    server.receive_data(said, 0.0)
    answered = b""
    for index, call in enumerate(event.call for event in drain(server) if isinstance(event, CallStarted)):
        call.send_initial_metadata([("x-answer", str(index))])
        answered += _pull(server)
        while (got := call.take_message()) is not None:
            call.send_message(got * 3)
        if index == 3:
            call.send_message(bytes(70_000))
        if index != 2:
            call.finish(Status(StatusCode(index), "as told"), [("x-end", "e")])
        answered += _pull(server)
    server.shutdown()
    answered += _pull(server)
    server.receive_data(raw.ping(b"draining", ack=True), 0.0)
    return said, hello, answered + _pull(server)


@functools.cache
def recordings() -> tuple[Recording, ...]:
    hello, answers = _answers()
    said, engine_hello, answered = _between_engines()
    found = [
        Recording("requests by hand", client=False, data=_requests()),
        Recording("answers by hand", client=True, data=answers, hello=hello),
        Recording("our client", client=False, data=said),
        Recording("our server", client=True, data=answered, hello=engine_hello),
        Recording("a handshake", client=True, data=hello + raw.ping() + raw.settings({raw.MAX_STREAMS: 2})),
        Recording("a server that is not", client=True, data=b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n"),
        Recording("a client that is not", client=False, data=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ]
    for name, frames in _faults(client=True):
        found.append(Recording(f"answers, then {name}", client=True, data=answers[:300] + frames, hello=hello))
    for name, frames in _faults(client=False):
        opened = RawPeer(client=True)
        start = opened.hello() + opened.request(1) + raw.data(1, message(b"whole"))
        found.append(Recording(f"a request, then {name}", client=False, data=start + frames))
    return tuple(found)


# --- what came of it --------------------------------------------------------------------------------------------------


def drain(engine: Engine) -> list[ConnectionEvent]:
    found = []
    while (event := engine.next_event()) is not None:
        found.append(event)
    return found


def note(events: list[ConnectionEvent], calls: list[AnyCall]) -> list[object]:
    """Events as values that can be compared between two engines; calls that are announced join ``calls``."""
    noted: list[object] = []
    for event in events:
        if isinstance(event, CallStarted):
            calls.append(event.call)
        if isinstance(event, CallStarted | CallReadable | CallWritable):
            noted.append((type(event).__name__, calls.index(event.call)))
        else:
            noted.append(event)
    return noted


def said_to(calls: list[AnyCall]) -> list[list[object]]:
    """What every call's queue holds, read empty."""
    found = []
    for call in calls:
        events: list[object] = []
        while (event := call.next_event()) is not None:
            events.append(event)
        found.append(events)
    return found


def busy(engine: Engine, calls: list[AnyCall], choose: Callable[[int], int] = lambda bound: 0) -> list[list[object]]:
    """An application that answers what it hears: servers echo and finish, clients send on. What each call heard."""
    note(drain(engine), calls)
    heard: list[list[object]] = []
    for call in calls:
        events: list[object] = []
        while (event := call.next_event()) is not None:
            events.append(event)
            if isinstance(event, Message) and call.writable and choose(4) == 0:
                call.send_message(event.payload)
            if isinstance(event, HalfClosed) and isinstance(call, ServerCall) and call.ended is None:
                call.finish(Status(StatusCode(choose(17))))
        heard.append(events)
    return heard


def chunks_of(data: bytes, cuts: Any) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]
