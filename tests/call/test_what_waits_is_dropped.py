"""A call that ends keeps nothing of what waited to be sent, though the call itself may be kept (CANC-5, DUP-41)."""

import tracemalloc

import pytest

from duplexcore import ErrorCode, Origin
from tests.support.calls import NotingLane, client_call

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
