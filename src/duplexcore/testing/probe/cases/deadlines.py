"""DEAD: grpc-timeout."""

from __future__ import annotations

from duplexcore.testing.probe.answers import ANSWERED, ANY_STATUS, CANCEL, HTTP_4XX, NOT_OK, Came, found, reset, status
from duplexcore.testing.probe.model import Level, Need
from duplexcore.testing.probe.talk import Talk

from .table import add, case

P2 = "gRPC over HTTP/2, Requests: Timeout"

#: What is no timeout: id, title, value.
WRONG: tuple[tuple[str, str, str], ...] = (
    ("empty", "an empty timeout", ""),
    ("no-unit", "a timeout without a unit", "10"),
    ("no-number", "a timeout without a number", "S"),
    ("nine-digits", "a timeout of nine digits", "100000000S"),
    ("unit", "a timeout with an unknown unit", "10x"),
    ("unit-case", "a timeout with a unit in the other case", "10s"),
    ("negative", "a negative timeout", "-10S"),
    ("fraction", "a timeout with a fraction", "1.5S"),
    ("trailing", "a timeout with more behind it", "10S10S"),
)
#: What is one, and is not over before the call is.
RIGHT: tuple[tuple[str, str, str, str], ...] = (
    ("DEAD-4/longest", "the longest timeout", "99999999H", P2),
    ("DEAD-3/zeros", "a timeout with leading zeros", "00000100S", P2),
    ("DEAD-1/hours", "a timeout in hours", "1H", P2),
    ("DEAD-1/minutes", "a timeout in minutes", "10M", P2),
    ("DEAD-1/milliseconds", "a timeout in milliseconds", "99999999m", P2),
    ("DEAD-1/microseconds", "a timeout in microseconds", "99999999u", P2),
)


def _wrong(id_: str, title: str, value: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(talk.call(("grpc-timeout", value)))

    add(f"DEAD-3/{id_}", title, script, P2, (NOT_OK, HTTP_4XX, reset()), (), Level.SHOULD, Need.METHOD)


def _right(id_: str, title: str, value: str, by: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(talk.call(("grpc-timeout", value)))

    add(id_, title, script, by, [ANSWERED])


for _row in WRONG:
    _wrong(*_row)
for _line in RIGHT:
    _right(*_line)


@case(
    "DEAD-3/any",
    "a timeout that is none must not cost the connection",
    by=P2,
    allowed=[ANY_STATUS, HTTP_4XX, reset()],
)
async def any_end(talk: Talk) -> None:
    await talk.send(talk.call(("grpc-timeout", "soon")))


@case(
    "DEAD-5/passes",
    "a deadline of 100 ms passes while the server waits for the message",
    by="gRPC over HTTP/2, Requests: Timeout; gRPC deadlines guide",
    allowed=[status(4), reset(CANCEL)],
    tolerated=[NOT_OK, reset()],
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def passes(talk: Talk) -> None:
    await talk.send(talk.request(("grpc-timeout", "100m")))


@case(
    "DEAD-5/nanosecond",
    "a deadline of 1 ns, over before it is read: the call ends, with or without an answer",
    by=P2,
    allowed=[ANY_STATUS, reset()],
)
async def nanosecond(talk: Talk) -> None:
    await talk.send(talk.call(("grpc-timeout", "1n")))


@case(
    "DEAD-5/after",
    "a deadline that passes on one call does not touch another",
    by=P2,
    allowed=[found("the other call is answered")],
    needs=Need.METHOD,
)
async def after(talk: Talk) -> Came:
    await talk.send(talk.request(("grpc-timeout", "100m")), talk.request(stream=3))
    await talk.outcome()
    await talk.send(talk.message(3))
    came = await talk.outcome(3)
    return talk.held("the other call is answered") if talk.is_answered(came) else came
