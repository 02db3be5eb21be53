"""What a server makes of a request, and what leaves as its answer, against rules that are written down a second time
(DUP, HDR, STAT, CANC)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import CallEnded, HalfClosed, LocalProtocolError, Message, Origin, Status, StatusCode
from duplexcore.connection.events import CallStarted, PeerWarning
from duplexcore.testing import raw
from tests.support.bench import ServerBench, heard, patient

CANCELLED, UNIMPLEMENTED, INTERNAL = 1, 12, 13
INTERNAL_ERROR = 2


@dataclass
class Model:
    """The call as its handler sees it, and the frames that answer."""

    single: bool
    wire: bytes = b""
    half_closed: bool = False
    in_order: bool = False
    headers: bool = False
    end: tuple[int, Origin] | None = None
    frames: list[str] = field(default_factory=list)

    @property
    def messages(self) -> list[bytes]:
        found, rest = [], self.wire
        while len(rest) >= 5 and len(rest) >= 5 + rest[4] + 256 * rest[3]:
            size = 5 + rest[4] + 256 * rest[3]
            found.append(rest[5:size])
            rest = rest[size:]
        return found

    def ends(self, code: int, origin: Origin) -> None:
        """With trailers; a client that has not half-closed is told to stop (RFC 9113 section 8.1)."""
        self.frames.append(f"{'trailers' if self.headers else 'only'} {code}")
        self.frames += [] if self.half_closed else ["RST 0"]
        self.end = code, origin

    def data(self, payload: bytes) -> None:
        self.wire += payload
        if self.single and len(self.messages) > 1:
            self.ends(UNIMPLEMENTED, Origin.LIBRARY)

    def half_close(self) -> None:
        self.half_closed = True
        if self.end is None:
            if len(self.wire) > sum(5 + len(one) for one in self.messages):
                self.ends(INTERNAL, Origin.LIBRARY)
            elif self.single and not self.messages:
                self.ends(UNIMPLEMENTED, Origin.LIBRARY)
            else:
                self.in_order = True

    def events(self) -> list[object]:
        """What the handler finds, if it takes all of it at the end."""
        shown = self.messages if self.in_order or not self.single else ()
        return [*shown, *(["half-close"] if self.in_order else ()), *([self.end] if self.end else ())]


PEER = st.one_of(
    st.tuples(
        st.just("data"),
        st.sampled_from((raw.message(), raw.message(b"a"), raw.message(b"a") * 2, raw.message(b"b" * 900)[:-1])),
        st.booleans(),
    ),
    st.tuples(st.just("end")),
    st.tuples(st.just("trailers")),
    st.tuples(st.just("again"), st.booleans()),
    st.tuples(st.just("reset"), st.sampled_from((0, 8, 99))),
)
OWN = st.one_of(
    st.tuples(st.just("initial")),
    st.tuples(st.just("message"), st.sampled_from((b"", b"c", b"d" * 3_000))),
    st.tuples(st.just("finish"), st.sampled_from((0, 0, 5, 16)), st.sampled_from(("", "because"))),
    st.tuples(st.just("abort")),
)


def shown(bench: ServerBench) -> list[str]:
    """The frames of calls, in the words of the model; the payloads of DATA in one."""
    found: list[str] = []
    for frame in bench.pull():
        if frame.type == raw.HEADERS and not frame.end:
            assert (frame.field(b":status"), frame.field(b"grpc-status")) == (b"200", None)
            found.append("headers")
        elif frame.type == raw.HEADERS:
            kind = "trailers" if frame.field(b":status") is None else "only"
            found.append(f"{kind} {int(frame.field(b'grpc-status') or b'-1')}")
        elif frame.type == raw.RST:
            found.append(f"RST {frame.code}")
        elif frame.type == raw.DATA:
            assert not frame.end
            found.append("DATA " + frame.payload.hex())
    return found


@pytest.mark.req("DUP-34", "HDR-7", "HDR-16", "STAT-2", "STAT-14")
@given(
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.lists(st.one_of(PEER, PEER, OWN, OWN), max_size=7),
    st.sampled_from(("native", "h2")),
)
@settings(max_examples=120, database=None)
def test_a_call_goes_as_the_rules_say(single: bool, at_once: bool, te: bool, steps: list[Any], http2: Any) -> None:
    bench, model = ServerBench(patient(http2=http2)), Model(single)
    fields = [one for one in raw.request_fields() if te or one[0] != "te"]
    bench.give(bench.peer.headers(1, fields, end=at_once))
    events = bench.drain()
    assert [isinstance(one, PeerWarning) for one in events] == [False] * te + [True] * (not te) + [False] * (
        len(events) - 1
    )
    (call,) = [one.call for one in events if isinstance(one, CallStarted)]
    if single:
        call.expect_single_request()
    if at_once:
        model.half_close()
    assert shown(bench) == model.frames
    finished = False
    for step, *what in steps:
        over = model.end is not None
        model.frames = []
        if step in ("data", "end", "trailers", "again", "reset"):
            if model.half_closed or over:
                continue
            if step == "data":
                if len(model.wire) > sum(5 + len(one) for one in model.messages):
                    continue
                bench.give(raw.data(1, what[0], end=what[1]))
                model.data(what[0])
                if what[1]:
                    model.frames = [one for one in model.frames if one != "RST 0"]
                    model.half_close()
            elif step == "end":
                bench.give(raw.data(1, b"", end=True))
                model.half_close()
            elif step == "trailers":
                bench.give(bench.peer.headers(1, [("x-a", "1")], end=True))
                model.half_close()
            elif step == "again":
                bench.give(bench.peer.headers(1, raw.request_fields() if what[0] else [("x-a", "1")]))
                # A second request in a stream is malformed for HTTP/2, other headers for gRPC.
                model.frames, model.end = ["RST 1"], (CANCELLED if what[0] else INTERNAL, Origin.LIBRARY)
            else:
                bench.give(raw.rst(1, what[0]))
                model.end = CANCELLED, Origin.PEER
        elif step == "initial":
            if model.headers and not over:
                with pytest.raises(LocalProtocolError):
                    call.send_initial_metadata()
            else:
                call.send_initial_metadata()
                model.frames += [] if over else ["headers"]
                model.headers = model.headers or not over
        elif step == "message":
            assert call.send_message(what[0]) is not over
            if not over:
                model.frames += [] if model.headers else ["headers"]
                model.frames.append("DATA " + raw.message(what[0]).hex())
                model.headers = True
        elif step == "abort":
            call.abort()
            if not over:
                model.ends(CANCELLED, Origin.LOCAL)
        elif not finished:
            call.finish(Status(StatusCode(what[0]), what[1]))
            finished = True
            if not over:
                model.ends(what[0], Origin.LOCAL)
                model.wire, model.in_order = b"", False  # unread requests are dropped
        assert shown(bench) == model.frames
        assert bench.engine.open_calls == (not over and model.end is None)
    found: list[object] = []
    for event in heard(call):
        match event:
            case Message(payload):
                found.append(payload)
            case HalfClosed():
                found.append("half-close")
            case CallEnded(status, _, origin):
                found.append((int(status.code), origin))
                assert ("the peer reset the stream with " in status.message) is (origin is Origin.PEER)
            case _:
                raise AssertionError(event)
    assert found == model.events()
    assert bench.closed() is None


def size_of(fields: list[tuple[str, str]]) -> int:
    """As SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 section 6.5.2)."""
    return sum(len(name) + len(value) + 32 for name, value in fields)


HEAD = [(":status", "200"), ("content-type", "application/grpc")]


def ways(
    status: StatusCode, text: str, metadata: list[tuple[str, str]], front: list[tuple[str, str]]
) -> Iterator[list[tuple[str, str]]]:
    """What is tried, one after the other, until it fits."""
    for message, extra in ((text, metadata), (text[:100], []), ("", [])):
        yield [*front, ("grpc-status", str(int(status))), *([("grpc-message", message)] if message else []), *extra]


@pytest.mark.req("MD-12")
@given(
    st.sampled_from((0, 1, 2, 3)),
    st.sampled_from((-1, 0, 0, 1)),
    st.sampled_from((0, 1, 99, 100, 101, 200)),
    st.sampled_from((0, 1, 150)),
    st.booleans(),
    st.sampled_from((0, 5, 16)),
    st.sampled_from(("native", "h2")),
)
@settings(max_examples=120, database=None)
def test_what_a_client_does_not_take_is_said_shorter(
    which: int, off: int, words: int, more: int, begun: bool, code: int, http2: Any
) -> None:
    """Trailers lose their metadata, then all but 100 characters of the message, then that; then there is a reset. The
    client's limit is about the size of one of these, or of the initial metadata."""
    metadata = [("x", "v" * more)] if more else []
    status, text = StatusCode(code), "w" * words
    opening = [*HEAD, ("grpc-accept-encoding", "identity,gzip,deflate")]
    limit = size_of([*ways(status, text, metadata, [] if begun else HEAD), opening][which]) + off
    bench = ServerBench(patient(http2=http2), settings={raw.MAX_LIST: limit})
    call = bench.call(1, "/a/b", end=True)
    spoilt = begun and size_of(opening) > limit
    if begun:
        call.send_initial_metadata()
        assert spoilt or shown(bench) == ["headers"]
    if spoilt:  # its end is told in place of its beginning
        status, text, metadata = StatusCode.INTERNAL, "the initial metadata is above the client's limit", []
    else:
        call.finish(Status(status, text), metadata)
    sent = [frame.fields or frame.code for frame in bench.pull()]
    front = [] if begun and not spoilt else HEAD
    tries = [fields for fields in ways(status, text, metadata, front) if size_of(fields) <= limit]
    assert sent == [tuple((name.encode(), value.encode()) for name, value in tries[0]) if tries else INTERNAL_ERROR]
    assert call.ended is not None
    assert call.ended.status == (
        Status(status, text)
        if spoilt or tries
        else Status(StatusCode.INTERNAL, "the trailers are above the client's limit")
    )
