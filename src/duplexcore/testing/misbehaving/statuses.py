"""Answers without a `grpc-status`: the status of HTTP (Table A), and the code of RST_STREAM (Table B)."""

from __future__ import annotations

from functools import partial

from duplexcore.status import StatusCode
from duplexcore.testing import raw

from .case import Exercise, ServerCase
from .stage import Stage

CANCEL, REFUSED = 8, 7
S = StatusCode
#: HTTP status -> what a client makes of it; two where implementations differ and the rules take both.
TABLE_A: dict[int, tuple[StatusCode, ...]] = {
    400: (S.INTERNAL,),
    401: (S.UNAUTHENTICATED,),
    403: (S.PERMISSION_DENIED,),
    404: (S.UNIMPLEMENTED,),
    409: (S.UNKNOWN,),
    412: (S.UNKNOWN,),
    413: (S.UNKNOWN,),
    415: (S.UNKNOWN,),
    418: (S.UNKNOWN,),
    429: (S.UNAVAILABLE,),
    431: (S.INTERNAL, S.UNKNOWN),
    500: (S.UNKNOWN,),
    502: (S.UNAVAILABLE,),
    503: (S.UNAVAILABLE,),
    504: (S.UNAVAILABLE,),
    505: (S.UNKNOWN,),
    800: (S.UNKNOWN,),
}
#: Code of RST_STREAM -> what a client makes of it. REFUSED_STREAM may be retried, and has a case of its own.
TABLE_B: dict[int, tuple[StatusCode, ...]] = {
    0: (S.INTERNAL, S.UNKNOWN),
    1: (S.INTERNAL,),
    2: (S.INTERNAL,),
    3: (S.INTERNAL, S.RESOURCE_EXHAUSTED),
    4: (S.INTERNAL,),
    5: (S.INTERNAL,),
    6: (S.INTERNAL,),
    8: (S.CANCELLED,),
    9: (S.INTERNAL,),
    10: (S.INTERNAL,),
    11: (S.RESOURCE_EXHAUSTED,),
    12: (S.PERMISSION_DENIED,),
    13: (S.INTERNAL,),
    0xABC: (S.INTERNAL, S.UNKNOWN),
}


async def http_status(stage: Stage, status: int) -> None:
    call = await stage.call()
    fields = [(":status", str(status)), ("content-type", "text/html")]
    await stage.send(call.fields(fields), call.data(b"<h1>no gRPC here</h1>", end=True))
    await stage.calls_again()


async def http_status_alone(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.fields([(":status", "503")], end=True))
    await stage.calls_again()


async def http_status_without_end(stage: Stage) -> None:
    call = await stage.call()
    fields = [(":status", "503"), ("content-type", "text/html")]
    await stage.send(call.fields(fields), call.data(b"x" * 4096))
    await stage.resets(call, CANCEL, rule="ERR-1")
    await stage.calls_again()


async def both(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.fields([(":status", "503"), ("content-type", "text/html"), ("grpc-status", "5")], end=True))
    await stage.calls_again()


async def reset(stage: Stage, code: int) -> None:
    call = await stage.call()
    await stage.survives(call.rst(code), rule="DUP-7")
    stage.check("DUP-36", "sends no RST_STREAM in return", call.reset is None, "one came")
    await stage.calls_again()


async def refuse_once(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.rst(REFUSED))
    await stage.calls_again()


async def refuse_always(stage: Stage) -> None:
    while True:
        call = await stage.call()
        await stage.survives(call.rst(REFUSED), rule="DUP-28")
        if not await stage.until(lambda: bool(stage.waiting)):
            break
    stage.check("RETRY-3", "tries a refused call at most twice", len(stage.calls) <= 2, f"{len(stage.calls)} times")


async def reset_mid_stream(stage: Stage) -> None:
    call = await stage.call(until="message")
    await stage.send(call.headers(), call.message(), call.message(), call.rst(2))
    await stage.calls_again()


def _reset(code: int) -> ServerCase:
    name, status = raw.code_name(code), TABLE_B[code]
    words = name.lower() if code < len(raw.CODES) else "unknown_code"
    does = f"RST_STREAM({name}) instead of an answer"
    return ServerCase(
        f"rst_{words}", does, "map the code", ("DUP-7", "DUP-36"), partial(reset, code=code), status, status[:1]
    )


CASES = (
    *(ServerCase(f"http_{code}", f":status {code} with a page", "map the status", ("ERR-1", "ERR-2"),
        partial(http_status, status=code), status, status[:1]) for code, status in TABLE_A.items()),
    ServerCase("http_503_alone", ":status 503 with END_STREAM", "map the status", ("ERR-1",), http_status_alone,
        (S.UNAVAILABLE,)),
    ServerCase("http_503_without_end", ":status 503 and a long page that does not end", "reset the stream, not wait",
        ("ERR-1",), http_status_without_end, (S.UNAVAILABLE,)),
    ServerCase("http_503_with_grpc_status", ":status 503, and grpc-status 5 beside it", "use the grpc-status",
        ("STAT-11",), both, (S.NOT_FOUND,)),
    *map(_reset, TABLE_B),
    ServerCase("rst_refused_stream", "RST_STREAM(REFUSED_STREAM), for the first call alone",
        "fail it, or try again once", ("DUP-28", "RETRY-3"), refuse_once, (S.UNAVAILABLE, S.OK)),
    ServerCase("rst_refused_always", "RST_STREAM(REFUSED_STREAM), for every call", "try again once at most",
        ("DUP-28", "RETRY-3"), refuse_always, (S.UNAVAILABLE,), exercise=Exercise.ONE),
    ServerCase("rst_mid_stream", "two messages, then RST_STREAM(INTERNAL_ERROR)", "deliver both, then fail",
        ("DUP-7",), reset_mid_stream, (S.INTERNAL,), exercise=Exercise.DUPLEX, messages=2),
)  # fmt: skip
