"""What the applications of a simulation mean to do: scripts, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from duplexcore.metadata import MetadataLike
from duplexcore.status import StatusCode

from .choosing import Chooser

__all__ = ["CallScript", "draw_script", "payload"]

#: Sizes of messages that matter: none, less and as much as a prefix, about a frame, more than one.
SIZES = (3, 0, 1, 4, 5, 200, 16_379, 16_380, 40_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallScript:
    """One call: what each side sends, and what else may happen to it. The order of it all is the simulation's.

    ``requests`` and ``responses`` are sizes in bytes. Each side has a task that writes and one that reads, so nothing
    here says when anything is read. ``client_takes`` and ``server_takes``: how many events the reader takes before it
    stops for good; None: all.
    """

    requests: Sequence[int] = ()
    half_close: bool = True
    responses: Sequence[int] = ()
    status: StatusCode = StatusCode.OK
    status_message: str = ""
    metadata: MetadataLike = ()
    #: Whether the server says its initial metadata before all else, and which.
    initial_metadata: bool = False
    early: MetadataLike = (("early", "yes"),)
    trailing_metadata: MetadataLike = ()
    #: What is before the last part of the method's name; what it is called on, and the messages' subtype.
    service: str = "sim.Calls"
    authority: str | None = None
    subtype: str = ""
    #: The method has one request, one response.
    single_request: bool = False
    single_response: bool = False
    #: The coding of the requests; None: the configuration's. And for both sides, in turn, which messages are packed.
    coding: str | None = None
    packs: Sequence[bool | None] = (None,)
    #: The server ends the call only when it has read the client's half-close.
    drains: bool = False
    #: The client may cancel, the server abort, at any moment.
    cancels: bool = False
    aborts: bool = False
    #: Seconds from the start.
    timeout: float | None = None
    client_takes: int | None = None
    server_takes: int | None = None


@lru_cache(maxsize=512)
def payload(who: str, call: int, index: int, size: int) -> bytes:
    """A message that shows whose it is and which one: ``size`` bytes."""
    name = f"{who}{call}.{index} ".encode()
    return (name * (size // len(name) + 1))[:size]


def draw_script(chooser: Chooser, *, max_messages: int = 3, endings: bool = True) -> CallScript:
    """A script by choice; the one of all zeros is a unary call that ends well."""

    def pick(kind: str, options: Sequence[object]) -> int:
        return chooser.choose(len(options), kind, options)

    def sizes(kind: str) -> tuple[int, ...]:
        return tuple([SIZES[pick("size", SIZES)] for _ in range(counts[pick(kind, counts)])])

    counts = _counts(max_messages)
    requests, responses = sizes("requests"), sizes("responses")
    code = (StatusCode.OK, StatusCode.NOT_FOUND)[pick("status", ("OK", "NOT_FOUND"))]
    extra = pick("endings", ("none", "cancel", "deadline", "abort", "all")) if endings else 0
    return CallScript(
        requests=requests,
        responses=responses,
        half_close=not pick("half-close", ("yes", "no")),
        drains=not pick("server", ("drains", "answers")),
        status=code,
        status_message="" if code is StatusCode.OK else f"not here: {len(responses)}",
        initial_metadata=bool(pick("initial metadata", ("with the first message", "at once"))),
        metadata=(("index", "1"), ("index", "2")),
        trailing_metadata=(("left", str(len(responses))),),
        cancels=extra in (1, 4),
        timeout=1.0 if extra in (2, 4) else None,
        aborts=extra in (3, 4),
        client_takes=(None, 1)[pick("client reads", ("all", "once"))],
        server_takes=(None, 1)[pick("server reads", ("all", "once"))],
    )


@lru_cache(maxsize=128)
def _counts(most: int) -> tuple[int, ...]:
    """How many messages there may be; one is the dull number."""
    return (1, *(count for count in range(most + 1) if count != 1))
