"""What the gate, the lanes and the carrier spare themselves: nothing that is sent or heard differs by it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from duplexcore import ServerConfig
from duplexcore.config import AbuseLimits
from duplexcore.http2.frames import Frame
from duplexcore.http2.gate import FrameGate
from duplexcore.http2.limits import FloodGuard
from duplexcore.http2.native_core import NativeCore
from duplexcore.http2.tap import Tap
from duplexcore.testing import raw
from tests.support.bench import ClientBench, ServerBench
from tests.support.work import calls_made

FORMS: list[Callable[[bytes], Any]] = [bytes, bytearray, memoryview]


class Sink:
    """Notes the types and sizes of what it is handed."""

    def __init__(self) -> None:
        self.got: list[tuple[type, int]] = []

    def _on_data(self, stream_id: int, payload: bytes, flow_size: int, end: bool) -> None:
        self.got.append((type(payload), len(payload)))

    def _joinable(self, stream_id: int) -> int:
        return 0

    def _on_headers(self, stream_id: int, fragment: bytes, end: bool) -> None:
        self.got.append((type(fragment), len(fragment)))

    def _on_window_update(self, stream_id: int, increment: int) -> None:
        self.got.append((int, increment))

    def _on_frame(self, frame: Frame) -> None: ...


class Watched(FrameGate):
    """Notes what takes longer ways."""

    __slots__ = ("judged", "rows", "slow")

    def __init__(self, config: ServerConfig, sink: Sink) -> None:
        super().__init__(config, FloodGuard(AbuseLimits()), Tap(), sink, expect_preface=False)
        self.judged: list[int] = []
        self.slow: list[int] = []
        self.rows: list[type] = []

    def _judge_head(self, head: bytes | bytearray | memoryview, length: int) -> None:
        self.judged.append(length)
        super()._judge_head(head, length)

    def _take_row(self, data: bytes | bytearray | memoryview, at: int, length: int, stream_id: int) -> int:
        self.rows.append(type(data))
        return super()._take_row(data, at, length, stream_id)

    def _frame(self, kind: int, stream_id: int, payload: bytes, now: float) -> None:
        self.slow.append(len(payload))
        super()._frame(kind, stream_id, payload, now)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [(0, 1, 4_095, 4_096), (16_383, 16_384), (7, 16_384, 4_096)])
def test_usual_frames_go_straight_to_the_sink(form: Callable[[bytes], Any], sizes: tuple[int, ...]) -> None:
    """As bytes of their own, whatever they came in; a header block up to its limit, too."""
    config = ServerConfig(max_header_list_size=100, hard_header_list_size=4_096)
    most = int(config.abuse.header_block_ratio * 4_096)
    sink = Sink()
    gate = Watched(config, sink)
    gate.receive(raw.settings([]), 0.0)
    gate.judged, gate.slow = [], []
    blocks = [size for size in (0, 1, most) if size <= 16_384]
    wire = [raw.frame(raw.DATA, number % 2, 1, bytes(size)) for number, size in enumerate(sizes)]
    wire += [raw.frame(raw.HEADERS, 4 + size % 2, 3, bytes(size)) for size in blocks]
    wire += [raw.window_update(stream, 77) for stream in (0, 3)]
    expected = [*((bytes, size) for size in (*sizes, *blocks)), (int, 77), (int, 77)]
    gate.receive(form(b"".join(wire)), 0.0)
    assert sink.got == expected
    assert (gate.judged, gate.slow) == ([], [])
    for part in wire:
        gate.receive(form(part), 0.0)
    assert sink.got == 2 * expected
    assert (gate.judged, gate.slow) == ([], [])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [16_384, 16_385])
def test_up_to_16_kib_are_copied_as_a_whole(form: Callable[[bytes], Any], size: int) -> None:
    gate = Watched(ServerConfig(), Sink())
    gate.receive(raw.settings([]), 0.0)
    gate.receive(form(raw.frame(raw.DATA, 0, 1, bytes(4_096)) + raw.frame(raw.DATA, 0, 1, bytes(size - 4_114))), 0.0)
    assert gate.rows == 2 * [bytes if size <= 16_384 else type(form(b""))]


def test_a_call_that_still_listens_takes_a_row_in_one_piece() -> None:
    """Large messages come in DATA that are joined as far as their call lets them."""
    bench = ServerBench(ServerConfig(stream_window=2**20))
    call = bench.call(1)
    while call.next_event() is not None:
        pass
    bench.give(raw.data(1, raw.message(bytes(400_000))[:16_384]))
    assert bench.engine._carrier._joinable(1) > 0
    assert bench.engine._carrier._joinable(3) == 0
    call.abort()
    assert bench.engine._carrier._joinable(1) == 0


def test_a_call_that_is_alone_takes_two_turns_however_much_may_be_written() -> None:
    """The frame that begins with the prefix, which is joined, and all else, which is not."""
    counts, sizes = [], []
    for size in (60_000, 60_000, 300_000):  # the first may find where to cut, which is remembered
        bench = ClientBench(settings={raw.INITIAL_WINDOW: 2**24})
        bench.give(raw.window_update(0, 2**24))
        bench.call(None, "/a/b").send_message(bytes(1_000_000))
        write = functools.partial(bench.engine.data_to_send, 0.0, size)
        counts.append(calls_made(lambda write=write: sizes.append(len(write()))))
    assert sizes == [4 * 16_393, 4 * 16_393, 19 * 16_393]
    assert counts[1] == counts[2] or ServerConfig().http2 == "h2"


@pytest.mark.parametrize("length", [20_000, 200_000])
def test_no_more_is_joined_than_was_promised(length: int) -> None:
    """Or what is too much would be taken before it is seen."""
    bench = ServerBench(ServerConfig(stream_window=2**20))
    bench.give(bench.peer.headers(1, [*raw.request_fields(), ("content-length", str(length))]))
    (call,) = bench.calls()
    while call.next_event() is not None:
        pass
    bench.give(raw.data(1, raw.message(bytes(400_000))[:16_384]))
    assert 0 < bench.engine._carrier._joinable(1) <= length - 16_384


@pytest.mark.parametrize("longest", [16_384, 16_393, 17_001, 65_535, 65_536, 66_001, 200_003])
@pytest.mark.parametrize("more", [0, 1, 2_000])
def test_frames_of_any_length_have_their_lengths_in_front(longest: int, more: int) -> None:
    """Also those that are written in one go; what waits to be taken is counted with them."""
    core, lane = NativeCore(ServerConfig(), client=False), Lane()
    core.settings({5: longest}, [])
    core.take()
    core.send_data(lane, bytes(2 * longest + more), longest, end=True)  # type: ignore[arg-type]
    before = core.pending
    wire = core.take()
    sizes, at = [], 0
    while at < len(wire):
        sizes.append(int.from_bytes(wire[at : at + 3], "big"))
        at += 9 + sizes[-1]
    assert sizes == [longest, longest, more][: 3 if more else 2]
    assert at == before == len(wire)


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385])
def test_what_fits_into_a_frame_is_sent_as_it_is(size: int) -> None:
    core, payload = NativeCore(ServerConfig(), client=False), bytes(size)
    core.send_data(Lane(), payload, 16_384, end=False)  # type: ignore[arg-type]
    assert any(part is payload for part in core._parts) is (size <= 16_384)


class Lane:
    """As much of one as the core knows."""

    stream_id = 1
    peer_window = 2**20


def test_who_waits_for_a_stream_and_who_can_go_on_both_have_something_to_frame() -> None:
    bench = ClientBench()
    calls = [bench.call(None, "/a/b") for _ in range(3)]
    assert bench.engine.backlog == 0
    for number, call in enumerate(calls, 1):
        assert call.send_message(b"x")
        bench.engine.start_call("/a/b")
        assert bench.engine.backlog == 2 * number
