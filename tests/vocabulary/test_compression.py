"""Codings of messages by themselves: bounded, whole, and known by name."""

from __future__ import annotations

import pickle
import re
import tracemalloc
import zlib

import backports.zstd
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import ClientConfig, compression_named, register_compression
from duplexcore.compression import Compression, CompressionError, OversizedMessageError, Zstandard, Zstd

CODINGS = [
    compression_named("gzip"),
    compression_named("deflate"),
    Zstandard(zstandard),
    Zstd(backports.zstd),
]
each = pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: f"{type(coding).__name__}-{coding.name}")


@pytest.mark.req("COMP-1", "COMP-6")
@each
@given(data=st.binary(max_size=3000), room=st.integers(1, 3000))
def test_what_is_packed_is_unpacked_within_the_limit_and_not_above(coding: Compression, data: bytes, room: int) -> None:
    packed = coding.compress(data)
    assert coding.decompress(packed, len(data)) == coding.decompress(packed, len(data) + room) == data
    if data:
        with pytest.raises(OversizedMessageError):
            coding.decompress(packed, len(data) - 1)


@pytest.mark.req("COMP-5")
@each
def test_what_is_cut_corrupt_or_followed_by_garbage_is_refused(coding: Compression) -> None:
    packed = coding.compress(b"some text" * 50)
    for cut in range(len(packed)):
        with pytest.raises(CompressionError):
            coding.decompress(packed[:cut], 10_000)
    for bad in (packed + b"garbage", b"garbage" + packed):
        with pytest.raises(CompressionError):
            coding.decompress(bad, 10_000)


@pytest.mark.req("COMP-5")
def test_gzip_may_have_several_members_and_deflate_is_the_zlib_format() -> None:
    gzip, deflate = compression_named("gzip"), compression_named("deflate")
    assert gzip.decompress(gzip.compress(b"one") + gzip.compress(b"two"), 6) == b"onetwo"
    with pytest.raises(OversizedMessageError):
        gzip.decompress(gzip.compress(b"one") + gzip.compress(b"two"), 5)
    assert zlib.decompress(deflate.compress(b"x")) == b"x"


@pytest.mark.req("COMP-5")
@each
@given(one=st.binary(max_size=200), other=st.binary(max_size=200))
@settings(max_examples=30)
def test_only_gzip_has_more_than_one_member(coding: Compression, one: bytes, other: bytes) -> None:
    packed = coding.compress(one) + coding.compress(other)
    if coding.name == "gzip":
        assert coding.decompress(packed, 400) == one + other
    else:
        with pytest.raises(CompressionError):
            coding.decompress(packed, 400)


@pytest.mark.req("COMP-6", "SEC-9")
@each
def test_a_bomb_costs_no_more_than_the_limit(coding: Compression) -> None:
    bomb = coding.compress(bytes(64 * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(OversizedMessageError):
            coding.decompress(bomb, 2**20)
        assert tracemalloc.get_traced_memory()[1] < 6 * 2**20
    finally:
        tracemalloc.stop()


def test_codings_are_known_by_name_and_others_can_be_registered() -> None:
    class Reversed:
        name = "reversed"

        def compress(self, data: bytes) -> bytes:
            return data[::-1]

        def decompress(self, data: bytes, limit: int) -> bytes:
            return data[::-1]

    with pytest.raises(ValueError, match="no coding 'reversed' is known"):
        ClientConfig(compressions=("reversed",))
    register_compression(Reversed())
    assert ClientConfig(compressions=("reversed",), compression="reversed").compression == "reversed"
    assert compression_named("zstd").name == "zstd"
    for name in ("identity", "Upper", "with space", ""):
        Reversed.name = name
        with pytest.raises(ValueError, match="can not name a coding"):
            register_compression(Reversed())
    with pytest.raises(ValueError, match="must be one of"):
        ClientConfig(compression="zstd")
    for coding in CODINGS:
        assert pickle.loads(pickle.dumps(coding)).name == coding.name


@given(st.one_of(st.text("az0Z9-_ \u00e9\u00b2\n", max_size=4), st.sampled_from(("identity", "identity2", "-", "z-9"))))
@settings(max_examples=100, database=None)
def test_names_of_codings_are_words_in_small_letters(name: str) -> None:
    class Named:
        def __init__(self) -> None:
            self.name = name

        def compress(self, data: bytes) -> bytes:
            return data

        def decompress(self, data: bytes, limit: int) -> bytes:
            return data

    coding = Named()
    if re.fullmatch("[a-z0-9-]*[a-z0-9][a-z0-9-]*", name) and name != "identity":
        register_compression(coding)
        assert compression_named(name) is coding
        assert ClientConfig(compressions=(name,)).compressions == (name,)
    else:
        with pytest.raises(ValueError, match="can not name a coding"):
            register_compression(coding)


@given(st.text("abyz{", min_size=1, max_size=6))
@settings(max_examples=50, database=None)
def test_who_asks_for_what_is_not_there_is_told_what_to_do(name: str) -> None:
    name += "."  # a name that nothing can have
    with pytest.raises(ValueError, match=r"no coding .* is known here \(.*deflate.*gzip.*\): see register_compression"):
        compression_named(name)
