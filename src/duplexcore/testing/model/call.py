"""One call, whole: both sides and the frames between them. `CallModel` is the oracle of a simulator that knows all."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

from . import client, server
from .side import Side, hear_transport_end, took
from .vocabulary import (
    CLIENT,
    SERVER,
    Data,
    Event,
    Frame,
    Headers,
    Input,
    ModelViolation,
    Reset,
    Role,
    Step,
    Terminal,
    Trailers,
    TransportEnded,
)

_STEPS: Final = (client.STEPS, server.STEPS)
_FRAMES: Final = (client.FRAMES, server.FRAMES)
_HEAR: Final = (client.hear, server.hear)

# -- one side, for those who keep no wires ----------------------------------------------------------------------------

# The same few states come again and again, and a look-up is three times as fast as making a state.
_remember = lru_cache(maxsize=1 << 16)


@_remember
def does(side: Side, step: Step) -> Side:
    """The side after its application, clock or library did ``step``.

    Raises `Misuse` where the engine must refuse the step, ValueError for one that the side can not have done.
    """
    kind: Any = step.__class__
    try:
        move = _STEPS[side.role][kind]
    except KeyError:
        raise ValueError(f"a {side.role.name.lower()} has no {kind.__name__}") from None
    return move(side, step)


@_remember
def frames(side: Side, frame: Frame) -> Side:
    """The side after it framed ``frame``; raises `ModelViolation` where it must not."""
    return _FRAMES[side.role][frame.__class__](side, frame)


@_remember
def hears(side: Side, item: Input) -> Side:
    """The side after a whole frame, or the end of the connection, reached it; never raises for what a peer may do.

    ValueError: what came is a fault of the connection, not of the call: say `TransportEnded` instead.
    """
    return _HEAR[side.role](side, item)


# -- both -------------------------------------------------------------------------------------------------------------


class CallModel(NamedTuple):
    """Both sides of a call, and what is on its way: toward the client ``wires[0]``, toward the server ``wires[1]``.

    A value: every method gives the next one. The wires check that what is heard is what was framed, in order (P1, P6).
    """

    sides: tuple[Side, Side] = (Side(CLIENT), Side(SERVER))
    wires: tuple[tuple[Input, ...], tuple[Input, ...]] = ((), ())
    #: What is framed from now on reaches nobody.
    lost: bool = False

    @property
    def client(self) -> Side:
        return self.sides[CLIENT]

    @property
    def server(self) -> Side:
        return self.sides[SERVER]

    @classmethod
    def of(cls, *, single_request: bool = False, single_response: bool = False) -> CallModel:
        """A call that has not begun, of a method with these cardinalities (STAT-14, STAT-15)."""
        return cls((Side(CLIENT, single_response), Side(SERVER, single_request)))

    def does(self, role: Role, step: Step) -> CallModel:
        """A step of one side; see `does`."""
        client_side, server_side = self.sides
        if role is CLIENT:
            return CallModel((does(client_side, step), server_side), self.wires, self.lost)
        return CallModel((client_side, does(server_side, step)), self.wires, self.lost)

    def takes(self, role: Role, event: Event | Terminal) -> CallModel:
        """The application of one side took an event; see `took`."""
        client_side, server_side = self.sides
        if role is CLIENT:
            return CallModel((took(client_side, event), server_side), self.wires, self.lost)
        return CallModel((client_side, took(server_side, event)), self.wires, self.lost)

    def frames(self, role: Role, frame: Frame) -> CallModel:
        """One side framed ``frame``, which is on its way now."""
        (client_side, server_side), (down, up) = self.sides, self.wires
        if role is CLIENT:
            client_side = frames(client_side, frame)
            up = up if self.lost else (*up, frame)
        else:
            server_side = frames(server_side, frame)
            down = down if self.lost else (*down, frame)
        return CallModel((client_side, server_side), (down, up), self.lost)

    def hears(self, role: Role, item: Input | None = None) -> CallModel:
        """The first thing on its way to ``role`` has reached it, whole.

        ``item``: what came. It must be that; but DATA may turn out to have an ``error``, RST_STREAM to be ``overdue``,
        and header lists to be ``too_large``.
        """
        (client_side, server_side), (down, up) = self.sides, self.wires
        wire = down if role is CLIENT else up
        if not wire or (item is not None and item != wire[0] and not _is_read_as(wire[0], item)):
            expected = wire[0] if wire else "nothing"
            raise ModelViolation("P1", f"{item} reached the {role.name.lower()}, {expected} was on its way")
        came = wire[0] if item is None else item
        if role is CLIENT:
            return CallModel((hears(client_side, came), server_side), (down[1:], up), self.lost)
        return CallModel((client_side, hears(server_side, came)), (down, up[1:]), self.lost)

    def loses(self) -> CallModel:
        """The connection breaks: what is on its way is destroyed, and each side will hear of it (DUP-29)."""
        gone = (TransportEnded(),)
        return CallModel(self.sides, (gone, gone), lost=True)

    def closes(self, role: Role, ending: TransportEnded = TransportEnded()) -> CallModel:  # noqa: B008 - frozen
        """One side ends the connection: its calls end, what it framed arrives, then the end; what comes is lost."""
        (client_side, server_side), (down, up) = self.sides, self.wires
        if role is CLIENT:
            return CallModel(
                (hear_transport_end(client_side, ending), server_side), ((), (*up, TransportEnded())), True
            )
        return CallModel((client_side, hear_transport_end(server_side, ending)), ((*down, TransportEnded()), ()), True)

    def outcome(self) -> tuple[Terminal | None, Terminal | None]:
        """The two ends so far: what the race table lists."""
        return self.sides[CLIENT].ended, self.sides[SERVER].ended


def _is_read_as(sent: Input, came: Input) -> bool:
    """Whether the receiver's own limits or clock make of ``sent`` what came."""
    match sent, came:
        case Data(), Data(error=error):
            return error is not None and came.whole <= sent.whole and came.end is sent.end
        case Reset(), Reset():
            return sent.code == came.code
        case Headers(), Headers(too_large=True):
            return came.end is sent.end and came.timeout is sent.timeout
        case Trailers(), Trailers(too_large=True):
            return sent.code == came.code
        case _:
            return False
