"""What a client opens a call with, and how a server judges it."""

import re
from typing import Any

import pytest

from duplexcore import ClientConfig, ClientConnection, ErrorCode, LocalProtocolError, Metadata, Receive, ServerConfig
from duplexcore.call.headers import Refusal, read_request, subtype_of
from duplexcore.call.lane import Block, Headers
from duplexcore.metadata import Field, field_list_size
from duplexcore.status import decode_message
from tests.support.bench import ClientBench
from tests.support.calls import REQUEST, NotingLane, Owner, altered, block, client_call, code, history, server_call

# --- what the client sends -------------------------------------------------------------------------------------------


def opening(now: float = 0.0, config: ClientConfig | None = None, **options: Any) -> list[Field]:
    output = client_call(NotingLane(), None, config, **options).pull(0, now)
    assert isinstance(output, Headers)
    assert not output.end
    return output.fields


@pytest.mark.req("HDR-1", "HDR-2", "HDR-3", "HDR-5", "HDR-7", "HDR-8", "HDR-12", "D-10")
def test_the_fields_and_their_order() -> None:
    fields = opening(now=10.0, deadline=11.5, subtype="proto", metadata=[("b", "2"), ("a-bin", b"1"), ("b", "1")])
    names = [name.decode() for name, _ in fields]
    assert names == [
        *(":method", ":scheme", ":path", ":authority"),
        "grpc-timeout",
        *("te", "content-type", "user-agent", "grpc-accept-encoding"),
        *("b", "a-bin", "b"),
    ]
    values = dict(reversed(fields))
    assert values[b":method"] == b"POST"
    assert values[b":scheme"] == b"http"
    assert values[b":path"] == b"/test.Echo/Chat"
    assert values[b":authority"] == b"test"
    assert values[b"grpc-timeout"] == b"1500000u"
    assert values[b"te"] == b"trailers"
    assert values[b"content-type"] == b"application/grpc+proto"
    assert values[b"grpc-accept-encoding"] == b"identity,gzip,deflate"
    assert fields[-3:] == [(b"b", b"2"), (b"a-bin", b"MQ"), (b"b", b"1")]


@pytest.mark.req("HDR-12", "HDR-8", "COMP-3")
def test_what_is_not_needed_is_not_sent() -> None:
    fields = dict(opening())
    assert b"grpc-timeout" not in fields
    assert b"grpc-encoding" not in fields
    assert b"content-length" not in fields
    assert fields[b"content-type"] == b"application/grpc"


@pytest.mark.req("HDR-3")
def test_the_scheme_is_that_of_the_connection() -> None:
    assert dict(opening(config=ClientConfig(scheme="https")))[b":scheme"] == b"https"


@pytest.mark.req("HDR-11")
@pytest.mark.parametrize("prefix", ["", "app/1.0 (x; y)"])
def test_the_user_agent(prefix: str) -> None:
    agent = dict(opening(config=ClientConfig(user_agent=prefix)))[b"user-agent"].decode()
    assert agent.startswith(prefix)
    assert re.fullmatch(r"grpc-[a-z]+(-[a-z]+)?/[0-9][^ ]*", agent.removeprefix(prefix).lstrip())


START = pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "no/slash"}, "form"),
        ({"method": "/only"}, "form"),
        ({"method": "//x"}, "form"),
        ({"method": "/a/"}, "form"),
        ({"method": "/a b/c"}, "form"),
        ({"method": "/a/b\r\nx: y"}, "form"),
        ({"method": "/a/b\n"}, "form"),
        ({"method": "/a/é"}, "form"),
        ({"authority": "a/b"}, "authority"),
        ({"authority": ""}, "authority"),
        ({"authority": "user@host"}, "authority"),
        ({"content_subtype": "Proto"}, "content_subtype"),
        ({"content_subtype": "a;b"}, "content_subtype"),
        ({"metadata": {"grpc-x": "1"}}, "reserved"),
        ({"metadata": {"te": "1"}}, "reserved"),
        ({"metadata": {"bad name": "1"}}, "use only"),
        ({"metadata": {"a": "\n"}}, "printable"),
        ({"metadata": {"grpc-status-details-bin": b"1"}}, "reserved"),
    ],
)


@pytest.mark.req("HDR-4", "HDR-5", "MD-1", "MD-2", "MD-3")
@START
def test_what_can_not_be_sent_is_refused_before_anything_has_changed(arguments: dict[str, Any], says: str) -> None:
    connection = ClientConnection(now=0.0)
    connection.data_to_send(0.0)
    before = connection.fingerprint()
    with pytest.raises(LocalProtocolError, match=says):
        connection.start_call(**{"method": "/a/b", **arguments})
    assert connection.fingerprint() == before
    assert connection.data_to_send(0.0) == b""


@pytest.mark.req("MD-12")
@pytest.mark.parametrize("above", [0, 1])
def test_metadata_above_the_servers_limit_fails_here(above: int) -> None:
    size = field_list_size(opening(metadata={"a": "x" * 100}))
    lane = NotingLane(header_limit=size - above)
    call = client_call(lane, metadata={"a": "x" * 100})
    assert (call.pull(0, 0.0) is None) is bool(above)
    if above:
        assert code(call) == "INTERNAL"
        assert lane.aborts == [ErrorCode.CANCEL]
        assert call.pull(100, 0.0) is None


# --- how the server judges -------------------------------------------------------------------------------------------


class Judged:
    """One request at a server call: what was answered, and whether the application heard of it."""

    def __init__(
        self,
        fields: list[Field],
        *,
        end: bool = False,
        room: bool = True,
        config: ServerConfig | None = None,
        size: int | None = None,
        header_limit: int = 2**32,
    ) -> None:
        self.lane, self.owner = NotingLane(header_limit), Owner(room=room)
        self.call = server_call(self.lane, self.owner, config)
        self.call.on_headers(Block(fields, field_list_size(fields) if size is None else size), end)
        output = self.call.pull(10**6, 0.0)
        assert output is None or isinstance(output, Headers)
        self.answer = output
        self.accepted = "started" in self.owner.notes

    @property
    def fields(self) -> dict[str, str]:
        assert self.answer is not None
        return {name.decode(): value.decode("latin-1") for name, value in self.answer.fields}

    @property
    def brief(self) -> str:
        """``accepted``, ``refused``, or HTTP status and gRPC status of the answer."""
        if self.accepted:
            assert self.answer is None
            return "accepted"
        assert self.owner.notes == ["refused"]
        assert history(self.call) == ""
        assert self.call.receive_state is Receive.ENDED
        if self.answer is None:
            assert self.lane.aborts == [ErrorCode.REFUSED_STREAM]
            return "refused"
        assert self.lane.aborts == []
        assert self.answer.end  # one header list, and the stream is over (HDR-15)
        assert self.call.pull(10**6, 0.0) is None
        return f"{self.fields[':status']} {self.fields.get('grpc-status', '-')}"


@pytest.mark.req("HDR-4", "HDR-6", "D-5", "D-6", "MD-9")
def test_a_request_in_order_is_announced_with_all_it_says() -> None:
    fields = altered(
        REQUEST, user_agent="me/1", p_authority="a:1", host="dropped", x="1", y_bin=b"AA", grpc_timeout="2S"
    )
    judged = Judged(fields)
    call = judged.call
    assert judged.brief == "accepted"
    assert call.method == "/test.Echo/Chat"
    assert call.authority == "a:1"
    assert call.user_agent == "me/1"
    assert call.metadata == Metadata([("x", "1"), ("y-bin", b"\0")])
    assert judged.owner.timeout == 2.0
    assert call.receive_state is Receive.OPEN


REQUESTS = [
    # method
    pytest.param({"p_method": "GET"}, "405 13", marks=pytest.mark.req("HDR-2")),
    pytest.param({"p_method": "post"}, "405 13", marks=pytest.mark.req("HDR-2")),
    # scheme
    pytest.param({"p_scheme": "https"}, "accepted", marks=pytest.mark.req("HDR-3")),
    pytest.param({"p_scheme": "ftp"}, "200 13", marks=pytest.mark.req("HDR-3")),
    # path
    pytest.param({"p_path": "/a/b/C"}, "accepted", marks=pytest.mark.req("HDR-4")),
    pytest.param({"p_path": "/%2E/b?q#f"}, "accepted", marks=pytest.mark.req("HDR-4")),
    pytest.param({"p_path": "test.Echo/Chat"}, "200 12", marks=pytest.mark.req("HDR-4")),
    pytest.param({"p_path": "/Chat"}, "200 12", marks=pytest.mark.req("HDR-4")),
    pytest.param({"p_path": "/"}, "200 12", marks=pytest.mark.req("HDR-4")),
    pytest.param({"p_path": ""}, "200 12", marks=pytest.mark.req("HDR-4")),
    pytest.param({"p_path": "*"}, "200 12", marks=pytest.mark.req("HDR-4")),
    # authority
    pytest.param({"p_authority": None}, "accepted", marks=pytest.mark.req("HDR-6")),
    pytest.param({"p_authority": None, "host": "h"}, "accepted", marks=pytest.mark.req("HDR-6")),
    # te
    pytest.param({"te": None}, "accepted", marks=pytest.mark.req("HDR-7")),
    # content type
    *(
        pytest.param({"content_type": text}, "accepted", marks=pytest.mark.req("HDR-9"))
        for text in (
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
            "application/grpc+proto;x=y",
            "Application/GRPC+Proto",
            "application/grpc ",
        )
    ),
    *(
        pytest.param({"content_type": text}, "415 -", marks=pytest.mark.req("HDR-9"))
        for text in (
            None,
            "",
            "application/json",
            "application/grpcfoo",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "text/html",
            "xapplication/grpc",
        )
    ),
    pytest.param({"content_type": "application/grpc+thrift"}, "200 13", marks=pytest.mark.req("HDR-10")),
    # agent
    pytest.param({"user_agent": "curl"}, "accepted", marks=pytest.mark.req("HDR-11")),
    # metadata
    pytest.param({"x_bin": "A"}, "200 13", marks=pytest.mark.req("MD-8")),
    pytest.param({"x_bin": b"\0raw"}, "200 13", marks=pytest.mark.req("MD-8", "MD-14")),
    pytest.param({"x": b"\xe9\t"}, "accepted", marks=pytest.mark.req("MD-7")),
    # timeout
    *(
        pytest.param({"grpc_timeout": text}, "400 13", marks=pytest.mark.req("DEAD-3"))
        for text in ("", "1", "1s", "-1S", "123456789n", "1.5S")
    ),
    pytest.param({"grpc_timeout": "0n"}, "200 4", marks=pytest.mark.req("DEAD-3")),
    pytest.param({"grpc_timeout": "99999999H"}, "accepted", marks=pytest.mark.req("DEAD-4")),
    pytest.param({"grpc_timeout": None}, "accepted", marks=pytest.mark.req("DEAD-4")),
    # compression
    pytest.param({"grpc_encoding": "identity"}, "accepted", marks=pytest.mark.req("COMP-3")),
    pytest.param({"grpc_encoding": "snappy"}, "200 12", marks=pytest.mark.req("COMP-3")),
]


@pytest.mark.req("HDR-15", "ERR-4")
@pytest.mark.parametrize(("changes", "answer"), REQUESTS)
def test_one_fault_at_a_time(changes: dict[str, str | bytes | None], answer: str) -> None:
    assert Judged(altered(REQUEST, **changes)).brief == answer


@pytest.mark.req("HDR-4")
@pytest.mark.parametrize("path", ["/a.B/C", "/a/b/C", "/A%2fb/../C", "/%zz/\xe9"])
def test_the_path_arrives_as_it_was_sent(path: str) -> None:
    assert Judged(altered(REQUEST, p_path=path)).call.method == path


@pytest.mark.req("HDR-6")
@pytest.mark.parametrize(
    ("authority", "hosts", "seen"),
    [("a", [], "a"), (None, ["h"], "h"), ("a", ["h"], "a"), (None, [], ""), ("", ["h"], "h")],
)
def test_authority_and_host(authority: str | None, hosts: list[str], seen: str) -> None:
    judged = Judged([*altered(REQUEST, p_authority=authority), *((b"host", host.encode()) for host in hosts)])
    assert judged.brief == "accepted"
    assert judged.call.authority == seen
    assert judged.call.metadata == Metadata()


@pytest.mark.req("HDR-6")
def test_two_hosts_are_refused() -> None:
    assert Judged([*REQUEST, (b"host", b"h"), (b"host", b"h")]).brief == "400 13"


@pytest.mark.req("HDR-2")
def test_a_wrong_method_is_told_the_right_one() -> None:
    assert Judged(altered(REQUEST, p_method="GET")).fields["allow"] == "POST"


@pytest.mark.req("HDR-7")
@pytest.mark.parametrize(("te", "answer"), [("trailers", "accepted"), (None, "200 2")])
def test_the_strict_server_asks_for_te(te: str | None, answer: str) -> None:
    assert Judged(altered(REQUEST, te=te), config=ServerConfig(require_te=True)).brief == answer


@pytest.mark.req("HDR-10")
@pytest.mark.parametrize(
    ("served", "subtype", "answer"),
    [
        (frozenset({"json"}), "json", "accepted"),
        (frozenset({"json"}), "proto", "200 13"),
        (None, "anything", "accepted"),
        (frozenset(), "", "accepted"),
    ],
)
def test_subtypes_are_those_that_are_served(served: frozenset[str] | None, subtype: str, answer: str) -> None:
    content_type = f"application/grpc+{subtype}" if subtype else "application/grpc"
    judged = Judged(altered(REQUEST, content_type=content_type), config=ServerConfig(content_subtypes=served))
    assert judged.brief == answer


@pytest.mark.req("HDR-9")
def test_the_bare_answer_to_what_is_not_grpc() -> None:
    assert Judged(altered(REQUEST, content_type="text/html")).fields == {":status": "415"}


@pytest.mark.req("MD-11", "MD-10")
@pytest.mark.parametrize(("size", "answer"), [(8192, "accepted"), (8193, "200 8")])
def test_metadata_above_the_soft_limit(size: int, answer: str) -> None:
    assert Judged(REQUEST, size=size).brief == answer


@pytest.mark.req("COMP-3")
def test_a_coding_that_is_not_understood_is_answered_with_those_that_are() -> None:
    fields = Judged(altered(REQUEST, grpc_encoding="zstd")).fields
    assert fields["grpc-accept-encoding"] == "identity,gzip,deflate"
    assert "zstd" in fields["grpc-message"]


@pytest.mark.req("CONN-8")
def test_without_room_it_is_refused_as_unprocessed() -> None:
    assert Judged(REQUEST, room=False).brief == "refused"


# What can be wrong with a request in the order of HDR-14, each with its own answer.
FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("size", {"size": 8193}, "200 8"),
    ("two hosts", {"host": 2}, "400 13"),
    ("content type", {"content_type": "text/html"}, "415 -"),
    ("metadata", {"x_bin": "A"}, "200 13"),
    ("timeout", {"grpc_timeout": "soon"}, "400 13"),
    ("no room", {"room": False}, "refused"),
    ("method", {"p_method": "GET"}, "405 13"),
    ("expired", {"grpc_timeout": "0n"}, "200 4"),
    ("coding", {"grpc_encoding": "snappy"}, "200 12"),
    ("routing", {"p_path": "/nowhere"}, "200 12"),
]
PAIRS = [(a, b) for i, a in enumerate(FAULTS) for b in FAULTS[i + 1 :] if not set(a[1]) & set(b[1])]


@pytest.mark.req("HDR-14")
@pytest.mark.parametrize(("former", "latter"), PAIRS, ids=[f"{a[0]} before {b[0]}" for a, b in PAIRS])
def test_the_first_fault_wins(former: tuple[str, dict[str, Any], str], latter: tuple[str, dict[str, Any], str]) -> None:
    both = {**latter[1], **former[1]}
    room, size, hosts = both.pop("room", True), both.pop("size", None), both.pop("host", 0)
    fields = [*altered(REQUEST, **both), *[(b"host", b"h")] * hosts]
    judged = Judged(fields, room=room, size=size)
    assert judged.brief == former[2]
    texts = {
        "two hosts": "host",
        "metadata": "x-bin",
        "timeout": "grpc-timeout",
        "coding": "snappy",
        "routing": "nowhere",
    }
    if former[0] in texts and judged.answer is not None:
        assert texts[former[0]] in decode_message(judged.fields["grpc-message"].encode())


@pytest.mark.req("HDR-15")
@pytest.mark.parametrize("end", [False, True])
def test_nothing_reaches_a_handler_after_a_refusal(end: bool) -> None:
    lane, owner = NotingLane(), Owner()
    call = server_call(lane, owner)
    call.on_headers(Block.of(altered(REQUEST, p_path="/x")), end)
    if not end:
        call.on_data(b"\0\0\0\0\1a")
        call.on_end()
    assert isinstance(call.pull(100, 0.0), Headers)
    call.on_reset(8, 0)  # type: ignore[arg-type]
    assert owner.notes == ["refused"]
    assert history(call) == ""


@pytest.mark.req("MD-12", "HDR-15")
@pytest.mark.parametrize(
    "changes",
    [
        {"p_path": "/" + "\xff" * 5000},
        {"grpc_encoding": "\xff" * 5000},
        {"grpc_timeout": "\xff" * 5000},
        {"content_type": "application/grpc+" + "x" * 5000},
        {"x" * 5000 + "_bin": "A"},
    ],
    ids=["path", "coding", "timeout", "subtype", "name"],
)
def test_a_refusal_is_short_whatever_it_refuses(changes: dict[str, Any]) -> None:
    """A peer that sends on what it gets must not be made to break its own peer's limit."""
    answer = Judged(altered(REQUEST, **changes)).answer
    assert answer is not None
    assert field_list_size(answer.fields) < 2000


@pytest.mark.req("MD-12", "HDR-15")
@pytest.mark.parametrize(("limit", "shown"), [(200, 0), (310, 100)])
def test_a_refusal_above_the_clients_limit_keeps_its_status(limit: int, shown: int) -> None:
    """As any other end of a call does: what stands besides is left out, then the message, but for its head."""
    judged = Judged(altered(REQUEST, grpc_encoding="c" * 150), header_limit=limit)
    fields = judged.fields
    assert "grpc-accept-encoding" not in fields
    assert len(fields.get("grpc-message", "")) == shown
    assert fields["grpc-status"] == "12"
    assert judged.lane.aborts == []


@pytest.mark.req("MD-12")
def test_a_refusal_above_the_clients_limit_is_a_reset() -> None:
    judged = Judged(altered(REQUEST, p_path="/x"), header_limit=50)
    assert judged.answer is None
    assert judged.lane.aborts == [ErrorCode.INTERNAL_ERROR]


@pytest.mark.parametrize(
    ("content_type", "subtype"),
    [
        (b"application/grpc", ""),
        (b" application/grpc ", ""),
        (b"application/grpc+json", "json"),
        (b"application/grpc+json; charset=utf-8", "json"),
        (b"application/grpc; charset=utf-8", ""),
        (b"application/grpcweb", None),
        (b"", None),
    ],
)
def test_the_subtype(content_type: bytes, subtype: str | None) -> None:
    assert subtype_of(content_type) == subtype


@pytest.mark.req("MD-15")
@pytest.mark.parametrize("flagged", [frozenset(), frozenset({"X-Token"})])
def test_sensitive_values_are_never_indexed_also_beside_those_that_are_flagged(flagged: frozenset[str]) -> None:
    bench = ClientBench(ClientConfig(sensitive_metadata=flagged))
    names = ["authorization", "cookie", "x-token", "other"]
    bench.engine.start_call("/a/b", dict.fromkeys(names, "s3cret"))
    (headers,) = bench.pull()
    assert headers.never_indexed == {b"authorization", b"cookie"} | {name.lower().encode() for name in flagged}


@pytest.mark.req("HDR-4", "SEC-6")
def test_the_status_of_a_refusal_shows_200_characters_of_what_was_wrong() -> None:
    refusal = read_request(block(*altered(REQUEST, p_path="x" * 300)), ServerConfig(), full=None)
    assert isinstance(refusal, Refusal)
    assert refusal.status.message == f"malformed method name '{'x' * 300}"[:200]
