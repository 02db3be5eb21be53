"""Where implementations disagree: what duplexcore does (the table of decisions in docs/requirements.md, section 21).

Each test is one row of it, in its order: the topic, and duplexcore's column.
"""

from __future__ import annotations

import pytest

from duplexcore import CallRefused, ClientCall, ClientConfig, Message, ServerCall, StatusCode
from duplexcore.testing import raw
from tests.support.bench import ClientBench, ServerBench, heard, outcome, patient

GRPC = [(":status", "200"), ("content-type", "application/grpc")]


def answer(bench: ServerBench, stream: int = 1) -> tuple[list[str], dict[bytes, bytes]]:
    """The frames that the server writes, and the fields of its header lists on the stream."""
    frames = bench.pull()
    fields = [field for frame in frames if frame.stream == stream for field in frame.fields or ()]
    return [frame.brief for frame in frames], dict(fields)


def asked(bench: ServerBench, *extra: tuple[str, str], without: str = "", end: bool = True) -> None:
    """A request on stream 1 with these fields, instead of its own of that name."""
    replaced = {name for name, _ in extra} | {without}
    fields = [(name, value) for name, value in raw.request_fields() if name not in replaced]
    bench.give(bench.peer.headers(1, [*fields, *extra], end=end))


@pytest.mark.req("STAT-14")
@pytest.mark.parametrize("messages", [0, 2])
def test_cardinality_violation_of_a_request_is_unimplemented(messages: int) -> None:
    bench = ServerBench()
    asked(bench, end=False)
    (call,) = bench.calls()
    call.expect_single_request()
    bench.give(raw.data(1, raw.message(b"x") * messages, end=True))
    _, fields = answer(bench)
    assert fields[b"grpc-status"] == b"12"
    assert outcome(call).status.code is StatusCode.UNIMPLEMENTED


@pytest.mark.req("STAT-15", "STAT-16", "STAT-17")
@pytest.mark.parametrize("messages", [0, 2])
def test_cardinality_violation_of_a_response_is_unimplemented(messages: int) -> None:
    bench = ClientBench()
    call = bench.engine.start_call("/a/b", single_response=True)
    call.half_close()
    bench.pull()
    bench.give(bench.peer.response(1), raw.data(1, raw.message(b"x") * messages), bench.peer.trailers(1))
    assert outcome(call).status.code is StatusCode.UNIMPLEMENTED
    assert not [event for event in heard(call) if isinstance(event, Message)]


@pytest.mark.req("STAT-14", "STAT-15", "FLOW-4")
@pytest.mark.parametrize("window", [65_535, 262_144])
@pytest.mark.parametrize("first", [1, 60_000, 700_000])
@pytest.mark.parametrize("side", [ClientBench, ServerBench])
def test_a_second_message_that_begins_with_the_first_and_is_larger_than_the_window_comes_whole_and_is_refused(
    side: type[ClientBench | ServerBench], first: int, window: int
) -> None:
    call: ClientCall | ServerCall
    bench: ClientBench | ServerBench
    if side is ClientBench:
        bench = client = ClientBench(ClientConfig(stream_window=window))
        call = client.engine.start_call("/a/b", single_response=True)
        call.half_close()
        bench.pull()
        bench.give(bench.peer.response(1))
    else:
        bench = server = ServerBench(patient(stream_window=window))
        asked(server, end=False)
        (call,) = server.calls()
        call.expect_single_request()
    wire = raw.message(bytes(first)) + raw.message(bytes(3 << 20))
    rooms = {0: 65_535, 1: window}
    credit = bench.hello + bench.pull()
    while call.ended is None:
        for frame in credit:
            if frame.type == raw.WINDOW_UPDATE:
                rooms[frame.stream] += int.from_bytes(frame.payload, "big")
        piece, wire = wire[: min(16_384, *rooms.values())], wire[min(16_384, *rooms.values()) :]
        assert piece, f"no credit: {rooms}"
        rooms = {stream: room - len(piece) for stream, room in rooms.items()}
        bench.give(raw.data(1, piece))
        credit = bench.pull()
    assert not wire
    assert outcome(call).status.code is StatusCode.UNIMPLEMENTED


@pytest.mark.req("HDR-7")
def test_missing_te_is_accepted() -> None:
    bench = ServerBench()
    asked(bench, without="te")
    assert len(bench.calls()) == 1


@pytest.mark.req("HDR-7")
def test_missing_te_is_unknown_with_the_strict_option() -> None:
    bench = ServerBench(patient(require_te=True))
    asked(bench, without="te")
    _, fields = answer(bench)
    assert fields[b"grpc-status"] == b"2"
    assert bench.calls() == []


@pytest.mark.req("HDR-9")
@pytest.mark.parametrize("kind", ["text/plain", "application/grpcfoo", "application/grpc-web"])
def test_bad_content_type_at_a_server_is_a_bare_415(kind: str) -> None:
    bench = ServerBench()
    asked(bench, ("content-type", kind))
    assert answer(bench) == (["HEADERS 1 ES"], {b":status": b"415"})
    assert bench.calls() == []


@pytest.mark.req("DUP-19")
@pytest.mark.parametrize("payload", [b"", raw.message(b"whole")])
def test_end_stream_on_data_without_trailers_is_internal(payload: bytes) -> None:
    bench = ClientBench()
    call = bench.call(half_close=True)
    bench.give(bench.peer.response(1), raw.data(1, payload, end=True))
    assert outcome(call).status.code is StatusCode.INTERNAL


@pytest.mark.req("DEAD-3")
@pytest.mark.parametrize("timeout", ["", "1", "S", "-1S", "1s", "123456789S", "1.5S", "1 S"])
def test_bad_grpc_timeout_is_400_and_internal(timeout: str) -> None:
    bench = ServerBench()
    asked(bench, ("grpc-timeout", timeout))
    briefs, fields = answer(bench)
    assert briefs == ["HEADERS 1 ES"]
    assert (fields[b":status"], fields[b"grpc-status"]) == (b"400", b"13")
    assert bench.calls() == []


@pytest.mark.req("MD-11")
def test_header_list_over_the_limit_at_a_server_is_resource_exhausted() -> None:
    bench = ServerBench()
    asked(bench, ("x", "y" * 9_000))
    briefs, fields = answer(bench)
    assert briefs == ["HEADERS 1 ES"]
    assert (fields[b":status"], fields[b"grpc-status"]) == (b"200", b"8")
    (refused,) = [event for event in bench.drain() if isinstance(event, CallRefused)]
    assert refused.status.code is StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.req("DUP-13", "DEAD-5")
@pytest.mark.parametrize("half_closed", [False, True])
def test_server_deadline_is_trailers_with_status_4(half_closed: bool) -> None:
    bench = ServerBench()
    asked(bench, ("grpc-timeout", "1S"), end=half_closed)
    (call,) = bench.calls()
    bench.now = 1.0
    bench.engine.handle_timeout(bench.now)
    briefs, fields = answer(bench)
    assert briefs == ["HEADERS 1 ES", *([] if half_closed else ["RST 1 NO_ERROR"])]
    assert fields[b"grpc-status"] == b"4"
    assert outcome(call).status.code is StatusCode.DEADLINE_EXCEEDED


@pytest.mark.req("COMP-3")
def test_unsupported_request_coding_is_refused_at_the_headers() -> None:
    bench = ServerBench()
    asked(bench, ("grpc-encoding", "snappy"), end=False)
    briefs, fields = answer(bench)
    assert briefs == ["HEADERS 1 ES", "RST 1 NO_ERROR"]
    assert fields[b"grpc-status"] == b"12"
    assert b"gzip" in fields[b"grpc-accept-encoding"]
    assert bench.calls() == []


@pytest.mark.req("ERR-B")
def test_flow_control_error_is_internal() -> None:
    bench = ClientBench()
    call = bench.call()
    bench.give(raw.rst(1, 3))
    assert outcome(call).status.code is StatusCode.INTERNAL


@pytest.mark.req("COMP-9")
@pytest.mark.parametrize("side", ["client", "server"])
def test_an_empty_message_with_flag_1_is_an_empty_message(side: str) -> None:
    empty = raw.message(b"", flag=1)
    if side == "server":
        server = ServerBench()
        asked(server, ("grpc-encoding", "gzip"), end=False)
        (call,) = server.calls()
        server.give(raw.data(1, empty))
        assert heard(call) == [Message(b"", compressed=True)]
        return
    client = ClientBench()
    response = client.call()
    client.give(client.peer.response(1, ("grpc-encoding", "gzip")), raw.data(1, empty), client.peer.trailers(1))
    assert heard(response)[1] == Message(b"", compressed=True)
    assert outcome(response).status.ok


@pytest.mark.req("HDR-16")
def test_request_trailers_are_a_half_close() -> None:
    bench = ServerBench()
    asked(bench, end=False)
    (call,) = bench.calls()
    bench.give(raw.data(1, raw.message(b"x")), bench.peer.headers(1, [("late", "1")], end=True))
    assert [type(event).__name__ for event in heard(call)] == ["Message", "HalfClosed"]
    assert call.ended is None
    assert call.metadata.get("late") is None
