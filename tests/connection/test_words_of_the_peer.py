"""What a peer writes comes into texts for people escaped and cut, and secrets do not come there at all."""

from __future__ import annotations

from typing import Any

import pytest

from duplexcore import CallEnded, CallRefused, CallStarted, ClientConfig, InitialMetadata
from duplexcore.testing import raw
from tests.support.bench import ClientBench, ServerBench, heard, outcome, patient

#: Each would do something to a terminal, or to the line that comes after it in a log.
NASTY = "\x1b[2J\t\x7f\x85\x9b"


def harmless(text: str, *, most: int = 1_500) -> bool:
    return text.isprintable() and len(text) <= most


@pytest.mark.req("SEC-13", "GOAW-7")
@pytest.mark.parametrize("bench_class", [ClientBench, ServerBench])
def test_debug_data_of_a_goaway(bench_class: Any) -> None:
    bench = bench_class()
    bench.call(1)
    bench.give(raw.goaway(1, 11, b"\x1b[2J\r\n\0" + "\u202e".encode() + b"\xff" * 100))
    bench.engine.receive_eof(bench.now)
    closed = bench.closed()
    assert closed is not None
    assert "ENHANCE_YOUR_CALM" in closed.reason
    reasons = [event.reason for event in bench.events if hasattr(event, "reason")]
    assert len(reasons) == 2
    assert all(map(harmless, reasons))


@pytest.mark.req("SEC-13", "ERR-1", "STAT-7")
@pytest.mark.parametrize(
    "where", ["status", "content-type", "subtype", "encoding", "body", "header", "name", "status 200"]
)
@pytest.mark.parametrize("length", [1, 500])
def test_an_answer_that_can_not_be_used(where: str, length: int) -> None:
    word = NASTY * length
    bench = ClientBench(ClientConfig(max_header_list_size=16_384))
    call = bench.call()
    peer = bench.peer
    status, kind = (":status", "200"), ("content-type", "application/grpc")
    match where:
        case "status":
            bench.give(peer.headers(1, [status, kind, ("grpc-status", word)], end=True))
        case "content-type":
            bench.give(peer.headers(1, [status, ("content-type", "text/" + word)], end=True))
        case "subtype":
            bench.give(peer.headers(1, [status, ("content-type", "application/grpc+" + word)]))
        case "encoding":
            bench.give(peer.headers(1, [status, kind, ("grpc-encoding", word)]))
            bench.give(raw.data(1, raw.message(b"x", flag=1)))
        case "body":
            bench.give(peer.headers(1, [(":status", "502")]), raw.data(1, word.encode(), end=True))
        case "header":
            bench.give(peer.headers(1, [status, kind, ("X" + word, "")]))
        case "name":
            bench.give(peer.headers(1, [status, kind, ("n" * length + "-bin", "!" + word)]))
        case _:
            bench.give(peer.headers(1, [(":status", word)]))
    assert not outcome(call).status.ok
    assert harmless(outcome(call).status.message)


@pytest.mark.req("SEC-13")
@pytest.mark.parametrize(
    "field", ["grpc-timeout", "grpc-encoding", "content-type", "Upper", "x-bin", ":path", ":scheme"]
)
@pytest.mark.parametrize("length", [1, 500])
def test_a_request_that_is_refused(field: str, length: int) -> None:
    bench = ServerBench(patient(max_header_list_size=16_384))
    word = NASTY * length
    fields = [(name, value) for name, value in raw.request_fields() if name != field]
    fields.insert(0 if field.startswith(":") else len(fields), (field, word))
    if field == "content-type":
        fields[-1] = (field, "application/grpc+" + word)
    bench.give(bench.peer.headers(1, fields))
    (refused,) = [event for event in bench.drain() if isinstance(event, CallRefused)]
    assert harmless(refused.status.message, most=300)


@pytest.mark.req("MD-15")
def test_names_that_the_application_calls_sensitive_are_hidden_wherever_metadata_is_shown() -> None:
    names = frozenset({"X-Token"})
    server = ServerBench(patient(sensitive_metadata=names))
    server.give(server.peer.request(1, "/a/b", ("x-token", "secret"), ("x", "seen")))
    (call,) = [event.call for event in server.drain() if isinstance(event, CallStarted)]
    call.finish(trailing_metadata={"x-token": "secret"})
    server.pull()
    client = ClientBench(ClientConfig(sensitive_metadata=names))
    asked = client.call()
    client.give(client.peer.response(1, ("x-token", "secret")), client.peer.trailers(1, 0, ("x-token", "secret")))
    first, last = heard(asked)
    assert isinstance(first, InitialMetadata)
    assert isinstance(last, CallEnded)
    assert "seen" in repr(call.metadata)
    for shown in (call.metadata, call.ended, first, last, asked.initial_metadata, asked.ended):
        assert "x-token" in repr(shown)
        assert "secret" not in repr(shown)
