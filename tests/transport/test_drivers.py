"""Which driver a connection has, and what is the business of the one on asyncio's protocols alone."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from typing import Any, cast

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketListener

from duplexcore import AbuseLimits, Frame, FrameType, ServerConfig, StatusCode
from duplexcore.testing import raw
from duplexcore_anyio import Channel, DuplexServerCall, asyncio_links, connect, serve
from duplexcore_anyio.driver import CALLS_PER_TURN
from duplexcore_anyio.drivers import DriverName
from duplexcore_anyio.protocol_driver import AT_ONCE
from tests.support.transport import ROUNDING, TALK, four_kinds, joined, until

on_protocols = pytest.mark.parametrize("backend", ["asyncio", "asyncio+uvloop"])


def driver_of(channel: Channel) -> str:
    """The class of what drives the channel's connection."""
    return type(cast("Any", channel)._connections._current).__name__


# --- which one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "asyncio+uvloop", "trio"])
@pytest.mark.parametrize("asked", ["stream", None])
async def test_asyncio_has_protocols_and_trio_streams(backend: str, asked: DriverName | None) -> None:
    expected = "StreamDriver" if backend == "trio" or asked == "stream" else "ProtocolDriver"
    drivers: list[str] = []

    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        drivers.append(type(cast("Any", call)._core.driver).__name__)

    async with (
        serve(four_kinds(talk), "127.0.0.1:0", driver=asked) as server,
        connect(server.addresses[0], driver=asked) as channel,
        channel.duplex(TALK) as call,
    ):
        await call.wait_closed()
        assert [driver_of(channel), *drivers] == [expected, expected]


@pytest.mark.parametrize("backend", ["asyncio"])
async def test_any_stream_keeps_the_stream_driver(backend: str) -> None:
    async with joined(four_kinds()) as channel:
        assert driver_of(channel) == "StreamDriver"


def test_a_driver_that_there_is_none_of() -> None:
    wrong = cast("DriverName", "threads")
    with pytest.raises(ValueError, match="'threads'"):
        connect("127.0.0.1:1", driver=wrong)
    with pytest.raises(ValueError, match="'threads'"):
        serve(four_kinds(), "127.0.0.1:0", driver=wrong)


@pytest.mark.parametrize("backend", ["trio"])
async def test_protocols_are_asyncios(backend: str) -> None:
    with pytest.raises(ValueError, match="needs asyncio"):
        async with serve(four_kinds(), "127.0.0.1:0", driver="protocol"):
            pytest.fail("it listens")
    with pytest.raises(ValueError, match="needs asyncio"):
        async with connect("127.0.0.1:1", driver="protocol"):
            pytest.fail("it is connected")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_over_streams_who_has_messages_in_one_read_is_told_in_turns(backend: str) -> None:
    """What the first ones say leaves while the others are told: client and server work at the same time."""
    waiting = answered = 0
    between: list[int] = []

    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        nonlocal waiting, answered
        waiting += 1
        await call.receive()
        answered += 1

    async def other() -> None:
        while answered < 400:
            between.append(answered)
            await anyio.sleep(0)

    peer = raw.RawPeer(client=True)
    async with (
        serve(
            four_kinds(talk), "127.0.0.1:0", driver="stream", config=ServerConfig(max_concurrent_calls=400)
        ) as server,
        await anyio.connect_tcp("127.0.0.1", server.port) as stream,
        anyio.create_task_group() as tasks,
    ):
        await stream.send(peer.hello())
        await stream.receive()
        await stream.send(b"".join(peer.request(2 * number + 1, TALK.path) for number in range(400)))
        await until(lambda: waiting == 400)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(other)
        message = raw.message(b"x")
        await stream.send(b"".join(raw.frame(raw.DATA, 0, 2 * number + 1, message) for number in range(400)))
    steps = sorted({*between, 400})
    # Reader and writer tell as many at a time, and trio lets tasks run in any order: it may be twice both.
    assert max(after - before for before, after in itertools.pairwise(steps)) <= 4 * CALLS_PER_TURN


# --- on protocols -----------------------------------------------------------------------------------------------------


@on_protocols
async def test_neither_side_waits_with_small_segments(backend: str) -> None:
    """A frame that waits for the peer's delayed acknowledgement would take 40 ms."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listeners:
        listener = cast("SocketListener", listeners.listeners[0])
        async with anyio.create_task_group() as tasks:
            dialed: list[asyncio_links.AsyncioLink] = []

            async def dial() -> None:
                port = listener.extra(SocketAttribute.local_port)
                dialed.append(await asyncio_links.connect_tcp("127.0.0.1", port))

            tasks.start_soon(dial)
            accepted = await asyncio_links.accept(listener)
        for link in (accepted, *dialed):
            await link.open()
            assert link.raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            await link.aclose()


@on_protocols
async def test_connections_that_read_into_the_same_bytes(backend: str) -> None:
    async def rounds(channel: Channel, letter: bytes) -> None:
        async with channel.duplex(TALK) as call:
            for size in (1, 100, 70_000, 400_000):
                await call.send(letter * size)
                assert await call.receive() == letter * size

    async with (
        serve(four_kinds(), "127.0.0.1:0") as server,
        connect(server.addresses[0]) as one,
        connect(server.addresses[0]) as other,
        anyio.create_task_group() as tasks,
    ):
        for letter in b"abcdefgh":
            tasks.start_soon(rounds, other if letter % 2 else one, bytes([letter]))


@on_protocols
async def test_many_calls_do_not_wait_for_the_end_of_the_turn(backend: str) -> None:
    """What the first have said is on its way before the last have spoken."""
    order: list[str] = []

    def note(direction: str, frame: Frame) -> None:
        if direction == "out" and frame.type == FrameType.HEADERS:
            order.append("frame")

    async def speak(channel: Channel) -> None:
        async with channel.duplex(TALK) as call:
            order.append("task")
            await call.receive()

    async with (
        serve(four_kinds(), "127.0.0.1:0") as server,
        connect(server.addresses[0], observer=note) as channel,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(3 * AT_ONCE):
            tasks.start_soon(speak, channel)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert AT_ONCE <= order.index("frame") <= 2 * AT_ONCE
    assert order.count("task") == order.count("frame") == 3 * AT_ONCE


@on_protocols
@pytest.mark.req("SEC-12")
async def test_calls_of_one_read_are_handed_over_in_turns(backend: str) -> None:
    begun = 0
    between: list[int] = []

    async def talk(call: DuplexServerCall[bytes, bytes]) -> None:
        nonlocal begun
        begun += 1
        await anyio.sleep_forever()

    async def other() -> None:
        while begun < 200:
            between.append(begun)
            await anyio.sleep(0)

    peer = raw.RawPeer(client=True)
    async with (
        serve(four_kinds(talk), "127.0.0.1:0") as server,
        await anyio.connect_tcp("127.0.0.1", server.port) as stream,
        anyio.create_task_group() as tasks,
    ):
        await stream.send(peer.hello())
        await stream.receive()
        tasks.start_soon(other)
        await stream.send(b"".join(peer.request(2 * number + 1, TALK.path) for number in range(200)))
    steps = sorted({*between, 200})
    assert max(after - before for before, after in itertools.pairwise(steps)) <= 2 * CALLS_PER_TURN


@on_protocols
@pytest.mark.req("SEC-10")
async def test_a_peer_that_reads_nothing_is_left(backend: str) -> None:
    ended = anyio.Event()

    async def flood(call: DuplexServerCall[bytes, bytes]) -> None:
        try:
            while True:
                await call.send(bytes(1_000_000))
        finally:
            ended.set()

    peer = raw.RawPeer(client=True)
    config = ServerConfig(keepalive_time=float("inf"), abuse=AbuseLimits(write_timeout=0.3))
    async with (
        serve(four_kinds(flood), "127.0.0.1:0", config=config) as server,
        await anyio.connect_tcp("127.0.0.1", server.port) as stream,
    ):
        window = raw.window_update(0, 2**30) + raw.window_update(1, 2**30)
        await stream.send(peer.hello() + peer.request(1, TALK.path) + window)
        began = anyio.current_time()
        await ended.wait()
        assert anyio.current_time() - began >= 0.3 - ROUNDING
        await until(lambda: server.connections == 0)


@on_protocols
@pytest.mark.req("DUP-14")
async def test_the_last_words_of_a_peer_that_has_reset_the_connection(backend: str) -> None:
    """It said the status, and closed so that the next write fails: the status counts all the same."""
    listener = socket.create_server(("127.0.0.1", 0))
    go, gone = threading.Event(), threading.Event()

    def behave() -> None:
        accepted, _ = listener.accept()
        peer = raw.RawPeer(client=False)
        accepted.sendall(peer.hello())
        heard = 0
        while heard < 1:
            heard += sum(frame.type == raw.HEADERS for frame in peer.read(accepted.recv(65536)))
        assert go.wait(10)
        accepted.sendall(peer.response(1) + peer.trailers(1))
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        gone.set()

    thread = threading.Thread(target=behave)
    thread.start()
    try:
        async with connect(f"127.0.0.1:{listener.getsockname()[1]}") as channel, channel.duplex(TALK) as call:
            await anyio.wait_all_tasks_blocked()
            go.set()
            assert gone.wait(10)  # nothing is read meanwhile: the loop waits, too
            time.sleep(0.05)  # the kernel's, to bring the reset, while the loop stands still and can not read
            await call.send(b"into the void")
            status = await call.wait_closed()
            assert status.code is StatusCode.OK
    finally:
        thread.join()
        listener.close()
