"""The lane boundary: what a call and its carrier say to each other.

A call does not know what carries it: an HTTP/2 stream, or a pair of queues in one process. Nothing about windows,
padding or stream ids stands above this boundary, nothing about messages, status or trailers below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Protocol

from ..config import Limit
from ..metadata import Field, field_list_size
from ..status import ErrorCode
from ..values import value
from .events import Origin

__all__ = ["Block", "CallSide", "Data", "Headers", "Lane", "Output"]


@value
class Block:
    """A received header list, well-formed by HTTP's own rules; ``size`` as MAX_HEADER_LIST_SIZE counts it."""

    fields: Sequence[Field]
    size: int
    #: What it was read as by the call that had it before: most blocks come again and again. All who read it have the
    #: same configuration.
    known: object = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, fields: Sequence[Field]) -> Block:
        return cls(fields, field_list_size(fields))


@value
class Headers:
    """A header list to send; with ``end`` it is the last of this side."""

    fields: list[Field]
    end: bool = False


@value
class Data:
    """Bytes to send; with ``end`` they are the last of this side. Without ``more`` the call need not be asked again
    before it says `Lane.wants_write`."""

    payload: bytes | memoryview
    end: bool = False
    more: bool = field(default=True, compare=False)


#: Plain bytes: `Data` that are not the last, and with nothing more behind them, as those of most messages.
Output = Headers | Data | bytes


class Lane(Protocol):
    """One call's carrier, as the call sees it. Every method may be called at any time, also after the end."""

    @property
    def header_limit(self) -> int:
        """The largest header list that the peer accepts, in bytes (RFC 9113 6.5.2)."""
        ...

    def wants_write(self) -> None:
        """The call has something for `CallSide.pull`."""

    def consumed(self, size: int) -> None:
        """The application took ``size`` bytes: the peer may send as many more."""

    def advance(self, size: int) -> None:
        """The same, before they are taken, and perhaps before they have come: of a message that may be larger than the
        window, and must come whole. The lane may put it off while it has advanced too much (SEC-11)."""

    def settle(self, size: int) -> int:
        """A message of ``size`` bytes is taken while there are advances; 0: no one will take any. How much stays
        advanced, for the message after it: what a large one had, as the next is likely to be as large, one message
        being read ahead (FLOW-3); and what a smaller one has not paid back with all its bytes."""
        ...

    def kept(self, change: int) -> None:
        """Unpacking has added so many bytes to those that came and wait for their reader; or they are taken."""

    def abort(self, code: ErrorCode) -> None:
        """The call is over on this side: reset what is open, forget what was not sent. Does nothing after the end."""


class CallSide(Protocol):
    """One call, as its carrier drives it."""

    def on_headers(self, block: Block, end: bool) -> None:
        """A header list; with ``end`` it is the last of the peer's side."""

    def on_data(self, data: bytes) -> None:
        """Bytes of messages, never none."""

    @property
    def joinable(self) -> int:
        """How many bytes `on_data` only keeps, so that it is all the same in how many pieces they come."""
        ...

    def on_end(self) -> None:
        """The peer ended its side without a header list."""

    def on_reset(
        self,
        code: int,
        origin: Origin,
        reason: str = "",
        *,
        unprocessed: bool = False,
        limit: Limit | None = None,
    ) -> None:
        """Both directions are closed: by the peer, by the carrier (a rule or ``limit`` was broken), or with the
        connection."""

    def pull(self, room: int, now: float) -> Output | None:
        """What to send next, with at most ``room`` bytes of `Data`; None: nothing, until `Lane.wants_write`."""
        ...
