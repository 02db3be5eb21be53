"""What a connection counts, against counters of a few lines each: at any times, with any limits (SEC-2 to SEC-11)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ServerConfig
from duplexcore.config import AbuseLimits, Limit
from duplexcore.http2.faults import ConnectionFault
from duplexcore.http2.limits import FloodGuard, PingStrikes, RateLimit
from duplexcore.status import ErrorCode

MANY = settings(max_examples=100, database=None)
TIMES = st.integers(0, 40)
SMALL = st.integers(1, 4)


def breach(act: Callable[[], None]) -> Limit | None:
    """The limit that is broken."""
    try:
        act()
    except ConnectionFault as fault:
        return fault.limit if fault.code is ErrorCode.ENHANCE_YOUR_CALM else None
    return None


class Window:
    """At most ``most`` in a period that begins with the first one after the last period."""

    def __init__(self, most: int, period: float) -> None:
        self.most, self.period = most, period
        self.begin: float | None = None
        self.seen = 0

    def broken(self, now: float) -> bool:
        if self.begin is None or now >= self.begin + self.period:
            self.begin, self.seen = now, 0
        self.seen += 1
        return self.seen > self.most


@given(st.lists(TIMES, max_size=30).map(sorted), SMALL, SMALL)
@MANY
def test_a_rate_is_counted_by_periods(times: list[int], most: int, period: int) -> None:
    limit, model = RateLimit(Limit.PEER_RESETS, most, period, "things"), Window(most, period)
    for now in times:
        broken = model.broken(now)
        assert breach(lambda now=now: limit.count(now)) is (Limit.PEER_RESETS if broken else None)  # type: ignore[misc]
        if broken:
            break


GAPS = st.one_of(st.integers(0, 9_000), st.sampled_from((299, 300, 7_199, 7_200)))


@given(
    st.lists(st.tuples(GAPS, st.sampled_from(("ping", "ping in a call", "sent"))), max_size=30),
    st.integers(-1, 3),
    st.sampled_from((1, 300, 4_000)),
    st.booleans(),
)
@MANY
def test_pings_that_come_too_soon_are_strikes(
    steps: list[tuple[int, str]], most: int, gap: int, permitted: bool
) -> None:
    config = ServerConfig(max_ping_strikes=most, permit_keepalive_time=gap, permit_keepalive_without_calls=permitted)
    pings = PingStrikes(config)
    now, last, strikes = 0, None, 0
    for wait, step in steps:
        now += wait
        if step == "sent":
            pings.sent()
            last, strikes = None, 0
            continue
        needed = gap if permitted or step == "ping in a call" else 7_200
        if last is None or now - last >= needed:
            last = now
        else:
            strikes += 1
        broken = breach(lambda now=now, step=step: pings.ping(now, calls=step == "ping in a call"))  # type: ignore[misc]
        assert broken is (Limit.MAX_PING_STRIKES if most > 0 and strikes > most else None)
        if broken:
            break


ACTS: tuple[str, ...] = (
    "settings",
    "priority",
    "induced",
    "answer",
    "answered",
    "written",
    "reset",
    "rule",
    "empty",
    "interim",
    "progress",
)


SOME_ACTS = st.lists(st.sampled_from(ACTS), min_size=1, max_size=4, unique=True) | st.just(list(ACTS))


@given(
    SOME_ACTS.flatmap(
        lambda acts: st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from(acts), st.sampled_from((1, 1, 1, 2, 4))), max_size=60
        )
    ),
    st.tuples(*[SMALL] * 8),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
@MANY
def test_each_kind_of_flood_has_its_own_limit(
    steps: list[tuple[int, str, int]], limits: tuple[int, ...], periods: tuple[int, int]
) -> None:
    stop, settings_, priority, resets, own, entries, row, interims = limits
    total = row + 2
    guard = FloodGuard(
        AbuseLimits(
            control_frames_stop_reading=stop,
            control_frames_close=stop + 2,
            period=periods[0],
            settings_frames=settings_,
            priority_frames=priority,
            reset_period=periods[1],
            peer_resets=resets,
            own_resets=own,
            settings_entries=entries,
            empty_data_in_a_row=row,
            empty_data_on_connection=total,
            interim_responses=interims,
        )
    )
    rates = {
        "settings": (Window(settings_, periods[0]), Limit.SETTINGS_FRAMES),
        "priority": (Window(priority, periods[0]), Limit.PRIORITY_FRAMES),
        "reset": (Window(resets, periods[1]), Limit.PEER_RESETS),
        "rule": (Window(own, periods[1]), Limit.OWN_RESETS),
    }
    now = acks = answers = empty = interim = 0
    for wait, step, number in steps:
        now += wait
        expected: Limit | None = None
        if step in rates:
            window, limit = rates[step]
            expected = limit if window.broken(now) else None
        if step == "settings" and expected is None and number > entries:
            expected = Limit.SETTINGS_ENTRIES
        if step in ("induced", "answer"):
            acks, answers = acks + (step == "induced"), answers + (step == "answer")
            expected = Limit.CONTROL_FRAMES_CLOSE if acks + answers >= stop + 2 else None
        if step == "answered":
            if not answers:
                continue
            answers -= 1
        if step == "written":
            acks = 0
        if step == "empty":
            empty += 1
            expected = Limit.EMPTY_DATA_ON_CONNECTION if empty > total else None
            expected = Limit.EMPTY_DATA_IN_A_ROW if number > row else expected
        if step == "interim":
            interim += 1
            expected = Limit.INTERIM_RESPONSES if interim > interims else None
        if step == "progress":
            empty = interim = 0
        do: dict[str, Callable[[], None]] = {
            "settings": lambda number=number, now=now: guard.settings(number, now),  # type: ignore[misc]
            "priority": lambda now=now: guard.priority(now),  # type: ignore[misc]
            "induced": guard.induced,
            "answer": guard.answer_induced,
            "answered": guard.answered,
            "written": guard.written,
            "reset": lambda now=now: guard.peer_reset(now),  # type: ignore[misc]
            "rule": lambda now=now: guard.rule_broken(now),  # type: ignore[misc]
            "empty": lambda number=number: guard.empty_data(number),  # type: ignore[misc]
            "interim": guard.interim_response,
            "progress": guard.progress,
        }
        assert breach(do[step]) is expected, step
        assert guard.wants_read is (acks + answers < stop)
        if expected is not None:
            break


@given(st.lists(st.integers(-50, 100), max_size=20), st.integers(1, 150))
@MANY
def test_what_unpacks_beyond_what_came_has_two_limits(changes: list[int], limit: int) -> None:
    guard, held = FloodGuard(AbuseLimits(unread_bytes=limit)), 0
    for change in changes:
        held += change
        broken = change > 0 and held > 2 * limit
        assert breach(lambda change=change: guard.unpacked(change)) is (Limit.UNREAD_BYTES if broken else None)  # type: ignore[misc]
        assert guard.room_for_call is (held <= limit)
        if broken:  # and who takes messages then is not told of it
            assert breach(lambda: guard.unpacked(0)) is breach(lambda: guard.unpacked(-1)) is None
            break


def test_a_breach_is_a_fault_of_the_connection() -> None:
    with pytest.raises(ConnectionFault):
        FloodGuard(AbuseLimits(settings_entries=1)).settings(2, 0.0)
