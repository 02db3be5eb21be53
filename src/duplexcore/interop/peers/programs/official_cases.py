"""The official cases, as every Python peer's client does them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from official import (
    CANCELLED,
    CLIENT_STREAM,
    DEADLINE_EXCEEDED,
    DUPLEX_CALL,
    EMPTY_CALL,
    INITIAL_KEY,
    INITIAL_VALUE,
    INPUT_CALL,
    INVALID_ARGUMENT,
    LARGE_REQUEST,
    LARGE_RESPONSE,
    NO_METHOD,
    NO_SERVICE,
    OUTPUT_CALL,
    SERVER_STREAM,
    SPECIAL_MESSAGE,
    TRAILING_KEY,
    TRAILING_VALUE,
    UNARY_CALL,
    UNIMPLEMENTED,
    UNKNOWN,
    Call,
    Failed,
    Flags,
    Peer,
    Result,
    asking,
    large,
    payload,
    pb,
)

# -- expectations ------------------------------------------------------------------------------------------------------


def equal(what: str, came: object, wanted: object) -> None:
    if came != wanted:
        raise Failed(f"{what}: {wanted!r} expected, {came!r} came")


def code(result: Result, wanted: int = 0) -> None:
    if result.code != wanted:
        raise Failed(f"status {wanted} expected, {result.code} came: {result.message!r}")


def body(response: Any, size: int) -> None:
    if response is None:
        raise Failed(f"a response of {size} bytes expected, none came")
    equal("size of the response's body", len(response.payload.body), size)


def flag(came: bool | None, wanted: bool) -> str:
    """Whether a response was compressed as it was asked to be; what to note if the library does not tell."""
    if came is None:
        return "the sizes hold; the library does not tell whether a message came compressed"
    equal("the response's compressed flag", came, wanted)
    return ""


# -- the cases: each returns what to note beside a pass ----------------------------------------------------------------


async def empty_unary(peer: Peer, _: Flags) -> None:
    result = await peer.unary(EMPTY_CALL, pb.Empty())
    code(result)
    equal("the response", result.response, pb.Empty())


async def large_unary(peer: Peer, _: Flags) -> None:
    result = await peer.unary(UNARY_CALL, large())
    code(result)
    body(result.response, LARGE_RESPONSE)


async def client_compressed_unary(peer: Peer, _: Flags) -> None:
    probe = await peer.unary(UNARY_CALL, large(expect_compressed=pb.BoolValue(value=True)), compress=False)
    code(probe, INVALID_ARGUMENT)
    for compress in (True, False):
        request = large(expect_compressed=pb.BoolValue(value=compress))
        result = await peer.unary(UNARY_CALL, request, compress=compress)
        code(result)
        body(result.response, LARGE_RESPONSE)


async def server_compressed_unary(peer: Peer, _: Flags) -> str:
    note = ""
    for compressed in (True, False):
        result = await peer.unary(UNARY_CALL, large(response_compressed=pb.BoolValue(value=compressed)))
        code(result)
        body(result.response, LARGE_RESPONSE)
        note = flag(result.compressed, compressed)
    return note


async def client_streaming(peer: Peer, _: Flags) -> None:
    call = await peer.stream(INPUT_CALL)
    for size in CLIENT_STREAM:
        await call.send(pb.StreamingInputCallRequest(payload=payload(size)))
    await call.half_close()
    await _aggregated(call, sum(CLIENT_STREAM))


async def client_compressed_streaming(peer: Peer, _: Flags) -> None:
    def sent(size: int, expect: bool) -> Any:
        return pb.StreamingInputCallRequest(payload=payload(size), expect_compressed=pb.BoolValue(value=expect))

    probe = await peer.stream(INPUT_CALL)
    await probe.send(sent(27_182, True), compress=False)
    await probe.half_close()
    code(await probe.end(), INVALID_ARGUMENT)
    call = await peer.stream(INPUT_CALL)
    await call.send(sent(27_182, True), compress=True)
    await call.send(sent(45_904, False), compress=False)
    await call.half_close()
    await _aggregated(call, 73_086)


async def _aggregated(call: Call, total: int) -> None:
    response = await call.receive()
    code(await call.end())
    if response is None:
        raise Failed("a response expected, none came")
    equal("the sum of the sizes", response.aggregated_payload_size, total)


async def server_streaming(peer: Peer, _: Flags) -> None:
    call = await peer.stream(OUTPUT_CALL)
    await call.send(asking(*SERVER_STREAM))
    await call.half_close()
    await _bodies(call, SERVER_STREAM)


async def _bodies(call: Call, sizes: Iterable[int]) -> None:
    for size in sizes:
        body(await call.receive(), size)
    await _nothing_more(call)


async def _nothing_more(call: Call) -> None:
    equal("a response after the last", await call.receive(), None)
    code(await call.end())


async def server_compressed_streaming(peer: Peer, _: Flags) -> str:
    wanted = [(31_415, True), (92_653, False)]
    parameters = [
        pb.ResponseParameters(size=size, compressed=pb.BoolValue(value=compressed)) for size, compressed in wanted
    ]
    call = await peer.stream(OUTPUT_CALL)
    await call.send(pb.StreamingOutputCallRequest(response_parameters=parameters))
    await call.half_close()
    note = ""
    for size, compressed in wanted:
        body(await call.receive(), size)
        note = flag(call.compressed(), compressed)
    await _nothing_more(call)
    return note


async def ping_pong(peer: Peer, _: Flags) -> None:
    call = await peer.stream(DUPLEX_CALL)
    for response, request in zip(SERVER_STREAM, CLIENT_STREAM, strict=True):
        await call.send(asking(response, payload=payload(request)))
        body(await call.receive(), response)
    await call.half_close()
    await _nothing_more(call)


async def empty_stream(peer: Peer, _: Flags) -> None:
    call = await peer.stream(DUPLEX_CALL)
    await call.half_close()
    await _nothing_more(call)


async def custom_metadata(peer: Peer, _: Flags) -> None:
    metadata = [(INITIAL_KEY, INITIAL_VALUE), (TRAILING_KEY, TRAILING_VALUE)]

    def echoed(result: Result) -> None:
        code(result)
        equal("echo in initial metadata", [v for k, v in result.initial if k == INITIAL_KEY], [INITIAL_VALUE])
        equal("echo in trailing metadata", [v for k, v in result.trailing if k == TRAILING_KEY], [TRAILING_VALUE])

    echoed(await peer.unary(UNARY_CALL, large(), metadata=metadata))
    call = await peer.stream(DUPLEX_CALL, metadata=metadata)
    await call.send(asking(LARGE_RESPONSE, payload=payload(LARGE_REQUEST)))
    await call.half_close()
    body(await call.receive(), LARGE_RESPONSE)
    equal("a response after the last", await call.receive(), None)
    echoed(await call.end())


async def status_code_and_message(peer: Peer, _: Flags) -> None:
    status = pb.EchoStatus(code=UNKNOWN, message="test status message")
    unary = await peer.unary(UNARY_CALL, pb.SimpleRequest(response_status=status))
    code(unary, UNKNOWN)
    equal("the status message", unary.message, status.message)
    call = await peer.stream(DUPLEX_CALL)
    await call.send(pb.StreamingOutputCallRequest(response_status=status))
    await call.half_close()
    result = await call.end()
    code(result, UNKNOWN)
    equal("the status message of the duplex call", result.message, status.message)


async def special_status_message(peer: Peer, _: Flags) -> None:
    status = pb.EchoStatus(code=UNKNOWN, message=SPECIAL_MESSAGE)
    result = await peer.unary(UNARY_CALL, pb.SimpleRequest(response_status=status))
    code(result, UNKNOWN)
    equal("the status message", result.message, SPECIAL_MESSAGE)


async def unimplemented_method(peer: Peer, _: Flags) -> None:
    code(await peer.unary(NO_METHOD, pb.Empty()), UNIMPLEMENTED)


async def unimplemented_service(peer: Peer, _: Flags) -> None:
    code(await peer.unary(NO_SERVICE, pb.Empty()), UNIMPLEMENTED)


async def cancel_after_begin(peer: Peer, _: Flags) -> None:
    call = await peer.stream(INPUT_CALL)
    await call.cancel()
    code(await call.end(), CANCELLED)


async def cancel_after_first_response(peer: Peer, _: Flags) -> None:
    call = await peer.stream(DUPLEX_CALL)
    await call.send(asking(31_415, payload=payload(27_182)))
    body(await call.receive(), 31_415)
    await call.cancel()
    code(await call.end(), CANCELLED)


async def timeout_on_sleeping_server(peer: Peer, _: Flags) -> None:
    call = await peer.stream(DUPLEX_CALL, timeout=0.001)
    await call.send(pb.StreamingOutputCallRequest(payload=payload(27_182)))
    code(await call.end(), DEADLINE_EXCEEDED)


async def pick_first_unary(peer: Peer, _: Flags) -> None:
    request = pb.SimpleRequest(response_size=1, payload=payload(1), fill_server_id=True)
    seen = set()
    for _number in range(100):
        result = await peer.unary(UNARY_CALL, request)
        code(result)
        seen.add(result.response.server_id)
    if len(seen) != 1 or "" in seen:
        raise Failed(f"one server_id expected in every response, {sorted(seen)} came")


async def rpc_soak(peer: Peer, flags: Flags) -> None:
    await _soak(flags, lambda: contextlib.nullcontext(peer))


async def channel_soak(_: Peer, flags: Flags) -> None:
    await _soak(flags, lambda: flags.connect(flags))


async def _soak(flags: Flags, channel: Callable[[], contextlib.AbstractAsyncContextManager[Peer]]) -> None:
    faults, until = [], time.monotonic() + flags.soak_overall_timeout_seconds
    for number in range(flags.soak_iterations):
        if time.monotonic() > until:
            raise Failed(f"{number} of {flags.soak_iterations} iterations within the overall timeout")
        started = time.monotonic()
        async with channel() as peer:
            request = pb.SimpleRequest(response_size=flags.soak_response_size, payload=payload(flags.soak_request_size))
            result = await peer.unary(UNARY_CALL, request)
            elapsed = (time.monotonic() - started) * 1000
        size = len(result.response.payload.body) if result.response is not None else 0
        good = result.code == 0 and size == flags.soak_response_size
        if not good or elapsed > flags.soak_per_iteration_max_acceptable_latency_ms:
            faults.append(f"iteration {number}: status {result.code}, {size} bytes, {elapsed:.0f} ms")
    if len(faults) > flags.soak_max_failures:
        raise Failed(f"{len(faults)} of {flags.soak_iterations} iterations failed or were slow; {faults[0]}")


Case = Callable[[Peer, "Flags"], Awaitable[str | None]]
CASES: dict[str, Case] = {
    case.__name__: case
    for case in (
        empty_unary,
        large_unary,
        client_compressed_unary,
        server_compressed_unary,
        client_streaming,
        client_compressed_streaming,
        server_streaming,
        server_compressed_streaming,
        ping_pong,
        empty_stream,
        custom_metadata,
        status_code_and_message,
        special_status_message,
        unimplemented_method,
        unimplemented_service,
        cancel_after_begin,
        cancel_after_first_response,
        timeout_on_sleeping_server,
        pick_first_unary,
        rpc_soak,
        channel_soak,
    )
}
