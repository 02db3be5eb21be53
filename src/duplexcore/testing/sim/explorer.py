"""Everything that can happen to one call: every interleaving of two real engines, breadth first, each state once.

A state is a client, a server, and the frames on their way in both directions. Engines are compared by their
fingerprint and kept as snapshots (pickles); frames arrive and leave one by one. What may be cut between frames, or
inside one, is not a matter of order: that every split of the same bytes leads to the same engine is checked here for
each frame on each side that it reaches (P11), when asked for.

Forgotten is what can not matter any more: frames on their way to an engine that has closed, and of the engines what
`explorer_keys` leaves out. A *reduced* exploration also leaves out orders that no side can tell apart: the two sides
share nothing but the wires, so where a side has something to hear, or nothing more, its own steps come first. Every
state of a side, everything that can happen to it there, and every end of the whole are found all the same.
"""

from __future__ import annotations

import gc
import hashlib
import pickle
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from duplexcore.testing.model import side as model
from duplexcore.testing.model.race_table import allowed

from . import explorer_halves as halves
from .explorer_bounds import Bounds
from .explorer_halves import CLIENT, SERVER, Half, Input, Item
from .explorer_snapshots import restored, snapshot
from .properties.base import PropertyError
from .properties.oracle import terminal
from .wires import wire_bytes

__all__ = ["ExplorationError", "Explored", "Explorer", "State", "explore"]

#: Of the files in which an exploration waits to go on.
VERSION = 2
#: A state is one number: four of so many bits. A world with more sides or wires than that is too large in any case.
BITS: Final = 20
MASK: Final = (1 << BITS) - 1
#: In the queue: here a layer ends.
LAYER: Final = -1
THE_END: Final = Input("the end")


class ExplorationError(ValueError):
    """The file is no exploration, or one of another world. The text says what to do."""


class State(NamedTuple):
    """A state of the whole: both halves and the two wires, by their numbers in `Explorer`; 0 is the empty wire."""

    client: int
    server: int
    up: int = 0
    down: int = 0

    @classmethod
    def of(cls, packed: int) -> State:
        return cls(packed >> 3 * BITS, packed >> 2 * BITS & MASK, packed >> BITS & MASK, packed & MASK)

    @property
    def packed(self) -> int:
        return ((self.client << BITS | self.server) << BITS | self.up) << BITS | self.down


class Known(NamedTuple):
    """What the explorer must know of a half without waking it up."""

    name: str
    inputs: tuple[Input, ...]
    closed: bool
    over: bool
    heard_end: bool
    ended: Any
    call_ended: Any
    began: bool
    accepted: int
    taken: int
    owes: tuple[str, ...]
    streams: int


@dataclass(slots=True)
class Explored:
    """What an exploration has found. ``complete``: nothing is left. ``ends``: how often a call ended so."""

    states: int = 0
    transitions: int = 0
    clients: int = 0
    servers: int = 0
    at_rest: int = 0
    longest: int = 0
    complete: bool = False
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """For golden files."""
        names = ("states", "transitions", "clients", "servers", "at_rest", "longest")
        return {name: getattr(self, name) for name in names} | {
            "ends": {f"{client} / {server}": count for (client, server), count in sorted(self.ends.items())}
        }


class Explorer:
    """An exploration, as far as it has come. `run` goes on with it; `save` and `load` keep it in a file.

    ``shard``: (which, of how many). Each explores the states whose digest is its own and collects the others in
    ``outboxes``, for `hand_over` and `take_in`.
    """

    def __init__(
        self, bounds: Bounds, *, reduced: bool = False, thorough: bool = False, shard: tuple[int, int] = (0, 1)
    ) -> None:
        if not 0 <= shard[0] < shard[1]:
            raise ValueError(f"shard {shard[0]} of {shard[1]}: it must be from 0 to {shard[1] - 1}")
        self.bounds = bounds
        self.reduced = reduced
        self.thorough = thorough
        self.shard = shard
        self.found = Explored()
        self._computed = 0
        self._blobs: list[bytes] = []
        self._keys: list[bytes] = []
        self._ids: dict[bytes, int] = {}
        self._known: list[Known] = []
        self._items: list[Item] = []
        self._item_ids: dict[Item, int] = {}
        #: Of each frame: that it is heard.
        self._hearings: list[Input] = []
        #: Half -> what has happened to it -> the half after it, and the frames that it made.
        self._steps: list[dict[Input, tuple[int, tuple[int, ...]]]] = []
        #: Wires, as the numbers of the frames on them.
        self._wires: list[tuple[int, ...]] = [()]
        self._wire_ids: dict[tuple[int, ...], int] = {(): 0}
        #: State -> the one from which it was reached first.
        self._seen: dict[int, int | None] = {}
        self._waiting: deque[int] = deque([LAYER])
        self._depth = 0
        self.outboxes: dict[int, set[State]] = {}
        client, server = halves.begin(bounds)
        self._reach(State(self._intern(client), self._intern(server)).packed, None)

    # --- going on -----------------------------------------------------------------------------------------------------

    @property
    def frontier(self) -> int:
        """How many states wait to be explored."""
        return len(self._waiting) - 1

    def run(self, most: int | None = None, progress: Callable[[Explorer], None] | None = None) -> Explored:
        """Explores; at most so many states. ``progress`` is called every 1,000 of them.

        Raises `PropertyError`; its text ends with a shortest way to the state.
        """
        collecting = gc.isenabled()
        gc.disable()  # what is kept only grows: to look through it again and again would take most of the time
        try:
            return self._run(most, progress)
        finally:
            if collecting:
                gc.enable()

    def _run(self, most: int | None, progress: Callable[[Explorer], None] | None) -> Explored:
        found, waiting = self.found, self._waiting
        left = -1 if most is None else most
        while len(waiting) > 1 and left:
            packed = waiting.popleft()
            if packed == LAYER:
                self._depth += 1
                waiting.append(LAYER)
                continue
            left -= 1
            self._explore(packed)
            if progress is not None and not found.states % 1000:
                progress(self)
        found.clients = sum(known.name == CLIENT for known in self._known)
        found.servers = len(self._known) - found.clients
        found.complete = not self.frontier and not any(self.outboxes.values())
        return found

    def _explore(self, packed: int) -> None:
        found, state, seen = self.found, State.of(packed), self._seen
        found.states += 1
        found.longest = max(found.longest, self._depth)
        moved = False
        for role, happened in self.moves(state):
            try:
                after = self.after(state, role, happened).packed
            except PropertyError as error:
                way = "\n  ".join([*self.way(state), f"{role}: {happened.label}"])
                raise PropertyError(error.number, f"{error.args[0].partition(': ')[2]}\n  {way}") from error
            found.transitions += 1
            moved = moved or after != packed
            if after not in seen:
                self._reach(after, packed)
        if not moved:
            self._rest(state)

    def moves(self, state: State) -> Iterator[tuple[str, Input]]:
        """Everything that can happen next: to whom, and what; with ``reduced``, of one side alone where that is enough.

        That is the case where something is on its way to it, or nothing can come any more: whatever the other side does
        meanwhile changes nothing of what can happen here, so it can as well happen later.
        """
        client, server = self._known[state.client], self._known[state.server]
        sides = ((CLIENT, client, server, state.down), (SERVER, server, client, state.up))
        if self.reduced:
            for role, own, other, wire in sides:
                if (wire or own.heard_end or other.over) and (found := self._moves_of(own, other, wire)):
                    return ((role, happened) for happened in found)
        return ((role, one) for role, own, other, wire in sides for one in self._moves_of(own, other, wire))

    def _moves_of(self, own: Known, other: Known, wire: int) -> tuple[Input, ...]:
        if wire:
            return (*own.inputs, self._hearings[self._wires[wire][0]])
        if other.over and not own.heard_end:
            return (*own.inputs, THE_END)
        return own.inputs

    def after(self, state: State, role: str, happened: Input) -> State:
        """The state that follows. Raises `PropertyError`."""
        client, server, up, down = state
        if role == CLIENT:
            client, made = self.step(client, happened)
            if happened.item is not None:
                down = self._wire(self._wires[down][1:])
            if made:
                up = self._wire(self._wires[up] + made)
        else:
            server, made = self.step(server, happened)
            if happened.item is not None:
                up = self._wire(self._wires[up][1:])
            if made:
                down = self._wire(self._wires[down] + made)
        known = self._known
        return State(client, server, 0 if known[server].closed else up, 0 if known[client].closed else down)

    def _wire(self, frames: tuple[int, ...]) -> int:
        number = self._wire_ids.get(frames)
        if number is None:
            number = self._wire_ids[frames] = len(self._wires)
            self._wires.append(frames)
        return number

    def step(self, half: int, happened: Input) -> tuple[int, tuple[int, ...]]:
        """What a half does with an input: computed once. The half after it, and the frames that it made."""
        steps = self._steps[half]
        done = steps.get(happened)
        if done is None:
            outcome = halves.step(self.half(half), happened)
            self._computed += 1
            if not self._computed % 500:
                gc.collect(0)  # engines are rings; see `run`
            if self.thorough and happened.item is not None:
                self._byte_by_byte(half, happened, outcome.half)
            done = steps[happened] = self._intern(outcome.half), tuple(map(self._item, outcome.items))
        return done

    def half(self, number: int) -> Half:
        """A copy of a half."""
        return restored(self._blobs[number])

    def key(self, number: int) -> bytes:
        """What a half is compared by: the same in every exploration."""
        return self._keys[number]

    def role(self, number: int) -> str:
        """Whether a half is the client's or the server's."""
        return self._known[number].name

    def items(self, numbers: tuple[int, ...]) -> tuple[Item, ...]:
        """The frames of a wire, or of a step."""
        return tuple(self._items[number] for number in numbers)

    def inputs(self, number: int) -> tuple[Input, ...]:
        """What can happen to a half by itself."""
        return self._known[number].inputs

    def pairs(self) -> Iterator[tuple[int, Input]]:
        """Each half with each thing that has happened to it, once."""
        for number, steps in enumerate(self._steps):
            yield from ((number, happened) for happened in steps)

    def way(self, state: State) -> list[str]:
        """What happened, from the beginning to ``state``, on a shortest way."""
        way, at = [], state.packed
        while (before := self._seen[at]) is not None:
            came = State.of(before)
            way.append(
                next(f"{who}: {what.label}" for who, what in self.moves(came) if self._leads(came, who, what, at))
            )
            at = before
        return way[::-1]

    def _leads(self, state: State, role: str, happened: Input, to: int) -> bool:
        """Whether a step that was taken has led there; one that fails has led nowhere."""
        half = state.client if role == CLIENT else state.server
        return happened in self._steps[half] and self.after(state, role, happened).packed == to

    # --- what must hold ---------------------------------------------------------------------------------------------

    def _reach(self, packed: int, came: int | None) -> None:
        self._seen[packed] = came
        state = State.of(packed)
        owner = self._owner(state)
        if owner != self.shard[0]:
            self.outboxes.setdefault(owner, set()).add(state)
            return
        self._judge(state)
        self._waiting.append(packed)

    def _judge(self, state: State) -> None:
        """What must hold of both sides together, in every state."""
        client, server = self._known[state.client], self._known[state.server]
        for hearer, speaker in ((client, server), (server, client)):
            if speaker.call_ended is None and hearer.call_ended is None and hearer.taken > speaker.accepted:
                self._fail(state, "P1", "a message was taken that nobody has sent")
        if client.ended is None or client.ended.origin.value != "peer" or client.ended.status != halves.SAID:
            return
        if server.call_ended is None or server.call_ended.status != halves.SAID:
            self._fail(state, "P6", f"the client was told {client.ended}, the server has said {server.call_ended}")

    def _rest(self, state: State) -> None:
        """Nothing can happen any more."""
        self.found.at_rest += 1
        ends = []
        for role, known in ((CLIENT, self._known[state.client]), (SERVER, self._known[state.server])):
            if known.began and known.ended is None:
                self._fail(state, "P4", f"the {role}'s call has not ended")
            if known.owes and not known.closed:
                self._fail(state, "P4", f"the {role} still owes {known.owes}")
            if known.streams:
                self._fail(state, "P24", f"the {role} keeps {known.streams} streams")
            ends.append(terminal(known.ended) if known.ended is not None else None)
        if any(ends) and not allowed(*ends):
            self._fail(state, "P7", f"a call ended as {ends[0]} at its client, as {ends[1]} at its server")
        self.found.ends[str(ends[0] or "never"), str(ends[1] or "never")] += 1

    def _fail(self, state: State, number: str, what: str) -> None:
        raise PropertyError(number, "\n  ".join([what, *self.way(state)]))

    def _byte_by_byte(self, half: int, happened: Input, whole: Half) -> None:
        """P11: at every byte cut the same state; the engine hears the end of the frame twice, in one go and not."""
        assert happened.item is not None
        split, data = self.half(half), wire_bytes(happened.item.frame)
        for at in range(len(data)):
            split.engine.receive_data(data[at : at + 1], split.now)
        once = self.half(half)
        once.engine.receive_data(data, once.now)
        if split.engine.fingerprint() != once.engine.fingerprint():
            raise whole.fail("P11", f"is in another state when {happened.item.label} comes byte by byte")

    # --- numbers ----------------------------------------------------------------------------------------------------

    def _intern(self, half: Half) -> int:
        key = half.key()
        number = self._ids.get(key)
        if number is None:
            number = self._ids[key] = len(self._blobs)
            if number > MASK:
                raise ExplorationError(f"more than {MASK:,} states of a side: the world is too large to be explored")
            self._add(key, snapshot(half), half)
        return number

    def _add(self, key: bytes, blob: bytes, half: Half) -> None:
        """``half`` is what ``blob`` holds, and is used up."""
        self._blobs.append(blob)
        self._keys.append(key)
        self._steps.append({})
        call = half.call
        self._known.append(
            Known(
                name=half.name,
                closed=half.closed,
                over=half.over,
                heard_end=half.heard_end,
                ended=half.ended,
                call_ended=None if call is None else call.ended,
                began=call is not None,
                accepted=half.accepted,
                taken=half.taken,
                owes=model.owes(half.model),
                streams=half.engine.open_calls,
                inputs=tuple(halves.inputs(half)),  # the last: it uses the half up
            )
        )

    def _item(self, item: Item) -> int:
        number = self._item_ids.get(item)
        if number is None:
            number = self._item_ids[item] = len(self._items)
            self._items.append(item)
            self._hearings.append(Input("hears", item))
        return number

    # --- many machines, many days -----------------------------------------------------------------------------------

    def _owner(self, state: State) -> int:
        if self.shard[1] == 1:
            return 0
        digest = hashlib.blake2b(self._keys[state.client] + self._keys[state.server], digest_size=4)
        for number in (*self._wires[state.up], -1, *self._wires[state.down]):
            digest.update(b"|" if number < 0 else wire_bytes(self._items[number].frame))
        return int.from_bytes(digest.digest(), "big") % self.shard[1]

    @property
    def _world(self) -> tuple[int, str, bool]:
        return VERSION, str(self.bounds), self.reduced

    def hand_over(self, shard: int) -> bytes | None:
        """What was found for another shard since the last time, to be taken in there; None: nothing."""
        states = self.outboxes.pop(shard, None)
        if not states:
            return None
        used = {number for state in states for number in (state.client, state.server)}
        wires = {number: self._wires[number] for state in states for number in (state.up, state.down)}
        items = {number for frames in wires.values() for number in frames}
        return pickle.dumps(
            (
                self._world,
                {number: (self._keys[number], self._blobs[number]) for number in sorted(used)},
                {number: self._items[number] for number in sorted(items)},
                wires,
                sorted(states),
            )
        )

    def take_in(self, handed: bytes) -> int:
        """The states that another shard has handed over; how many of them are new. Raises `ExplorationError`."""
        world, blobs, items, wires, states = _unpickled(handed, "what was handed over")
        if world != self._world:
            raise ExplorationError("what was handed over is of another world: start all shards with the same options")
        numbers = {}
        for number, (key, blob) in blobs.items():
            if key not in self._ids:
                self._ids[key] = len(self._blobs)
                self._add(key, blob, restored(blob))
            numbers[number] = self._ids[key]
        frames = {number: self._item(item) for number, item in items.items()}
        lines = {number: self._wire(tuple(frames[one] for one in wire)) for number, wire in wires.items()}
        before = len(self._seen)
        for client, server, up, down in states:
            packed = State(numbers[client], numbers[server], lines[up], lines[down]).packed
            if packed not in self._seen:
                self._reach(packed, None)
        return len(self._seen) - before

    def save(self, path: Path) -> None:
        """Writes all of it; a file that was there before is there until the new one is whole."""
        partly = path.with_name(path.name + ".partly")
        partly.write_bytes(pickle.dumps(((*self._world, self.shard), self.__dict__)))
        partly.replace(path)

    @classmethod
    def load(cls, path: Path, bounds: Bounds, *, reduced: bool = False, shard: tuple[int, int] = (0, 1)) -> Explorer:
        """What `save` wrote. Open only files of your own: they are pickles. Raises `ExplorationError`, OSError."""
        world, content = _unpickled(path.read_bytes(), str(path))
        if world != (VERSION, str(bounds), reduced, shard):
            raise ExplorationError(f"{path} is of another world, {world[1:]}: take the same options, or another file")
        explorer = cls.__new__(cls)
        explorer.__dict__.update(content)
        return explorer


def _unpickled(data: bytes, what: str) -> Any:
    try:
        content = pickle.loads(data)  # noqa: S301 - our own bytes
    except Exception as error:
        raise ExplorationError(f"{what} can not be read: {error}") from error
    if not isinstance(content, tuple) or not isinstance(content[0], tuple) or content[0][0] != VERSION:
        raise ExplorationError(f"{what} is not an exploration of this version")
    return content


def explore(bounds: Bounds, *, reduced: bool = False, thorough: bool = False) -> Explorer:
    """All of a world. Raises `PropertyError`."""
    explorer = Explorer(bounds, reduced=reduced, thorough=thorough)
    explorer.run()
    return explorer
