"""What a server answers with, and how a client judges it."""

from typing import Any

import pytest

from duplexcore import (
    CallEnded,
    ClientConfig,
    ErrorCode,
    InitialMetadata,
    LocalProtocolError,
    Metadata,
    Origin,
    Status,
    StatusCode,
)
from duplexcore.call.framing import frame_message
from duplexcore.call.lane import Block, Data, Headers, Output
from duplexcore.metadata import Field, MetadataLike, field_list_size
from tests.support.calls import (
    REQUEST,
    NotingLane,
    Owner,
    altered,
    block,
    client_call,
    code,
    ended,
    history,
    server_call,
)

# --- what the server sends -------------------------------------------------------------------------------------------


class Answering:
    """A server's call that was opened, and what it yields."""

    def __init__(self, content_type: str = "application/grpc", header_limit: int = 2**32) -> None:
        self.lane, self.owner = NotingLane(header_limit), Owner()
        self.call = server_call(self.lane, self.owner)
        self.call.on_headers(Block.of(altered(REQUEST, content_type=content_type)), False)

    def pull(self) -> list[Output]:
        found = []
        while (output := self.call.pull(10**6, 0.0)) is not None:
            found.append(output)
        return found


HEADERS = [
    (b":status", b"200"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"identity,gzip,deflate"),
]
TRAILERS_ONLY = HEADERS[:2]


@pytest.mark.req("STAT-1", "STAT-2", "HDR-13")
@pytest.mark.parametrize(
    ("says", "sent"),
    [
        ("finish", [Headers([*TRAILERS_ONLY, (b"grpc-status", b"0")], end=True)]),
        ("headers finish", [Headers(HEADERS), Headers([(b"grpc-status", b"0")], end=True)]),
        ("message finish", [Headers(HEADERS), Data(b"\0\0\0\0\1m"), Headers([(b"grpc-status", b"0")], end=True)]),
        (
            "headers message finish",
            [Headers(HEADERS), Data(b"\0\0\0\0\1m"), Headers([(b"grpc-status", b"0")], end=True)],
        ),
        ("headers", [Headers(HEADERS)]),
        ("", []),
        (
            "error",
            [
                Headers(
                    [*TRAILERS_ONLY, (b"grpc-status", b"5"), (b"grpc-message", b"no r%C3%B6om"), (b"t", b"1")],
                    end=True,
                )
            ],
        ),
        (
            "custom finish",
            [Headers([*HEADERS, (b"i", b"1"), (b"i", b"2")]), Headers([(b"grpc-status", b"0")], end=True)],
        ),
    ],
)
def test_header_lists_of_an_answer(says: str, sent: list[Output]) -> None:
    answering = Answering()
    call = answering.call
    for word in says.split():
        match word:
            case "headers":
                call.send_initial_metadata()
            case "custom":
                call.send_initial_metadata([("i", "1"), ("i", "2")])
            case "message":
                call.send_message(b"m")
            case "finish":
                call.finish()
            case _:
                call.finish(Status(StatusCode.NOT_FOUND, "no röom"), {"t": "1"})
    assert answering.pull() == sent


@pytest.mark.req("STAT-3", "D-8c")
def test_headers_wait_for_the_first_message_or_to_be_asked_for() -> None:
    answering = Answering()
    assert answering.pull() == []
    answering.call.send_initial_metadata({"a": "1"})
    assert answering.pull() == [Headers([*HEADERS, (b"a", b"1")])]


@pytest.mark.req("HDR-13")
@pytest.mark.parametrize("subtype", ["", "+proto"])
def test_the_answer_has_the_subtype_of_the_request(subtype: str) -> None:
    for says in ("finish", "message"):
        answering = Answering(f"application/grpc{subtype}")
        if says == "message":
            answering.call.send_message(b"")
        else:
            answering.call.finish()
        (first, *_) = answering.pull()
        assert isinstance(first, Headers)
        assert dict(first.fields)[b"content-type"] == b"application/grpc" + subtype.encode()


@pytest.mark.req("STAT-6", "STAT-18")
@pytest.mark.parametrize("number", range(17))
def test_every_code_is_sent_as_a_plain_decimal(number: int) -> None:
    answering = Answering()
    answering.call.finish(Status(StatusCode(number)))
    (only,) = answering.pull()
    assert isinstance(only, Headers)
    assert dict(only.fields)[b"grpc-status"] == str(number).encode()
    assert b"grpc-message" not in dict(only.fields)


@pytest.mark.req("STAT-20", "MD-3")
def test_details_and_pushback_pass_through() -> None:
    answering = Answering()
    details: MetadataLike = [("grpc-status-details-bin", b"\1\2"), ("grpc-retry-pushback-ms", "5")]
    answering.call.finish(Status(StatusCode.ABORTED), details)
    (only,) = answering.pull()
    assert isinstance(only, Headers)
    assert only.fields[-2:] == [(b"grpc-status-details-bin", b"AQI"), (b"grpc-retry-pushback-ms", b"5")]
    client, _ = asking()
    client.on_headers(Block.of(only.fields), True)
    assert ended(client).trailing_metadata == Metadata(details)


@pytest.mark.req("MD-1", "MD-2")
@pytest.mark.parametrize("metadata", [{"te": "1"}, {"grpc-x": "1"}, {"a": "\n"}, {"a-bin": "text"}, {":status": "1"}])
def test_metadata_that_can_not_be_sent_changes_nothing(metadata: MetadataLike) -> None:
    answering = Answering()
    call = answering.call
    for command in (call.send_initial_metadata, lambda value: call.finish(Status(), value)):
        before = call.fingerprint_state()
        with pytest.raises(LocalProtocolError, match="metadata"):
            command(metadata)
        assert call.fingerprint_state() == before
    call.finish()
    assert answering.pull() == [Headers([*TRAILERS_ONLY, (b"grpc-status", b"0")], end=True)]


@pytest.mark.req("MD-12")
@pytest.mark.parametrize("headers_first", [False, True])
def test_trailers_above_the_clients_limit_keep_the_status_and_the_head_of_its_message(headers_first: bool) -> None:
    answering = Answering(header_limit=400)
    if headers_first:
        answering.call.send_initial_metadata()
    answering.call.finish(Status(StatusCode.ABORTED, "x" * 500), {"a": "y" * 500})
    last = answering.pull()[-1]
    assert isinstance(last, Headers)
    assert last.end
    assert field_list_size(last.fields) <= 400
    sent = dict(last.fields)
    assert sent[b"grpc-status"] == b"10"
    assert sent[b"grpc-message"] == b"x" * 100
    assert b"a" not in sent
    assert code(answering.call) == "ABORTED"


@pytest.mark.req("MD-12")
@pytest.mark.parametrize(("headers_first", "limit"), [(False, 200), (True, 45)])
def test_the_status_alone_goes_where_no_message_fits(headers_first: bool, limit: int) -> None:
    answering = Answering(header_limit=1000)
    if headers_first:
        answering.call.send_initial_metadata()
        answering.pull()
    answering.lane.header_limit = limit  # by SETTINGS that came later
    answering.call.finish(Status(StatusCode.ABORTED, "x" * 500), {"a": "y" * 500})
    (last,) = answering.pull()
    assert last == Headers([*([] if headers_first else TRAILERS_ONLY), (b"grpc-status", b"10")], end=True)
    assert code(answering.call) == "ABORTED"
    assert answering.lane.aborts == []


@pytest.mark.req("MD-12")
@pytest.mark.parametrize("say", ["finish", "initial metadata", "message"])
def test_what_does_not_fit_at_all_is_a_reset(say: str) -> None:
    answering = Answering(header_limit=60)
    if say == "finish":
        answering.call.finish(Status(StatusCode.ABORTED, "x" * 500))
    elif say == "message":
        answering.call.send_message(b"m")
    else:
        answering.call.send_initial_metadata()
    assert answering.pull() == []
    assert answering.lane.aborts == [ErrorCode.INTERNAL_ERROR]
    assert code(answering.call) == "INTERNAL"
    assert ended(answering.call).origin is Origin.LIBRARY
    assert history(answering.call) == "INTERNAL"


@pytest.mark.req("MD-12")
def test_initial_metadata_above_the_clients_limit_ends_the_call_with_a_status() -> None:
    answering = Answering(header_limit=400)
    answering.call.send_initial_metadata({"a": "y" * 500})
    (only,) = answering.pull()
    assert isinstance(only, Headers)
    assert only.end
    assert dict(only.fields)[b"grpc-status"] == b"13"
    assert history(answering.call) == "INTERNAL"


# --- how the client judges -------------------------------------------------------------------------------------------


def asking(**options: Any) -> tuple[Any, NotingLane]:
    """A client's call whose headers are framed."""
    lane = NotingLane()
    call = client_call(lane, **options)
    assert isinstance(call.pull(10**6, 0.0), Headers)
    return call, lane


OK_HEADERS: list[Field] = [(b":status", b"200"), (b"content-type", b"application/grpc")]


@pytest.mark.req("STAT-4", "STAT-5", "MD-9")
def test_trailers_only_has_trailing_metadata_alone() -> None:
    call, lane = asking()
    fields = [*OK_HEADERS, (b"grpc-status", b"5"), (b"grpc-message", b"no%20room"), (b"x", b"1"), (b"y-bin", b"AA==")]
    call.on_headers(Block.of(fields), True)
    assert call.initial_metadata is None
    assert call.next_event() == CallEnded(
        Status(StatusCode.NOT_FOUND, "no room"), Metadata([("x", "1"), ("y-bin", b"\0")]), Origin.PEER
    )
    assert call.next_event() is None
    assert lane.aborts == [ErrorCode.NO_ERROR]


@pytest.mark.req("STAT-4", "MD-9")
@pytest.mark.parametrize("then", ["0", "5"])
def test_a_status_in_headers_that_do_not_end_the_call_is_none(then: str) -> None:
    call, _ = asking()
    call.on_headers(Block.of([*OK_HEADERS, (b"grpc-status", b"7"), (b"x", b"1")]), False)
    assert call.ended is None
    assert call.next_event() == InitialMetadata(Metadata([("x", "1")])) == InitialMetadata(call.initial_metadata)
    call.on_headers(block(("grpc-status", then)), True)
    assert ended(call).status.code == int(then)


ENDINGS = [
    # status there: used whatever else stands there
    pytest.param({}, {"grpc_status": "0"}, "OK", marks=pytest.mark.req("STAT-11")),
    pytest.param({"p_status": "503"}, {"grpc_status": "5"}, "NOT_FOUND", marks=pytest.mark.req("STAT-11")),
    pytest.param({"content_type": "text/html"}, {"grpc_status": "5"}, "NOT_FOUND", marks=pytest.mark.req("STAT-11")),
    pytest.param({"content_type": None}, {"grpc_status": "0"}, "OK", marks=pytest.mark.req("STAT-11")),
    # unusable
    pytest.param({}, {"grpc_status": "x"}, "UNKNOWN", marks=pytest.mark.req("STAT-7")),
    pytest.param({}, {"grpc_status": "-1"}, "UNKNOWN", marks=pytest.mark.req("STAT-7")),
    pytest.param({}, {"grpc_status": "17"}, "UNKNOWN", marks=pytest.mark.req("STAT-7")),
    # none: the HTTP status and the content type decide
    pytest.param({}, {}, "UNKNOWN", marks=pytest.mark.req("ERR-3", "STAT-10")),
    pytest.param({}, {"grpc_message": "m"}, "UNKNOWN", marks=pytest.mark.req("STAT-10")),
    pytest.param({"content_type": "text/html"}, {}, "UNKNOWN", marks=pytest.mark.req("ERR-2")),
    pytest.param({"content_type": None}, {}, "UNKNOWN", marks=pytest.mark.req("ERR-2")),
    pytest.param({"content_type": "application/grpc-web"}, {}, "UNKNOWN", marks=pytest.mark.req("ERR-2")),
    *(
        pytest.param(
            {"p_status": status}, {"grpc_message": "m"}, name, marks=pytest.mark.req("ERR-1", "ERR-A", "STAT-10")
        )
        for status, name in {
            "400": "INTERNAL",
            "401": "UNAUTHENTICATED",
            "403": "PERMISSION_DENIED",
            "404": "UNIMPLEMENTED",
            "429": "UNAVAILABLE",
            "431": "INTERNAL",
            "502": "UNAVAILABLE",
            "503": "UNAVAILABLE",
            "504": "UNAVAILABLE",
            **dict.fromkeys(("204", "301", "409", "412", "413", "415", "418", "500", "505", "800", "999"), "UNKNOWN"),
        }.items()
    ),
]


@pytest.mark.parametrize("form", ["one list", "two lists", "headers, then END_STREAM on DATA"])
@pytest.mark.parametrize(("opening", "closing", "expected"), ENDINGS)
def test_how_answers_end(form: str, opening: dict[str, str | None], closing: dict[str, str], expected: str) -> None:
    call, lane = asking()
    head, tail = altered(OK_HEADERS, **opening), altered([], **closing)
    if form == "one list":
        call.on_headers(Block.of([*head, *tail]), True)
    elif form == "two lists":
        call.on_headers(Block.of(head), False)
        call.on_headers(Block.of(tail), True)
    else:
        if "grpc_status" in closing:  # which counts only where the call ends (STAT-4)
            expected = "UNAVAILABLE" if "p_status" in opening else "UNKNOWN"
        call.on_headers(Block.of([*head, *tail]), False)
        call.on_end()
        if not opening:
            expected = "INTERNAL"  # of gRPC, and without trailers (DUP-19)
    assert history(call).split()[-1] == expected
    assert len(lane.aborts) == 1


@pytest.mark.req("ERR-1")
@pytest.mark.parametrize("how", ["END_STREAM", "trailers", "1 KiB"])
def test_the_body_of_an_answer_that_is_not_grpc_goes_into_the_message(how: str) -> None:
    call, lane = asking()
    call.on_headers(block((":status", "502"), ("content-type", "text/html")), False)
    call.on_data(b"<h1>Bad ")
    call.on_data(b"Gateway</h1>\xff")
    assert call.ended is None
    assert lane.consumed_bytes == 21  # nobody reads it, so it must not stop for lack of credit
    if how == "END_STREAM":
        call.on_end()
    elif how == "trailers":
        call.on_headers(block(("x", "1")), True)
    else:
        call.on_data(b"." * 2000)
    status = ended(call).status
    assert status.code is StatusCode.UNAVAILABLE
    assert "502" in status.message
    assert "text/html" in status.message
    assert "<h1>Bad Gateway</h1>\ufffd" in status.message
    assert len(status.message) < 1024 + 200
    assert lane.aborts == [ErrorCode.NO_ERROR if how == "trailers" else ErrorCode.CANCEL]
    assert history(call) == "UNAVAILABLE"


@pytest.mark.req("STAT-19")
@pytest.mark.parametrize(
    ("asked", "answered", "fine"),
    [
        ("", "application/grpc", True),
        ("", "application/grpc+proto", True),
        ("proto", "application/grpc", True),
        ("proto", "application/grpc+proto", True),
        ("json", "application/grpc+json; charset=utf-8", True),
        ("", "application/grpc+json", False),
        ("json", "application/grpc", True),  # as grpcio answers
        ("json", "application/grpc+proto", False),
        ("proto", "application/grpc+other-codec", False),
    ],
)
def test_the_answers_subtype_if_it_has_one_is_that_of_the_request(asked: str, answered: str, fine: bool) -> None:
    call, lane = asking(subtype=asked)
    call.on_headers(block((":status", "200"), ("content-type", answered)), False)
    assert history(call) == ("headers" if fine else "INTERNAL")
    assert lane.aborts == ([] if fine else [ErrorCode.CANCEL])


PLACES = pytest.mark.parametrize("place", ["headers", "trailers", "trailers-only"])


def answer(place: str, call: Any, *extra: Field, size: int | None = None) -> None:
    """Puts fields into one of the three header lists of an answer."""
    head, tail = OK_HEADERS, [(b"grpc-status", b"0")]
    given = {"headers": [*head, *extra], "trailers": [*tail, *extra], "trailers-only": [*head, *tail, *extra]}[place]
    if place == "trailers":
        call.on_headers(Block.of(head), False)
    call.on_headers(Block(given, field_list_size(given) if size is None else size), place != "headers")


@pytest.mark.req("MD-8", "MD-5", "MD-14")
@pytest.mark.parametrize("value", [b"A", b"\0raw", b"A!"])
@PLACES
def test_metadata_that_can_not_be_decoded_ends_the_call(place: str, value: bytes) -> None:
    call, lane = asking()
    answer(place, call, (b"x-bin", value))
    assert code(call) == "INTERNAL"
    assert ended(call).origin is Origin.LIBRARY
    assert lane.aborts == [ErrorCode.PROTOCOL_ERROR]


@pytest.mark.req("MD-11", "MD-10")
@pytest.mark.parametrize("size", [8192, 8193])
@PLACES
def test_each_header_list_has_the_limit_for_itself(place: str, size: int) -> None:
    call, lane = asking()
    answer(place, call, size=size)
    if size == 8192:
        assert call.ended is None if place == "headers" else code(call) == "OK"
    else:
        assert code(call) == "RESOURCE_EXHAUSTED"
        assert lane.aborts == [ErrorCode.CANCEL]


@pytest.mark.req("MD-11")
def test_the_limit_is_that_of_the_configuration() -> None:
    call, _ = asking(config=ClientConfig(max_header_list_size=100))
    answer("headers", call, size=101)
    assert code(call) == "RESOURCE_EXHAUSTED"


@pytest.mark.req("MD-7")
@PLACES
def test_odd_text_does_not_fail_the_call(place: str) -> None:
    call, _ = asking()
    answer(place, call, (b"odd", b"\xe9\t"))
    metadata = call.initial_metadata if place == "headers" else ended(call).trailing_metadata
    assert metadata is not None
    assert metadata.get("odd") == b"\xe9\t"


# --- resets ----------------------------------------------------------------------------------------------------------


RESETS = [
    *((number, "INTERNAL") for number in (0, 1, 2, 3, 4, 5, 6, 9, 10, 13, 14, 255, 2**32 - 1)),
    (7, "UNAVAILABLE"),
    (8, "CANCELLED"),
    (11, "RESOURCE_EXHAUSTED"),
    (12, "PERMISSION_DENIED"),
]


@pytest.mark.req("ERR-B", "DUP-6", "DUP-7")
@pytest.mark.parametrize(("number", "name"), RESETS)
@pytest.mark.parametrize("after", ["nothing", "headers", "a message"])
def test_a_reset_before_trailers(number: int, name: str, after: str) -> None:
    call, lane = asking()
    if after != "nothing":
        call.on_headers(Block.of(OK_HEADERS), False)
    if after == "a message":
        call.on_data(frame_message(b"m") + b"\0\0")
    call.on_reset(number, Origin.PEER, unprocessed=number == 7)
    assert ended(call).origin is Origin.PEER
    assert ended(call).unprocessed is (number == 7 and after == "nothing")  # an answer has begun: RETRY-4
    assert history(call) == {"nothing": "", "headers": "headers ", "a message": "headers m "}[after] + name
    assert lane.aborts == []


@pytest.mark.req("ERR-B")
@pytest.mark.parametrize(("number", "says"), [(11, "bandwidth"), (12, "secure"), (0, "NO_ERROR"), (77, "77")])
def test_the_message_of_a_reset_says_what_it_means(number: int, says: str) -> None:
    call, _ = asking()
    call.on_reset(number, Origin.PEER)
    assert says in ended(call).status.message


@pytest.mark.req("ERR-B", "CANC-2")
@pytest.mark.parametrize("number", [number for number, _ in RESETS])
def test_a_server_is_cancelled_by_any_reset(number: int) -> None:
    answering = Answering()
    answering.call.on_data(frame_message(b"q"))
    answering.call.send_message(b"unsent")
    answering.call.on_reset(number, Origin.PEER)
    assert history(answering.call) == "q CANCELLED"
    assert answering.pull() == []
    answering.call.finish()  # the handler's last word is taken, and dropped (DUP-16)
    assert answering.pull() == []
    assert answering.owner.notes[-1] == "released"


@pytest.mark.req("ERR-C")
@pytest.mark.parametrize("opened", [False, True])
def test_a_lost_connection_is_unavailable_and_unprocessed_if_it_was_never_sent(opened: bool) -> None:
    lane = NotingLane()
    call = client_call(lane)
    if opened:
        call.pull(0, 0.0)
    call.on_reset(0, Origin.TRANSPORT, "the cable was cut")
    assert ended(call) == CallEnded(
        Status(StatusCode.UNAVAILABLE, "the cable was cut"), origin=Origin.TRANSPORT, unprocessed=not opened
    )
    server = Answering()
    server.call.on_reset(0, Origin.TRANSPORT, "the cable was cut")
    assert ended(server.call).status == Status(StatusCode.CANCELLED, "the cable was cut")


@pytest.mark.req("ERR-C")
def test_a_rule_broken_on_the_stream_is_internal() -> None:
    call, _ = asking()
    call.on_reset(1, Origin.LIBRARY, "malformed headers")
    assert ended(call).status == Status(StatusCode.INTERNAL, "malformed headers")
