"""What is not well-formed ends one call, or the connection, and nothing else (MAL, Table D)."""

from typing import Any

import pytest

from duplexcore import CallRefused, ClientConfig, Origin, StatusCode
from duplexcore.testing import raw
from duplexcore.testing.raw import message
from tests.support.bench import ClientBench, ServerBench, heard, outcome

SIDES = [ClientBench, ServerBench]

#: Fields that no header list may have (MAL-1).
BAD_FIELDS = {
    "upper case": ("X-Upper", "v"),
    "connection": ("connection", "close"),
    "keep-alive": ("keep-alive", "5"),
    "proxy-connection": ("proxy-connection", "x"),
    "transfer-encoding": ("transfer-encoding", "chunked"),
    "upgrade": ("upgrade", "h2c"),
    "te gzip": ("te", "gzip"),
    "te trailers, gzip": ("te", "trailers, gzip"),
    "late pseudo-header": (":authority", "late"),
    "unknown pseudo-header": (":protocol", "websocket"),
    "unknown pseudo-header 2": (":nonsense", ""),
    "empty name": ("", "v"),
    "NUL in a value": ("x", "a\0b"),
    "CR in a value": ("x", "a\rb"),
    "LF in a value": ("x", "a\nb"),
    "space in a name": ("x y", "v"),
    "colon in a name": ("x:y", "v"),
}


@pytest.mark.req("MAL-1", "MAL-2", "HDR-7", "ERR-D")
@pytest.mark.parametrize("field", BAD_FIELDS.values(), ids=BAD_FIELDS)
@pytest.mark.parametrize("end", [False, True])
def test_malformed_request(field: tuple[str, str], end: bool) -> None:
    bench = ServerBench()
    other = bench.call(1)
    fields = [*raw.request_fields(), field, ("x-indexed", "in step")]
    assert bench.feed(bench.peer.headers(3, fields, end=end)) == ["RST 3 PROTOCOL_ERROR"]
    (refused,) = bench.drain()
    assert isinstance(refused, CallRefused)  # and never announced
    assert refused.status.code is StatusCode.CANCELLED
    assert refused.limit is None
    assert bench.feed(raw.data(3, b"late"), bench.peer.headers(3, [("x-late", "1")], end=True)) == []
    bench.give(raw.data(1, message(b"lives")), bench.peer.request(5, "/a/b", ("x-indexed", "in step")))
    assert other.take_message() == b"lives"
    assert list(bench.calls()[0].metadata) == [("x-indexed", "in step")]


@pytest.mark.req("MAL-1")
@pytest.mark.parametrize("name", [":method", ":scheme", ":path", ":authority"])
@pytest.mark.parametrize("how", ["twice", "missing"])
def test_pseudo_headers_of_requests(name: str, how: str) -> None:
    bench = ServerBench()
    fields = raw.request_fields()
    if how == "twice":
        fields = [(name, dict(fields)[name]), *fields]
    else:
        fields = [field for field in fields if field[0] != name]
    out = bench.feed(bench.peer.headers(1, fields))
    assert out == ([] if (name, how) == (":authority", "missing") else ["RST 1 PROTOCOL_ERROR"])


@pytest.mark.req("MAL-1")
@pytest.mark.parametrize("field", BAD_FIELDS.values(), ids=BAD_FIELDS)
@pytest.mark.parametrize("where", ["response", "trailers-only", "trailers"])
def test_malformed_answer(field: tuple[str, str], where: str) -> None:
    bench = ClientBench()
    call, other = bench.call(half_close=True), bench.call()
    if where == "trailers":
        bench.give(bench.peer.response(1), raw.data(1, message(b"before")))
        chunk = bench.peer.trailers(1, 0, field)
    elif where == "response":
        chunk = bench.peer.response(1, field)
    else:
        chunk = bench.peer.trailers_only(1, 0, field)
    assert bench.feed(chunk) == ["RST 1 PROTOCOL_ERROR"]
    ended = outcome(call)
    assert (ended.status.code, ended.origin, ended.unprocessed) == (StatusCode.INTERNAL, Origin.LIBRARY, False)
    bench.give(bench.peer.trailers_only(3, 5))
    assert outcome(other).status.code is StatusCode.NOT_FOUND


@pytest.mark.req("MAL-1")
@pytest.mark.parametrize("name", [":status", ":path", ":method", ":x"])
def test_pseudo_header_in_trailers(name: str) -> None:
    client, server = ClientBench(), ServerBench()
    call = client.call()
    client.give(client.peer.response(1))
    assert client.feed(client.peer.headers(1, [(name, "200"), ("grpc-status", "0")], end=True)) == [
        "RST 1 PROTOCOL_ERROR"
    ]
    assert outcome(call).status.code is StatusCode.INTERNAL
    request = server.call(1)
    assert server.feed(server.peer.headers(1, [(name, "200")], end=True)) == ["RST 1 PROTOCOL_ERROR"]
    assert outcome(request).status.code is StatusCode.CANCELLED


@pytest.mark.req("MAL-1", "ERR-2")
@pytest.mark.parametrize("status", [None, "", "abc", "20", "2000", "-20", "200 "])
@pytest.mark.parametrize("end", [False, True])
def test_status_that_is_none(status: str | None, end: bool) -> None:
    bench = ClientBench()
    call = bench.call()
    fields = raw.response_fields()[1:] if status is None else [(":status", status), *raw.response_fields()[1:]]
    assert bench.feed(bench.peer.headers(1, fields, end=end)) == ["RST 1 PROTOCOL_ERROR"]
    assert outcome(call).status.code is StatusCode.INTERNAL


# --- HPACK ------------------------------------------------------------------------------------------------------------


@pytest.mark.req("MAL-3", "SEC-6", "ERR-D")
@pytest.mark.parametrize(
    "block",
    [
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # an index without end
        b"\x80",  # index 0
        b"\xc8",  # beyond both tables
        b"\x00\x85abc",  # a name cut short
        b"\x00\x01x\x82\xff\xff",  # Huffman that is all padding
        b"\x3f\xe1\x7f",  # a table larger than what we allow
        b"\x20\x20\x20\x82",  # three changes of the table's size
        b"\x82\x20",  # a change of the table's size that is late
        b"\x40",
    ],
)
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("late", [False, True])
def test_hpack_that_can_not_be_decoded(bench_class: Any, block: bytes, late: bool) -> None:
    bench = bench_class()
    call = bench.call(half_close=True) if bench_class is ClientBench else None
    if late and call:
        bench.feed(bench.peer.trailers_only(1))
    elif late:
        bench.call(1, end=True).finish()
        bench.pull()
    out = bench.feed(raw.frame(raw.HEADERS, raw.EH | raw.ES, 1, block))
    last = 1 if bench_class is ServerBench and late else 0
    assert out == [f"GOAWAY {last} COMPRESSION_ERROR"]
    closed = bench.closed()
    assert closed is not None
    assert closed.code == 9
    if call and not late:
        assert outcome(call).status.code is StatusCode.UNAVAILABLE


@pytest.mark.req("SEC-6")
def test_two_changes_of_the_table_size_pass() -> None:
    bench = ServerBench()
    bench.peer.encoder.header_table_size = 0
    bench.peer.encoder.header_table_size = 4096
    assert bench.feed(bench.peer.request(1)) == []
    assert len(bench.calls()) == 1


@pytest.mark.req("MAL-3", "MD-8", "ERR-D")
def test_undecodable_binary_metadata_is_no_hpack_failure() -> None:
    server, client = ServerBench(), ClientBench()
    assert server.feed(server.peer.request(1, "/a/b", ("x-bin", "!"))) == ["HEADERS 1 ES", "RST 1 NO_ERROR"]
    assert len(server.calls()) == 0
    call = client.call()
    assert client.feed(client.peer.response(1, ("x-bin", "!"))) == ["RST 1 PROTOCOL_ERROR"]
    assert outcome(call).status.code is StatusCode.INTERNAL
    for bench in (server, client):
        assert not bench.engine.is_closed


@pytest.mark.req("SEC-6", "MD-11")
@pytest.mark.parametrize("bench_class", SIDES)
def test_hpack_bomb_stops_at_the_hard_limit(bench_class: Any) -> None:
    bench = bench_class()
    if bench_class is ClientBench:
        bench.call()
    big = bench.peer.block([("x", "v" * 3700)])  # one large entry of the dynamic table
    bomb = big + b"\xbe" * 1000  # each byte the whole entry again
    assert bench.feed(raw.frame(raw.HEADERS, raw.EH, 1, bomb)) == ["GOAWAY 0 ENHANCE_YOUR_CALM"]


# --- interim responses ------------------------------------------------------------------------------------------------


@pytest.mark.req("MAL-5")
@pytest.mark.parametrize("count", [1, 2, 100])
def test_interim_responses_are_skipped(count: int) -> None:
    bench = ClientBench()
    call = bench.call(half_close=True)
    for index in range(count):
        out = bench.feed(bench.peer.headers(1, [(":status", "103"), ("x-hint", f"{index}"), ("grpc-status", "7")]))
        assert out == []
    assert heard(call) == []
    bench.give(bench.peer.response(1, ("x-final", "1")), bench.peer.trailers(1))
    assert [type(event).__name__ for event in heard(call)] == ["InitialMetadata", "CallEnded"]
    assert call.initial_metadata is not None
    assert list(call.initial_metadata) == [("x-final", "1")]
    assert outcome(call).status.code is StatusCode.OK


@pytest.mark.req("MAL-5")
@pytest.mark.parametrize("status", ["100", "101", "199"])
def test_interim_response_with_the_end_or_too_late(status: str) -> None:
    bench = ClientBench()
    ends, late = bench.call(), bench.call()
    assert bench.feed(bench.peer.headers(1, [(":status", status)], end=True)) == ["RST 1 PROTOCOL_ERROR"]
    assert outcome(ends).status.code is StatusCode.INTERNAL
    bench.give(bench.peer.response(3))
    assert bench.feed(bench.peer.headers(3, [(":status", status)])) == ["RST 3 PROTOCOL_ERROR"]
    assert outcome(late).status.code is StatusCode.INTERNAL


# --- frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("MAL-6")
def test_push_is_off_and_a_push_ends_the_connection() -> None:
    bench = ClientBench()
    assert bench.hello[0].values[raw.ENABLE_PUSH] == 0
    bench.call()
    promise = raw.frame(raw.PUSH_PROMISE, raw.EH, 1, b"\0\0\0\2" + bench.peer.block(raw.request_fields()))
    assert bench.feed(promise) == ["GOAWAY 0 PROTOCOL_ERROR"]


@pytest.mark.req("MAL-6", "CONN-5")
def test_a_client_pushes_nothing_either() -> None:
    assert ServerBench().feed(raw.frame(raw.PUSH_PROMISE, raw.EH, 1, b"\0\0\0\2")) == ["GOAWAY 0 PROTOCOL_ERROR"]


OPEN_BLOCK = raw.frame(raw.HEADERS, 0, 1, b"\x83")
WRONG = {
    "DATA on 0": (raw.data(0, b"x"), "PROTOCOL_ERROR"),
    "HEADERS on 0": (raw.frame(raw.HEADERS, raw.EH, 0, b"\x83"), "PROTOCOL_ERROR"),
    "RST on 0": (raw.rst(0), "PROTOCOL_ERROR"),
    "SETTINGS on 1": (raw.frame(raw.SETTINGS, 0, 1), "PROTOCOL_ERROR"),
    "PING on 1": (raw.frame(raw.PING, 0, 1, bytes(8)), "PROTOCOL_ERROR"),
    "GOAWAY on 1": (raw.frame(raw.GOAWAY, 0, 1, bytes(8)), "PROTOCOL_ERROR"),
    "CONTINUATION on 0": (raw.frame(raw.CONTINUATION, raw.EH, 0), "PROTOCOL_ERROR"),
    "CONTINUATION alone": (raw.frame(raw.CONTINUATION, raw.EH, 1), "PROTOCOL_ERROR"),
    "PRIORITY of 4": (raw.frame(raw.PRIORITY, 0, 1, bytes(4)), "FRAME_SIZE_ERROR"),
    "RST of 3": (raw.frame(raw.RST, 0, 1, bytes(3)), "FRAME_SIZE_ERROR"),
    "RST of 5": (raw.frame(raw.RST, 0, 1, bytes(5)), "FRAME_SIZE_ERROR"),
    "SETTINGS of 5": (raw.frame(raw.SETTINGS, 0, 0, bytes(5)), "FRAME_SIZE_ERROR"),
    "SETTINGS ack of 6": (raw.frame(raw.SETTINGS, raw.ACK, 0, bytes(6)), "FRAME_SIZE_ERROR"),
    "PING of 7": (raw.frame(raw.PING, 0, 0, bytes(7)), "FRAME_SIZE_ERROR"),
    "GOAWAY of 7": (raw.frame(raw.GOAWAY, 0, 0, bytes(7)), "FRAME_SIZE_ERROR"),
    "WINDOW_UPDATE of 3": (raw.frame(raw.WINDOW_UPDATE, 0, 0, bytes(3)), "FRAME_SIZE_ERROR"),
    "WINDOW_UPDATE of 0 on the connection": (raw.window_update(0, 0), "PROTOCOL_ERROR"),
    "WINDOW_UPDATE on an idle stream": (raw.window_update(99, 1), "PROTOCOL_ERROR"),
    "DATA padded beyond its end": (raw.frame(raw.DATA, raw.PADDED, 1, b"\x05abcd"), "PROTOCOL_ERROR"),
    "DATA padded without a length": (raw.frame(raw.DATA, raw.PADDED, 1), "PROTOCOL_ERROR"),
    "HEADERS padded beyond its end": (raw.frame(raw.HEADERS, raw.EH | raw.PADDED, 1, b"\x02\x83"), "PROTOCOL_ERROR"),
    "HEADERS without its priority": (raw.frame(raw.HEADERS, raw.EH | raw.PRIO, 1, bytes(4)), "FRAME_SIZE_ERROR"),
    "SETTINGS: push": (raw.settings({raw.ENABLE_PUSH: 2}), "PROTOCOL_ERROR"),
    "SETTINGS: window": (raw.settings({raw.INITIAL_WINDOW: 2**31}), "FLOW_CONTROL_ERROR"),
    "SETTINGS: frame": (raw.settings({raw.MAX_FRAME: 16_383}), "PROTOCOL_ERROR"),
    "SETTINGS: frame too large": (raw.settings({raw.MAX_FRAME: 2**24}), "PROTOCOL_ERROR"),
    "too long": (raw.frame(raw.DATA, 0, 1, length=2**24 - 1), "FRAME_SIZE_ERROR"),
    "DATA inside a header block": (OPEN_BLOCK + raw.data(1, b"x"), "PROTOCOL_ERROR"),
    "HEADERS inside a header block": (OPEN_BLOCK + raw.frame(raw.HEADERS, raw.EH, 1), "PROTOCOL_ERROR"),
    "PING inside a header block": (OPEN_BLOCK + raw.ping(), "PROTOCOL_ERROR"),
    "SETTINGS inside a header block": (OPEN_BLOCK + raw.settings(), "PROTOCOL_ERROR"),
    "an unknown type inside a header block": (OPEN_BLOCK + raw.frame(0x77, 0, 1), "PROTOCOL_ERROR"),
    "a CONTINUATION of another stream": (OPEN_BLOCK + raw.frame(raw.CONTINUATION, raw.EH, 3), "PROTOCOL_ERROR"),
    "a CONTINUATION of stream 0": (OPEN_BLOCK + raw.frame(raw.CONTINUATION, raw.EH, 0), "PROTOCOL_ERROR"),
}


@pytest.mark.req("MAL-7", "ERR-C", "SEC-14", "H2-6")
@pytest.mark.parametrize(("frames", "code"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("bench_class", SIDES)
def test_frame_that_ends_the_connection(bench_class: Any, frames: bytes, code: str) -> None:
    bench = bench_class()
    call = bench.call()
    last = 0 if bench_class is ClientBench else 1
    assert bench.feed(frames, raw.ping()) == [f"GOAWAY {last} {code}"]
    closed = bench.closed()
    assert closed is not None
    assert raw.CODES[closed.code] == code
    assert closed.origin is Origin.LIBRARY
    expected = StatusCode.UNAVAILABLE if bench_class is ClientBench else StatusCode.CANCELLED
    assert outcome(call).status.code is expected


@pytest.mark.req("MAL-8", "CONN-11", "DUP-37")
@pytest.mark.parametrize("stream", [2, 3, 4, 99])
@pytest.mark.parametrize("what", ["HEADERS", "DATA", "RST", "WINDOW_UPDATE"])
def test_client_hears_of_a_stream_never_opened(stream: int, what: str) -> None:
    bench = ClientBench()
    bench.call()
    frames = {
        "HEADERS": bench.peer.trailers_only(stream),
        "DATA": raw.data(stream, b"x"),
        "RST": raw.rst(stream),
        "WINDOW_UPDATE": raw.window_update(stream, 1),
    }
    assert bench.feed(frames[what]) == ["GOAWAY 0 PROTOCOL_ERROR"]


@pytest.mark.req("MAL-8")
def test_client_hears_of_a_stream_that_is_closed() -> None:
    bench = ClientBench()
    bench.call(half_close=True)
    bench.give(bench.peer.trailers_only(1))
    assert bench.feed(bench.peer.trailers_only(1), raw.data(1, b"late"), raw.rst(1), raw.window_update(1, 1)) == []


@pytest.mark.req("CONN-11")
@pytest.mark.parametrize("stream", [2, 4, 1, 3, 6])
def test_new_stream_ids_are_odd_and_rise(stream: int) -> None:
    bench = ServerBench()
    bench.call(5)
    assert bench.feed(bench.peer.request(stream)) == ["GOAWAY 5 PROTOCOL_ERROR"]


@pytest.mark.req("CONN-11")
def test_stream_ids_may_leave_gaps() -> None:
    bench = ServerBench()
    for stream in (1, 7, 2**31 - 1):
        bench.call(stream)
    assert bench.engine.open_calls == 3


@pytest.mark.req("CONN-5")
@pytest.mark.parametrize("bench_class", SIDES)
def test_unknown_settings_and_frame_types_are_ignored(bench_class: Any) -> None:
    bench = bench_class()
    bench.call()
    out = bench.feed(
        raw.settings([(0x99, 1), (0xFE03, 1), (0, 0), (8, 1)]),
        raw.frame(0x0A, 0xFF, 0, b"altsvc"),
        raw.frame(0xFF, 0xFF, 1, bytes(100)),
        raw.frame(0x55, 0, 77),
        raw.priority(1),
        raw.priority(99),
    )
    assert out == ["SETTINGS ACK"]
    assert not bench.engine.is_closed


@pytest.mark.req("MAL-7", "MD-13")
@pytest.mark.parametrize("bench_class", SIDES)
@pytest.mark.parametrize("pad", [None, 0, 255])
@pytest.mark.parametrize("prio", [False, True])
@pytest.mark.parametrize("cuts", [(), (0,), (1, 1, 2), (10, 20, 30, 40, 45)])
def test_header_blocks_in_every_form(bench_class: Any, pad: int | None, prio: bool, cuts: tuple[int, ...]) -> None:
    bench = bench_class()
    if bench_class is ServerBench:
        bench.give(bench.peer.headers(1, raw.request_fields("/a/b", ("x", "y")), pad=pad, prio=prio, cuts=cuts))
        assert list(bench.calls()[0].metadata) == [("x", "y")]
    else:
        call = bench.call()
        bench.give(bench.peer.headers(1, raw.response_fields(("x", "y" * 50)), pad=pad, prio=prio, cuts=cuts))
        assert list(call.initial_metadata or ()) == [("x", "y" * 50)]


@pytest.mark.req("MD-13", "FLOW-12")
def test_a_block_longer_than_a_frame_goes_out_with_continuations() -> None:
    client = ClientBench(ClientConfig(max_header_list_size=2**17, hard_header_list_size=2**17))
    value = "".join(chr(33 + index * 7 % 90) for index in range(63 * 1024))
    client.engine.start_call("/a/b", [("x-big", value)]).send_message(b"after")
    headers, data = client.pull()
    assert headers.frames >= 3
    assert headers.field(b"x-big") == value.encode()
    assert data.brief == "DATA 1 10"
