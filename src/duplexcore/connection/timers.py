"""Timers as data: one heap of what is due when."""

from __future__ import annotations

import heapq
from enum import Enum
from typing import Any

__all__ = ["TimerKind", "Timers"]


class TimerKind(Enum):
    """Why a connection wants to be woken."""

    __hash__ = object.__hash__  # that of Enum is a function in Python

    #: A call's deadline (DEAD-5).
    DEADLINE = "deadline"
    #: Preface and SETTINGS of the peer are overdue (CONN-3).
    HANDSHAKE = "handshake"
    #: Our SETTINGS are not acknowledged (CONN-4).
    SETTINGS = "settings"
    #: The peer has been silent: ask whether it is there; and: it has not answered (KEEP-4, KEEP-6).
    KEEPALIVE = "keepalive"
    KEEPALIVE_TIMEOUT = "keepalive timeout"
    #: No stream for long, none at all since the start, or the connection is old (GOAW-3, SEC-10).
    IDLE = "idle"
    UNUSED = "unused"
    AGE = "age"
    #: A frame or a header block has begun and does not end (SEC-10).
    UNFINISHED = "unfinished"
    #: The PING of a graceful shutdown is unanswered: the final GOAWAY goes all the same (GOAW-1).
    DRAIN = "drain"
    #: The time that a shutdown leaves to calls is over (DUP-31).
    SHUTDOWN = "shutdown"


class Timers:
    """One timer for each (kind, target). Stopped ones leave the heap lazily, and before they outnumber the others."""

    __slots__ = ("_due", "_heap", "_serial")

    def __init__(self) -> None:
        self._due: dict[tuple[TimerKind, Any], tuple[float, int]] = {}
        self._heap: list[tuple[float, int, TimerKind, Any]] = []
        self._serial = 0

    def start(self, kind: TimerKind, when: float, target: Any = None) -> None:
        """``when``: absolute. Starting it again moves it."""
        self._serial += 1
        self._due[kind, target] = (when, self._serial)
        heapq.heappush(self._heap, (when, self._serial, kind, target))
        if len(self._heap) > 64 + 2 * len(self._due):
            self._heap = [entry for entry in self._heap if self._is_current(entry)]
            heapq.heapify(self._heap)

    def stop(self, kind: TimerKind, target: Any = None) -> None:
        self._due.pop((kind, target), None)

    def stop_all(self) -> None:
        self._due.clear()
        self._heap.clear()

    def when(self, kind: TimerKind, target: Any = None) -> float | None:
        """When that timer is due; None: it is not running."""
        due = self._due.get((kind, target))
        return due[0] if due else None

    def next(self) -> tuple[float, TimerKind] | None:
        """When, and why."""
        heap, due = self._heap, self._due
        while heap:
            when, serial, kind, target = heap[0]
            if due.get((kind, target)) == (when, serial):
                return when, kind
            heapq.heappop(heap)
        return None

    def pop_due(self, now: float) -> tuple[TimerKind, Any] | None:
        following = self.next()
        if following is None or following[0] > now:
            return None
        _, _, kind, target = heapq.heappop(self._heap)
        del self._due[kind, target]
        return kind, target

    def _is_current(self, entry: tuple[float, int, TimerKind, Any]) -> bool:
        when, serial, kind, target = entry
        return self._due.get((kind, target)) == (when, serial)

    def fingerprint_state(self) -> object:
        """What is due, in order: neither serial numbers nor what was stopped."""
        current = sorted((entry for entry in self._heap if self._is_current(entry)), key=lambda entry: entry[:2])
        return [(when, kind, target) for when, _, kind, target in current]
