"""A call that ends keeps nothing of what waited to be sent, though the call itself may be kept (CANC-5, DUP-41)."""

import tracemalloc

import pytest

from duplexcore import ErrorCode, Origin
from tests.support.calls import REQUEST, NotingLane, block, client_call, server_call

SIZE = 1_000_000


@pytest.mark.req("CANC-5", "DUP-41")
@pytest.mark.parametrize("how", ["cancel", "deadline", "reset"])
def test_the_memory_of_queued_messages_is_free(how: str) -> None:
    call = client_call(NotingLane())
    tracemalloc.start()
    try:
        assert call.send_message(bytes(SIZE))
        queued, _ = tracemalloc.get_traced_memory()
        if how == "cancel":
            call.cancel()
        elif how == "deadline":
            call.on_deadline()
        else:
            call.on_reset(ErrorCode.CANCEL, Origin.PEER)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert queued >= SIZE
    assert kept < SIZE // 10


@pytest.mark.req("SEC-11", "DUP-41")
def test_the_memory_of_a_message_that_never_became_whole_is_free() -> None:
    """The handler may go on for long, and what a peer makes it keep counts no more once the stream is over."""
    call = server_call(NotingLane())
    call.on_headers(block(*REQUEST), end=False)
    tracemalloc.start()
    try:
        call.on_data((SIZE * 2).to_bytes(5, "big") + bytes(SIZE))
        came, _ = tracemalloc.get_traced_memory()
        call.on_reset(ErrorCode.CANCEL, Origin.PEER)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert came >= SIZE
    assert kept < SIZE // 10
