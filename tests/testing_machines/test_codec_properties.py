"""The properties of single values hold, and each of them can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings

from duplexcore import Status, compression
from duplexcore.call import framing
from duplexcore.testing.sim.properties import CLAIMS, P45, Claim, PropertyError, codecs
from duplexcore.testing.strategies import CASES, metadata

BY_NUMBER = {one.number: one for one in CLAIMS}


@pytest.mark.parametrize("number", sorted(BY_NUMBER))
def test_a_claim_holds(number: str) -> None:
    @given(CASES[number])
    @settings(database=None)
    def holds(case: tuple[Any, ...]) -> None:
        BY_NUMBER[number].check(*case)  # type: ignore[attr-defined]

    holds()


@given(metadata(hostile=True))
def test_metadata_that_must_not_be_sent_is_refused(pairs: Any) -> None:
    P45.refuses(pairs)


def test_each_claim_has_cases_and_a_sentence() -> None:
    assert set(CASES) == set(BY_NUMBER)
    assert all(one.__doc__ and one.__doc__ != Claim.__doc__ for one in CLAIMS)


def rounds_down(seconds: float) -> bytes:
    return b"%du" % max(1, int(seconds * 10**6) % 10**8)


#: What is put in whose place, and what that breaks.
WRONG: list[tuple[str, Any, str, Callable[[Any], Any]]] = [
    ("P30", codecs, "FACTOR", lambda right: -100),
    ("P36", codecs, "encode_timeout", lambda right: rounds_down),
    ("P36", codecs, "decode_timeout", lambda right: lambda value: right(value) * 2),
    ("P45", codecs, "decode_metadata", lambda right: lambda fields: right(fields)[:1]),
    ("P45", codecs, "decode_metadata", lambda right: lambda fields: right(list(fields)[::-1])),
    ("P46", codecs, "encode_message", lambda right: lambda text: text.encode("utf-8", "replace")),
    ("P46", codecs, "parse_status", lambda right: lambda codes, text: Status(right(codes, text).code)),
    ("P47", compression.Zlib, "decompress", lambda right: lambda codec, data, limit: right(codec, data, limit)[:-1]),
    ("P47", compression.Zlib, "decompress", lambda right: lambda codec, data, limit: right(codec, data, limit + 1)),
    ("P47", framing.MessageDecoder, "_exceed", lambda right: lambda decoder, text: None),
]


@pytest.mark.parametrize(("number", "owner", "name", "change"), WRONG, ids=lambda one: one if type(one) is str else "")
def test_a_claim_can_fail(
    number: str, owner: Any, name: str, change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, change(getattr(owner, name)))

    def fails(case: tuple[Any, ...]) -> bool:
        try:
            BY_NUMBER[number].check(*case)  # type: ignore[attr-defined]
        except PropertyError as error:
            return error.number == number
        except Exception:
            return False
        return False

    find(CASES[number], fails, settings=settings(database=None, max_examples=2_000, phases=[Phase.generate]))
