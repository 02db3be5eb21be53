"""Every order of three people who enter, talk, leave and are cut off: `pytest test_room.py`."""

from room import TALK, Room

from duplexcore.rpc import HandlerTable
from duplexcore.testing.service import Calls, ServiceMachine, always, at_rest, sometimes


class Chat(ServiceMachine):
    calls = Calls(TALK, messages=(b"hi", b"bye"))

    def service(self) -> HandlerTable:
        self.room = Room()
        return self.room.router

    @always
    def everybody_hears_the_same(self) -> None:
        for caller in self.callers:
            assert caller.received == self.room.log[: len(caller.received)], f"call {caller.index}: {caller.received}"

    @always
    def nobody_is_a_ghost(self) -> None:
        assert len(self.room.members) <= len(self.running)

    @at_rest
    def in_the_end_the_room_is_empty(self) -> None:
        assert not self.room.members

    @sometimes
    def two_talk_at_once(self) -> bool:
        return len(self.room.members) == 2


TestChat = Chat.TestCase
