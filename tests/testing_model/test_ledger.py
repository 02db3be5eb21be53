"""The bytes of one direction against the messages that were accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexcore.status import StatusCode
from duplexcore.testing.model.ledger import DataReader, MessageLedger
from duplexcore.testing.model.vocabulary import Data, ModelViolation
from duplexcore.testing.raw import message


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.integers(0, 30), max_size=12))
def test_any_cut_of_the_same_bytes_counts_the_same_messages(payloads: list[bytes], cuts: list[int]) -> None:
    ledger, reader = MessageLedger(), DataReader()
    for payload in payloads:
        ledger.accepted(payload)
    rest = b"".join(message(payload) for payload in payloads)
    whole = 0
    for size in [*cuts, len(rest)]:
        data, rest = rest[:size], rest[size:]
        framed, read = ledger.framed(data), reader.read(data)
        assert framed == read
        whole += framed.whole
        assert framed.partial is ledger.is_cut
    assert whole == len(payloads)
    for payload in payloads:
        ledger.delivered(payload)


def test_bytes_that_nobody_sent() -> None:
    ledger = MessageLedger()
    ledger.accepted(b"one")
    with pytest.raises(ModelViolation, match="P1"):
        ledger.framed(message(b"two"))
    assert ledger.framed(message(b"one"), end=True) == Data(1, end=True)
    with pytest.raises(ModelViolation, match="P1"):
        ledger.framed(b"\0")
    with pytest.raises(ModelViolation, match="P1"):
        ledger.delivered(b"two")
    ledger.delivered(b"one")
    with pytest.raises(ModelViolation, match="P1"):
        ledger.delivered(b"one")


def test_a_message_that_is_packed_is_another_on_the_wire() -> None:
    ledger = MessageLedger()
    ledger.accepted(b"long text", wire=b"\1\0\0\0\1z")
    assert ledger.framed(b"\1\0\0") == Data(0, partial=True)
    assert ledger.framed(b"\0\1z") == Data(1)
    ledger.delivered(b"long text")


@pytest.mark.req("FRM-1", "FRM-3", "FRM-4", "COMP-2")
def test_what_breaks_the_framing() -> None:
    assert DataReader().read(b"\0\0\0\0\0") == Data(1)
    assert DataReader().read(message(b"ok") + b"\2") == Data(1, error=StatusCode.INTERNAL)
    assert DataReader().read(b"\1\0\0\0\0") == Data(error=StatusCode.INTERNAL)
    assert DataReader(coded=True).read(b"\1\0\0\0\0") == Data(1)
    assert DataReader(limit=3).read(b"\0\0\0\0\3") == Data(partial=True)
    assert DataReader(limit=3).read(message(b"abc") + b"\0\0\0\0\4", end=True) == Data(
        1, end=True, error=StatusCode.RESOURCE_EXHAUSTED
    )
