"""h2, contained: the one place that knows its API, and what is done about what it was not made for.

h2 keeps the stream states, makes the frames that we send and owns the windows of the peer. It is given one whole frame
at a time, never a GOAWAY (it would close its connection state while calls go on), never a header field (the gate's
blocks are decoded and judged before; h2 sees a list of the right kind instead), never the payload of DATA (the windows
that we grant are our ledger's), and never a frame of a stream that is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import h2.config
import h2.connection
import h2.exceptions
import h2.settings
import hpack

from ..config import Config
from ..metadata import SENSITIVE, Field
from ..status import ErrorCode
from . import frames
from .faults import ConnectionFault
from .frames import END_HEADERS, END_STREAM, FrameType, SettingId
from .header_rules import Kind
from .hpack_codec import HeaderEncoder, marked

__all__: list[str] = []

#: What h2 sees in place of a received header list.
_STAND_INS: Final[dict[Kind, list[Field]]] = {
    Kind.REQUEST: [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"")],
    Kind.RESPONSE: [(b":status", b"200")],
    Kind.TRAILERS: [(b"grpc-status", b"0")],
}


class _Connection(h2.connection.H2Connection):
    """Opening a stream costs the same however many are open: h2 would count them each time, and refuse by the count.

    The calls are counted, and refused, by the carrier. The inherited properties are also h2's only clean-up: see
    `H2Core.forget`.
    """

    MAX_CLOSED_STREAMS = 16  # frames of streams that are over never reach h2

    @property
    def open_outbound_streams(self) -> int:
        return 0

    @property
    def open_inbound_streams(self) -> int:
        return 0

    def clean_up(self) -> None:
        super().open_outbound_streams  # noqa: B018 - the property deletes what is closed


class _StandInDecoder(hpack.Decoder):
    """Gives h2 the list that was put here: the block itself has been decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[Field] = []

    def decode(self, data: bytes, raw: bool = False) -> list[hpack.HeaderTuple]:
        return [hpack.HeaderTuple(*field) for field in self.fields]


class H2Core:
    """What the carrier asks of h2. Every method keeps h2 in a state in which it can not object."""

    __slots__ = ("_decoder", "_ended", "_h2", "_left", "_sensitive")

    def __init__(self, config: Config, *, client: bool, settings: dict[int, int]) -> None:
        self._h2 = _Connection(
            h2.config.H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._h2.encoder = HeaderEncoder(config.header_table_size)
        self._h2.decoder = self._decoder = _StandInDecoder()
        initial = {h2.settings.SettingCodes(key): value for key, value in settings.items()}
        # `update()` on the settings that are there would not reach the first SETTINGS frame.
        self._h2.local_settings = h2.settings.Settings(client=client, initial_values=initial)
        self._h2.max_inbound_frame_size = config.max_frame_size
        self._sensitive = frozenset(name.lower().encode() for name in SENSITIVE | config.sensitive_metadata)
        self._ended = 0
        self._left = b""  # of the frames that h2 had made when it gave up: its GOAWAY is not ours
        self._h2.initiate_connection()

    # --- in -------------------------------------------------------------------------------------------------------

    def preface(self) -> None:
        self._receive(frames.PREFACE)

    def settings(self, frame: frames.Frame) -> dict[int, int]:
        """Applies the peer's SETTINGS, acknowledges them, and returns them: known ids, the last value of each."""
        values: dict[int, int] = {}
        for at in range(0, len(frame.payload), 6):
            key, value = int.from_bytes(frame.payload[at : at + 2], "big"), frame.payload[at + 2 : at + 6]
            if key in SettingId.__members__.values():
                values[key] = int.from_bytes(value, "big")
        if SettingId.INITIAL_WINDOW_SIZE in values:
            self._h2.clean_up()  # the windows of streams that are over must not overflow
        self._receive(frames.settings(values))
        return values

    def settings_ack(self, frame: frames.Frame) -> None:
        self._receive(bytes(frame))

    def ping(self, frame: frames.Frame) -> None:
        self._receive(bytes(frame))

    def headers(self, stream_id: int, kind: Kind, *, end: bool) -> None:
        self._decoder.fields = _STAND_INS[kind]
        self._receive(frames.write_frame(FrameType.HEADERS, END_HEADERS | (END_STREAM if end else 0), stream_id))

    def end(self, stream_id: int) -> None:
        self._receive(frames.write_frame(FrameType.DATA, END_STREAM, stream_id))

    def reset(self, frame: frames.Frame) -> None:
        self._receive(bytes(frame))

    def window_update(self, stream_id: int, increment: int) -> None:
        """``increment`` without its reserved bit, which h2 would take for an error (RFC 9113 section 6.9)."""
        self._receive(frames.window_update(stream_id, increment))

    def _receive(self, frame: bytes) -> None:
        try:
            self._h2.receive_data(frame)
        except h2.exceptions.ProtocolError as error:
            self._left = b"".join(
                bytes(made) for made in frames.read_frames(self.take()) if made.type != FrameType.GOAWAY
            )
            raise ConnectionFault(ErrorCode(int(error.error_code)), str(error) or type(error).__name__) from None

    # --- out ------------------------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """All bytes that h2 has made: whole frames."""
        left, self._left = self._left, b""
        return left + self._h2.data_to_send()

    def next_stream_id(self) -> int:
        return self._h2.get_next_available_stream_id()

    def send_headers(self, stream_id: int, fields: Iterable[Field], *, end: bool) -> None:
        self._h2.send_headers(stream_id, marked(fields, self._sensitive), end_stream=end)

    def send_data(self, stream_id: int, payload: bytes, *, end: bool) -> None:
        if payload:
            self._h2.send_data(stream_id, payload, end_stream=end)
        else:  # only ever to end; it needs no window (FLOW-8), which `send_data` would ask for
            self._h2.end_stream(stream_id)

    def send_reset(self, stream_id: int, code: ErrorCode) -> None:
        self._h2.reset_stream(stream_id, code)

    def send_ping(self, payload: bytes) -> None:
        self._h2.ping(payload)

    # --- the peer's windows ---------------------------------------------------------------------------------------

    @property
    def connection_window(self) -> int:
        return self._h2.outbound_flow_control_window

    def stream_window(self, stream_id: int) -> int:
        return self._h2.streams[stream_id].outbound_flow_control_window

    @property
    def max_frame_size(self) -> int:
        return self._h2.max_outbound_frame_size

    # --- house-keeping --------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """A stream is over. h2 keeps a record of it until it counts its streams, which is let happen once in so many
        endings that the cost of each stays constant and the records stay bounded."""
        self._ended += 1
        if self._ended >= max(64, len(self._h2.streams) // 2):
            self._ended = 0
            self._h2.clean_up()
