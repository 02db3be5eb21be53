"""What a client makes of an answer, whatever frames it consists of, against rules that are written down a second time
(DUP, ERR, STAT, FRM-8)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from duplexcore import ClientConfig, InitialMetadata, Message, Origin
from duplexcore.testing import raw
from tests.support.bench import CHAT, ClientBench, heard, outcome

#: What HTTP statuses and error codes mean (gRPC's http-grpc-status-mapping.md and PROTOCOL-HTTP2.md); others: UNKNOWN,
#: INTERNAL.
OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
OF_RESET = {7: 14, 8: 1, 11: 8, 12: 7}
OK, UNKNOWN, UNIMPLEMENTED, INTERNAL = 0, 2, 12, 13
NO_ERROR, PROTOCOL_ERROR, CANCEL = 0, 1, 8


@dataclass(frozen=True)
class End:
    """How the call must end; ``texts``: what stands in its message; ``said``: what the stream is reset with, unless
    both sides have ended it; None: it is not reset."""

    code: int
    texts: tuple[str, ...]
    said: int | None
    origin: Origin = Origin.LIBRARY


@dataclass
class Model:
    """What has been heard."""

    single: bool
    state: str = "idle"
    body: bytes = b""
    wire: bytes = b""
    foreign: tuple[int, str] = (0, "")
    peer_ended: bool = False
    end: End | None = None
    events: list[object] = field(default_factory=list)

    @property
    def messages(self) -> list[bytes]:
        found, rest = [], self.wire
        while len(rest) >= 5 and len(rest) >= 5 + int.from_bytes(rest[1:5], "big"):
            size = 5 + int.from_bytes(rest[1:5], "big")
            found.append(rest[5:size])
            rest = rest[size:]
        return found

    @property
    def is_cut(self) -> bool:
        return len(self.wire) > sum(5 + len(one) for one in self.messages)

    def judged(self, http: int, content_type: str | None) -> tuple[int, str] | None:
        """Whether such headers are not gRPC's: what they mean then."""
        if http != 200:
            return OF_HTTP.get(http, UNKNOWN), str(http)
        if content_type is None or not re.match(r"application/grpc(\+proto)?$", content_type):
            return UNKNOWN, content_type or "no content-type"
        return None

    def headers(self, http: int, content_type: str | None) -> None:
        if self.state != "idle":
            self.end = End(INTERNAL, (), PROTOCOL_ERROR)
        elif foreign := self.judged(http, content_type):
            self.state, self.foreign = "foreign", foreign
        else:
            self.state = "open"
            self.events.append("metadata")

    def data(self, payload: bytes) -> None:
        if self.state == "idle":
            self.end = End(INTERNAL, ("before headers",), PROTOCOL_ERROR)
        elif self.state == "foreign":
            self.body += payload
            if len(self.body) >= 1024:
                self.end_foreign()
        else:
            self.wire += payload
            if self.single and len(self.messages) > 1:
                self.end = End(UNIMPLEMENTED, (), CANCEL)

    def end_foreign(self) -> None:
        code, text = self.foreign
        self.end = End(code, (text, "Z" * min(len(self.body), 1024)), CANCEL, Origin.PEER)

    def ended(self) -> None:
        """An END_STREAM without headers; behind a fault it comes too late to spare the stream its reset."""
        if self.end is None:
            self.peer_ended = True
            if self.state == "foreign":
                self.end_foreign()
            else:
                text = "without headers" if self.state == "idle" else "without trailers"
                self.end = End(INTERNAL, (text,), NO_ERROR)

    def last_headers(self, http: int | None, content_type: str | None, status: int | None, message: str) -> None:
        texts: tuple[str, ...]
        self.peer_ended = True
        foreign = self.foreign if self.state == "foreign" else None
        if self.state == "idle" and status is None:
            foreign = self.judged(http or 0, content_type)
        if status is not None:
            code, texts = status, (message,)
        else:
            code, text = foreign or (UNKNOWN, "without a grpc-status")
            texts = (text, "Z" * len(self.body))
        origin = Origin.PEER
        if code == OK and self.is_cut:
            code, texts, origin = INTERNAL, ("middle of a message",), Origin.LIBRARY
        elif code == OK and self.single and not self.messages:
            code, texts, origin = UNIMPLEMENTED, (), Origin.LIBRARY
        self.end = End(code, texts, NO_ERROR, origin)

    def reset(self, code: int) -> None:
        self.peer_ended = True
        self.end = End(OF_RESET.get(code, INTERNAL), (), None, Origin.PEER)

    def heard(self) -> list[object]:
        """A single response is delivered with OK alone."""
        shown = not self.single or (self.end is not None and self.end.code == OK)
        return [*self.events, *(self.messages if shown else ())]


BODIES = st.sampled_from((b"Z", b"Z" * 500, b"Z" * 1023, b"Z" * 1024, b"Z" * 1025))
MESSAGES = st.lists(st.sampled_from((b"", b"a", b"b" * 1100)), min_size=1, max_size=2).map(
    lambda them: b"".join(map(raw.message, them))
)
CUT = st.just(raw.message(b"cut off")[:-1])
STATUSES = st.sampled_from((None, 0, 0, 0, 5, 16))
TYPES = st.sampled_from(("application/grpc", "application/grpc", "application/grpc+proto", "text/html", None))
HTTP = st.sampled_from((200, 200, 200, 204, 400, 401, 403, 404, 429, 500, 502, 503, 504))
STEPS = st.one_of(
    st.tuples(st.just("headers"), HTTP, TYPES),
    st.tuples(st.just("headers"), st.just(200), st.just("application/grpc")),
    st.tuples(st.just("data"), st.one_of(MESSAGES, MESSAGES, CUT, BODIES), st.booleans()),
    st.tuples(st.just("last"), STATUSES, st.sampled_from(("", "so it is"))),
    st.tuples(st.just("only"), HTTP, TYPES, STATUSES),
    st.tuples(st.just("end")),
    st.tuples(st.just("reset"), st.sampled_from((0, 1, 2, 7, 8, 11, 12, 99))),
)
BEGINNINGS: list[list[Any]] = [
    [],
    [("headers", 200, "application/grpc")],
    [("headers", 404, "text/html")],
    [("headers", 200, "text/html")],
]
ANSWERS = st.tuples(st.sampled_from(BEGINNINGS), st.lists(STEPS, max_size=5)).map(lambda parts: parts[0] + parts[1])


def bodies_fit(model: Model, payload: bytes) -> bool:
    """Messages where messages belong, and other bytes where not: what a wrong flag means is told elsewhere."""
    return (model.state == "foreign") is (payload[:1] == b"Z") and not (model.is_cut and model.state == "open")


@pytest.mark.req("DUP-3", "DUP-19", "DUP-21", "DUP-22", "ERR-1", "ERR-2", "STAT-2", "STAT-15", "STAT-17", "FRM-8")
@given(ANSWERS, st.booleans(), st.booleans(), st.sampled_from(("native", "h2")), st.booleans())
@example([("headers", 200, "text/html"), ("data", b"Z" * 1025, False)], False, True, "native", False)
@example([("only", 200, "application/grpc", None)], False, True, "h2", False)
@settings(max_examples=150, database=None)
def test_an_answer_means_what_the_rules_say(
    steps: list[Any], single: bool, half_closed: bool, http2: Any, reads: bool
) -> None:
    bench = ClientBench(ClientConfig(http2=http2))
    model = Model(single)
    call = bench.engine.start_call(CHAT, single_response=single)
    call.send_message(b"ask")
    if half_closed:
        call.half_close()
    bench.pull()
    got: list[Any] = []
    for step, *what in steps:
        if step == "data" and model.state != "idle" and not bodies_fit(model, what[0]):
            continue
        if step == "headers":
            http, content_type = what
            fields = [(":status", str(http)), *([("content-type", content_type)] if content_type else [])]
            bench.give(bench.peer.headers(1, fields))
            model.headers(http, content_type)
        elif step == "data":
            bench.give(raw.data(1, what[0], end=what[1]))
            model.data(what[0])
            if what[1]:
                model.ended()
        elif step == "end":
            bench.give(raw.data(1, b"", end=True))
            model.ended()
        elif step == "reset":
            bench.give(raw.rst(1, what[0]))
            model.reset(what[0])
        else:
            http, content_type, status, message = (
                (None, None, *what) if step == "last" else (what[0], what[1], what[2], "")
            )
            if (step == "last") is (model.state == "idle"):
                continue
            fields = [] if http is None else [(":status", str(http))]
            fields += [("content-type", content_type)] if content_type else []
            fields += [] if status is None else [("grpc-status", str(status))]
            fields += [("grpc-message", message)] if message else []
            if not fields:
                fields = [("x-nothing", "")]
            bench.give(bench.peer.headers(1, fields, end=True))
            model.last_headers(http, content_type, status, message)
        if reads or model.end is not None:
            got += heard(call)
        if model.end is not None:
            break
        assert call.ended is None
        assert bench.pull() == [] or reads or call.ended is None
    events = ["metadata" if isinstance(one, InitialMetadata) else one for one in got]
    events = [one.payload if isinstance(one, Message) else one for one in events]
    if model.end is None:
        if reads:
            assert events == model.heard()
        return
    ended = outcome(call)
    assert events.pop() == ended
    assert events == model.heard()
    assert ended.status.code == model.end.code, ended
    assert ended.origin is model.end.origin
    assert all(text in ended.status.message for text in model.end.texts)
    assert ended.status.message.count("Z") == sum(text.count("Z") for text in model.end.texts)
    resets = [frame.code for frame in bench.pull() if frame.type == raw.RST]
    over = model.end.said is None or (model.peer_ended and half_closed)
    assert resets == ([] if over else [model.end.said])
    assert bench.engine.open_calls == 0
    assert bench.closed() is None


@pytest.mark.req("CANC-1", "DUP-3")
@given(
    st.booleans(),
    st.lists(st.sampled_from(("response", "data", "trailers", "end", "reset")), max_size=4),
    st.sampled_from(("native", "h2")),
)
@settings(max_examples=80, database=None)
def test_what_comes_behind_a_cancellation_changes_nothing(half_closed: bool, late: list[str], http2: Any) -> None:
    """But that a stream that both sides have ended needs no reset."""
    bench = ClientBench(ClientConfig(http2=http2))
    call = bench.call(1, CHAT, b"ask", half_close=half_closed)
    bench.give(bench.peer.response(1))
    call.cancel()
    over = ended = False
    for what in late:
        if over or ended:
            break
        bench.give(
            {
                "response": lambda: bench.peer.headers(1, [("x", "1")]),
                "data": lambda: raw.data(1, raw.message(b"late")),
                "trailers": lambda: bench.peer.trailers(1),
                "end": lambda: raw.data(1, end=True),
                "reset": lambda: raw.rst(1),
            }[what]()
        )
        ended = what in ("trailers", "end")
        over = what == "reset"
        assert bench.engine.open_calls == (not over and not (ended and half_closed))
    assert [frame.brief for frame in bench.pull()] == ([] if over or (ended and half_closed) else ["RST 1 CANCEL"])
    assert outcome(call).status.code == 1
    assert bench.engine.open_calls == 0
    assert bench.closed() is None
