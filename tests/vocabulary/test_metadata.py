"""Metadata as a value, as outgoing fields, and from incoming ones."""

import base64
import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexcore import Metadata
from duplexcore.metadata import (
    ALLOWED,
    ALLOWED_ON_SERVERS,
    EMPTY,
    InvalidMetadataError,
    decode_metadata,
    encode_metadata,
    field_list_size,
)

# --- the value -------------------------------------------------------------------------------------------------------


@pytest.mark.req("MD-6")
def test_repeated_names_keep_their_order_and_stay_a_list() -> None:
    metadata = Metadata([("a", "1"), ("b", "x"), ("a", "2"), ("a", "1")])
    assert metadata.all("a") == ["1", "2", "1"]
    assert metadata.get("a") == "1"
    assert list(metadata) == [("a", "1"), ("b", "x"), ("a", "2"), ("a", "1")]


def test_a_mapping_pairs_and_another_metadata_give_equal_values() -> None:
    pairs = Metadata([("a", "1"), ("b-bin", b"2")])
    mapping: dict[str, str | bytes] = {"a": "1", "b-bin": b"2"}
    assert Metadata(mapping) == pairs == Metadata(pairs) == Metadata(iter(pairs))
    assert hash(Metadata(list(pairs))) == hash(pairs)
    assert pairs != [("a", "1"), ("b-bin", b"2")]
    assert Metadata() == EMPTY
    assert not Metadata()


def test_names_become_lower_case() -> None:
    assert Metadata({"X-Request-Id": "7"}) == Metadata({"x-request-id": "7"})


def test_it_is_a_sequence_of_pairs() -> None:
    metadata = Metadata([("a", "1"), ("b", "2"), ("c", "3")])
    assert metadata[0] == ("a", "1")
    assert metadata[-1] == ("c", "3")
    assert metadata[1:] == Metadata([("b", "2"), ("c", "3")])
    assert len(metadata) == 3
    more: list[tuple[str, str | bytes]] = [("d", "4")]
    assert metadata + more == metadata + Metadata(more) == metadata + {"d": "4"} == Metadata([*metadata, ("d", "4")])


def test_a_name_or_a_whole_pair_can_be_asked_for() -> None:
    metadata = Metadata([("a", "1"), ("b-bin", b"2")])
    asked: list[tuple[object, bool]] = [("a", True), ("c", False), (("a", "1"), True), (("a", "2"), False)]
    assert [(item, item in metadata) for item, _ in asked] == asked
    assert metadata.get("c") is None
    assert metadata.get("c", "other") == "other"
    assert metadata.all("c") == []


def test_a_name_as_an_index_says_what_to_use_instead() -> None:
    metadata: Any = Metadata([("a", "1")])
    with pytest.raises(TypeError, match=re.escape(".get('a') or .all('a')")):
        metadata["a"]


@pytest.mark.req("MD-15")
@pytest.mark.parametrize("name", ["authorization", "cookie", "proxy-authorization", "set-cookie", "Authorization"])
def test_sensitive_values_are_not_shown(name: str) -> None:
    shown = repr(Metadata([(name, "Bearer s3cret"), ("other", "visible")]))
    assert "s3cret" not in shown
    assert name.lower() in shown
    assert "visible" in shown


# --- going out -------------------------------------------------------------------------------------------------------


@pytest.mark.req("MD-1", "D-7")
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("", "x", "use only"),
        ("with space", "x", "use only"),
        ("ümlaut", "x", "use only"),
        ("a:b", "x", "use only"),
        ("a\n", "x", "use only"),
        ("a/b", "x", "use only"),
        ("key", "tab\t", "printable ASCII"),
        ("key", "line\r\n", "printable ASCII"),
        ("key", "line\n", "printable ASCII"),
        ("key", "nul\0", "printable ASCII"),
        ("key", "del\x7f", "printable ASCII"),
        ("key", "é", "printable ASCII"),
        ("key", b"bytes", "-bin"),
        ("key-bin", "text", "bytes"),
    ],
)
def test_what_can_not_be_sent_is_refused(name: str, value: str | bytes, says: str) -> None:
    with pytest.raises(InvalidMetadataError, match=says):
        encode_metadata([("good", "1"), (name, value)])


@pytest.mark.req("MD-1")
def test_every_character_that_may_stand_in_a_name_or_value_is_sent_as_it_is() -> None:
    name = "0123456789abcdefghijklmnopqrstuvwxyz_.-"
    value = bytes(range(0x20, 0x7F)).decode()
    assert encode_metadata([(name, value), ("empty", "")]) == [(name.encode(), value.encode()), (b"empty", b"")]


@pytest.mark.req("MD-2")
@pytest.mark.parametrize(
    "name",
    [
        ":path",
        ":authority",
        ":anything",
        "grpc-status",
        "grpc-message",
        "grpc-timeout",
        "grpc-encoding",
        "grpc-accept-encoding",
        "grpc-message-type",
        "grpc-anything",
        "grpc-previous-rpc-attempts",
        "te",
        "TE",
        "content-type",
        "content-length",
        "host",
        "user-agent",
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ],
)
@pytest.mark.parametrize("allowed", [ALLOWED, ALLOWED_ON_SERVERS], ids=["client", "server"])
def test_reserved_names_are_refused_on_both_sides(name: str, allowed: frozenset[str]) -> None:
    with pytest.raises(InvalidMetadataError, match=r"reserved|use only"):
        encode_metadata([(name, "1")], allowed)


@pytest.mark.req("MD-3")
@pytest.mark.parametrize(
    ("name", "value", "on_client"),
    [
        ("grpc-trace-bin", b"1", True),
        ("grpc-tags-bin", b"1", True),
        ("grpc-retry-pushback-ms", "5", False),
        ("grpc-status-details-bin", b"1", False),
    ],
)
def test_reserved_names_that_applications_may_set(name: str, value: str | bytes, on_client: bool) -> None:
    assert encode_metadata([(name, value)], ALLOWED_ON_SERVERS)
    if on_client:
        assert encode_metadata([(name, value)])
    else:
        with pytest.raises(InvalidMetadataError, match="reserved"):
            encode_metadata([(name, value)])


@pytest.mark.req("MD-4")
@pytest.mark.parametrize(
    ("value", "sent"),
    [(b"", b""), (b"\0", b"AA"), (b"\0\0", b"AAA"), (b"\0\0\0", b"AAAA"), (b"\xfb\xff", b"+/8"), (b"a,b", b"YSxi")],
)
def test_binary_values_are_unpadded_base64_of_the_standard_alphabet(value: bytes, sent: bytes) -> None:
    assert encode_metadata([("x-bin", value)]) == [(b"x-bin", sent)]


# --- coming in -------------------------------------------------------------------------------------------------------


@pytest.mark.req("MD-5", "D-7")
@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (b"", [b""]),
        (b"AA", [b"\0"]),
        (b"AA==", [b"\0"]),
        (b"AAA", [b"\0\0"]),
        (b"AAA=", [b"\0\0"]),
        (b"AAAA", [b"\0\0\0"]),
        (b"+/8", [b"\xfb\xff"]),
        (b"AA,AAA=,", [b"\0", b"\0\0", b""]),
        (b"YSxi,YQ==", [b"a,b", b"a"]),  # a comma inside the decoded bytes splits nothing
        (b"YQ, Yg", [b"a", b"b"]),
    ],
)
def test_binary_values_come_padded_or_not_and_joined_by_commas(value: bytes, parts: list[bytes]) -> None:
    assert decode_metadata([(b"x-bin", value)]).all("x-bin") == parts


@pytest.mark.req("MD-5", "MD-14")
@pytest.mark.parametrize(
    "value",
    [
        *(b"A", b"AAAAA", b"AA-_", b"AA AA", b"AA\n", b"AA,A", b"AA;AA", b"\0raw bytes", b"\xff"),
        # padding that is not what the length asks for
        *(b"A===", b"A=A=", b"AA=", b"AA===", b"AAA==", b"AAAA=", b"=", b"==", b"====", b"=AA"),
    ],
)
def test_what_is_not_base64_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidMetadataError, match="x-bin"):
        decode_metadata([(b"x-bin", value)])


@pytest.mark.req("MD-6")
def test_text_values_are_not_split() -> None:
    assert decode_metadata([(b"a", b"1,2"), (b"b", b"x"), (b"a", b"3")]) == Metadata(
        [("a", "1,2"), ("b", "x"), ("a", "3")]
    )


@pytest.mark.req("MD-7")
@pytest.mark.parametrize("value", [b"\xe9", b"tab\there", b"\x80\xff", b"\x7f", b"\x01"])
def test_text_that_is_not_printable_ascii_stays_bytes_and_is_told_apart(value: bytes) -> None:
    metadata = decode_metadata([(b"odd", value), (b"plain", b"text"), (b"b-bin", b"AA")])
    assert metadata.get("odd") == value
    assert metadata.echoable() == Metadata([("plain", "text"), ("b-bin", b"\0")])
    encode_metadata(metadata.echoable())
    with pytest.raises(InvalidMetadataError):
        encode_metadata(metadata)


@pytest.mark.req("MD-7")
def test_names_that_may_come_but_not_be_sent_are_not_echoed() -> None:
    names = (b"odd!", b"grpc-server-stats-bin", b"grpc-previous-rpc-attempts", b"a|b", b"k")
    fields = [(name, b"AA") for name in names]
    metadata = decode_metadata([*fields, (b"grpc-status-details-bin", b"AA"), (b"grpc-trace-bin", b"AA")])
    echo = metadata.echoable()
    assert [name for name, _ in echo] == ["k", "grpc-status-details-bin", "grpc-trace-bin"]
    encode_metadata(echo, ALLOWED_ON_SERVERS)


@pytest.mark.req("MD-9")
def test_what_the_library_reads_itself_is_hidden() -> None:
    names = (
        *(b":method", b":scheme", b":path", b":authority", b":status"),
        *(b"te", b"content-type", b"user-agent", b"host", b"content-length"),
        *(b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding"),
        *(b"grpc-status", b"grpc-message", b"grpc-message-type"),
    )
    assert decode_metadata([(name, b"x") for name in names]) == EMPTY
    seen = [(b"grpc-status-details-bin", b"AA"), (b"grpc-retry-pushback-ms", b"5"), (b"grpc-trace-bin", b"AA")]
    assert [name.encode() for name, _ in decode_metadata(seen)] == [name for name, _ in seen]


@pytest.mark.req("MD-10")
def test_the_size_of_a_header_list_counts_32_more_for_each_field() -> None:
    assert field_list_size([]) == 0
    assert field_list_size([(b"ab", b"xyz")]) == 2 + 3 + 32
    assert field_list_size(encode_metadata([("x-bin", b"\0" * 30)])) == 5 + 40 + 32  # after base64


# --- there and back --------------------------------------------------------------------------------------------------

NAMES = st.text("0123456789abcdefghijklmnopqrstuvwxyz_.-", min_size=1, max_size=12).filter(
    lambda name: not name.startswith("grpc-") and name not in ("te", "host", "upgrade", "connection")
)
PAIRS = st.lists(
    st.one_of(
        st.tuples(
            NAMES.filter(lambda name: not name.endswith("-bin")),
            st.text(st.characters(min_codepoint=32, max_codepoint=126)),
        ),
        st.tuples(NAMES.map(lambda name: name + "-bin"), st.binary(max_size=40)),
    ),
    max_size=8,
)


@pytest.mark.req("MD-4", "MD-5", "MD-6")
@given(PAIRS, st.booleans())
def test_metadata_comes_back_as_it_went_out(pairs: list[tuple[str, str | bytes]], padded: bool) -> None:
    """P45."""
    fields = encode_metadata(pairs)
    if padded:
        fields = [(n, v + b"=" * (-len(v) % 4) if n.endswith(b"-bin") else v) for n, v in fields]
    assert decode_metadata(fields) == Metadata(pairs)


@pytest.mark.req("MD-5")
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_binary_values_joined_by_commas_are_the_values(values: list[bytes]) -> None:
    joined = b",".join(base64.b64encode(value) for value in values)
    assert decode_metadata([(b"x-bin", joined)]).all("x-bin") == values


@pytest.mark.req("MD-15")
def test_more_names_can_be_hidden_and_stay_so() -> None:
    plain = Metadata([("x-token", "abc"), ("cookie", "abc"), ("x", "1")])
    hidden = plain.redacting(["X-Token"])
    assert "x-token', 'abc'" in repr(plain)
    assert hidden == plain
    for derived in (hidden, hidden[:2], hidden + {"y": "2"}, Metadata([("y", "2")]) + hidden, hidden.echoable()):
        assert "abc" not in repr(Metadata(derived))
        assert derived.get("x-token") == "abc"
    assert "abc" in repr(plain)
    assert "abc" not in repr(pickle.loads(pickle.dumps(hidden)))
