"""MD: metadata that is odd but whose oddness is none of HTTP/2's: it may cost the call, never the connection."""

from __future__ import annotations

from duplexcore.testing import raw
from duplexcore.testing.probe.answers import ANSWERED, ANY_END, ANY_STATUS, HTTP_4XX, reset
from duplexcore.testing.probe.model import Level
from duplexcore.testing.probe.talk import Talk

from .table import add, case

P2 = "gRPC over HTTP/2, Custom-Metadata"
CALL_ONLY = (ANY_STATUS, reset(), HTTP_4XX)

#: Metadata that every server takes: id, title, source, fields.
GOOD: tuple[tuple[str, str, str, tuple[tuple[str, str], ...]], ...] = (
    ("bin-padded", "binary metadata with padding", P2, (("x-odd-bin", "AAE="),)),
    ("bin-plain", "binary metadata without padding", P2, (("x-odd-bin", "AAE"),)),
    ("bin-empty", "empty binary metadata", P2, (("x-odd-bin", ""),)),
    ("bin-joined", "binary metadata joined by a comma, padded and not", P2, (("x-odd-bin", "AAE=,AAI"),)),
    ("twice", "a key twice", P2, (("x-odd", "1"), ("x-odd", "2"))),
    ("empty", "an empty value", P2, (("x-odd", ""),)),
    ("every-sign", "all printable ASCII in a value", P2, (("x-odd", "".join(map(chr, range(0x21, 0x7F)))),)),
    ("every-key", "all that a key may be made of", P2, (("0-9_a.z-", "1"),)),
)
#: Values that may cost the call.
ODD: tuple[tuple[str, str, str, str, str], ...] = (
    ("MD-8/alphabet", "binary metadata that is no base64", P2, "x-odd-bin", "!?*"),
    ("MD-8/length", "binary metadata of an impossible length", P2, "x-odd-bin", "AAAAA"),
    ("MD-8/trace", "a grpc-trace-bin that is no base64", P2, "grpc-trace-bin", "%%%"),
    ("MD-7/high", "bytes above 0x7f in a value, which HTTP allows", "RFC 9113 section 8.2.1", "x-odd", "\x80\xff"),
    ("MD-7/tab", "a tab in a value, which HTTP allows", "RFC 9110 section 5.5", "x-odd", "a\tb"),
    ("MD-2/reserved", "an unknown name that begins with grpc-", P2, "grpc-odd", "1"),
)


def _good(id_: str, title: str, by: str, extra: tuple[tuple[str, str], ...]) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(talk.call(*extra))

    add(
        f"MD-{6 if id_ in {'twice', 'empty'} else 1 if id_.startswith('every') else 5}/{id_}",
        title,
        script,
        by,
        [ANSWERED],
    )


def _odd(id_: str, title: str, by: str, name: str, value: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(talk.call((name, value)))

    add(id_, title, script, by, CALL_ONLY)


for _row in GOOD:
    _good(*_row)
for _line in ODD:
    _odd(*_line)


@case(
    "MD-10/7k",
    "7 KiB of metadata: less than the limit that the document suggests",
    by="gRPC over HTTP/2, Requests: 8 KiB by default",
    allowed=[ANSWERED],
    tolerated=ANY_END,
    level=Level.SHOULD,
)
async def seven_k(talk: Talk) -> None:
    await talk.send(talk.call(*((f"x-odd-{number}", "v" * 1_000) for number in range(6))))


@case(
    "MD-11/60k",
    "60 KiB of metadata in one value: a limit may be hit, and must be said",
    by="gRPC over HTTP/2, Requests; RFC 9113 section 10.5.1",
    allowed=ANY_END,
)
async def sixty_k(talk: Talk) -> None:
    cuts = [16_000, 32_000, 48_000]
    await talk.send(talk.headers(talk.fields(("x-odd", "v" * 60_000)), cuts=cuts), talk.message())


@case(
    "MD-11/in-step",
    "20 KiB of metadata in 200 fields, all of them for the HPACK table, and a good call after it",
    by="RFC 9113 section 4.3",
    allowed=ANY_END,
)
async def in_step(talk: Talk) -> None:
    many = [(f"x-odd-{number}", "v" * 50) for number in range(200)]
    await talk.send(talk.headers(talk.fields(*many), cuts=[5_000]), talk.message())


@case(
    "MD-13/continuation",
    "a header block cut in four, one of the pieces empty",
    by="RFC 9113 section 6.10",
    allowed=[ANSWERED],
)
async def continuation(talk: Talk) -> None:
    await talk.send(talk.headers(talk.fields(), cuts=[1, 20, 20]), talk.message())


@case(
    "MD-13/padded",
    "HEADERS with padding and priority",
    by="RFC 9113 section 6.2",
    allowed=[ANSWERED],
)
async def padded(talk: Talk) -> None:
    await talk.send(talk.headers(talk.fields(), pad=100, prio=True), talk.message())


@case(
    "MD-15/never-indexed",
    "authorization as a literal that is never indexed",
    by="RFC 7541 section 6.2.3",
    allowed=[ANSWERED],
)
async def never_indexed(talk: Talk) -> None:
    block = talk.peer.block(talk.fields()) + b"\x10\x0dauthorization\x05basic"
    await talk.send(raw.frame(raw.HEADERS, raw.EH, 1, block), talk.message())
