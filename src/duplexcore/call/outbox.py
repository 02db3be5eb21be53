"""What a call has said and the carrier has not framed yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .framing import PREFIX

if TYPE_CHECKING:
    from .replay import Replay

__all__: list[str] = []


class Outbox:
    """Whole messages, each behind its prefix. They are joined when bytes are asked for, all at once: a message costs an
    entry in a list, a frame costs a slice."""

    __slots__ = ("_cut", "parts", "replay", "size")

    def __init__(self) -> None:
        #: Prefixes and bodies in turn; or many of them joined, which still begin and end with a whole message.
        self.parts: list[bytes] = []
        #: Bytes that wait. Who adds to ``parts`` adds here, too.
        self.size = 0
        self._cut = 0  # how much of the first part is framed
        #: Keeps what has left (a client's); None: nobody wants it.
        self.replay: Replay | None = None

    def pull(self, room: int) -> bytes:
        """Takes up to ``room`` bytes, at least one: small messages share a frame, large ones are cut."""
        parts, cut = self.parts, self._cut
        if not cut and self.size <= room:  # as most do, it all leaves at once
            whole = b"".join(parts)
            parts.clear()
            self.size = 0
            if self.replay is not None and not self.replay.keep(whole):
                self.replay = None
            return whole
        if not cut and len(parts) > 1:
            parts[:] = [b"".join(parts)]
        head = parts[0]
        end = cut + room
        if end < len(head):
            self._cut = end
            self.size -= room
            return head[cut:end]
        taken = head[cut:] if cut else head
        del parts[0]
        self._cut = 0
        self.size -= len(taken)
        if self.replay is not None and not self.replay.keep(head):
            self.replay = None
        if parts and len(taken) < room:
            return taken + self.pull(room - len(taken))
        return taken

    def refill(self, parts: list[bytes]) -> None:
        """Whole messages that are to be said once more, with nothing before them."""
        self.parts = parts
        self.size = sum(map(len, parts))
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
