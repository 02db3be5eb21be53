"""Status codes, status messages on the wire, and the two tables that translate foreign codes."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from duplexcore import ErrorCode, Status, StatusCode
from duplexcore.status import (
    STATUS_BY_ERROR_CODE,
    STATUS_BY_HTTP_STATUS,
    append_note,
    decode_message,
    encode_message,
    parse_status,
)


def test_the_codes_are_those_of_grpc() -> None:
    assert [code.value for code in StatusCode] == list(range(17))
    assert StatusCode(16) is StatusCode.UNAUTHENTICATED


def test_a_status_shows_its_code_and_message() -> None:
    assert str(Status()) == "OK"
    assert str(Status(StatusCode.NOT_FOUND, "no such room")) == "NOT_FOUND: no such room"
    assert Status().ok
    assert not Status(StatusCode.CANCELLED).ok


@pytest.mark.req("STAT-6")
@pytest.mark.parametrize("number", [-1, 17, 99, 2**31])
def test_a_code_that_is_not_defined_becomes_unknown_and_is_kept_in_the_message(number: int) -> None:
    status = Status(number, "odd")  # type: ignore[arg-type]
    assert status.code is StatusCode.UNKNOWN
    assert status.message.startswith("odd")
    assert str(number) in status.message
    assert str(number) in Status(number).message  # type: ignore[arg-type]


@pytest.mark.req("STAT-6")
@pytest.mark.parametrize("number", range(17))
def test_a_plain_number_becomes_its_code(number: int) -> None:
    code = Status(number).code  # type: ignore[arg-type]
    assert code is StatusCode(number)


def test_a_note_follows_the_message() -> None:
    assert append_note(Status(StatusCode.UNKNOWN, "a"), "b") == Status(StatusCode.UNKNOWN, "a: b")
    assert append_note(Status(StatusCode.UNKNOWN), "b") == Status(StatusCode.UNKNOWN, "b")


# --- grpc-message ----------------------------------------------------------------------------------------------------


@pytest.mark.req("STAT-8")
@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("", b""),
        ("plain text, with spaces!", b"plain text, with spaces!"),
        ("100%", b"100%25"),
        ("\t\r\n\0\x7f", b"%09%0D%0A%00%7F"),
        (" ~", b" ~"),
        ("é☺😈", b"%C3%A9%E2%98%BA%F0%9F%98%88"),
        ("\ud83d", b"%EF%BF%BD"),
        ("a\ude00b\ud83dc", b"a%EF%BF%BDb%EF%BF%BDc"),
    ],
)
def test_a_message_is_percent_encoded_utf_8(text: str, sent: bytes) -> None:
    assert encode_message(text) == sent


@pytest.mark.req("STAT-9")
@pytest.mark.parametrize(
    ("received", "text"),
    [
        (b"%C3%A9%c3%a9", "éé"),
        (b"100%", "100%"),
        (b"100%2", "100%2"),
        (b"%zz%2x%x2%", "%zz%2x%x2%"),
        (b"%%41", "%A"),
        (b"%25%34%31", "%41"),  # decoded once
        (b"%FF%FE", "\ufffd\ufffd"),
        (b"\xff raw \xc3\xa9", "\ufffd raw é"),
        (b"%C3", "\ufffd"),
    ],
)
def test_a_message_is_decoded_as_far_as_it_goes(received: bytes, text: str) -> None:
    assert decode_message(received) == text


INTEROP = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


@pytest.mark.req("STAT-8", "STAT-9")
@given(st.text())
@example(INTEROP)
def test_any_text_comes_back(text: str) -> None:
    """P46."""
    sent = encode_message(text)
    assert re.fullmatch(rb"([ -$&-~]|%[0-9A-F]{2})*", sent)
    assert decode_message(sent) == text


@pytest.mark.req("STAT-8")
@given(st.text(st.characters(categories=["Cs", "Ll"])))
def test_lone_surrogates_never_fail_and_only_they_are_replaced(text: str) -> None:
    got = decode_message(encode_message(text))
    assert got.replace("\ufffd", "") == "".join(re.split("[\ud800-\udfff]+", _joined(text)))


def _joined(text: str) -> str:
    """Pairs of surrogates are characters."""
    return re.sub(
        "[\ud800-\udbff][\udc00-\udfff]",
        lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"),
        text,
    )


@pytest.mark.req("STAT-9")
@given(st.binary())
def test_no_received_bytes_fail(received: bytes) -> None:
    """P46."""
    decode_message(received)


# --- grpc-status -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", StatusCode)
def test_every_code_is_read(code: StatusCode) -> None:
    assert parse_status([b"%d" % code], b"why%20not") == Status(code, "why not")


def test_a_code_repeated_alike_counts_once() -> None:
    assert parse_status([b"5", b"5"], b"") == Status(StatusCode.NOT_FOUND)


@pytest.mark.req("STAT-7")
@pytest.mark.parametrize(
    "codes",
    [
        [b""],
        [b"x"],
        [b"-1"],
        [b"+1"],
        [b"1.0"],
        [b"17"],
        [b"4294967296"],
        [b"9" * 5000],
        [b"\xb2"],
        [b"\xd9\xa3"],
        [b"1 2"],
        [b"0", b"5"],
        [b"5", b"0"],
        [b"0", b"x"],
    ],
)
def test_an_unusable_code_is_unknown_with_its_text_kept(codes: list[bytes]) -> None:
    status = parse_status(codes, b"the reason")
    assert status.code is StatusCode.UNKNOWN
    assert status.message.endswith("the reason")
    for code in codes:
        assert repr(code.decode("latin-1")[:256])[1:-1] in status.message  # escaped, and cut where it is long (SEC-13)


# --- foreign codes ---------------------------------------------------------------------------------------------------


@pytest.mark.req("ERR-A")
def test_table_a() -> None:
    expected = dict.fromkeys((400, 431), "INTERNAL") | {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
    expected |= {404: "UNIMPLEMENTED"} | dict.fromkeys((429, 502, 503, 504), "UNAVAILABLE")
    assert {key: code.name for key, code in STATUS_BY_HTTP_STATUS.items()} == expected


@pytest.mark.req("ERR-B")
def test_table_b() -> None:
    expected = {7: "UNAVAILABLE", 8: "CANCELLED", 11: "RESOURCE_EXHAUSTED", 12: "PERMISSION_DENIED"}
    assert {int(key): code.name for key, code in STATUS_BY_ERROR_CODE.items()} == expected
    assert [code.value for code in ErrorCode] == list(range(14))
