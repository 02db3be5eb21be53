"""Keepalive: PINGs that tell a silent peer from a dead one (gRFC A8, A9; KEEP-2 to KEEP-6)."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from ..config import Config
from .timers import TimerKind, Timers

__all__: list[str] = []

#: The payload of its PINGs: any byte of the peer is an answer, so it is never looked at.
PAYLOAD = b"is alive"


class Keepalive:
    """Runs from the last byte that was read: after ``time`` of silence a PING, ``timeout`` later the end.

    Without calls it sleeps, unless ``without_calls``; the first call after that asks at once if the silence was long.
    """

    __slots__ = ("_asked", "_asleep", "_last_read", "_time", "_timeout", "_timers", "_without_calls")

    def __init__(self, config: Config, timers: Timers, now: float) -> None:
        self._time = config.keepalive_time
        self._timeout = config.keepalive_timeout
        self._without_calls = config.keepalive_without_calls
        self._timers = timers
        self._last_read = now
        self._asked = False  # a PING is not answered yet
        self._asleep = True

    def heard(self, now: float) -> None:
        """Bytes of the peer have come."""
        self._last_read = now
        if self._asked:
            self._asked = False
            self._timers.stop(TimerKind.KEEPALIVE_TIMEOUT)
            self._rest()

    def wanted(self, *, calls: bool, ping: Callable[[bytes], None], now: float) -> None:
        """Bytes are about to be made, with ``calls`` or without: wakes up, asking at once after a long silence."""
        if self._asleep and self._time != inf and (calls or self._without_calls):
            self._asleep = False
            if now >= self._due:
                self._ask(ping, now)
            else:
                self._rest()

    def on_timer(self, *, calls: bool, ping: Callable[[bytes], None], now: float) -> None:
        """`TimerKind.KEEPALIVE` is due. (`KEEPALIVE_TIMEOUT` is the end of the connection.)"""
        if now < self._due:
            self._rest()
        elif calls or self._without_calls:
            self._ask(ping, now)
        else:
            self._asleep = True

    def _ask(self, ping: Callable[[bytes], None], now: float) -> None:
        ping(PAYLOAD)
        self._asked = True
        self._timers.start(TimerKind.KEEPALIVE_TIMEOUT, now + self._timeout)

    def _rest(self) -> None:
        self._timers.start(TimerKind.KEEPALIVE, self._due)

    @property
    def _due(self) -> float:
        # Everywhere the same sum: the difference of a sum and one of its parts may be less than the other part.
        return self._last_read + self._time
