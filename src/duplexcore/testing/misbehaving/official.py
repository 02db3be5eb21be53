"""The official negative cases of HTTP/2 (gRPC doc "negative-http2-interop-test-descriptions")."""

from __future__ import annotations

from functools import partial

from duplexcore.status import StatusCode
from duplexcore.testing import raw

from .case import LARGE, LARGE_REQUEST, Exercise, ServerCase
from .stage import Stage, payload_message

NO_ERROR = 0
BROKEN = (StatusCode.INTERNAL, StatusCode.UNKNOWN)


async def goaway(stage: Stage) -> None:
    call = await stage.call()
    await stage.answer(call)
    await stage.send(raw.goaway(call.stream))
    await stage.leaves(rule="GOAW-5")
    stage.check("GOAW-4", "makes no call after GOAWAY", len(stage.calls) == 1, f"{len(stage.calls) - 1} more")


async def reset(stage: Stage, part: float) -> None:
    """RST_STREAM(NO_ERROR) after that part of the body."""
    while True:
        call = await stage.call()
        body = payload_message(LARGE)
        await stage.send(call.headers())
        await stage.flow(call, body[: int(len(body) * part)])
        await stage.survives(call.rst(NO_ERROR), rule="DUP-6")
        stage.check("DUP-36", "sends no RST_STREAM in return", call.reset is None, "one came")
        if not await stage.until(lambda: bool(stage.waiting)):
            return


async def ping(stage: Stage) -> None:
    call = await stage.call()
    body = payload_message(LARGE)
    await stage.survives(rule="KEEP-1")
    await stage.survives(call.headers(), rule="KEEP-1")
    await stage.flow(call, body[:1000])
    await stage.survives(rule="KEEP-1")
    await stage.flow(call, body[1000:])
    await stage.survives(rule="KEEP-1")
    await stage.survives(call.trailers(), rule="KEEP-1")


async def max_streams(stage: Stage) -> None:
    await stage.survives(raw.settings({raw.MAX_STREAMS: 1}), rule="CONN-6")
    for count in range(11):
        call = await stage.call()
        await stage.send(call.headers())
        # Who does not keep to the limit has opened the next stream before it acknowledges this.
        await stage.survives(rule="CONN-7")
        await stage.flow(call, payload_message(LARGE))
        await stage.send(call.trailers())
        if count == 10:
            stage.check("CONN-7", "makes the calls that had to wait", True)
    stage.check("CONN-6", "never has two streams open", stage.judge.most_open == 1, f"{stage.judge.most_open} open")


async def tiny_frames(stage: Stage, pad: int | None) -> None:
    call = await stage.call()
    await stage.send(call.headers())
    await stage.flow(call, payload_message(LARGE), chunk=5, pad=pad)
    await stage.survives(call.trailers(), rule="FLOW-1")


def _official(name: str, does: str, must: str, rules: str, script: object, **more: object) -> ServerCase:
    more = {"exercise": Exercise.ONE, "request_size": LARGE_REQUEST, "response_size": LARGE, **more}
    return ServerCase(name, does, must, tuple(rules.split()), script, **more)  # type: ignore[arg-type]


CASES = (
    _official("goaway", "GOAWAY after the first answer", "leave this connection, call on a new one", "GOAW-4 GOAW-5",
        goaway, exercise=Exercise.RECONNECT),
    _official("rst_after_header", "RST_STREAM(NO_ERROR) after the headers", "deliver no message", "DUP-6 DUP-36",
        partial(reset, part=0), status=BROKEN, own=BROKEN[:1]),
    _official("rst_during_data", "RST_STREAM(NO_ERROR) after half the body", "deliver no message", "DUP-6 DUP-36",
        partial(reset, part=0.5), status=BROKEN, own=BROKEN[:1]),
    _official("rst_after_data", "RST_STREAM(NO_ERROR) after the body, no trailers", "deliver no message",
        "DUP-6 DUP-36 STAT-17", partial(reset, part=1), status=BROKEN, own=BROKEN[:1]),
    _official("ping", "PINGs before and after headers and data", "acknowledge each", "KEEP-1", ping),
    _official("max_streams", "MAX_CONCURRENT_STREAMS=1, after the connection is there",
        "never open two streams at once", "CONN-6 CONN-7", max_streams, exercise=Exercise.MANY),
    _official("data_frame_padding", "the body in 5-byte frames with 255 bytes of padding each",
        "count padding as flow control does", "FLOW-1", partial(tiny_frames, pad=255)),
    _official("no_df_padding_sanity_test", "the same in 5-byte frames without padding", "take it", "FLOW-1 FRM-2",
        partial(tiny_frames, pad=None)),
)  # fmt: skip
