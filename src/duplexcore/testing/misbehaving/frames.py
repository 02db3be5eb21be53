"""Frames that end a connection, header blocks that do not decode, and frames that must be ignored."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from duplexcore.status import StatusCode
from duplexcore.testing import raw

from .case import Exercise, ServerCase
from .stage import Call, Stage

PROTOCOL_ERROR, FRAME_SIZE_ERROR, STREAM_CLOSED, COMPRESSION_ERROR = 1, 6, 5, 9
S = StatusCode
#: The connection is over, and with it the call: UNAVAILABLE; or INTERNAL, for a fault on the call's own stream.
OVER = (S.UNAVAILABLE, S.INTERNAL)
NEVER_OPENED = 999
#: One header block that no table can decode: an index far beyond both.
GARBAGE = b"\xff\xff\xff\x03"


async def fatal(stage: Stage, frame: Callable[[Call], bytes], codes: tuple[int, ...], rule: str) -> None:
    """What no connection survives: GOAWAY, then the end."""
    call = await stage.call()
    await stage.send(frame(call))
    await stage.says_goodbye(*codes, rule=rule)


async def too_long(stage: Stage) -> None:
    """A frame one byte above what the client takes."""
    call = await stage.call()
    size = stage.judge.client_settings.get(raw.MAX_FRAME, 16_384) + 1
    if size == 2**24:
        stage.check("MAL-7", "limits the size of frames", True)  # it takes what can be said
        await stage.send(call.answer())
        return
    await stage.send(call.headers(), raw.frame(raw.DATA, 0, call.stream, bytes(size)))
    await stage.says_goodbye(FRAME_SIZE_ERROR, rule="MAL-7")


async def ignored(stage: Stage) -> None:
    """Frame types, flags and settings that nobody knows, and priorities, between good frames."""
    call = await stage.call()
    unknown = (
        raw.frame(0xF0, 0xFF, 0, b"what?") + raw.frame(0xF1, 0, call.stream, b"") + raw.frame(0xF2, 0, 7, b"x" * 1000)
    )
    await stage.send(unknown, call.headers(), unknown, raw.priority(call.stream, 3), raw.priority(9))
    await stage.send(raw.frame(raw.DATA, 0xF6, call.stream, call.message()[9:]), unknown, call.trailers())
    await stage.calls_again()


async def in_step(stage: Stage) -> None:
    """A block that fails its call, but whose fields later blocks refer to by index."""
    call = await stage.call()
    await stage.send(call.headers(("x-remembered", "one"), ("Bad-Name", "two"), ("x-also", "three")))
    second = await stage.call()
    head = second.headers(("x-remembered", "one"), ("x-also", "three"))
    await stage.survives(head, second.message(), second.trailers(0, ("x-remembered", "one")), rule="MAL-2")


def headers(payload: bytes, flags: int = raw.EH) -> Callable[[Call], bytes]:
    return lambda call: raw.frame(raw.HEADERS, flags, call.stream, payload)


def always(frame: bytes) -> Callable[[Call], bytes]:
    return lambda _: frame


def on_stream(type_: int, payload: bytes, flags: int = 0) -> Callable[[Call], bytes]:
    return lambda call: raw.frame(type_, flags, call.stream, payload)


def push(call: Call) -> bytes:
    block = call.stage.link.peer.block(raw.request_fields())
    return raw.frame(raw.PUSH_PROMISE, raw.EH, call.stream, (2).to_bytes(4, "big") + block)


def _fatal(name: str, does: str, frame: Callable[[Call], bytes], *codes: int, rule: str = "MAL-7") -> ServerCase:
    script = partial(fatal, frame=frame, codes=codes, rule=rule)
    return ServerCase(name, does, "end the connection", (rule,), script, OVER, exercise=Exercise.ONE)


SIZE, WRONG = FRAME_SIZE_ERROR, PROTOCOL_ERROR
CASES = (
    ServerCase("frame_too_long", "DATA a byte above the client's MAX_FRAME_SIZE", "end the connection", ("MAL-7",),
        too_long, OVER, exercise=Exercise.ONE),
    _fatal("data_in_header_block", "DATA between HEADERS and CONTINUATION",
        lambda call: headers(b"\x88", 0)(call) + call.message(), WRONG),
    _fatal("ping_in_header_block", "PING between HEADERS and CONTINUATION",
        lambda call: headers(b"\x88", 0)(call) + raw.ping(), WRONG),
    _fatal("continuation_alone", "CONTINUATION without HEADERS", on_stream(raw.CONTINUATION, b"\x88", raw.EH), WRONG),
    _fatal("continuation_of_another", "CONTINUATION of another stream",
        lambda call: headers(b"\x88", 0)(call) + raw.frame(raw.CONTINUATION, raw.EH, NEVER_OPENED, b""), WRONG),
    _fatal("headers_never_opened", "HEADERS on a stream that the client has not opened",
        lambda call: call.stage.link.peer.response(NEVER_OPENED), WRONG, STREAM_CLOSED, rule="MAL-8"),
    _fatal("data_never_opened", "DATA on a stream that the client has not opened",
        always(raw.data(NEVER_OPENED, b"x")), WRONG, STREAM_CLOSED, rule="MAL-8"),
    _fatal("headers_on_even_stream", "HEADERS on stream 2", lambda call: call.stage.link.peer.response(2), WRONG,
        STREAM_CLOSED, rule="MAL-8"),
    _fatal("push_promise", "PUSH_PROMISE", push, WRONG, rule="MAL-6"),
    _fatal("data_on_connection", "DATA on stream 0", always(raw.data(0, b"x")), WRONG),
    _fatal("headers_on_connection", "HEADERS on stream 0", always(raw.frame(raw.HEADERS, raw.EH, 0, b"\x88")), WRONG),
    _fatal("settings_on_stream", "SETTINGS on a stream", on_stream(raw.SETTINGS, b""), WRONG),
    _fatal("ping_on_stream", "PING on a stream", on_stream(raw.PING, bytes(8)), WRONG),
    _fatal("goaway_on_stream", "GOAWAY on a stream", on_stream(raw.GOAWAY, bytes(8)), WRONG),
    _fatal("padding_too_long", "more padding than the frame has bytes", on_stream(raw.DATA, b"\xffabc", raw.PADDED),
        WRONG),
    _fatal("settings_size", "SETTINGS of 5 bytes", always(raw.frame(raw.SETTINGS, 0, 0, bytes(5))), SIZE),
    _fatal("settings_ack_size", "an ACK of SETTINGS that has settings",
        always(raw.frame(raw.SETTINGS, raw.ACK, 0, bytes(6))), SIZE),
    _fatal("ping_size", "PING of 7 bytes", always(raw.frame(raw.PING, 0, 0, bytes(7))), SIZE),
    _fatal("rst_size", "RST_STREAM of 3 bytes", on_stream(raw.RST, bytes(3)), SIZE),
    _fatal("window_update_size", "WINDOW_UPDATE of 5 bytes", always(raw.frame(raw.WINDOW_UPDATE, 0, 0, bytes(5))),
        SIZE),
    _fatal("hpack_index", "a header block with an index that is in no table", headers(GARBAGE), COMPRESSION_ERROR,
        rule="MAL-3"),
    _fatal("hpack_cut_off", "a header block that ends inside a field", headers(b"\x88\x40\x0acustom"),
        COMPRESSION_ERROR, rule="MAL-3"),
    _fatal("hpack_huffman", "a header block with broken Huffman coding", headers(b"\x88\x00\x84\xff\xff\xff\xff\x00"),
        COMPRESSION_ERROR, rule="MAL-3"),
    _fatal("hpack_table_size", "a header block that makes the table larger than allowed",
        headers(b"\x3f\xe1\xff\x3f\x88"), COMPRESSION_ERROR, rule="MAL-3"),
    ServerCase("hpack_in_step", "fields of a block that fails its call, used again by index",
        "decode it all the same", ("MAL-2",), in_step, (S.INTERNAL,)),
    ServerCase("frames_unknown", "frame types, flags and PRIORITY that mean nothing here", "ignore them", ("CONN-5",),
        ignored),
)  # fmt: skip
