"""What may happen to a connection besides its calls: shutdowns, other settings, stalls, ends."""

from __future__ import annotations

from duplexcore import ServerConfig

from .choosing import Chooser
from .sides import Side
from .steps import Actor, StepKind
from .wires import Wire

__all__ = ["Cut", "Leaver", "Reset", "Stall", "Tuner"]

SETTINGS = 4
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4
#: When a setting is changed back.
STAYS = ("soon", "at the end")


class Leaver(Actor):
    """Shuts its side down, once: open calls may finish, for as long as ``grace`` says."""

    __slots__ = ("_chooser", "_side")

    def __init__(self, side: Side, chooser: Chooser) -> None:
        super().__init__(f"{side.name} shuts down", StepKind.END)
        self._side = side
        self._chooser = chooser

    def ready(self) -> bool:
        return not self.over and self._side.closed is None

    def act(self) -> None:
        self.over = True
        side = self._side
        side.leaving = True
        graces = (None, 10.0)
        grace = graces[self._chooser.choose(2, "grace", graces)]
        side.engine.shutdown(deadline=None if grace is None else side.now + grace)
        side.touched()


class Tuner(Actor):
    """A side changes a setting, and later back: its initial window (RFC 9113 section 6.9.2), or a server the streams
    that it allows. Later is soon, or when nothing else can happen: then what it has held up waits for nothing else.

    Our engine never does that, other peers may: the frames are made here.
    """

    __slots__ = ("_back", "_chooser", "_side", "_stays", "_wire")

    def __init__(self, side: Side, chooser: Chooser) -> None:
        super().__init__(f"{side.name} settings", StepKind.SETTING)
        self._side = side
        self._wire = side.wire
        self._chooser = chooser
        self._back: tuple[int, int] | None = None
        self._stays = False

    def ready(self) -> bool:
        return not (self._stays or self._wire.ended) and self._side.closed is None

    @property
    def label(self) -> str:
        return f"{self.name} {'change back' if self._back else 'change'}"

    def act(self) -> None:
        if self._back is not None:
            self.over = True
            self._tell(*self._back)
            return
        config = self._side.engine.config
        window = config.stream_window
        options = [(INITIAL_WINDOW_SIZE, 0, window), (INITIAL_WINDOW_SIZE, window // 2, window)]
        if isinstance(config, ServerConfig):
            options.append((MAX_CONCURRENT_STREAMS, 1, config.max_concurrent_calls))
        setting, value, usual = options[self._chooser.choose(len(options), "settings", options)]
        self._back = setting, usual
        self._stays = bool(self._chooser.choose(len(STAYS), "change back", STAYS))
        self._tell(setting, value)

    def restore(self) -> None:
        """What was changed is changed back."""
        self._stays = False
        if self._back is not None and not self.over and self.ready():
            self.act()

    def _tell(self, setting: int, value: int) -> None:
        payload = setting.to_bytes(2, "big") + value.to_bytes(4, "big")
        self._wire.carry(len(payload).to_bytes(3, "big") + bytes((SETTINGS, 0)) + bytes(4) + payload)


class Stall(Actor):
    """A direction stands still, or goes on; a few times."""

    __slots__ = ("_left", "_wire")

    def __init__(self, wire: Wire) -> None:
        super().__init__(f"{wire.name} stalls", StepKind.FAULT)
        self._wire = wire
        self._left = 2

    def ready(self) -> bool:
        wire = self._wire
        return wire.clogged or bool(self._left and wire.bytes)

    @property
    def stalls(self) -> bool:
        """Whether it stands still."""
        return self._wire.clogged

    @property
    def label(self) -> str:
        return f"{self._wire.name} {'goes on' if self._wire.clogged else 'stalls'}"

    def act(self) -> None:
        self._wire.clogged = not self._wire.clogged
        self._left -= self._wire.clogged


class Reset(Actor):
    """A side's transport breaks: what is under way in both directions is lost, and the other side hears of it later."""

    __slots__ = ("_side", "_wires")

    def __init__(self, side: Side, wires: tuple[Wire, Wire]) -> None:
        super().__init__(f"{side.name} loses the connection", StepKind.FAULT)
        self._side = side
        self._wires = wires

    def ready(self) -> bool:
        one, other = self._wires
        return not (one.ended or other.ended)

    def act(self) -> None:
        for wire in self._wires:
            wire.cut()
        self._side.lose("connection reset by peer")


class Cut(Actor):
    """A direction ends after some of the bytes that are under way, at any byte; the other direction goes on."""

    __slots__ = ("_chooser", "_wire")

    def __init__(self, wire: Wire, chooser: Chooser) -> None:
        super().__init__(f"{wire.name} ends", StepKind.FAULT)
        self._wire = wire
        self._chooser = chooser

    def ready(self) -> bool:
        return not self._wire.ended

    def act(self) -> None:
        cuts = self._wire.cuts
        self._wire.cut(cuts[self._chooser.choose(len(cuts), "keep", cuts)] if len(cuts) > 1 else 0)
