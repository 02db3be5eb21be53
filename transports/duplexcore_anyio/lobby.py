"""Where calls are while there is no connection for them."""

from __future__ import annotations

import dataclasses
import math

from anyio.abc import TaskGroup

from duplexcore import ClientConfig, ClientConnection

from .keeper import Keeper
from .waiting import clock

__all__ = ["Lobby"]


class Lobby(Keeper[ClientConnection]):
    """An engine that no bytes ever reach. A call in it waits for a stream as on any connection: in order, bounded,
    with its deadline, its messages within their buffer, and free to be cancelled (CHAN-12)."""

    def __init__(self, config: ClientConfig, *, peer: str) -> None:
        self._config = dataclasses.replace(config, handshake_timeout=math.inf)
        super().__init__(self._fresh(), peer=peer)

    def _fresh(self) -> ClientConnection:
        return ClientConnection(self._config, now=clock()())

    def start(self, tasks: TaskGroup) -> None:
        """Keeps time, until `close`."""
        self._start_clock(tasks)

    def wake_writer(self) -> None:
        """Nothing is written here."""

    def clear(self, reason: str) -> None:
        """Lets every call go, in order: to wherever it can be started again, or to its end with ``reason``."""
        old, self.engine = self.engine, self._fresh()
        old.transport_failed(reason, self.now())
        self._pass_on(old)
        self.settle()

    def close(self) -> None:
        """Cancels every call, and takes no more."""
        now = self.now()
        self.engine.shutdown(deadline=now)
        self.engine.handle_timeout(now)
        self.settle()
        self._stop_clock()


class ClosedDoor(Keeper[ClientConnection]):
    """Where a call ends at once, with ``reason``, as one that never left."""

    def __init__(self, config: ClientConfig, *, peer: str, reason: str) -> None:
        super().__init__(ClientConnection(config, now=clock()()), peer=peer)
        self.engine.transport_failed(reason, self.now())

    def wake_writer(self) -> None:
        """Nothing is written here."""
