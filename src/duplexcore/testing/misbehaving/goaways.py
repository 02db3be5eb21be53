"""How a connection ends, and how it does not begin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from duplexcore.status import StatusCode
from duplexcore.testing import raw

from .case import Exercise, ServerCase
from .stage import Stage

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, ENHANCE_YOUR_CALM = 0, 1, 2, 11
UNAVAILABLE = (StatusCode.UNAVAILABLE,)


async def goes_on(stage: Stage, goaways: Sequence[int]) -> None:
    """GOAWAYs with these last ids, then the answer to the call that they leave alone."""
    call = await stage.call()
    await stage.survives(call.headers(), *map(raw.goaway, goaways), rule="DUP-25")
    await stage.send(call.message(), call.trailers(), raw.goaway(call.stream))
    await stage.leaves(rule="GOAW-5")
    stage.check("GOAW-4", "makes no call after GOAWAY", len(stage.calls) == 1, f"{len(stage.calls) - 1} more")


async def below(stage: Stage) -> None:
    await stage.call()
    await stage.send(raw.goaway(0))
    await stage.leaves(rule="GOAW-5")


async def then_closes(stage: Stage, code: int, debug: bytes) -> None:
    call = await stage.call()
    await stage.survives(call.headers(), rule="KEEP-1")
    await stage.send(raw.goaway(call.stream, code, debug))
    await stage.closes()


async def illegal(stage: Stage, goaways: Sequence[int]) -> None:
    await stage.call()
    await stage.send(*map(raw.goaway, goaways))
    await stage.says_goodbye(PROTOCOL_ERROR, rule="GOAW-4")


async def closes(stage: Stage, answered: bool) -> None:
    """The end without GOAWAY, in the middle of an answer or right behind it."""
    call = await stage.call()
    await stage.survives(call.headers(), rule="KEEP-1")
    if answered:
        await stage.send(call.message(), call.trailers())
    await stage.closes()


async def says(stage: Stage, first: bytes) -> None:
    """These bytes instead of SETTINGS."""
    await stage.send(first)
    await stage.leaves(rule="CONN-2")
    stage.judge.forgive()
    stage.check("CONN-2", "makes no call", not stage.calls, f"{len(stage.calls)} came")


async def hangs_up(stage: Stage) -> None:
    await stage.closes()


def _case(name: str, does: str, must: str, rules: str, script: object, **more: object) -> ServerCase:
    return ServerCase(name, does, must, tuple(rules.split()), script, exercise=Exercise.ONE, **more)  # type: ignore[arg-type]


HTTP_1 = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"
CASES = (
    _case("goaway_and_answer", "GOAWAY that leaves the call alone, then its answer", "take the answer, then leave",
        "DUP-25 GOAW-4 GOAW-5", partial(goes_on, goaways=[1])),
    _case("goaway_graceful", "GOAWAY(2^31-1), a lower one, then the answer", "take the answer, then leave",
        "GOAW-4 DUP-25", partial(goes_on, goaways=[raw.MAX_ID, 1])),
    _case("goaway_below", "GOAWAY with last id 0: the call was not processed", "fail it, or try again elsewhere",
        "DUP-26 GOAW-5", below, status=UNAVAILABLE),
    _case("goaway_and_close", "GOAWAY(INTERNAL_ERROR, \"boom\"), then the end", "fail the call", "DUP-27 GOAW-7",
        partial(then_closes, code=INTERNAL_ERROR, debug=b"boom"), status=UNAVAILABLE, says="boom"),
    _case("goaway_too_many_pings", "GOAWAY(ENHANCE_YOUR_CALM, \"too_many_pings\"), then the end", "fail the call",
        "DUP-27 KEEP-7", partial(then_closes, code=ENHANCE_YOUR_CALM, debug=b"too_many_pings"), status=UNAVAILABLE),
    _case("goaway_raised", "GOAWAY(1), then GOAWAY(3)", "end the connection", "GOAW-4",
        partial(illegal, goaways=[1, 3]), status=(StatusCode.UNAVAILABLE, StatusCode.INTERNAL)),
    _case("goaway_even", "GOAWAY(2)", "end the connection", "GOAW-5", partial(illegal, goaways=[2]),
        status=(StatusCode.UNAVAILABLE, StatusCode.INTERNAL)),
    _case("close_mid_call", "the end after the headers", "fail the call", "DUP-29", partial(closes, answered=False),
        status=UNAVAILABLE),
    _case("close_behind_answer", "a good answer, and the end behind it", "take the answer", "DUP-29",
        partial(closes, answered=True)),
    _case("close_at_once", "the end before any byte", "fail to connect", "CONN-2", hangs_up, status=UNAVAILABLE,
        settings=None),
    _case("first_ping", "PING before SETTINGS", "fail to connect", "CONN-2",
        partial(says, first=raw.ping() + raw.settings()), status=UNAVAILABLE, settings=None),
    _case("first_http_1", "an answer of HTTP/1.1", "fail to connect", "CONN-2", partial(says, first=HTTP_1),
        status=UNAVAILABLE, settings=None),
)  # fmt: skip
