"""Scripts of calls, and the schedules by which the simulator runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from duplexcore.rpc import MethodKind

from ..sim.choosing import BytesChooser, Chooser, Recorder, TapeChooser
from ..sim.policies import Policy, PrngChooser
from ..sim.scripts import CallScript, draw_script

__all__ = ["HypothesisChooser", "call_scripts", "schedules"]

#: Bytes of a schedule at most: longer runs end in the dull way.
LONGEST = 400


class HypothesisChooser:
    """Each choice is drawn by Hypothesis: shrinks best, and takes longest. ``data`` is what `st.data()` draws."""

    __slots__ = ("_draw",)

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw

    def choose(self, n: int, kind: str, labels: Sequence[object]) -> int:
        return self._draw(st.integers(0, n - 1))


def schedules(policy: Policy | None = None) -> st.SearchStrategy[Chooser]:
    """Choosers for the simulator. Without a policy the choices are a byte string, all zeros at its dullest, which is
    quick and shrinks; with one they are a seed's, which finds more, and a seed does not shrink: its tape does, by
    `duplexcore.testing.sim.shrinking`.
    """
    if policy is not None:
        return st.integers(0, 2**32 - 1).map(lambda seed: PrngChooser(seed, policy))
    return st.binary(max_size=LONGEST).map(BytesChooser)


def call_scripts(
    kind: MethodKind = MethodKind.DUPLEX, *, max_messages: int = 3, endings: bool = True
) -> st.SearchStrategy[CallScript]:
    """What both sides of one call do, for `Scenario`. The dullest is one message each way that ends well.

    ``kind``: which sides are streams: the others send one message. ``endings``: whether somebody may give up: at most
    two of them do.
    """
    one_request = kind in (MethodKind.UNARY, MethodKind.SERVER_STREAMING)
    one_response = kind in (MethodKind.UNARY, MethodKind.CLIENT_STREAMING)

    def made(tape: Sequence[int]) -> CallScript:
        recorder = Recorder(TapeChooser(tape))
        script = draw_script(recorder, max_messages=max_messages, endings=endings)
        changes: dict[str, Any] = {}
        if one_request:
            changes |= {"requests": (script.requests or (3,))[:1], "half_close": True}
        if one_response:
            changes |= {"responses": (script.responses or (3,))[:1]}
        return _changed(_spared(script), changes)

    return st.lists(st.integers(0, 9), max_size=10 + 2 * max_messages).map(made)


def _spared(script: CallScript) -> CallScript:
    """With two terminators at most."""
    if script.cancels and script.aborts and script.timeout is not None:
        return _changed(script, {"timeout": None})
    return script


def _changed(script: CallScript, changes: dict[str, Any]) -> CallScript:
    kept = {name: getattr(script, name) for name in CallScript.__slots__}
    return CallScript(**(kept | changes))
