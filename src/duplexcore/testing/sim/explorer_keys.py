"""When two snapshots of a side are the same for all that can still happen: what the explorer compares.

Left out of the engine's whole fingerprint is what follows from the rest, or can not matter in a world of one call and a
few small messages:

* the windows of the connection, counters of floods and of keepalive: they are thousands away from any bound;
* h2's record of a stream that is over, and the lane of a call that is: no frame of it reaches h2 any more;
* timers that never come first (keepalive, SETTINGS, unused), and the time itself: timeouts count from now (P38);
* of a call that has ended: what the writer had left to say (each such command is tried: it must change nothing), and of
  one whose end was taken, what was counted on the way there.

That nothing else is lost is tested: with whole fingerprints the same worlds show the same events and the same ends.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from duplexcore.call.base import Call
from duplexcore.http2.native_core import NativeCore

from .sides import ORDINARY

if TYPE_CHECKING:
    from .explorer_halves import Half

__all__ = ["key_of"]


def key_of(half: Half) -> bytes:
    """16 bytes."""
    call = half.call
    over = half.ended is not None
    counted = (half.accepted, half.taken, half.said) if not over or _told_status(half) else None
    at = half.model
    if over:
        at = at._replace(whole=0, opening=False, half_closed=False, taken=0, ended=None)
    state = (
        _engine(half),
        None if call is None else _call(half, call),
        (half.at, half.done, counted, _outcome(half.ended), half.readable),
        (half.closed, half.over, half.heard_end),
        tuple(at),
        half.refusing,
    )
    return hashlib.blake2b(repr(state).encode(), digest_size=16).digest()


def _told_status(half: Half) -> bool:
    ended = half.ended
    return ended is not None and ended.status.message == "said"


def _outcome(ended: Any) -> Any:
    return None if ended is None else (ended.status, tuple(ended.trailing_metadata), ended.origin, ended.unprocessed)


def _engine(half: Half) -> Any:
    engine = half.engine
    carrier = engine._carrier
    if half.closed and half.over:
        return "over"
    own = ("_leaving", "_reason") if half.name == "client" else ("_goaways", "_farewell", "_running")
    timers = engine._timers.fingerprint_state()
    return (
        engine.state.name,
        [(when - half.now, kind.name) for when, kind, _ in timers if kind in ORDINARY],
        [getattr(engine, name) for name in own],
        engine._keepalive._asked,
        carrier.closed,
        (carrier._draining, carrier._next_own_id, carrier._highest_peer_id, carrier._accept_up_to),
        (carrier._peer_last_id, carrier._gate.inside_frame, carrier.backlog, carrier.waiting),
        _core(carrier),
    )


def _core(carrier: Any) -> Any:
    core = carrier._core
    decoding = carrier._decoder._decoder.header_table.dynamic_entries
    if isinstance(core, NativeCore):
        windows = [(number, lane.peer_window) for number, lane in carrier._lanes.items()]
        return b"".join(core._parts), windows, core._encoder.fingerprint_state(), decoding
    h2 = core._h2
    streams = [
        (number, h2.streams[number].state_machine.state.name, h2.streams[number].outbound_flow_control_window)
        for number in carrier._lanes
    ]
    return (
        bytes(core._out + h2._data_to_send),
        h2.state_machine.state.name,
        streams,
        h2.encoder._fields.fingerprint_state(),
        decoding,
    )


def _call(half: Half, call: Call) -> Any:
    inbox: Any = call._inbox
    shown: list[Any] = inbox.fingerprint_state()[0]  # however it was cut and joined
    items = [item if isinstance(item, bytes) else type(item).__name__ for item in shown]
    lane: Any = call._lane
    deadline = None if call.deadline is None or call.ended is not None else call.deadline - half.now
    return (
        (call.send_state.name, call.receive_state.name, deadline),
        _outcome(call.ended),
        call._outbox.fingerprint_state()[:2],
        (items, inbox._reader.name, inbox._early, inbox.decoder.buffered),
        [
            getattr(call, name)
            for name in ("_opened", "_headers_sent", "_initial_said", "_finished")
            if hasattr(call, name)
        ],
        getattr(call, "_final", None),
        None
        if lane.stream_id not in lane._carrier._lanes
        else (lane.state.name, lane.abort_code, lane.place.name, lane.window.available, lane.window.owed),
    )
