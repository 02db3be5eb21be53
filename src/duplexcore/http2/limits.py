"""Counters against peers that make work (SEC-2 to SEC-11). Each breach is a `ConnectionFault`."""

from __future__ import annotations

from ..config import AbuseLimits, Limit, ServerConfig
from .faults import too_much

__all__: list[str] = []


class RateLimit:
    """At most ``most`` in each ``period`` seconds; ``what`` names it to people."""

    __slots__ = ("_count", "_limit", "_most", "_period", "_since", "_what")

    def __init__(self, limit: Limit, most: int, period: float, what: str) -> None:
        self._limit, self._most, self._period, self._what = limit, most, period, what
        self._since = float("-inf")
        self._count = 0

    def count(self, now: float) -> None:
        if now - self._since >= self._period:
            self._since, self._count = now, 0
        self._count += 1
        if self._count > self._most:
            raise too_much(self._limit, f"more than {self._most} {self._what} in {self._period:g} s")


class PingStrikes:
    """A server's patience with PINGs (gRFC A8, KEEP-8, KEEP-9)."""

    __slots__ = ("_config", "_last_good", "_strikes")

    #: The gap that is asked for while there are no calls: seconds.
    WITHOUT_CALLS = 7200.0

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._last_good = float("-inf")
        self._strikes = 0

    def ping(self, now: float, *, calls: bool) -> None:
        """A PING that asks for an ack has come."""
        config = self._config
        permitted = calls or config.permit_keepalive_without_calls
        if now - self._last_good >= (config.permit_keepalive_time if permitted else self.WITHOUT_CALLS):
            self._last_good = now
            return
        self._strikes += 1
        if 0 < config.max_ping_strikes < self._strikes:
            raise too_much(Limit.MAX_PING_STRIKES, "too_many_pings")

    def sent(self) -> None:
        """HEADERS or DATA were sent: the client may want to know whether we live."""
        self._strikes = 0
        self._last_good = float("-inf")


class FloodGuard:
    """Everything that a connection counts, in one place."""

    __slots__ = (
        "_answers",
        "_empty_data",
        "_induced",
        "_interim",
        "_limits",
        "_own_resets",
        "_peer_resets",
        "_priority",
        "_settings",
        "_unpacked",
        "fruitless",
    )

    def __init__(self, limits: AbuseLimits) -> None:
        self._limits = limits
        period, reset_period = limits.period, limits.reset_period
        self._settings = RateLimit(Limit.SETTINGS_FRAMES, limits.settings_frames, period, "SETTINGS frames")
        self._priority = RateLimit(Limit.PRIORITY_FRAMES, limits.priority_frames, period, "PRIORITY frames")
        self._peer_resets = RateLimit(Limit.PEER_RESETS, limits.peer_resets, reset_period, "streams reset by the peer")
        self._own_resets = RateLimit(
            Limit.OWN_RESETS, limits.own_resets, reset_period, "streams on which the peer broke a rule"
        )
        self._unpacked = 0  # bytes by which unpacking has made messages grow that nobody has taken
        self._empty_data = 0
        self._interim = 0
        #: Whether either has come since the last `progress`: asked for each frame, that is called seldom.
        self.fruitless = False
        self._induced = 0  # control frames,
        self._answers = 0  # and streams, that wait to be written because of what the peer sent

    @property
    def wants_read(self) -> bool:
        """False while too many control frames wait to be written: the peer makes them faster than it reads (SEC-4)."""
        return self._induced + self._answers < self._limits.control_frames_stop_reading

    def settings(self, entries: int, now: float) -> None:
        self._settings.count(now)
        if entries > self._limits.settings_entries:
            raise too_much(Limit.SETTINGS_ENTRIES, f"a SETTINGS frame with {entries} entries")

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
            raise too_much(Limit.CONTROL_FRAMES_CLOSE, "too many control frames wait to be written")

    def peer_reset(self, now: float) -> None:
        """The peer has reset a stream whose answer was not complete (SEC-2)."""
        self._peer_resets.count(now)

    def rule_broken(self, now: float) -> None:
        """The peer made us reset a stream (SEC-3)."""
        self._own_resets.count(now)

    def unpacked(self, change: int) -> None:
        """So many more bytes lie unread above those that came in the windows, or fewer (SEC-11)."""
        self._unpacked += change
        if change > 0 and self._unpacked > 2 * self._limits.unread_bytes:
            raise too_much(Limit.UNREAD_BYTES, "messages that nobody has read unpack to too much")

    @property
    def room_for_call(self) -> bool:
        """False while so much lies unread that no call should be added to it."""
        return self._unpacked <= self._limits.unread_bytes

    def empty_data(self, in_a_row: int) -> None:
        """A DATA frame without payload and END_STREAM, the ``in_a_row``-th of its stream (SEC-7)."""
        self._empty_data += 1
        self.fruitless = True
        limits = self._limits
        if in_a_row > limits.empty_data_in_a_row:
            raise too_much(Limit.EMPTY_DATA_IN_A_ROW, "too many empty DATA frames on one stream")
        if self._empty_data > limits.empty_data_on_connection:
            raise too_much(Limit.EMPTY_DATA_ON_CONNECTION, "too many empty DATA frames on the connection")

    def interim_response(self) -> None:
        """A 1xx response was skipped. Any number is allowed (MAL-5), but not without an end."""
        self._interim += 1
        self.fruitless = True
        if self._interim > self._limits.interim_responses:
            raise too_much(Limit.INTERIM_RESPONSES, "too many interim responses")

    def progress(self) -> None:
        """Payload, or the headers of a call, have come. Need be said only while there was something `fruitless`."""
        self._empty_data = self._interim = 0
        self.fruitless = False
