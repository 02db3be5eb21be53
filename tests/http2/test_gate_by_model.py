"""Which frames pass the gate, against a judge of a few lines that knows RFC 9113, 4 to 6: whatever comes, however it is
cut (MAL-3, SEC-5, SEC-10)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ServerConfig
from duplexcore.config import AbuseLimits, Limit
from duplexcore.http2.faults import ConnectionFault
from duplexcore.http2.frames import Frame
from duplexcore.http2.gate import FrameGate
from duplexcore.http2.limits import FloodGuard
from duplexcore.http2.tap import Tap
from duplexcore.status import ErrorCode
from duplexcore.testing import raw

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
#: Type -> (whether on stream 0; None: either; the lengths that are legal).
LEGAL: dict[int, tuple[bool | None, Callable[[int], bool]]] = {
    DATA: (False, lambda size: True),
    HEADERS: (False, lambda size: True),
    PRIORITY: (False, lambda size: size == 5),
    RST: (False, lambda size: size == 4),
    SETTINGS: (True, lambda size: size % 6 == 0),
    PUSH: (False, lambda size: True),
    PING: (True, lambda size: size == 8),
    GOAWAY: (True, lambda size: size >= 8),
    WINDOW_UPDATE: (None, lambda size: size == 4),
    CONTINUATION: (False, lambda size: True),
}
EITHER: tuple[bool | None, Callable[[int], bool]] = (None, lambda size: True)
Call = tuple[object, ...]
Wire = list[tuple[int, int, int, bytes]]


class Bad(Exception):
    """A rule is broken: the code, and perhaps the limit."""

    def __init__(self, code: str, limit: Limit | None = None) -> None:
        self.what = (ErrorCode[code], limit)


@dataclass
class Judge:
    """What the sink is told of the bytes that have come."""

    config: ServerConfig
    preface: bool
    calls: list[Call] = field(default_factory=list)
    counted: list[Call] = field(default_factory=list)
    seen: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    bad: tuple[ErrorCode, Limit | None] | None = None
    rest: int = 0  # where what is unfinished begins
    unfinished: bool = False
    in_block: bool = False
    greeted: bool = True

    def take(self, wire: bytes, drop_after: int) -> None:
        try:
            for call in self._frames(wire):
                self.calls.append(call)
                if len(self.calls) == drop_after:
                    self.unfinished = self.in_block = False
                    return
        except Bad as bad:
            self.bad = bad.what

    def _frames(self, wire: bytes) -> Iterator[Call]:
        at = 0
        if self.preface:
            at = min(len(wire), len(PREFACE))
            self.greeted = wire[:at] == PREFACE
            if at >= 9 and wire[:at] != PREFACE[:at]:
                raise Bad("PROTOCOL_ERROR")
            self.unfinished = 0 < at < len(PREFACE)
            if not self.greeted:
                return
        block: tuple[int, bytes, bool, int] | None = None
        first = True
        self.rest = at
        while at < len(wire):
            if block is None:
                self.rest = at
            left = wire[at:]
            self.unfinished = True
            self.in_block = block is not None or (len(left) > 3 and left[3] == HEADERS)
            if len(left) < 9:
                return
            length, type_, flags = int.from_bytes(left[:3], "big"), left[3], left[4]
            stream = int.from_bytes(left[5:9], "big") % 2**31
            if first and (type_ != SETTINGS or flags & ACK):
                raise Bad("PROTOCOL_ERROR")
            if length > self.config.max_frame_size:
                raise Bad("FRAME_SIZE_ERROR", Limit.MAX_FRAME_SIZE)
            if len(left) < 9 + length:
                return
            payload, at, first = left[9 : 9 + length], at + 9 + length, False
            self.unfinished = self.in_block = block is not None
            self.seen.append((type_, flags, stream, payload))
            if block is not None:
                block = self._continued(block, type_, flags, stream, payload)
                self.unfinished = self.in_block = block[3] >= 0
                if block[3] < 0:
                    yield "headers", block[0], block[1], block[2]
                    block = None
                continue
            on_connection, is_legal = LEGAL.get(type_, EITHER)
            if on_connection not in (None, stream == 0):
                raise Bad("PROTOCOL_ERROR")
            if not is_legal(length):
                raise Bad("FRAME_SIZE_ERROR")
            if type_ in (PUSH, CONTINUATION):
                raise Bad("PROTOCOL_ERROR")
            if type_ in (DATA, HEADERS) and flags & PADDED:
                if not payload or payload[0] >= len(payload):
                    raise Bad("PROTOCOL_ERROR")
                payload = payload[1 : -payload[0] or None]
            if type_ == DATA:
                yield "data", stream, payload, length, bool(flags & END_STREAM)
            elif type_ == HEADERS:
                if flags & WITH_PRIORITY:
                    if len(payload) < 5:
                        raise Bad("FRAME_SIZE_ERROR")
                    payload = payload[5:]
                self._check_size(payload)
                if flags & END_HEADERS:
                    yield "headers", stream, payload, bool(flags & END_STREAM)
                else:
                    block = stream, payload, bool(flags & END_STREAM), 0
                    self.unfinished = self.in_block = True
            elif type_ == PRIORITY:
                self.counted.append(("priority",))
            elif type_ == WINDOW_UPDATE:
                yield "credit", stream, int.from_bytes(payload, "big") % 2**31
            elif type_ in LEGAL:
                self._count(type_, flags, length)
                yield "frame", type_, flags, stream, payload

    def _count(self, type_: int, flags: int, length: int) -> None:
        if type_ == SETTINGS and flags & ACK and length:
            raise Bad("FRAME_SIZE_ERROR")
        if type_ in (SETTINGS, PING) and not flags & ACK:
            self.counted += [("settings", length // 6)] if type_ == SETTINGS else []
            self.counted.append(("induced",))

    def _continued(
        self, block: tuple[int, bytes, bool, int], type_: int, flags: int, stream: int, payload: bytes
    ) -> tuple[int, bytes, bool, int]:
        """The block with one frame more; -1 frames: it is whole."""
        of, fragment, end, frames = block
        if type_ != CONTINUATION or stream != of:
            raise Bad("PROTOCOL_ERROR")
        if frames + 1 > max(
            self.config.abuse.continuation_frames, int(1.25 * self.config.hard_header_list_size / 16_384)
        ):
            raise Bad("ENHANCE_YOUR_CALM", Limit.CONTINUATION_FRAMES)
        fragment += payload
        self._check_size(fragment)
        return of, fragment, end, -1 if flags & END_HEADERS else frames + 1

    def _check_size(self, fragment: bytes) -> None:
        if len(fragment) > self.config.hard_header_list_size * self.config.abuse.header_block_ratio:
            raise Bad("ENHANCE_YOUR_CALM", Limit.HEADER_BLOCK_RATIO)


class Sink:
    """What the gate tells; pieces of DATA that are one after the other on a stream are one, whoever has joined them."""

    def __init__(self, joinable: int, drop_after: int) -> None:
        self.calls: list[Call] = []
        self.gate: FrameGate | None = None
        self._joinable_bytes, self._drop_after = joinable, drop_after
        self.most = 0

    def _told(self, *call: object) -> None:
        self.calls.append(call)
        if len(self.calls) == self._drop_after:
            assert self.gate is not None
            self.gate.drop()

    def _on_data(self, stream_id: int, payload: bytes, flow_size: int, end: bool) -> None:
        if len(payload) > 16_384:
            assert len(payload) <= self._joinable_bytes
        self._told("data", stream_id, payload, flow_size, end)

    def _joinable(self, stream_id: int) -> int:
        return self._joinable_bytes if stream_id == 1 else 0

    def _on_headers(self, stream_id: int, fragment: bytes, end: bool) -> None:
        self._told("headers", stream_id, fragment, end)

    def _on_window_update(self, stream_id: int, increment: int) -> None:
        self._told("credit", stream_id, increment)

    def _on_frame(self, frame: Frame) -> None:
        self._told("frame", frame.type, frame.flags, frame.stream_id, frame.payload)


class Counting(FloodGuard):
    """Notes what is counted."""

    __slots__ = ("counted", "progressed")

    def __init__(self) -> None:
        super().__init__(AbuseLimits())
        self.counted: list[Call] = []
        self.progressed = 0
        self.fruitless = True

    def settings(self, entries: int, now: float) -> None:
        self.counted.append(("settings", entries))

    def priority(self, now: float) -> None:
        self.counted.append(("priority",))

    def induced(self) -> None:
        self.counted.append(("induced",))

    def progress(self) -> None:
        self.progressed += 1


# -- what comes: from a seed, since nearly all of it has to be legal for the rest to be looked at --

STREAMS = (1, 1, 1, 3, 5, 2**31 - 1)
#: Type -> the streams and lengths that it has, and what it has seldom.
CONTROL = {
    SETTINGS: ((0,), (0, 6, 12, 18, 36), (1,), (1, 5, 7)),
    PING: ((0,), (8,), (1,), (7, 9)),
    GOAWAY: ((0,), (8, 9, 20), (1,), (7, 0)),
    RST: ((1, 3), (4,), (0,), (3, 5)),
    PRIORITY: ((1, 3), (5,), (0,), (4, 6)),
    WINDOW_UPDATE: ((0, 1), (4,), (0, 1), (3, 5)),
    PUSH: ((1,), (4,), (0,), (4,)),
    10: ((0, 1), (0, 5), (3,), (9,)),
    255: ((0, 1), (0, 5), (3,), (9,)),
}
CONTROLS = [type_ for type_ in CONTROL if type_ != PUSH] * 4 + [PUSH]


def filled(size: int, mark: int) -> bytes:
    return bytes((mark + index // 7) % 256 for index in range(size)) if size < 200 else bytes((mark,)) * size


def row(random: Random) -> Wire:
    """DATA that may be joined: some alike, the last perhaps not."""
    stream, size = random.choice(STREAMS), random.choice((7, 4_095, 4_096, 5_000, 16_384))
    frames = [(DATA, 0, stream, filled(size, 16 * number + 1)) for number in range(random.randint(1, 5))]
    match random.choice(("none", "flags", "stream", "size")):
        case "flags":
            frames.append((DATA, random.choice((1, 2, 8, 9, 254)), stream, filled(size, 3)))
        case "stream":
            frames.append((DATA, 0, 3 if stream == 1 else 1, filled(size, 3)))
        case "size":
            frames.append((DATA, 0, stream, filled(size - 1, 3)))
        case _:
            pass
    return frames


def padded(random: Random, body: bytes) -> bytes:
    """With as much padding as the frame has, or less, or seldom more."""
    pad = random.choice((0, 1, 2, 5, len(body), len(body), max(0, len(body) - 1)))
    return bytes((min(255, pad + (random.random() < 0.05)),)) + body


def data(random: Random) -> Wire:
    flags, body = random.choice((0, 1, 2, 8, 8, 9, 254)), filled(random.choice((0, 1, 2, 9, 30)), 77)
    if flags & PADDED:
        body = padded(random, body) if random.random() < 0.95 else b""
    return [(DATA, flags, random.choice(STREAMS) if random.random() < 0.97 else 0, body)]


def block(random: Random) -> Wire:
    """A header block in some frames, one of them seldom disturbed."""
    stream = random.choice(STREAMS) if random.random() < 0.97 else 0
    flags = random.choice((0, END_STREAM, 2, PADDED, WITH_PRIORITY, PADDED | WITH_PRIORITY, 0x50))
    sizes = [random.choice((5, 6, 20, 0, 3, 59, 60, 61)) for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4, 6)))]
    if random.random() < 0.6:
        sizes = [min(size, 20) for size in sizes]
    head = filled(sizes[0] + (5 if flags & WITH_PRIORITY and random.random() < 0.9 else 0), 9)
    frames = [(HEADERS, flags, stream, padded(random, head) if flags & PADDED else head)]
    frames += [(CONTINUATION, random.choice((0, 1, 8, 40)), stream, filled(size, 50)) for size in sizes[1:]]
    if random.random() < 0.95:
        type_, last, stream, payload = frames[-1]
        frames[-1] = (type_, last | END_HEADERS, stream, payload)
    if random.random() < 0.1:
        other = random.choice(((CONTINUATION, 0, stream ^ 2, b"x"), (DATA, 0, stream, b"x"), (0xA, 4, stream, b"")))
        frames.insert(random.randint(0, len(frames)), other)
    return frames


def control(random: Random) -> Wire:
    type_ = random.choice(CONTROLS)
    streams, sizes, no_streams, no_sizes = CONTROL[type_]
    stream = random.choice(streams if random.random() < 0.97 else no_streams)
    size = random.choice(sizes if random.random() < 0.88 else no_sizes)
    flags = random.choice((0, 0, 2, 254, 1, 255))
    if type_ == SETTINGS and flags & ACK and random.random() < 0.9:
        size = 0
    return [(type_, flags, stream, filled(size, random.choice((5, 5, 133))))]


def wire_of(random: Random) -> tuple[bytes, list[int]]:
    """The bytes, and where they are cut."""
    frames: Wire = [] if random.random() < 0.03 else [(SETTINGS, 0, 0, bytes(6))]
    for _ in range(random.randint(0, 9)):
        frames += random.choice((row, block, block, data, control, control))(random)
    wire = b"".join(
        raw.frame(type_, flags, stream | (2**31 if random.random() < 0.1 else 0), payload)
        for type_, flags, stream, payload in frames
    )
    if random.random() < 0.3 and wire:
        wire = wire[: -random.randint(1, 14)]
    elif random.random() < 0.2:
        wire += random.choice((16_384, 16_385, 70_000)).to_bytes(3, "big") + bytes((DATA, 0, 0, 0, 0, 1))
    begins, at = [0], 0
    while at + 9 <= len(wire):
        at += 9 + int.from_bytes(wire[at : at + 3], "big")
        begins.append(at)
    cuts = [random.choice(begins) + random.randint(-3, 12) for _ in range(random.choice((0, 1, 2, 3, 5)))]
    return wire, sorted({cut for cut in cuts if 0 < cut < len(wire)})


def joined(calls: list[Call]) -> list[Call]:
    """With neighbouring DATA of a stream in one, as long as it does not end."""
    found: list[Call] = []
    for call in calls:
        last = found[-1] if found else ()
        if call[0] == "data" and last and last[0] == "data" and last[1] == call[1] and not last[4]:
            found[-1] = ("data", call[1], last[2] + call[2], last[3] + call[3], call[4])  # type: ignore[operator]
        else:
            found.append(call)
    return found


@given(
    st.integers(0, 2**32).map(lambda seed: wire_of(Random(seed))),
    st.sampled_from(
        (None, None, PREFACE, PREFACE, PREFACE[:20] + b"?" + PREFACE[21:], b"GET / HTTP/1.1\r\nHost: example\r\n")
    ),
    st.sampled_from((60, 120, 20_000, 70_000)),
    st.sampled_from((1, 2, 3)),
    st.sampled_from((0, 9_000, 10_000, 2**31)),
    st.booleans(),
    st.sampled_from((0, 0, 0, 1, 3)),
)
@settings(max_examples=500, database=None)
def test_what_passes_and_what_is_wrong(
    wire: tuple[bytes, list[int]], preface: bytes | None, hard: int, frames: int, joinable: int, tap: bool, drop: int
) -> None:
    config = ServerConfig(
        max_header_list_size=40,
        hard_header_list_size=hard,
        abuse=AbuseLimits(continuation_frames=frames, header_block_ratio=1.5 if frames == 2 else 1.0),
    )
    data = (preface or b"") + wire[0]
    places = [0, *sorted(cut + len(preface or b"") * (cut % 3) // 2 for cut in wire[1]), len(data)]
    sink, flood, observed = Sink(0 if drop else joinable, drop), Counting(), Tap()
    seen: list[tuple[int, int, int, bytes]] = []
    if tap:
        observed.observer = lambda way, one: seen.append((one.type, one.flags, one.stream_id, one.payload))
    gate = sink.gate = FrameGate(config, flood, observed, sink, expect_preface=preface is not None)
    times: list[tuple[int, float]] = []
    model = Judge(config, preface=preface is not None)
    for number, (begin, end) in enumerate(itertools.pairwise(places)):
        model = Judge(config, preface=preface is not None)
        model.take(data[:end], drop)
        times.append((begin, number + 1.0))
        bad = None
        try:
            gate.receive(data[begin:end], number + 1.0)
        except ConnectionFault as fault:
            bad = fault.code, fault.limit
        assert bad == model.bad
        assert joined(sink.calls) == joined(model.calls)
        assert flood.counted == model.counted
        assert gate.greeted is model.greeted
        if tap:
            assert seen == model.seen
            assert len(sink.calls) == len(model.calls)
        elif joinable == 0:
            assert len(sink.calls) == len(model.calls)
        if bad or len(model.calls) == drop > 0:
            break
        assert gate.inside_frame is model.unfinished
        since = max((when for begin, when in times if begin <= model.rest), default=0.0)
        in_time = (since, model.in_block) if model.unfinished and model.greeted else None
        assert gate.unfinished == in_time
    assert flood.progressed <= sum(bool(call[2]) for call in model.calls if call[0] == "data")
    assert bool(flood.progressed) is any(call[2] for call in model.calls if call[0] == "data")


@given(
    st.integers(2, 5) | st.integers(62, 66),
    st.sampled_from((4_096, 4_101, 5_000)),
    st.sampled_from((0, 9_000, 10_002, 15_000, 60_000, 2**20)),
    st.sampled_from((0, 0, 8, 9, 4_000, 10_000)),
)
@settings(max_examples=100, database=None)
def test_a_row_is_one_piece_as_far_as_it_may_be(count: int, size: int, joinable: int, tail: int) -> None:
    """Long DATA frames that are alike and have come together are handed over at once; what is not alike, or has come in
    part, is not among them."""
    sink, flood = Sink(joinable, 0), Counting()
    gate = sink.gate = FrameGate(ServerConfig(), flood, Tap(), sink, expect_preface=False)
    gate.receive(raw.settings([]), 0.0)
    row = b"".join(raw.frame(DATA, 0, 1, filled(size, number)) for number in range(count))
    gate.receive(row + raw.frame(DATA, 0 if tail < 10_000 else END_STREAM, 1, bytes(size))[:tail], 0.0)
    pieces, left = [], count
    while left:
        piece = min(left, max(1, joinable // size), 64)
        pieces.append(piece * size)
        left -= piece
    if tail > size:
        assert sink.calls.pop() == ("data", 1, bytes(size), size, True)
    assert [len(call[2]) for call in sink.calls[1:]] == pieces  # type: ignore[arg-type]
    assert b"".join(call[2] for call in sink.calls[1:]) == b"".join(filled(size, one) for one in range(count))  # type: ignore[misc]
    assert flood.progressed == len(pieces) + (tail > size)
