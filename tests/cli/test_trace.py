"""From frames to arrows, and from arrows to drawings: two engines in memory, one trace."""

from __future__ import annotations

import io
import itertools

import pytest

from duplexcore import (
    CallStarted,
    ClientConnection,
    ServerConnection,
    Status,
)
from duplexcore.cli.console import Console
from duplexcore.cli.conversation import (
    ANSWERS,
    CONVERSE,
    LAST,
    METADATA,
    QUESTION,
    TRAILING_METADATA,
    WELCOME,
    Outcome,
    name_of,
    verify,
)
from duplexcore.cli.live import LiveDrawing
from duplexcore.cli.mermaid import mermaid
from duplexcore.cli.trace import Kind, Lane, Side, Trace

NAMES = {Side.CLIENT: "duplexcore", Side.SERVER: "duplexcore"}


class Memory:
    """Client and server without a transport, seen by the server's observer."""

    def __init__(self) -> None:
        ticks = itertools.count()
        self.trace = Trace(name_of, clock=lambda: next(ticks) / 1000)
        self.client = ClientConnection(now=0.0)
        self.server = ServerConnection(now=0.0)
        self.server.observer = self.trace.observer(Side.SERVER)
        self.carry()

    def carry(self) -> None:
        moved = True
        while moved:
            moved = False
            for source, target in ((self.client, self.server), (self.server, self.client)):
                while data := source.data_to_send(now=0.0):
                    self.trace.flush()
                    target.receive_data(data, now=0.0)
                    self.trace.flush()
                    moved = True

    def open(self) -> None:
        self.asked = self.client.start_call(CONVERSE.path, METADATA)
        self.carry()
        events = iter(self.server.next_event, None)
        self.answered = next(event.call for event in events if isinstance(event, CallStarted))

    def request(self) -> None:
        self.asked.send_message(QUESTION.SerializeToString())
        self.carry()

    def respond(self, *messages: object, carry: bool = True) -> None:
        for message in messages:
            self.answered.send_message(message.SerializeToString())  # type: ignore[attr-defined]
        if carry:
            self.carry()

    def finish(self) -> None:
        self.answered.finish(Status(), TRAILING_METADATA)
        self.carry()

    @property
    def labels(self) -> list[str]:
        return [arrow.label for arrow in self.trace.arrows if arrow.kind is not Kind.CONNECTION]


def held() -> Memory:
    memory = Memory()
    memory.open()
    memory.respond(WELCOME)
    memory.request()
    memory.respond(*ANSWERS)
    memory.respond(LAST, carry=False)
    memory.finish()
    return memory


GOOD = Outcome([WELCOME, *ANSWERS, LAST], "OK", dict(TRAILING_METADATA))


def test_each_message_is_an_arrow_and_the_last_comes_with_the_status() -> None:
    memory = held()
    assert memory.labels == [
        "method + metadata",
        "response 1",
        "request 1",
        "response 2",
        "response 3",
        "response 4 + status + trailing metadata",
    ]
    arrows = [arrow for arrow in memory.trace.arrows if arrow.kind is not Kind.CONNECTION]
    assert [[frame.name for frame in arrow.frames] for arrow in arrows] == [
        ["HEADERS"],
        ["HEADERS", "DATA"],
        ["DATA"],
        ["DATA"],
        ["DATA"],
        ["DATA", "HEADERS"],
    ]
    assert [arrow.source for arrow in arrows[:2]] == [Lane.CLIENT_ENGINE, Lane.SERVER_ENGINE]
    # The two answers were written in one go, so they share a frame, and that is said.
    assert arrows[3].frames == arrows[4].frames
    assert [arrow.shares for arrow in arrows] == [False, False, False, False, True, False]


def test_frames_tell_what_is_in_them() -> None:
    frames = {frame.number: frame for arrow in held().trace.arrows for frame in arrow.frames}
    assert list(frames) == list(range(1, len(frames) + 1))
    assert all(frame.size == len(frame.raw) for frame in frames.values())
    text = "\n".join(line for frame in frames.values() for line in frame.details)
    assert f":path: {CONVERSE.path}" in text
    assert "grpc-status: 0" in text
    assert "tone: friendly" in text
    assert "MAX_CONCURRENT_STREAMS = 1000" in text


def test_times_never_go_back_and_numbers_count() -> None:
    arrows = held().trace.arrows
    assert [arrow.number for arrow in arrows] == list(range(1, len(arrows) + 1))
    assert [arrow.time for arrow in arrows] == sorted(arrow.time for arrow in arrows)


@pytest.mark.req("D-11", "D-12", "D-13", "D-14")
def test_the_conversation_as_pictured_passes() -> None:
    checks = verify(held().trace, GOOD, one_go=True)
    assert [check.text for check in checks if not check.held] == []
    assert len(checks) == 9


def failing(memory: Memory, outcome: Outcome = GOOD) -> set[str]:
    return {check.text for check in verify(memory.trace, outcome, one_go=True) if not check.held}


def test_a_request_before_the_first_response_fails() -> None:
    memory = Memory()
    memory.open()
    memory.request()
    memory.respond(WELCOME)
    memory.respond(*ANSWERS)
    memory.respond(LAST, carry=False)
    memory.finish()
    assert failing(memory) == {"response 1 came before any request"}


def test_a_status_that_leaves_later_fails() -> None:
    memory = Memory()
    memory.open()
    memory.respond(WELCOME)
    memory.request()
    memory.respond(*ANSWERS)
    memory.respond(LAST)
    memory.finish()
    assert failing(memory) == {"the last response, status and trailing metadata left in one go"}


def test_a_half_close_fails() -> None:
    memory = Memory()
    memory.open()
    memory.respond(WELCOME)
    memory.request()
    memory.asked.half_close()
    memory.carry()
    memory.respond(*ANSWERS)
    memory.respond(LAST, carry=False)
    memory.finish()
    assert failing(memory) == {"the client never half-closed"}


def test_an_end_without_the_conversation_fails() -> None:
    memory = Memory()
    memory.open()
    memory.finish()
    wrong = failing(memory, Outcome([], "OK", dict(TRAILING_METADATA)))
    assert "one request got two answers" in wrong
    assert "every response arrived as it was sent" in wrong
    assert "the client opened the call with method and metadata" not in wrong


def test_nothing_at_all_fails() -> None:
    assert len(failing(Memory(), Outcome())) == 9


def test_steps_of_applications_stand_between_what_they_cause() -> None:
    memory = Memory()
    memory.trace.says(Side.CLIENT, "open")
    memory.open()
    memory.trace.hears(Side.SERVER, "opened")
    assert memory.labels == ["open", "method + metadata", "opened"]
    says, hears = memory.trace.arrows[-3], memory.trace.arrows[-1]
    assert (says.source, says.target) == (Lane.CLIENT_APP, Lane.CLIENT_ENGINE)
    assert (hears.source, hears.target) == (Lane.SERVER_ENGINE, Lane.SERVER_APP)


def test_mermaid_text() -> None:
    trace = held().trace
    lines = mermaid(trace, NAMES).splitlines()
    assert lines[0] == "sequenceDiagram"
    assert lines[1:5] == [
        "    participant clientApp as client application",
        "    participant client as client engine<br/>duplexcore",
        "    participant server as server engine<br/>duplexcore",
        "    participant serverApp as server application",
    ]
    assert len(lines) == 5 + len(trace.arrows)
    text = "\n".join(lines)
    assert "client->>server: method + metadata<br/>" in text
    assert "server->>client: response 4 + status + trailing metadata<br/>" in text
    assert "client-->>server: SETTINGS + WINDOW_UPDATE<br/>" in text
    # Whatever Mermaid would read as its own is gone from the texts.
    for line in lines[5:]:
        _, _, said = line.partition(": ")
        assert ";" not in said.replace("#35;", "").replace("#59;", "").replace("#58;", "")
        assert ":" not in said


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_live_drawing_keeps_its_lanes(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    drawing = LiveDrawing(console, NAMES)
    drawing.header()
    for arrow in held().trace.arrows:
        drawing.draw(arrow)
    head, names, *rows = out.getvalue().splitlines()
    assert "client application" in head
    assert "server application" in head
    assert names.split() == ["duplexcore", "duplexcore"]
    assert len({len(row) for row in rows}) == 1
    assert max(map(len, rows)) <= max(width, 72)
    text = "\n".join(rows)
    assert "response 1" in text
    assert "HEADERS" in text
    assert "in the same DATA" in text
    assert " ms " in text
