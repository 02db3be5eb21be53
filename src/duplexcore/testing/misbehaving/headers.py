"""Response-Headers and trailers that HTTP/2 forbids, and odd ones that it allows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from duplexcore.status import StatusCode
from duplexcore.testing import raw
from duplexcore.testing.raw import AnyField

from .case import ServerCase
from .stage import Stage

PROTOCOL_ERROR, CANCEL = 1, 8
INTERNAL, UNKNOWN = (StatusCode.INTERNAL,), (StatusCode.UNKNOWN,)
GOOD = raw.response_fields()
STATUS, TYPE = GOOD


async def malformed(stage: Stage, fields: Sequence[AnyField], end: bool = False) -> None:
    """Headers that are no HTTP/2: that costs the stream, and nothing else."""
    call = await stage.call()
    await stage.send(call.fields(fields, end=end))
    await stage.resets(call, PROTOCOL_ERROR, rule="MAL-1")
    await stage.calls_again()


async def malformed_trailers(stage: Stage, fields: Sequence[AnyField]) -> None:
    call = await stage.call()
    await stage.send(call.headers(), call.message(), call.fields(fields, end=True))
    await stage.calls_again()


async def no_grpc(stage: Stage, fields: Sequence[AnyField]) -> None:
    """Legal HTTP/2, but no answer of gRPC; it ends with its body."""
    call = await stage.call()
    await stage.send(call.fields(fields), call.data(b"hello", end=True))
    await stage.calls_again()


async def other_codec(stage: Stage) -> None:
    """Good in all but its content type, which names another codec than the request's."""
    call = await stage.call()
    fields = [STATUS, ("content-type", "application/grpc+other")]
    await stage.send(call.fields(fields), call.message(), call.trailers())
    await stage.calls_again()


async def interim(stage: Stage, statuses: Sequence[str]) -> None:
    call = await stage.call()
    for status in statuses:
        await stage.send(call.fields([(":status", status), ("link", "</style.css>; rel=preload")]))
    await stage.send(call.answer())
    await stage.calls_again()


async def interim_end(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.fields([(":status", "103")], end=True))
    await stage.calls_again()


async def wrong_length(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.headers(("content-length", "4")), call.message(), call.trailers())
    await stage.survives(rule="MAL-4")
    await stage.calls_again()


async def odd_metadata(stage: Stage, fields: Sequence[tuple[str, str]]) -> None:
    """Metadata that must not fail the call, in the headers and in the trailers."""
    call = await stage.call()
    await stage.send(call.headers(*fields), call.message(), call.trailers(0, *fields))
    await stage.calls_again()


async def no_base64(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.headers(("x-data-bin", "a")))
    await stage.resets(call, PROTOCOL_ERROR, rule="MD-8")
    await stage.calls_again()


async def large(stage: Stage) -> None:
    call = await stage.call()
    await stage.survives(call.headers(("x-large", "x" * 10_000)), rule="MD-11")
    if call.reset is None:
        await stage.send(call.message(), call.trailers())
    else:
        stage.check("MD-11", "sends RST_STREAM(CANCEL)", call.reset == CANCEL, raw.code_name(call.reset))
    await stage.calls_again()


async def in_pieces(stage: Stage) -> None:
    """HEADERS and CONTINUATIONs, cut at every third byte or so, some of them empty."""
    call = await stage.call()
    await stage.send(call.headers(("x-long", "y" * 100), cuts=(0, 3, 3, 9, 60)), call.message(), call.trailers())
    await stage.calls_again()


async def padded(stage: Stage) -> None:
    call = await stage.call()
    head = stage.link.peer.headers(call.stream, GOOD, pad=200, prio=True)
    await stage.send(head, call.data(b"", pad=10), call.message(), call.trailers())
    await stage.calls_again()


def _malformed(name: str, does: str, *fields: AnyField, rules: str = "MAL-1 MAL-2", end: bool = False) -> ServerCase:
    script = partial(malformed, fields=fields, end=end)
    return ServerCase(name, does, "reset the stream, go on", tuple(rules.split()), script, INTERNAL)


def _no_grpc(name: str, does: str, *fields: AnyField) -> ServerCase:
    script = partial(no_grpc, fields=fields)
    return ServerCase(name, does, "see that this is no gRPC", ("ERR-2", "ERR-1"), script, UNKNOWN)


def _odd(
    name: str,
    does: str,
    *fields: tuple[str, str],
    rules: str,
    metadata: tuple[tuple[str, str | bytes], ...] = (),
) -> ServerCase:
    script = partial(odd_metadata, fields=fields)
    return ServerCase(name, does, "not fail the call", tuple(rules.split()), script, metadata=metadata)


#: What the values of `metadata_binary` are, once decoded.
BINARY = (
    ("x-a-bin", b"\xab\xab\xab"),
    ("x-b-bin", b"\xab"),
    ("x-c-bin", b"\xab"),
    ("x-d-bin", b""),
    ("x-e-bin", b"\xab"),
    ("x-e-bin", b"\xab\xab"),
)
CASES = (
    _malformed("name_in_upper_case", "a field name in upper case", *GOOD, ("X-Upper", "1")),
    _malformed("name_empty", "a field without name", *GOOD, ("", "1")),
    _malformed("field_connection", "connection: close", *GOOD, ("connection", "close")),
    _malformed("field_transfer_encoding", "transfer-encoding: chunked", *GOOD, ("transfer-encoding", "chunked")),
    _malformed("field_te", "te: gzip", *GOOD, ("te", "gzip")),
    _malformed("pseudo_header_late", ":status after a regular field", TYPE, STATUS),
    _malformed("pseudo_header_twice", "two :status", STATUS, STATUS, TYPE),
    _malformed("pseudo_header_unknown", "the pseudo-header :reason", STATUS, (":reason", "fine"), TYPE),
    _malformed("pseudo_header_of_requests", ":path in a response", STATUS, (":path", "/a/b"), TYPE),
    _malformed("value_with_nul", "NUL in a value", *GOOD, ("x-value", "a\0b")),
    _malformed("value_with_line_break", "CR and LF in a value", *GOOD, ("x-value", "a\r\nx-other: b")),
    ServerCase("pseudo_header_in_trailers", ":status in the trailers", "not take them", ("MAL-1", "MAL-2"),
        partial(malformed_trailers, fields=[STATUS, ("grpc-status", "0")]), INTERNAL),
    ServerCase("upper_case_in_trailers", "a name in upper case in the trailers", "not take them", ("MAL-1", "MAL-2"),
        partial(malformed_trailers, fields=[("grpc-status", "0"), ("X-Upper", "1")]), INTERNAL),
    _malformed("status_missing", "no :status", TYPE, rules="ERR-2 MAL-1"),
    _malformed("status_not_a_number", ":status abc", (":status", "abc"), TYPE, rules="ERR-2"),
    ServerCase("content_length_wrong", "content-length: 4, and more bytes", "see that it is wrong", ("MAL-4",),
        wrong_length, INTERNAL),
    ServerCase("interim_responses", "100, 103 and 103 before the answer", "skip them", ("MAL-5",),
        partial(interim, statuses=("100", "103", "103"))),
    ServerCase("interim_response_ends", "103 with END_STREAM", "fail, not wait", ("MAL-5",), interim_end, INTERNAL),
    _no_grpc("type_missing", "no content-type", STATUS),
    _no_grpc("type_jpeg", "content-type: image/jpeg", STATUS, ("content-type", "image/jpeg")),
    _no_grpc("type_almost", "content-type: application/grpcfoo", STATUS, ("content-type", "application/grpcfoo")),
    ServerCase("type_other_codec", "content-type: application/grpc+other", "not decode it", ("STAT-19",),
        other_codec, INTERNAL),
    _odd("metadata_not_ascii", "values with bytes 0x80 to 0xFF and HTAB", ("x-latin", "caf\xe9"), ("x-tab", "a\tb"),
        rules="MD-7"),
    _odd("metadata_repeated", "a name three times, with commas in the values", ("x-twice", "a,b"), ("x-twice", "c"),
        ("x-twice", "a,b"), rules="MD-6", metadata=(("x-twice", "a,b"), ("x-twice", "c"), ("x-twice", "a,b"))),
    _odd("metadata_binary", "-bin values: with padding, without, empty, two in one field", ("x-a-bin", "q6ur"),
        ("x-b-bin", "qw=="), ("x-c-bin", "qw"), ("x-d-bin", ""), ("x-e-bin", "qw,q6s="), rules="MD-5",
        metadata=BINARY),
    ServerCase("metadata_not_base64", "a -bin value of one character", "reset the stream, go on", ("MD-8", "MAL-3"),
        no_base64, INTERNAL),
    ServerCase("metadata_large", "headers of 10,000 bytes", "take them, or fail this call alone", ("MD-11", "MD-10"),
        large, (StatusCode.RESOURCE_EXHAUSTED, StatusCode.OK), (StatusCode.RESOURCE_EXHAUSTED,)),
    ServerCase("headers_in_pieces", "HEADERS and five CONTINUATIONs, two of them empty", "join them", ("MD-13",),
        in_pieces),
    ServerCase("headers_padded", "HEADERS with padding and priority, DATA of padding alone", "take them",
        ("FLOW-1", "FRM-2"), padded),
)  # fmt: skip
