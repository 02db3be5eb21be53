"""What can be set, on either side. Sizes are bytes, times are seconds; every limit has a finite default."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Literal, get_args

from .compression import compression_named

__all__ = ["AbuseLimits", "ClientConfig", "Http2", "Limit", "ServerConfig"]

#: What is below the carrier of the calls: frames and windows of our own, or the package h2.
Http2 = Literal["native", "h2"]

MIB = 1024 * 1024
#: A client may not ask more often (gRFC A8): seconds.
MIN_KEEPALIVE_TIME = 10.0
MIN_WINDOW = 65_535
MAX_WINDOW = 2**31 - 1
MAX_MESSAGE = 2**32 - 1
_PRINTABLE = re.compile(r"[ -~]*")
_AUTHORITY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:%\[\]]+")


def check_authority(authority: str) -> str:
    """The text itself when it can stand in ``:authority``; ValueError otherwise (HDR-5).

    That is RFC 3986 section 3.2 without user names, which HTTP/2 forbids, and not empty.
    """
    if not _AUTHORITY.fullmatch(authority):
        raise ValueError(f"authority {authority!r} is not a host or host:port")
    return authority


class Limit(Enum):
    """Which limit was broken; docs/limits.md has them all. The value is the name of the setting that says where it
    lies, in `ClientConfig` or `ServerConfig`."""

    # A call ends, or is refused.
    MAX_RECEIVE_MESSAGE_SIZE = "max_receive_message_size"
    MAX_HEADER_LIST_SIZE = "max_header_list_size"
    STREAM_WINDOW = "stream_window"
    MAX_CONCURRENT_CALLS = "max_concurrent_calls"
    # The connection ends: too much at once,
    CONNECTION_WINDOW = "connection_window"
    MAX_FRAME_SIZE = "max_frame_size"
    HARD_HEADER_LIST_SIZE = "hard_header_list_size"
    HEADER_TABLE_SIZE = "header_table_size"
    HEADER_BLOCK_RATIO = "abuse.header_block_ratio"
    CONTINUATION_FRAMES = "abuse.continuation_frames"
    TABLE_SIZE_UPDATES = "abuse.table_size_updates"
    SETTINGS_ENTRIES = "abuse.settings_entries"
    CONTROL_FRAMES_CLOSE = "abuse.control_frames_close"
    UNREAD_BYTES = "abuse.unread_bytes"  # or only a call is refused
    # too often,
    SETTINGS_FRAMES = "abuse.settings_frames"
    PRIORITY_FRAMES = "abuse.priority_frames"
    PEER_RESETS = "abuse.peer_resets"
    OWN_RESETS = "abuse.own_resets"
    EMPTY_DATA_IN_A_ROW = "abuse.empty_data_in_a_row"
    EMPTY_DATA_ON_CONNECTION = "abuse.empty_data_on_connection"
    INTERIM_RESPONSES = "abuse.interim_responses"
    MAX_PING_STRIKES = "max_ping_strikes"
    # too slow, silent, unused or old.
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    SETTINGS_ACK_TIMEOUT = "settings_ack_timeout"
    HEADER_BLOCK_TIMEOUT = "abuse.header_block_timeout"
    FRAME_TIMEOUT = "abuse.frame_timeout"
    WRITE_TIMEOUT = "abuse.write_timeout"
    KEEPALIVE_TIMEOUT = "keepalive_timeout"
    UNUSED_TIMEOUT = "unused_timeout"
    MAX_CONNECTION_IDLE = "max_connection_idle"
    MAX_CONNECTION_AGE = "max_connection_age"


@dataclass(frozen=True, slots=True, kw_only=True)
class AbuseLimits:
    """How much of what costs a peer little and us much is tolerated (SEC-2 to SEC-11); a breach ends the connection."""

    #: PING acks, SETTINGS acks and RST_STREAMs waiting to be written: stop reading, then close.
    control_frames_stop_reading: int = 10_000
    control_frames_close: int = 20_000
    #: Frames per ``period`` of each kind.
    period: float = 10.0
    settings_frames: int = 100
    priority_frames: int = 10_000
    #: Streams that the peer resets before their answer is complete, and streams on which it breaks a rule so that we
    #: reset them, per ``reset_period`` (SEC-2, SEC-3).
    reset_period: float = 30.0
    peer_resets: int = 2_000
    own_resets: int = 1_024
    #: How long a header block, and any other frame, may take to come to a server (SEC-10).
    header_block_timeout: float = 30.0
    frame_timeout: float = 60.0
    #: How long one write of the transport may take while there is no keepalive (SEC-10).
    write_timeout: float = 60.0
    #: Bytes that may lie unread in all calls together above what their windows allow, of each of two kinds (SEC-11).
    #: What unpacking adds: above it new calls are refused, above twice it the connection ends. And of messages larger
    #: than their windows, credited before they are whole: above it one call at a time gets that credit.
    unread_bytes: int = 64 * 1024 * 1024
    #: Entries that one SETTINGS frame may carry.
    settings_entries: int = 32
    #: DATA frames without payload and END_STREAM: in a row on one stream, and on the connection without progress.
    empty_data_in_a_row: int = 100
    empty_data_on_connection: int = 16_384
    #: Interim responses (1xx) that a client skips, on the connection without a final one or data between them.
    interim_responses: int = 16_384
    #: CONTINUATION frames of one header block, or as many as the hard limit of its list needs with a quarter to spare;
    #: its compressed bytes, in hard limits; changes of the table size that it begins with (SEC-5, SEC-6).
    continuation_frames: int = 5
    header_block_ratio: float = 2.0
    table_size_updates: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What both sides have in common. Raises ValueError for values that can not work."""

    #: A longer message ends the call with RESOURCE_EXHAUSTED (FRM-4, FRM-5).
    max_receive_message_size: int = 4 * MIB
    max_send_message_size: int = MAX_MESSAGE
    #: A call is writable while less than this waits to be framed (FLOW-10).
    send_buffer: int = 64 * 1024
    #: Flow-control windows that we grant (FLOW-6).
    stream_window: int = 256 * 1024
    connection_window: int = MIB
    #: SETTINGS_MAX_FRAME_SIZE: the longest frame payload that we accept.
    max_frame_size: int = 16_384
    #: Header list sizes: above the first the call fails, above the second the connection (MD-10, MD-11).
    max_header_list_size: int = 8 * 1024
    hard_header_list_size: int = 16 * 1024
    #: The dynamic tables of HPACK, theirs and ours: SETTINGS_HEADER_TABLE_SIZE; ours is never larger than the peer
    #: offers (SEC-6).
    header_table_size: int = 4096
    #: From the start until preface and SETTINGS of the peer have come (CONN-3).
    handshake_timeout: float = 120.0
    #: For the answer to our SETTINGS, or twice the ``keepalive_timeout`` where that is longer (CONN-4).
    settings_ack_timeout: float = 60.0
    #: Metadata names that HPACK must never index, besides "authorization", "cookie" and their like (MD-15).
    sensitive_metadata: frozenset[str] = frozenset()
    #: Codings of messages that are understood, and used when asked for; all are told to the peer (COMP-3, HDR-12).
    compressions: tuple[str, ...] = ("gzip", "deflate")
    #: The coding of what we send where the call does not choose; None: plain (COMP-8).
    compression: str | None = None
    #: After so much silence a PING asks whether the peer is there (inf: never); without any byte for the second time
    #: after it, the connection ends (KEEP-2, KEEP-3).
    keepalive_time: float = inf
    keepalive_timeout: float = 20.0
    #: Whether it asks while there are no calls, too.
    keepalive_without_calls: bool = False
    #: What makes the frames and keeps the peer's windows: the same rules, limits, events and statuses with either.
    http2: Http2 = "native"
    abuse: AbuseLimits = field(default_factory=AbuseLimits)

    @property
    def settings_timeout(self) -> float:
        """How long the peer may take to acknowledge our SETTINGS (CONN-4)."""
        return max(self.settings_ack_timeout, 2 * self.keepalive_timeout)

    def __post_init__(self) -> None:
        if self.http2 not in get_args(Http2):
            raise ValueError(f"http2 is {self.http2!r}: it must be 'native' or 'h2'")
        for coding in self.compressions:
            compression_named(coding)
        if self.compression is not None and self.compression not in self.compressions:
            raise ValueError(f"compression is {self.compression!r}: it must be one of {self.compressions}")
        for name, low, high in (
            ("max_receive_message_size", 0, MAX_MESSAGE),
            ("max_send_message_size", 0, MAX_MESSAGE),
            ("send_buffer", 1, MAX_WINDOW),
            ("stream_window", MIN_WINDOW, MAX_WINDOW),
            ("connection_window", MIN_WINDOW, MAX_WINDOW),
            ("max_frame_size", 16_384, 2**24 - 1),
            ("max_header_list_size", 1, MAX_WINDOW),
            ("hard_header_list_size", self.max_header_list_size, MAX_WINDOW),
            ("header_table_size", 0, 65_536),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}: it must be from {low} to {high}")
        self._check_positive("handshake_timeout", "settings_ack_timeout", "keepalive_time", "keepalive_timeout")

    def _check_positive(self, *names: str) -> None:
        for name in names:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig(Config):
    """A client's side of a connection."""

    #: ``:authority`` of every call that does not name its own: the target's host and port (HDR-5).
    authority: str = "localhost"
    #: ``:scheme``: "https" on TLS (HDR-3).
    scheme: str = "http"
    #: Put before the library's own user agent (HDR-11).
    user_agent: str = ""
    handshake_timeout: float = 20.0
    #: Calls that may wait for a free stream (CONN-7).
    max_waiting_calls: int = 10_000

    def __post_init__(self) -> None:
        # Not super(): a slotted dataclass is made anew, and the zero-argument form would look in the old class.
        Config.__post_init__(self)
        if self.keepalive_time < MIN_KEEPALIVE_TIME:
            raise ValueError(f"keepalive_time is {self.keepalive_time}: it must be at least {MIN_KEEPALIVE_TIME:g}")
        check_authority(self.authority)
        if not _PRINTABLE.fullmatch(self.user_agent):
            raise ValueError(f"user_agent is {self.user_agent!r}: it must be printable ASCII")
        if self.scheme not in ("http", "https"):
            raise ValueError(f"scheme is {self.scheme!r}: it must be 'http' or 'https'")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig(Config):
    """A server's side of a connection."""

    #: SETTINGS_MAX_CONCURRENT_STREAMS; a call counts until its handler has finished (CONN-8, CANC-3).
    max_concurrent_calls: int = 1_000
    #: Subtypes of ``application/grpc+subtype`` that are served; without a subtype it always is. None: any (HDR-10).
    content_subtypes: frozenset[str] | None = frozenset({"proto"})
    #: Refuse requests without ``te: trailers`` (HDR-7).
    require_te: bool = False
    #: How long a graceful shutdown waits for the answer to its PING before the final GOAWAY (GOAW-1).
    drain_ping_timeout: float = 5.0
    keepalive_time: float = 7200.0
    keepalive_without_calls: bool = True
    #: PINGs of the client that come sooner are strikes, also those without any call unless permitted; more strikes
    #: than the first number end the connection, 0: never (KEEP-8).
    max_ping_strikes: int = 2
    permit_keepalive_time: float = 300.0
    permit_keepalive_without_calls: bool = False
    #: A connection is drained when it had no stream for so long, and when it is so old, ten percent more or less; the
    #: calls that an old one has left then have the grace (GOAW-3).
    max_connection_idle: float = inf
    max_connection_age: float = inf
    max_connection_age_grace: float = inf
    #: A connection on which no stream was ever opened is drained after so long (SEC-10).
    unused_timeout: float = 120.0

    def __post_init__(self) -> None:
        Config.__post_init__(self)
        self._check_positive(
            "drain_ping_timeout",
            "permit_keepalive_time",
            "max_connection_idle",
            "max_connection_age",
            "max_connection_age_grace",
            "unused_timeout",
        )
        if self.max_concurrent_calls < 1:
            raise ValueError(f"max_concurrent_calls is {self.max_concurrent_calls}: it must be at least 1")
