"""What applications may say, one command after the other, against an account of it in words (DUP; P28)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import CallEnded, ClientConfig, LocalProtocolError, MessageTooLargeError, Status, StatusCode
from duplexcore.config import ServerConfig
from tests.support.calls import Joined

SIZE = st.sampled_from((0, 1, 95, 96, 100, 101))
STEPS = st.one_of(
    st.tuples(st.just("message"), SIZE),
    st.tuples(st.just("message"), SIZE),
    st.tuples(st.sampled_from(("half-close", "opening", "finish", "end", "deadline")), st.just(0)),
    st.tuples(st.just("run"), st.just(0)),
)


class Account:
    """Of one side: what it has said, and what is queued."""

    def __init__(self, *, client: bool) -> None:
        self.client, self.opened, self.closed, self.finished = client, client, False, False
        self.over: StatusCode | None = None
        self.queued = 0

    def refuses(self, what: str, size: int) -> type[Exception] | None:
        """What a command raises; an end is learned of too late to hold it against anybody."""
        if what == "message" and size > 100:
            return MessageTooLargeError
        if what == "finish" and self.finished and self.over is None:
            return LocalProtocolError
        if self.over is not None:
            return None
        if what == "message" and (self.closed or self.queued >= 100):
            return LocalProtocolError
        if what == "opening" and (self.opened or self.closed):
            return LocalProtocolError
        return None

    @property
    def writable(self) -> bool:
        return self.over is None and not self.closed and self.queued < 100


@pytest.mark.req("DUP-39")
@given(st.lists(st.tuples(st.booleans(), STEPS), max_size=14))
@settings(max_examples=150, database=None)
def test_what_is_said_is_taken_or_refused(steps: list[tuple[bool, tuple[str, int]]]) -> None:
    """Both sides of a call speak, and hear of each other when its link runs."""
    both: dict[str, Any] = {"max_send_message_size": 100, "send_buffer": 100, "max_receive_message_size": 100}
    joined = Joined(client_config=ClientConfig(**both), server_config=ServerConfig(**both)).run()
    accounts = {True: Account(client=True), False: Account(client=False)}
    ends: dict[bool, StatusCode | None] = {True: None, False: None}
    for is_client, (what, size) in steps:
        call: Any = joined.client if is_client else joined.server
        account = accounts[is_client]
        if what == "run":
            joined.run()
            for side, one in ((True, joined.client), (False, joined.server)):
                accounts[side].queued = 0
                accounts[side].over = one.ended.status.code if one.ended else None
            continue
        commands = {
            "message": lambda call=call, size=size: call.send_message(bytes(size)),
            "half-close": call.half_close if is_client else None,
            "opening": None if is_client else call.send_initial_metadata,
            "finish": None if is_client else lambda call=call: call.finish(Status(StatusCode.ABORTED)),
            "end": call.cancel if is_client else call.abort,
            "deadline": call.on_deadline,
        }
        command = commands[what]
        if command is None:
            continue
        if (error := account.refuses(what, size)) is not None:
            with pytest.raises(error):
                command()
        else:
            told = command()
            if what == "message":
                assert told is (account.over is None)
            if account.over is None:
                account.opened = True
                account.queued += 5 + size if what == "message" else 0
                account.closed = account.closed or what in ("half-close", "finish")
                if what in ("end", "deadline"):
                    account.over = StatusCode.CANCELLED if what == "end" else StatusCode.DEADLINE_EXCEEDED
            account.finished = account.finished or what == "finish"
        assert call.writable is account.writable
        assert (call.ended.status.code if call.ended else None) == account.over
        ends[is_client] = ends[is_client] or account.over
        if ends[is_client] is not None:
            assert call.ended.status.code is ends[is_client]  # the first end is the one


@given(st.lists(st.integers(0, 100), max_size=6), st.lists(st.integers(0, 100), max_size=6), st.booleans())
@settings(max_examples=60, database=None)
def test_what_was_said_is_heard(asks: list[int], answers: list[int], reads_first: bool) -> None:
    """Messages in order, then the end of each half."""
    joined = Joined().run()
    for size in asks:
        assert joined.client.send_message(bytes(size))
    joined.client.half_close()
    if reads_first:
        joined.run()
    for size in answers:
        assert joined.server.send_message(bytes(size))
    joined.run()
    heard = [joined.server.take_message() for _ in (*asks, 0)]
    assert heard == [*(bytes(size) for size in asks), None]
    joined.server.finish(Status(StatusCode.ABORTED, "enough"))
    joined.run()
    assert [joined.client.take_message() for _ in (*answers, 0)] == [*(bytes(size) for size in answers), None]
    ended = joined.client.next_event()
    assert isinstance(ended, CallEnded)
    assert ended.status == Status(StatusCode.ABORTED, "enough")
