"""A channel lives longer than its connections: states, back-off, drains, and calls that never notice."""

from __future__ import annotations

import logging
import socket
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio.testing
from anyio.abc import ByteStream

from duplexcore import ClientConfig, Frame, FrameType, RpcError, StatusCode
from duplexcore.testing import raw
from duplexcore_anyio import (
    Backoff,
    Channel,
    ChannelState,
    ConnectRefusedError,
    DuplexServerCall,
    connect,
    memory_link,
    serve,
    serve_stream,
)
from duplexcore_anyio.channel_state import CHANNEL, ChannelTurn
from tests.support.net import SETTINGS, Net, served, steady, taking
from tests.support.transport import COUNT, HELLO, SUM, TALK, Tape, four_kinds, until

IDLE, CONNECTING, READY = ChannelState.IDLE, ChannelState.CONNECTING, ChannelState.READY
FAILURE, SHUTDOWN = ChannelState.TRANSIENT_FAILURE, ChannelState.SHUTDOWN
on_virtual_time = pytest.mark.parametrize("backend", ["trio"])


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0.01)


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    return Net(monkeypatch)


async def four_calls(channel: Channel, **options: Any) -> None:
    """One of each kind."""
    assert await channel.unary(HELLO, b"you", **options) == b"hello, you"
    async with channel.server_streaming(COUNT, b"3", **options) as counting:
        assert [number async for number in counting] == [b"0", b"1", b"2"]
    async with channel.client_streaming(SUM, **options) as adding:
        await adding.send_all([b"1", b"2"])
        assert await adding.response() == b"3"
    async with channel.duplex(TALK, **options) as call:
        await call.send(b"a")
        assert await call.receive() == b"a"
        await call.send_eof()
        assert [reply async for reply in call] == []


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("CHAN-1", "CHAN-4")
def test_the_table() -> None:
    assert {state for state, _ in CHANNEL} == set(ChannelState)
    for (state, turn), following in CHANNEL.items():
        if turn is ChannelTurn.CLOSE:
            assert following is SHUTDOWN
        if state is SHUTDOWN:
            assert following is SHUTDOWN
        if state is FAILURE and following is not FAILURE:
            assert turn in (ChannelTurn.CONNECTED, ChannelTurn.CLOSE)
    assert CHANNEL[READY, ChannelTurn.LOST] is IDLE
    assert CHANNEL[CONNECTING, ChannelTurn.FAILED] is FAILURE


@pytest.mark.req("CHAN-1", "CHAN-2", "CHAN-4")
async def test_a_server_that_goes_away_and_comes_back() -> None:
    async with serve(four_kinds(), "127.0.0.1:0") as server:
        address = server.addresses[0]
        async with connect(address, backoff=steady(initial=0.05)) as channel:
            assert channel.state is READY
            await four_calls(channel)
            await server.stop()
            assert await channel.wait_for_state_change(READY) is IDLE
            with pytest.raises(RpcError, match=r"127.0.0.1.*refused the connection") as caught:
                await channel.unary(HELLO, b"")
            assert caught.value.code is StatusCode.UNAVAILABLE
            assert caught.value.unprocessed
            assert channel.state is FAILURE
            async with serve(four_kinds(), address):
                assert await channel.wait_for_state_change(FAILURE) is READY
                await four_calls(channel)
    assert channel.state is SHUTDOWN
    assert channel.is_closed


@pytest.mark.req("CHAN-4", "CHAN-6")
async def test_the_next_call_connects_again(tmp_path: Any) -> None:
    path = f"unix:{tmp_path}/s"
    async with serve(four_kinds(), path) as first, connect(path) as channel:
        await four_calls(channel)
        await first.stop()
        async with serve(four_kinds(), path) as second:
            await channel.wait_for_state_change(READY)
            assert second.connections == 0
            await four_calls(channel)
            assert (second.connections, channel.state) == (1, READY)


@pytest.mark.req("CHAN-2")
async def test_several_watch_the_state() -> None:
    seen: list[ChannelState] = []
    async with serve(four_kinds(), "127.0.0.1:0") as server, anyio.create_task_group() as tasks:

        async def watch() -> None:
            seen.append(await channel.wait_for_state_change(READY))

        async with connect(server.addresses[0]) as channel:
            for _ in range(3):
                tasks.start_soon(watch)
            assert await channel.wait_for_state_change(IDLE) is READY  # it is another one already
            await anyio.wait_all_tasks_blocked()
    assert seen == [SHUTDOWN] * 3


async def test_entering_fails_when_the_first_connection_does() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(ConnectRefusedError):
        async with connect(f"127.0.0.1:{port}"):
            pytest.fail("it connected")


# --- back-off ---------------------------------------------------------------------------------------------------------


@pytest.mark.req("CHAN-3")
def test_the_delays() -> None:
    middle = steady()
    assert [round(middle.delay(n), 3) for n in (0, 1, 2, 3)] == [1.0, 1.6, 2.56, 4.096]
    assert middle.delay(1000) == 120.0
    assert Backoff(draw=lambda: 0.0).delay(0) == pytest.approx(0.8)
    assert Backoff(draw=lambda: 1.0).delay(99) == pytest.approx(144.0)
    drawn = {Backoff().delay(0) for _ in range(20)}
    assert len(drawn) > 1
    assert all(0.8 <= one <= 1.2 for one in drawn)
    for bad in ({"initial": 0}, {"multiplier": 0.5}, {"maximum": 0.5}, {"jitter": 1.0}):
        with pytest.raises(ValueError, match="can not work"):
            Backoff(**bad)


@on_virtual_time
@pytest.mark.req("CHAN-3", "CHAN-4", "CHAN-6")
async def test_attempts_come_further_and_further_apart(backend: str, clock: Any, net: Net) -> None:
    net.behind["10.0.0.1"] = served()
    async with net.running(), connect("10.0.0.1:1", backoff=steady()) as channel:
        await anyio.sleep(130)  # nobody calls: the server closes the connection
        assert channel.state is IDLE
        net.behind["10.0.0.1"] = None
        net.attempts.clear()
        for _ in range(3):
            with pytest.raises(RpcError, match="refused"):
                await channel.unary(HELLO, b"")
        await anyio.sleep(12)
        assert [at for at, _ in net.attempts] == pytest.approx([130, 131, 132.6, 135.16, 139.256], abs=0.01)
        assert channel.state is FAILURE  # all the time
        net.behind["10.0.0.1"] = served()
        assert await channel.wait_for_state_change(FAILURE) is READY
        await four_calls(channel)
        await anyio.sleep(10)
        net.behind["10.0.0.1"] = None  # and from the beginning after READY
    assert net.attempts[-1][0] == pytest.approx(145.81, abs=0.01)


@on_virtual_time
@pytest.mark.req("CHAN-3")
async def test_an_attempt_has_twenty_seconds_or_the_back_off(backend: str, clock: Any, net: Net) -> None:
    net.behind["10.0.0.1"] = served(unused_timeout=1.0)
    async with net.running(), connect("10.0.0.1:1", backoff=steady(initial=1, multiplier=50)) as channel:
        await channel.wait_for_state_change(READY)
        start = anyio.current_time()
        net.behind["10.0.0.1"] = 1e9
        with pytest.raises(RpcError, match="did not answer within 20 s"):
            await channel.unary(HELLO, b"")
        assert anyio.current_time() - start == pytest.approx(20, abs=0.1)
        await anyio.sleep(100)
        # The second began at once, as its delay was over, and may take the 50 s that come before the third.
        assert [at - 1 for at, _ in net.attempts[1:]] == pytest.approx([0, 20, 70], abs=0.1)


@on_virtual_time
@pytest.mark.req("CHAN-3")
async def test_a_server_that_closes_each_connection_is_called_once_a_second(backend: str, clock: Any, net: Net) -> None:
    async def behave(stream: ByteStream) -> None:
        await stream.send(SETTINGS)
        await anyio.sleep(0.01)
        await stream.send(raw.goaway(0))
        await anyio.sleep_forever()

    net.behind["10.0.0.1"] = behave
    async with net.running(), connect("10.0.0.1:1", backoff=steady()) as channel:
        await anyio.sleep(0.1)
        with anyio.move_on_after(60):
            while True:  # each call tries two connections, and the back-off does not grow: each was READY
                with pytest.raises(RpcError):
                    await channel.unary(HELLO, b"", inherit_deadline=False)
        starts = [at for at, _ in net.attempts]
        assert 50 < len(starts) < 70
        assert max(later - one for one, later in pairwise(starts)) < 1.1


# --- waiting for a connection -----------------------------------------------------------------------------------------


@on_virtual_time
@pytest.mark.req("CHAN-6", "CHAN-12", "DEAD-7")
async def test_who_waits_and_how_it_ends(backend: str, clock: Any, net: Net) -> None:
    net.behind["10.0.0.1"] = served(unused_timeout=1.0)
    outcomes: dict[str, Any] = {}
    async with net.running(), connect("10.0.0.1:1", backoff=steady()) as channel:
        await channel.wait_for_state_change(READY)
        net.behind["10.0.0.1"] = 5.0  # refused after 5 s
        start = anyio.current_time()

        async def call(name: str, **options: Any) -> None:
            try:
                outcomes[name] = await channel.unary(HELLO, name.encode(), **options)
            except RpcError as error:
                outcomes[name] = error.code
            outcomes[name] = (outcomes[name], round(anyio.current_time() - start, 1))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(call, "hasty"))
            tasks.start_soon(partial(call, "patient", wait_for_ready=True))
            tasks.start_soon(partial(call, "late", wait_for_ready=True, timeout=7.0))
            tasks.start_soon(partial(call, "soon", timeout=2.0))
            await anyio.sleep(1)
            assert (channel.state, channel.waiting_calls, channel.open_calls) == (CONNECTING, 4, 0)
            async with channel.duplex(TALK) as cancelled:
                waited = [cancelled.is_waiting]
                await cancelled.send(b"never sent")
                cancelled.cancel()
                assert (await cancelled.wait_closed()).code is StatusCode.CANCELLED
                waited.append(cancelled.is_waiting)
            assert waited == [True, False]
            await anyio.sleep(5)
            assert channel.state is FAILURE
            tasks.start_soon(partial(call, "hasty too"))
            net.behind["10.0.0.1"] = served()
    assert outcomes == {
        "hasty": (StatusCode.UNAVAILABLE, 5.0),
        "patient": (b"hello, patient", 10.0),
        "late": (StatusCode.DEADLINE_EXCEEDED, 7.0),
        "soon": (StatusCode.DEADLINE_EXCEEDED, 2.0),
        "hasty too": (StatusCode.UNAVAILABLE, 6.0),
    }


@on_virtual_time
@pytest.mark.req("CHAN-6", "CHAN-11")
async def test_closing_ends_what_waits(backend: str, clock: Any, net: Net) -> None:
    net.behind["10.0.0.1"] = served(unused_timeout=1.0)
    async with net.running(), connect("10.0.0.1:1", config=ClientConfig(max_waiting_calls=1)) as channel:
        await channel.wait_for_state_change(READY)
        net.behind["10.0.0.1"] = 1e9
        async with channel.duplex(TALK, wait_for_ready=True) as call:
            with pytest.raises(RpcError) as caught:
                await channel.unary(HELLO, b"")
            assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
            await channel.aclose()
            assert (await call.wait_closed()).code is StatusCode.CANCELLED
        with pytest.raises(anyio.ClosedResourceError):
            await channel.unary(HELLO, b"")


@pytest.mark.req("CHAN-11")
async def test_closing_in_the_moment_in_which_it_is_ready(caplog: pytest.LogCaptureFixture) -> None:
    class CloseAtSettings:
        armed = False

        def __call__(self, direction: str, frame: Frame) -> None:
            if self.armed and (direction, frame.type) == ("in", FrameType.SETTINGS):
                self.armed = False
                settings.set()

    async def close() -> None:
        await settings.wait()
        await channel.aclose()

    observer, settings = CloseAtSettings(), anyio.Event()
    async with anyio.create_task_group() as tasks, serve(four_kinds(), "127.0.0.1:0") as first:
        address = first.addresses[0]
        async with connect(address, observer=observer) as channel:
            await first.stop()
            await channel.wait_for_state_change(READY)
            tasks.start_soon(close)
            async with serve(four_kinds(), address):
                observer.armed = True
                with pytest.raises(RpcError) as caught:
                    await channel.unary(HELLO, b"")
                assert caught.value.code is StatusCode.CANCELLED
                assert await channel.wait_closed()
    assert channel.state is SHUTDOWN
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@on_virtual_time
@pytest.mark.req("CHAN-6", "CHAN-12", "RETRY-3")
async def test_what_was_said_while_waiting_is_sent_in_order(backend: str, clock: Any, net: Net) -> None:
    net.behind["10.0.0.1"] = served(unused_timeout=1.0)
    async with net.running(), connect("10.0.0.1:1", backoff=steady(initial=3)) as channel:
        await channel.wait_for_state_change(READY)
        net.behind["10.0.0.1"] = None
        sent = 0

        async def say() -> None:
            nonlocal sent
            for number in range(50):
                await call.send(b"%06d" % number * 1000)
                sent += 1
            await call.send_eof()

        async with channel.duplex(TALK, wait_for_ready=True) as call, anyio.create_task_group() as tasks:
            tasks.start_soon(say)
            await anyio.sleep(1)
            assert channel.state is FAILURE
            assert 5 < sent < 15  # as much as the send buffer holds
            net.behind["10.0.0.1"] = served()
            assert [reply async for reply in call] == [b"%06d" % number * 1000 for number in range(50)]


# --- drains -----------------------------------------------------------------------------------------------------------


@on_virtual_time
@pytest.mark.req("CHAN-4", "GOAW-4", "GOAW-5", "D-36")
async def test_open_calls_go_on_where_they_are(backend: str, clock: Any, net: Net) -> None:
    net.behind["10.0.0.1"] = served(max_connection_age=10.0)
    async with net.running(), connect("10.0.0.1:1") as channel, channel.duplex(TALK) as old:
        await old.send(b"a")
        assert await old.receive() == b"a"
        await anyio.sleep(12)
        assert (channel.state, channel.is_draining, channel.open_calls) == (IDLE, True, 1)
        await four_calls(channel)
        assert (channel.state, channel.is_draining, len(net.attempts)) == (READY, True, 2)
        await old.send(b"b")
        assert await old.receive() == b"b"
        await old.send_eof()
        assert [reply async for reply in old] == []
        await until(lambda: not channel.is_draining)
        assert channel.state is READY


@on_virtual_time
@pytest.mark.req("RETRY-3", "SEC-10")
async def test_a_server_that_closes_unused_connections_disturbs_no_call(backend: str, clock: Any, net: Net) -> None:
    net.behind["10.0.0.1"] = served(max_connection_idle=7.0)
    async with net.running(), connect("10.0.0.1:1") as channel:
        for wait in (119.0, 119.999, 120.0, 120.001, 6.9, 6.999, 7.0, 7.001, 7.5, 200.0):
            await anyio.sleep(wait)
            await four_calls(channel)


@on_virtual_time
@pytest.mark.req("RETRY-3", "DUP-26", "GOAW-4")
async def test_calls_of_every_kind_above_the_last_id_are_started_again(backend: str, clock: Any, net: Net) -> None:
    for kind in range(4):
        net.behind["10.0.0.1"] = taking(0, "goaway")
        net.attempts.clear()
        async with net.running(), connect("10.0.0.1:1") as channel:
            net.behind["10.0.0.1"] = served()
            match kind:
                case 0:
                    assert await channel.unary(HELLO, b"you") == b"hello, you"
                case 1:
                    async with channel.server_streaming(COUNT, b"2") as counting:
                        assert [number async for number in counting] == [b"0", b"1"]
                case 2:
                    async with channel.client_streaming(SUM) as adding:
                        await adding.send_all([b"1", b"2"])
                        assert await adding.response() == b"3"
                case _:
                    async with channel.duplex(TALK) as call:
                        await call.send(b"a")
                        assert await call.receive() == b"a"
            assert len(net.attempts) == 2


@on_virtual_time
@pytest.mark.req("RETRY-3")
async def test_a_drain_in_the_middle_of_sending_is_not_noticed(backend: str, clock: Any, net: Net) -> None:
    refuse = anyio.Event()

    async def behave(stream: ByteStream) -> None:
        peer = raw.RawPeer(client=False)
        await stream.send(peer.hello() + raw.window_update(0, 1_000_000))

        async def read() -> None:
            while True:
                peer.read(await stream.receive())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await refuse.wait()
            await stream.send(raw.goaway(0))

    net.behind["10.0.0.1"] = behave
    async with net.running(), connect("10.0.0.1:1") as channel, channel.duplex(TALK) as call:
        net.behind["10.0.0.1"] = served()
        messages = [b"%06d" % number * 1500 for number in range(40)]  # more than a window

        async def say() -> None:
            for number, one in enumerate(messages):
                await call.send(one)
                if number == 10:
                    refuse.set()  # with some of it sent, some half sent, some waiting
            await call.send_eof()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say)
            assert [reply async for reply in call] == messages


@on_virtual_time
@pytest.mark.req("RETRY-3")
async def test_a_refused_call_is_started_again_once(backend: str, clock: Any, net: Net) -> None:
    net.behind["10.0.0.1"] = taking(0, "refuse")
    tape = Tape()
    async with net.running(), connect("10.0.0.1:1", observer=tape) as channel:
        with pytest.raises(RpcError) as caught:
            await channel.unary(HELLO, b"")
        assert caught.value.code is StatusCode.UNAVAILABLE
        assert caught.value.unprocessed
        assert [brief for brief in tape.briefs if "HEADERS" in brief] == ["out HEADERS 1", "out HEADERS 3"]
        assert channel.state is READY


@on_virtual_time
@pytest.mark.req("RETRY-3", "RETRY-4")
async def test_a_large_call_is_not_kept(backend: str, clock: Any, net: Net) -> None:
    async def behave(stream: ByteStream) -> None:
        peer = raw.RawPeer(client=False)
        await stream.send(peer.hello({raw.INITIAL_WINDOW: 2**30}) + raw.window_update(0, 2**30))
        received = 0
        while received < 400_000:
            received += sum(len(frame.payload) for frame in peer.read(await stream.receive()) if frame.type == raw.DATA)
        await stream.send(raw.goaway(0))

    net.behind["10.0.0.1"] = behave
    async with net.running(), connect("10.0.0.1:1") as channel:
        net.behind["10.0.0.1"] = served()
        with pytest.raises(RpcError) as caught:
            await channel.unary(HELLO, bytes(500_000))
        assert caught.value.code is StatusCode.UNAVAILABLE
        assert len(await channel.unary(HELLO, bytes(500_000))) > 500_000


@on_virtual_time
@pytest.mark.req("GOAW-6", "D-38")
async def test_waiting_calls_are_rerouted_in_order(backend: str, clock: Any, net: Net) -> None:
    tape = Tape()

    async def note(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.receive()

    async def behave(stream: ByteStream) -> None:
        peer = raw.RawPeer(client=False)
        await stream.send(peer.hello({raw.MAX_STREAMS: 1}))
        while b"first" not in b"".join(frame.payload for frame in peer.read(await stream.receive())):
            pass
        await anyio.sleep(1)
        await stream.send(raw.goaway(1))
        await anyio.sleep(1)
        await stream.send(peer.trailers_only(1))

    net.behind["10.0.0.1"] = behave
    async with net.running(), connect("10.0.0.1:1", observer=tape) as channel, channel.duplex(TALK) as first:
        net.behind["10.0.0.1"] = served(note)
        await first.send(b"first")
        async with anyio.create_task_group() as tasks:

            async def say(number: int) -> None:
                async with channel.duplex(TALK) as call:
                    await call.send(b"%d" % number)
                    assert call.is_waiting
                    assert (await call.wait_closed()).ok

            for number in range(20):
                await anyio.sleep(0)
                tasks.start_soon(say, number)
            await anyio.sleep(0.5)
            assert (channel.open_calls, channel.waiting_calls) == (1, 20)
        assert (await first.wait_closed()).ok
    sent = [frame.payload[5:] for way, frame in tape.frames if (way, frame.type) == ("out", FrameType.DATA)]
    assert [int(one) for one in sent if one.isdigit()] == list(range(20))


@on_virtual_time
@pytest.mark.req("CONN-9")
async def test_used_up_ids_make_another_connection(backend: str, clock: Any, net: Net) -> None:
    from duplexcore.http2.carrier import LAST_OPENED

    net.behind["10.0.0.1"] = served()
    async with net.running(), connect("10.0.0.1:1") as channel, channel.duplex(TALK) as old:
        engine: Any = next(iter(channel._connections._all)).engine
        await old.send(b"a")
        assert await old.receive() == b"a"
        engine._carrier._next_own_id = LAST_OPENED + 2
        await four_calls(channel)
        assert (len(net.attempts), channel.state, channel.is_draining) == (2, READY, True)
        await old.send(b"b")
        assert await old.receive() == b"b"


@on_virtual_time
@pytest.mark.req("KEEP-7")
async def test_too_many_pings(backend: str, clock: Any, net: Net, caplog: pytest.LogCaptureFixture) -> None:
    net.behind["10.0.0.1"] = served(permit_keepalive_time=30.0, max_ping_strikes=1)
    config = ClientConfig(keepalive_time=10.0)
    lived = []
    async with net.running(), connect("10.0.0.1:1", config=config) as channel:
        for _ in range(3):
            async with channel.duplex(TALK) as call:
                await call.send(b"a")
                assert await call.receive() == b"a"
                start = anyio.current_time()
                with anyio.move_on_after(1000):
                    await call.wait_closed()
                lived.append(round(anyio.current_time() - start))
    assert lived == [pytest.approx(30, abs=10), pytest.approx(60, abs=20), 1000]
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert ["20 s" in warnings[0].getMessage(), "40 s" in warnings[1].getMessage()] == [True, True]
    assert len(warnings) == 2


# --- many addresses ---------------------------------------------------------------------------------------------------


def named(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        assert host == "many.example"
        return [(0, 0, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)


@on_virtual_time
@pytest.mark.req("CHAN-9")
async def test_addresses_are_tried_in_turn(backend: str, clock: Any, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, "10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2")
    net.behind = {"10.0.0.1": 1e9, "fd00::1": 0.1, "10.0.0.2": 1e9, "fd00::2": served()}
    async with net.running(), connect("many.example:1") as channel:
        # A slow one has a quarter of a second, after a failure the next follows at once; families take turns.
        times, order = zip(*net.attempts, strict=True)
        assert order == ("10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2")
        assert times == pytest.approx((0, 0.25, 0.35, 0.6), abs=0.01)
        assert channel.peer == "[fd00::2]:1"
        await four_calls(channel)


@on_virtual_time
@pytest.mark.req("CHAN-9")
async def test_the_first_that_is_ready_wins(
    backend: str, clock: Any, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the first that takes the connection, and says nothing."""
    closed = anyio.Event()

    async def silent(stream: ByteStream) -> None:
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            while True:
                await stream.receive()
        closed.set()

    named(monkeypatch, "10.0.0.1", "10.0.0.2")
    net.behind = {"10.0.0.1": silent, "10.0.0.2": served()}
    async with net.running(), connect("many.example:1") as channel:
        assert channel.peer == "10.0.0.2:1"
        await four_calls(channel)
        await closed.wait()  # the loser is let go


@on_virtual_time
@pytest.mark.req("CHAN-4", "CHAN-9")
@pytest.mark.parametrize("turns", range(4))
async def test_a_winner_that_is_lost_in_the_moment_in_which_it_wins(
    backend: str, clock: Any, net: Net, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """Whenever that is: the channel is not READY without a connection."""

    async def behave(stream: ByteStream) -> None:
        await stream.send(SETTINGS)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        await stream.send(raw.goaway(0))
        await anyio.sleep_forever()

    named(monkeypatch, "10.0.0.1", "10.0.0.2")
    net.behind = {"10.0.0.1": 10.0, "10.0.0.2": served(unused_timeout=1.0)}
    async with net.running(), connect("many.example:1", backoff=steady()) as channel:
        await channel.wait_for_state_change(READY)
        net.behind["10.0.0.2"] = behave
        async with channel.duplex(TALK) as call:
            await anyio.sleep(0.1)
            call.cancel()  # nobody wants a connection any more when there is one
        await anyio.sleep(0.9)
        assert channel.state is not READY


@on_virtual_time
@pytest.mark.req("CHAN-7", "CHAN-9")
async def test_a_pass_that_fails_names_its_last_error_and_the_name_is_asked_again(
    backend: str, clock: Any, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(monkeypatch, "10.0.0.1")
    net.behind = {"10.0.0.1": served(unused_timeout=5.0)}
    async with net.running(), connect("many.example:1", backoff=steady()) as channel:
        await channel.wait_for_state_change(READY)
        net.behind = {}
        named(monkeypatch, "10.0.0.2", "10.0.0.3")
        with pytest.raises(RpcError, match=r"many.example:1 \(10.0.0.3:1\) refused the connection"):
            await channel.unary(HELLO, b"")
        named(monkeypatch, "10.0.0.4")
        net.behind = {"10.0.0.4": served()}
        assert await channel.unary(HELLO, b"you", wait_for_ready=True) == b"hello, you"
        assert channel.peer == "10.0.0.4:1"


@pytest.mark.req("CHAN-8", "CHAN-9")
async def test_lists_of_addresses_on_real_sockets() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        async with serve(four_kinds(), "127.0.0.1:0") as server:
            async with connect(f"ipv4:127.0.0.1:{port},127.0.0.1:{server.port}") as channel:
                assert channel.peer == server.addresses[0]
                await four_calls(channel)
            async with connect(f"dns:///localhost:{server.port}") as channel:
                await four_calls(channel)


@pytest.mark.req("CHAN-8")
async def test_abstract_sockets() -> None:
    name = f"unix-abstract:duplexcore-{anyio.current_time()}"
    async with serve(four_kinds(), name) as server:
        assert server.addresses == [name]
        async with connect(name) as channel:
            assert channel.peer == name
            await four_calls(channel)


# --- one connection only ----------------------------------------------------------------------------------------------


@pytest.mark.req("CHAN-1")
async def test_a_channel_over_a_stream_has_no_second_connection() -> None:
    near, far = memory_link()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve_stream, four_kinds(), far)
        async with Channel.over(near) as channel:
            await four_calls(channel)
            tasks.cancel_scope.cancel()
            assert await channel.wait_for_state_change(READY) is SHUTDOWN
            with anyio.CancelScope(shield=True):
                assert await channel.wait_closed()
                with pytest.raises(RpcError) as caught:
                    await channel.unary(HELLO, b"", wait_for_ready=True)
            assert caught.value.unprocessed


async def test_no_time_to_connect_closes_the_stream() -> None:
    near, far = memory_link()
    with pytest.raises(TimeoutError):
        async with Channel.over(near, connect_timeout=0):
            pytest.fail("it connected")
    with pytest.raises(anyio.EndOfStream):
        while True:
            await far.receive()
