"""Messages: their framing and their compression."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial

from duplexcore.status import StatusCode
from duplexcore.testing import raw

from .case import OK, SMALL, Exercise, ServerCase
from .stage import Stage, payload_bytes, payload_message

CANCEL = 8
S = StatusCode
INTERNAL, EXHAUSTED = (S.INTERNAL,), (S.RESOURCE_EXHAUSTED,)
#: The default limit of a received message, and the payload with which an answer is just as long.
LIMIT = 4 * 2**20
AT_LIMIT = LIMIT - 10
GOOD = payload_message(SMALL)


def gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush()


# --- framing ----------------------------------------------------------------------------------------------------------


async def fault(stage: Stage, prefix: bytes) -> None:
    """Headers and a message that can not be; nothing more: the client must not wait."""
    call = await stage.call()
    await stage.send(call.headers(), call.data(prefix))
    await stage.resets(call, CANCEL, rule="FRM-9")
    await stage.calls_again()


async def cut_off(stage: Stage, size: int, status: int) -> None:
    call = await stage.call()
    await stage.send(call.headers(), call.data(GOOD[:size]), call.trailers(status))
    await stage.calls_again()


async def pieces(stage: Stage) -> None:
    """The message in frames of one byte, with empty frames between them."""
    call = await stage.call()
    await stage.send(call.headers(), call.data())
    for byte in GOOD:
        await stage.send(call.data(bytes((byte,))), call.data())
    await stage.send(call.trailers())
    await stage.calls_again()


async def many_in_one(stage: Stage) -> None:
    call = await stage.call(until="message")
    await stage.send(call.headers(), call.data(GOOD * 3 + GOOD[:7]), call.data(GOOD[7:]), call.trailers())
    await stage.calls_again()


async def empty(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.headers(), call.data(raw.message()), call.trailers())
    await stage.calls_again()


async def at_limit(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.headers())
    await stage.flow(call, payload_message(AT_LIMIT))
    await stage.survives(call.trailers(), rule="FRM-4")


# --- compression ------------------------------------------------------------------------------------------------------


async def packed(stage: Stage, encoding: str | None, message: Callable[[], bytes]) -> None:
    """One message under a ``grpc-encoding``, and OK."""
    call = await stage.call()
    named = () if encoding is None else (("grpc-encoding", encoding),)
    await stage.send(call.headers(*named), call.data(message()), call.trailers())
    await stage.calls_again()


def flagged(body: bytes, flag: int = 1) -> Callable[[], bytes]:
    return lambda: raw.message(body, flag=flag)


async def bomb(stage: Stage) -> None:
    """Some kilobytes that unpack to twice the limit; nothing more: the client must not wait."""
    call = await stage.call()
    packed_up = gzip(payload_bytes(2 * LIMIT))
    await stage.send(call.headers(("grpc-encoding", "gzip")))
    await stage.flow(call, raw.message(packed_up, flag=1))
    await stage.resets(call, CANCEL, rule="COMP-6")
    await stage.calls_again()


def _fault(name: str, does: str, prefix: bytes, rules: str, status: Sequence[StatusCode] = INTERNAL) -> ServerCase:
    return ServerCase(
        name,
        does,
        "cancel at once, go on",
        (*rules.split(), "FRM-9"),
        partial(fault, prefix=prefix),
        tuple(status),
    )


def _packed(
    name: str,
    does: str,
    encoding: str | None,
    message: Callable[[], bytes],
    rules: str,
    status: Sequence[StatusCode] = INTERNAL,
    must: str = "fail this call alone",
    **more: object,
) -> ServerCase:
    script = partial(packed, encoding=encoding, message=message)
    return ServerCase(name, does, must, tuple(rules.split()), script, tuple(status), **more)  # type: ignore[arg-type]


PLAIN = payload_bytes(SMALL)
CASES = (
    _fault("flag_unknown", "a message with the flag 2", b"\2" + GOOD[1:], "FRM-1"),
    _fault("message_too_long", "a prefix that announces 4 MiB and a byte", raw.message(b"\n", length=LIMIT + 1),
        "FRM-4", EXHAUSTED),
    _fault("message_4_gib", "a prefix that announces 4 GiB", raw.message(b"\n", length=2**32 - 1), "FRM-4 FRM-6",
        EXHAUSTED),
    ServerCase("message_at_limit", "a message of 4 MiB", "take it", ("FRM-4", "FLOW-4"), at_limit,
        exercise=Exercise.ONE, response_size=AT_LIMIT),
    ServerCase("message_cut_off", "OK in the middle of a message", "not take it for OK", ("FRM-8",),
        partial(cut_off, size=9, status=0), INTERNAL),
    ServerCase("prefix_cut_off", "OK in the middle of a prefix", "not take it for OK", ("FRM-8",),
        partial(cut_off, size=3, status=0), INTERNAL),
    ServerCase("message_cut_off_by_error", "status 9 in the middle of a message", "have the status", ("FRM-8",),
        partial(cut_off, size=9, status=9), (S.FAILED_PRECONDITION,)),
    ServerCase("message_in_pieces", "a message in frames of one byte and none", "join them", ("FRM-2",), pieces),
    ServerCase("messages_in_one_frame", "three messages and a half in one frame", "cut them", ("FRM-2",), many_in_one,
        exercise=Exercise.DUPLEX, messages=4),
    ServerCase("message_empty", "a message of no bytes", "deliver it", ("FRM-3",), empty),
    _packed("flag_without_encoding", "a message flagged as compressed, no grpc-encoding", None, flagged(gzip(PLAIN)),
        "COMP-2"),
    _packed("flag_with_identity", "the same with grpc-encoding: identity", "identity", flagged(gzip(PLAIN)),
        "COMP-2"),
    _packed("encoding_unknown", "a compressed message, grpc-encoding: lzw", "lzw", flagged(b"lzw?"), "COMP-4",
        says="lzw"),
    _packed("encoding_unknown_unused", "grpc-encoding: lzw, and a plain message", "lzw", lambda: GOOD, "COMP-2",
        (S.OK, S.INTERNAL, S.UNIMPLEMENTED), must="take it", own=OK),
    _packed("gzip", "a message packed with gzip", "gzip", flagged(gzip(PLAIN)), "COMP-1", OK, must="unpack it"),
    _packed("deflate", "a message packed with deflate, the format of zlib", "deflate", flagged(zlib.compress(PLAIN)),
        "COMP-1", OK, must="unpack it"),
    _packed("gzip_unused", "grpc-encoding: gzip, and a plain message", "gzip", lambda: GOOD, "COMP-2", OK,
        must="take it"),
    _packed("gzip_empty", "a message of no bytes, flagged as compressed", "gzip", flagged(b""), "COMP-9",
        (S.OK, S.INTERNAL), must="deliver it empty", own=OK),
    _packed("gzip_corrupt", "a packed message with a wrong byte in it", "gzip",
        flagged(gzip(PLAIN)[:12] + b"\xff\xff" + gzip(PLAIN)[14:]), "COMP-5"),
    _packed("gzip_cut_off", "a packed message without its end", "gzip", flagged(gzip(PLAIN)[:-6]), "COMP-5"),
    _packed("gzip_and_more", "a packed message with more bytes behind it", "gzip", flagged(gzip(PLAIN) + b"more"),
        "COMP-5"),
    ServerCase("gzip_bomb", "some kilobytes that unpack to 8 MiB", "stop unpacking at the limit", ("COMP-6", "FRM-9"),
        bomb, EXHAUSTED),
)  # fmt: skip
