"""Which cells of the state tables a run has used: the tables execute, so it is enough to count what is looked up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from types import ModuleType
from typing import Any, Final, NamedTuple

import duplexcore.call.base
import duplexcore.call.client
import duplexcore.call.server
import duplexcore.connection.base
import duplexcore.http2.lane
from duplexcore import ClientCall, Origin, ServerCall
from duplexcore.call.tables import CLIENT_RECEIVE, SEND, SERVER_RECEIVE, Hear, Receive, Say, Send
from duplexcore.connection.tables import CONNECTION, ConnectionState, Turn
from duplexcore.http2.tables import STREAM, Step, StreamState

__all__ = ["TABLES", "Cell", "Table", "counted"]


class Cell(NamedTuple):
    """One place in a table: the name of the table, of the state, and of what happens."""

    table: str
    state: str
    event: str


class Table(NamedTuple):
    """A table of the engine, the modules that execute it, and the form in which they do: by pairs, or by number."""

    name: str
    executed: str
    cells: Mapping[Any, IntEnum]
    states: type[IntEnum]
    events: type[IntEnum]
    users: tuple[ModuleType, ...]

    @property
    def legal(self) -> list[Cell]:
        """What the table allows."""
        return [Cell(self.name, state.name, event.name) for state, event in self.cells]

    @property
    def illegal(self) -> list[Cell]:
        """What it does not: a misuse, or a fault of the peer."""
        every = ((state, event) for state in self.states for event in self.events)
        return [Cell(self.name, state.name, event.name) for state, event in every if (state, event) not in self.cells]


TABLES: Final = (
    Table("SEND", "SAID", SEND, Send, Say, (duplexcore.call.base, duplexcore.call.client, duplexcore.call.server)),
    Table("CLIENT_RECEIVE", "CLIENT_HEARD", CLIENT_RECEIVE, Receive, Hear, (duplexcore.call.client,)),
    Table("SERVER_RECEIVE", "SERVER_HEARD", SERVER_RECEIVE, Receive, Hear, (duplexcore.call.server,)),
    Table("STREAM", "FRAMED", STREAM, StreamState, Step, (duplexcore.http2.lane,)),
    Table("CONNECTION", "CONNECTION", CONNECTION, ConnectionState, Turn, (duplexcore.connection.base,)),
)


class _Counting(dict[Any, Any]):
    """A table that counts; also what is not in it."""

    def __init__(self, table: Table, counts: Counter[Cell]) -> None:
        super().__init__(table.cells)
        self._name = table.name
        self._counts = counts

    def _count(self, key: tuple[IntEnum, IntEnum]) -> None:
        self._counts[Cell(self._name, key[0].name, key[1].name)] += 1

    def get(self, key: Any, default: Any = None) -> Any:
        self._count(key)
        return super().get(key, default)

    def __getitem__(self, key: Any) -> Any:
        self._count(key)
        return super().__getitem__(key)


class _CountingRow:
    """One row of a table by number, that counts."""

    def __init__(self, table: Table, event: IntEnum, counts: Counter[Cell]) -> None:
        self._table = table
        self._event = event
        self._counts = counts

    def __getitem__(self, state: IntEnum) -> IntEnum | None:
        self._counts[Cell(self._table.name, state.name, self._event.name)] += 1
        return self._table.cells.get((state, self._event))


def _counting(table: Table, counts: Counter[Cell]) -> Any:
    if table.executed == table.name:
        return _Counting(table, counts)
    return tuple(_CountingRow(table, event, counts) for event in table.events)


def _counting_resets(on_reset: Any, table: str, counts: Counter[Cell]) -> Any:
    """An end that comes from below needs no look-up, since it is possible everywhere; it is counted all the same."""

    def reset(call: Any, code: int, origin: Origin, *rest: Any, **more: Any) -> None:
        if call.ended is None and origin is Origin.PEER:
            counts[Cell(table, call.receive_state.name, Hear.RESET.name)] += 1
        on_reset(call, code, origin, *rest, **more)

    return reset


@contextmanager
def counted() -> Generator[Counter[Cell]]:
    """Counts the cells that every engine of this process uses meanwhile; for one thread."""
    counts: Counter[Cell] = Counter()
    replaced = [(module, table) for table in TABLES for module in table.users]
    before: list[tuple[Any, str, Any]] = [
        (module, table.executed, getattr(module, table.executed)) for module, table in replaced
    ]
    calls: tuple[tuple[Any, str], ...] = ((ClientCall, "CLIENT_RECEIVE"), (ServerCall, "SERVER_RECEIVE"))
    before += [(call, "on_reset", call.on_reset) for call, _ in calls]
    for call, name in calls:
        call.on_reset = _counting_resets(call.on_reset, name, counts)
    for module, table in replaced:
        setattr(module, table.executed, _counting(table, counts))
    try:
        yield counts
    finally:
        for module, name, value in before:
            setattr(module, name, value)
