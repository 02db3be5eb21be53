"""The engine alone: two connections in memory, no socket, no event loop. Microseconds of CPU of each side, and memory.

``python -m benchmarks engine`` shows it; as a program of its own this module prints JSON. It uses what the engine has
offered from the beginning, so that the same file measures older revisions.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
import tracemalloc
from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

from duplexcore import AbuseLimits, CallStarted, ClientConfig, ClientConnection, ServerConfig, ServerConnection

__all__ = ["FIGURES", "OPEN", "carriers", "measure"]

#: Figure -> what it is.
FIGURES = {
    "call": "unary call of 100 B there and back: µs",
    "dressed-call": "the same with a deadline and 3 fields of metadata, one of them new each time: µs",
    "message": "message of 100 B in a frame of its own: µs",
    "message-of-100": "one of 100 such messages that leave together: µs",
    "mebibyte": "message of 1 MiB: µs",
    "opening-10": "opening a call with 10 open: µs",
    "opening-1000": "opening a call with 1,000 open: µs",
    "opening-10000": "opening a call with 10,000 open: µs",
    "open-call-bytes": "memory of an open call that is silent: bytes",
    "open-call-blocks": "the same: allocated blocks",
    "call-peak": "most memory while one unary call is handled, above what stays: bytes",
    "call-left": "what stays of a unary call that is over: blocks",
    "message-peak": "most memory while one message is handled, above what stays: bytes",
    "unread-message-bytes": "memory of a received message of 100 B that nobody has taken: bytes",
    "unread-message-blocks": "the same: allocated blocks",
}
SIZE, MIB = 100, 1024 * 1024
#: Calls that are in flight at once where calls are timed; their memory is not measured.
BATCH = 32
#: Calls and messages whose memory is measured together.
MANY = 200
#: How many calls are open where the opening of one more is timed.
OPEN = (10, 1_000, 10_000)
METHOD = "/duplexcore.bench.Echo/Unary"
HARD = 20_000
Config = dict[str, Any]
Figures = dict[str, dict[str, float]]


def carriers() -> list[str]:
    """What HTTP/2 layers this revision has."""
    known = "http2" in {field.name for field in dataclasses.fields(ClientConfig)}
    return ["h2", "native"] if known else ["h2"]


class Pair:
    """A client and a server that have met. ``used``: CPU seconds of each since `reset`."""

    def __init__(self, http2: str) -> None:
        config: Config = {"http2": http2} if len(carriers()) > 1 else {}
        self.client = ClientConnection(ClientConfig(max_waiting_calls=HARD, **config), now=0.0)
        # It is always 0.0 here: all calls that are cancelled are of one period.
        abuse = AbuseLimits(peer_resets=sys.maxsize)
        self.server = ServerConnection(ServerConfig(max_concurrent_calls=HARD, abuse=abuse, **config), now=0.0)
        self.used = {"client": 0.0, "server": 0.0}
        self._numbers = 0
        for _ in range(3):
            self.carry()
        self.reset()

    def reset(self) -> None:
        """Counts from here."""
        self.used = dict.fromkeys(self.used, 0.0)

    def carry(self) -> list[Any]:
        """What each has to say, once; the calls that have started at the server."""
        begun = process_time()
        data = self.client.data_to_send(0.0)
        sent = process_time()
        self.server.receive_data(data, 0.0)
        events = list(iter(self.server.next_event, None))
        answer = self.server.data_to_send(0.0)
        answered = process_time()
        self.client.receive_data(answer, 0.0)
        while self.client.next_event() is not None:
            pass
        ended = process_time()
        self.used["client"] += sent - begun + ended - answered
        self.used["server"] += answered - sent
        return [event.call for event in events if isinstance(event, CallStarted)]

    def timed(self, side: str, action: Callable[[], Any]) -> Any:
        """Does it, at the expense of a side."""
        begun = process_time()
        result = action()
        self.used[side] += process_time() - begun
        return result

    # -- calls -----------------------------------------------------------------------------------------------------

    def calls(self, count: int, *, dressed: bool = False, times: int = 1) -> None:
        """So many unary calls at once, to their ends; so many times."""
        for _ in range(times):
            self._calls(count, dressed=dressed)

    def _calls(self, count: int, *, dressed: bool) -> None:
        asked = self.timed("client", lambda: [self._ask(dressed=dressed) for _ in range(count)])
        started = self.carry()
        self.timed("server", lambda: self._answer(started))
        self.carry()
        self.timed("client", lambda: self._finish(asked))
        self.carry()

    def _ask(self, *, dressed: bool) -> Any:
        self._numbers += 1
        if dressed:
            metadata = [
                ("x-request-id", f"{self._numbers:032x}"),
                ("x-tenant", "acme-europe"),
                ("authorization", "Bearer bGV0IG1lIGluLCBwbGVhc2U6IGl0IGlzIGNvbGQ"),
            ]
            call = self.client.start_call(METHOD, metadata, deadline=59.0 + self._numbers % 1000 / 1000)
        else:
            call = self.client.start_call(METHOD)
        call.send_message(bytes(SIZE))
        call.half_close()
        return call

    def _answer(self, calls: list[Any]) -> None:
        for call in calls:
            request = call.take_message()
            assert len(request) == SIZE
            call.send_message(request)
            call.finish()

    def _finish(self, calls: list[Any]) -> None:
        for call in calls:
            assert len(call.take_message()) == SIZE
            while call.next_event() is not None:
                pass
            assert call.ended.status.ok

    def open(self) -> tuple[Any, Any]:
        """A call that goes on: the client's and the server's."""
        call = self.timed("client", lambda: self.client.start_call(METHOD))
        [started] = self.carry()
        return call, started

    # -- messages --------------------------------------------------------------------------------------------------

    def messages(self, asked: Any, started: Any, count: int, size: int, together: int | None = None) -> None:
        """So many messages from the client to the server, and the credit that comes back; so many leave at once."""
        for _ in range(0, count, together or count):
            self._messages(asked, started, together or count, bytes(size))

    def _messages(self, asked: Any, started: Any, count: int, message: bytes) -> None:
        taken = 0
        self.timed("client", lambda: [asked.send_message(message) for _ in range(count)])
        while taken < count:
            self.carry()
            taken += self.timed("server", lambda: _take(started))


def _take(call: Any) -> int:
    taken = 0
    while call.take_message() is not None:
        taken += 1
    return taken


# -- figures -----------------------------------------------------------------------------------------------------------


def measure(http2: str, seconds: float, most: int) -> Figures:
    """All figures of a carrier, with at most so many calls open; each is timed for so many seconds. Figure -> side (or
    "both") -> value."""
    return {**_times(http2, seconds, most), **_memory(http2)}


def _times(http2: str, seconds: float, most: int) -> Figures:
    pair = Pair(http2)
    asked, started = pair.open()
    figures = {
        "call": _per(pair, BATCH, seconds, lambda: pair.calls(BATCH)),
        "dressed-call": _per(pair, BATCH, seconds, lambda: pair.calls(BATCH, dressed=True)),
        "message": _per(pair, BATCH, seconds, lambda: pair.messages(asked, started, BATCH, SIZE, together=1)),
        "message-of-100": _per(pair, 100, seconds, lambda: pair.messages(asked, started, 100, SIZE)),
        "mebibyte": _per(pair, 1, seconds, lambda: pair.messages(asked, started, 1, MIB)),
    }
    kept: list[Any] = []
    for count in (number for number in OPEN if number <= most):
        while len(kept) < count:
            kept.append(pair.open())

        def open_some() -> None:
            opened = [pair.open() for _ in range(BATCH)]
            used = dict(pair.used)
            for call, _ in opened:
                call.cancel()
            pair.carry()
            for _, call in opened:
                call.finish()
            pair.carry()
            pair.used = used

        figures[f"opening-{count}"] = _per(pair, BATCH, min(seconds, 0.5), open_some)
    return figures


def _per(pair: Pair, count: int, seconds: float, action: Callable[[], object]) -> dict[str, float]:
    """Microseconds of each side, of one of the ``count`` that the action does: the median of its runs."""
    for _ in range(3):
        action()
    runs: list[dict[str, float]] = []
    spent = 0.0
    gc.collect()
    while spent < seconds or len(runs) < 3:
        pair.reset()
        begun = process_time()
        action()
        spent += process_time() - begun
        runs.append(pair.used)
    return {side: median(run[side] for run in runs) / count * 1e6 for side in ("client", "server")}


def _memory(http2: str) -> Figures:
    pair = Pair(http2)
    kept = [pair.open()]
    pair.calls(BATCH)
    opened, blocks = _grown(lambda: kept.extend(pair.open() for _ in range(MANY)))
    asked, started = kept[-1]
    pair.messages(asked, started, 8, SIZE)
    lying, lying_blocks = _grown(lambda: _lie(pair, asked, MANY))
    _take(started)
    pair.carry()
    _, left = _grown(lambda: pair.calls(1, times=MANY))
    return {
        "open-call-bytes": {"both": opened / MANY},
        "open-call-blocks": {"both": blocks / MANY},
        "unread-message-bytes": {"both": lying / MANY},
        "unread-message-blocks": {"both": lying_blocks / MANY},
        "call-peak": {"both": _peak(lambda: pair.calls(1))},
        "call-left": {"both": left / MANY},
        "message-peak": {"both": _peak(lambda: pair.messages(asked, started, 1, SIZE))},
    }


def _lie(pair: Pair, asked: Any, count: int) -> None:
    for _ in range(count):
        asked.send_message(bytes(SIZE))
    pair.carry()


def _grown(action: Callable[[], object]) -> tuple[float, float]:
    """Bytes and blocks that an action leaves behind."""
    gc.collect()
    tracemalloc.start()
    before, blocks = tracemalloc.get_traced_memory()[0], sys.getallocatedblocks()
    action()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before, sys.getallocatedblocks() - blocks
    tracemalloc.stop()
    return grown


def _peak(action: Callable[[], object]) -> float:
    """Bytes that an action needs for a moment: the median of some."""
    peaks = []
    tracemalloc.start()
    for _ in range(20):
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        action()
        now, peak = tracemalloc.get_traced_memory()
        peaks.append(peak - max(before, now))
    tracemalloc.stop()
    return median(peaks)


if __name__ == "__main__":
    seconds_each, most_open = float(sys.argv[1]), int(sys.argv[2])
    print(json.dumps({http2: measure(http2, seconds_each, most_open) for http2 in carriers()}))
