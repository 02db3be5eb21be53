"""What calls carry: messages, metadata, statuses, timeouts; and how bytes may be cut."""

from __future__ import annotations

import math
from typing import cast

from hypothesis import strategies as st

from duplexcore import Status, StatusCode

__all__ = ["MESSAGE_EDGES", "chunkings", "messages", "metadata", "statuses", "timeouts"]

#: About nothing, the prefix of a message, a frame with and without that prefix, a window.
MESSAGE_EDGES = (0, 1, 4, 5, 16_379, 16_380, 16_384, 16_385, 65_530, 65_531, 65_535, 65_536)
#: Texts that show what escaping and trimming get wrong.
TEXTS = ("", "%", "%%41", "100 %", "%zz", "é", "日本語", "🦆", "a\nb", "\r\n", " edges ", "\x00", "~")
NAME = "abcdefghijklmnopqrstuvwxyz0123456789_-."
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
#: Names and values that no application may send.
REFUSED: tuple[tuple[str, str | bytes], ...] = (
    ("", "x"),
    (":path", "/x"),
    ("te", "trailers"),
    ("content-type", "text/html"),
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("grpc-status", "0"),
    ("grpc-timeout", "1S"),
    ("grpc-anything", "x"),
    ("two words", "x"),
    ("name:", "x"),
    ("naïve", "x"),
    ("text", "a\r\nb: c"),
    ("text", "\x00"),
    ("text", "é"),
    ("text", b"bytes"),
    ("data-bin", "text"),
)

Pairs = list[tuple[str, str | bytes]]


def messages(limit: int | None = None) -> st.SearchStrategy[bytes]:
    """Payloads: short ones of any bytes, and of the sizes at which frames, prefixes and windows end.

    ``limit``: the largest message that is taken, if that is of interest: then there are some of one byte less, of just
    that size, and of one byte more.
    """
    sizes = set(MESSAGE_EDGES)
    if limit is not None:
        sizes = {size for size in sizes if size <= limit} | {max(0, limit - 1), limit, limit + 1}
    return st.one_of(
        st.binary(max_size=24 if limit is None else min(24, limit)), st.sampled_from(sorted(sizes)).map(_filled)
    )


def _filled(size: int) -> bytes:
    return (b"0123456789" * (size // 10 + 1))[:size]


def metadata(*, hostile: bool = False, max_pairs: int = 6) -> st.SearchStrategy[Pairs]:
    """Pairs of name and value as applications send them: names that come again, ``-bin`` with bytes, values that are
    empty, hold commas, or are as large as a peer may still take (8 KiB).

    ``hostile``: among them is one that must be refused before anything is sent.
    """
    names = st.one_of(st.sampled_from(("a", "b", "x-y.z_0")), st.text(NAME, min_size=1, max_size=12).filter(_is_free))
    texts = st.one_of(
        st.text(PRINTABLE, max_size=16), st.sampled_from(("", "a,b", ", ", "x" * 8_100)), st.just(" inside out ")
    )
    values = st.one_of(st.binary(max_size=16), st.sampled_from((b"", b"\0", b"\xff" * 3, b"," * 4)))
    text_names = names.filter(lambda name: not name.endswith("-bin"))
    binary_names = names.map(lambda name: f"{name.removesuffix('-bin')}-bin")
    pair = cast(
        "st.SearchStrategy[tuple[str, str | bytes]]",
        st.one_of(st.tuples(text_names, texts), st.tuples(binary_names, values)),
    )
    pairs = st.lists(pair, max_size=max_pairs)
    if not hostile:
        return pairs
    return st.tuples(pairs, st.sampled_from(REFUSED), pairs).map(lambda parts: [*parts[0], parts[1], *parts[2]])


def _is_free(name: str) -> bool:
    reserved = {"te", "host", "connection", "upgrade", "user-agent", "content-type", "keep-alive"}
    return not name.startswith("grpc-") and name not in reserved


def statuses(*, ok: bool = True) -> st.SearchStrategy[Status]:
    """Every code, also one that nobody knows, which is UNKNOWN to us, with texts that have to be escaped.

    ``ok``: whether the status may be OK, which is the dullest.
    """
    codes = [code for code in StatusCode if ok or code is not StatusCode.OK]
    texts = st.one_of(st.text(max_size=20), st.sampled_from(TEXTS))
    return st.builds(Status, st.sampled_from(codes), texts)


def timeouts() -> st.SearchStrategy[float]:
    """Seconds, as deadlines are given: from nothing over the edges of each unit to more than can be said."""
    units = [10.0**-9, 10.0**-6, 10.0**-3, 1.0, 60.0, 3600.0]
    edges = [0.0, 99_999_999 * 3600.0, 1e300, math.inf]
    for unit in units:
        edges += [unit, unit * 99_999_999, unit * 100_000_000, math.nextafter(unit * 99_999_999, math.inf)]
    return st.one_of(st.floats(min_value=0, max_value=1e13, allow_subnormal=False), st.sampled_from(edges))


def chunkings(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """The same bytes in pieces, none of them empty; the dullest is one piece. Among them: byte by byte."""
    if len(data) < 2:
        return st.just([data] if data else [])
    cuts = st.lists(st.integers(1, len(data) - 1), max_size=12, unique=True).map(sorted)
    whole: list[int] = []
    return st.one_of(st.just(whole), cuts, st.just(list(range(1, len(data))))).map(
        lambda edges: [data[a:b] for a, b in zip([0, *edges], [*edges, len(data)], strict=True)]
    )
