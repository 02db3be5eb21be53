"""What has come for a call's reader, in order, and how much of it the peer has been credited for."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from ..config import Config
from .events import CallEvent, InitialMetadata, Message
from .framing import PREFIX, PREFIX_FORMAT, SMALL, Item, MessageDecoder, Run, Unpacked, frame_message
from .tables import Fault

if TYPE_CHECKING:
    from .lane import Lane

__all__: list[str] = []


#: So much of an unfinished message is credited before it has come, in two halves: bytes.
AHEAD: Final = 1024 * 1024
_ITEMS: Final = (Run, bytes, Unpacked)  # as `Item`, which is slower to test for


class Reader(Enum):
    """What is known of the one who takes messages. UNASKED: nothing yet; WAITING: it found nothing to take;
    ANNOUNCED: it was told to look."""

    UNASKED = auto()
    WAITING = auto()
    ANNOUNCED = auto()


_UNASKED: Final = Reader.UNASKED
_WAITING: Final = Reader.WAITING
_ANNOUNCED: Final = Reader.ANNOUNCED
_read_prefix: Final = PREFIX_FORMAT.unpack_from


class Inbox:
    """Bytes and events in, messages and events out, in the same order.

    Where a method says that it returns whether the reader must be told, it is told once: not again before it has found
    the inbox empty. A call with one message only keeps it aside until the peer's end shows that it was the only one.
    """

    __slots__ = (
        "_aside",
        "_config",
        "_decoder",
        "_early",
        "_first",
        "_lane",
        "_owed",
        "_reader",
        "_rest",
        "_second",
        "_spare",
        "encoding",
        "fault",
        "was_compressed",
    )

    def __init__(self, lane: Lane, config: Config) -> None:
        self._lane = lane
        self._config = config
        self._decoder: MessageDecoder | None = None  # made for the first frame that is not one message, whole and plain
        #: The peer's ``grpc-encoding``.
        self.encoding = ""
        #: Why nothing more can come, if something was wrong with the messages.
        self.fault: Fault | None = None
        #: Whether the message that was taken last came compressed (COMP-11).
        self.was_compressed = False
        # What waits is one thing nearly always: a queue of its own would take more memory than all else of a call.
        self._first: Item | CallEvent | None = None
        self._rest: list[Item | CallEvent] | None = None
        self._reader = _UNASKED
        self._owed = 0  # bytes that were taken, and are not credited yet: fewer than `SMALL`
        self._early = 0  # bytes of the next message that were credited before it was taken
        self._second: Fault | None = None  # what a second message is, where exactly one is expected,
        self._spare: Item | None = None  # and the first
        self._aside = 0  # of `_early`, what was credited of the first

    # --- what comes -----------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> bool:
        """Takes bytes of messages in; whether the reader must be told. See `fault` after it."""
        decoder = self._decoder
        if (
            int.from_bytes(data[:PREFIX], "big") == len(data) - PREFIX <= self._config.max_receive_message_size
            and (decoder is None or not decoder.buffered)
            and self.fault is None
        ):  # one message, whole and plain: what most frames bring
            if self._second is not None:
                self._keep_aside(data[PREFIX:], self._second)
                return False
            if self._first is None:
                self._first = data[PREFIX:]
            else:
                self._append(Run(data, 1))
            return self.tell()
        if self.fault is not None:
            return False
        if decoder is None:
            config = self._config
            decoder = self._decoder = MessageDecoder(config.max_receive_message_size, config.compressions)
            decoder.encoding = self.encoding
        came = False
        for item in decoder.feed(data):
            came = True
            if isinstance(item, Unpacked):
                self._lane.kept(item.gain)
            if self._second is None:
                self._append(item)
            elif not self._keep_aside(item, self._second):
                return False
        self.fault = decoder.fault
        if self._second is not None:
            if decoder.buffered:  # of the second one, too: it is refused when it is whole
                self._advance_unfinished()
        elif came:
            return self.tell()
        elif self._reader is _WAITING:
            self._advance_unfinished()
        elif self._reader is _UNASKED and decoder.buffered:
            return self.tell()  # it must ask for a message that is larger than the window to come through
        return False

    def _append(self, item: Item | CallEvent) -> None:
        if self._first is None:
            self._first = item
        elif self._rest is None:
            if not (isinstance(item, Run) and isinstance(self._first, Run) and self._first.absorb(item)):
                self._rest = [item]
        else:
            last = self._rest[-1]
            if not (isinstance(item, Run) and isinstance(last, Run) and last.absorb(item)):
                self._rest.append(item)

    def _drop_first(self) -> None:
        if self._rest is None:
            self._first = None
        else:
            self._first = self._rest.pop(0)
            if not self._rest:
                self._rest = None

    @property
    def waiting(self) -> list[Item | CallEvent]:
        """What has come and is not taken, in order; for a look from outside."""
        return [item for item in (self._first, *(self._rest or ())) if item is not None]

    def _keep_aside(self, item: Item, second: Fault) -> bool:
        """Whether it was the only message so far."""
        if self._spare is not None or _count(item) > 1:
            self.fault = second
            return False
        self._spare, self._aside = item, self._early
        return True

    @property
    def unfinished(self) -> bool:
        """Whether a message has come in part."""
        return self.buffered > 0

    @property
    def buffered(self) -> int:
        """Bytes of the unfinished message that have come."""
        return 0 if self._decoder is None else self._decoder.buffered

    def put(self, event: CallEvent) -> bool:
        """Whether the reader must be told."""
        self._append(event)
        return self.tell()

    def tell(self) -> bool:
        """Whether the reader has not been told yet; from here on it has."""
        if self._reader is _ANNOUNCED:
            return False
        self._reader = _ANNOUNCED
        return True

    # --- one message only -----------------------------------------------------------------------------------------

    @property
    def single(self) -> bool:
        return self._second is not None

    def expect_one(self, second: Fault) -> Fault | None:
        """From here on one message is delivered, at `complete`; ``second`` is what one more means, also now."""
        self._second = second
        if self._first is None:
            return None
        items = [item for item in self.waiting if isinstance(item, _ITEMS)]
        self._first = self._rest = None
        if sum(map(_count, items)) > 1:
            return second
        self._spare = items[0] if items else None
        return None

    def has_one(self, second: Fault) -> bool:
        """Whether one message and the end of the peer's half are all that waits: then it is as if one had been expected
        from the beginning."""
        first, rest = self._first, self._rest
        if rest is None or len(rest) != 1 or isinstance(rest[0], _ITEMS):
            return False
        if type(first) is not bytes and not (type(first) is Run and first.count == 1):
            return False
        self._second = second
        return True

    def complete(self) -> bool:
        """The peer has ended its half in order: the only message can be taken now. False: it has not come."""
        if self._second is None:
            return True
        if self._spare is None:
            return False
        self._append(self._spare)
        self._spare = None
        return True

    # --- what is taken --------------------------------------------------------------------------------------------

    def take_message(self) -> bytes | None:
        """The next message, with the `InitialMetadata` before it passed over; None when another event is next, or
        nothing."""
        while (first := self._first) is not None:
            if type(first) is Run and not self._early:
                flags, length = _read_prefix(first.data, first.at)
                start = first.at + PREFIX
                first.at = end = start + length
                first.count -= 1
                self.was_compressed = flags == 1
                self._owed += PREFIX + length
                if not first.count:
                    self._drop_first()
                    self._credit()
                elif self._owed >= SMALL:
                    self._credit()
                return first.data[start:end]
            if type(first) is bytes and not self._early:
                if self._rest is None:
                    self._first = None
                else:
                    self._drop_first()
                self.was_compressed = False
                owed, self._owed = self._owed + PREFIX + len(first), 0
                self._lane.consumed(owed)
                return first
            if isinstance(first, _ITEMS):
                return self._take_from(first)
            if not isinstance(first, InitialMetadata):
                return None
            self._drop_first()
        self._found_nothing()
        return None

    def next_event(self) -> CallEvent | None:
        first = self._first
        if first is None:
            self._found_nothing()
            return None
        if isinstance(first, _ITEMS):
            payload = self._take_from(first)
            return Message(payload, self.was_compressed)
        self._drop_first()
        return first

    def clear(self) -> None:
        """Nobody will take what is here."""
        self._first = self._rest = None
        if self._owed:
            self._credit()
        if self._early:
            self._early = self._lane.settle(0)

    def end(self, event: CallEvent) -> None:
        """Nothing comes after this; what came before it can still be taken, and the reader is told in any case."""
        self._spare = None
        if self._decoder is not None:
            self._decoder.drop()
        self._append(event)
        self._reader = _ANNOUNCED

    # --- credit ---------------------------------------------------------------------------------------------------

    def _take_from(self, first: Item) -> bytes:
        """A message of the first item; its bytes are owed."""
        if isinstance(first, Run):
            payload, self.was_compressed = first.take()
            size = len(payload)
            if not first.count:
                self._drop_first()
        else:
            self._drop_first()
            self.was_compressed = isinstance(first, Unpacked)
            if isinstance(first, Unpacked):
                payload, size = first.payload, first.wire_size
                self._lane.kept(-first.gain)
            else:
                payload, size = first, len(first)
        self._owed += size + PREFIX
        if self._early:
            self._settle(size + PREFIX)
        if self._owed:
            self._credit()
        return payload

    def _credit(self) -> None:
        owed, self._owed = self._owed, 0
        self._lane.consumed(owed)

    def _settle(self, size: int) -> None:
        """A message of ``size`` bytes, which are owed, is taken: but what was credited early is not owed, as far as it
        does not stay credited for the next message."""
        stays = self._lane.settle(size)
        self._owed = max(0, self._owed - self._early + stays)  # less than nothing: the stream is over
        self._early = stays

    def _found_nothing(self) -> None:
        self._reader = _WAITING
        if self._decoder is not None and self._decoder.buffered:
            self._advance_unfinished()

    def _advance_unfinished(self) -> None:
        """A reader waits for a message that may be larger than the window, or it is the only one: its bytes are
        credited before they are taken, up to the message limit, which the decoder has checked (FLOW-4); and before
        they come, or the peer would wait for credit again and again."""
        assert self._decoder is not None
        ahead = self._ahead(self._decoder)
        if ahead <= AHEAD // 2:
            owed = min(self._decoder.missing, AHEAD) - ahead
            if owed > 0:
                self._early += owed
                self._lane.advance(owed)

    def _ahead(self, decoder: MessageDecoder) -> int:
        """Bytes of the unfinished message that are credited and have not come; negative: that have, and are not."""
        return self._early - self._aside - decoder.buffered

    @property
    def joinable(self) -> int:
        """How many bytes are only kept: they end no message, and none before the last makes credit due."""
        decoder = self._decoder
        if decoder is None:
            return 0
        missing, ahead = decoder.missing, self._ahead(decoder)
        if ahead < missing and (self._reader is _WAITING or self._second is not None):
            return min(missing, ahead - AHEAD // 2)
        return missing

    def fingerprint_state(self) -> object:
        """Without the accident of how bytes were cut, and messages joined: each is shown as it came, or would have come
        plain."""
        shown: list[object] = []
        for item in self.waiting:
            if isinstance(item, (Run, bytes)):
                whole = item.fingerprint_state() if isinstance(item, Run) else frame_message(item)
                if shown and isinstance(shown[-1], bytes):
                    shown[-1] += whole
                else:
                    shown.append(whole)
            else:
                shown.append(item)
        decoder = self._decoder
        unfinished = decoder.fingerprint_state() if decoder is not None and decoder.buffered else None
        shown_otherwise = ("_first", "_rest", "_config", "_decoder")
        others = [getattr(self, name) for name in self.__slots__ if name not in shown_otherwise]
        return [shown, unfinished, *others]


def _count(item: Item) -> int:
    return item.count if isinstance(item, Run) else 1
