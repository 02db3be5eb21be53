"""The bytes of one direction: turns what applications and frames carry into the counts that the model speaks of."""

from __future__ import annotations

from collections import deque

from duplexcore.status import StatusCode

from .vocabulary import Data, ModelViolation

_PREFIX = 5  # one flag byte, four of length (FRM-1)


class MessageLedger:
    """Judges the bytes of DATA against the messages that were accepted, and payloads that are delivered (P1).

    For messages that are sent plain, as the model's adapter sees them: give what goes on the wire as ``wire`` to
    `accepted` when a message is compressed. Keeps what has not been framed or not been delivered, nothing else.
    """

    def __init__(self) -> None:
        self._unframed = bytearray()
        self._lengths: deque[int] = deque()  # of the messages that are not wholly framed, with their prefix
        self._first_left = 0  # bytes of the first of them that are not framed
        self._undelivered: deque[bytes] = deque()

    def accepted(self, payload: bytes, *, wire: bytes | None = None) -> None:
        """The application's message was taken: report `SendMessage` with it."""
        framed = b"\0" + len(payload).to_bytes(4, "big") + payload if wire is None else wire
        if not self._lengths:
            self._first_left = len(framed)
        self._unframed += framed
        self._lengths.append(len(framed))
        self._undelivered.append(bytes(payload))

    def framed(self, data: bytes, *, end: bool = False) -> Data:
        """The payload of one DATA frame, padding taken off; raises `ModelViolation` where a byte differs."""
        if not self._unframed.startswith(data):
            raise ModelViolation("P1", f"{len(data)} bytes of DATA that are not what the application sent next")
        del self._unframed[: len(data)]
        whole, left = 0, len(data)
        while self._lengths and left >= self._first_left:
            left -= self._first_left
            self._lengths.popleft()
            self._first_left = self._lengths[0] if self._lengths else 0
            whole += 1
        self._first_left -= left
        return Data(whole, partial=self.is_cut, end=end)

    @property
    def is_cut(self) -> bool:
        """Whether a message is partly on the wire."""
        return bool(self._lengths) and self._first_left < self._lengths[0]

    def delivered(self, payload: bytes) -> None:
        """The other application took a message: it must be the next that was sent. Report `Event.MESSAGE` with it."""
        if not self._undelivered or self._undelivered[0] != payload:
            raise ModelViolation("P1", f"a message of {len(payload)} bytes that was not the next sent")
        self._undelivered.popleft()


class DataReader:
    """Cuts the DATA of a peer into messages, for `Data` that is heard: of raw frames, which no ledger has framed."""

    def __init__(self, limit: int | None = None, *, coded: bool = False) -> None:
        self._limit = limit
        self._coded = coded
        self._prefix = bytearray()
        self._body_left = 0

    def read(self, data: bytes, *, end: bool = False) -> Data:
        """What this payload completes; ``error`` from the first byte on that breaks FRM-1, FRM-4 or COMP-2."""
        whole, at = 0, 0
        while at < len(data) or (len(self._prefix) == _PREFIX and not self._body_left):
            if len(self._prefix) < _PREFIX:
                take = data[at : at + _PREFIX - len(self._prefix)]
                self._prefix += take
                at += len(take)
                if error := self._error():
                    return Data(whole, end=end, error=error)
            step = min(self._body_left, len(data) - at)
            at += step
            self._body_left -= step
            if len(self._prefix) == _PREFIX and not self._body_left:
                whole += 1
                self._prefix.clear()
        return Data(whole, partial=bool(self._prefix), end=end)

    def _error(self) -> StatusCode | None:
        if self._prefix[0] > int(self._coded):
            return StatusCode.INTERNAL
        if len(self._prefix) == _PREFIX:
            self._body_left = int.from_bytes(self._prefix[1:], "big")
            if self._limit is not None and self._body_left > self._limit:
                return StatusCode.RESOURCE_EXHAUSTED
        return None
