"""What can be heard of a simulation as it goes on: the hooks that properties, traces and coverage share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from duplexcore import CallEnded, HalfClosed, InitialMetadata, Message

from .wires import PREFACE_TYPE, Frame

if TYPE_CHECKING:
    from duplexcore.connection import TimerKind

    from .apps import App
    from .sides import Side
    from .simulation import Simulation

__all__ = ["Watcher", "heard"]


class Watcher:
    """Hears of everything; does nothing. Override what is of interest: only what is overridden is called."""

    sim: Simulation
    #: The types of the frames that `on_framed` and `on_arrived` are told of; None: all.
    framed_types: ClassVar[Collection[int] | None] = None
    arrived_types: ClassVar[Collection[int] | None] = None
    #: The types of the events that `on_event` is told of; None: all.
    event_types: ClassVar[Collection[type] | None] = None
    #: Watchers whose counts it reads (`Simulation.shared`): a run has one of each for all, which hears before them.
    reads: ClassVar[Sequence[type[Watcher]]] = ()

    def begin(self) -> None:
        """``sim`` is set, the handshake is over, nothing else has happened."""

    def on_framed(self, side: Side, frame: Frame) -> None:
        """``side`` has made a frame, which sets out now."""

    def on_arrived(self, side: Side, frame: Frame) -> None:
        """The last byte of a frame is about to reach ``side``."""

    def on_bytes(self, side: Side, data: bytes) -> None:
        """Bytes are about to reach the engine of ``side``: whole frames or not."""

    def on_event(self, app: App, event: Any) -> None:
        """A reader has taken an event of its call; ``app.events`` has it already."""

    def on_command(self, app: App, what: str) -> None:
        """An application has said something to its call: what its task's label says. The call has heard it already."""

    def on_started(self, app: App) -> None:
        """The server has been told of a call, which ``app`` has taken up."""

    def on_closed(self, side: Side) -> None:
        """The engine of ``side`` says that its connection is over; its calls may not have announced their ends yet."""

    def on_ended(self, app: App) -> None:
        """The call of ``app`` has ended, and its engine has announced it; its reader may be far behind."""

    def on_lost(self, side: Side | None) -> None:
        """``side`` has lost the transport, or read its end; None: both have lost what was under way."""

    def on_timeout(self, side: Side, reason: TimerKind) -> None:
        """The clock of ``side`` has gone on to its next timeout, which it has handled; ``reason``: what it was for."""

    def on_step(self) -> None:
        """A step is over."""

    def on_calm(self) -> None:
        """Readers read, the network delivers, and nothing can happen any more but that a clock goes on."""

    def on_rest(self) -> None:
        """The calls that were left have been cancelled, and nothing can happen any more: the run is over."""


#: The names of the hooks, for dispatch.
HOOKS = (
    "on_framed",
    "on_arrived",
    "on_bytes",
    "on_event",
    "on_command",
    "on_started",
    "on_closed",
    "on_ended",
    "on_lost",
    "on_timeout",
    "on_step",
    "on_calm",
    "on_rest",
)
#: The types of frames, and of the events of calls, that there are.
FRAME_TYPES = (*range(256), PREFACE_TYPE)
EVENT_TYPES = (InitialMetadata, Message, HalfClosed, CallEnded)
#: The hooks that hear of one of many types: how a watcher says of which, and the types that there are.
TYPED: Mapping[str, tuple[str, Sequence[Any]]] = {
    "on_framed": ("framed_types", FRAME_TYPES),
    "on_arrived": ("arrived_types", FRAME_TYPES),
    "on_event": ("event_types", EVENT_TYPES),
}


class Heard(NamedTuple):
    """Which of a run's watchers hear of what, by their place among all: first those that are ``shared``.

    ``by_type``: of a hook of frames or events, and a type of these, by their place among those who hear of the hook.
    """

    shared: Sequence[type[Watcher]]
    by_hook: Mapping[str, Sequence[int]]
    by_type: Mapping[str, Mapping[object, Sequence[int]]]


@lru_cache(maxsize=256)
def heard(kinds: Sequence[type[Watcher]]) -> Heard:
    """Watchers hear of a hook that their class overrides, and there of the types that it names."""
    shared = tuple(dict.fromkeys(one for kind in kinds for one in kind.reads))
    kinds = (*shared, *kinds)
    by_hook = {
        hook: [at for at, kind in enumerate(kinds) if getattr(kind, hook) is not getattr(Watcher, hook)]
        for hook in HOOKS
    }

    def chosen(hook: str) -> dict[object, list[int]]:
        named, types = TYPED[hook]
        wants = [getattr(kinds[at], named) for at in by_hook[hook]]
        return {one: [place for place, of in enumerate(wants) if of is None or one in of] for one in types}

    return Heard(shared, by_hook, {hook: chosen(hook) for hook in TYPED})
