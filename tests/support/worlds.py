"""Two sides of one call in a world whose every step can be chosen: in process, or over real HTTP/2 connections.

A side follows a script, which is a line of words. Both sides: ``a`` sends that message (``a*30``: thirty of it),
``?word`` waits until the word was heard. A client may say ``half-close``, ``cancel`` and ``deadline`` (it passes), a
server ``headers``, ``abort``, ``deadline`` and the name of a status, which finishes. A side by hand, ``raw ...``, may
also do what is wrong: see `RAW`. What a side hears is a line of words, too: ``headers a b OK``; see `calls.brief`.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

from duplexcore import (
    CallEnded,
    CallStarted,
    ClientCall,
    ClientConfig,
    ClientConnection,
    ErrorCode,
    Message,
    ServerCall,
    ServerConfig,
    ServerConnection,
    Status,
    StatusCode,
)
from duplexcore.call.framing import frame_message
from duplexcore.call.in_process import Direction
from duplexcore.call.lane import Data, Headers
from duplexcore.fingerprint import fingerprint
from duplexcore.testing import raw
from duplexcore.testing.raw import RawPeer

from .calls import CHAT, REQUEST, Joined, brief, check_grammar

UP, DOWN = Direction.TO_SERVER, Direction.TO_CLIENT
FIELDS = {
    "request": REQUEST,
    "headers": [(b":status", b"200"), (b"content-type", b"application/grpc")],
    "trailers": [(b"x", b"1")],  # of a request, or of a response that lacks its status
}
#: word -> (what it sends, whether that ends the side). Statuses are trailers, ``rst:NAME`` is a reset.
RAW: dict[str, tuple[str, bool]] = {
    "request": ("request", False),
    "request-end": ("request", True),
    "headers": ("headers", False),
    "again": ("trailers", False),
    "trailers": ("trailers", True),
    "part": ("part", False),  # a message that does not come whole
    "end": ("", True),  # END_STREAM on empty DATA
}


CLIENT, SERVER = ClientConfig(stream_window=65_535), ServerConfig(stream_window=65_535)


class Side:
    """One side: its script, its call (None: not yet, or written by hand), and what it has heard."""

    def __init__(self, script: str) -> None:
        self.raw = script.startswith("raw ")
        self.words = script.removeprefix("raw ").split()
        self.call: ClientCall | ServerCall | None = None
        self.begun = False  # a server by hand has seen the request; nothing of a stream may be said before
        self.heard: list[str] = []
        self.events: list[Any] = []
        self.said: list[bytes] = []

    def next_word(self) -> str | None:
        """The next thing to do, if it may be done now."""
        while self.words and self.words[0].startswith("?"):
            if self.words[0][1:] not in self.heard:
                return None
            self.words.pop(0)
        if not self.words or (self.call is None and not (self.raw and self.begun)):
            return None
        word = self.words[0]
        if _is_message(word) and self.call is not None and self.call.ended is None and not self.call.writable:
            return None
        return word

    def take_word(self) -> str:
        word = self.next_word()
        assert word
        return self.words.pop(0)

    def listen(self) -> None:
        if self.call is None:
            return
        while (event := self.call.next_event()) is not None:
            self.events.append(event)
            self.heard.append(_short(brief(event)))
        check_grammar(self.call, self.events)

    @property
    def history(self) -> str:
        return " ".join(self.heard)

    def speak(self, word: str) -> None:
        call = self.call
        match word:
            case "half-close" if isinstance(call, ClientCall):
                call.half_close()
            case "cancel" if isinstance(call, ClientCall):
                call.cancel()
            case "headers" if isinstance(call, ServerCall):
                call.send_initial_metadata()
            case "abort" if isinstance(call, ServerCall):
                call.abort()
            case "deadline" if call is not None:
                call.on_deadline()
            case word if word in StatusCode.__members__ and isinstance(call, ServerCall):
                call.finish(Status(StatusCode[word], "why"), {"t": "1"})
            case _:
                assert call is not None
                if call.send_message(message(word)):
                    self.said.append(message(word))


class World:
    """What both worlds share: the sides, and that every step leaves things in order."""

    client: Side
    server: Side

    def side(self, name: str) -> Side:
        return self.client if name == "client" else self.server

    def actions(self) -> list[str]:
        raise NotImplementedError

    def do(self, action: str) -> None:
        raise NotImplementedError

    def settle(self, choose: Callable[[list[str]], str]) -> None:
        """Until nothing can happen any more."""
        while actions := self.actions():
            self.do(choose(actions))

    def check(self) -> None:
        """P1, P5: what is delivered is a prefix of what was said, and nothing follows the end."""
        for near, far in ((self.client, self.server), (self.server, self.client)):
            near.listen()
            got = [event.payload for event in near.events if isinstance(event, Message)]
            if not far.raw:
                assert got == far.said[: len(got)], (got, far.said)
            ends = [event for event in near.events if isinstance(event, CallEnded)]
            if near.call is not None and near.call.ended is not None and near.events:
                assert ends == [near.call.ended]

    def fingerprint_state(self) -> object:
        return [(side.words, side.heard, side.call, side.begun) for side in (self.client, self.server)], self.wires

    @property
    def wires(self) -> object:
        """All that is under way, and the state of what carries it."""
        raise NotImplementedError

    @property
    def histories(self) -> tuple[str, str]:
        return self.client.history, self.server.history


class InProcessWorld(World):
    """Six steps: a side speaks, a side's next item is framed, an item under way arrives."""

    def __init__(
        self,
        client: str,
        server: str,
        *,
        window: int = 65_535,
        single_response: bool = False,
        single_request: bool = False,
    ) -> None:
        self.client, self.server = Side(client), Side(server)
        self.client.begun = True
        self.idle = {way for way, side in ((UP, self.client), (DOWN, self.server)) if side.raw}
        self.joined = Joined(window=window, single_response=single_response)
        self.single_request = single_request
        if self.client.raw:
            self.joined.link.client.call = Deaf()
            self.joined.link.opened = True
        else:
            self.client.call = self.joined.client
        if self.server.raw:
            self.joined.link.server.call = Deaf()

    @property
    def wires(self) -> object:
        return self.joined.link, self.joined.server_owner.notes[:1], self.joined.client, self.joined.server

    def actions(self) -> list[str]:
        link = self.joined.link
        found = [name for name in ("client", "server") if self.side(name).next_word()]
        if not link.closed:
            for way in Direction:
                lane = link.lanes[way]
                if not lane.ended and way not in self.idle:
                    found.append(f"pull {way.name}")
                if lane.carried:
                    found.append(f"deliver {way.name}")
        return found

    def do(self, action: str) -> None:
        match action.split():
            case [name]:
                side = self.side(name)
                word = side.take_word()
                if side.raw:
                    self._raw(UP if side is self.client else DOWN, word)
                else:
                    side.speak(word)
            case ["pull", way]:
                if not self.joined.link.pull(Direction[way], 0.0):
                    self.idle.add(Direction[way])
                    return
            case _:
                direction = Direction[action.split()[1]]
                assert self.joined.link.deliver(direction)
                self.server.begun = self.server.begun or direction is UP
        self.idle -= {way for way, side in ((UP, self.client), (DOWN, self.server)) if not side.raw}
        if self.server.call is None and "started" in self.joined.server_owner.notes:
            self.server.call = self.joined.server
            if self.single_request:
                self.joined.server.expect_single_request()
        self.check()

    def _raw(self, way: Direction, word: str) -> None:
        lane = self.joined.link.lanes[way]
        if self.joined.link.closed or (lane.ended and not word.startswith("rst:")):
            return
        if word.startswith("rst:"):
            lane.abort(ErrorCode[word[4:]])
        elif word in StatusCode.__members__:
            lane.carried.append(Headers([(b"grpc-status", b"%d" % StatusCode[word])], end=True))
        elif word in RAW:
            name, end = RAW[word]
            lane.carried.append(Headers(FIELDS[name], end) if name in FIELDS else Data(_payload(name), end))
        else:
            lane.carried.append(Data(frame_message(message(word))))
        if lane.carried and isinstance(last := lane.carried[-1], (Headers, Data)):
            lane.ended = last.end


class Deaf:
    """The receiving end of a side that is written by hand."""

    joinable = 0

    def on_headers(self, *_: Any) -> None: ...

    on_data = on_end = on_headers

    def on_reset(self, *_: Any, **__: Any) -> None: ...

    def pull(self, room: int, now: float) -> None: ...


class Http2World(World):
    """The same over two connections, or over one and a peer by hand. ``step``: how many bytes arrive at once."""

    def __init__(
        self,
        client: str,
        server: str,
        *,
        step: int | None = None,
        single_response: bool = False,
        single_request: bool = False,
    ) -> None:
        self.client, self.server = Side(client), Side(server)
        self.client.begun = True
        self.single_request = single_request
        self.step = step
        self.ends: dict[Direction, Any] = {
            UP: RawPeer(client=True) if self.client.raw else ClientConnection(CLIENT, now=0.0),
            DOWN: RawPeer(client=False) if self.server.raw else ServerConnection(SERVER, now=0.0),
        }
        self.under_way: dict[Direction, bytes] = {UP: b"", DOWN: b""}
        self.idle = {way for way, end in self.ends.items() if isinstance(end, RawPeer)}
        self.readers = {UP: RawPeer(client=False), DOWN: RawPeer(client=True)}
        #: The frames of the call's stream in each direction, credit left out.
        self.frames: dict[Direction, list[str]] = {UP: [], DOWN: []}
        for way, end in self.ends.items():
            if isinstance(end, RawPeer):
                self.under_way[way] = end.hello()
        for _ in range(3):  # the handshake
            for way in Direction:
                self._pull(way)
                self._deliver(way, None)
        if not self.client.raw:
            self.client.call = self.ends[UP].start_call(CHAT, single_response=single_response)
        self._listen()

    @property
    def wires(self) -> object:
        return self.ends[UP], self.ends[DOWN], self.under_way

    def actions(self) -> list[str]:
        found = [name for name in ("client", "server") if self.side(name).next_word()]
        for way in Direction:
            if way not in self.idle:
                found.append(f"pull {way.name}")
            if self.under_way[way]:
                found.append(f"deliver {way.name}")
        return found

    def do(self, action: str) -> None:
        match action.split():
            case [name]:
                side = self.side(name)
                word = side.take_word()
                if side.raw:
                    self._raw(UP if side is self.client else DOWN, word)
                else:
                    side.speak(word)
            case ["pull", way]:
                if not self._pull(Direction[way]):
                    self.idle.add(Direction[way])
                    return
            case _:
                self._deliver(Direction[action.split()[1]], self.step)
        self.idle -= {way for way, end in self.ends.items() if not isinstance(end, RawPeer)}
        self._listen()
        self.check()

    def _pull(self, way: Direction) -> bool:
        if isinstance(end := self.ends[way], RawPeer):
            return False
        out = end.data_to_send(0.0)
        self.under_way[way] += out
        self.frames[way] += [frame.brief for frame in self.readers[way].read(out) if frame.stream and frame.type != 8]
        return bool(out)

    def _deliver(self, way: Direction, step: int | None) -> None:
        data, self.under_way[way] = self.under_way[way], b""
        other = self.ends[DOWN if way is UP else UP]
        if isinstance(other, RawPeer):
            self.server.begun = any(frame.stream for frame in other.read(data)) or self.server.begun
            return
        step = step or len(data) or 1
        for at in range(0, len(data), step):
            other.receive_data(data[at : at + step], 0.0)

    def _listen(self) -> None:
        for end in self.ends.values():
            if isinstance(end, RawPeer):
                continue
            while (event := end.next_event()) is not None:
                if isinstance(event, CallStarted):
                    self.server.call = event.call
                    if self.single_request:
                        event.call.expect_single_request()

    def _raw(self, way: Direction, word: str) -> None:
        peer = self.ends[way]
        said = self.wire[way is DOWN]
        if "RST" in said or (" ES" in said and not word.startswith("rst:")):
            return
        if word.startswith("rst:"):
            out = raw.rst(1, ErrorCode[word[4:]])
        elif word in StatusCode.__members__:
            out = peer.trailers(1, StatusCode[word])
        elif word in RAW:
            name, end = RAW[word]
            out = peer.headers(1, FIELDS[name], end=end) if name in FIELDS else raw.data(1, _payload(name), end=end)
        else:
            out = raw.data(1, raw.message(message(word)))
        self.under_way[way] += out
        self.frames[way] += [frame.brief for frame in _peek(out)]

    @property
    def wire(self) -> tuple[str, str]:
        """What both sides framed: ``HEADERS DATA ES, RST NO_ERROR``."""
        return tuple(_words(self.frames[way]) for way in (UP, DOWN))  # type: ignore[return-value]


def _peek(out: bytes) -> list[raw.RawFrame]:
    """The frames of a side written by hand, header blocks unread."""
    size = int.from_bytes(out[:3], "big")
    return [raw.RawFrame(out[3], out[4], 1, out[9 : 9 + size])]


def _words(frames: list[str]) -> str:
    return ", ".join(" ".join(word for word in frame.split() if not word.isdigit()) for frame in frames)


def _payload(name: str) -> bytes:
    return b"\0\0\0\0\7abc" if name == "part" else b""


def _is_message(word: str) -> bool:
    return word.partition("*")[0].islower() and word not in ("half-close", "cancel", "deadline", "headers", "abort")


def message(word: str) -> bytes:
    text, _, times = word.partition("*")
    return text.encode() * int(times or 1)


def _short(word: str) -> str:
    return f"{word[0]}*{len(word)}" if len(word) > 12 and len(set(word)) == 1 else word


def explore(world: World) -> Iterator[World]:
    """Every way in which things can happen, each state once; yields the worlds in which nothing can happen any more."""
    todo = [(world, fingerprint(world))]
    seen = {todo[0][1]}
    while todo:
        here, own = todo.pop()
        blob = pickle.dumps(here)
        moved = False
        for action in here.actions():
            there = pickle.loads(blob)
            there.do(action)
            key = fingerprint(there)
            moved = moved or key != own
            if key not in seen:
                seen.add(key)
                todo.append((there, key))
        if not moved:
            yield here


def chooser(seed: int) -> Callable[[list[str]], str]:
    """Some order; 0: as early as it can be delivered, 1: as late."""
    if seed == 0:
        return lambda actions: actions[-1]
    if seed == 1:
        return lambda actions: actions[0]
    rng = random.Random(seed)
    weights = {name: rng.choice((0.1, 1, 5)) for name in ("client", "server", "pull", "deliver")}
    return lambda actions: rng.choices(actions, [weights[action.split()[0]] for action in actions])[0]
