"""A server's patience with PINGs, by the frames alone (gRFC A8, KEEP-8, KEEP-9)."""

from __future__ import annotations

from math import inf

from duplexcore import ServerConfig

from .wires import Frame

__all__ = ["Patience"]

DATA, HEADERS, RST, PING = 0, 1, 3, 6
ES = ACK = 1
#: The gap that is asked for where there are no streams, unless that is permitted: seconds.
WITHOUT_STREAMS = 7_200.0


class Patience:
    """Counts what comes too early; ``spent``: more than the server puts up with, so that it hears nothing more."""

    __slots__ = ("_config", "_highest", "_last", "_open", "_strikes", "spent")

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._last = -inf  # when the last PING came that was not too early
        self._strikes = 0
        self._open: dict[int, set[str]] = {}  # streams, with the sides that have ended their half
        self._highest = 0
        self.spent = False

    def framed(self, frame: Frame) -> None:
        """The server sends a frame."""
        if frame.type in (DATA, HEADERS):
            self._strikes, self._last = 0, -inf
        self._step(frame, "server")

    def arrived(self, frame: Frame, now: float) -> None:
        """A frame of the client reaches the server, whose clock shows ``now``."""
        if frame.type == PING and not frame.flags & ACK:
            self._ping(now)
        elif frame.type == HEADERS and frame.stream > self._highest:
            self._highest = frame.stream
            self._open[frame.stream] = set()
        self._step(frame, "client")

    def _ping(self, now: float) -> None:
        config = self._config
        patient = self._open or config.permit_keepalive_without_calls
        if now - self._last >= (config.permit_keepalive_time if patient else WITHOUT_STREAMS):
            self._last = now
            return
        self._strikes += 1
        self.spent = 0 < config.max_ping_strikes < self._strikes

    def _step(self, frame: Frame, side: str) -> None:
        if frame.stream not in self._open:
            return
        ended = self._open[frame.stream]
        if frame.type in (DATA, HEADERS) and frame.flags & ES:
            ended.add(side)
        if frame.type == RST or len(ended) == 2:
            del self._open[frame.stream]
