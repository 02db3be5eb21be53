"""The lane without HTTP/2 keeps to the rules of a lane."""

import pytest

from duplexcore import ErrorCode
from duplexcore.call.in_process import Direction
from tests.support.calls import Joined, code, history


@pytest.mark.req("DUP-8")
def test_a_call_that_ends_before_it_was_opened_carries_nothing() -> None:
    joined = Joined()
    joined.client.cancel()
    assert joined.link.closed
    assert not any(joined.link.pull(way, 0.0) or joined.link.deliver(way) for way in Direction)
    assert joined.aborts(Direction.TO_SERVER) == []
    assert history(joined.server) == ""
    assert code(joined.client) == "CANCELLED"


@pytest.mark.req("DUP-36")
def test_one_reset_at_most_in_each_direction_and_none_after_both_ends() -> None:
    joined = Joined().run()
    lane = joined.link.client
    lane.abort(ErrorCode.CANCEL)
    lane.abort(ErrorCode.NO_ERROR)
    assert joined.aborts(Direction.TO_SERVER) == [ErrorCode.CANCEL]
    done = Joined().run()
    done.client.half_close()
    done.server.finish()
    done.run()
    for lane in done.link.lanes.values():
        lane.abort(ErrorCode.CANCEL)
        assert not lane.carried
    assert code(done.client) == code(done.server) == "OK"


@pytest.mark.req("DUP-36")
def test_after_a_reset_nothing_more_is_carried() -> None:
    joined = Joined().run()
    joined.server.send_message(b"a")
    joined.link.pull(Direction.TO_CLIENT, 0.0)
    joined.client.cancel()
    assert joined.link.deliver(Direction.TO_SERVER)
    assert joined.link.closed
    assert not joined.link.deliver(Direction.TO_CLIENT)
    assert not joined.link.pull(Direction.TO_CLIENT, 0.0)
    assert history(joined.server) == "CANCELLED"


def test_each_direction_carries_at_most_a_window_that_was_not_taken() -> None:
    joined = Joined(window=20).run()
    joined.client.send_message(bytes(100))
    joined.run()
    assert joined.link.client.room == 0
    while (message := joined.server.take_message()) is None:
        joined.run()
    assert message == bytes(100)
