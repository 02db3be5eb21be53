"""The two halves of a call beside each other: D-3, D-16, D-17, D-19 to D-22, D-24, D-33."""

# ruff: noqa: SIM117 - a call has a block of its own where that reads better
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import grpc.aio
import pytest

from duplexcore import FrameType, RpcError, StatusCode
from duplexcore.cli.proto.conversation_pb2 import InputMessage, OutputMessage
from duplexcore.rpc import DuplexMethod
from duplexcore_anyio import CallReader, CallWriter, DuplexServerCall, RequestWriter, Router, connect, serve
from tests.scenarios.wire import PATH, TALK, Where, drain, echo, everywhere, routed, wired
from tests.support.grpc_aio_peer import AioPeer, Gate

# --- D-3 --------------------------------------------------------------------------------------------------------------

MANY = 10_000


def numbered(count: int) -> Iterator[bytes]:
    """Messages of 20 to 120 bytes that count: more than the windows hold."""
    return (b"%010d" % index + bytes(10 + index % 101) for index in range(count))


def check_numbered(heard: list[bytes], count: int) -> None:
    """None is lost, none repeated, none out of order, none damaged."""
    assert len(heard) == count
    assert all(got == sent for got, sent in zip(heard, numbered(count), strict=True))


@everywhere
@pytest.mark.req("D-3")
async def test_both_directions_at_once(where: Where) -> None:
    """Four tasks. Nobody reads until both sides have received DATA that nobody has read."""
    in_flight = anyio.Event()
    arrived = {"client": 0, "server": 0}
    taken = {"client": 0, "server": 0}
    heard_by_server: list[bytes] = []

    def watch(who: str) -> Any:
        def observe(direction: str, frame: Any) -> None:
            if direction == "in" and frame.type == FrameType.DATA:
                arrived[who] += 1
                if all(arrived.values()):
                    assert taken == {"client": 0, "server": 0} or in_flight.is_set()
                    in_flight.set()

        return observe

    async def read(call: Any, who: str, into: list[bytes]) -> None:
        await in_flight.wait()
        async for one in call:
            taken[who] += 1
            into.append(one)

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, call.reader, "server", heard_by_server)
            tasks.start_soon(call.writer.send_all, numbered(MANY))

    async def write(writer: RequestWriter[bytes]) -> None:
        await writer.send_all(numbered(MANY))
        await writer.send_eof()

    heard_by_client: list[bytes] = []
    async with wired(routed(handler), where, observer=watch("client"), server_observer=watch("server")) as channel:
        async with channel.duplex(TALK) as call:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read, call.reader, "client", heard_by_client)
                tasks.start_soon(write, call.writer)
            assert call.status is not None
            assert call.status.ok
    check_numbered(heard_by_client, MANY)
    check_numbered(heard_by_server, MANY)


class BothWays:
    """An observer that opens a gate once DATA has gone out and come in: the readers behind the gate have read none."""

    def __init__(self) -> None:
        self.gate = Gate()
        self._seen: set[str] = set()

    def __call__(self, direction: str, frame: Any) -> None:
        if frame.type == FrameType.DATA:
            self._seen.add(direction)
            if len(self._seen) == 2:
                self.gate.open()


@pytest.mark.req("D-3")
async def test_both_directions_at_once_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    count = 2_000
    both = BothWays()

    async def handler(requests: Any, context: Any) -> None:
        async def write() -> None:
            for one in numbered(count):
                await context.write(one)

        async def read() -> list[bytes]:
            await both.gate.passed()
            return [one async for one in requests]

        heard, _ = await asyncio.gather(read(), write())
        check_numbered(heard, count)

    heard: list[bytes] = []

    async def read(reader: CallReader[bytes]) -> None:
        await both.gate.passed()
        heard.extend(await drain(reader))

    async with aio.server(Talk=handler) as target, connect(target, observer=both) as channel:
        async with channel.duplex(TALK) as call, anyio.create_task_group() as tasks:
            tasks.start_soon(read, call.reader)
            await call.send_all(numbered(count))
            await call.send_eof()
            assert (await call.wait_closed()).ok
    check_numbered(heard, count)


@pytest.mark.req("D-3")
async def test_both_directions_at_once_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    count = 2_000
    both = BothWays()
    heard_by_server: list[bytes] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.writer.send_all, numbered(count))
            await both.gate.passed()
            heard_by_server.extend(await drain(call.reader))

    async def body(channel: grpc.aio.Channel) -> list[bytes]:
        call = channel.stream_stream(PATH)()

        async def write() -> None:
            for one in numbered(count):
                await call.write(one)
            await call.done_writing()

        async def read() -> list[bytes]:
            await both.gate.passed()
            heard = []
            while (one := await call.read()) != grpc.aio.EOF:
                heard.append(one)
            return heard

        heard, _ = await asyncio.gather(read(), write())
        assert await call.code() == grpc.StatusCode.OK
        return heard

    async with serve(routed(handler), "127.0.0.1:0", observer=both) as server:
        check_numbered(await aio.client(f"127.0.0.1:{server.port}", body), count)
    check_numbered(heard_by_server, count)


# --- D-16, D-17 -------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.req("D-16")
async def test_the_reader_is_an_object_of_its_own(where: Where) -> None:
    """It works in another task, on both sides; and while the writers of both sides are parked, reads go on."""
    big = bytes(200_000)
    heard: list[bytes] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        async with anyio.create_task_group() as tasks:

            async def read(reader: CallReader[bytes]) -> None:
                heard.extend(await drain(reader))

            tasks.start_soon(read, call.reader)
            await call.send_all([big] * 5)

    heard_by_client: list[bytes] = []

    async def read_all(reader: CallReader[bytes]) -> None:
        heard_by_client.append(await reader.receive())
        heard_by_client.extend(await drain(reader))

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        assert call.reader is call.reader
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_all, call.reader)
            await call.send_all([big] * 5)
            await call.send_eof()
        assert call.status is not None
        assert call.status.ok
    assert heard == heard_by_client == [big] * 5


@pytest.mark.req("D-16")
async def test_reads_never_touch_the_writer(where: Where) -> None:
    """One task waits in receive, another is parked in send: neither is busy with the other; the first cancelled, the
    second goes on."""
    go = anyio.Event()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await go.wait()
        await call.send(b"%d" % len(await drain(call)))

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        waiting = anyio.CancelScope()

        async def read() -> None:
            with waiting:
                await call.reader.receive()

        async def write() -> None:
            await call.writer.send_all([bytes(100_000)] * 10)
            await call.writer.send_eof()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(write)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await call.receive()
            with pytest.raises(anyio.BusyResourceError):
                await call.send(b"second writer")
            waiting.cancel()
            await anyio.wait_all_tasks_blocked()
            go.set()
        assert await drain(call) == [b"10"]


@everywhere
@pytest.mark.req("D-17")
async def test_the_writer_works_in_a_task_beside_the_handler(where: Where) -> None:
    """And fails with a clear error once the handler has returned."""
    writers: list[CallWriter[bytes]] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        writers.append(call.writer)
        asked = anyio.Event()

        async def write(writer: CallWriter[bytes]) -> None:
            await writer.send(b"before anything was read")
            await asked.wait()
            await writer.send(b"after")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, call.writer)
            async for _ in call:
                asked.set()

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        assert await call.receive() == b"before anything was read"
        await call.send(b"now")
        assert await call.receive() == b"after"
        await call.send_eof()
        assert await drain(call) == []
        with pytest.raises(anyio.ClosedResourceError):
            await writers[0].send(b"too late")


@pytest.mark.req("D-17")
async def test_a_writer_that_outlives_its_handler_is_woken(where: Where) -> None:
    """Parked in a send, in a task that does not belong to the handler."""
    outcome: list[BaseException] = []
    ended = anyio.Event()
    parked = anyio.Event()

    async with anyio.create_task_group() as outside:

        async def write(writer: CallWriter[bytes]) -> None:
            try:
                while True:
                    await writer.send(bytes(100_000))
            except anyio.ClosedResourceError as error:
                outcome.append(error)
            finally:
                ended.set()

        async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
            outside.start_soon(write, call.writer)
            await parked.wait()

        async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
            await anyio.wait_all_tasks_blocked()
            parked.set()
            await ended.wait()
            async for _ in call:
                pass
            assert call.status is not None
            assert call.status.ok
    assert len(outcome) == 1


@pytest.mark.req("D-16", "D-17")
async def test_reader_and_writer_objects_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for one in requests:
            yield one

    heard: list[bytes] = []

    async def read(reader: CallReader[bytes]) -> None:
        heard.extend(await drain(reader))

    async def write(writer: RequestWriter[bytes]) -> None:
        await writer.send_all(numbered(50))
        await writer.send_eof()

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, call.reader)
            tasks.start_soon(write, call.writer)
    check_numbered(heard, 50)


@pytest.mark.req("D-16", "D-17")
async def test_reader_and_writer_objects_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    writers: list[CallWriter[bytes]] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        writers.append(call.writer)
        send, receive = anyio.create_memory_object_stream[bytes]()

        async def read(reader: CallReader[bytes]) -> None:
            async with send:
                async for one in reader:
                    await send.send(one)

        async def write(writer: CallWriter[bytes]) -> None:
            async with receive:
                await writer.send_all(receive)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, call.reader)
            tasks.start_soon(write, call.writer)

    async def body(channel: grpc.aio.Channel) -> list[bytes]:
        return [one async for one in channel.stream_stream(PATH)(numbered(50))]

    async with serve(routed(handler), "127.0.0.1:0") as server:
        check_numbered(await aio.client(f"127.0.0.1:{server.port}", body), 50)
        with pytest.raises(anyio.ClosedResourceError):
            await writers[0].send(b"too late")


# --- D-19 -------------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.req("D-19")
async def test_iterating_requests_ends_at_the_half_close(where: Where) -> None:
    """``break`` leaves the rest for a second loop; a loop after the end is empty; asking for one more says so."""
    loops: list[list[bytes]] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        first = []
        async for one in call:
            first.append(one)
            if len(first) == 2:
                break
        loops.append(first)
        loops.append(await drain(call))
        loops.append(await drain(call))
        for _ in range(2):
            with pytest.raises(anyio.EndOfStream):
                await call.receive()
        await call.send(b"done")

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        await call.send_all([b"1", b"2", b"3", b"4"])
        await call.send_eof()
        assert await drain(call) == [b"done"]
    assert loops == [[b"1", b"2"], [b"3", b"4"], []]


@pytest.mark.req("D-19")
async def test_iterating_requests_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    """The client's END_STREAM ends their loop; and ours, over the responses, may be left and taken up again."""

    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for one in requests:
            yield one
        yield b"done"

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        await call.send_all([b"1", b"2", b"3"])
        await call.send_eof()
        async for one in call:
            assert one == b"1"
            break
        assert await drain(call) == [b"2", b"3", b"done"]


@pytest.mark.req("D-19")
async def test_iterating_requests_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    loops: list[list[bytes]] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        async for one in call:
            loops.append([one])
            break
        loops.append(await drain(call))

    async def body(channel: grpc.aio.Channel) -> grpc.StatusCode:
        return await channel.stream_stream(PATH)(iter([b"1", b"2", b"3"])).code()

    async with serve(routed(handler), "127.0.0.1:0") as server:
        assert await aio.client(f"127.0.0.1:{server.port}", body) == grpc.StatusCode.OK
    assert loops == [[b"1"], [b"2", b"3"]]


# --- D-9, D-20: drain, then answer ------------------------------------------------------------------------------------

TYPED = DuplexMethod(PATH, InputMessage, OutputMessage)


@everywhere
@pytest.mark.req("D-9", "D-20")
async def test_drain_then_answer(where: Where) -> None:
    """Nothing comes before the half-close; the status follows the last answer."""
    half_closed = False

    async def handler(call: DuplexServerCall[InputMessage, OutputMessage]) -> None:
        asked = await drain(call)
        assert half_closed
        for one in asked:
            await call.send(OutputMessage(number=one.number, text=one.text.upper(), in_reply_to=one.number))
        call.set_trailing_metadata({"answered": str(len(asked))})

    router = Router()
    router.add(TYPED, handler)
    async with wired(router, where) as channel, channel.duplex(TYPED) as call:
        await call.send_all(InputMessage(number=index, text="abc"[index]) for index in range(3))
        assert not call.status
        half_closed = True
        await call.send_eof()
        answers = await drain(call)
        assert [(one.in_reply_to, one.text) for one in answers] == [(0, "A"), (1, "B"), (2, "C")]
        assert call.status is not None
        assert call.status.ok
        assert call.trailing_metadata.get("answered") == "3"


@pytest.mark.req("D-9", "D-20")
async def test_drain_then_answer_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> AsyncIterator[OutputMessage]:
        asked = [one async for one in requests]
        for one in asked:
            yield OutputMessage(number=one.number, text=one.text.upper())
        context.set_trailing_metadata((("answered", str(len(asked))),))

    served = grpc.stream_stream_rpc_method_handler(handler, InputMessage.FromString, OutputMessage.SerializeToString)
    async with aio.server(_Talk=served) as target, connect(target) as channel, channel.duplex(TYPED) as call:
        await call.send_all(InputMessage(number=index, text="abc"[index]) for index in range(3))
        await call.send_eof()
        assert [one.text for one in await drain(call)] == ["A", "B", "C"]
        assert call.trailing_metadata.get("answered") == "3"


@pytest.mark.req("D-9", "D-20")
async def test_drain_then_answer_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def handler(call: DuplexServerCall[InputMessage, OutputMessage]) -> None:
        asked = await drain(call)
        await call.send_all(OutputMessage(number=one.number, text=one.text.upper()) for one in asked)
        call.set_trailing_metadata({"answered": str(len(asked))})

    async def body(channel: grpc.aio.Channel) -> tuple[list[str], dict[str, str]]:
        stub = channel.stream_stream(PATH, InputMessage.SerializeToString, OutputMessage.FromString)
        call = stub(InputMessage(number=index, text="abc"[index]) for index in range(3))
        return [one.text async for one in call], dict(await call.trailing_metadata())

    router = Router()
    router.add(TYPED, handler)
    async with serve(router, "127.0.0.1:0") as server:
        texts, trailing = await aio.client(f"127.0.0.1:{server.port}", body)
    assert texts == ["A", "B", "C"]
    assert trailing["answered"] == "3"


# --- D-21: writes independent of reads --------------------------------------------------------------------------------

TICK = 0.002


@pytest.mark.req("D-21")
async def test_a_timer_writes_beside_a_reader(where: Where) -> None:
    """The handler ends when both have: whichever is the last."""
    heard: list[bytes] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        async def tick(writer: CallWriter[bytes]) -> None:
            for index in range(10):
                await anyio.sleep(TICK)
                await writer.send(b"tick %d" % index)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick, call.writer)
            async for one in call:
                heard.append(one)
        await call.send(b"both have ended")

    async with wired(routed(handler), where) as channel:
        async with channel.duplex(TALK) as call:  # the reader ends first
            await call.send(b"a")
            await call.send_eof()
            assert await drain(call) == [*(b"tick %d" % index for index in range(10)), b"both have ended"]
        async with channel.duplex(TALK) as call:  # the writer does
            assert [await call.receive() for _ in range(10)] == [b"tick %d" % index for index in range(10)]
            await call.send(b"b")
            await call.send_eof()
            assert await drain(call) == [b"both have ended"]
    assert heard == [b"a", b"b"]


@pytest.mark.req("D-21")
async def test_a_timer_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        async def tick() -> None:
            for index in range(10):
                await asyncio.sleep(TICK)
                await context.write(b"tick %d" % index)

        async def read() -> list[bytes]:
            return [one async for one in requests]

        _, heard = await asyncio.gather(tick(), read())
        await context.write(b" ".join(heard))

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        await call.send_all([b"a", b"b"])
        assert [await call.receive() for _ in range(10)] == [b"tick %d" % index for index in range(10)]
        await call.send_eof()
        assert await drain(call) == [b"a b"]


@pytest.mark.req("D-21")
async def test_a_timer_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        heard: list[bytes] = []

        async def tick(writer: CallWriter[bytes]) -> None:
            for index in range(10):
                await anyio.sleep(TICK)
                await writer.send(b"tick %d" % index)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick, call.writer)
            async for one in call:
                heard.append(one)
        await call.send(b" ".join(heard))

    async def body(channel: grpc.aio.Channel) -> list[bytes]:
        return [one async for one in channel.stream_stream(PATH)(iter([b"a", b"b"]))]

    async with serve(routed(handler), "127.0.0.1:0") as server:
        answers = await aio.client(f"127.0.0.1:{server.port}", body)
    assert answers == [*(b"tick %d" % index for index in range(10)), b"a b"]


# --- D-22: an answer per request --------------------------------------------------------------------------------------


@pytest.mark.req("D-22")
async def test_ten_thousand_rounds_of_ping_pong(where: Where) -> None:
    async with wired(routed(echo), where) as channel, channel.duplex(TALK) as call:
        for index in range(where.amount(10_000, 1_000)):
            ping = b"%d" % index
            await call.send(ping)
            assert await call.receive() == ping
        await call.send_eof()
        assert await drain(call) == []


@pytest.mark.req("D-22")
async def test_ping_pong_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> None:
        while (one := await context.read()) != grpc.aio.EOF:
            await context.write(one)

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        for index in range(1_000):
            ping = b"%d" % index
            await call.send(ping)
            assert await call.receive() == ping
        await call.send_eof()
        assert await drain(call) == []


@pytest.mark.req("D-22")
async def test_ping_pong_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def body(channel: grpc.aio.Channel) -> grpc.StatusCode:
        call = channel.stream_stream(PATH)()
        for index in range(1_000):
            ping = b"%d" % index
            await call.write(ping)
            assert await call.read() == ping
        await call.done_writing()
        assert await call.read() == grpc.aio.EOF
        return await call.code()

    async with serve(routed(echo), "127.0.0.1:0") as server:
        assert await aio.client(f"127.0.0.1:{server.port}", body) == grpc.StatusCode.OK


# --- D-24: a source of messages (grpc.aio takes no part in how our side makes its messages) ---------------------------


class Source:
    """Makes generators of the messages, and knows whether they were closed."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.closed = False
        self.fail_after = fail_after

    def _step(self, index: int) -> bytes:
        if index == self.fail_after:
            raise LookupError("the source has run dry")
        return b"%d" % index

    def plain(self) -> Iterator[bytes]:
        try:
            for index in range(20):
                yield self._step(index)
        finally:
            self.closed = True

    async def awaited(self) -> AsyncIterator[bytes]:
        try:
            for index in range(20):
                await anyio.sleep(0)
                yield self._step(index)
        finally:
            self.closed = True

    def make(self, kind: str) -> Any:
        return self.plain() if kind == "sync" else self.awaited()


KINDS = pytest.mark.parametrize("kind", ["sync", "async"])
TWENTY = [b"%d" % index for index in range(20)]


@KINDS
@pytest.mark.req("D-24")
async def test_a_source_is_sync_or_async_on_both_sides(where: Where, kind: str) -> None:
    sources = {"client": Source(), "server": Source()}
    heard: list[bytes] = []

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        heard.extend(await drain(call))
        await call.send_all(sources["server"].make(kind))
        await call.send_all([b"a", b"list"])

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        await call.send_all(sources["client"].make(kind))
        await call.send_all((b"and", b"a tuple"))  # it does not half-close
        await call.send_eof()
        assert await drain(call) == [*TWENTY, b"a", b"list"]
    assert heard == [*TWENTY, b"and", b"a tuple"]
    assert sources["client"].closed
    assert sources["server"].closed


@KINDS
@pytest.mark.req("D-24")
async def test_a_source_that_fails_cancels_the_call(where: Where, kind: str) -> None:
    """Of the client: CANCELLED, the server sees it. The exception itself comes out."""
    cancelled = anyio.Event()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        try:
            await call.send_initial_metadata()
            await anyio.sleep_forever()
        finally:
            if call.is_cancelled:
                cancelled.set()

    async with wired(routed(handler), where) as channel:
        for send in ("send_all", "exchange"):
            source = Source(fail_after=5)
            with pytest.raises(LookupError, match="run dry"):
                async with channel.duplex(TALK) as call:
                    await call.initial_metadata()  # the handler runs
                    if send == "send_all":
                        await call.send_all(source.make(kind))
                    else:
                        async with call.exchange(source.make(kind)) as replies:
                            await drain(replies)
            assert call.status is not None
            assert call.status.code is StatusCode.CANCELLED
            assert source.closed
            await cancelled.wait()
            cancelled = anyio.Event()


@KINDS
@pytest.mark.req("D-24")
async def test_a_source_of_the_server_that_fails_ends_the_call(where: Where, kind: str, loud: None) -> None:
    """It is the handler's exception, then: the client is told, and nothing of its text."""
    source = Source(fail_after=5)

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await call.send_all(source.make(kind))

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        with pytest.raises(RpcError) as caught:
            await drain(call)
        assert caught.value.code in (StatusCode.UNKNOWN, StatusCode.CANCELLED)
        assert "dry" not in caught.value.message
    assert source.closed


@KINDS
@pytest.mark.req("D-24")
async def test_a_source_is_closed_when_the_call_ends_first(where: Where, kind: str) -> None:
    """The server has heard enough: the source is not drawn on, and closed."""
    source = Source()

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        raise RpcError(StatusCode.RESOURCE_EXHAUSTED, "enough")

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        await call.wait_closed()
        with pytest.raises(RpcError, match="enough"):
            await call.send_all(source.make(kind))
    if kind == "async":
        assert source.closed


# --- D-33 -------------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.req("D-33")
async def test_a_cancelled_receive_is_harmless(where: Where) -> None:
    """The next message is still there, on both sides; and the call lives on."""

    async def impatient(call: Any) -> None:
        scope = anyio.CancelScope()

        async def wait() -> None:
            with scope:
                await call.receive()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
        assert scope.cancelled_caught

    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        await impatient(call)
        await call.send(b"ready")
        await echo(call)

    async with wired(routed(handler), where) as channel, channel.duplex(TALK) as call:
        assert await call.receive() == b"ready"
        await impatient(call)
        await call.send(b"first")
        assert await call.receive() == b"first"
        await call.send_eof()
        assert await drain(call) == []


@everywhere
@pytest.mark.req("D-33")
async def test_cancelling_a_receive_at_any_moment_loses_nothing(where: Where) -> None:
    """The answer comes 0, 1, 2 ... turns of the event loop before or after the cancellation."""
    rounds = 60
    heard: list[bytes] = []

    async with wired(routed(echo), where) as channel, channel.duplex(TALK) as call:

        async def attempt(scope: anyio.CancelScope) -> None:
            with scope:
                heard.append(await call.receive())

        for index in range(rounds):
            scope = anyio.CancelScope()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(attempt, scope)
                await call.send(b"%d" % index)
                for _ in range(index % 20):
                    await anyio.sleep(0)
                scope.cancel()
        await call.send_eof()
        heard.extend(await drain(call))
    assert heard == [b"%d" % index for index in range(rounds)]


@pytest.mark.req("D-33")
async def test_a_cancelled_receive_with_grpc_aio_as_server(backend: str, aio: AioPeer) -> None:
    async def handler(requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for one in requests:
            yield one

    async with aio.server(Talk=handler) as target, connect(target) as channel, channel.duplex(TALK) as call:
        for index in range(20):
            with anyio.move_on_after(0.001) as scope:
                await call.receive()
            assert scope.cancelled_caught
            await call.send(b"%d" % index)
            assert await call.receive() == b"%d" % index
        await call.send_eof()
        assert await drain(call) == []


@pytest.mark.req("D-33")
async def test_a_cancelled_receive_with_grpc_aio_as_client(backend: str, aio: AioPeer) -> None:
    async def handler(call: DuplexServerCall[bytes, bytes]) -> None:
        for _ in range(20):
            with anyio.move_on_after(0.001) as scope:
                await call.receive()
            assert scope.cancelled_caught
            await call.send(b"your turn")
            await call.send(await call.receive())

    async def body(channel: grpc.aio.Channel) -> grpc.StatusCode:
        call = channel.stream_stream(PATH)()
        for index in range(20):
            assert await call.read() == b"your turn"
            await call.write(b"%d" % index)
            assert await call.read() == b"%d" % index
        return await call.code()

    async with serve(routed(handler), "127.0.0.1:0") as server:
        assert await aio.client(f"127.0.0.1:{server.port}", body) == grpc.StatusCode.OK
