"""What a call of the transport leaves behind: nothing that the garbage collector would have to find."""

from collections.abc import Awaitable, Callable

import pytest

from duplexcore_anyio import Channel, connect, serve
from tests.support.freed import without_collecting
from tests.support.transport import HELLO, TALK, four_kinds, until


async def asks(channel: Channel) -> None:
    assert await channel.unary(HELLO, b"you") == b"hello, you"


async def talks(channel: Channel) -> None:
    async with channel.duplex(TALK) as call:
        await call.send(b"one")
        assert await call.receive() == b"one"
        await call.send_eof()
        assert [message async for message in call] == []


async def leaves(channel: Channel) -> None:
    async with channel.duplex(TALK) as call:
        await call.send(b"one")
        assert await call.receive() == b"one"


@pytest.mark.parametrize("live", [asks, talks, leaves], ids=lambda live: live.__name__)
async def test_a_call_that_is_over_is_no_garbage(live: Callable[[Channel], Awaitable[None]]) -> None:
    async with serve(four_kinds(), "127.0.0.1:0") as server, connect(f"127.0.0.1:{server.port}") as channel:
        with without_collecting() as left:
            await live(channel)
            await until(lambda: not left())  # a handler ends a moment later
