"""h2, contained: the one place that knows its API, and what is done about what it was not made for.

h2 keeps the stream states, makes the frames that we send and owns the windows of the peer. It is given one whole frame
at a time, never a GOAWAY (it would close its connection state while calls go on), never a header field (the gate's
blocks are decoded and judged before; h2 sees a list of the right kind instead), never the payload of DATA (the windows
that we grant are our ledger's), and never a frame of a stream that is over.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

import h2.config
import h2.connection
import h2.exceptions
import h2.settings
import hpack

from ..config import Config
from ..metadata import Field
from ..status import ErrorCode
from . import frames
from .faults import ConnectionFault
from .frames import ACK, END_HEADERS, END_STREAM, FrameType, SettingId
from .header_encoder import FieldEncoder
from .header_rules import Kind
from .settings import own_settings

if TYPE_CHECKING:
    from .lane import Http2Lane

__all__: list[str] = []

#: What h2 sees in place of a received header list,
_STAND_INS: Final[dict[Kind, list[hpack.HeaderTuple]]] = {
    Kind.REQUEST: [
        hpack.HeaderTuple(b":method", b"POST"),
        hpack.HeaderTuple(b":scheme", b"http"),
        hpack.HeaderTuple(b":path", b"/"),
        hpack.HeaderTuple(b":authority", b""),
    ],
    Kind.RESPONSE: [hpack.HeaderTuple(b":status", b"200")],
    Kind.TRAILERS: [hpack.HeaderTuple(b"grpc-status", b"0")],
}
#: and of one that is sent: that it is no interim response is all that matters. It would copy each field, twice.
_SENT: Final[list[Field]] = [(b"grpc-status", b"0")]
_SETTINGS_ACK: Final = frames.write_frame(FrameType.SETTINGS, ACK, 0)


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
    """Gives h2 a stand-in for a list of the kind that was put here: the block itself has been decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = Kind.REQUEST

    def decode(self, data: bytes, raw: bool = False) -> list[hpack.HeaderTuple]:
        return _STAND_INS[self.kind]


class _Encoder(hpack.Encoder):
    """Ours in the place of h2's: encodes the list that was put here, whatever h2 has seen of it."""

    def __init__(self, fields: FieldEncoder) -> None:
        super().__init__()
        self._fields = fields
        self.list: Sequence[Field] = ()

    @property
    def header_table_size(self) -> int:
        return self._fields.header_table_size

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        self._fields.header_table_size = value

    def encode(self, headers: Sequence[Field], huffman: bool = True) -> bytes:  # type: ignore[override]
        return self._fields.encode(self.list)


class H2Core:
    """See `Core`. Every method keeps h2 in a state in which it can not object."""

    __slots__ = ("_client", "_decoder", "_encoder", "_ended", "_h2", "_out")

    def __init__(self, config: Config, *, client: bool) -> None:
        self._client = client
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
        self._h2.encoder = self._encoder = _Encoder(FieldEncoder(config))
        self._h2.decoder = self._decoder = _StandInDecoder()
        initial = {h2.settings.SettingCodes(key): value for key, value in own_settings(config).items()}
        # `update()` on the settings that are there would not reach the first SETTINGS frame.
        self._h2.local_settings = h2.settings.Settings(client=client, initial_values=initial)
        self._h2.max_inbound_frame_size = config.max_frame_size
        self._ended = 0
        self._out = bytearray()
        self._h2.initiate_connection()
        if not client:
            self._receive(frames.PREFACE)

    # --- in -------------------------------------------------------------------------------------------------------

    def settings(self, values: dict[int, int], lanes: Collection[Http2Lane]) -> None:
        if SettingId.INITIAL_WINDOW_SIZE in values:
            self._h2.clean_up()  # the windows of streams that are over must not overflow
        self._receive(frames.settings(values))

    def settings_acked(self) -> None:
        self._receive(_SETTINGS_ACK)

    def ping(self, payload: bytes) -> None:
        self._receive(frames.write_frame(FrameType.PING, 0, 0, payload))

    def opened(self, lane: Http2Lane) -> None:
        if not self._client:
            self.headers(lane, Kind.REQUEST, end=False)

    def headers(self, lane: Http2Lane, kind: Kind, *, end: bool) -> None:
        self._decoder.kind = kind
        self._receive(frames.write_frame(FrameType.HEADERS, END_HEADERS | (END_STREAM if end else 0), lane.stream_id))

    def end(self, lane: Http2Lane) -> None:
        self._receive(frames.write_frame(FrameType.DATA, END_STREAM, lane.stream_id))

    def reset(self, lane: Http2Lane) -> None:
        self._receive(frames.write_frame(FrameType.RST_STREAM, 0, lane.stream_id, bytes(4)))

    def window_update(self, lane: Http2Lane | None, increment: int) -> None:
        self._receive(frames.window_update(0 if lane is None else lane.stream_id, increment))

    def _receive(self, frame: bytes) -> None:
        try:
            self._h2.receive_data(frame)
        except h2.exceptions.ProtocolError as error:
            made = frames.read_frames(self._h2.data_to_send())  # its GOAWAY is not ours
            self._out += b"".join(bytes(frame) for frame in made if frame.type != FrameType.GOAWAY)
            raise ConnectionFault(ErrorCode(int(error.error_code)), str(error)) from None

    # --- out ------------------------------------------------------------------------------------------------------

    def send_headers(self, lane: Http2Lane, fields: Sequence[Field], end: bool) -> None:
        self._encoder.list = fields
        self._h2.send_headers(lane.stream_id, _SENT, end_stream=end)

    def send_data(self, lane: Http2Lane, payload: bytes | memoryview, longest: int, end: bool) -> None:
        if payload:
            whole = memoryview(payload)
            for at in range(0, len(payload), longest):
                last = at + longest >= len(payload)
                self._h2.send_data(lane.stream_id, bytes(whole[at : at + longest]), end_stream=end and last)
        else:
            self._h2.end_stream(lane.stream_id)  # `send_data` would ask for a window

    def send_reset(self, lane: Http2Lane, code: ErrorCode) -> None:
        self._h2.reset_stream(lane.stream_id, code)

    def send_ping(self, payload: bytes) -> None:
        self._h2.ping(payload)

    def write(self, frame: bytes) -> None:
        self._out += self._h2.data_to_send()
        self._out += frame

    @property
    def pending(self) -> int:
        self._out += self._h2.data_to_send()
        return len(self._out)

    def take(self) -> bytes:
        data, self._out = bytes(self._out + self._h2.data_to_send()), bytearray()
        return data

    def discard(self) -> None:
        self.take()

    # --- the peer's windows ---------------------------------------------------------------------------------------

    @property
    def connection_window(self) -> int:
        return self._h2.outbound_flow_control_window

    def stream_window(self, lane: Http2Lane) -> int:
        return self._h2.streams[lane.stream_id].outbound_flow_control_window

    # --- house-keeping --------------------------------------------------------------------------------------------

    @property
    def records(self) -> int:
        return len(self._h2.streams)

    def forget(self) -> None:
        """h2 keeps a record of a stream until it counts its streams, which is let happen once in so many endings that
        the cost of each stays constant and the records stay bounded."""
        self._ended += 1
        if self._ended >= max(64, len(self._h2.streams) // 2):
            self._ended = 0
            self._h2.clean_up()
