"""Cases of what travels besides messages: metadata, and the status."""

from __future__ import annotations

from duplexcore import Metadata, StatusCode
from duplexcore.rpc import UnaryMethod

from . import expect
from .case import Case, CaseRun
from .messages import LARGE_REQUEST, LARGE_RESPONSE, large, output_request
from .methods import UNIMPLEMENTED_METHOD, UNIMPLEMENTED_SERVICE
from .proto.interop_pb2 import EchoStatus, Empty, SimpleRequest, StreamingOutputCallRequest
from .service import ECHO_INITIAL, ECHO_TRAILING

__all__ = ["CASES", "SPECIAL_MESSAGE"]

INITIAL = "test_initial_metadata_value"
TRAILING = b"\xab\xab\xab"
MESSAGE = "test status message"
SPECIAL_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"


async def _custom_metadata(run: CaseRun) -> None:
    metadata = Metadata([(ECHO_INITIAL, INITIAL), (ECHO_TRAILING, TRAILING)])
    async with run.service() as service:
        run.doing = "UnaryCall with metadata to be echoed"
        result = await service.unary(large(), metadata=metadata)
        expect.body("the response of UnaryCall", result.response.payload, LARGE_RESPONSE)
        _echoed("UnaryCall", result.initial_metadata, result.trailing_metadata)
        run.doing = "FullDuplexCall with metadata to be echoed"
        async with service.full_duplex(metadata=metadata) as call:
            await call.send(output_request(LARGE_RESPONSE, payload=LARGE_REQUEST))
            await call.send_eof()
            await expect.reply("the response of FullDuplexCall", call, LARGE_RESPONSE)
            await expect.no_more("after the response of FullDuplexCall", call)
            _echoed("FullDuplexCall", await call.initial_metadata(), call.trailing_metadata)


def _echoed(where: str, initial: Metadata, trailing: Metadata) -> None:
    expect.equal(f"{ECHO_INITIAL} in the initial metadata of {where}", initial.get(ECHO_INITIAL), INITIAL, rule="MD-6")
    expect.equal(f"{ECHO_TRAILING} in the trailers of {where}", trailing.get(ECHO_TRAILING), TRAILING, rule="MD-5")


async def _status_code_and_message(run: CaseRun) -> None:
    wanted = EchoStatus(code=StatusCode.UNKNOWN, message=MESSAGE)
    async with run.service() as service:
        run.doing = "UnaryCall that asks for a status"
        with expect.failing(run.doing, StatusCode.UNKNOWN, rule="STAT-1") as ending:
            await service.unary(SimpleRequest(response_status=wanted))
        expect.equal("the status message of UnaryCall", ending.error.message, MESSAGE, rule="STAT-1")
        run.doing = "FullDuplexCall that asks for a status"
        with expect.failing(run.doing, StatusCode.UNKNOWN, rule="DUP-3") as ending:
            async with service.full_duplex() as call:
                await call.send(StreamingOutputCallRequest(response_status=wanted))
                await call.send_eof()
                await expect.no_more(run.doing, call, rule="DUP-3")
        expect.equal("the status message of FullDuplexCall", ending.error.message, MESSAGE, rule="DUP-3")


async def _special_status_message(run: CaseRun) -> None:
    wanted = EchoStatus(code=StatusCode.UNKNOWN, message=SPECIAL_MESSAGE)
    async with run.service() as service:
        run.doing = "UnaryCall that asks for a status message with whitespace and Unicode"
        with expect.failing(run.doing, StatusCode.UNKNOWN, rule="STAT-1") as ending:
            await service.unary(SimpleRequest(response_status=wanted))
        expect.equal("the status message", ending.error.message, SPECIAL_MESSAGE, rule="STAT-8")


async def _unimplemented(run: CaseRun, method: UnaryMethod[Empty, Empty]) -> None:
    async with run.service() as service:
        run.doing = f"a call of {method.path}, which the server does not have"
        with expect.failing(run.doing, StatusCode.UNIMPLEMENTED, rule="STAT-12"):
            await service.call(method, Empty())


async def _unimplemented_method(run: CaseRun) -> None:
    await _unimplemented(run, UNIMPLEMENTED_METHOD)


async def _unimplemented_service(run: CaseRun) -> None:
    await _unimplemented(run, UNIMPLEMENTED_SERVICE)


CASES = (
    Case(
        "custom_metadata",
        "text and binary metadata go there and come back, in headers and in trailers",
        ("MD-4", "MD-5", "MD-6"),
        _custom_metadata,
    ),
    Case(
        "status_code_and_message", "a status of the server's own choice", ("STAT-1", "DUP-3"), _status_code_and_message
    ),
    Case(
        "special_status_message",
        "whitespace and Unicode in a status message",
        ("STAT-8", "STAT-9"),
        _special_status_message,
    ),
    Case("unimplemented_method", "a method that the service does not have", ("STAT-12",), _unimplemented_method),
    Case("unimplemented_service", "a service that the server does not have", ("STAT-12",), _unimplemented_service),
)
