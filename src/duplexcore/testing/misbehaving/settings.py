"""SETTINGS and flow-control windows: odd ones that must work, and wrong ones."""

from __future__ import annotations

from functools import partial

from duplexcore.status import StatusCode
from duplexcore.testing import raw

from .case import LARGE, LARGE_REQUEST, Exercise, ServerCase
from .frames import OVER, always, fatal
from .stage import Stage, payload_message

NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, CANCEL = 0, 1, 3, 8
S = StatusCode
HIGHEST = 2**31 - 1


async def answers(stage: Stage) -> None:
    """Nothing odd but the first SETTINGS."""
    await stage.calls_again()
    await stage.calls_again()


async def many_settings(stage: Stage) -> None:
    """Twenty SETTINGS one after the other, one of them empty, with ids that nobody knows and one id twice."""
    call = await stage.call()
    for number in range(19):
        await stage.send(raw.settings({raw.MAX_STREAMS: 100 - number, 0xF0F0: number}))
    await stage.send(raw.settings(((raw.MAX_STREAMS, 1), (raw.MAX_STREAMS, 100))), raw.settings())
    await stage.survives(rule="CONN-5")
    await stage.answer(call)
    await stage.calls_again()


async def limit_of_none(stage: Stage) -> None:
    """MAX_CONCURRENT_STREAMS=0, raised a little later: calls wait."""
    await stage.survives(rule="CONN-6")
    stage.check("CONN-6", "opens no stream while the limit is 0", not stage.calls, f"{len(stage.calls)} opened")
    await stage.send(raw.settings({raw.MAX_STREAMS: 1}))
    await stage.calls_again()
    await stage.calls_again()


async def limit_lowered(stage: Stage) -> None:
    """The limit falls to 0 while a call is open, and rises after its end."""
    call = await stage.call()
    await stage.survives(raw.settings({raw.MAX_STREAMS: 0}), rule="CONN-6")
    await stage.survives(call.answer(), rule="CONN-6")
    await stage.send(raw.settings({raw.MAX_STREAMS: 10}))
    await stage.calls_again()


async def header_limit(stage: Stage) -> None:
    """MAX_HEADER_LIST_SIZE=100: less than any request has."""
    await stage.until(lambda: bool(stage.calls or stage.link.ended))
    stage.check("MD-12", "sends no header list above the limit", not stage.calls, "it calls")
    await stage.leaves(rule="MD-12")


async def no_table(stage: Stage) -> None:
    """HEADER_TABLE_SIZE=0: the next header block must begin with saying so (RFC 7541 section 4.2)."""
    call = await stage.call()
    await stage.survives(raw.settings({raw.TABLE_SIZE: 0}), rule="CONN-7")
    await stage.send(call.answer())
    second = await stage.call()
    begins = second.request.payload[:1]
    stage.check("CONN-7", "makes its header table empty", begins == b"\x20", f"the block begins with {begins.hex()}")
    stage.link.peer.decoder.max_allowed_table_size = 0
    await stage.answer(second)


async def window_of_ten(stage: Stage) -> None:
    """No window at first, then 10 bytes at a time, then enough."""
    call = await stage.call(until="headers")
    stage.check("FLOW-7", "sends nothing without a window", call.received == 0, f"{call.received} bytes")
    for total in range(10, 101, 10):
        await stage.send(raw.window_update(call.stream, 10))
        arrived = await stage.until(lambda total=total: call.received >= total)  # type: ignore[misc]
        stage.check("FLOW-7", f"uses a window of {total} bytes", arrived, f"{call.received} bytes came")
    await stage.send(raw.settings({raw.INITIAL_WINDOW: HIGHEST - 1000}), raw.window_update(0, 2**24))
    await stage.until(lambda: call.ended)
    await stage.answer(call)
    await stage.calls_again()


async def negative_window(stage: Stage) -> None:
    """The window is used up, then SETTINGS make it negative; credit below 0 must not wake the client."""
    call = await stage.call(until="headers")
    await stage.until(lambda: call.received >= 65_535)
    await stage.survives(raw.settings({raw.INITIAL_WINDOW: 0}), raw.window_update(0, 2**24), rule="FLOW-7")
    await stage.survives(raw.window_update(call.stream, 65_535), rule="FLOW-7")
    stage.check("FLOW-7", "sends nothing at 0", call.received == 65_535, f"{call.received - 65_535} bytes")
    await stage.send(raw.window_update(call.stream, 1))
    arrived = await stage.until(lambda: call.received > 65_535)
    stage.check("FLOW-7", "goes on above 0", arrived and call.received == 65_536, f"{call.received - 65_535} bytes")
    await stage.send(raw.settings({raw.INITIAL_WINDOW: 2**24}))
    await stage.until(lambda: call.ended)
    await stage.answer(call)
    await stage.calls_again()


async def ends_blocked(stage: Stage) -> None:
    """A status for a client that waits for a window."""
    call = await stage.call(until="headers")
    await stage.send(call.headers(("grpc-status", "9"), end=True), call.rst(NO_ERROR))
    await stage.send(raw.settings({raw.INITIAL_WINDOW: 65_535}))
    await stage.calls_again()


async def overflow(stage: Stage) -> None:
    """A stream's window above 2^31-1."""
    call = await stage.call(until="message")
    await stage.send(raw.window_update(call.stream, HIGHEST), raw.window_update(call.stream, HIGHEST))
    await stage.resets(call, FLOW_CONTROL_ERROR, rule="FLOW-9")
    await stage.calls_again()


async def credit_of_none(stage: Stage) -> None:
    """WINDOW_UPDATE of 0 on a stream: an error of the stream, or of the connection."""
    call = await stage.call(until="message")
    await stage.send(raw.window_update(call.stream, 0))
    await stage.until(lambda: call.reset is not None or bool(stage.judge.goaways))
    if stage.judge.goaways:
        await stage.says_goodbye(PROTOCOL_ERROR, rule="SEC-14")
    else:
        await stage.resets(call, PROTOCOL_ERROR, rule="SEC-14")


async def late_data(stage: Stage) -> None:
    """DATA for a call that the client has cancelled, all that its window takes: the connection's window comes back."""
    call = await stage.call(until="message")
    await stage.send(call.headers(), call.message())
    await stage.resets(call, CANCEL, rule="CANC-1")
    windows = stage.judge.granted
    before = windows.connection
    while (size := min(16_384, windows.room(call.stream))) > 0:
        await stage.send(call.data(bytes(size)))
    spent = before - windows.connection
    restored = await stage.until(lambda: windows.connection >= before - spent // 2)
    stage.check(
        "FLOW-5", "gives the connection credit for DATA of a cancelled call", restored, f"{spent} bytes are lost"
    )
    await stage.calls_again()


async def unread(stage: Stage) -> None:
    """One call's window is filled, and nobody reads there; another call on the connection must work."""
    call = await stage.call(until="message")
    await stage.send(call.headers())
    windows, messages = stage.judge.granted, payload_message(1000) * 100
    for at in range(0, 16 * 2**20, 10_000):  # who gives credit for what nobody reads ends here, too
        if windows.room(call.stream) < 10_000:
            break
        await stage.send(call.data((messages + messages)[at % len(messages) :][:10_000]))
        await stage.until(lambda: windows.connection >= 10_000)
    stage.check("FLOW-2", "gives the connection credit for what nobody reads", windows.connection >= 10_000, "none")
    await stage.calls_again()


def _works(name: str, does: str, rules: str, script: object, **more: object) -> ServerCase:
    return ServerCase(name, does, "work with it", tuple(rules.split()), script, **more)  # type: ignore[arg-type]


def _fatal(name: str, does: str, frame: bytes, code: int, rule: str) -> ServerCase:
    script = partial(fatal, frame=always(frame), codes=(code,), rule=rule)
    return ServerCase(name, does, "end the connection", (rule,), script, OVER, exercise=Exercise.ONE)


CASES = (
    _works("settings_unknown", "first SETTINGS with ids that nobody knows", "CONN-5", answers,
        settings={0xF0F0: 1, 0x2A: 2**32 - 1}),
    _works("settings_many", "twenty SETTINGS one after the other", "CONN-5 CONN-4", many_settings),
    _works("limit_of_none", "MAX_CONCURRENT_STREAMS=0, raised later", "CONN-6 CONN-7", limit_of_none,
        settings={raw.MAX_STREAMS: 0}),
    _works("limit_lowered", "MAX_CONCURRENT_STREAMS=0 while a call is open, raised later", "CONN-6 CONN-7",
        limit_lowered),
    _works("header_table_of_none", "HEADER_TABLE_SIZE=0", "CONN-7", no_table),
    ServerCase("header_limit", "MAX_HEADER_LIST_SIZE=100, less than a request has", "not send the request",
        ("MD-12",), header_limit, (S.INTERNAL,), exercise=Exercise.ONE, settings={raw.MAX_LIST: 100}),
    _works("window_of_ten", "no window at first, then ten bytes at a time", "FLOW-7", window_of_ten,
        settings={raw.INITIAL_WINDOW: 0}, credit=False, request_size=1000),
    _works("window_negative", "a window that SETTINGS make negative", "FLOW-7", negative_window, credit=False,
        request_size=LARGE_REQUEST),
    ServerCase("window_of_none_and_end", "no window, and status 9", "have the status at once", ("DUP-33", "DUP-3"),
        ends_blocked, (S.FAILED_PRECONDITION,), settings={raw.INITIAL_WINDOW: 0}),
    ServerCase("window_overflow", "a stream's window above 2^31-1", "reset the stream, go on", ("FLOW-9",), overflow,
        (S.INTERNAL,), exercise=Exercise.DUPLEX),
    ServerCase("credit_of_none", "WINDOW_UPDATE of 0 on a stream", "reset the stream, or end the connection",
        ("SEC-14", "H2-6"), credit_of_none, OVER,
        (S.INTERNAL,), exercise=Exercise.ONE),
    _fatal("connection_window_overflow", "the connection's window above 2^31-1", raw.window_update(0, HIGHEST) * 2,
        FLOW_CONTROL_ERROR, "FLOW-9"),
    _fatal("connection_credit_of_none", "WINDOW_UPDATE of 0 on the connection", raw.window_update(0, 0),
        PROTOCOL_ERROR, "SEC-14"),
    _fatal("settings_window_too_large", "INITIAL_WINDOW_SIZE=2^31", raw.settings({raw.INITIAL_WINDOW: 2**31}),
        FLOW_CONTROL_ERROR, "FLOW-9"),
    _fatal("settings_frame_too_small", "MAX_FRAME_SIZE=100", raw.settings({raw.MAX_FRAME: 100}),
        PROTOCOL_ERROR, "SEC-14"),
    _fatal("settings_push", "ENABLE_PUSH=2", raw.settings({raw.ENABLE_PUSH: 2}), PROTOCOL_ERROR, "SEC-14"),
    _works("late_data", "DATA for a call that the client has cancelled", "FLOW-5 CANC-1", late_data,
        status=(S.CANCELLED,), exercise=Exercise.CANCEL),
    _works("unread_call", "as much for one call as its window takes", "FLOW-2 FLOW-3", unread, status=(S.CANCELLED,),
        exercise=Exercise.UNREAD, response_size=LARGE),
)  # fmt: skip
