"""Status codes, the status a call ends with, and the two tables that translate foreign codes into them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = ["STATUS_BY_ERROR_CODE", "STATUS_BY_HTTP_STATUS", "ErrorCode", "Status", "StatusCode"]


class StatusCode(IntEnum):
    """The codes of a gRPC status (gRPC doc "statuscodes")."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ErrorCode(IntEnum):
    """The error codes of RST_STREAM and GOAWAY (RFC 9113 section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


@dataclass(frozen=True, slots=True)
class Status:
    """How a call ended: a code and a message for people.

    A code outside 0 to 16 becomes UNKNOWN, its number kept in the message (STAT-6).
    """

    code: StatusCode = StatusCode.OK
    message: str = ""

    def __post_init__(self) -> None:
        if type(self.code) is StatusCode:
            return
        try:
            object.__setattr__(self, "code", StatusCode(self.code))
        except ValueError:
            note = f"status code {int(self.code)} is not defined"
            object.__setattr__(self, "message", f"{self.message} ({note})" if self.message else note)
            object.__setattr__(self, "code", StatusCode.UNKNOWN)

    @property
    def ok(self) -> bool:
        return not self.code

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}" if self.message else self.code.name


#: HTTP status of a response that is not gRPC -> status (gRPC doc "http-grpc-status-mapping"); all others: UNKNOWN.
STATUS_BY_HTTP_STATUS: Final[dict[int, StatusCode]] = {
    400: StatusCode.INTERNAL,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.UNIMPLEMENTED,
    429: StatusCode.UNAVAILABLE,
    431: StatusCode.INTERNAL,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.UNAVAILABLE,
}

#: RST_STREAM code that a client receives before trailers -> status (PROTOCOL-HTTP2 "Errors"); all others: INTERNAL.
STATUS_BY_ERROR_CODE: Final[dict[int, StatusCode]] = {
    ErrorCode.REFUSED_STREAM: StatusCode.UNAVAILABLE,
    ErrorCode.CANCEL: StatusCode.CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: StatusCode.PERMISSION_DENIED,
}

_UNSAFE = re.compile(rb"[^ -$&-~]")  # all but printable ASCII; "%" is escaped too
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


def encode_message(text: str) -> bytes:
    """``grpc-message``: UTF-8, percent-encoded (PROTOCOL-HTTP2 "Status-Message", STAT-8). Lone surrogates: U+FFFD."""
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raw = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], raw)


def decode_message(value: bytes) -> str:
    """The reverse, permissive: broken escapes stay as they are, broken UTF-8 becomes U+FFFD (STAT-9)."""
    if b"%" not in value:
        return value.decode("utf-8", "replace")
    return _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), value).decode("utf-8", "replace")


def parse_status(codes: list[bytes], message: bytes) -> Status:
    """The status that trailers carry; an unusable ``grpc-status`` is UNKNOWN with its text kept (STAT-7).

    ``codes``: every value of ``grpc-status``, at least one.
    """
    code = codes[0]
    if not message and len(codes) == 1 and (plain := _PLAIN.get(code)) is not None:
        return plain
    text = decode_message(message)
    if all(other == code for other in codes) and code.isdigit() and len(code) <= 9 and int(code) <= 16:
        return Status(StatusCode(int(code)), text)
    return Status(
        StatusCode.UNKNOWN, f"invalid grpc-status {quoted(b', '.join(codes))}" + (f": {text}" if text else "")
    )


#: What most trailers say.
_PLAIN: Final = {b"%d" % code: Status(code) for code in StatusCode}


def append_note(status: Status, note: str) -> Status:
    return Status(status.code, ": ".join(part for part in (status.message, note) if part))


#: How much of a peer's word is quoted: characters.
QUOTED = 256


def quoted(word: bytes | str) -> str:
    """A peer's word in quotation marks, for a text that people read: cut and escaped (SEC-13)."""
    return repr((word.decode("latin-1") if isinstance(word, bytes) else word)[:QUOTED])


def escaped(text: str) -> str:
    """What a peer wrote for people, without the characters that are none to look at: control characters are escaped,
    also those that turn the direction of what follows (SEC-13)."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
