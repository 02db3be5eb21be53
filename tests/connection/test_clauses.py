"""The clauses of the rules that are easily passed over: each rule's second half, at both sides, on the wire.

The rules' first halves stand with the parts that decide them; what is here was checked clause by clause against
docs/requirements.md, and needs no more than a few frames each.
"""

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from duplexcore import (
    CallStarted,
    ClientCall,
    ClientConfig,
    HalfClosed,
    InitialMetadata,
    Message,
    Metadata,
    Origin,
    ServerCall,
    Status,
    StatusCode,
)
from duplexcore.testing import raw
from duplexcore.testing.raw import AnyField, RawFrame, RawPeer, message, request_fields, response_fields
from tests.support.bench import ClientBench, ServerBench, heard, outcome, patient

SIDES = [ClientBench, ServerBench]
HALF_CLOSED = pytest.mark.parametrize("half_closed", [False, True])

#: Frames of the server, given its HPACK table.
Says = Callable[[RawPeer], bytes]


def code(call: ClientCall | ServerCall) -> int:
    return outcome(call).status.code


def altered(changes: dict[str, str | None], *extra: AnyField) -> list[AnyField]:
    """The fields of a good request with some replaced, and those left out whose value is None; new ones last."""
    fields = {str(name): str(value) for name, value in request_fields()} | changes
    return [*((name, value) for name, value in fields.items() if value is not None), *extra]


def asked(fields: list[AnyField], *, end: bool = False) -> tuple[ServerBench, list[RawFrame]]:
    bench = ServerBench()
    bench.give(bench.peer.headers(1, fields, end=end))
    return bench, bench.pull()


def fields_of(frame: RawFrame) -> dict[bytes, bytes]:
    return dict(frame.fields or ())


def answered(*says: Says | bytes, half_closed: bool = False, **more: Any) -> tuple[ClientBench, ClientCall]:
    """A client whose first call was answered so."""
    bench = ClientBench()
    call = bench.engine.start_call("/a/b", **more)
    if half_closed:
        call.half_close()
    bench.pull()
    bench.give(*(one if isinstance(one, bytes) else one(bench.peer) for one in says))
    return bench, call


def headers(*fields: AnyField, status: str = "200", content_type: str | None = "application/grpc") -> Says:
    first: list[AnyField] = [(":status", status)]
    if content_type is not None:
        first.append(("content-type", content_type))
    return lambda peer: peer.headers(1, [*first, *fields])


def last(*fields: AnyField) -> Says:
    return lambda peer: peer.headers(1, fields, end=True)


def only(*fields: AnyField) -> Says:
    return last(*response_fields(), *fields)


def messages(call: ClientCall | ServerCall) -> list[bytes]:
    return [event.payload for event in heard(call) if isinstance(event, Message)]


# --- HDR: a request ---------------------------------------------------------------------------------------------------


@pytest.mark.req("HDR-2", "HDR-3", "HDR-6", "HDR-9", "HDR-15", "DEAD-3", "COMP-3")
@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize(
    ("changes", "extra", "http_status", "grpc_status"),
    [
        *(({":method": method}, (), b"405", b"13") for method in ("GET", "post", "PUT", "HEAD")),
        *(({":scheme": scheme}, (), b"200", b"13") for scheme in ("ftp", "HTTP", "Https", "")),
        ({":authority": None}, (("host", "a"), ("host", "a")), b"400", b"13"),
        ({}, (("host", "a"), ("host", "b")), b"400", b"13"),  # though :authority is there
        *(
            ({"content-type": kind}, (), b"415", None)
            for kind in (
                None,
                "",
                "text/html",
                "application/grpcfoo",
                "application/grpc-web",
                "application/grpc-web+proto",
            )
        ),
        *(
            ({"grpc-timeout": timeout}, (), b"400", b"13")
            for timeout in ("", "S", "1", "123456789S", "-1S", "+1S", "1s", "1h", "1.5S", " 1S", "1 S", "1SS")
        ),
        *(({"grpc-timeout": timeout}, (), b"200", b"4") for timeout in ("0n", "00000000H")),
        ({"grpc-encoding": "snappy"}, (), b"200", b"12"),
        *(({":path": path}, (), b"200", b"12") for path in ("a/b", "/ab", "/", "*", "")),
    ],
)
def test_a_refusal_is_one_block_and_a_reset_without_blame_while_the_client_is_open(
    changes: dict[str, str | None],
    extra: tuple[AnyField, ...],
    http_status: bytes,
    grpc_status: bytes | None,
    end: bool,
) -> None:
    bench, frames = asked(altered(changes, *extra), end=end)
    assert [frame.brief for frame in frames] == ["HEADERS 1 ES"] + ([] if end else ["RST 1 NO_ERROR"])
    sent = fields_of(frames[0])
    assert sent[b":status"] == http_status
    assert sent.get(b"grpc-status") == grpc_status
    if grpc_status is None:
        assert list(sent) == [b":status"]
    if http_status == b"405":
        assert sent[b"allow"] == b"POST"
    assert bench.calls() == []
    assert bench.call(3).ended is None


@pytest.mark.req("HDR-6")
@pytest.mark.parametrize(
    ("authority", "host", "expected"),
    [(None, "h", "h"), ("a", "h", "a"), (None, None, ""), ("a", None, "a"), ("", "h", "h")],
)
def test_host_stands_in_for_authority_and_is_not_metadata(
    authority: str | None, host: str | None, expected: str
) -> None:
    bench, _ = asked(altered({":authority": authority, "host": host}))
    (call,) = bench.calls()
    assert call.authority == expected
    assert call.metadata == Metadata()


@pytest.mark.req("HDR-4")
@pytest.mark.parametrize("path", ["/a/b/c", "/a/%62", "/A/b", "/a/../b", "/a//b", "/a/b?x=1", "//b", "/a/"])
def test_a_path_is_never_normalised(path: str) -> None:
    bench, frames = asked(altered({":path": path}))
    assert frames == []
    (call,) = bench.calls()
    assert call.method == path


@pytest.mark.req("HDR-7")
@pytest.mark.parametrize("te", ["gzip", "Trailers", "trailers, deflate", ""])
def test_te_is_trailers_or_nothing(te: str) -> None:
    bench, frames = asked(altered({"te": te}))
    assert [frame.brief for frame in frames] == ["RST 1 PROTOCOL_ERROR"]
    assert bench.calls() == []
    assert bench.closed() is None


@pytest.mark.req("HDR-9", "HDR-13")
@pytest.mark.parametrize(
    ("asked_for", "answer"),
    [
        ("application/grpc", b"application/grpc"),
        ("Application/GRPC", b"application/grpc"),
        ("application/grpc;x", b"application/grpc"),
        ("application/grpc; charset=utf-8", b"application/grpc"),
        ("application/grpc+proto", b"application/grpc+proto"),
        ("application/grpc+PROTO", b"application/grpc+proto"),
        ("application/grpc+proto;a=b", b"application/grpc+proto"),
    ],
)
def test_a_content_type_is_answered_with_its_subtype(asked_for: str, answer: bytes) -> None:
    bench, _ = asked(altered({"content-type": asked_for}))
    (call,) = bench.calls()
    call.send_message(b"x")
    assert bench.pull()[0].fields == (
        (b":status", b"200"),
        (b"content-type", answer),
        (b"grpc-accept-encoding", b"identity,gzip,deflate"),
    )


@pytest.mark.req("HDR-16")
@pytest.mark.parametrize("fields", [[("a", "b")], [("x-bin", "!")], [("a", "x" * 9000)]], ids=["good", "bad", "large"])
def test_what_request_trailers_say_is_not_looked_at(fields: list[AnyField]) -> None:
    bench = ServerBench()
    call = bench.call(1, "/a/b", b"1")
    assert bench.feed(bench.peer.headers(1, fields, end=True)) == []
    assert heard(call) == [Message(b"1"), HalfClosed()]


@pytest.mark.req("HDR-16", "FRM-7")
def test_request_trailers_inside_a_message() -> None:
    bench = ServerBench()
    call = bench.call()
    bench.give(raw.data(1, message(b"abc")[:-1]), bench.peer.headers(1, [("a", "b")], end=True))
    (frame,) = bench.pull()
    assert fields_of(frame)[b"grpc-status"] == b"13"
    assert code(call) == StatusCode.INTERNAL


# --- MAL: malformed headers, wherever they come -----------------------------------------------------------------------

MALFORMED: list[AnyField] = [
    ("Abc", "x"),
    *((name, "x") for name in ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")),
    ("te", "gzip"),
    (":path", "/x"),
    (":unknown", "x"),
    ("", "x"),
    *(("a", f"x{bad}") for bad in "\0\r\n"),
]


@pytest.mark.req("MAL-1", "HDR-16")
@pytest.mark.parametrize("field", MALFORMED, ids=repr)
def test_malformed_request_trailers_end_the_stream_alone(field: AnyField) -> None:
    bench = ServerBench()
    call = bench.call()
    assert bench.feed(bench.peer.headers(1, [field], end=True)) == ["RST 1 PROTOCOL_ERROR"]
    assert code(call) == StatusCode.CANCELLED
    assert bench.call(3).ended is None


@pytest.mark.req("MAL-1", "MAL-5")
@pytest.mark.parametrize("where", ["interim", "headers", "trailers", "Trailers-Only"])
@pytest.mark.parametrize("field", MALFORMED, ids=repr)
def test_malformed_headers_of_any_kind_end_one_call_of_a_client(field: AnyField, where: str) -> None:
    says: dict[str, list[Says]] = {
        "interim": [lambda peer: peer.headers(1, [(":status", "103"), field])],
        "headers": [headers(field)],
        "trailers": [headers(), last(("grpc-status", "0"), field)],
        "Trailers-Only": [only(("grpc-status", "0"), field)],
    }
    bench, call = answered(*says[where])
    assert code(call) == StatusCode.INTERNAL
    assert outcome(call).origin is Origin.LIBRARY
    assert bench.briefs() == ["RST 1 PROTOCOL_ERROR"]
    other = bench.call()
    bench.give(bench.peer.trailers_only(3, 0))
    assert outcome(other).status.ok


@pytest.mark.req("MAL-5", "STAT-4")
def test_interim_responses_say_nothing_and_trailers_only_may_follow_them() -> None:
    _, call = answered(
        lambda peer: peer.headers(1, [(":status", "100")]),
        lambda peer: peer.headers(1, [(":status", "103"), ("grpc-status", "5"), ("a", "b")]),
        only(("grpc-status", "7"), ("x", "y")),
    )
    (end,) = heard(call)
    assert end == outcome(call)
    assert outcome(call).status == Status(StatusCode.PERMISSION_DENIED)
    assert outcome(call).trailing_metadata == Metadata({"x": "y"})


@pytest.mark.req("MAL-4", "FLOW-1")
@pytest.mark.parametrize("ends_with", ["data", "trailers"])
@pytest.mark.parametrize(("length", "right"), [(8, True), (7, False), (9, False)])
def test_content_length_counts_data_without_its_padding(length: int, right: bool, ends_with: str) -> None:
    bench = ServerBench()
    bench.give(bench.peer.request(1, "/a/b", ("content-length", str(length))))
    (call,) = bench.calls()
    bench.give(raw.data(1, message(b"abc"), pad=3, end=ends_with == "data"))
    if ends_with == "trailers":
        bench.give(bench.peer.headers(1, [("a", "b")], end=True))
    resets = [brief for brief in bench.briefs() if brief.startswith("RST")]
    assert resets == ([] if right else ["RST 1 PROTOCOL_ERROR"])
    assert (call.ended is None) is right
    assert bench.closed() is None


# --- FRM: messages ----------------------------------------------------------------------------------------------------


@pytest.mark.req("FRM-1", "FRM-4", "FRM-9", "COMP-2", "COMP-5", "COMP-6")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("encoding", "wire", "expected"),
    [
        *((None, message(body, flag=flag), 13) for body in (b"", b"a") for flag in (2, 3, 0x80, 0xFF)),
        *((encoding, message(body, flag=1), 13) for body in (b"", b"a") for encoding in (None, "identity")),
        *((None, b"\0" + length.to_bytes(4, "big"), 8) for length in (101, 2**31, 2**32 - 1)),
        *(
            ("gzip", message(body, flag=1), 13)
            for body in (
                b"junk",
                gzip.compress(b"hello", mtime=0)[:-1],
                gzip.compress(b"hello", mtime=0)[:-8],  # no trailer
                gzip.compress(b"hello", mtime=0)[:-8] + bytes(8),  # a wrong one
                gzip.compress(b"hello", mtime=0) + b"x",
                gzip.compress(b"hello", mtime=0) + b"\0",
            )
        ),
        *(
            ("deflate", message(body, flag=1), 13)
            for body in (
                zlib.compress(b"hello")[:-1],
                zlib.compress(b"hello")[:-4],
                zlib.compress(b"hello")[2:-4],  # without the envelope of zlib
                zlib.compress(b"hello") + b"!",
            )
        ),
        ("gzip", message(gzip.compress(bytes(101), mtime=0), flag=1), 8),
        ("gzip", message(bytes(101), flag=1), 8),  # too long before it is unpacked
        ("deflate", message(zlib.compress(bytes(10**6)), flag=1), 8),
    ],
)
def test_a_wrong_message_costs_its_call_alone(
    side: type[ClientBench] | type[ServerBench], encoding: str | None, wire: bytes, expected: int
) -> None:
    extra = () if encoding is None else (("grpc-encoding", encoding),)
    call: ClientCall | ServerCall
    if side is ClientBench:
        client = ClientBench(ClientConfig(max_receive_message_size=100))
        call = client.call()
        client.give(client.peer.response(1, *extra), raw.data(1, message(b"good") + wire))
        assert client.briefs() == ["RST 1 CANCEL"]
        assert client.closed() is None
    else:
        server = ServerBench(patient(max_receive_message_size=100))
        server.give(server.peer.request(1, "/a/b", *extra), raw.data(1, message(b"good") + wire))
        (call,) = server.calls()
        frames = server.pull()
        assert [frame.brief for frame in frames] == ["HEADERS 1 ES", "RST 1 NO_ERROR"]
        assert fields_of(frames[0])[b"grpc-status"] == b"%d" % expected
        assert server.closed() is None
    assert code(call) == expected
    assert messages(call) == [b"good"]


@pytest.mark.req("FRM-8")
@HALF_CLOSED
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(("status", "expected"), [(0, 13), (5, 5)])
@pytest.mark.parametrize("part", [b"\0", b"\0\0\0\0", b"\0\0\0\0\1", b"\0\0\0\0\2x"])
def test_trailers_inside_a_message(part: bytes, status: int, expected: int, single: bool, half_closed: bool) -> None:
    bench, call = answered(
        headers(),
        raw.data(1, message(b"q") + part),
        last(("grpc-status", str(status))),
        half_closed=half_closed,
        single_response=single,
    )
    assert code(call) == expected
    assert call.ended is not None
    assert call.ended.origin is (Origin.PEER if status == expected else Origin.LIBRARY)
    assert messages(call) == ([] if single else [b"q"])
    assert bench.briefs() == ([] if half_closed else ["RST 1 NO_ERROR"])


# --- STAT: statuses ---------------------------------------------------------------------------------------------------


@pytest.mark.req("STAT-7")
@pytest.mark.parametrize("value", ["17", "-1", "abc", "", "1.0", "0x1", "9" * 20, " 5", "5 ", "+5", "1,2", "\xb2"])
@pytest.mark.parametrize("trailers_only", [False, True])
def test_a_status_that_is_no_code_is_unknown_and_shown(value: str, trailers_only: bool) -> None:
    field = ("grpc-status", value)
    _, call = answered(*([only(field)] if trailers_only else [headers(), last(field)]))
    assert code(call) == StatusCode.UNKNOWN
    assert value in outcome(call).status.message


@pytest.mark.req("STAT-7")
def test_a_status_said_twice_must_be_the_same() -> None:
    _, call = answered(only(("grpc-status", "5"), ("grpc-status", "5")))
    assert code(call) == StatusCode.NOT_FOUND
    _, call = answered(only(("grpc-status", "0"), ("grpc-status", "5"), ("grpc-message", "why")))
    assert code(call) == StatusCode.UNKNOWN
    assert "'0, 5'" in outcome(call).status.message
    assert "why" in outcome(call).status.message


@pytest.mark.req("STAT-9")
@pytest.mark.parametrize(
    ("wire", "text"),
    [
        *(("%e2%98%ba", "☺"), ("%E2%98%BA", "☺"), ("\xe2\x98\xba", "☺")),
        *(("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("a%", "a%"), ("%%41", "%A"), ("%2541", "%41")),
        *(("%ff", "\ufffd"), ("\xff", "\ufffd"), ("%C3", "\ufffd")),
    ],
)
def test_a_message_is_read_as_far_as_it_goes(wire: str, text: str) -> None:
    _, call = answered(only(("grpc-status", "5"), ("grpc-message", wire)))
    assert outcome(call).status == Status(StatusCode.NOT_FOUND, text)


@pytest.mark.req("STAT-4", "STAT-5")
@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (last(("grpc-status", "0")), 0),
        (last(("x", "y")), 2),
        (last(("grpc-message", "m")), 2),
        (raw.data(1, end=True), 13),
        (raw.rst(1, 0), 13),
    ],
    ids=["status", "none", "message", "data", "reset"],
)
def test_a_status_in_headers_counts_for_nothing(ends: Says | bytes, expected: int) -> None:
    _, call = answered(headers(("grpc-status", "5"), ("grpc-message", "no"), ("a", "b")), ends)
    first, *_ = heard(call)
    assert first == InitialMetadata(Metadata({"a": "b"}))
    assert code(call) == expected
    assert "no" not in outcome(call).status.message.split()


@pytest.mark.req("STAT-8", "MD-1")
@pytest.mark.parametrize("text", [" a", "a ", " ", " a  b "])
def test_spaces_at_the_ends_are_sent_as_they_are(text: str) -> None:
    client = ClientBench()
    client.engine.start_call("/a/b", {"k": text})
    assert fields_of(client.pull()[0])[b"k"] == text.encode()
    server = ServerBench()
    call = server.call()
    call.send_initial_metadata({"k": text})
    call.finish(Status(StatusCode.ABORTED, text), {"k": text})
    first, then, *_ = map(fields_of, server.pull())
    assert first[b"k"] == then[b"k"] == then[b"grpc-message"] == text.encode()


@pytest.mark.req("STAT-14")
@pytest.mark.parametrize("late", [False, True], ids=["said before", "said after the messages"])
@pytest.mark.parametrize(
    ("wire", "end", "expected"),
    [(b"", True, 12), (message(b"1") * 2, False, 12), (message(b"1") * 2, True, 12), (message(b"1"), True, None)],
)
def test_one_request_is_expected(wire: bytes, end: bool, expected: int | None, late: bool) -> None:
    bench = ServerBench()
    call = bench.call()
    if not late:
        call.expect_single_request()
    bench.give(raw.data(1, wire, end=end))
    if late:
        call.expect_single_request()
    if expected is None:
        assert heard(call) == [Message(b"1"), HalfClosed()]
        assert bench.briefs() == []
    else:
        assert code(call) == expected
        assert messages(call) == []
        assert bench.briefs() == ["HEADERS 1 ES"] + ([] if end else ["RST 1 NO_ERROR"])


# --- ERR: what is not gRPC, and resets --------------------------------------------------------------------------------

TABLE_A = dict.fromkeys((200, 201, 204, 301, 408, 413, 418, 500, 501, 505, 599), 2) | {
    400: 13,
    401: 16,
    403: 7,
    404: 12,
    429: 14,
    431: 13,
    502: 14,
    503: 14,
    504: 14,
}


@pytest.mark.req("ERR-1", "ERR-A", "STAT-11")
@HALF_CLOSED
@pytest.mark.parametrize(("http_status", "expected"), TABLE_A.items())
@pytest.mark.parametrize("content_type", ["text/html", None])
def test_an_answer_that_is_not_grpc(
    http_status: int, expected: int, content_type: str | None, half_closed: bool
) -> None:
    foreign = headers(status=str(http_status), content_type=content_type)
    reset = [] if half_closed else ["RST 1 CANCEL"]

    bench, call = answered(foreign, raw.data(1, b"BODY", end=True), half_closed=half_closed)
    assert (code(call), bench.briefs()) == (expected, reset)
    assert "BODY" in outcome(call).status.message

    bench, call = answered(foreign, raw.data(1, b"Q" * 1500), half_closed=half_closed)
    assert (code(call), bench.briefs()) == (expected, ["RST 1 CANCEL"])
    assert outcome(call).status.message.count("Q") == 1024

    _, call = answered(foreign, raw.data(1, b"BODY"), last(("x", "y")), half_closed=half_closed)
    assert code(call) == expected

    _, call = answered(foreign, raw.data(1, b"BODY"), last(("grpc-status", "9"), ("x", "y")), half_closed=half_closed)
    assert outcome(call).status == Status(StatusCode.FAILED_PRECONDITION)
    assert outcome(call).trailing_metadata == Metadata({"x": "y"})


@pytest.mark.req("ERR-2")
@pytest.mark.parametrize("status", [None, "", "20", "2000", "abc"])
def test_a_status_of_http_that_is_none(status: str | None) -> None:
    fields: list[AnyField] = [] if status is None else [(":status", status)]
    bench, call = answered(lambda peer: peer.headers(1, [*fields, ("content-type", "application/grpc")]))
    assert code(call) == StatusCode.INTERNAL
    assert bench.briefs() == ["RST 1 PROTOCOL_ERROR"]


TABLE_B = dict.fromkeys((*range(14), 14, 255, 2**32 - 1), 13) | {7: 14, 8: 1, 11: 8, 12: 7}


@pytest.mark.req("ERR-B", "DUP-7", "CANC-2")
@pytest.mark.parametrize(("reset", "expected"), TABLE_B.items())
@pytest.mark.parametrize("after", ["nothing", "headers", "a message", "half of one"])
def test_a_reset_of_the_peer(reset: int, expected: int, after: str) -> None:
    body = {"a message": message(b"1"), "half of one": message(b"1") + b"\0\0"}.get(after)
    before = ([] if after == "nothing" else [headers()]) + ([] if body is None else [raw.data(1, body)])
    bench, call = answered(*before, raw.rst(1, reset))
    assert code(call) == expected
    assert messages(call) == ([] if body is None else [b"1"])
    assert bench.briefs() == []

    server = ServerBench()
    theirs = server.call(1, "/a/b", *([] if body is None else [b"1"]))
    assert server.feed(raw.rst(1, reset)) == []
    assert code(theirs) == StatusCode.CANCELLED


# --- FLOW, CONN, KEEP, GOAW -------------------------------------------------------------------------------------------


@pytest.mark.req("CONN-11")
@pytest.mark.parametrize("ids", [(2,), (1, 1), (3, 1), (3, 2), (5, 5)])
def test_ids_of_new_streams_are_odd_and_rise(ids: tuple[int, ...]) -> None:
    bench = ServerBench()
    for stream in ids[:-1]:
        bench.call(stream).finish()
        bench.pull()
    assert bench.feed(bench.peer.request(ids[-1])) == [f"GOAWAY {max((0, *ids[:-1]))} PROTOCOL_ERROR"]
    assert bench.closed() is not None


@pytest.mark.req("CONN-5")
@pytest.mark.parametrize("side", SIDES)
def test_what_is_unknown_is_ignored_also_inside_settings(side: type[ClientBench] | type[ServerBench]) -> None:
    bench = side()
    bench.call(1)
    unknown = [
        raw.frame(0xFA, 0xFF, 0, b"abc"),
        raw.frame(11, 0, 1),
        raw.frame(12, 1, 77, bytes(100)),
        raw.priority(99),
    ]
    settings = raw.settings({99: 1, 0xFE03: 1, 0xFFFF: 7})
    assert bench.feed(settings, *unknown) == ["SETTINGS ACK"]
    assert bench.closed() is None


@pytest.mark.req("CONN-2")
@pytest.mark.parametrize(
    "first",
    [raw.ping(), raw.settings_ack(), raw.goaway(0), raw.window_update(0, 1), raw.frame(99), b"HTTP/1.1 400 Bad"],
)
def test_calls_end_as_unprocessed_where_the_server_does_not_begin_with_settings(first: bytes) -> None:
    bench = ClientBench(greet=False)
    call = bench.engine.start_call("/a/b")
    assert bench.pull() == []
    bench.feed(first)
    assert bench.closed() is not None
    assert code(call) == StatusCode.UNAVAILABLE
    assert outcome(call).unprocessed


@pytest.mark.req("KEEP-1")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("who", ["nobody", "this side", "the peer"])
def test_a_ping_is_answered_also_while_somebody_leaves(side: type[ClientBench] | type[ServerBench], who: str) -> None:
    bench = side()
    call = bench.call(1)
    if who == "this side":
        bench.engine.shutdown()
    elif who == "the peer":
        bench.give(raw.goaway(1 if side is ClientBench else 0))
    bench.pull()
    call.send_message(bytes(40_000))
    bench.give(raw.ping(b"abcdefgh"))
    first, *rest = bench.pull()
    assert (first.brief, first.payload) == ("PING ACK", b"abcdefgh")
    assert sum(len(frame.payload) for frame in rest if frame.type == raw.DATA) == 40_005


@pytest.mark.req("GOAW-1", "DUP-26")
def test_after_the_final_goaway_new_streams_get_no_answer_at_all() -> None:
    bench = ServerBench()
    call = bench.call()
    bench.engine.shutdown()
    _, ping = bench.pull()
    assert bench.feed(raw.ping(b"anothers", ack=True)) == []  # an ack of another PING
    assert bench.feed(raw.ping(ping.payload, ack=True)) == ["GOAWAY 1 NO_ERROR"]
    late = bench.peer.request(3) + raw.data(3, message(b"1")) + raw.window_update(3, 5) + raw.rst(3)
    assert bench.feed(late) == []
    assert [event for event in bench.drain() if isinstance(event, CallStarted)] == []
    bench.give(raw.data(1, message(b"1")))
    assert call.take_message() == b"1"
    call.finish()
    assert bench.briefs() == ["HEADERS 1 ES", "RST 1 NO_ERROR"]
    assert bench.closed() is not None


@pytest.mark.req("FLOW-9")
@pytest.mark.parametrize("side", SIDES)
def test_an_overflow_by_settings_ends_the_connection(side: type[ClientBench] | type[ServerBench]) -> None:
    bench = side()
    bench.call(1)
    bench.give(raw.window_update(1, 2**31 - 1 - 65_535))
    assert bench.closed() is None
    bench.give(raw.settings({raw.INITIAL_WINDOW: 65_536}))
    ended = bench.closed()
    assert ended is not None
    assert raw.code_name(ended.code) == "FLOW_CONTROL_ERROR"


@pytest.mark.req("DUP-37", "DUP-36")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("written", [False, True])
def test_a_closed_stream_takes_any_window_update_and_reset(
    side: type[ClientBench] | type[ServerBench], written: bool
) -> None:
    """Also those that would be faults on an open one; and a reset that has not been written crosses no other."""
    bench = side()
    call = bench.call(1)
    if isinstance(call, ClientCall):
        call.cancel()
    else:
        call.abort()
    if written:
        bench.pull()
    assert bench.feed(raw.rst(1), raw.window_update(1, 0), raw.window_update(1, 2**31 - 1), raw.rst(1, 0)) == []
    assert bench.closed() is None


# --- DEAD, CANC, COMP -------------------------------------------------------------------------------------------------


@pytest.mark.req("DEAD-6", "DUP-12", "DUP-13")
@pytest.mark.parametrize(
    "late",
    [only(("grpc-status", "0")), only(("grpc-status", "1"), ("k", "v")), raw.rst(1, 8)],
    ids=["OK", "CANCELLED", "reset"],
)
def test_what_comes_with_the_deadline_is_too_late_and_leaves_no_trace(late: Says | bytes) -> None:
    bench = ClientBench()
    call = bench.engine.start_call("/a/b", deadline=5.0)
    bench.pull()
    bench.now = 5.0
    bench.give(late if isinstance(late, bytes) else late(bench.peer))
    assert code(call) == StatusCode.DEADLINE_EXCEEDED
    assert outcome(call).origin is Origin.LOCAL
    assert outcome(call).trailing_metadata == Metadata()


@pytest.mark.req("CANC-3", "SEC-1")
@pytest.mark.parametrize("how", ["reset", "abort"])
def test_a_place_is_free_only_when_the_handler_has_finished(how: str) -> None:
    bench = ServerBench(patient(max_concurrent_calls=1))
    call = bench.call()
    if how == "reset":
        bench.give(raw.rst(1))
    else:
        call.abort()
    bench.pull()
    assert bench.feed(bench.peer.request(3)) == ["RST 3 REFUSED_STREAM"]
    call.finish()
    bench.drain()
    assert bench.call(5).ended is None


def flags(frames: list[RawFrame]) -> list[int]:
    """The flag of each message in the DATA frames."""
    wire = b"".join(frame.payload for frame in frames if frame.type == raw.DATA)
    found = []
    while wire:
        found.append(wire[0])
        wire = wire[5 + int.from_bytes(wire[1:5], "big") :]
    return found


@pytest.mark.req("COMP-7", "COMP-8", "COMP-9")
@pytest.mark.parametrize(
    ("accepted", "packs"),
    [
        *((text, False) for text in (None, "", "identity", "deflate", "GZIP", "gzipped")),
        *((text, True) for text in ("gzip", "identity, gzip", "identity,deflate,gzip")),
    ],
)
def test_answers_are_packed_as_the_client_accepts_and_the_message_wants(accepted: str | None, packs: bool) -> None:
    bench = ServerBench(patient(compression="gzip"))
    extra = () if accepted is None else (("grpc-accept-encoding", accepted),)
    bench.give(bench.peer.request(1, "/a/b", *extra))
    (call,) = bench.calls()
    long = b"z" * 500
    for payload, compress in ((long, None), (long, True), (long, False), (b"", True), (b"ab", None), (b"ab", True)):
        call.send_message(payload, compress=compress)
    frames = bench.pull()
    assert fields_of(frames[0]).get(b"grpc-encoding") == (b"gzip" if packs else None)
    assert flags(frames) == ([1, 1, 0, 0, 0, 1] if packs else [0] * 6)
