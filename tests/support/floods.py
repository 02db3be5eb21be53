"""Floods of every kind against one engine, and what memory they take: for the tests, and for docs/limits.md."""

from __future__ import annotations

import gc
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from duplexcore import (
    AbuseLimits,
    CallStarted,
    ClientConfig,
    ClientConnection,
    ConnectionClosed,
    ServerConfig,
    ServerConnection,
)
from duplexcore.testing import raw
from duplexcore.testing.raw import RawPeer, message

from .bench import patient

KIB = 1024
#: What any connection may take besides: the chunk that is being read, an event for each of its frames, h2's records of
#: streams that are over.
SLACK = 512 * KIB
#: What a call takes besides its bytes: its two halves, its lane, h2's stream with its windows.
CALL = 12 * KIB
#: Python's own share of a header field, whose 32 bytes of overhead are counted already, and of a list of bytes.
FIELD_FACTOR = 8
CHUNK = 16 * KIB
#: Python's own share of the bytes that a window lets in: spare room of its buffers.
WINDOW_FACTOR = 1.25

Config = ServerConfig | ClientConfig


@dataclass(frozen=True)
class Flood:
    """``chunks``: what the peer sends, endless; ``reads``: whether it reads the answers; ``answer``: what the
    application does about a call, None: its handler holds it and never returns; ``most``: the bytes that the
    configuration allows, ``formula`` the same in words."""

    rules: tuple[str, ...]
    chunks: Callable[[RawPeer], Iterator[bytes]]
    most: Callable[[Config], float]
    formula: str
    config: Config
    reads: bool = True
    answer: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Outcome:
    """``frames`` that were sent until the engine had enough (or the count was reached), the most memory, the limit."""

    frames: int
    most: int
    limit: str


def measure(flood: Flood, frames: int) -> Outcome:
    """Floods a fresh engine with so many items; bytes that it holds, looked at after each chunk."""
    client = isinstance(flood.config, ServerConfig)  # what the peer is
    peer = RawPeer(client=client)
    engine: Any = ServerConnection(flood.config, now=0.0) if client else ClientConnection(flood.config, now=0.0)  # type: ignore[arg-type]
    engine.data_to_send(0.0)
    engine.receive_data(peer.hello(), 0.0)
    if not client:
        for _ in range(10):
            engine.start_call("/a/b").half_close()
    held: list[Any] = []
    step(engine, flood, held)
    gc.collect()
    frozen = gc.get_freeze_count()
    gc.freeze()  # what a whole run of tests has left need not be looked at after each chunk
    tracemalloc.start()
    sent, most, ended = 0, 0, ""
    try:
        before = tracemalloc.get_traced_memory()[0]
        for chunk, size in chunked(islice(flood.chunks(peer), frames)):
            engine.receive_data(chunk, 0.0)
            ended = step(engine, flood, held)
            sent += size
            del chunk
            gc.collect()
            most = max(most, tracemalloc.get_traced_memory()[0] - before)
            if engine.is_closed or not engine.wants_read:
                break
    finally:
        tracemalloc.stop()
        if not frozen:
            gc.unfreeze()
    return Outcome(sent, most, ended or ("" if engine.wants_read else "stops reading"))


def step(engine: Any, flood: Flood, held: list[Any]) -> str:
    """What a driver and its handlers do between two reads; the limit that has ended the connection, if one has."""
    ended = ""
    while (event := engine.next_event()) is not None:
        if isinstance(event, CallStarted):
            if flood.answer is None:
                held.append(event.call)
            else:
                flood.answer(event.call)
        elif isinstance(event, ConnectionClosed) and event.limit is not None:
            ended = event.limit.value
    if flood.reads:
        while engine.data_to_send(0.0):
            pass
    return ended


def chunked(items: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
    """Reads of a transport, with the number of items in each."""
    waiting, count = bytearray(), 0
    for item in items:
        waiting += item
        count += 1
        if len(waiting) >= CHUNK:
            yield bytes(waiting), count
            waiting, count = bytearray(), 0
    if waiting:
        yield bytes(waiting), count


# --- what an application does -----------------------------------------------------------------------------------------


def finishes(call: Any) -> None:
    if not call._finished:
        call.finish()


def answers_much(call: Any) -> None:
    while call.writable:
        call.send_message(bytes(16 * KIB))


# --- what a peer sends ------------------------------------------------------------------------------------------------


def again(*items: bytes) -> Callable[[RawPeer], Iterator[bytes]]:
    def chunks(peer: RawPeer) -> Iterator[bytes]:
        while True:
            yield from items

    return chunks


def calls(*after: Callable[[RawPeer, int], bytes], extra: tuple[tuple[str, str], ...] = ()) -> Any:
    """A request on each stream, and what follows it there."""

    def chunks(peer: RawPeer) -> Iterator[bytes]:
        fields = [*raw.request_fields(), *extra]
        yield peer.headers(1, fields)
        block = peer.block(fields)  # all of it from the table, so it can be said again as it is
        for stream in range(3, 2**31, 2):
            yield raw.frame(raw.HEADERS, raw.EH, stream, block)
            for one in after:
                yield one(peer, stream)

    return chunks


def on_one_call(first: bytes, *rest: bytes, request: tuple[tuple[str, str], ...] = ()) -> Any:
    def chunks(peer: RawPeer) -> Iterator[bytes]:
        yield peer.request(1, "/a/b", *request)
        if first:
            yield first
        yield from again(*rest)(peer)

    return chunks


def on_many_calls(*rest: Callable[[int], bytes], count: int = 1_000) -> Any:
    def chunks(peer: RawPeer) -> Iterator[bytes]:
        for stream in range(1, 2 * count, 2):
            yield peer.request(stream)
        while True:
            for stream in range(1, 2 * count, 2):
                yield from (one(stream) for one in rest)

    return chunks


def header_block(peer: RawPeer) -> Iterator[bytes]:
    yield raw.frame(raw.HEADERS, 0, 1, bytes(8_000))
    while True:
        yield raw.frame(raw.CONTINUATION, 0, 1, bytes(4_000))


def bombs(peer: RawPeer) -> Iterator[bytes]:
    """One large field goes into the table, then each byte of a block stands for it."""
    large = peer.block([("x", "y" * 3_900)])
    for stream in range(1, 2**31, 2):
        prefix = large if stream == 1 else b""
        yield raw.frame(
            raw.HEADERS, raw.EH | raw.ES, stream, prefix + peer.block(raw.request_fields()) + b"\xbe" * 8_000
        )


def many_fields() -> tuple[tuple[str, str], ...]:
    """As many tiny fields as the soft limit allows."""
    return tuple((f"x{at % 10}", "") for at in range(210))


def unpacking(size: int) -> bytes:
    return message(zlib.compress(bytes(size), 9), flag=1)


def interim(peer: RawPeer) -> Iterator[bytes]:
    while True:
        yield peer.headers(1, [(":status", "103")])


def closed_streams(peer: RawPeer) -> Iterator[bytes]:
    for stream in (1, 3):
        yield peer.request(stream, end=True) + raw.rst(stream)
    while True:
        yield raw.rst(1) + raw.window_update(3, 5) + peer.headers(1, [("late", "1")], end=True)


SERVER, CLIENT = patient(), ClientConfig()
FEW = patient(max_concurrent_calls=50)
NARROW = patient(
    max_concurrent_calls=20,
    stream_window=65_535,
    max_receive_message_size=200 * KIB,
    abuse=AbuseLimits(unread_bytes=500 * KIB),
)


def running(config: Config) -> float:
    assert isinstance(config, ServerConfig)
    return config.max_concurrent_calls * CALL


def windows(config: Config) -> float:
    """What lies unread within the windows, and of each call one frame of which something was taken."""
    assert isinstance(config, ServerConfig)
    call = WINDOW_FACTOR * config.stream_window + config.max_frame_size
    return running(config) + config.max_concurrent_calls * call


FLOODS: dict[str, Flood] = {
    "rapid reset, handlers at once done": Flood(
        ("SEC-2",),
        calls(lambda peer, stream: raw.rst(stream)),
        lambda config: 0,
        "nothing is kept",
        SERVER,
        answer=finishes,
    ),
    "rapid reset, handlers that run on": Flood(
        ("SEC-1", "SEC-2"),
        calls(lambda peer, stream: raw.rst(stream)),
        running,
        "max_concurrent_calls × CALL",
        FEW,
    ),
    "requests, handlers that run on": Flood(("SEC-1", "CONN-8"), calls(), running, "max_concurrent_calls × CALL", FEW),
    "made you reset": Flood(
        ("SEC-3",),
        calls(lambda peer, stream: raw.window_update(stream, 0)),
        lambda config: 0,
        "nothing is kept",
        SERVER,
        answer=finishes,
    ),
    "PING, acks never read": Flood(
        ("SEC-4",),
        again(raw.ping()),
        lambda config: config.abuse.control_frames_close * 64,
        "control_frames_close × 64",
        SERVER,
        reads=False,
    ),
    "PING to a client": Flood(
        ("SEC-4",),
        again(raw.ping()),
        lambda config: config.abuse.control_frames_close * 64,
        "control_frames_close × 64",
        CLIENT,
        reads=False,
    ),
    "refused requests, answers never read": Flood(
        ("SEC-4", "CONN-8"),
        calls(extra=(("grpc-timeout", "soon"),)),
        lambda config: config.abuse.control_frames_close * CALL,
        "control_frames_close × CALL",
        patient(abuse=AbuseLimits(control_frames_stop_reading=500, control_frames_close=1_000)),
        reads=False,
    ),
    "SETTINGS": Flood(
        ("SEC-8",), again(raw.settings({raw.INITIAL_WINDOW: 70_000})), lambda config: 0, "nothing is kept", SERVER
    ),
    "PRIORITY": Flood(("SEC-8",), again(raw.priority(1)), lambda config: 0, "nothing is kept", SERVER),
    "frames of unknown types": Flood(
        ("CONN-5",), again(raw.frame(99, 0, 1, bytes(100))), lambda config: 0, "nothing is kept", SERVER
    ),
    "frames of streams that are over": Flood(
        ("DUP-37",), closed_streams, lambda config: 0, "nothing is kept", SERVER, answer=finishes
    ),
    "empty DATA": Flood(("SEC-7",), on_many_calls(raw.data, count=50), running, "max_concurrent_calls × CALL", FEW),
    "WINDOW_UPDATE": Flood(("SEC-7",), on_one_call(b"", raw.window_update(0, 1)), lambda config: CALL, "CALL", SERVER),
    "CONTINUATION": Flood(
        ("SEC-5",),
        header_block,
        lambda config: config.abuse.header_block_ratio * config.hard_header_list_size,
        "header_block_ratio × hard_header_list_size",
        SERVER,
    ),
    "HPACK bombs": Flood(
        ("SEC-6",),
        bombs,
        lambda config: FIELD_FACTOR * config.hard_header_list_size + config.header_table_size,
        "8 × hard_header_list_size + header_table_size",
        SERVER,
    ),
    "header lists that calls keep": Flood(
        ("SEC-1", "MD-10"),
        calls(extra=many_fields()),
        lambda config: running(config) + FIELD_FACTOR * 50 * config.max_header_list_size,
        "max_concurrent_calls × (CALL + 8 × max_header_list_size)",
        FEW,
    ),
    "messages that nobody reads": Flood(
        ("SEC-11",),
        on_many_calls(lambda stream: raw.data(stream, message(bytes(10_000))), count=20),
        windows,
        "max_concurrent_calls × (CALL + 1¼ × stream_window + max_frame_size)",
        NARROW,
    ),
    "tiny messages that nobody reads": Flood(
        ("SEC-11",),
        on_many_calls(lambda stream: raw.data(stream, message(b"ab") * 1_000), count=20),
        windows,
        "max_concurrent_calls × (CALL + 1¼ × stream_window + max_frame_size)",
        NARROW,
    ),
    "messages that unpack to much": Flood(
        ("SEC-9", "SEC-11"),
        on_one_call(b"", raw.data(1, unpacking(200_000)), request=(("grpc-encoding", "deflate"),)),
        lambda config: windows(config) + 2 * config.abuse.unread_bytes + config.max_receive_message_size,
        "the same + 2 × unread_bytes + max_receive_message_size",
        NARROW,
    ),
    "a message in tiny pieces": Flood(
        ("SEC-10", "SEC-11"),
        on_one_call(raw.data(1, message(length=4_000_000)), raw.data(1, b"x")),
        lambda config: CALL + 2 * config.stream_window,
        "CALL + 2 × stream_window",
        SERVER,
    ),
    "answers that are never read": Flood(
        ("SEC-10", "FLOW-10"),
        on_many_calls(lambda stream: raw.window_update(stream, 1), count=50),
        lambda config: running(config) + 50 * (config.send_buffer + 2 * 16 * KIB),
        "max_concurrent_calls × (CALL + send_buffer + 2 messages)",
        FEW,
        reads=False,
        answer=answers_much,
    ),
    "interim responses": Flood(("SEC-7", "MAL-5"), interim, lambda config: 0, "nothing is kept", CLIENT),
}
