"""What the two sides of a recorded connection may still send, and what of it is under way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .properties.flow import DATA, Ledger
from .wires import Frame

__all__ = ["Credits", "Window"]


class Window(NamedTuple):
    """What ``side`` may still send, in bytes, by what has reached it, and how much DATA of it is under way.

    ``stream`` 0 is the connection.
    """

    side: str
    stream: int
    credit: int
    under_way: int


class Credits:
    """Of one connection, by the frames that set out and arrive."""

    def __init__(self, client: str, server: str) -> None:
        self._other = {client: server, server: client}
        self._ledgers = {side: Ledger() for side in self._other}
        self._under_way: dict[tuple[str, int], int] = {}

    def framed(self, side: str, frame: Frame) -> None:
        """``side`` has made a frame."""
        if frame.type == DATA:
            self._ledgers[side].sent(frame)
            self._move(side, frame, len(frame.payload))

    def arrived(self, side: str, frame: Frame) -> None:
        """A frame has reached ``side``."""
        self._ledgers[side].arrived(frame)
        if frame.type == DATA:
            self._move(self._other[side], frame, -len(frame.payload))

    def windows(self, streams: Iterable[int]) -> list[Window]:
        """Both sides' now: of the connection, and of these streams."""
        streams = tuple(streams)
        found = []
        for side, ledger in self._ledgers.items():
            left_by_stream = {0: ledger.connection} | {one: ledger.streams.get(one, ledger.initial) for one in streams}
            under_way = self._under_way
            found += [Window(side, at, left, under_way.get((side, at), 0)) for at, left in left_by_stream.items()]
        return found

    def _move(self, sender: str, frame: Frame, size: int) -> None:
        for stream in (0, frame.stream):
            self._under_way[sender, stream] = self._under_way.get((sender, stream), 0) + size
