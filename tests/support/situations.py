"""One situation of a duplex call, played on an engine that faces raw frames: in each order, whole and in pieces.

A `Situation` has two scripts, lines of words. What the application does: ``start`` a call; ``a`` sends that message
(``a*30``: thirty of it) once the call takes it; ``half-close``, ``cancel``, ``headers``, ``abort``; the name of a
status finishes; ``deadline`` lets ten seconds pass, and calls of a client that has the word in its script have five;
``shutdown``, and ``shutdown:5`` with so many seconds of grace; ``?a`` waits until that was heard, ``?HEADERS`` until
such a frame has left.

What the peer sends, a word a read and ``&`` between frames of one read: see `FRAMES`; ``?RST`` waits until the engine
has written such a frame. What the call hears and what leaves are lines of words as well: ``headers a OK``,
``HEADERS DATA/ES RST:CANCEL``.

A bystander, another call on the same connection, gets a message with each word of the peer: whatever happens to the
one call must not cost the other anything.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from duplexcore import (
    CallEnded,
    CallReadable,
    CallStarted,
    ClientCall,
    ClientConfig,
    ConnectionState,
    ErrorCode,
    Origin,
    ServerCall,
    Status,
    StatusCode,
)
from duplexcore.testing import raw
from duplexcore.testing.raw import RawPeer

from .bench import CHAT, ClientBench, ServerBench, patient
from .calls import brief, check_grammar, history

#: The stream of the call that a situation is about, and that of the bystander.
STREAM, BYSTANDER = 3, 1
#: Ten seconds pass; a deadline is five seconds away.
PASSES, AWAY = 10.0, 5.0

PART = b"\0\0\0\0\7abc"  # a message that does not come whole

#: word -> the frame that a peer makes of it; ``WORD:argument`` where there is one.
FRAMES: dict[str, Callable[[RawPeer, str], bytes]] = {
    # a server
    "headers": lambda peer, _: peer.response(STREAM, ("x-from", "the-server")),
    "again": lambda peer, _: peer.headers(STREAM, [("x-again", "1")]),
    "bare": lambda peer, _: peer.headers(STREAM, [("x-no", "status")], end=True),
    "only": lambda peer, status: peer.trailers_only(STREAM, StatusCode[status]),
    # a client
    "request": lambda peer, timeout: peer.request(STREAM, CHAT, *([("grpc-timeout", timeout)] if timeout else [])),
    "request/ES": lambda peer, _: peer.request(STREAM, end=True),
    # both
    "part": lambda peer, _: raw.data(STREAM, PART),
    "end": lambda peer, _: raw.data(STREAM, end=True),
    "rst": lambda peer, code: raw.rst(STREAM, ErrorCode[code]),
    "window": lambda peer, size: raw.window_update(STREAM, int(size)),
    "priority": lambda peer, _: raw.priority(STREAM),
    "pong": lambda peer, _: raw.ping(b"draining", ack=True),
    "goaway": lambda peer, last: raw.goaway(int(last), ErrorCode.ENHANCE_YOUR_CALM, b"farewell"),
}


@dataclass(frozen=True, kw_only=True)
class Situation:
    """One row of the table. ``hears`` and ``leaves``: alternatives, with `` | `` between them, each of which some order
    must lead to and besides which none may; those of ``leaves`` are patterns."""

    id: str
    what: str
    side: type[ClientBench | ServerBench]
    app: str = ""
    peer: str = ""
    hears: str
    leaves: str
    #: What else may leave when frames that the row has in one read come apart.
    apart: str = ""
    #: What becomes of the connection: it "survives" and answers a good call, it "drains", or it is "closed".
    then: str = "survives"
    #: What the status message says of it.
    says: str = ""
    #: The peer's application has never seen the call; None: that depends on the order.
    unprocessed: bool | None = False
    #: Who ended it, if that is the point.
    origin: Origin | None = None
    #: The peer's SETTINGS; the method answers with one message; nobody reads before all is over.
    settings: dict[int, int] = field(default_factory=dict)
    single_response: bool = False
    reads: bool = True

    def __str__(self) -> str:
        return f"{self.id}, {'client' if self.side is ClientBench else 'server'}: {self.what}"

    @property
    def alternatives(self) -> set[str]:
        return set(self.hears.split(" | "))

    @property
    def patterns(self) -> list[str]:
        return self.leaves.split(" | ")


class Play:
    """One run of a situation. ``prompt``: bytes are pulled and events read after each step, and whenever a piece of a
    frame has come; otherwise only when nothing else can happen, so that the peer's words come in one read.

    ``cut``: that word of the peer comes in two pieces, cut before that byte; the first as early as it can. ``step``:
    all words come in pieces of so many bytes.
    """

    def __init__(
        self, situation: Situation, *, prompt: bool = True, cut: tuple[int, int] | None = None, step: int | None = None
    ) -> None:
        self.row = situation
        self.prompt, self.cut, self.step = prompt, cut, step
        bench, self.bystander = _stage(situation)
        self.bench: ClientBench | ServerBench = bench
        self.engine: Any = bench.engine
        self.app, self.peer = situation.app.split(), situation.peer.split()
        self.call: Any = None
        self.heard: list[str] = []
        self.events: list[Any] = []
        #: What has left on the call's stream, and how much of it the peer has waited for.
        self.left: list[str] = []
        self.awaited = 0
        #: What the bystander was sent, and has heard.
        self.beside: list[bytes] = []
        self.beside_heard: list[bytes] = []
        #: The sizes of the words that the peer has sent, in bytes; without what the bystander got with each.
        self.sent: list[int] = []
        self.coming = b""  # what is missing of a word that has come in part
        self.unread = b""  # words that come in one read
        self.reset_at: int | None = None  # how much had left when the peer's reset came
        #: The order in which things happened, and what else could have begun with the same steps.
        self.steps: list[str] = []
        self.other_orders: list[list[str]] = []
        self.drive()

    # --- what can happen, and does --------------------------------------------------------------------------------

    def choices(self) -> list[str]:
        found = []
        while self.app and self.app[0].startswith("?") and self.app[0][1:] in (*self.heard, *self.left):
            self.app.pop(0)
        if self.app and self._can_speak(self.app[0]):
            found.append("app")
        while self.peer and self.peer[0].startswith("?") and self.peer[0][1:] in self.left[self.awaited :]:
            self.awaited = self.left.index(self.peer.pop(0)[1:], self.awaited) + 1
        if self.peer and not self.peer[0].startswith("?"):
            found.append("peer")
        return found

    def _can_speak(self, word: str) -> bool:
        if word.startswith("?"):
            return False
        if word == "start" or word.startswith("shutdown"):
            return True
        if self.call is None:
            return False
        return word.partition("*")[0] not in MESSAGES or self.call.writable or self.call.ended is not None

    def play(self, order: Sequence[str] = ()) -> Play:
        """Goes on to the end, in ``order`` as far as it says."""
        while choices := self.choices() or self._choices_after_driving():
            if "peer" in choices and self.cut is not None and self.cut[0] == len(self.sent):
                self._first_piece(self.cut[1])
                choices = self.choices()
            wanted = order[len(self.steps)] if len(self.steps) < len(order) else None
            chosen = wanted if wanted in choices else choices[0]
            if wanted is None:
                self.other_orders += [[*self.steps, other] for other in choices if other != chosen]
            self.steps.append(chosen)
            self.do(chosen)
        return self

    def _choices_after_driving(self) -> list[str]:
        self.drive()
        return self.choices()

    def do(self, choice: str) -> None:
        if choice == "app":
            self._arrive()
            self._speak(self.app.pop(0))
        else:
            self._send(self.peer.pop(0))
        if self.prompt:
            self.drive()

    # --- the application ------------------------------------------------------------------------------------------

    def _speak(self, word: str) -> None:
        call, now = self.call, self.bench.now
        match word.split(":"):
            case ["start"]:
                deadline = now + AWAY if "deadline" in self.app else None
                single = self.row.single_response
                self.call = self.engine.start_call(CHAT, deadline=deadline, single_response=single)
            case ["half-close"]:
                call.half_close()
            case ["cancel"]:
                call.cancel()
            case ["abort"]:
                call.abort()
            case ["headers"]:
                call.send_initial_metadata()
            case ["deadline"]:
                self.bench.now += PASSES
            case ["shutdown", *grace]:
                self.engine.shutdown(deadline=now + float(grace[0]) if grace else None)
            case [status] if status in StatusCode.__members__:
                call.finish(Status(StatusCode[status], "why"))
            case _:
                letter, _, times = word.partition("*")
                assert call.send_message(letter.encode() * int(times or 1)) is (call.ended is None)

    # --- the peer -------------------------------------------------------------------------------------------------

    def _bytes_of(self, word: str) -> bytes:
        out = b"".join(self._frame(one) for one in word.split("&"))
        self.sent.append(len(out))
        self.beside.append(b"%d" % len(self.beside))
        return out + raw.data(BYSTANDER, raw.message(self.beside[-1]))

    def _frame(self, word: str) -> bytes:
        name, _, argument = word.partition(":")
        if name in FRAMES:
            return FRAMES[name](self.bench.peer, argument)
        if name in StatusCode.__members__:
            return self.bench.peer.trailers(STREAM, StatusCode[name], ("x-last", "1"))
        return raw.data(STREAM, raw.message(name.encode()))

    def _first_piece(self, size: int) -> None:
        if self.peer[0] not in ENDS:
            data = self._bytes_of(self.peer[0])
            self._give(data[:size])
            self.coming = data[size:]
            self.drive()

    def _send(self, word: str) -> None:
        if word in ENDS:
            self._arrive()
            if word == "eof":
                self.engine.receive_eof(self.bench.now)
            else:
                self.engine.transport_failed("the cable was cut", self.bench.now)
            return
        data, self.coming = self.coming or self._bytes_of(word), b""
        self.unread += data
        if self.prompt or "rst:" in word:
            self._arrive()
        if "rst:" in word and self.reset_at is None:
            self.reset_at = len(self.left)

    def _give(self, data: bytes) -> None:
        step = self.step or len(data)
        for at in range(0, len(data), step):
            if at:
                self.drive()
            self.bench.give(data[at : at + step])

    def _arrive(self) -> None:
        data, self.unread = self.unread, b""
        if data:
            self._give(data)

    # --- the driver -----------------------------------------------------------------------------------------------

    def drive(self) -> None:
        """Due timers, bytes, events, until there are none."""
        self._arrive()
        self.engine.handle_timeout(self.bench.now)
        while True:
            frames = self.bench.pull()
            words = [_word(frame) for frame in frames if frame.stream == STREAM or frame.type == raw.GOAWAY]
            self._check_farewell(words)
            self.left += [word for word in words if word]
            events = self.bench.drain()
            for event in events:
                if isinstance(event, CallStarted):
                    assert self.call is None
                    self.call = event.call
            if not frames and not events and not self._listen():
                return

    def _listen(self, *, at_last: bool = False) -> bool:
        """Whether anything was heard."""
        while (message := self.bystander.take_message()) is not None:
            self.beside_heard.append(message)
        if self.call is None or not (self.row.reads or at_last):
            return False
        before = len(self.events)
        while (event := self.call.next_event()) is not None:
            self.events.append(event)
            self.heard.append(brief(event))
        return len(self.events) > before

    def _check_farewell(self, words: list[str]) -> None:
        """DUP-3: a server's trailers, and the RST_STREAM(NO_ERROR) behind them, leave in one flush."""
        if isinstance(self.bench, ServerBench) and "RST:NO_ERROR" in words:
            assert words[words.index("RST:NO_ERROR") - 1] == "HEADERS/ES"

    # --- what must hold -------------------------------------------------------------------------------------------

    def check(self) -> tuple[str, str]:
        """What was heard and which pattern was met, when all is over; raises AssertionError."""
        row = self.row
        assert not self.app, f"the application still waits: {self.app}"
        assert not self.peer, f"the peer still waits: {self.peer}"
        self._listen(at_last=True)
        heard, left = " ".join(self.heard), " ".join(self.left)
        assert heard in row.alternatives, (heard, self.steps)
        apart = [row.apart] if row.apart and (self.cut or self.step) else []
        met = [pattern for pattern in (*row.patterns, *apart) if re.fullmatch(pattern, left)]
        assert met, (left, self.steps)
        self._check_end()
        self._check_reset()
        self._check_bystander()
        self._check_credit()
        getattr(self, f"_{row.then}")()
        return heard, met[0]

    def _check_end(self) -> None:
        """DUP-39: one end, last; it is announced to all who wait; nothing that is said after it changes anything."""
        call, left = self.call, self.left.copy()
        if call is None:
            return
        check_grammar(call, self.events)
        ends = [event for event in self.events if isinstance(event, CallEnded)]
        assert ends == [call.ended]
        assert self.events[-1] is call.ended
        assert call in [event.call for event in self.bench.events if isinstance(event, CallReadable)]
        assert self.row.says in call.ended.status.message
        assert self.row.unprocessed in (call.ended.unprocessed, None)
        assert self.row.origin in (call.ended.origin, None)
        assert call.send_message(b"late") is False
        if isinstance(call, ClientCall):
            call.half_close()
            call.cancel()
        else:
            call.abort()
        call.on_deadline()
        assert call.ended is self.events[-1]
        assert call.next_event() is None
        self.drive()
        assert self.left == left, "a command after the end made a frame"

    def _check_reset(self) -> None:
        """DUP-41: once the peer has reset the stream nothing of it leaves any more."""
        if self.reset_at is not None:
            assert self.left[self.reset_at :] == [word for word in self.left[self.reset_at :] if "GOAWAY" in word]

    def _check_bystander(self) -> None:
        """DUP-40: what came for another call in the same reads has been heard, in its order."""
        if self.row.then != "closed":
            assert self.bystander.ended is None
        by_us = self.row.then == "closed" and "shutdown:5" in self.row.app  # what comes after that is not read any more
        assert self.beside_heard == (self.beside[: len(self.beside_heard)] if by_us else self.beside)

    def _check_credit(self) -> None:
        """Whatever came, dropped or not, is given back to the connection's window or is about to be (FLOW-5)."""
        window = self.engine._carrier._window
        assert self.engine.is_closed or window.available + window.owed == window.size

    # --- what becomes of the connection ---------------------------------------------------------------------------

    def _survives(self) -> None:
        """It is well, and a good call on it is answered."""
        assert self.engine.state is ConnectionState.READY
        self._release()
        self._finish_bystander()
        peer = self.bench.peer
        if isinstance(self.bench, ClientBench):
            call = self.bench.engine.start_call(CHAT)
            stream = self.bench.pull()[0].stream
            self.bench.give(peer.response(stream) + raw.data(stream, raw.message(b"good")) + peer.trailers(stream))
            self._expect(call, "headers good OK")
        else:
            self.bench.give(peer.request(9, "/good/Call") + raw.data(9, raw.message(b"good"), end=True))
            (answer,) = [event.call for event in self.bench.drain() if isinstance(event, CallStarted)]
            self._expect(answer, "good half-closed")
            answer.send_message(b"good")
            answer.finish()
            assert self.bench.briefs() == ["HEADERS 9", "DATA 9 9", "HEADERS 9 ES"]
            self._expect(answer, "OK")
        self.bench.pull()
        assert self.engine.open_calls == 0

    def _drains(self) -> None:
        """The other call finishes as if nothing were, then the connection is closed."""
        assert self.engine.state is ConnectionState.DRAINING
        self._release()
        self._finish_bystander()
        self.bench.pull()
        if isinstance(self.bench, ServerBench) and not self.engine.is_closed:
            self.bench.give(raw.ping(b"draining", ack=True))
            self.bench.pull()
        assert self.bench.closed() is not None

    def _closed(self) -> None:
        assert self.bench.closed() is not None
        assert self.bystander.ended is not None
        assert self.bench.pull() == []
        assert self.engine.next_timeout() is None

    def _release(self) -> None:
        """A handler always says `finish`, though the call may be over: its slot is free only then."""
        if isinstance(self.call, ServerCall) and not self.call._finished:
            self.call.finish()
            assert self.bench.pull() == []

    def _finish_bystander(self) -> None:
        if isinstance(self.bench, ClientBench):
            out = self.bench.feed(self.bench.peer.trailers(BYSTANDER))
            assert out[0] == "RST 1 NO_ERROR"
        else:
            self.bystander.finish()
            out = self.bench.briefs()
            assert out[:2] == ["HEADERS 1 ES", "RST 1 NO_ERROR"], out
        assert not [frame for frame in out if f" {STREAM} " in f"{frame} " and "GOAWAY" not in frame], out
        self._expect(self.bystander, "OK")

    def _expect(self, call: Any, heard: str) -> None:
        assert (what := history(call)) == heard, what


#: The words that are messages of the application, and those that are no frames.
MESSAGES = frozenset("abcmxyz")
ENDS = frozenset({"eof", "lost"})


def orders(situation: Situation, *, prompt: bool) -> Iterator[Play]:
    """A run in each order in which the steps of the application and of the peer can happen."""
    todo: list[list[str]] = [[]]
    while todo:
        run = Play(situation, prompt=prompt).play(todo.pop())
        todo += run.other_orders
        yield run


def cuts(runs: Iterable[Play]) -> Iterator[tuple[list[str], tuple[int, int]]]:
    """Every byte before which a word of the peer can be cut, in every order of what happens up to that word's end, with
    how it went on in one of the runs."""
    seen: set[tuple[str, ...]] = set()
    for run in runs:
        ends = [at + 1 for at, step in enumerate(run.steps) if step == "peer"]
        for word, (size, end) in enumerate(zip(run.sent, ends, strict=False)):
            if (upto := tuple(run.steps[:end])) not in seen:
                seen.add(upto)
                yield from ((run.steps, (word, at)) for at in range(1, size + 1))


def _word(frame: raw.RawFrame) -> str:
    if frame.type in (raw.RST, raw.GOAWAY):
        return f"{raw.NAMES[frame.type]}:{raw.code_name(frame.code)}"
    if frame.type in (raw.DATA, raw.HEADERS):
        return raw.NAMES[frame.type] + ("/ES" if frame.end else "")
    return ""


def _stage(situation: Situation) -> tuple[ClientBench | ServerBench, Any]:
    """A bench with the bystander's call, fresh for each run."""
    stage: tuple[ClientBench | ServerBench, Any] = pickle.loads(
        _staged(tuple(situation.settings.items()), client=situation.side is ClientBench)
    )
    return stage


@cache
def _staged(settings: tuple[tuple[int, int], ...], *, client: bool) -> bytes:
    bystander: ClientCall | ServerCall
    if client:
        caller = ClientBench(ClientConfig(), settings=dict(settings))
        bystander = caller.call()
        caller.feed(caller.peer.response(BYSTANDER))
        assert bystander.take_message() is None
        caller.drain()
        return pickle.dumps((caller, bystander))
    server = ServerBench(patient(), settings=dict(settings))
    bystander = server.call(BYSTANDER)
    bystander.send_initial_metadata()
    server.pull()
    assert bystander.take_message() is None
    server.drain()
    return pickle.dumps((server, bystander))
