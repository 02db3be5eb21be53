"""Our server, and our client, against a peer that writes frames by hand, right ones and wrong ones."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from duplexcore import (
    CallEnded,
    CallStarted,
    ClientCall,
    ClientConfig,
    ClientConnection,
    ConnectionClosed,
    InitialMetadata,
    LocalProtocolError,
    ServerCall,
    ServerConfig,
    ServerConnection,
)

from .. import raw
from ..sim.properties import PropertyError
from ..strategies.values import chunkings
from ..strategies.wire import Violation, peer_violations, settings_frames

__all__ = ["HostilePeerMachine", "HostileServerMachine"]

#: Bytes that an engine may say for each byte that it hears (P30), and on top of that.
FACTOR, BASE = 8, 4_096
#: Where a header block is cut into HEADERS and CONTINUATIONs, in bytes from its beginning; it has more of them.
CUTS = st.lists(st.integers(1, 12), unique=True, max_size=3).map(sorted)


class Hostile(RuleBasedStateMachine):
    """What both roles of a peer have: it may say anything, and what is tried must bear it."""

    streams = Bundle("streams")
    connection: ServerConnection | ClientConnection

    def __init__(self, *, client: bool) -> None:
        super().__init__()
        self.peer = raw.RawPeer(client=client)
        self.calls: list[ServerCall | ClientCall] = []
        self.ends: dict[int, int] = {}
        self.closed: list[ConnectionClosed] = []
        self.goaways: list[int] = []
        self.broken: Violation | None = None
        self.next_stream = 1
        self.heard = self.said = 0

    # --- what the peer does -------------------------------------------------------------------------------------------

    @rule(stream=streams, message=st.binary(max_size=40), end=st.booleans())
    def send(self, stream: int, message: bytes, end: bool) -> None:
        """A whole message, also on a stream that has ended."""
        self.say(raw.data(stream, raw.message(message), end=end))

    @rule(stream=streams, junk=st.binary(max_size=12))
    def send_junk(self, stream: int, junk: bytes) -> None:
        """DATA that need not be a message."""
        self.say(raw.data(stream, junk))

    @rule(stream=streams)
    def reset(self, stream: int) -> None:
        """RST_STREAM(CANCEL)."""
        self.say(raw.rst(stream))

    @rule(frame=st.one_of(settings_frames(), st.just(raw.ping()), st.just(raw.window_update(0, 1))))
    def say_what_is_allowed(self, frame: bytes) -> None:
        """Of the connection itself."""
        self.say(frame)

    @rule(data=st.data(), violation=peer_violations(), stream=streams)
    def break_a_rule(self, data: st.DataObject, violation: Violation, stream: int) -> None:
        """A good message and a wrong frame, cut anywhere: the message counts (P12), the connection ends (P27)."""
        if not self.closed and self.broken is None and self.next_stream < 99:
            self.broken = violation
            for piece in data.draw(chunkings(raw.data(stream, raw.message(b"last")) + violation.wire[:2_000]), "cut"):
                self.say(piece)
            self.say(violation.wire[2_000:])

    @rule(junk=st.binary(min_size=1, max_size=60))
    def say_junk(self, junk: bytes) -> None:
        """Bytes that need not be frames; nothing can be expected after them but an end."""
        if self.broken is None:
            self.broken = Violation("junk", -1, junk)
            self.say(junk)

    # --- between ------------------------------------------------------------------------------------------------------

    def say(self, data: bytes) -> None:
        """Bytes reach what is tried, and it answers."""
        self.heard += len(data)
        try:
            self.connection.receive_data(data, 0.0)
        except Exception as error:
            raise PropertyError("P26", f"receive_data raised {error!r}") from error
        self.listen()

    def listen(self) -> None:
        """What it has to say, to its applications and to the peer."""
        while True:
            while (event := self.connection.next_event()) is not None:
                if isinstance(event, CallStarted):
                    self.calls.append(event.call)
                elif isinstance(event, ConnectionClosed):
                    self.closed.append(event)
            for index, call in enumerate(self.calls):
                while (told := call.next_event()) is not None:
                    self.told(index, told)
                    self.ends[index] = self.ends.get(index, 0) + isinstance(told, CallEnded)
            out = self.connection.data_to_send(0.0)
            if not out:
                return
            self.said += len(out)
            for frame in self.peer.read(out):
                self.hears(frame)

    def told(self, index: int, event: Any) -> None:
        """An application is told something of its call."""

    def hears(self, frame: raw.RawFrame) -> None:
        """The peer hears a frame."""
        if frame.type == raw.GOAWAY:
            self.goaways.append(frame.code)

    # --- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def ends_once(self) -> None:
        """P26: one ConnectionClosed, one CallEnded for each call."""
        if len(self.closed) > 1:
            raise PropertyError("P26", f"the connection was closed {len(self.closed)} times")
        for index, count in self.ends.items():
            if count > 1 or (self.closed and not count):
                raise PropertyError("P26", f"call {index} has {count} ends")

    @invariant()
    def one_goaway_with_the_code(self) -> None:
        """P27."""
        broken = self.broken
        if broken is None or broken.code < 0:
            return
        if not self.closed:
            raise PropertyError("P27", f"{broken.name} did not end the connection")
        codes = [code for code in self.goaways if code]
        if codes and codes != [broken.code]:
            raise PropertyError("P27", f"{broken.name} was answered by GOAWAY with {codes}, not {broken.code}")

    @invariant()
    def answers_are_bounded(self) -> None:
        """P30."""
        if self.said > FACTOR * self.heard + BASE:
            raise PropertyError("P30", f"{self.said:,} bytes were said to {self.heard:,} that were heard")


class HostilePeerMachine(Hostile):
    """Our server, and a peer that breaks rules.

    The properties P12, P26, P27, P30 and P48: nothing raises, each call ends once, there is one GOAWAY with the code
    that the rule broken has, answers are bounded, and later header blocks are read right. Override `engine`.
    """

    streams = Hostile.streams

    def __init__(self) -> None:
        super().__init__(client=True)
        self.connection = self.engine()

    def engine(self) -> ServerConnection:
        """The server that is tried."""
        return ServerConnection(ServerConfig(), now=0.0)

    @initialize(values=settings_frames())
    def hello(self, values: bytes) -> None:
        """The handshake, with any settings; then a call, so that stream 1 is open."""
        self.say(self.peer.hello() + values)
        self.open(end=False, cuts=[])

    @rule(target=streams, end=st.booleans(), cuts=CUTS)
    def open(self, end: bool, cuts: list[int]) -> int:
        """A request, whose metadata tells its stream."""
        stream = self.next_stream
        self.next_stream += 2
        before = len(self.calls)
        self.say(self.peer.request(stream, "/hostile.Calls/Any", ("stream", str(stream)), end=end, cuts=cuts))
        if len(self.calls) > before and (metadata := self.calls[-1].metadata).get("stream") != str(stream):  # type: ignore[union-attr]
            raise PropertyError("P48", f"stream {stream} came with the metadata {metadata}")
        return stream

    @rule(which=st.integers(0, 20))
    def server_finishes(self, which: int) -> None:
        """One of its calls is answered."""
        open_calls = [call for call in self.calls if call.ended is None]
        if open_calls:
            call = open_calls[which % len(open_calls)]
            assert isinstance(call, ServerCall)
            call.finish()
            self.listen()


class HostileServerMachine(Hostile):
    """Our client, and a server that breaks rules: the same properties. Override `engine`."""

    streams = Hostile.streams

    def __init__(self) -> None:
        super().__init__(client=False)
        self.connection = self.engine()
        #: Stream -> the call of it, by its number.
        self.opened: dict[int, int] = {}

    def engine(self) -> ClientConnection:
        """The client that is tried."""
        return ClientConnection(ClientConfig(), now=0.0)

    @initialize(values=settings_frames())
    def hello(self, values: bytes) -> None:
        """The handshake; a call, so that stream 1 is open; then any settings."""
        self.listen()
        self.say(self.peer.hello())
        self.start(cuts=None)
        self.say(values)

    @rule(target=streams, cuts=st.none() | CUTS)
    def start(self, cuts: list[int] | None) -> int:
        """A call is started, and answered at once if ``cuts`` says how: its stream, or the first one while there is no
        room for it."""
        assert isinstance(self.connection, ClientConnection)
        try:
            self.calls.append(self.connection.start_call(f"/hostile.Calls/{len(self.calls)}"))
        except LocalProtocolError:
            return 1  # it takes no more calls
        self.next_stream += 2
        self.listen()
        stream = next((stream for stream, index in self.opened.items() if index == len(self.calls) - 1), 1)
        if cuts is not None:
            self.answer(stream, cuts)
        return stream

    @rule(stream=streams, cuts=CUTS)
    def answer(self, stream: int, cuts: list[int]) -> None:
        """The headers of a response, whose metadata tells its stream; also a second time, or after the end."""
        if stream in self.opened:
            fields = raw.response_fields(("stream", str(stream)))
            self.say(self.peer.headers(stream, fields, cuts=cuts))

    @rule(stream=streams, code=st.integers(0, 17), cuts=CUTS)
    def finish(self, stream: int, code: int, cuts: list[int]) -> None:
        """A status, also before everything else, or a second time."""
        if stream in self.opened:
            self.say(
                self.peer.headers(stream, [("grpc-status", str(code)), ("stream", str(stream))], end=True, cuts=cuts)
            )

    @rule(
        which=st.integers(0, 20), message=st.binary(max_size=40), what=st.sampled_from(("send", "half-close", "cancel"))
    )
    def client_goes_on(self, which: int, message: bytes, what: str) -> None:
        """One of its calls says something, or gives up."""
        open_calls = [call for call in self.calls if call.ended is None]
        if open_calls:
            call = open_calls[which % len(open_calls)]
            assert isinstance(call, ClientCall)
            try:
                {"send": lambda: call.send_message(message), "half-close": call.half_close, "cancel": call.cancel}[
                    what
                ]()
            except LocalProtocolError:
                return  # half-closed before
            self.heard += len(message)  # what it was asked to say is no answer
            self.listen()

    def told(self, index: int, event: Any) -> None:
        """P48."""
        if type(event) is InitialMetadata:
            stream = next((stream for stream, of in self.opened.items() if of == index), None)
            if event.metadata.get("stream") not in (None, str(stream)):
                raise PropertyError("P48", f"stream {stream} was answered with the metadata {event.metadata}")

    def hears(self, frame: raw.RawFrame) -> None:
        """Which stream a call has got is known by its path."""
        super().hears(frame)
        if frame.type == raw.HEADERS and (path := frame.field(b":path")) is not None:
            self.opened[frame.stream] = int(path.rpartition(b"/")[2])
