"""Header lists of gRPC: what a request, a response and trailers consist of, built and read.

Building starts from values that were checked already; reading turns a list into a value or into a refusal. Most of a
list is the same for every call of a method: that part is built, and judged, once and then remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeVar

from .. import _version
from ..config import ClientConfig, Limit, ServerConfig
from ..metadata import EMPTY, HIDDEN, Field, FieldList, InvalidMetadataError, Metadata, decode_metadata
from ..status import STATUS_BY_HTTP_STATUS, ErrorCode, Status, StatusCode, encode_message, parse_status, quoted
from ..values import value
from .events import CallEnded, InitialMetadata
from .lane import Block, Headers
from .timeout import decode_timeout

__all__: list[str] = []

KindT = TypeVar("KindT")

CONTENT_TYPE: Final = b"application/grpc"
USER_AGENT: Final = f"grpc-python-duplexcore/{_version.VERSION}"


def accepted_encodings(compressions: tuple[str, ...]) -> Field:
    """The codings that are understood, as they are sent with every call (HDR-12)."""
    return (b"grpc-accept-encoding", ",".join(("identity", *compressions)).encode())


#: What is remembered of header lists: so many parts of them, and of received ones none that is larger, in bytes.
REMEMBERED: Final = 128
REMEMBERED_SIZE: Final = 1024
#: What differs from call to call, though the library reads it itself.
VARYING: Final = (b"grpc-timeout", b"grpc-message")
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


def request_headers(
    config: ClientConfig,
    *,
    path: str,
    authority: str,
    subtype: str,
    timeout: bytes | None,
    encoding: str | None,
    custom: list[Field],
) -> Headers:
    """Request-Headers in the order that PROTOCOL-HTTP2 "Requests" gives (HDR-1)."""
    bare = _request(config.scheme, path, authority, subtype, config.user_agent, encoding, config.compressions)
    if timeout is not None:
        fields = bare.fields
        return Headers([*fields[:_TARGET], (b"grpc-timeout", timeout), *fields[_TARGET:], *custom])
    return Headers([*bare.fields, *custom]) if custom else bare


_TARGET: Final = 4


@lru_cache(REMEMBERED)
def _request(
    scheme: str,
    path: str,
    authority: str,
    subtype: str,
    user_agent: str,
    encoding: str | None,
    compressions: tuple[str, ...],
) -> Headers:
    """A request without timeout and metadata; the first `_TARGET` fields stand before the timeout."""
    fields = (
        (b":method", b"POST"),
        (b":scheme", scheme.encode()),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", content_type_of(subtype)),
        (b"user-agent", f"{user_agent} {USER_AGENT}".lstrip().encode()),
        *([] if encoding is None else [(b"grpc-encoding", encoding.encode())]),
        accepted_encodings(compressions),
    )
    return Headers(FieldList(fields))


# --- what a server sends ---------------------------------------------------------------------------------------------


def response_headers(config: ServerConfig, subtype: str, encoding: str | None, custom: Sequence[Field]) -> Headers:
    """Response-Headers (HDR-13)."""
    bare = _response(subtype, encoding, config.compressions)
    return Headers([*bare.fields, *custom]) if custom else bare


@lru_cache(REMEMBERED)
def _response(subtype: str, encoding: str | None, compressions: tuple[str, ...]) -> Headers:
    fields = (
        (b":status", b"200"),
        (b"content-type", content_type_of(subtype)),
        *([] if encoding is None else [(b"grpc-encoding", encoding.encode())]),
        accepted_encodings(compressions),
    )
    return Headers(FieldList(fields))


_BARE_TRAILERS: Final = tuple(Headers(FieldList([(b"grpc-status", b"%d" % code)]), True) for code in StatusCode)


def trailers(status: Status, custom: Sequence[Field]) -> Headers:
    """Trailers (STAT-1): the message is left out when it is empty (STAT-8)."""
    bare = _BARE_TRAILERS[status.code]
    if not status.message:
        return Headers([*bare.fields, *custom], True) if custom else bare
    return Headers([*bare.fields, (b"grpc-message", encode_message(status.message)), *custom], True)


def trailers_only_fields(
    subtype: str, status: Status, custom: Sequence[Field], http_status: bytes = b"200"
) -> list[Field]:
    """A whole answer in one header list (STAT-2)."""
    return [
        (b":status", http_status),
        (b"content-type", content_type_of(subtype)),
        *trailers(status, ()).fields,
        *custom,
    ]


# --- what both read --------------------------------------------------------------------------------------------------


def parted(fields: Sequence[Field]) -> tuple[tuple[Field, ...], dict[bytes, bytes], list[Field]]:
    """A header list in three parts: the library's own fields that are the same for many calls, the first value of each
    of those that `VARYING` names, and the metadata."""
    own: list[Field] = []
    varying: dict[bytes, bytes] = {}
    custom: list[Field] = []
    for one in fields:
        name = one[0]
        if name in VARYING:
            varying.setdefault(name, one[1])
        elif name in HIDDEN or name[:1] == b":":
            own.append(one)
        else:
            custom.append(one)
    return tuple(own), varying, custom


def _remember(block: Block, read: KindT) -> KindT:
    if block.size <= REMEMBERED_SIZE:
        block.known = read  # type: ignore[misc]
    return read


# --- what a server reads ---------------------------------------------------------------------------------------------


@value
class Wrong:
    """What a request is refused for, and with which answer. ``bare``: with the HTTP status alone."""

    code: StatusCode
    text: str
    http_status: bytes = b"200"
    extra: tuple[Field, ...] = ()
    bare: bool = False


@value
class Definition:
    """What a request says of its method, its client and its codings: the same for many calls."""

    path: str
    authority: str
    user_agent: str
    subtype: str
    #: The subtype of an answer: that of the request, if it is served.
    answered: str
    #: The coding of its messages, and the codings that it accepts.
    encoding: str
    accepts: frozenset[str]
    #: Whether ``te: trailers`` was there, as it should be (HDR-7).
    te: bool
    #: What is wrong with it, in three places of the order of HDR-14.
    form: Wrong | None
    method: Wrong | None
    target: Wrong | None


@value
class Request:
    """Request-Headers that are in order. ``timeout``: seconds, or None."""

    definition: Definition
    timeout: float | None
    metadata: Metadata


@value
class Refusal:
    """A request that reaches no handler (HDR-15): why, and the header list that answers it; [] where that is a
    reset."""

    status: Status
    fields: list[Field]
    limit: Limit | None = None


def read_request(block: Block, config: ServerConfig, *, full: Limit | None) -> Request | Refusal:
    """Judges a request in the order of HDR-14; the first fault wins. ``full``: why there is no room for one more."""
    known = block.known
    if type(known) is Request and full is None:
        return known
    own, varying, custom = parted(block.fields)
    define = _define if block.size <= REMEMBERED_SIZE else _define.__wrapped__
    definition = define(own, config.content_subtypes, config.require_te, config.compressions)
    if block.size > config.max_header_list_size:
        text = f"metadata of {block.size} bytes is above the limit of {config.max_header_list_size}"
        return _refuse(definition, Wrong(StatusCode.RESOURCE_EXHAUSTED, text), Limit.MAX_HEADER_LIST_SIZE)
    if definition.form is not None:
        return _refuse(definition, definition.form)
    try:
        metadata = decode_metadata(custom, config.sensitive_metadata) if custom else EMPTY
    except InvalidMetadataError as error:
        return _refuse(definition, Wrong(StatusCode.INTERNAL, str(error)))
    timeout: float | None = None
    if (sent := varying.get(b"grpc-timeout")) is not None:
        try:
            timeout = decode_timeout(sent)
        except ValueError as error:
            return _refuse(definition, Wrong(StatusCode.INTERNAL, str(error), b"400"))
    if full is not None:
        return Refusal(Status(StatusCode.UNAVAILABLE, "there is no room for another call"), [], full)
    if definition.method is not None:
        return _refuse(definition, definition.method)
    if timeout == 0:
        return _refuse(definition, Wrong(StatusCode.DEADLINE_EXCEEDED, "the deadline had passed on arrival"))
    if definition.target is not None:
        return _refuse(definition, definition.target)
    return _remember(block, Request(definition, timeout, metadata))


def _refuse(definition: Definition, wrong: Wrong, limit: Limit | None = None) -> Refusal:
    status = Status(wrong.code, wrong.text[:REFUSAL_SHOWN])
    if wrong.bare:
        return Refusal(status, [(b":status", wrong.http_status)], limit)
    return Refusal(status, trailers_only_fields(definition.answered, status, wrong.extra, wrong.http_status), limit)


@lru_cache(REMEMBERED)
def _define(
    own: tuple[Field, ...], subtypes: frozenset[str] | None, require_te: bool, compressions: tuple[str, ...]
) -> Definition:
    named = dict(reversed(own))
    hosts = every(own, b"host")
    subtype = subtype_of(named.get(b"content-type", b""))
    served = not subtype or subtypes is None or subtype in subtypes
    encoding = named.get(b"grpc-encoding", b"identity").decode("latin-1")
    path = named[b":path"]

    form: Wrong | None = None
    if named[b":scheme"] not in (b"http", b"https"):
        form = Wrong(StatusCode.INTERNAL, "the scheme must be http or https")
    elif len(hosts) > 1:
        form = Wrong(StatusCode.INTERNAL, "more than one host", b"400")
    elif subtype is None:
        form = Wrong(StatusCode.UNKNOWN, "the content-type is not gRPC's", b"415", bare=True)
    elif not served:
        form = Wrong(StatusCode.INTERNAL, f"no codec for the content subtype {subtype!r}")
    elif require_te and b"te" not in named:
        form = Wrong(StatusCode.UNKNOWN, "te: trailers is missing")

    method: Wrong | None = None
    if named[b":method"] != b"POST":
        method = Wrong(StatusCode.INTERNAL, "the method must be POST", b"405", ((b"allow", b"POST"),))

    target: Wrong | None = None
    if encoding not in ("identity", *compressions):
        text = f"grpc-encoding {encoding!r} is not supported"
        target = Wrong(StatusCode.UNIMPLEMENTED, text, extra=(accepted_encodings(compressions),))
    elif not path.startswith(b"/") or path.rfind(b"/") == 0:
        target = Wrong(StatusCode.UNIMPLEMENTED, f"malformed method name {path.decode('latin-1')!r}")

    accepts = named.get(b"grpc-accept-encoding", b"").decode("latin-1")
    return Definition(
        path=path.decode("latin-1"),
        authority=(named.get(b":authority") or b"".join(hosts)).decode("latin-1"),
        user_agent=named.get(b"user-agent", b"").decode("latin-1"),
        subtype=subtype or "",
        answered=subtype if subtype and served else "",
        encoding=encoding,
        accepts=frozenset(part.strip() for part in accepts.split(",")),
        te=b"te" in named,
        form=form,
        method=method,
        target=target,
    )


# --- what a client reads ---------------------------------------------------------------------------------------------


@value
class Response:
    """Response-Headers of gRPC; ``encoding``: the value of ``grpc-encoding``."""

    initial: InitialMetadata
    encoding: str
    requested_subtype: str


@value
class ForeignResponse:
    """An answer that is not gRPC; ``status`` is what it means when no ``grpc-status`` follows (ERR-1, ERR-2)."""

    status: Status


@value
class Outcome:
    """What the block that ends a call says, as the end of that call; None: it has no ``grpc-status``."""

    ended: CallEnded | None


@value
class BadBlock:
    """A block that can not be used: the status that says why, and the code that tells the server so (Table D)."""

    status: Status
    reset: ErrorCode
    limit: Limit | None = None


def read_response(block: Block, requested_subtype: str, config: ClientConfig) -> Response | ForeignResponse | BadBlock:
    known = block.known
    if type(known) is Response and known.requested_subtype == requested_subtype:
        return known
    if block.size > config.max_header_list_size:
        return _too_large(block, config.max_header_list_size)
    own, _, custom = parted(block.fields)
    judge = _judge_response if block.size <= REMEMBERED_SIZE else _judge_response.__wrapped__
    encoding = judge(own, requested_subtype)
    if not isinstance(encoding, str):
        return encoding
    try:
        metadata = decode_metadata(custom, config.sensitive_metadata) if custom else EMPTY
    except InvalidMetadataError as error:
        return BadBlock(Status(StatusCode.INTERNAL, str(error)), ErrorCode.PROTOCOL_ERROR)
    return _remember(block, Response(InitialMetadata(metadata), encoding, requested_subtype))


@lru_cache(REMEMBERED)
def _judge_response(own: tuple[Field, ...], requested_subtype: str) -> str | ForeignResponse | BadBlock:
    """The coding of its messages, if it is in order."""
    if foreign := foreign_status(own):
        return ForeignResponse(foreign)
    # grpcio and others answer without a subtype, whatever was asked: only one that differs is a wrong codec.
    subtype = subtype_of(first(own, b"content-type") or b"")
    if subtype and subtype != (requested_subtype or "proto"):
        text = f"the answer's content subtype is {quoted(subtype)}, that of the request {requested_subtype!r}"
        return BadBlock(Status(StatusCode.INTERNAL, text), ErrorCode.CANCEL)
    return (first(own, b"grpc-encoding") or b"").decode("latin-1")


def read_outcome(block: Block, config: ClientConfig) -> Outcome | BadBlock:
    """Trailers or Trailers-Only: a ``grpc-status`` counts whatever else the block says (STAT-11)."""
    known = block.known
    if type(known) is Outcome:
        return known
    if block.size > config.max_header_list_size:
        return _too_large(block, config.max_header_list_size)
    own, varying, custom = parted(block.fields)
    codes = every(own, b"grpc-status")
    if not codes:
        return Outcome(None)
    try:
        metadata = decode_metadata(custom, config.sensitive_metadata) if custom else EMPTY
    except InvalidMetadataError as error:
        return BadBlock(Status(StatusCode.INTERNAL, str(error)), ErrorCode.PROTOCOL_ERROR)
    status = parse_status(codes, varying.get(b"grpc-message", b""))
    return _remember(block, Outcome(CallEnded(status, metadata)))


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


def _too_large(block: Block, limit: int) -> BadBlock:
    text = f"received metadata of {block.size} bytes is above the limit of {limit}"
    return BadBlock(Status(StatusCode.RESOURCE_EXHAUSTED, text), ErrorCode.CANCEL, Limit.MAX_HEADER_LIST_SIZE)
