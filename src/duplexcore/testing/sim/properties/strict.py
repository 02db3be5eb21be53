"""P16: what an engine says, judged by h2 with everything switched on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.exceptions
from h2.settings import SettingCodes

from ..blocks import LARGEST_TABLE
from ..wires import Frame, wire_bytes
from .base import Property

if TYPE_CHECKING:
    from ..sides import Side

__all__ = ["P16"]

DATA, HEADERS, RST, SETTINGS, GOAWAY, CONTINUATION = 0, 1, 3, 4, 7, 9
ES, END_HEADERS = 0x1, 0x4
REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "judge")]
MOST = 2**31 - 1
DEFAULT_WINDOW = 65_535


class Judge:
    """An h2 connection in the place of the other side: it hears a side's frames, and says nothing but what it must."""

    def __init__(self, *, client: bool) -> None:
        self._client = client
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=client))
        self._h2.initiate_connection()
        # Nor are the tables that the other side may offer.
        self._h2.decoder.max_allowed_table_size = LARGEST_TABLE
        # Windows are not its subject (P17 is).
        self._h2.increment_flow_control_window(MOST - DEFAULT_WINDOW)
        self._opened: set[int] = set()
        self._ends = False  # what the header block that is coming says of its stream

    def hear(self, frame: Frame) -> None:
        """A frame of the side that is judged. Raises h2's errors."""
        if frame.type == GOAWAY:  # after one, h2 refuses also what is allowed (RFC 9113 section 6.8)
            return
        self._h2.receive_data(wire_bytes(frame))
        if frame.type == SETTINGS:  # a lower limit may cross requests, and is not its subject either (P42's)
            self._h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = MOST
            self._h2.remote_settings.acknowledge()
        if frame.type == HEADERS:
            self._ends = bool(frame.flags & ES)
        whole = frame.type in (HEADERS, CONTINUATION) and frame.flags & END_HEADERS
        if whole and not self._client and frame.stream not in self._opened:
            self._opened.add(frame.stream)
            if not self._ends:
                self._h2.increment_flow_control_window(MOST - DEFAULT_WINDOW, frame.stream)

    def say(self, frame: Frame) -> None:
        """A frame of the other side, as far as the streams' states depend on it."""
        if not self._client:
            return
        with contextlib.suppress(h2.exceptions.ProtocolError):  # the stream may be over already
            self._say(frame)

    def _say(self, frame: Frame) -> None:
        if frame.type == HEADERS and frame.stream not in self._opened:
            self._opened.add(frame.stream)
            self._h2.send_headers(frame.stream, REQUEST, end_stream=bool(frame.flags & ES))
            self._h2.increment_flow_control_window(MOST - DEFAULT_WINDOW, frame.stream)
        elif frame.type == DATA and frame.flags & ES:
            self._h2.end_stream(frame.stream)
        elif frame.type == RST:
            self._h2.reset_stream(frame.stream)


class P16(Property):
    """Everything the engine emits under any script is accepted by an independent strict HTTP/2 parser."""

    number = "P16"

    def begin(self) -> None:
        self._judges = {self.sim.client: Judge(client=False), self.sim.server: Judge(client=True)}

    def on_framed(self, side: Side, frame: Frame) -> None:
        try:
            self._judges[side].hear(frame)
        except h2.exceptions.ProtocolError as error:
            self.fail(f"{side.name} has sent what a strict parser refuses: {type(error).__name__}: {error}")

    def on_arrived(self, side: Side, frame: Frame) -> None:
        if side is self.sim.server:
            self._judges[side].say(frame)
