"""Cases of streams: one way, both ways, in lockstep, empty, compressed message by message."""

from __future__ import annotations

from duplexcore import StatusCode

from . import expect
from .case import Case, CaseRun
from .cases_unary import CODING
from .messages import input_request, output_request

__all__ = ["CASES", "REQUEST_SIZES", "RESPONSE_SIZES"]

REQUEST_SIZES = (27_182, 8, 1_828, 45_904)
RESPONSE_SIZES = (31_415, 9, 2_653, 58_979)


async def _client_streaming(run: CaseRun) -> None:
    async with run.service() as service, service.streaming_input() as call:
        run.doing = f"StreamingInputCall with {len(REQUEST_SIZES)} requests"
        await call.send_all(input_request(size) for size in REQUEST_SIZES)
        came = (await call.response()).aggregated_payload_size
        expect.equal("aggregated_payload_size of the response", came, sum(REQUEST_SIZES), rule="FRM-2")


async def _client_compressed_streaming(run: CaseRun) -> None:
    first, second = REQUEST_SIZES[0], REQUEST_SIZES[-1]
    async with run.service() as service:
        run.doing = "the probe: StreamingInputCall with a plain request, though it says expect_compressed"
        with expect.failing(run.doing, StatusCode.INVALID_ARGUMENT, rule="COMP-11"):
            async with service.streaming_input(compression="identity") as probe:
                await probe.send(input_request(first, expect_compressed=True))
                await probe.response()
        run.doing = "StreamingInputCall with a compressed and a plain request"
        async with service.streaming_input(compression=CODING) as call:
            await call.send(input_request(first, expect_compressed=True), compress=True)
            await call.send(input_request(second, expect_compressed=False), compress=False)
            came = (await call.response()).aggregated_payload_size
            expect.equal("aggregated_payload_size of the response", came, first + second, rule="COMP-8")


async def _server_streaming(run: CaseRun) -> None:
    async with run.service() as service, service.streaming_output(output_request(*RESPONSE_SIZES)) as call:
        run.doing = f"StreamingOutputCall that asks for {len(RESPONSE_SIZES)} responses"
        for number, size in enumerate(RESPONSE_SIZES, 1):
            await expect.reply(f"response {number}", call, size, rule="FRM-2")
        await expect.no_more(f"after response {len(RESPONSE_SIZES)}", call, rule="STAT-1")


async def _server_compressed_streaming(run: CaseRun) -> None:
    sizes, packed = (31_415, 92_653), (True, False)
    request = output_request(*sizes, compressed=packed)
    async with run.service() as service, service.streaming_output(request) as call:
        run.doing = "StreamingOutputCall that asks for a compressed and a plain response"
        for number, (size, flag) in enumerate(zip(sizes, packed, strict=True), 1):
            await expect.reply(f"response {number}", call, size, rule="COMP-1")
            expect.compressed(f"response {number}", call.was_compressed, flag, rule="COMP-8")
        await expect.no_more(f"after response {len(sizes)}", call, rule="STAT-1")


async def _ping_pong(run: CaseRun) -> None:
    async with run.service() as service, service.full_duplex() as call:
        for number, (asked, sent) in enumerate(zip(RESPONSE_SIZES, REQUEST_SIZES, strict=True), 1):
            run.doing = f"request {number} of a FullDuplexCall, before the client half-closes"
            await call.send(output_request(asked, payload=sent))
            await expect.reply(f"the response to request {number}", call, asked, rule="DUP-2")
        run.doing = "the half-close of a FullDuplexCall"
        await call.send_eof()
        await expect.no_more(f"after response {len(RESPONSE_SIZES)} and the half-close", call, rule="STAT-1")


async def _empty_stream(run: CaseRun) -> None:
    async with run.service() as service, service.full_duplex() as call:
        run.doing = "FullDuplexCall that is half-closed without a request"
        await call.send_eof()
        await expect.no_more(run.doing, call, rule="DUP-34")


CASES = (
    Case("client_streaming", "many requests, then one response", ("FRM-2", "FRM-10"), _client_streaming),
    Case(
        "client_compressed_streaming",
        "the server takes compressed and plain requests in one call, and knows which came",
        ("COMP-1", "COMP-8", "COMP-11"),
        _client_compressed_streaming,
    ),
    Case("server_streaming", "one request, many responses, in order", ("FRM-2", "STAT-1"), _server_streaming),
    Case(
        "server_compressed_streaming",
        "the server compresses one response of a call and not another",
        ("COMP-1", "COMP-8", "COMP-11"),
        _server_compressed_streaming,
    ),
    Case("ping_pong", "the server answers each request before the next one is sent", ("DUP-2",), _ping_pong),
    Case("empty_stream", "a call without any message", ("DUP-34",), _empty_stream),
)
