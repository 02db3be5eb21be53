"""``grpc-timeout``, encoded and decoded."""

import math
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from duplexcore.call.timeout import decode_timeout, encode_timeout

UNITS = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "S": Fraction(1),
    "M": Fraction(60),
    "H": Fraction(3600),
}


@pytest.mark.req("DEAD-1")
@pytest.mark.parametrize(
    ("seconds", "sent"),
    [
        (1e-12, b"1n"),
        (0.0, b"1n"),
        (-5.0, b"1n"),
        (1e-9, b"1n"),
        (0.05, b"50000000n"),
        (0.099999999, b"99999999n"),
        (0.1, b"100000u"),
        (1.0, b"1000000u"),
        (99.999999, b"99999999u"),
        (100, b"100000m"),
        (3600, b"3600000m"),
        (99_999.999, b"99999999m"),
        (99_999.9991, b"100000S"),
        (99_999_999, b"99999999S"),
        (100_000_000, b"1666667M"),
        (99_999_999 * 60, b"99999999M"),
        (99_999_999 * 60 + 1, b"1666667H"),
        (99_999_999 * 3600, b"99999999H"),
        (1e300, b"99999999H"),
        (float("inf"), b"99999999H"),
    ],
)
def test_the_smallest_unit_that_fits_eight_digits_rounded_up(seconds: float, sent: bytes) -> None:
    assert encode_timeout(seconds) == sent


def least(seconds: float) -> bytes:
    """The least that is not less, as floats compare, in the smallest unit that holds it."""
    for letter, unit in UNITS.items():
        count = max(1, math.ceil(Fraction(seconds) / unit))
        while 1 < count <= 100_000_100 and float((count - 1) * unit) >= seconds:
            count -= 1
        if count <= 99_999_999:
            return b"%d%s" % (count, letter.encode())
    return b"99999999H"


EDGES = [unit * count for unit in UNITS.values() for count in (1, 99_999_998, 99_999_999, 100_000_000)]
SECONDS = st.one_of(
    st.builds(lambda digits, power: float(digits * Fraction(10) ** power), st.integers(1, 10**9), st.integers(-12, 6)),
    st.builds(lambda edge, off: float(edge + off * edge / 10**9), st.sampled_from(EDGES), st.integers(-3, 3)),
    st.floats(min_value=0, max_value=1e13),
    st.sampled_from((0.0, -1.0, 1e300)),
    st.integers(0, 10**6).map(float),
)


@pytest.mark.req("DEAD-1")
@given(st.lists(SECONDS, min_size=10, max_size=10))
@settings(max_examples=40, database=None)
def test_what_is_sent_is_the_least_that_is_not_less(seconds: list[float]) -> None:
    """Or the next, where the number of nanoseconds is more than a float can tell; of whole seconds it never is."""
    for one in seconds:
        whole = one.is_integer() and one <= 10**6
        assert encode_timeout(one) in (least(one), least(one if whole else math.nextafter(one, math.inf)))


@pytest.mark.req("DEAD-3", "DEAD-4")
@given(st.lists(st.tuples(st.integers(0, 99_999_999), st.integers(0, 8), st.sampled_from([*UNITS])), min_size=8))
@settings(max_examples=25, database=None)
def test_what_comes_is_its_number_times_its_unit(parts: list[tuple[int, int, str]]) -> None:
    for number, width, unit in parts:
        assert decode_timeout(f"{number:0{width}}{unit}".encode()) == float(number * UNITS[unit])


@pytest.mark.req("DEAD-3")
@given(st.text("0123456789HMSmunx -+.\n", max_size=10), st.sampled_from(("", *UNITS)))
@settings(max_examples=100, database=None)
def test_only_digits_and_a_unit_are_a_timeout(digits: str, unit: str) -> None:
    text = digits + unit
    good = 2 <= len(text) <= 9 and text[-1] in UNITS and all(one in "0123456789" for one in text[:-1])
    try:
        decode_timeout(text.encode())
    except ValueError:
        assert not good
    else:
        assert good


@pytest.mark.req("DEAD-1")
@given(st.floats(min_value=0, exclude_min=True, max_value=99_999_999 * 3600))
@example(1.1)
@example(6_000_000_000.000001)
def test_what_is_sent_is_never_less_and_less_than_a_unit_more(seconds: float) -> None:
    """P36."""
    sent = encode_timeout(seconds)
    count, unit = int(sent[:-1]), UNITS[sent[-1:].decode()]
    assert 1 <= count <= 99_999_999
    assert decode_timeout(sent) >= seconds
    assert (count - 1) * unit < Fraction(seconds)
    smaller = [other for other in UNITS.values() if other < unit]
    assert all(Fraction(seconds) / other > 99_999_999 for other in smaller)


@pytest.mark.req("DEAD-3", "DEAD-4")
@pytest.mark.parametrize(
    ("received", "seconds"),
    [
        (b"0n", 0),
        (b"1n", 1e-9),
        (b"00000001n", 1e-9),
        (b"007u", 7e-6),
        (b"250m", 0.25),
        (b"2S", 2),
        (b"3M", 180),
        (b"4H", 14_400),
        (b"0H", 0),
        (b"99999999n", 0.099999999),
        (b"99999999H", 359_999_996_400),
    ],
)
def test_all_that_the_specification_allows_is_read(received: bytes, seconds: float) -> None:
    assert decode_timeout(received) == seconds


BAD = [
    *["", "n", "1", "1s", "1h", "-1n", "+1n", "1.5S", "123456789n", "1nn", "n1", "1N", "0x1n", "1e2n"],
    "1 n",
    " 1n",
    "1n ",
    "1n\n",
    "\xb2n",
    "\xd9\xa1n",
]


@pytest.mark.req("DEAD-3")
@pytest.mark.parametrize("received", BAD)
def test_all_else_is_refused(received: str) -> None:
    with pytest.raises(ValueError, match="grpc-timeout"):
        decode_timeout(received.encode("latin-1"))
