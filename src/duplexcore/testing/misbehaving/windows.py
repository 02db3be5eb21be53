"""Flow-control windows in one direction, of a connection and its streams (RFC 9113 section 6.9)."""

from __future__ import annotations

DEFAULT = 65_535


class Windows:
    """How many bytes of DATA may still be sent; may be negative."""

    def __init__(self) -> None:
        self.connection = DEFAULT
        self.initial = DEFAULT
        self.streams: dict[int, int] = {}

    def room(self, stream: int) -> int:
        return min(self.connection, self.streams.get(stream, self.initial))

    def spend(self, stream: int, size: int) -> None:
        self.connection -= size
        self.streams[stream] = self.streams.get(stream, self.initial) - size

    def credit(self, stream: int, size: int) -> None:
        if stream:
            self.streams[stream] = self.streams.get(stream, self.initial) + size
        else:
            self.connection += size

    def resize(self, initial: int) -> None:
        """What SETTINGS_INITIAL_WINDOW_SIZE does to the streams that are there."""
        for stream in self.streams:
            self.streams[stream] += initial - self.initial
        self.initial = initial
