"""What has come for a call's reader, in order, and how much of it the peer has been credited for."""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING

from ..config import Config
from .events import CallEvent, InitialMetadata, Message
from .framing import PREFIX, MessageDecoder, Unpacked
from .tables import Fault

if TYPE_CHECKING:
    from .lane import Lane

__all__: list[str] = []


#: What Python takes for a message besides its bytes: tiny ones cost more than they weigh on the wire (SEC-11).
OBJECT = 48


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
        self._items: deque[bytes | Unpacked | CallEvent] = deque()
        self._reader = Reader.UNASKED
        self._early = 0  # bytes of the next message that were credited before it was taken
        self._second: Fault | None = None  # what a second message is, where exactly one is expected,
        self._spare: bytes | Unpacked | None = None  # and the first

    # --- what comes -----------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> bool:
        """Takes bytes of messages in; whether the reader must be told. See `fault` after it."""
        decoder, before = self.decoder, self.decoder.buffered
        messages = decoder.feed(data)
        self._lane.kept(decoder.buffered - before + sum(map(_memory_of, messages)))
        if self._second is not None:
            return self._keep_aside(messages, self._second)
        if messages:
            self._items.extend(messages)
            return self.tell()
        if decoder.buffered:
            if self._reader is Reader.WAITING:
                self._credit_unfinished()
            elif self._reader is Reader.UNASKED:
                return self.tell()  # it must ask for a message that is larger than the window to come through
        return False

    def _keep_aside(self, messages: list[bytes | Unpacked], second: Fault) -> bool:
        for message in messages:
            if self._spare is not None:
                self.decoder.fault = second
                return False
            self._spare = message
            self._early = 0
        if self.decoder.buffered and not messages:
            self._credit_unfinished()
        return False

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
        messages = [item for item in self._items if isinstance(item, (bytes, Unpacked))]
        self._items.clear()
        if len(messages) > 1:
            return second
        self._spare = messages[0] if messages else None
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
            if isinstance(head, (bytes, Unpacked)):
                items.popleft()
                return self._took(head)
            if not isinstance(head, InitialMetadata):
                return None
            items.popleft()
        self._found_nothing()
        return None

    def next_event(self) -> CallEvent | None:
        if not self._items:
            self._found_nothing()
            return None
        head = self._items.popleft()
        if isinstance(head, (bytes, Unpacked)):
            payload = self._took(head)
            return Message(payload, self.was_compressed)
        return head

    def clear(self) -> None:
        """Nobody will take what is here."""
        self._items.clear()

    def end(self, event: CallEvent) -> None:
        """Nothing comes after this; what came before it can still be taken, and the reader is told in any case."""
        self._spare = None
        self._items.append(event)
        self._reader = Reader.ANNOUNCED

    # --- credit ---------------------------------------------------------------------------------------------------

    def _took(self, message: bytes | Unpacked) -> bytes:
        self.was_compressed = isinstance(message, Unpacked)
        size = message.wire_size if isinstance(message, Unpacked) else len(message)
        owed = size + PREFIX - self._early
        self._early = 0
        self._lane.kept(-_memory_of(message))
        if owed:
            self._lane.consumed(owed)
        return message.payload if isinstance(message, Unpacked) else message

    def _found_nothing(self) -> None:
        self._reader = Reader.WAITING
        self._credit_unfinished()

    def _credit_unfinished(self) -> None:
        """A reader waits for a message that may be larger than the window, or it is the only one: its bytes are
        credited as they come, up to the message limit, which the decoder has checked (FLOW-4)."""
        owed = self.decoder.buffered - self._early
        if owed > 0:
            self._early += owed
            self._lane.consumed(owed)


def _memory_of(message: bytes | Unpacked) -> int:
    if isinstance(message, Unpacked):
        return 3 * OBJECT + len(message.payload)
    return OBJECT + len(message)
