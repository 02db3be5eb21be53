"""What a call has said and the carrier has not framed yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .framing import PREFIX

if TYPE_CHECKING:
    from .replay import Replay

__all__: list[str] = []


#: The body of a large message is never joined with anything, nor copied: bytes.
LARGE = 16 * 1024


class Outbox:
    """Whole messages, each behind its prefix. Small ones are joined when bytes are asked for, all at once: a message
    costs an entry in a list, a frame costs a slice. A large one is cut where it lies."""

    __slots__ = ("_cut", "parts", "replay", "size")

    def __init__(self) -> None:
        #: Prefixes and bodies in turn; first perhaps many of them joined, which begin and end with a whole message.
        self.parts: list[bytes] = []
        #: Bytes that wait. Who adds to ``parts`` adds here, too.
        self.size = 0
        self._cut = 0  # how much of the first part is framed; or of the first message, if that is large
        #: Keeps what has left (a client's); None: nobody wants it.
        self.replay: Replay | None = None

    def pull(self, room: int) -> bytes | memoryview:
        """Takes up to ``room`` bytes, at least one: small messages share a frame, large ones are cut.

        Less than that, while more waits, only in multiples of `LARGE`: what is to be joined with what comes behind it
        is left for the next time, and then joined as far as one frame goes. So the frames do not depend on ``room``.
        """
        parts = self.parts
        if not self._cut and self.size <= room:  # as most do, it all leaves at once
            whole = b"".join(parts)
            parts.clear()
            self.size = 0
            if self.replay is not None and not self.replay.keep(whole):
                self.replay = None
            return whole
        if not self._cut and len(parts) > 1:
            self._join_small()
        large = self._large_first
        rest = (PREFIX + len(parts[1]) if large else len(parts[0])) - self._cut
        if large and self._cut < PREFIX:
            room = min(room, LARGE)  # it is joined with its prefix
        elif rest < room and len(parts) > 2:
            room = rest - rest % LARGE or min(room, LARGE)
        taken = self._pull_large(room) if large else self._pull_joined(room)
        if parts and len(taken) < room:
            return b"".join((taken, self.pull(room - len(taken))))
        return taken

    def _join_small(self) -> None:
        """Those before the first large one."""
        parts = self.parts
        count = len(parts)
        if self.size > count * LARGE // 2:  # else there may be a large one, but copying it is little of all there is
            count = next((index - 1 for index, part in enumerate(parts) if len(part) >= LARGE), count)
        if count > 1:
            parts[:count] = [b"".join(parts[:count])]

    @property
    def _large_first(self) -> bool:
        """Whether the first part is the prefix of a large message: behind joined ones stands a prefix."""
        return len(self.parts) > 1 and len(self.parts[1]) >= LARGE

    def _pull_joined(self, room: int) -> bytes:
        head, cut = self.parts[0], self._cut
        end = cut + room
        if end < len(head):
            self._cut = end
            self.size -= room
            return head[cut:end]
        taken = head[cut:] if cut else head
        self._done(1, len(taken))
        return taken

    def _pull_large(self, room: int) -> bytes | memoryview:
        (prefix, body), cut = self.parts[:2], self._cut
        taken: bytes | memoryview = memoryview(body)[max(0, cut - PREFIX) : max(0, cut + room - PREFIX)]
        if cut < PREFIX:
            taken = b"".join((prefix[cut : cut + room], taken))
        if cut + len(taken) == PREFIX + len(body):
            self._done(2, len(taken))
        else:
            self._cut += len(taken)
            self.size -= len(taken)
        return taken

    def _done(self, count: int, taken: int) -> None:
        """So many parts are framed to their end, the last bytes of them just now."""
        parts = self.parts[:count]
        del self.parts[:count]
        self._cut = 0
        self.size -= taken
        if self.replay is not None and not self.replay.keep(b"".join(parts)):
            self.replay = None

    def refill(self, parts: list[bytes]) -> None:
        """Whole messages that are to be said once more, with nothing before them."""
        self.parts = [b"".join(parts)] if parts else []
        self.size = sum(map(len, self.parts))
        self._cut = 0

    def clear(self) -> None:
        self.parts.clear()
        self.size = self._cut = 0

    @property
    def mid_message(self) -> bool:
        """Whether a message is framed in part."""
        return self._cut > self._begun

    @property
    def _begun(self) -> int:
        """Where in the first part the message begins that is framed in part, or the one that is next."""
        at = 0
        while at < self._cut:
            after = at + PREFIX + int.from_bytes(self.parts[0][at + 1 : at + PREFIX], "big")
            if after > self._cut:
                break
            at = after
        return at

    def fingerprint_state(self) -> tuple[object, ...]:
        """Without the accident of how much was joined."""
        begun = self._begun
        return b"".join(self.parts)[begun:], self._cut - begun, self.replay
