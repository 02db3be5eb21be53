"""The same run with its sides exchanged: what the server has said the client says.

A client begins, so what it says takes fewer steps than the same said by a server, and no small change leads there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Final

from .smaller import Now, Plan
from .turns import Choice, Turn

__all__ = ["mirrored"]

#: Who is in whose place: of actors' names.
PLACES: Final = {"client": "server", "up": "down", "cancels": "aborts", "c": "s"}
OTHERS: Final = PLACES | {other: one for one, other in PLACES.items()}
#: How a call is read and ended: no side's is like the other's, so it is dull.
MANNERS: Final = ("half-close", "server", "client reads", "server reads")


def mirrored(now: Now) -> Iterator[Plan]:
    """One run, which may be longer at first."""
    opening, *turns = now().turns
    # A server can do nothing until its call has come.
    callers = dict.fromkeys(turn.who for turn in turns if re.fullmatch(r"c\d+ writer", turn.who))
    begin = [Turn(who) for who in (*callers, "client", "up")]
    others = [turn._replace(who=_other(turn.who)) for turn in turns]
    yield Plan((Turn("", tuple(_exchanged(opening.choices))), *begin, *others))


def _other(who: str) -> str:
    return re.sub(r"[a-z]+", lambda found: OTHERS.get(found[0], found[0]), who)


def _exchanged(choices: Sequence[Choice]) -> Iterator[Choice]:
    """Each call's requests are as many as its responses were, and as large, and the other way round."""
    at = 0
    while at < len(choices):
        requests = _row(choices, at, "requests")
        responses = _row(choices, at + len(requests), "responses")
        if requests and responses:
            yield from (responses[0]._replace(kind="requests"), *responses[1:])
            yield from (requests[0]._replace(kind="responses"), *requests[1:])
            at += len(requests) + len(responses)
        else:
            yield choices[at]._replace(chosen=0) if choices[at].kind in MANNERS else choices[at]
            at += 1


def _row(choices: Sequence[Choice], at: int, kind: str) -> Sequence[Choice]:
    """How many messages there are, if that is chosen there, and the size of each."""
    if at == len(choices) or choices[at].kind != kind:
        return ()
    sizes = takewhile(lambda choice: choice.kind == "size", choices[at + 1 :])
    return choices[at], *sizes
