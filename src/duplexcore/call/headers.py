"""Header lists of gRPC: what a request, a response and trailers consist of, built and read.

Building starts from values that were checked already; reading turns a list into a value or into a refusal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from .. import _version
from ..config import ClientConfig, Config, Limit, ServerConfig
from ..metadata import EMPTY, Field, InvalidMetadataError, Metadata, decode_metadata
from ..status import STATUS_BY_HTTP_STATUS, ErrorCode, Status, StatusCode, encode_message, parse_status, quoted
from .lane import Block
from .timeout import decode_timeout

__all__: list[str] = []

CONTENT_TYPE: Final = b"application/grpc"
USER_AGENT: Final = f"grpc-python-duplexcore/{_version.VERSION}"


def accepted_encodings(config: Config) -> Field:
    """The codings that are understood, as they are sent with every call (HDR-12)."""
    return (b"grpc-accept-encoding", ",".join(("identity", *config.compressions)).encode())


#: How much of a refusal's text is sent, since it may quote what it refuses: characters.
REFUSAL_SHOWN: Final = 200


def subtype_of(content_type: bytes) -> str | None:
    """The subtype in ``application/grpc+subtype``, "" without one; None when it is not gRPC at all (HDR-9)."""
    value = content_type.strip().lower()
    if not value.startswith(CONTENT_TYPE):
        return None
    mark, rest = value[len(CONTENT_TYPE) : len(CONTENT_TYPE) + 1], value[len(CONTENT_TYPE) + 1 :]
    if mark == b"+":
        return rest.split(b";")[0].strip().decode("latin-1")
    return "" if mark in (b"", b";") else None


def content_type_of(subtype: str) -> bytes:
    return CONTENT_TYPE + b"+" + subtype.encode("latin-1") if subtype else CONTENT_TYPE


def first(fields: Sequence[Field], name: bytes) -> bytes | None:
    return next((value for key, value in fields if key == name), None)


def every(fields: Sequence[Field], name: bytes) -> list[bytes]:
    return [value for key, value in fields if key == name]


# --- what a client sends ---------------------------------------------------------------------------------------------


def request_fields(
    config: ClientConfig,
    *,
    path: str,
    authority: str,
    subtype: str,
    timeout: bytes | None,
    encoding: str | None,
    custom: list[Field],
) -> list[Field]:
    """Request-Headers in the order that PROTOCOL-HTTP2 "Requests" gives (HDR-1)."""
    fields: list[Field] = [
        (b":method", b"POST"),
        (b":scheme", config.scheme.encode()),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
    ]
    if timeout is not None:
        fields.append((b"grpc-timeout", timeout))
    fields += (
        (b"te", b"trailers"),
        (b"content-type", content_type_of(subtype)),
        (b"user-agent", f"{config.user_agent} {USER_AGENT}".lstrip().encode()),
    )
    if encoding is not None:
        fields.append((b"grpc-encoding", encoding.encode()))
    return [*fields, accepted_encodings(config), *custom]


# --- what a server sends ---------------------------------------------------------------------------------------------


def response_fields(config: ServerConfig, subtype: str, encoding: str | None, custom: list[Field]) -> list[Field]:
    """Response-Headers (HDR-13)."""
    return [
        (b":status", b"200"),
        (b"content-type", content_type_of(subtype)),
        *([] if encoding is None else [(b"grpc-encoding", encoding.encode())]),
        accepted_encodings(config),
        *custom,
    ]


def trailer_fields(status: Status, custom: list[Field]) -> list[Field]:
    """Trailers (STAT-1): the message is left out when it is empty (STAT-8)."""
    fields: list[Field] = [(b"grpc-status", b"%d" % status.code)]
    if status.message:
        fields.append((b"grpc-message", encode_message(status.message)))
    return fields + custom


def trailers_only_fields(subtype: str, status: Status, custom: list[Field], http_status: bytes = b"200") -> list[Field]:
    """A whole answer in one header list (STAT-2)."""
    return [
        (b":status", http_status),
        (b"content-type", content_type_of(subtype)),
        *trailer_fields(status, custom),
    ]


# --- what a server reads ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """Request-Headers that are in order. ``timeout``: seconds, or None."""

    path: str
    authority: str
    user_agent: str
    subtype: str
    timeout: float | None
    #: The coding of its messages, and the codings that it accepts.
    encoding: str
    accepts: frozenset[str]
    #: Whether ``te: trailers`` was there, as it should be (HDR-7).
    te: bool
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that reaches no handler (HDR-15): why, and the header list that answers it; [] where that is a
    reset."""

    status: Status
    fields: list[Field] = field(default_factory=list)
    limit: Limit | None = None


def read_request(block: Block, config: ServerConfig, *, full: Limit | None) -> Request | Refusal:
    """Judges a request in the order of HDR-14; the first fault wins. ``full``: why there is no room for one more."""
    fields = block.fields
    named = dict(reversed(fields))
    subtype = subtype_of(named.get(b"content-type", b""))
    served = not subtype or config.content_subtypes is None or subtype in config.content_subtypes
    answered = subtype if subtype and served else ""

    def refuse(
        code: StatusCode, text: str, http_status: bytes = b"200", *extra: Field, limit: Limit | None = None
    ) -> Refusal:
        status = Status(code, text[:REFUSAL_SHOWN])
        return Refusal(status, trailers_only_fields(answered, status, list(extra), http_status), limit)

    if block.size > config.max_header_list_size:
        text = f"metadata of {block.size} bytes is above the limit of {config.max_header_list_size}"
        return refuse(StatusCode.RESOURCE_EXHAUSTED, text, limit=Limit.MAX_HEADER_LIST_SIZE)
    if named[b":scheme"] not in (b"http", b"https"):
        return refuse(StatusCode.INTERNAL, "the scheme must be http or https")
    if len(hosts := every(fields, b"host")) > 1:
        return refuse(StatusCode.INTERNAL, "more than one host", b"400")
    if subtype is None:
        return Refusal(Status(StatusCode.UNKNOWN, "the content-type is not gRPC's"), [(b":status", b"415")])
    if not served:
        return refuse(StatusCode.INTERNAL, f"no codec for the content subtype {subtype!r}")
    if config.require_te and b"te" not in named:
        return refuse(StatusCode.UNKNOWN, "te: trailers is missing")
    try:
        metadata = decode_metadata(fields, config.sensitive_metadata)
    except InvalidMetadataError as error:
        return refuse(StatusCode.INTERNAL, str(error))
    timeout: float | None = None
    if (value := named.get(b"grpc-timeout")) is not None:
        try:
            timeout = decode_timeout(value)
        except ValueError as error:
            return refuse(StatusCode.INTERNAL, str(error), b"400")
    if full is not None:
        return Refusal(Status(StatusCode.UNAVAILABLE, "there is no room for another call"), limit=full)
    if named[b":method"] != b"POST":
        return refuse(StatusCode.INTERNAL, "the method must be POST", b"405", (b"allow", b"POST"))
    if timeout == 0:
        return refuse(StatusCode.DEADLINE_EXCEEDED, "the deadline had passed on arrival")
    encoding = named.get(b"grpc-encoding", b"identity").decode("latin-1")
    if encoding not in ("identity", *config.compressions):
        text = f"grpc-encoding {encoding!r} is not supported"
        return refuse(StatusCode.UNIMPLEMENTED, text, b"200", accepted_encodings(config))
    path = named[b":path"]
    if not path.startswith(b"/") or path.rfind(b"/") == 0:
        return refuse(StatusCode.UNIMPLEMENTED, f"malformed method name {path.decode('latin-1')!r}")
    accepts = named.get(b"grpc-accept-encoding", b"")
    authority = named.get(b":authority") or (hosts[0] if hosts else b"")
    return Request(
        path=path.decode("latin-1"),
        authority=authority.decode("latin-1"),
        user_agent=named.get(b"user-agent", b"").decode("latin-1"),
        subtype=subtype,
        timeout=timeout,
        encoding=encoding,
        accepts=frozenset(part.strip() for part in accepts.decode("latin-1").split(",")),
        te=b"te" in named,
        metadata=metadata,
    )


# --- what a client reads ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Response:
    """Response-Headers of gRPC; ``encoding``: the value of ``grpc-encoding``."""

    metadata: Metadata
    encoding: str


@dataclass(frozen=True, slots=True)
class ForeignResponse:
    """An answer that is not gRPC; ``status`` is what it means when no ``grpc-status`` follows (ERR-1, ERR-2)."""

    status: Status


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status and metadata of the block that ends a call; ``status`` None: it has no ``grpc-status``."""

    status: Status | None
    metadata: Metadata = EMPTY


@dataclass(frozen=True, slots=True)
class BadBlock:
    """A block that can not be used: the status that says why, and the code that tells the server so (Table D)."""

    status: Status
    reset: ErrorCode
    limit: Limit | None = None


def read_response(block: Block, requested_subtype: str, config: ClientConfig) -> Response | ForeignResponse | BadBlock:
    if bad := _too_large(block, config.max_header_list_size):
        return bad
    if foreign := foreign_status(block.fields):
        return ForeignResponse(foreign)
    # grpcio and others answer without a subtype, whatever was asked: only one that differs is a wrong codec.
    subtype = subtype_of(first(block.fields, b"content-type") or b"")
    if subtype and subtype != (requested_subtype or "proto"):
        text = f"the answer's content subtype is {quoted(subtype)}, that of the request {requested_subtype!r}"
        return BadBlock(Status(StatusCode.INTERNAL, text), ErrorCode.CANCEL)
    try:
        metadata = decode_metadata(block.fields, config.sensitive_metadata)
    except InvalidMetadataError as error:
        return BadBlock(Status(StatusCode.INTERNAL, str(error)), ErrorCode.PROTOCOL_ERROR)
    return Response(metadata, (first(block.fields, b"grpc-encoding") or b"").decode("latin-1"))


def read_outcome(block: Block, config: ClientConfig) -> Outcome | BadBlock:
    """Trailers or Trailers-Only: a ``grpc-status`` counts whatever else the block says (STAT-11)."""
    if bad := _too_large(block, config.max_header_list_size):
        return bad
    codes = every(block.fields, b"grpc-status")
    if not codes:
        return Outcome(None)
    try:
        metadata = decode_metadata(block.fields, config.sensitive_metadata)
    except InvalidMetadataError as error:
        return BadBlock(Status(StatusCode.INTERNAL, str(error)), ErrorCode.PROTOCOL_ERROR)
    return Outcome(parse_status(codes, first(block.fields, b"grpc-message") or b""), metadata)


def foreign_status(fields: Sequence[Field]) -> Status | None:
    """What response headers without ``grpc-status`` mean when they are not gRPC's (Table A); None when they are."""
    http_status = int(first(fields, b":status") or b"0")
    content_type = first(fields, b"content-type")
    shown = "no content-type" if content_type is None else f"content-type {quoted(content_type)}"
    if http_status != 200:
        code = STATUS_BY_HTTP_STATUS.get(http_status, StatusCode.UNKNOWN)
        return Status(code, f"the answer is HTTP status {http_status} with {shown}, not gRPC")
    if subtype_of(content_type or b"") is None:
        return Status(StatusCode.UNKNOWN, f"the answer has {shown}, not application/grpc")
    return None


def _too_large(block: Block, limit: int) -> BadBlock | None:
    if block.size <= limit:
        return None
    text = f"received metadata of {block.size} bytes is above the limit of {limit}"
    return BadBlock(Status(StatusCode.RESOURCE_EXHAUSTED, text), ErrorCode.CANCEL, Limit.MAX_HEADER_LIST_SIZE)
