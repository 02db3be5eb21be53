"""What the carrier leaves to the layer below it: the frames that are sent, and the windows of the peer.

There are two of them. `NativeCore` does it by itself, `H2Core` lets h2 do it. Both are told what has come, after the
gate and the carrier have judged it, so neither can object, but to windows that SETTINGS make overflow; and both make
whole frames, in the order in which they were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from ..config import Config, Http2
from ..metadata import Field
from ..status import ErrorCode
from .header_rules import Kind
from .native_core import NativeCore

if TYPE_CHECKING:
    from .lane import Http2Lane

__all__: list[str] = []


class Core(Protocol):
    """One side's state of HTTP/2 below the carrier."""

    # --- what has come ------------------------------------------------------------------------------------------------

    def settings(self, values: dict[int, int], lanes: Collection[Http2Lane]) -> None:
        """The peer's SETTINGS, in order by themselves: applies them to all that is open, and acknowledges them. Raises
        `ConnectionFault` when a window of ``lanes`` would overflow (FLOW-7)."""

    def settings_acked(self) -> None: ...

    def ping(self, payload: bytes) -> None:
        """A PING that asks for an ack, which is made."""

    def opened(self, lane: Http2Lane) -> None:
        """A stream begins: ours, whose headers are sent next, or the peer's, whose headers have come."""

    def headers(self, lane: Http2Lane, kind: Kind, *, end: bool) -> None:
        """A header list that answers ours."""

    def end(self, lane: Http2Lane) -> None:
        """The peer's side has ended with DATA."""

    def reset(self, lane: Http2Lane) -> None: ...

    def window_update(self, lane: Http2Lane | None, increment: int) -> None:
        """For a stream, or the connection; the window can take it."""

    # --- what is sent -------------------------------------------------------------------------------------------------

    def send_headers(self, lane: Http2Lane, fields: Sequence[Field], end: bool) -> None:
        """A header list, in as many frames as the peer's limit asks for."""

    def send_data(self, lane: Http2Lane, payload: bytes | memoryview, longest: int, end: bool) -> None:
        """No more than windows allow, in frames of ``longest`` bytes, which the peer takes, and one of the rest. An
        empty one ends the stream, and needs no window (FLOW-8)."""

    def send_reset(self, lane: Http2Lane, code: ErrorCode) -> None: ...

    def send_ping(self, payload: bytes) -> None: ...

    def write(self, frame: bytes) -> None:
        """A whole frame that the carrier has made, behind what was made before."""

    @property
    def pending(self) -> int:
        """How many bytes `take` would give, more or less."""
        ...

    def take(self) -> bytes:
        """All that was made and not taken yet: whole frames."""
        ...

    def discard(self) -> None:
        """What was not taken is not sent."""

    # --- the peer's windows -------------------------------------------------------------------------------------------

    @property
    def connection_window(self) -> int: ...

    def stream_window(self, lane: Http2Lane) -> int:
        """It may be negative (FLOW-7)."""
        ...

    # --- house-keeping ------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """A stream is over."""

    @property
    def records(self) -> int:
        """How many streams something is kept of."""
        ...


def make_core(config: Config, *, client: bool) -> Core:
    """The one that the configuration names; its preface and SETTINGS wait to be taken."""
    return _CORES[config.http2](config, client=client)


def _h2_core(config: Config, *, client: bool) -> Core:
    from .h2_core import H2Core  # noqa: PLC0415 - who does not ask for it does not wait for h2 to be imported

    return H2Core(config, client=client)


_CORES: dict[Http2, Callable[..., Core]] = {"native": NativeCore, "h2": _h2_core}
