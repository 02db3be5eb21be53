"""What has come for a call's reader, in order, and how much of it the peer has been credited for."""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from ..config import Config
from .events import CallEvent, InitialMetadata, Message
from .framing import PREFIX, Item, MessageDecoder, Run, Unpacked
from .tables import Fault

if TYPE_CHECKING:
    from .lane import Lane

__all__: list[str] = []


_ITEMS: Final = (Run, bytes, Unpacked)  # as `Item`, which is slower to test for


class Reader(IntEnum):
    """What is known of the one who takes messages. UNASKED: nothing yet; WAITING: it found nothing to take;
    ANNOUNCED: it was told to look."""

    UNASKED = 0
    WAITING = 1
    ANNOUNCED = 2


class Inbox:
    """Bytes and events in, messages and events out, in the same order.

    Where a method says that it returns whether the reader must be told, it is told once: not again before it has found
    the inbox empty. A call with one message only keeps it aside until the peer's end shows that it was the only one.
    """

    __slots__ = ("_early", "_items", "_lane", "_reader", "_second", "_spare", "decoder", "was_compressed")

    def __init__(self, lane: Lane, config: Config) -> None:
        self._lane = lane
        self.decoder = MessageDecoder(config.max_receive_message_size, config.compressions)
        #: Whether the message that was taken last came compressed (COMP-11).
        self.was_compressed = False
        self._items: deque[Item | CallEvent] = deque()
        self._reader = Reader.UNASKED
        self._early = 0  # bytes of the next message that were credited before it was taken
        self._second: Fault | None = None  # what a second message is, where exactly one is expected,
        self._spare: Item | None = None  # and the first

    # --- what comes -----------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> bool:
        """Takes bytes of messages in; whether the reader must be told. See `fault` after it."""
        came = False
        for item in self.decoder.feed(data):
            came = True
            if isinstance(item, Unpacked):
                self._lane.kept(item.gain)
            if self._second is None:
                self._append(item)
            elif not self._keep_aside(item, self._second):
                return False
        if self._second is not None:
            if not came:
                self._advance_unfinished()
        elif came:
            return self.tell()
        elif self._reader is Reader.WAITING:
            self._advance_unfinished()
        elif self._reader is Reader.UNASKED and self.decoder.buffered:
            return self.tell()  # it must ask for a message that is larger than the window to come through
        return False

    def _append(self, item: Item) -> None:
        last = self._items[-1] if self._items else None
        if not (isinstance(item, Run) and isinstance(last, Run) and last.absorb(item)):
            self._items.append(item)

    def _keep_aside(self, item: Item, second: Fault) -> bool:
        """Whether it was the only message so far."""
        if self._spare is not None or _count(item) > 1:
            self.decoder.fault = second
            return False
        self._spare = item
        return True

    @property
    def fault(self) -> Fault | None:
        """Why nothing more can come, if something was wrong with the messages."""
        return self.decoder.fault

    @property
    def unfinished(self) -> bool:
        """Whether a message has come in part."""
        return self.decoder.buffered > 0

    def put(self, event: CallEvent) -> bool:
        """Whether the reader must be told."""
        self._items.append(event)
        return self.tell()

    def tell(self) -> bool:
        """Whether the reader has not been told yet; from here on it has."""
        if self._reader is Reader.ANNOUNCED:
            return False
        self._reader = Reader.ANNOUNCED
        return True

    # --- one message only -----------------------------------------------------------------------------------------

    @property
    def single(self) -> bool:
        return self._second is not None

    def expect_one(self, second: Fault) -> Fault | None:
        """From here on one message is delivered, at `complete`; ``second`` is what one more means, also now."""
        self._second = second
        items = [item for item in self._items if isinstance(item, _ITEMS)]
        self._items.clear()
        if sum(map(_count, items)) > 1:
            return second
        self._spare = items[0] if items else None
        return None

    def complete(self) -> bool:
        """The peer has ended its half in order: the only message can be taken now. False: it has not come."""
        if self._second is None:
            return True
        if self._spare is None:
            return False
        self._items.append(self._spare)
        self._spare = None
        return True

    # --- what is taken --------------------------------------------------------------------------------------------

    def take_message(self) -> bytes | None:
        """The next message, with the `InitialMetadata` before it passed over; None when another event is next, or
        nothing."""
        items = self._items
        while items:
            head = items[0]
            if isinstance(head, _ITEMS):
                return self._take_from(head)
            if not isinstance(head, InitialMetadata):
                return None
            items.popleft()
        self._found_nothing()
        return None

    def next_event(self) -> CallEvent | None:
        if not self._items:
            self._found_nothing()
            return None
        head = self._items[0]
        if isinstance(head, _ITEMS):
            payload = self._take_from(head)
            return Message(payload, self.was_compressed)
        self._items.popleft()
        return head

    def clear(self) -> None:
        """Nobody will take what is here."""
        self._items.clear()
        self._settle()

    def end(self, event: CallEvent) -> None:
        """Nothing comes after this; what came before it can still be taken, and the reader is told in any case."""
        self._spare = None
        self.decoder.drop()
        self._items.append(event)
        self._reader = Reader.ANNOUNCED

    # --- credit ---------------------------------------------------------------------------------------------------

    def _take_from(self, head: Item) -> bytes:
        """The first message of the first item; its bytes are credited."""
        if isinstance(head, Run):
            payload, self.was_compressed = head.take()
            size = len(payload)
            if not head.count:
                self._items.popleft()
        else:
            self._items.popleft()
            self.was_compressed = isinstance(head, Unpacked)
            if isinstance(head, Unpacked):
                payload, size = head.payload, head.wire_size
                self._lane.kept(-head.gain)
            else:
                payload, size = head, len(head)
        owed = size + PREFIX - self._early
        if self._early:
            self._settle()
        if owed:
            self._lane.consumed(owed)
        return payload

    def _settle(self) -> None:
        self._early = 0
        self._lane.settle()

    def _found_nothing(self) -> None:
        self._reader = Reader.WAITING
        self._advance_unfinished()

    def _advance_unfinished(self) -> None:
        """A reader waits for a message that may be larger than the window, or it is the only one: its bytes are
        credited as they come, up to the message limit, which the decoder has checked (FLOW-4)."""
        owed = self.decoder.buffered - self._early
        if owed > 0:
            self._early += owed
            self._lane.advance(owed)


def _count(item: Item) -> int:
    return item.count if isinstance(item, Run) else 1
