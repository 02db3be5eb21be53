"""MAL: requests that are malformed as HTTP/2. A stream error, or a response that refuses; never an answer as if all
were well (RFC 9113 section 8.1.1)."""

from __future__ import annotations

from duplexcore.testing import raw
from duplexcore.testing.probe.answers import MALFORMED, NOT_OK, OTHER_CODE
from duplexcore.testing.probe.model import Need
from duplexcore.testing.probe.talk import Talk
from duplexcore.testing.raw import AnyField

from .table import add, case

NAMES = "RFC 9113 section 8.2.1"
PSEUDO = "RFC 9113 section 8.3"
CONTROL = "RFC 9113 section 8.3.1"
CONNECTION = "RFC 9113 section 8.2.2"
LENGTH = "RFC 9113 section 8.1.1"

#: Fields after those of a good request: id, title, source, name, value.
EXTRA: tuple[tuple[str, str, str, str, str], ...] = (
    ("uppercase", "a field name with an uppercase letter", NAMES, "X-Odd", "1"),
    ("space-in-name", "a field name with a space", NAMES, "x odd", "1"),
    ("colon-in-name", "a field name with a colon inside", NAMES, "x:odd", "1"),
    ("empty-name", "a field without a name", NAMES, "", "1"),
    ("nul", "NUL in a value", NAMES, "x-odd", "a\0b"),
    ("cr", "CR in a value", NAMES, "x-odd", "a\rb"),
    ("lf", "LF in a value", NAMES, "x-odd", "a\nb"),
    ("connection", "connection: close", CONNECTION, "connection", "close"),
    ("keep-alive", "keep-alive", CONNECTION, "keep-alive", "timeout=5"),
    ("proxy-connection", "proxy-connection", CONNECTION, "proxy-connection", "keep-alive"),
    ("transfer-encoding", "transfer-encoding: chunked", CONNECTION, "transfer-encoding", "chunked"),
    ("upgrade", "upgrade: h2c", CONNECTION, "upgrade", "h2c"),
    ("pseudo-late", "a pseudo-header after other fields", PSEUDO, ":scheme", "http"),
    ("method-twice", ":method twice", PSEUDO, ":method", "POST"),
    ("path-twice", ":path twice", PSEUDO, ":path", "/a/b"),
    ("pseudo-unknown", "an unknown pseudo-header", PSEUDO, ":odd", "1"),
    ("status", ":status in a request", PSEUDO, ":status", "200"),
)


def _enter(id_: str, title: str, by: str, extra: AnyField) -> None:
    async def script(talk: Talk) -> None:
        name = extra[0]
        assert isinstance(name, str)
        if id_ == "pseudo-late":
            fields = talk.fields(extra, without=[name])
        elif name.startswith(":"):
            fields = talk.fields(first=[extra])
        else:
            fields = talk.fields(extra)
        await talk.send(talk.headers(fields), talk.message())

    add(f"MAL-1/{id_}", title, script, by, MALFORMED, OTHER_CODE)


def _enter_missing(name: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(talk.headers(talk.fields(without=[name])), talk.message())

    add(f"MAL-1/no-{name[1:]}", f"no {name}", script, CONTROL, MALFORMED, OTHER_CODE)


for _id, _title, _by, _name, _value in EXTRA:
    _enter(_id, _title, _by, (_name, _value))
for _name in (":method", ":scheme", ":path"):
    _enter_missing(_name)


@case("MAL-1/te", "te: gzip", by=CONNECTION, allowed=MALFORMED, tolerated=OTHER_CODE)
async def te(talk: Talk) -> None:
    await talk.send(talk.headers(talk.fields(("te", "gzip"), without=["te"])), talk.message())


@case(
    "MAL-1/empty-path",
    "an empty :path, which no client may send; a server need not call it malformed",
    by=CONTROL,
    allowed=[*MALFORMED, NOT_OK],
    tolerated=OTHER_CODE,
)
async def empty_path(talk: Talk) -> None:
    await talk.send(talk.headers(talk.fields(path="")), talk.message())


@case(
    "MAL-1/pseudo-in-trailers",
    "a pseudo-header in the trailers of a request",
    by="RFC 9113 section 8.1",
    allowed=MALFORMED,
    tolerated=OTHER_CODE,
    needs=Need.METHOD,
)
async def pseudo_in_trailers(talk: Talk) -> None:
    await talk.send(talk.request(), talk.message(end=False), talk.peer.headers(1, [(":path", "/a/b")], end=True))


@case(
    "MAL-1/second-headers",
    "a second header block that does not end the stream",
    by="RFC 9113 section 8.1",
    allowed=MALFORMED,
    tolerated=OTHER_CODE,
    needs=Need.METHOD,
)
async def second_headers(talk: Talk) -> None:
    await talk.send(talk.request(), talk.peer.headers(1, [("x-odd", "1")]))


@case(
    "MAL-2/in-step",
    "a malformed block fills the HPACK table, and the next request is written with it",
    by="RFC 9113 section 4.3; RFC 7541 section 2.3",
    allowed=MALFORMED,
    tolerated=OTHER_CODE,
)
async def in_step(talk: Talk) -> None:
    """The good call that follows refers to entries that only this block has made."""
    await talk.send(talk.headers(talk.fields(("X-Odd", "1"), ("x-kept", "in the table"))), talk.message())


@case(
    "MAL-4/longer",
    "a content-length that is less than the DATA",
    by=LENGTH,
    allowed=MALFORMED,
    tolerated=OTHER_CODE,
    needs=Need.METHOD,
)
async def longer(talk: Talk) -> None:
    length = len(raw.message(talk.target.message)) - 1
    await talk.send(talk.call(("content-length", str(length))))


@case(
    "MAL-4/shorter",
    "a content-length that is more than the DATA",
    by=LENGTH,
    allowed=MALFORMED,
    tolerated=OTHER_CODE,
    needs=Need.METHOD,
)
async def shorter(talk: Talk) -> None:
    length = len(raw.message(talk.target.message)) + 1
    await talk.send(talk.call(("content-length", str(length))))
