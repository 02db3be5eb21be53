"""One side of a simulated connection: an engine, its clock, and the driver between it and the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duplexcore.connection import CallReadable, CallStarted, ConnectionClosed, ConnectionDraining, TimerKind

from .choosing import Chooser
from .steps import Actor, StepKind
from .wires import Wire

__all__ = ["Clock", "JoinedSide", "Side"]

#: Timeouts that a connection which goes well may see.
ORDINARY = frozenset((TimerKind.DEADLINE, TimerKind.DRAIN, TimerKind.SHUTDOWN, TimerKind.IDLE, TimerKind.AGE))
#: One that must be set up to be met: usually a call comes long before.
UNUSED = frozenset((TimerKind.UNUSED,))
#: Those that come again and again; a clock goes on to them so many times.
KEPT_ALIVE = frozenset((TimerKind.KEEPALIVE, TimerKind.KEEPALIVE_TIMEOUT))
TIMES = 4
HOURS = 3_600.0
MINUTE = 60.0


class Side(Actor):
    """An engine with the driver that the drive contract asks for. Its step is to write: bytes are made, and set out.

    ``engine``: a `ClientConnection` or `ServerConnection`, or what can be driven like one.

    ``started`` hears of calls that the peer opens. ``now`` is this side's clock: it runs for itself, and moves only
    when a timer of this side fires.
    """

    __slots__ = (
        "_chooser",
        "closed",
        "dirty",
        "draining",
        "engine",
        "leaving",
        "now",
        "on_bytes",
        "on_closed",
        "on_ended",
        "on_lost",
        "started",
        "stirred",
        "wire",
    )

    wire: Wire

    def __init__(
        self,
        name: str,
        engine: Any,
        chooser: Chooser,
        *,
        now: float,
        started: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__(name, StepKind.WIRE)
        self.engine = engine
        self._chooser = chooser
        self.now = now
        self.started = started
        self.dirty = True
        #: Whether the engine has been asked for anything since its clock has looked: only then other timers may run.
        self.stirred = True
        self.closed: ConnectionClosed | None = None
        #: What it was told of a peer that is going away.
        self.draining: ConnectionDraining | None = None
        #: Whether its application has shut it down.
        self.leaving = False
        #: Hears of bytes that are about to come in.
        self.on_bytes: Callable[[bytes], None] | None = None
        #: Hears that a call of this side has ended, when that is announced.
        self.on_ended: Callable[[Any], None] | None = None
        #: Hears that the connection is over.
        self.on_closed: Callable[[], None] | None = None
        #: Hears that the transport is gone.
        self.on_lost: Callable[[], None] | None = None

    def untie(self) -> None:
        super().untie()
        del self.wire
        self.started = self.on_bytes = self.on_ended = self.on_closed = self.on_lost = None

    # --- the step: what a driver's writer does ------------------------------------------------------------------------

    def ready(self) -> bool:
        return self.dirty

    @property
    def label(self) -> str:
        return f"{self.name} writes"

    def act(self) -> None:
        if self._chooser.choose(2, "write", ("all", "a frame")):
            self.write(max_bytes=1)  # one DATA frame begins within it; within 0 bytes none ever does
        else:
            while self.write():
                pass
        self.over = not self.dirty

    def write(self, max_bytes: int = 65_536) -> bool:
        """One write, if there is something. False: nothing."""
        data = self.engine.data_to_send(self.now, max_bytes)
        if data:
            self.wire.carry(data)
        self.hear()
        if not data:
            self.dirty = False
            if self.closed is not None:
                self.wire.end()
        return bool(data)

    # --- inputs -------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        if self.on_bytes is not None:
            self.on_bytes(data)
        self.engine.receive_data(data, self.now)
        self.touched()

    def receive_end(self) -> None:
        if self.on_lost is not None:
            self.on_lost()
        self.engine.receive_eof(self.now)
        self.touched()

    def lose(self, reason: str) -> None:
        if self.on_lost is not None:
            self.on_lost()
        self.engine.transport_failed(reason, self.now)
        self.touched()

    def took(self) -> None:
        """An application has taken an event: there may be credit to give."""
        self.stirred = True
        self.stir()

    def touched(self) -> None:
        """After an input or a command: there may be something to write, and to hear."""
        self.stir()
        self.hear()

    def stir(self) -> None:
        """There may be something to write."""
        self.dirty = True
        if self.over:
            self.wake()

    def hear(self) -> None:
        """Passes the announcements on."""
        self.stirred = True
        next_event = self.engine.next_event
        event = next_event()
        if event is None:
            return
        ended = []
        while event is not None:
            if type(event) is CallReadable:
                app = event.call.context
                if app is not None:
                    app.announce()
                    if event.call.ended is not None:
                        ended.append(app)
            elif type(event) is CallStarted:
                assert self.started is not None
                self.started(event.call)
            elif type(event) is ConnectionClosed:
                assert self.closed is None, f"P26: {self.name} has closed twice"
                self.closed = event
                if self.on_closed is not None:
                    self.on_closed()
            elif type(event) is ConnectionDraining:
                self.draining = self.draining or event
            event = next_event()
        if self.on_ended is not None:
            for app in ended:
                self.on_ended(app)


class JoinedSide(Side):
    """One of two ends in the same process: what is consumed here the other end may send at once."""

    __slots__ = ("other",)

    other: Side

    def untie(self) -> None:
        del self.other
        super().untie()

    def receive(self, data: bytes) -> None:
        self.other.stir()
        super().receive(data)

    def took(self) -> None:
        self.other.stir()
        super().took()

    def touched(self) -> None:
        if resets := self.engine.resets_to_send():
            self.wire.carry(resets)
        super().touched()


class Clock(Actor):
    """One side's clock. Its step is that the next timeout is due: time jumps there."""

    __slots__ = ("_due", "_left", "_side", "_waits_for", "on_timeout")

    def __init__(self, side: Side) -> None:
        super().__init__(f"{side.name} clock", StepKind.TIMER)
        self._side = side
        self.on_timeout: Callable[[TimerKind], None] | None = None
        self._due = False
        #: To which timeouts it goes on; None: there is none.
        self._waits_for: frozenset[TimerKind | None] = ORDINARY
        config = side.engine.config
        if getattr(config, "unused_timeout", MINUTE) < MINUTE:
            self._waits_for |= UNUSED
        if config.keepalive_time < HOURS:
            self._waits_for |= KEPT_ALIVE
            if config.keepalive_timeout >= HOURS:
                self._waits_for -= {TimerKind.KEEPALIVE_TIMEOUT}
        #: How many times it still goes on to what keeps the connection alive.
        self._left = TIMES

    def untie(self) -> None:
        super().untie()
        self.on_timeout = None

    def ready(self) -> bool:
        side = self._side
        if side.stirred:
            side.stirred = False
            self._due = side.engine.timeout_reason in self._waits_for and not self._outruns_a_frame()
        return self._due

    def _outruns_a_frame(self) -> bool:
        """Whether the next timeout is so late that a frame of which the first bytes have come may by then have taken
        too long: what they are the first of, and so how long it may take, is known with the fourth."""
        engine = self._side.engine
        carrier = getattr(engine, "_carrier", None)  # in process there are no frames
        begun = None if carrier is None else carrier.unfinished
        return begun is not None and engine.next_timeout() >= begun[0] + engine.config.abuse.header_block_timeout

    @property
    def label(self) -> str:
        return f"{self._side.name} timeout: {self._side.engine.timeout_reason}"

    def act(self) -> None:
        side = self._side
        due, reason = side.engine.next_timeout(), side.engine.timeout_reason
        assert due is not None
        assert reason is not None
        side.now = max(side.now, due)
        if reason is TimerKind.KEEPALIVE:
            self._left -= 1
            if not self._left:
                self._waits_for -= KEPT_ALIVE
        side.engine.handle_timeout(side.now)
        if self.on_timeout is not None:
            self.on_timeout(reason)
        side.touched()
