"""What a call says, against the bytes of its messages one behind the other; what it keeps to say it again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore.call.framing import prefix_of
from duplexcore.call.outbox import LARGE, Outbox
from duplexcore.call.replay import Replay, ReplayBudget

SIZES = st.one_of(st.sampled_from((0, 1, 7, 300, 16_379, 16_383, 16_384, 16_385, 20_000, 50_000)), st.integers(0, 60))
ROOMS = st.one_of(
    st.sampled_from((1, 4, 5, 6, 16_384, 16_389, 65_536, 10**6)), st.integers(1, 40), st.integers(1, 60_000)
)
#: Where the prefix of a large message is cut: such a message, and two writes.
TORN = st.tuples(st.tuples(st.just("say"), st.sampled_from((16_384, 20_000))), *2 * [st.tuples(st.just("pull"), ROOMS)])
STEPS = st.one_of(
    st.tuples(st.just("say"), SIZES),
    st.tuples(st.just("say"), SIZES),
    st.tuples(st.just("pull"), ROOMS),
    st.tuples(st.just("pull"), ROOMS),
    st.tuples(st.sampled_from(("clear", "again")), st.just(0)),
)


class Messages:
    """Whole messages as they are framed, and how many bytes of the first have left."""

    def __init__(self, most: int, together: int) -> None:
        self.left: list[bytes] = []
        self.begun = 0
        self.kept: list[bytes] | None = []
        self.most = min(most, together)

    def pull(self, room: int) -> bytes:
        taken = b"".join(self.left)[self.begun :][:room]
        self.begun += len(taken)
        done = []
        while self.left and len(self.left[0]) <= self.begun:
            done.append(self.left.pop(0))
            self.begun -= len(done[-1])
        if self.kept is not None:
            self.kept += done
        return taken

    @property
    def size(self) -> int:
        return sum(map(len, self.left)) - self.begun


@given(st.lists(STEPS, max_size=20), TORN, st.lists(STEPS, max_size=5))
@settings(max_examples=150, database=None)
def test_messages_leave_in_order_whole_or_cut(
    before: list[tuple[str, int]], torn: Sequence[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    outbox, model = Outbox(), Messages(0, 0)
    model.kept = None
    for number, (step, how_much) in enumerate([*before, *torn, *after]):
        if step == "say":
            body = bytes((number + 1,)) * how_much
            prefix = prefix_of(body, compressed=number % 3 == 0)
            outbox.parts += (prefix, body)
            outbox.size += len(prefix) + len(body)
            model.left.append(prefix + body)
        elif step == "clear":
            outbox.clear()
            model.left, model.begun = [], 0
        elif step == "again":
            outbox.refill([whole for whole in model.left if whole])
            model.begun = 0
        elif model.size:
            taken, due = outbox.pull(how_much), min(how_much, model.size)
            assert len(taken) == due or (0 < len(taken) < due and len(taken) % LARGE == 0)
            assert type(taken) is bytes or len(taken) <= LARGE or how_much > LARGE
            assert bytes(taken) == model.pull(len(taken))
        assert outbox.size == model.size
        assert outbox.mid_message is (model.begun > 0)
        waits, cut, _ = outbox.fingerprint_state()
        assert (waits, cut) == (b"".join(model.left), model.begun)


@given(
    st.lists(st.one_of(SIZES, st.integers(10_000, 100_000)), min_size=1, max_size=12),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
@settings(max_examples=150, database=None)
def test_frames_are_the_same_however_much_is_asked_for(sizes: list[int], frames: list[int]) -> None:
    cut = []
    for most in ([1], frames):
        outbox, found = Outbox(), []
        for size in sizes:
            outbox.parts += (prefix_of(bytes(size)), bytes(size))
            outbox.size += 5 + size
        for count in itertools.cycle(most):
            if not outbox.size:
                break
            taken = outbox.pull(count * LARGE)
            found += [bytes(taken[at : at + LARGE]) for at in range(0, len(taken), LARGE)]
        cut.append(found)
    assert cut[0] == cut[1]
    assert all(len(frame) == LARGE for frame in cut[0][:-1])


@given(st.lists(st.integers(70_000, 90_000), min_size=1, max_size=3), st.lists(st.integers(0, 100), max_size=3))
@settings(max_examples=20, database=None)
def test_a_large_message_is_never_copied_whole(large: list[int], small: list[int]) -> None:
    """Small ones before it may be joined: it stays the object that it was, and what leaves of it is a view."""
    outbox = Outbox()
    bodies = [*(bytes(size) for size in small), *(bytes(size) for size in large)]
    for body in bodies:
        outbox.parts += (prefix_of(body), body)
        outbox.size += 5 + len(body)
    before = sum(5 + size for size in small)
    if before:
        assert len(outbox.pull(before)) == before
    for body in bodies[len(small) :]:
        assert any(part is body for part in outbox.parts)
        begun = outbox.pull(5 + 100)
        assert begun == prefix_of(body) + bytes(100)
        middle = outbox.pull(4_096)
        assert isinstance(middle, memoryview)
        assert middle.obj is body
        assert len(outbox.pull(len(body) - 4_196)) == len(body) - 4_196
    assert outbox.size == 0


@pytest.mark.parametrize("size", [0, 5, 300, 400])
def test_between_two_messages_there_is_none_under_way(size: int) -> None:
    outbox = Outbox()
    for _ in range(4):
        outbox.parts += (prefix_of(bytes(size)), bytes(size))
        outbox.size += 5 + size
    for taken in range(1, 3 * (5 + size) + 1):
        assert len(outbox.pull(1)) == 1
        assert outbox.mid_message is (taken % (5 + size) > 0)


@pytest.mark.req("RETRY-3", "RETRY-4")
@given(
    st.lists(st.lists(st.one_of(st.integers(0, 60), st.just(20_000)), min_size=1, max_size=4), max_size=8),
    st.lists(st.integers(1, 90), min_size=1, max_size=6),
    st.sampled_from((0, 6, 40, 100, 60_000)),
    st.sampled_from((0, 50, 100, 100_000)),
    st.integers(0, 50),
)
@settings(max_examples=100, database=None)
def test_what_left_is_kept_as_long_as_the_budget_lasts(
    batches: list[list[int]], rooms: list[int], per_call: int, together: int, others: int
) -> None:
    budget = ReplayBudget(per_call, together)
    budget.kept = others
    outbox = Outbox()
    replay = outbox.replay = Replay(budget)
    said = b""
    for number, sizes in enumerate(batches):
        for size in sizes:
            body = bytes((number + 1,)) * size
            outbox.parts += (prefix_of(body), body)
            outbox.size += 5 + size
            said += prefix_of(body) + body
        while outbox.size:
            outbox.pull(rooms[number % len(rooms)] * (1 if outbox.size < 500 else 1_000))
        fits = len(said) <= per_call and others + len(said) <= together
        assert (outbox.replay is replay) is fits
        assert b"".join(replay.messages) == (said if fits else b"")
        assert replay.size == (len(said) if fits else 0)
        assert budget.kept == others + replay.size
        if not fits:
            break
    replay.drop()
    assert (replay.size, replay.messages, budget.kept) == (0, [], others)


@given(st.integers(-2, 3), st.integers(-2, 3))
@settings(database=None)
def test_a_budget_is_not_negative(per_call: int, together: int) -> None:
    default = ReplayBudget()
    assert (default.per_call, default.together, default.kept) == (262_144, 16_777_216, 0)
    if per_call < 0 or together < 0:
        with pytest.raises(ValueError, match="not negative"):
            ReplayBudget(per_call, together)
    else:
        budget = ReplayBudget(per_call, together)
        assert (budget.per_call, budget.together, budget.kept) == (per_call, together, 0)
