"""Frames that are written are read again, the preface passed over."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore.http2.frames import PREFACE, read_frames, write_frame
from duplexcore.testing import raw

PAYLOADS = st.one_of(st.binary(max_size=600), st.sampled_from((65_535, 65_536, 200_001)).map(bytes))
FRAMES = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**31 - 1), PAYLOADS)


@given(st.lists(FRAMES, max_size=4), st.booleans())
@settings(max_examples=60, database=None)
def test_frames_come_back(parts: list[tuple[int, int, int, bytes]], preface: bool) -> None:
    wire = b"".join(write_frame(*part) for part in parts)
    assert wire == b"".join(raw.frame(type_, flags, stream, payload) for type_, flags, stream, payload in parts)
    read = read_frames((PREFACE if preface else b"") + wire)
    assert [(one.type, one.flags, one.stream_id, one.payload) for one in read] == parts
    assert b"".join(map(bytes, read)) == wire
