"""Cases of one request and one response: sizes, and compression of either."""

from __future__ import annotations

from duplexcore import StatusCode

from . import expect
from .case import Case, CaseRun
from .messages import LARGE_RESPONSE, large

__all__ = ["CASES", "CODING", "large_unary"]

#: What compressed requests are packed with; the coding that every implementation has.
CODING = "gzip"


async def _empty_unary(run: CaseRun) -> None:
    async with run.service() as service:
        run.doing = "EmptyCall with an empty message"
        result = await service.empty()
        size = result.response.ByteSize()
        expect.holds("the response", size == 0, expected="a message of 0 bytes", came=f"one of {size}", rule="FRM-3")


async def large_unary(run: CaseRun) -> None:
    async with run.service() as service:
        run.doing = "UnaryCall with large messages"
        result = await service.unary(large())
        expect.body("the response", result.response.payload, LARGE_RESPONSE, rule="FLOW-4")


async def _client_compressed_unary(run: CaseRun) -> None:
    async with run.service() as service:
        run.doing = "the probe: UnaryCall sent plain, though it says expect_compressed"
        with expect.failing(run.doing, StatusCode.INVALID_ARGUMENT, rule="COMP-11"):
            await service.unary(large(expect_compressed=True), compression="identity")
        for packed, rule in ((True, "COMP-1"), (False, "COMP-8")):
            run.doing = f"UnaryCall sent {'compressed with ' + CODING if packed else 'plain'}"
            coding = CODING if packed else "identity"
            result = await service.unary(large(expect_compressed=packed), compression=coding)
            expect.body(f"the response to {run.doing}", result.response.payload, LARGE_RESPONSE, rule=rule)


async def _server_compressed_unary(run: CaseRun) -> None:
    async with run.service() as service:
        for packed in (True, False):
            run.doing = f"UnaryCall with response_compressed {str(packed).lower()}"
            result = await service.unary(large(response_compressed=packed))
            rule = "COMP-7" if packed else "COMP-8"
            expect.compressed(f"the response to {run.doing}", result.was_compressed, packed, rule=rule)
            expect.body(f"the response to {run.doing}", result.response.payload, LARGE_RESPONSE, rule="COMP-1")


CASES = (
    Case("empty_unary", "a message of no bytes is a message", ("FRM-3",), _empty_unary),
    Case("large_unary", "messages larger than the first windows", ("FLOW-4",), large_unary),
    Case(
        "client_compressed_unary",
        "the server takes compressed and plain requests, and knows which came",
        ("COMP-1", "COMP-8", "COMP-11"),
        _client_compressed_unary,
    ),
    Case(
        "server_compressed_unary",
        "the server compresses a response where it is asked to, and only there",
        ("COMP-1", "COMP-7", "COMP-8", "COMP-11"),
        _server_compressed_unary,
    ),
)
