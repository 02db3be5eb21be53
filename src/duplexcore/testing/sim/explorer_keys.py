"""When two snapshots of a side are the same for all that can still happen: what the explorer compares.

It is not the engine's fingerprint, which has everything. Left out is what follows from the rest, or can not matter in a
world of one call and a few small messages:

* the windows of the connection, counters of floods and of keepalive: they are thousands away from any bound;
* HPACK tables: a side makes at most two header blocks, so the encoder's table follows from which were framed, and
  the decoder's from how many were heard (kept); what HTTP/2 core keeps of the stream follows from the frames that it
  was given, which the lane counts;
* the time: a timer is taken when it is the first, so of timers only the order counts (DEADLINE is started a second,
  DRAIN many seconds ahead: where a new one stands among the old does not depend on how far those have run). Of a
  deadline it matters whether it has passed (P37) and nothing else: the clock moves only when a timer fires (P38);
* texts of statuses and farewells: no step looks at them; and of an ended call what led to it;
* the peer's credit, and where a lane stands in the queues, when nothing is left to be framed: the next message would
  put it in line again, wherever it stands;
* the credit that we grant, the stream's state and its lane when no frame of it can mean anything any more;
* what was counted for the properties: messages accepted once the call has ended, and taken once its end was taken;
* of a connection that has closed: all but the bytes that wait, and whether a call may still be started.

That nothing else is lost is tested: states that are merged have the same steps, which lead to states that are merged
again; and with whole fingerprints the same worlds show the same events and the same ends.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from duplexcore import ClientCall, ServerCall
from duplexcore.call.base import Call
from duplexcore.http2.tables import StreamState
from duplexcore.testing.model import side as model

from .properties.oracle import terminal
from .sides import ORDINARY

if TYPE_CHECKING:
    from .explorer_halves import Half

__all__ = ["key_of", "state_of"]


def key_of(half: Half) -> bytes:
    """16 bytes."""
    return hashlib.blake2b(repr(state_of(half)).encode(), digest_size=16).digest()


def state_of(half: Half) -> tuple[Any, ...]:
    """What is compared, as values; `repr` tells them apart."""
    call = half.call
    return (
        _engine(half),
        None if call is None else _call(half, call),
        half.at,
        half.readable,
        (half.closed, half.over, half.heard_end),
        _model(half),
        half.refusing if call is None else None,
    )


def _model(half: Half) -> tuple[Any, ...]:
    at = half.model
    if at.out is not model.IDLE:
        at = at._replace(initial=False)
    if at.ended is not None:
        over = (model.ENDED, model.CLOSED)
        if at.out in over and at.heard in over:
            at = at._replace(out=model.CLOSED, heard=model.CLOSED)
        elif half.name == "client" and at.heard is model.IDLE:
            at = at._replace(heard=model.OPEN)
    if half.ended is not None:
        at = at._replace(whole=0, opening=False, half_closed=False, taken=0)
    return tuple(at)


def _engine(half: Half) -> Any:
    engine, carrier = half.engine, half.engine._carrier
    waiting = carrier._core.take()
    carrier._core.write(waiting)
    if half.closed:
        return waiting, half.call is None and getattr(engine, "_leaving", None)
    unopened = half.call is None
    return (
        waiting,
        engine.state.name,
        half.done,
        _timers(engine),
        engine._keepalive._asked,
        engine._goaways if half.name == "server" else engine._leaving,
        (carrier.closed, carrier._draining, carrier._gate.inside_frame, carrier._peer_last_id),
        (carrier._highest_peer_id, carrier._accept_up_to > carrier._highest_peer_id) if unopened else None,
        half.blocks_to_come,
    )


def _timers(engine: Any) -> list[str]:
    """The kinds in their order, up to the last that the explorer lets fire."""
    kinds = [kind for _, kind, _ in engine._timers.fingerprint_state()]
    while kinds and kinds[-1] not in ORDINARY:
        kinds.pop()
    return [kind.name for kind in kinds]


def _call(half: Half, call: Call) -> Any:
    inbox: Any = call._inbox
    shown: Any = inbox.fingerprint_state()[0]  # however it was cut and joined
    unread = [item if isinstance(item, bytes) else type(item).__name__ for item in shown], half.ended is not None
    said = call.ended
    if said is not None:
        taken = half.taken if half.ended is None else None
        return terminal(said), tuple(said.trailing_metadata), unread, taken, _own(call), _lane(half, call)
    return (
        (call.send_state.name, call.receive_state.name, half.accepted, half.taken),
        call.deadline is not None and half.now >= call.deadline,
        call._outbox.fingerprint_state()[:2],
        (unread, inbox._reader.name, inbox._early, inbox._owed, inbox.buffered),
        _own(call),
        _lane(half, call),
    )


def _own(call: Call) -> Any:
    """What only one side's calls have."""
    if isinstance(call, ClientCall):
        return call._opened
    assert isinstance(call, ServerCall)
    if call.ended is not None and call._final is None:
        return None
    return call._headers_sent, call._initial_said, call._final


def _lane(half: Half, call: Call) -> Any:
    lane: Any = call._lane
    if lane.state is StreamState.CLOSED:
        return None
    core = half.engine._carrier._core
    credit = core.stream_window(lane) if lane.stream_id and _sends_more(half, call) else None
    place = lane.place.name if model.owes(half.model) else None
    receives = (lane.headers_seen, lane.window.available, lane.window.owed, lane.advanced) if lane.receiving else None
    return lane.state.name, lane.abort_code, credit, place, receives


def _sends_more(half: Half, call: Call) -> bool:
    """Whether there is DATA with bytes to come, from the queue or from the plan."""
    return bool(call._outbox.size) or (call.ended is None and half.messages_left > 0)
