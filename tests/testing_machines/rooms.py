"""The chat rooms of the examples, as machines with one check each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from duplexcore.rpc import HandlerTable
from duplexcore.testing.service import Calls, ServiceMachine, always

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "chat_room"


@contextmanager
def _reachable() -> Iterator[None]:
    sys.path.insert(0, str(FOLDER))
    try:
        yield
    finally:
        sys.path.remove(str(FOLDER))


with _reachable():
    HastyRoom: Any = import_module("hasty_room").HastyRoom
    TALK: Any = import_module("room").TALK


class Hasty(ServiceMachine):
    """The room with two races, and nothing that is asked of it."""

    handlers_may_fail = True

    calls = Calls(TALK, messages=(b"hi", b"bye"))

    def service(self) -> HandlerTable:
        self.room = HastyRoom()
        router: HandlerTable = self.room.router
        return router


class Ghosts(Hasty):
    @always
    def nobody_is_a_ghost(self) -> None:
        assert len(self.room.members) <= len(self.running), f"{len(self.room.members)} members"


class LostLines(Hasty):
    faults = False

    @always
    def everybody_hears_the_same(self) -> None:
        for caller in self.callers:
            assert caller.received == self.room.log[: len(caller.received)], f"call {caller.index}: {caller.received}"
