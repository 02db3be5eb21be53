"""Our server against a peer that writes frames by hand, right ones and wrong ones."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from duplexcore import CallEnded, CallStarted, ConnectionClosed, ServerCall, ServerConfig, ServerConnection

from .. import raw
from ..sim.properties import PropertyError
from ..strategies.values import chunkings
from ..strategies.wire import Violation, peer_violations, settings_frames

__all__ = ["HostilePeerMachine"]

#: Bytes that an engine may say for each byte that it hears (P30), and on top of that.
FACTOR, BASE = 8, 4_096


class HostilePeerMachine(RuleBasedStateMachine):
    """The properties P12, P26, P27, P30 and P48: nothing raises, each call ends once, there is one GOAWAY with the code
    that the rule broken has, answers are bounded, and later header blocks are read right. Override `engine`."""

    streams = Bundle("streams")

    def __init__(self) -> None:
        super().__init__()
        self.connection = self.engine()
        self.peer = raw.RawPeer(client=True)
        self.calls: list[ServerCall] = []
        self.ends: dict[int, int] = {}
        self.closed: list[ConnectionClosed] = []
        self.goaways: list[int] = []
        self.broken: Violation | None = None
        self.next_stream = 1
        self.heard = self.said = 0

    def engine(self) -> ServerConnection:
        """The server that is tried."""
        return ServerConnection(ServerConfig(), now=0.0)

    # --- what the peer does -------------------------------------------------------------------------------------------

    @initialize(values=settings_frames())
    def hello(self, values: bytes) -> None:
        """The handshake, with any settings; then a call, so that stream 1 is open."""
        self.say(self.peer.hello() + values)
        self.open(end=False)

    @rule(target=streams, end=st.booleans())
    def open(self, end: bool) -> int:
        """A request, whose metadata tells its stream."""
        stream = self.next_stream
        self.next_stream += 2
        before = len(self.calls)
        self.say(self.peer.request(stream, "/hostile.Calls/Any", ("stream", str(stream)), end=end))
        if len(self.calls) > before and self.calls[-1].metadata.get("stream") != str(stream):
            raise PropertyError("P48", f"stream {stream} came with the metadata {self.calls[-1].metadata}")
        return stream

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

    # --- what the server's applications do ----------------------------------------------------------------------------

    @rule(which=st.integers(0, 20))
    def server_finishes(self, which: int) -> None:
        """One of its calls is answered."""
        open_calls = [call for call in self.calls if call.ended is None]
        if open_calls:
            open_calls[which % len(open_calls)].finish()
            self.listen()

    # --- between ------------------------------------------------------------------------------------------------------

    def say(self, data: bytes) -> None:
        """Bytes reach the server, and it answers."""
        self.heard += len(data)
        try:
            self.connection.receive_data(data, 0.0)
        except Exception as error:
            raise PropertyError("P26", f"receive_data raised {error!r}") from error
        self.listen()

    def listen(self) -> None:
        """What the server has to say, to its applications and to the peer."""
        while True:
            while (event := self.connection.next_event()) is not None:
                if isinstance(event, CallStarted):
                    self.calls.append(event.call)
                elif isinstance(event, ConnectionClosed):
                    self.closed.append(event)
            for index, call in enumerate(self.calls):
                while (told := call.next_event()) is not None:
                    self.ends[index] = self.ends.get(index, 0) + isinstance(told, CallEnded)
            out = self.connection.data_to_send(0.0)
            if not out:
                return
            self.said += len(out)
            self.goaways += [frame.code for frame in self.peer.read(out) if frame.type == raw.GOAWAY]

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
