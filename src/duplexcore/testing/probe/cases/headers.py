"""HDR: the fields that define a request."""

from __future__ import annotations

from duplexcore.testing.probe.answers import (
    ANSWERED,
    ANY_END,
    ANY_STATUS,
    CLOSED,
    HTTP_4XX,
    NOT_OK,
    goaway,
    http,
    reset,
)
from duplexcore.testing.probe.model import Level, Need
from duplexcore.testing.probe.talk import Talk

from .table import case

P2 = "gRPC over HTTP/2, Requests"
NOT_ROUTED = (NOT_OK, HTTP_4XX, reset())


@case(
    "HDR-2/get",
    "a GET of a method",
    by=P2,
    allowed=[HTTP_4XX, NOT_OK, reset()],
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def get(talk: Talk) -> None:
    await talk.send(talk.headers(talk.fields(method="GET")), talk.message())


@case(
    "HDR-3/other-scheme",
    "the scheme of the other kind of transport, as behind a proxy that ends TLS",
    by="RFC 9113 section 8.3.1; gRPC over HTTP/2, Requests",
    allowed=[ANSWERED],
    tolerated=ANY_END,
    level=Level.NOTE,
)
async def other_scheme(talk: Talk) -> None:
    scheme = "http" if talk.target.tls else "https"
    await talk.send(talk.headers(talk.fields(scheme=scheme)), talk.message())


@case("HDR-4/no-slash", "a path without a slash", by=P2, allowed=[*NOT_ROUTED, goaway(), CLOSED])
async def no_slash(talk: Talk) -> None:
    await talk.send(talk.call(path=talk.target.path.removeprefix("/")))


@case("HDR-4/one-slash", "a path without a method", by=P2, allowed=NOT_ROUTED)
async def one_slash(talk: Talk) -> None:
    await talk.send(talk.call(path=talk.target.path.rpartition("/")[0]))


@case("HDR-4/other-case", "the method's path in the other case", by=P2, allowed=NOT_ROUTED, needs=Need.METHOD)
async def other_case(talk: Talk) -> None:
    await talk.send(talk.call(path=talk.target.path.swapcase()))


@case(
    "HDR-4/percent-encoded",
    "the method's path with a letter percent-encoded",
    by=P2,
    allowed=NOT_ROUTED,
    needs=Need.METHOD,
)
async def percent_encoded(talk: Talk) -> None:
    service, _, method = talk.target.path.rpartition("/")
    await talk.send(talk.call(path=f"{service}/%{ord(method[0]):02X}{method[1:]}"))


@case("HDR-4/two-slashes", "the method's path after a second slash", by=P2, allowed=NOT_ROUTED, needs=Need.METHOD)
async def two_slashes(talk: Talk) -> None:
    await talk.send(talk.call(path="/" + talk.target.path))


@case(
    "HDR-6/host",
    "host instead of :authority",
    by="RFC 9113 section 8.3.1",
    allowed=[ANSWERED],
    tolerated=ANY_END,
    level=Level.SHOULD,
)
async def host(talk: Talk) -> None:
    await talk.send(talk.headers(talk.fields(("host", "localhost"), without=[":authority"])), talk.message())


@case("HDR-6/neither", "neither :authority nor host", by="RFC 9113 section 8.3.1", allowed=ANY_END)
async def no_authority(talk: Talk) -> None:
    await talk.send(talk.headers(talk.fields(without=[":authority"])), talk.message())


@case("HDR-6/two-hosts", "host twice", by="RFC 9110 section 7.2", allowed=ANY_END)
async def two_hosts(talk: Talk) -> None:
    hosts = [("host", "one"), ("host", "two")]
    await talk.send(talk.headers(talk.fields(*hosts, without=[":authority"])), talk.message())


@case("HDR-7/no-te", "no te: trailers; servers differ, but the call must end", by=P2, allowed=ANY_END)
async def no_te(talk: Talk) -> None:
    await talk.send(talk.headers(talk.fields(without=["te"])), talk.message())


@case(
    "HDR-9/text",
    "content-type text/plain",
    by=f"{P2}: SHOULD respond with 415",
    allowed=[http(415)],
    tolerated=[HTTP_4XX, NOT_OK, reset()],
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def text(talk: Talk) -> None:
    fields = talk.fields(("content-type", "text/plain"), without=["content-type"])
    await talk.send(talk.headers(fields), talk.message())


@case(
    "HDR-9/none",
    "no content-type",
    by=f"{P2}: SHOULD respond with 415",
    allowed=[http(415)],
    tolerated=[HTTP_4XX, NOT_OK, reset()],
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def no_content_type(talk: Talk) -> None:
    await talk.send(talk.headers(talk.fields(without=["content-type"])), talk.message())


@case(
    "HDR-9/proto",
    "content-type application/grpc+proto, the one that most clients send",
    by=P2,
    allowed=[ANY_STATUS],
)
async def proto(talk: Talk) -> None:
    fields = talk.fields(("content-type", "application/grpc+proto"), without=["content-type"])
    await talk.send(talk.headers(fields), talk.message())


@case(
    "HDR-16/trailers",
    "trailers after the message of a request: HTTP allows them, gRPC does not use them",
    by="RFC 9113 section 8.1",
    allowed=[ANSWERED],
    tolerated=ANY_END,
    level=Level.SHOULD,
    needs=Need.METHOD,
)
async def request_trailers(talk: Talk) -> None:
    await talk.send(talk.request(), talk.message(end=False), talk.peer.headers(1, [("x-checksum", "0")], end=True))
