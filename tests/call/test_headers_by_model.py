"""Header lists of peers that say anything, against rules that are written down a second time (HDR, MAL-1, STAT)."""

from __future__ import annotations

import re
import urllib.parse

from hypothesis import example, given, settings
from hypothesis import strategies as st

from duplexcore import ClientConfig, ServerConfig, StatusCode
from duplexcore.call.headers import (
    BadBlock,
    ForeignResponse,
    Outcome,
    Refusal,
    Request,
    Response,
    read_outcome,
    read_request,
    read_response,
)
from duplexcore.call.lane import Block
from duplexcore.config import Limit
from duplexcore.http2.header_rules import HeaderList, Kind
from duplexcore.metadata import Field, field_list_size
from duplexcore.status import STATUS_BY_HTTP_STATUS, ErrorCode

MANY = settings(max_examples=200, database=None)
TYPES: tuple[bytes, ...] = (b"application/grpc", b"application/grpc+proto", b"Application/GRPC+json; a=b", b"")
TYPES += (b"application/grpc;x", b"text/html", b"application/grpcx", b"application/grpc+xml")


def subtype_in(content_type: bytes) -> str | None:
    found = re.fullmatch(rb"application/grpc(?:\+([^;]*))?(?:;.*)?", content_type.strip().lower())
    return None if found is None else (found[1] or b"").strip().decode()


def block(fields: list[Field]) -> Block:
    return Block(fields, field_list_size(fields))


@st.composite
def requests(draw: st.DrawFn) -> list[Field]:
    """Mostly one thing is wrong with it, or nothing."""

    def mostly(right: bytes, *wrong: bytes) -> bytes:
        return right if draw(st.integers(0, 5)) else draw(st.sampled_from(wrong))

    fields = [
        (b":method", mostly(b"POST", b"GET", b"PUT")),
        (b":scheme", mostly(b"http", b"https", b"ftp", b"")),
        (b":path", mostly(b"/test.Echo/Chat", b"/nothing", b"test/Echo", b"/", b"/a/b/c", b"")),
    ]
    if draw(st.booleans()):
        fields.append((b":authority", b"here"))
    fields += [(b"host", name) for name in draw(st.sampled_from(((), (), (b"a",), (b"a", b"b"))))]
    fields.append((b"content-type", mostly(TYPES[0], *TYPES[1:])))
    if draw(st.integers(0, 4)):
        fields.append((b"te", b"trailers"))
    if draw(st.booleans()):
        fields.append((b"grpc-encoding", mostly(b"gzip", b"identity", b"snappy", b"Gzip")))
    if draw(st.booleans()):
        fields.append((b"grpc-accept-encoding", draw(st.sampled_from((b"gzip,deflate", b" gzip , identity", b"")))))
    if draw(st.booleans()):
        fields.append((b"grpc-timeout", mostly(b"5S", b"0S", b"0n", b"1", b"S", b"123456789S", b"-1S", b"7H")))
    fields += draw(
        st.lists(
            st.sampled_from(
                ((b"a", b"1"), (b"b-bin", b"MQ"), (b"b-bin", b"MQ==")),
            ),
            max_size=3,
        )
    )
    if not draw(st.integers(0, 7)):
        fields.append((b"c-bin", b"!"))
    if not draw(st.integers(0, 7)):
        fields.append((b"long", b"x" * draw(st.sampled_from((300, 900, 2_000)))))
    return fields


@given(requests(), st.sampled_from((None, None, Limit.MAX_CONCURRENT_CALLS)), st.booleans(), st.booleans())
@MANY
def test_a_request_is_judged_in_order(fields: list[Field], full: Limit | None, te: bool, some: bool) -> None:
    subtypes = frozenset(("proto",)) if some else None
    config = ServerConfig(
        require_te=te, content_subtypes=subtypes, max_header_list_size=700, hard_header_list_size=9_000
    )
    its = dict(reversed(fields))
    subtype = subtype_in(its[b"content-type"])
    hosts = [value for name, value in fields if name == b"host"]
    sent = its.get(b"grpc-timeout")
    encoding = its.get(b"grpc-encoding", b"identity")
    valid = sent is None or re.fullmatch(rb"[0-9]{1,8}[numSMH]", sent)
    path = its[b":path"]
    served = not subtype or subtypes is None or subtype in subtypes
    judgements: list[tuple[bool, StatusCode, bytes]] = [
        (field_list_size(fields) > 700, StatusCode.RESOURCE_EXHAUSTED, b"200"),
        (its[b":scheme"] not in (b"http", b"https"), StatusCode.INTERNAL, b"200"),
        (len(hosts) > 1, StatusCode.INTERNAL, b"400"),
        (subtype is None, StatusCode.UNKNOWN, b"415"),
        (not served, StatusCode.INTERNAL, b"200"),
        (te and b"te" not in its, StatusCode.UNKNOWN, b"200"),
        (b"c-bin" in its, StatusCode.INTERNAL, b"200"),
        (not valid, StatusCode.INTERNAL, b"400"),
        (full is not None, StatusCode.UNAVAILABLE, b""),
        (its[b":method"] != b"POST", StatusCode.INTERNAL, b"405"),
        (bool(sent and re.fullmatch(rb"0+[numSMH]", sent)), StatusCode.DEADLINE_EXCEEDED, b"200"),
        (encoding not in (b"identity", b"gzip", b"deflate"), StatusCode.UNIMPLEMENTED, b"200"),
        (not re.fullmatch(rb"/.*/.*", path), StatusCode.UNIMPLEMENTED, b"200"),
    ]
    wrong = next((one for one in judgements if one[0]), None)
    received = block(fields)
    for _ in range(2):  # the second time it may be remembered
        read = read_request(received, config, full=full)
        if wrong is None:
            break
        assert isinstance(read, Refusal)
        assert read.status.code is wrong[1]
        answer = dict(read.fields)
        assert answer.get(b":status", b"") == wrong[2]
        bare = wrong[2] in (b"", b"415")
        if bare:
            assert set(answer) == ({b":status"} if wrong[2] else set())
        else:
            assert answer[b"grpc-status"] == b"%d" % read.status.code
            assert urllib.parse.unquote(answer[b"grpc-message"].decode()) == read.status.message
            assert subtype_in(answer[b"content-type"]) == (subtype if subtype and served else "")
        assert (b"allow" in answer) is (wrong[2] == b"405")
        assert (b"grpc-accept-encoding" in answer) is (wrong is judgements[11])
        limits = {0: Limit.MAX_HEADER_LIST_SIZE, 8: full}
        assert read.limit is limits.get(judgements.index(wrong))
    else:
        return
    assert isinstance(read, Request)
    assert read_request(received, config, full=None) == read
    custom = {b"a": "1", b"b-bin": b"1", b"long": "x" * len(its.get(b"long", b""))}
    assert list(read.metadata) == [(name.decode(), custom[name]) for name, _ in fields if name in custom]
    units = {b"S": 1, b"H": 3600}
    assert read.timeout == (None if sent is None else int(sent[:-1]) * units[sent[-1:]])
    said = read.definition
    assert said.path == path.decode()
    assert said.authority == (its.get(b":authority") or b"".join(hosts)).decode()
    assert (said.subtype, said.answered, said.te) == (subtype, subtype, b"te" in its)
    assert said.encoding == encoding.decode()
    assert said.accepts == {part.strip() for part in its.get(b"grpc-accept-encoding", b"").decode().split(",")}


@given(
    st.sampled_from((b"200", b"200", b"200", b"099", b"204", b"400", b"401", b"404", b"429", b"500", b"503", b"599")),
    st.sampled_from((None, *TYPES)),
    st.sampled_from((None, b"gzip", b"identity", b"strange")),
    st.sampled_from(((), ((b"a", b"1"),), ((b"c-bin", b"!"),), ((b"long", b"x" * 900),))),
    st.sampled_from(("", "proto", "json")),
    st.booleans(),
)
@MANY
def test_a_response_is_judged(
    http_status: bytes,
    content_type: bytes | None,
    encoding: bytes | None,
    custom: tuple[Field, ...],
    asked: str,
    backwards: bool,
) -> None:
    config = ClientConfig(max_header_list_size=700)
    fields = [(b":status", http_status)]
    fields += [] if content_type is None else [(b"content-type", content_type)]
    fields += [] if encoding is None else [(b"grpc-encoding", encoding)]
    fields += custom
    fields[1:] = fields[:0:-1] if backwards else fields[1:]
    received, subtype = block(fields), subtype_in(content_type or b"")
    read = read_response(received, asked, config)
    assert read_response(received, asked, config) == read
    if field_list_size(fields) > 700:
        assert isinstance(read, BadBlock)
        assert (read.status.code, read.reset) == (StatusCode.RESOURCE_EXHAUSTED, ErrorCode.CANCEL)
        assert read.limit is Limit.MAX_HEADER_LIST_SIZE
    elif http_status != b"200" or subtype is None:
        assert isinstance(read, ForeignResponse)
        known = STATUS_BY_HTTP_STATUS.get(int(http_status), StatusCode.UNKNOWN)
        assert read.status.code is (StatusCode.UNKNOWN if http_status == b"200" else known)
        assert (f"HTTP status {int(http_status)} " in read.status.message) is (http_status != b"200")
        assert ("no content-type" if content_type is None else content_type.decode()) in read.status.message
    elif subtype and subtype != (asked or "proto"):
        assert isinstance(read, BadBlock)
        assert (read.status.code, read.reset, read.limit) == (StatusCode.INTERNAL, ErrorCode.CANCEL, None)
    elif custom and custom[0][0] == b"c-bin":
        assert isinstance(read, BadBlock)
        assert (read.status.code, read.reset, read.limit) == (StatusCode.INTERNAL, ErrorCode.PROTOCOL_ERROR, None)
    else:
        assert isinstance(read, Response)
        assert read.encoding == (encoding or b"").decode()
        assert list(read.initial.metadata) == [(name.decode(), value.decode()) for name, value in custom]


@given(
    st.lists(st.sampled_from((b"0", b"3", b"16", b"17", b"x", b"-1", b"00000000000")), max_size=2),
    st.sampled_from((None, b"", b"words", b"caf%C3%A9", b"%", b"%zz")),
    st.sampled_from(((), ((b"a", b"1"),), ((b"c-bin", b"!"),), ((b"long", b"x" * 900),))),
)
@MANY
def test_an_outcome_is_judged(codes: list[bytes], message: bytes | None, custom: tuple[Field, ...]) -> None:
    config = ClientConfig(max_header_list_size=700)
    fields = [(b"grpc-status", code) for code in codes]
    fields += [] if message is None else [(b"grpc-message", message)]
    fields += custom
    received = block(fields)
    read = read_outcome(received, config)
    assert read_outcome(received, config) == read
    if field_list_size(fields) > 700:
        assert isinstance(read, BadBlock)
        assert (read.status.code, read.reset) == (StatusCode.RESOURCE_EXHAUSTED, ErrorCode.CANCEL)
    elif not codes:
        assert read == Outcome(None)
    elif custom and custom[0][0] == b"c-bin":
        assert isinstance(read, BadBlock)
        assert (read.status.code, read.reset) == (StatusCode.INTERNAL, ErrorCode.PROTOCOL_ERROR)
    else:
        assert isinstance(read, Outcome)
        assert read.ended is not None
        status, metadata = read.ended.status, read.ended.trailing_metadata
        one = len(set(codes)) == 1
        if one and re.fullmatch(rb"[0-9]|1[0-6]", codes[0]):
            assert status.code == int(codes[0])
            assert status.message == urllib.parse.unquote((message or b"").decode())
        elif len(codes) == 1 and len(codes[0]) < 9:
            assert status.code is StatusCode.UNKNOWN
        assert list(metadata) == [(name.decode(), value.decode()) for name, value in custom]


NAMES: tuple[bytes, ...] = (
    b":method",
    b":scheme",
    b":path",
    b":authority",
    b":status",
    b":odd",
    b"a",
    b"A",
    b"",
    b"a b",
)
NAMES += (b"te", b"te", b"connection", b"upgrade", b"content-length", b"content-length", b"x-1!#$%&'*+-.^_`|~")
VALUES: tuple[bytes, ...] = (
    b"",
    b"1",
    b"12",
    b"200",
    b"100",
    b"1000",
    b"20x",
    b"trailers",
    b"gzip",
    b"zstd",
    b"a\nb",
    b"a\0",
    b"\r",
    b"9" * 18,
    b"9" * 19,
)
HEADS: dict[Kind, list[Field]] = {
    Kind.REQUEST: [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b")],
    Kind.RESPONSE: [(b":status", b"200")],
    Kind.TRAILERS: [],
}
REQUIRED = {kind: {name for name, _ in head} for kind, head in HEADS.items()}


@given(
    st.sampled_from(list(Kind)),
    st.booleans(),
    st.integers(0, 3),
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=3),
    st.booleans(),
    st.sampled_from((b"200", b"100", b"103", b"199", b"99", b"1000", b"20x")),
)
@example(Kind.REQUEST, True, 3, [(b"content-length", b"9" * 18)], False, b"200")
@example(Kind.TRAILERS, True, 0, [(b"te", b"zstd")], True, b"200")
@settings(max_examples=400, database=None)
def test_a_header_list_is_well_formed_or_not(
    kind: Kind, whole: bool, at: int, more: list[Field], end: bool, code: bytes
) -> None:
    head = [(b":status", code)] if kind is Kind.RESPONSE else HEADS[kind] if whole else HEADS[kind][:1]
    fields = [*head[:at], *more, *head[at:]]
    names = [name for name, _ in fields]
    pseudo = [name for name in names if name[:1] == b":"]
    lengths = [value for name, value in fields if name == b"content-length"]
    numbers = {int(value) if re.fullmatch(rb"[0-9]{1,18}", value) else None for value in lengths}
    allowed = REQUIRED[kind] | ({b":authority"} if kind is Kind.REQUEST else set())
    bad = (
        any(set(value) & {0, 10, 13} for _, value in fields)
        or names[: len(pseudo)] != pseudo
        or len(set(pseudo)) < len(pseudo)
        or not REQUIRED[kind] <= set(pseudo) <= allowed
        or any(name in (b"A", b"", b"a b", b"connection", b"upgrade") for name in names)
        or any(name == b"te" and value != b"trailers" for name, value in fields)
        or len(numbers) > 1
        or None in numbers
    )
    status = dict(fields).get(b":status", b"") if kind is Kind.RESPONSE else b""
    interim = kind is Kind.RESPONSE and not bad and re.fullmatch(rb"1[0-9][0-9]", status) is not None
    bad = bad or (kind is Kind.RESPONSE and not re.fullmatch(rb"[0-9]{3}", status)) or (interim and end)
    heard = HeaderList(fields, field_list_size(fields))
    verdict = heard.verdict(kind, end=end)
    assert heard.verdict(kind, end=end) is verdict
    assert bool(verdict.malformed) is bad
    assert verdict.interim is interim
    if not bad and not interim:
        assert verdict.length == next(iter(numbers), None)
    for other in Kind:
        for last in (False, True):
            assert heard.verdict(other, end=last) == HeaderList(fields, 0).verdict(other, end=last)
