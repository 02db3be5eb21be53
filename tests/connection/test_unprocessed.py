"""A call that was answered has been processed, whatever its server says afterwards."""

from __future__ import annotations

import pytest

from duplexcore import CallEnded, Status, StatusCode
from duplexcore.testing import raw
from tests.support.bench import ClientBench


def end_of(call: object) -> CallEnded:
    ended = call.ended  # type: ignore[attr-defined]
    assert isinstance(ended, CallEnded)
    return ended


@pytest.mark.req("DUP-28", "RETRY-4")
@pytest.mark.parametrize("answered", [False, True])
def test_a_refusal_after_the_answer_has_begun_is_no_proof(answered: bool) -> None:
    bench = ClientBench()
    call = bench.engine.start_call("/a/b")
    bench.feed()
    if answered:
        bench.feed(bench.peer.response(1))
    bench.feed(raw.rst(1, 7))
    ended = end_of(call)
    assert ended.status.code is StatusCode.UNAVAILABLE
    assert ended.unprocessed is not answered


@pytest.mark.req("DUP-26", "RETRY-4")
@pytest.mark.parametrize("answered", [False, True])
def test_nor_is_a_goaway_below_a_call_that_was_answered(answered: bool) -> None:
    bench = ClientBench()
    call = bench.engine.start_call("/a/b")
    bench.feed()
    if answered:
        bench.feed(bench.peer.response(1))
    bench.feed(raw.goaway(0))
    assert end_of(call).status == Status(StatusCode.UNAVAILABLE, end_of(call).status.message)
    assert end_of(call).unprocessed is not answered
