"""Pseudo-headers come first: one behind a regular field is malformed, though it is the only one of its name (MAL-1)."""

import pytest

from duplexcore import StatusCode
from duplexcore.testing import raw
from tests.support.bench import ClientBench, ServerBench, outcome


@pytest.mark.req("MAL-1")
@pytest.mark.parametrize("name", [":method", ":scheme", ":path", ":authority"])
def test_late_in_a_request(name: str) -> None:
    bench = ServerBench()
    fields = dict(raw.request_fields())
    late = (name, fields.pop(name))
    assert bench.feed(bench.peer.headers(1, [*fields.items(), late])) == ["RST 1 PROTOCOL_ERROR"]
    assert bench.calls() == []


@pytest.mark.req("MAL-1")
def test_late_in_an_answer() -> None:
    bench = ClientBench()
    call = bench.call()
    fields = [("content-type", "application/grpc"), (":status", "200")]
    assert bench.feed(bench.peer.headers(1, fields)) == ["RST 1 PROTOCOL_ERROR"]
    assert outcome(call).status.code is StatusCode.INTERNAL
