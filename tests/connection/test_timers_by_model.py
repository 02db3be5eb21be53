"""Timers and keepalive, at any times, against models that look at everything each time (KEEP-2 to KEEP-6, P35)."""

from __future__ import annotations

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ClientConfig
from duplexcore.connection.keepalive import Keepalive
from duplexcore.connection.timers import TimerKind, Timers

MANY = settings(max_examples=100, database=None)
KINDS = (TimerKind.DEADLINE, TimerKind.IDLE, TimerKind.AGE)
STEPS = st.tuples(
    st.sampled_from(("start", "start", "stop", "pop", "clear")), st.sampled_from(KINDS), st.integers(0, 2)
)


@given(st.lists(st.tuples(STEPS, st.integers(0, 9)), max_size=40), st.booleans())
@MANY
def test_timers_are_due_in_order(steps: list[tuple[tuple[str, TimerKind, int], int]], many: bool) -> None:
    timers, model = Timers(), dict[tuple[TimerKind, int | None], tuple[float, int]]()
    for serial, ((act, kind, number), when) in enumerate(steps):
        target = number or None
        if act == "start":
            for _ in range(70 if many else 1):  # started again and again: what was stopped is not kept for ever
                held = len(timers._heap) + 1
                timers.start(kind, when, target)
                model[kind, target] = when, serial
                assert len(timers._heap) == (held if held <= 64 + 2 * len(model) else len(model))
        elif act == "stop":
            timers.stop(kind, target)
            model.pop((kind, target), None)
        elif act == "clear" and number == 0:
            timers.stop_all()
            model.clear()
        elif act == "pop":
            first = min(model, key=lambda one: model[one], default=None)
            expected = first if first is not None and model[first][0] <= when else None
            assert timers.pop_due(when) == expected
            if expected is not None:
                del model[expected]
        order = sorted(model, key=lambda one: model[one])
        assert timers.next() == ((model[order[0]][0], order[0][0]) if order else None)
        assert timers.fingerprint_state() == [(model[one][0], *one) for one in order]
        for one in ((kind, target) for kind in KINDS for target in (None, 1, 2)):
            assert timers.when(*one) == (model[one][0] if one in model else None)


@given(
    st.lists(st.tuples(st.integers(0, 16), st.sampled_from(("wanted", "heard", "timer")), st.booleans()), max_size=40),
    st.sampled_from((10.0, 15.0, inf)),
    st.sampled_from((1.0, 20.0)),
    st.booleans(),
)
@MANY
def test_a_silent_peer_is_asked_and_given_up(
    steps: list[tuple[int, str, bool]], time: float, timeout: float, without_calls: bool
) -> None:
    """The model knows when bytes came last, whether there has been a question since, and when one may be asked."""
    config = ClientConfig(keepalive_time=time, keepalive_timeout=timeout, keepalive_without_calls=without_calls)
    timers, asked = Timers(), list[bytes]()
    keepalive = Keepalive(config, timers, 0.0)
    now = last = since = 0.0
    asleep, waits = True, False
    questions = 0
    for wait, act, calls in steps:
        now += wait
        wants = calls or without_calls
        due = timers.when(TimerKind.KEEPALIVE)
        if act == "heard":
            keepalive.heard(now)
            last, waits = now, False
        elif act == "wanted":
            keepalive.wanted(calls=calls, ping=asked.append, now=now)
            if asleep and wants and time != inf:
                asleep = False
                if now - last >= time:
                    questions, waits, since = questions + 1, True, now
        elif due is not None and due <= now and not waits:
            assert timers.pop_due(now) == (TimerKind.KEEPALIVE, None)
            keepalive.on_timer(calls=calls, ping=asked.append, now=now)
            if now - last >= time:
                if wants:
                    questions, waits, since = questions + 1, True, now
                else:
                    asleep = True
        assert len(asked) == questions
        assert timers.when(TimerKind.KEEPALIVE_TIMEOUT) == (since + timeout if waits else None)
        if not asleep and not waits:
            due = timers.when(TimerKind.KEEPALIVE)
            assert due is not None, "nobody would ask again"
            assert due <= last + time, "the next question would come late"
        if time == inf:
            assert timers.next() is None
