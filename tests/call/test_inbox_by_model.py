"""What comes for a reader, against the list of what was sent: in order, told once, credited as it is taken."""

from __future__ import annotations

import itertools
import zlib
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ClientConfig
from duplexcore.call.events import HalfClosed, InitialMetadata, Message
from duplexcore.call.framing import MessageDecoder, Run, Unpacked, frame_message, payloads
from duplexcore.call.inbox import Inbox
from duplexcore.call.tables import Fault
from duplexcore.metadata import EMPTY
from duplexcore.status import ErrorCode, StatusCode

SECOND = Fault(StatusCode.UNIMPLEMENTED, ErrorCode.NO_ERROR, "a second message")
AHEAD = 2**20
SEEDS = st.integers(0, 2**32).map(Random)


class Lane:
    """Counts what the inbox asks for. What is advanced stays for the next message as long as ``stays`` says so."""

    header_limit = 2**32

    def __init__(self, stays: bool = False) -> None:
        self.credited = self.advanced = self.gained = self.stayed = 0
        self.stays = stays

    def wants_write(self) -> None:
        raise AssertionError

    def abort(self, code: ErrorCode) -> None:
        raise AssertionError

    def consumed(self, size: int) -> None:
        assert size > 0
        self.credited += size

    def advance(self, size: int) -> None:
        assert size > 0
        self.advanced += size

    def settle(self, size: int) -> int:
        assert self.advanced
        self.stayed = max(0, self.advanced - size) if not self.stays or size < self.advanced else self.advanced
        self.credited += self.advanced - self.stayed
        self.advanced = self.stayed
        return self.stayed

    def kept(self, change: int) -> None:
        self.gained += change


def message_of(random: Random, large: bool) -> tuple[bytes, bytes, bool]:
    """As it comes, what it says, and whether it is compressed."""
    size = random.choice((0, 1, 3, 60, 1_018, 1_019, 1_020, 1_024, 1_500, 9_000))
    if large and random.random() < 0.3:
        size = random.choice((400_000, 524_288, 1_048_576, 1_200_000, 2_500_000))
    body = bytes((random.randrange(256),)) * size
    if random.random() < 0.2:
        packed = zlib.compress(body) if body else b""
        return frame_message(packed, compressed=True), body, True
    return frame_message(body), body, False


@pytest.mark.req("FRM-2", "FLOW-3", "FLOW-4", "SEC-11")
@given(SEEDS, st.booleans())
@settings(max_examples=150, database=None)
def test_what_comes_is_taken_in_order_and_credited(random: Random, large: bool) -> None:
    lane: Any = Lane(stays=random.random() < 0.5)
    inbox = Inbox(lane, ClientConfig())
    inbox.encoding = "deflate"
    wire, ends, sizes = b"", [], []  # where each message ends
    due: list[tuple[bytes, bool]] = []
    for _ in range(random.randint(1, 8)):
        framed, body, packed = message_of(random, large)
        wire += framed
        ends.append(len(wire))
        sizes.append((len(framed), len(body), packed))
        due.append((body, packed))
    at, taken, reader, early, rest, missing = 0, 0, "unasked", 0, 0, 0
    if random.random() < 0.5:
        assert inbox.put(InitialMetadata(EMPTY)) is True
        reader, early = "told", 1
    metadata, bytes_taken, one_by_one = bool(early), 0, random.random() < 0.5
    while at < len(wire) or taken < len(due):
        come = sum(end <= at for end in ends)
        if at < len(wire) and random.random() < 0.5:
            nearest = min(end for end in ends if end > at)
            quiet, credited = inbox.joinable, lane.advanced
            step = random.choice((1, 4, 5, 6, 300, 5_000, nearest - at, nearest - at, AHEAD // 2, AHEAD))
            if quiet > 1 and random.random() < 0.4:
                step = quiet - random.randint(0, 1)
            before, at = at, min(len(wire), at + step)
            more = sum(end <= at for end in ends) > come
            partial = at not in (0, *ends)
            told = reader != "told" and (more or (reader == "unasked" and partial))
            assert inbox.receive(wire[before:at]) is told
            reader = "told" if told else reader
            if 0 < at - before < quiet:  # it was only kept
                assert lane.advanced == credited
            elif reader == "waits" and at - before == quiet < missing:
                assert lane.advanced > credited
        elif one_by_one and random.random() < 0.5:
            event = inbox.next_event()
            if metadata:
                assert event == InitialMetadata(EMPTY)
                metadata = False
                continue
            if taken < come:
                assert event == Message(*due[taken])
                bytes_taken, taken = bytes_taken + sizes[taken][0], taken + 1
            else:
                assert event is None
                reader = "waits"
        else:
            payload = inbox.take_message()
            metadata = False
            if taken < come:
                assert (payload, inbox.was_compressed) == due[taken]
                bytes_taken, taken = bytes_taken + sizes[taken][0], taken + 1
            else:
                assert payload is None
                reader = "waits"
        come, begun = sum(end <= at for end in ends), max(end for end in (0, *ends) if end <= at)
        buffered = at - begun
        assert inbox.unfinished is (buffered > 0)
        assert inbox.fault is None
        wanting = ends[come] - at if buffered >= 5 else 0
        missing, advanced = wanting, lane.advanced
        assert (inbox.joinable > 0) is (missing > 0)
        if reader == "waits" and buffered:  # what has come is credited, and up to a MiB of what has not
            most = max(buffered + min(missing, AHEAD), lane.stayed)
            assert buffered + min(missing, AHEAD // 2) <= advanced <= most
        if advanced:
            own = ends[taken] - (0, *ends)[taken] if taken < len(due) else 0
            assert advanced <= max(own, lane.stayed)
        rest = bytes_taken - lane.credited
        assert 0 <= rest < 1_024
        assert rest == 0 or come > taken
        waiting = [(wired - 5, body) for wired, body, packed in sizes[taken:come] if packed]
        gained = sum(max(0, 144 + body - wired) for wired, body in waiting if body)
        assert gained <= lane.gained <= gained + 144 * sum(not body for _, body in waiting)  # empty ones may be in runs
        if inbox.joinable != missing:
            assert 0 < inbox.joinable == min(missing, advanced - buffered - AHEAD // 2) or reader != "told"
    assert lane.credited == len(wire)
    assert inbox.put(HalfClosed()) is (reader != "told")
    assert inbox.take_message() is None
    assert isinstance(inbox.next_event(), HalfClosed)
    assert inbox.next_event() is None
    inbox.end(HalfClosed())
    assert inbox.tell() is False
    inbox.clear()
    assert inbox.waiting == []


@pytest.mark.req("FRM-2")
@given(SEEDS, st.integers(0, 3), st.sampled_from(("before", "amid", "after")))
@settings(max_examples=120, database=None)
def test_where_one_message_is_expected_it_is_the_only_one(random: Random, count: int, when: str) -> None:
    lane: Any = Lane()
    inbox = Inbox(lane, ClientConfig())
    inbox.encoding = "deflate"
    messages = [message_of(random, large=False) for _ in range(count)]
    wire = b"".join(framed for framed, _, _ in messages)
    places = sorted(random.choices(range(len(wire) + 1), k=random.randint(0, 3)))
    if random.random() < 0.5 and messages:
        places.append(len(messages[0][0]))
    places = [0, *sorted(set(places) - {0, len(wire)}), len(wire)]
    wrong: Fault | None = None
    if when == "before":
        assert inbox.expect_one(SECOND) is None
    for number, (begin, end) in enumerate(itertools.pairwise(places)):
        if inbox.fault is None and wrong is None and end > begin:
            inbox.receive(wire[begin:end])
        if number == 0 and when == "amid":
            wrong = inbox.expect_one(SECOND)
    if when == "after":
        before = inbox.waiting
        inbox.put(HalfClosed())
        single = inbox.has_one(SECOND)
        # An empty one that is marked as packed is kept as it came, or is unpacked where its prefix was cut (COMP-9).
        assert single is (count == 1 and not messages[0][2]) or (count == 1 and not messages[0][1])
        assert inbox.single is single
        assert inbox.waiting[:-1] == before
        assert list(payloads(item for item in before if not isinstance(item, HalfClosed))) == [  # type: ignore[misc]
            body for _, body, _ in messages
        ]
        return
    assert inbox.single
    if count > 1:
        assert SECOND in (wrong, inbox.fault)
        return
    assert (wrong, inbox.fault) == (None, None)
    assert inbox.waiting == []
    assert inbox.complete() is (count == 1)
    if count:
        assert inbox.take_message() == messages[0][1]
        assert inbox.was_compressed is messages[0][2]
        assert lane.credited == len(wire)
        assert lane.gained == 0


@given(SEEDS)
@settings(max_examples=60, database=None)
def test_items_hold_the_messages(random: Random) -> None:
    """Runs of small messages, large ones by themselves: all that was fed, and nothing is missing."""
    decoder = MessageDecoder(10_000, ("deflate",))
    decoder.encoding = "deflate"
    messages = [message_of(random, large=False) for _ in range(random.randint(0, 6))]
    wire = b"".join(framed for framed, _, _ in messages)
    cut = random.randint(0, len(wire))
    items = [*decoder.feed(wire[:cut]), *decoder.feed(wire[cut:])]
    assert sum(item.count if isinstance(item, Run) else 1 for item in items) == len(messages)
    assert decoder.missing == decoder.buffered == 0
    sizes = sum(
        len(item.data) if isinstance(item, Run) else item.wire_size + 5 if isinstance(item, Unpacked) else len(item) + 5
        for item in items
    )
    assert sizes == len(wire)
    assert [*payloads(items)] == [body for _, body, _ in messages]


@given(SEEDS, st.booleans())
@settings(max_examples=60, database=None)
def test_nothing_is_heard_behind_what_is_wrong(random: Random, single: bool) -> None:
    lane: Any = Lane()
    inbox = Inbox(lane, ClientConfig())
    if single:
        inbox.expect_one(SECOND)
    bodies = [bytes(random.choice((0, 1, 2_000))) for _ in range(random.randint(0, 1 if single else 3))]
    inbox.receive(b"".join(map(frame_message, bodies)) + bytes((random.choice((1, 2, 255)), 0, 0, 0, 1, 0)))
    assert inbox.fault is not None
    fault = inbox.fault
    for _ in range(2):
        assert not inbox.receive(frame_message(bytes(random.choice((0, 1, 2_000)))))
    assert inbox.fault is fault
    for body in () if single else bodies:
        assert inbox.take_message() == body
    assert inbox.take_message() is None
