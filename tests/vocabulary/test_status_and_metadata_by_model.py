"""Statuses, metadata, errors and digests as tables and models of a few lines: what goes over the wire and back."""

from __future__ import annotations

import base64
import copy
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore.errors import RpcError
from duplexcore.fingerprint import fingerprint
from duplexcore.metadata import EMPTY, InvalidMetadataError, Metadata, decode_metadata, encode_metadata, field_list_size
from duplexcore.status import (
    STATUS_BY_ERROR_CODE,
    STATUS_BY_HTTP_STATUS,
    ErrorCode,
    Status,
    StatusCode,
    append_note,
    encode_message,
    escaped,
    parse_status,
    quoted,
)

CODES = """OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED
RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS
UNAUTHENTICATED""".split()  # noqa: SIM905 - shorter
ERRORS = """NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR
REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY
HTTP_1_1_REQUIRED""".split()  # noqa: SIM905 - shorter
BY_HTTP_STATUS = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 431: 13, 502: 14, 503: 14, 504: 14}
BY_ERROR = {7: 14, 8: 1, 11: 8, 12: 7}
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


# -- statuses ----------------------------------------------------------------------------------------------------------


@pytest.mark.req("STAT-6", "STAT-7", "STAT-8", "STAT-9")
@given(st.integers(-3, 30), TEXTS, TEXTS)
@settings(max_examples=100, database=None)
def test_a_status_is_a_code_and_a_text(code: int, text: str, note: str) -> None:
    assert [one.name for one in StatusCode] == CODES
    assert [*map(int, StatusCode)] == [*range(17)]
    assert [one.name for one in ErrorCode] == ERRORS
    assert [*map(int, ErrorCode)] == [*range(14)]
    assert STATUS_BY_HTTP_STATUS == BY_HTTP_STATUS
    assert STATUS_BY_ERROR_CODE == BY_ERROR
    status = Status(code, text)  # type: ignore[arg-type]
    if 0 <= code <= 16:
        assert (status.code, status.message) == (code, text)
        assert type(status.code) is StatusCode
        assert status.ok is (code == 0)
        assert str(status) == CODES[code] + (f": {text}" if text else "")
    else:
        unknown = f"status code {code} is not defined"
        assert (status.code, status.message) == (2, f"{text} ({unknown})" if text else unknown)
    noted = append_note(status, note)
    assert (noted.code, noted.message) == (status.code, ": ".join(filter(None, (status.message, note))))
    raised = RpcError(status)
    assert (raised.status, raised.code) == (status, status.code)
    sent = "".join(chr(byte) if 32 <= byte < 127 and byte != 37 else f"%{byte:02X}" for byte in text.encode())
    assert encode_message(text) == sent.encode()
    assert parse_status([b"%d" % max(0, code)], sent.encode()).message.endswith(text)


@pytest.mark.req("STAT-7")
@given(
    st.lists(
        st.sampled_from([b"0", b"5", b"16", b"17", b"05", b"-1", b"", b"x", b"000000007", b"0000000007", b"\xb2"]),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
    st.sampled_from((b"", b"why", b"a%20b", b"%zz%41%")),
)
@settings(max_examples=120, database=None)
def test_only_one_number_is_a_status(codes: list[bytes], alike: bool, message: bytes) -> None:
    codes = codes[:1] * len(codes) if alike else codes
    text = {b"": "", b"why": "why", b"a%20b": "a b", b"%zz%41%": "%zzA%"}[message]
    status = parse_status(codes, message)
    numbers = {b"0": 0, b"5": 5, b"16": 16, b"05": 5, b"000000007": 7}
    if len(set(codes)) == 1 and codes[0] in numbers:
        assert (status.code, status.message) == (numbers[codes[0]], text)
        return
    shown = repr(b", ".join(codes).decode("latin-1"))
    assert (status.code, status.message) == (2, f"invalid grpc-status {shown}" + (f": {text}" if text else ""))


@pytest.mark.req("SEC-13")
@given(st.text(max_size=300), st.integers(0, 300))
@settings(max_examples=60, database=None)
def test_what_a_peer_wrote_is_shown_in_part_and_escaped(text: str, size: int) -> None:
    assert quoted(text) == repr(text[:256])
    assert quoted(b"\xe9" * size) == repr("\xe9" * min(size, 256))
    shown = escaped(text)
    assert all(one.isprintable() for one in shown)
    assert shown == "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


# -- metadata ----------------------------------------------------------------------------------------------------------

NAMES = ("a", "b.c", "x-1_y", "k-bin", "other-bin", "grpc-tags-bin", "grpc-trace-bin")
BAD_NAMES = ("", "é", "a b", ":path", "te", "content-type", "grpc-x", "grpc-status", "connection", "host", "a\n")
SEEN = ("te", "grpc-timeout", "content-type", "user-agent", ":path", "grpc-status", "grpc-encoding")


def pairs_of(random: Random) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for _ in range(random.randint(0, 5)):
        name = random.choice(NAMES)
        binary = random.randbytes(random.randint(0, 7))
        found.append((name, binary if name.endswith("-bin") else random.choice(("", "v", " ~", "a,b", "x" * 40))))
    return found


@pytest.mark.req("MD-9")
@given(st.integers(0, 2**32).map(Random))
@settings(max_examples=60, database=None)
def test_metadata_is_a_list_of_pairs_whose_names_are_asked_for_in_any_case(random: Random) -> None:
    pairs = pairs_of(random)
    more = pairs_of(random)
    made: Any = Metadata(pairs)
    other = Metadata(more)
    assert [*made] == pairs
    assert (len(made), made[0:2], made + more) == (len(pairs), Metadata(pairs[:2]), Metadata(pairs + more))
    assert (made == other) is (pairs == more)
    for name in (*NAMES, *(name.upper() for name in NAMES), "b", "z"):
        values = [value for key, value in pairs if key == name.lower()]
        assert made.all(name) == values
        assert made.get(name, "none") == (values or ["none"])[0]
        assert (name in made) is bool(values)
    for pair in pairs + more:
        assert (pair in made) is (pair in pairs)


@pytest.mark.req("MD-1", "MD-2", "MD-3", "MD-4", "MD-5", "MD-6", "MD-7", "MD-9", "MD-15")
@given(st.integers(0, 2**32).map(Random), st.booleans(), st.sampled_from((" ", "\x7f", "é", "\n", b"bytes", 3)))
@settings(max_examples=100, database=None)
def test_metadata_goes_and_comes(random: Random, pad: bool, bad: Any) -> None:
    pairs = pairs_of(random)
    fields = encode_metadata(pairs)
    for (name, value), field in zip(pairs, fields, strict=True):
        text = base64.b64encode(value).rstrip(b"=") if isinstance(value, bytes) else value.encode()
        assert field == (name.encode(), text)
    assert field_list_size(fields) == sum(32 + len(name) + len(value) for name, value in fields)
    more = [(name.encode(), b"x") for name in SEEN]
    padded = [
        (name, value + b"=" * (-len(value) % 4 if pad and name.endswith(b"-bin") else 0)) for name, value in fields
    ]
    got = decode_metadata([*more[:3], *padded, *more[3:], (b"raw", b"\xff"), (b"tab", b"a\tb")], ("B.C",))
    assert [*got] == [*pairs, ("raw", b"\xff"), ("tab", b"a\tb")]
    assert got == Metadata([*pairs, ("raw", b"\xff"), ("tab", b"a\tb")])
    assert hash(got) == hash(Metadata([*got]))
    for name in {*NAMES, "none"}:
        own = [value for key, value in got if key == name]
        assert got.all(name.upper()) == own
        assert got.get(name.upper()) == (own[0] if own else None)
        assert got.get(name, "else") == (own[0] if own else "else")
    assert [*got.echoable()] == pairs
    assert [*(got + pairs)] == [*got, *pairs]
    secret = got.redacting(("A",)) + Metadata([("z", "1")]).redacting(("z",))
    hidden = {"a", "b.c", "z", "authorization", "cookie", "set-cookie", "proxy-authorization"}
    for shown, names in ((got, hidden - {"a", "z"}), (secret, hidden), (secret.echoable(), hidden)):
        expected = [(name, "[redacted]" if name in names else value) for name, value in shown]
        assert repr(shown) == f"Metadata({expected!r})"
    assert decode_metadata(more) is EMPTY
    assert encode_metadata(()) == []
    name = random.choice(NAMES)
    wrong = bad if not (isinstance(bad, bytes) and name.endswith("-bin")) else "text"
    if wrong == " ":
        wrong = "\t" if not name.endswith("-bin") else wrong
    with pytest.raises(InvalidMetadataError, match="metadata"):
        encode_metadata([*pairs, (name, wrong)])
    with pytest.raises(InvalidMetadataError, match="metadata name"):
        encode_metadata([*pairs, (random.choice(BAD_NAMES), "v")])


@pytest.mark.req("MD-5", "MD-8")
@given(st.text("ABCZaz09+/=- ", max_size=9))
@settings(max_examples=300, database=None)
def test_only_base64_is_binary(text: str) -> None:
    """Alone, padded or not; spaces around it do not count."""
    digits = text.strip(" ")
    whole = digits if digits.endswith("=") else digits + "=" * (-len(digits) % 4)
    try:
        expected: bytes | None = base64.b64decode(whole, validate=True)
        if len(whole) % 4 or whole.startswith("="):
            expected = None
    except ValueError:
        expected = None
    try:
        assert decode_metadata([(b"k-bin", text.encode())]).get("k-bin") == expected
    except InvalidMetadataError as error:
        assert expected is None, error  # noqa: PT017 - either may happen


# -- digests -----------------------------------------------------------------------------------------------------------

LEAVES: Any = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=2), st.binary(max_size=2))
VALUES: Any = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=2), inner, max_size=2),
        st.frozensets(st.integers(0, 3), max_size=3),
        st.builds(range, st.integers(0, 2), st.integers(0, 2), st.integers(1, 2)),
    ),
    max_leaves=6,
)


def shown(value: Any) -> str:
    """What tells values apart: kinds, order of what has one, all leaves."""
    if isinstance(value, dict):
        return "dict" + shown([part for item in value.items() for part in item])
    if isinstance(value, frozenset):
        return "set" + shown(sorted(value))
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(map(shown, value))})"
    return f"{type(value).__name__} {value!r}"


@given(VALUES, VALUES)
@settings(max_examples=150, database=None)
def test_equal_states_have_equal_digests_and_others_do_not(one: Any, other: Any) -> None:
    assert len(fingerprint(one)) == 16
    assert fingerprint(one) == fingerprint(copy.deepcopy(one))
    assert (fingerprint(one) == fingerprint(other)) is (shown(one) == shown(other))
    inner = [one]
    assert fingerprint([inner, inner]) != fingerprint([inner, [one]])
