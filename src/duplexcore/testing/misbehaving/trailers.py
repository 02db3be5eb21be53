"""How a call may end, and how it may not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from duplexcore.status import StatusCode
from duplexcore.testing import raw
from duplexcore.testing.raw import AnyField

from .case import Exercise, ServerCase
from .stage import Stage

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, STREAM_CLOSED, CANCEL = 0, 1, 2, 5, 8
S = StatusCode
UNKNOWN, INTERNAL = (S.UNKNOWN,), (S.INTERNAL,)


async def ends_with(stage: Stage, fields: Sequence[AnyField]) -> None:
    """A good answer but for its trailers."""
    call = await stage.call()
    await stage.send(call.headers(), call.message(), call.fields(fields, end=True))
    await stage.calls_again()


async def ends_on_data(stage: Stage, fields: Sequence[tuple[str, str]] = ()) -> None:
    call = await stage.call()
    await stage.send(call.headers(*fields), call.message(), call.data(end=True))
    await stage.calls_again()


async def status_twice(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.headers(("grpc-status", "0")), call.message(), call.trailers(9))
    await stage.calls_again()


async def trailers_only(stage: Stage, fields: Sequence[tuple[str, str]]) -> None:
    call = await stage.call()
    await stage.send(call.headers(*fields, end=True))
    await stage.calls_again()


async def headers_then_status(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.headers(("x-early", "bird")), call.trailers(5))
    await stage.calls_again()


async def no_message(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.headers(), call.trailers())
    await stage.calls_again()


async def two_messages(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.headers(), call.message(), call.message())
    await stage.resets(call, CANCEL, rule="STAT-15")
    await stage.calls_again()


async def message_then_error(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.headers(), call.message(), call.trailers(10))
    await stage.calls_again()


async def second_headers(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.headers(), call.message(), call.headers())
    await stage.resets(call, PROTOCOL_ERROR, rule="DUP-21")
    await stage.calls_again()


async def data_first(stage: Stage) -> None:
    call = await stage.call()
    await stage.survives(call.message(), rule="DUP-22")
    await stage.calls_again()


async def early_end(stage: Stage, *, messages: int = 0, reset: int | None = None) -> None:
    """Status 9 though the client has not half-closed: it must end its half, too, unless RST_STREAM has done that."""
    call = await stage.call(until="message")
    frames = [call.headers(), *(call.message() for _ in range(messages)), call.trailers(9)]
    await stage.send(*frames, b"" if reset is None else call.rst(reset))
    if reset is None:
        await stage.until(lambda: call.ended or call.reset is not None)
        fine = call.ended or call.reset in (NO_ERROR, CANCEL)
        came = "neither" if call.reset is None else f"RST_STREAM({raw.code_name(call.reset)})"
        stage.check("DUP-3", "half-closes, or sends RST_STREAM(NO_ERROR)", fine, came)
    await stage.calls_again()


async def reset_behind(stage: Stage, code: int) -> None:
    call = await stage.call()
    await stage.send(call.answer(), call.rst(code))
    await stage.calls_again()


async def data_behind(stage: Stage) -> None:
    """DATA after the end of the stream: an error of the stream or of the connection; the status stands."""
    call = await stage.call()
    await stage.send(call.answer(), call.message(), raw.ping())
    await stage.until(lambda: bool(stage.judge.goaways) or not stage.judge.pings)
    if stage.judge.pings:
        await stage.says_goodbye(STREAM_CLOSED, PROTOCOL_ERROR, rule="MAL-8")


async def closed_stream(stage: Stage) -> None:
    call = await stage.call()
    late = (raw.window_update(call.stream, 1000), raw.priority(call.stream), call.rst(CANCEL))
    await stage.survives(call.answer(), *late, rule="DUP-37")
    await stage.calls_again()


async def deadline_of_server(stage: Stage) -> None:
    call = await stage.call()
    await stage.send(call.headers(("grpc-status", "4"), end=True))
    await stage.calls_again()


async def never_answers(stage: Stage) -> None:
    call = await stage.call()
    stage.check("HDR-12", "sends grpc-timeout", call.request.field(b"grpc-timeout") is not None, "none")
    await stage.resets(call, CANCEL, rule="DUP-12")
    # Too late: dropped, but the header blocks count for HPACK.
    await stage.send(call.headers(("x-late", "1")), call.message(), call.trailers(), call.rst(CANCEL))
    await stage.calls_again()


def _ends(
    name: str, does: str, rules: str, *fields: AnyField, says: str = "", own: tuple[StatusCode, ...] = UNKNOWN
) -> ServerCase:
    status = (*own, S.INTERNAL) if rules.startswith("DUP-20") else own
    return ServerCase(
        name,
        does,
        "not take it for OK",
        tuple(rules.split()),
        partial(ends_with, fields=fields),
        status,
        own,
        says=says,
    )


CASES = (
    _ends("trailers_without_status", "trailers without grpc-status", "DUP-20 ERR-3", ("x-other", "1")),
    _ends("trailers_message_alone", "grpc-message without grpc-status", "STAT-10", ("grpc-message", "fine")),
    _ends("status_text", "grpc-status: OK", "STAT-7", ("grpc-status", "OK"), says="OK"),
    _ends("status_empty", "grpc-status without value", "STAT-7", ("grpc-status", "")),
    _ends("status_negative", "grpc-status: -1", "STAT-7", ("grpc-status", "-1"), says="-1"),
    _ends("status_too_high", "grpc-status: 17", "STAT-7", ("grpc-status", "17"), says="17"),
    _ends("status_repeated", "grpc-status 0 and 5", "STAT-7", ("grpc-status", "0"), ("grpc-status", "5")),
    _ends("message_encoded", "a grpc-message with %-escapes, also broken ones", "STAT-9", ("grpc-status", "9"),
        ("grpc-message", "%E2%98%ba 100%zz %"), says="☺ 100%zz %", own=(S.FAILED_PRECONDITION,)),
    _ends("message_not_utf8", "a grpc-message that is no UTF-8", "STAT-9", ("grpc-status", "9"),
        ("grpc-message", "%FFx"), says="\ufffdx", own=(S.FAILED_PRECONDITION,)),
    ServerCase("end_on_data", "END_STREAM on DATA, no trailers", "fail", ("DUP-19", "ERR-3"), ends_on_data,
        (S.INTERNAL, S.UNKNOWN), INTERNAL),
    ServerCase("status_in_headers", "grpc-status 0 in the headers, and none at the end", "not use it",
        ("STAT-4", "DUP-19"), partial(ends_on_data, fields=[("grpc-status", "0")]), (S.INTERNAL, S.UNKNOWN),
        INTERNAL),
    ServerCase("status_in_both", "grpc-status 0 in the headers, 9 in the trailers", "use the trailers'", ("STAT-4",),
        status_twice, (S.FAILED_PRECONDITION,)),
    ServerCase("trailers_only", "Trailers-Only with status 5 and metadata", "have it as trailing metadata",
        ("STAT-5", "STAT-4"),
        partial(trailers_only, fields=[("grpc-status", "5"), ("grpc-message", "gone"), ("x-why", "because")]),
        (S.NOT_FOUND,), says="gone", metadata=(("x-why", "because"),)),
    ServerCase("trailers_only_ok", "Trailers-Only with OK, no message", "not take it for OK", ("STAT-15",),
        partial(trailers_only, fields=[("grpc-status", "0")]), (S.UNIMPLEMENTED, S.INTERNAL), (S.UNIMPLEMENTED,)),
    ServerCase("no_message", "headers and OK, no message", "not take it for OK", ("STAT-15",), no_message,
        (S.UNIMPLEMENTED, S.INTERNAL), (S.UNIMPLEMENTED,)),
    ServerCase("two_messages", "two messages where the method has one", "cancel at the second", ("STAT-15",),
        two_messages, (S.UNIMPLEMENTED, S.INTERNAL), (S.UNIMPLEMENTED,)),
    ServerCase("message_then_error", "the message, then status 10", "raise the status", ("STAT-16",),
        message_then_error, (S.ABORTED,)),
    ServerCase("headers_then_error", "headers with metadata, then status 5", "have both", ("DUP-23",),
        headers_then_status, (S.NOT_FOUND,), metadata=(("x-early", "bird"),)),
    ServerCase("second_headers", "headers a second time, without END_STREAM", "reset the stream, go on", ("DUP-21",),
        second_headers, INTERNAL),
    ServerCase("data_before_headers", "a message before the headers", "fail", ("DUP-22",), data_first, INTERNAL),
    ServerCase("early_end", "status 9 before the client has half-closed", "have the status, end its half", ("DUP-3",),
        early_end, (S.FAILED_PRECONDITION,), exercise=Exercise.DUPLEX),
    ServerCase("early_end_and_reset", "the same, and RST_STREAM(NO_ERROR) behind it", "have the status",
        ("DUP-4", "DUP-3"), partial(early_end, reset=NO_ERROR), (S.FAILED_PRECONDITION,), exercise=Exercise.DUPLEX),
    ServerCase("early_end_and_error", "the same, and RST_STREAM(INTERNAL_ERROR) behind it", "have the status",
        ("DUP-5",), partial(early_end, reset=INTERNAL_ERROR), (S.FAILED_PRECONDITION,), exercise=Exercise.DUPLEX),
    ServerCase("messages_then_error", "three messages, then status 9", "deliver them, then the status", ("DUP-24",),
        partial(early_end, messages=3), (S.FAILED_PRECONDITION,), exercise=Exercise.DUPLEX, messages=3),
    ServerCase("reset_behind_answer", "a good answer, RST_STREAM(INTERNAL_ERROR) behind it", "keep the answer",
        ("DUP-5",), partial(reset_behind, code=INTERNAL_ERROR)),
    ServerCase("data_behind_answer", "a good answer, DATA behind its end", "keep the answer", ("MAL-8", "DUP-39"),
        data_behind, exercise=Exercise.ONE),
    ServerCase("frames_behind_answer", "WINDOW_UPDATE, PRIORITY and RST_STREAM on a closed stream", "ignore them",
        ("DUP-37",), closed_stream),
    ServerCase("deadline_of_server", "status 4, where the client has no deadline", "have the status", ("DUP-13",),
        deadline_of_server, (S.DEADLINE_EXCEEDED,)),
    ServerCase("never_answers", "nothing until the client resets; then a late answer",
        "keep its deadline, drop what is late", ("DUP-12", "HDR-12", "MAL-2"), never_answers, (S.DEADLINE_EXCEEDED,),
        exercise=Exercise.DEADLINE),
)  # fmt: skip
