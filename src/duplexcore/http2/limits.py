"""Counters against peers that make work (SEC-2 to SEC-8). Each breach is a `ConnectionFault`."""

from __future__ import annotations

from ..config import AbuseLimits
from ..status import ErrorCode
from .faults import ConnectionFault

__all__: list[str] = []


class RateLimit:
    """At most ``most`` in each ``period`` seconds; ``what`` names it to people."""

    __slots__ = ("_count", "_most", "_period", "_since", "_what")

    def __init__(self, most: int, period: float, what: str) -> None:
        self._most, self._period, self._what = most, period, what
        self._since = float("-inf")
        self._count = 0

    def count(self, now: float) -> None:
        if now - self._since >= self._period:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > self._most:
            text = f"more than {self._most} {self._what} in {self._period:g} s"
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, text)


class FloodGuard:
    """Everything that a connection counts, in one place."""

    __slots__ = (
        "_answers",
        "_empty_data",
        "_induced",
        "_limits",
        "_own_resets",
        "_peer_resets",
        "_priority",
        "_settings",
    )

    def __init__(self, limits: AbuseLimits) -> None:
        self._limits = limits
        self._settings = RateLimit(limits.settings_frames, limits.period, "SETTINGS frames")
        self._priority = RateLimit(limits.priority_frames, limits.period, "PRIORITY frames")
        self._peer_resets = RateLimit(limits.peer_resets, limits.reset_period, "streams reset by the peer")
        self._own_resets = RateLimit(limits.own_resets, limits.reset_period, "streams on which the peer broke a rule")
        self._empty_data = 0
        self._induced = 0  # control frames,
        self._answers = 0  # and streams, that wait to be written because of what the peer sent

    @property
    def wants_read(self) -> bool:
        """False while too many control frames wait to be written: the peer makes them faster than it reads (SEC-4)."""
        return self._induced + self._answers < self._limits.control_frames_stop_reading

    def settings(self, entries: int, now: float) -> None:
        self._settings.count(now)
        if entries > self._limits.settings_entries:
            text = f"a SETTINGS frame with {entries} entries"
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, text)

    def priority(self, now: float) -> None:
        self._priority.count(now)

    def induced(self) -> None:
        """The peer made us write an ack, of a PING or of SETTINGS; it counts until the next write."""
        self._induced += 1
        self._check_induced()

    def answer_induced(self) -> None:
        """The peer made us reset or refuse a stream; it counts until `answered`."""
        self._answers += 1
        self._check_induced()

    def answered(self) -> None:
        self._answers -= 1

    def written(self) -> None:
        self._induced = 0

    def _check_induced(self) -> None:
        if self._induced + self._answers >= self._limits.control_frames_close:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many control frames wait to be written")

    def peer_reset(self, now: float) -> None:
        """The peer has reset a stream whose answer was not complete (SEC-2)."""
        self._peer_resets.count(now)

    def rule_broken(self, now: float) -> None:
        """The peer made us reset a stream (SEC-3)."""
        self._own_resets.count(now)

    def empty_data(self, in_a_row: int) -> None:
        """A DATA frame without payload and END_STREAM, the ``in_a_row``-th of its stream (SEC-7)."""
        self._empty_data += 1
        limits = self._limits
        if in_a_row > limits.empty_data_in_a_row or self._empty_data > limits.empty_data_on_connection:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many empty DATA frames")

    def progress(self) -> None:
        """Payload has come."""
        self._empty_data = 0
