"""Cases for the properties of single values: what `duplexcore.testing.sim.properties.CLAIMS` are checked with."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ..sim.properties.codecs import FLOODS, FORMS, UNITS
from .values import messages, metadata, statuses, timeouts

__all__ = ["CASES"]

#: Headers that are timeouts, nearly so, or not at all.
TIMEOUT_HEADERS = st.one_of(
    st.tuples(st.from_regex(rb"[0-9]{1,9}", fullmatch=True), st.sampled_from((*UNITS, b"s", b"h", b""))).map(b"".join),
    st.binary(max_size=10),
)
STATUS_CODES = st.one_of(st.integers(0, 20).map(b"%d".__mod__), st.binary(max_size=4), st.just(b"0000000003"))
ESCAPES = st.one_of(
    st.binary(max_size=20), st.lists(st.sampled_from((b"%", b"%4", b"%41", b"%zz", b"a"))).map(b"".join)
)
LIMIT = 1_000

#: The number of a property -> the arguments of its ``check``.
CASES: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "P30": st.tuples(st.sampled_from(sorted(FLOODS)), st.integers(0, 60)),
    "P36": st.tuples(timeouts(), TIMEOUT_HEADERS),
    "P45": st.tuples(metadata(), st.sampled_from(FORMS)),
    "P46": st.tuples(statuses(), STATUS_CODES, ESCAPES),
    "P47": st.tuples(messages(LIMIT), st.sampled_from(("gzip", "deflate")), st.sampled_from((0, 1, LIMIT))),
}
