"""grpcio's blocking API: the C++ core's binding with threads, a thread for each call that is open."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import Any

import grpc

from benchmarks.contract import (
    DUPLEX,
    TIMEOUT,
    UNARY,
    Job,
    Outcome,
    Service,
    call_metadata,
    fault,
    listening,
    mark,
    program,
)
from benchmarks.loops import EACH, SOME
from benchmarks.messages import codec_of, message_of

#: Each channel has a connection of its own.
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
Action = Callable[[], object]

# -- client ------------------------------------------------------------------------------------------------------------


class Stream:
    """A duplex call: what is sent goes through a queue, since the library takes requests from an iterator."""

    def __init__(self, begin: Any) -> None:
        self._requests: SimpleQueue[Any] = SimpleQueue()
        self.send = self._requests.put
        self._call = begin(iter(self._requests.get, None))
        self.receive = self._call.__next__

    def end(self) -> None:
        self._requests.put(None)
        if list(self._call) or self._call.code() is not grpc.StatusCode.OK:
            raise fault("a stream has not ended well")


class Client:
    def __init__(self, channel: Any, job: Job) -> None:
        self.message = message_of(job.codec, job.size)
        write, read = codec_of(job.codec)
        self._unary = channel.unary_unary(UNARY, write, read)
        self.duplex = channel.stream_stream(DUPLEX, write, read)
        self.unary = self._dressed if job.dressed else self._plain

    def _plain(self) -> Any:
        return self._unary(self.message)

    def _dressed(self) -> Any:
        return self._unary(self.message, timeout=TIMEOUT, metadata=call_metadata())

    def open(self) -> Stream:
        return Stream(self.duplex)

    def round_trip(self, stream: Stream) -> Action:
        def round_trip() -> None:
            stream.send(self.message)
            stream.receive()

        return round_trip


@contextmanager
def connect(job: Job) -> Iterator[Client]:
    target = f"127.0.0.1:{job.port}"
    if job.authority:
        credentials = grpc.ssl_channel_credentials(Path(job.authority).read_bytes())
        channel = grpc.secure_channel(target, credentials, OPTIONS)
    else:
        channel = grpc.insecure_channel(target, OPTIONS)
    with channel:
        yield Client(channel, job)


def together(actions: Sequence[Action]) -> None:
    """Each in a thread of its own; the first failure is raised."""
    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(action) for action in actions]:
            done.result()


def measure(job: Job, actions: Sequence[Action]) -> Outcome:
    repeat(actions, job.warm_up, job.first)
    mark("begin")
    outcome = repeat(actions, job.seconds, job.limit)
    mark("end")
    return outcome


def repeat(actions: Sequence[Action], seconds: float, limit: int) -> Outcome:
    outcome = Outcome()
    begun = perf_counter()
    together([repeating(action, outcome, begun + seconds, limit) for action in actions])
    outcome.seconds = perf_counter() - begun
    outcome.operations = len(outcome.latencies)
    return outcome


def repeating(action: Action, outcome: Outcome, stop: float, limit: int) -> Action:
    def repeat() -> None:
        clock, note = perf_counter, outcome.latencies.append
        before = clock()
        for _ in range(limit):
            action()
            now = clock()
            note(now - before)
            before = now
            if now >= stop:
                break

    return repeat


def unary(job: Job) -> Outcome:
    with connect(job) as client:
        return measure(job, [client.unary] * job.width)


def ping(job: Job) -> Outcome:
    with connect(job) as client:
        streams = [client.open() for _ in range(job.width)]
        outcome = measure(job, [client.round_trip(stream) for stream in streams])
        for stream in streams:
            stream.end()
        return outcome


def firehose(job: Job) -> Outcome:
    """The requests come from a generator, which the library pulls in a thread of its own: one call for each part."""
    with connect(job) as client:
        pour(client, job, job.warm_up, job.first)
        mark("begin")
        outcome = pour(client, job, job.seconds, job.limit)
        mark("end")
        return outcome


def pour(client: Client, job: Job, seconds: float, limit: int) -> Outcome:
    mask = EACH if job.size > 65_536 else SOME
    outcome = Outcome()
    stamps: SimpleQueue[float] = SimpleQueue()
    begun = perf_counter()

    def requests() -> Iterator[Any]:
        for number in range(limit):
            if not number & mask:
                now = perf_counter()
                stamps.put(now)
                if now >= begun + seconds:
                    break
            yield client.message

    number = 0
    for _ in client.duplex(requests()):
        if not number & mask:
            outcome.latencies.append(perf_counter() - stamps.get())
        number += 1
    outcome.seconds = perf_counter() - begun
    outcome.operations = number
    return outcome


def idle(job: Job) -> Outcome:
    with connect(job) as client:
        for _ in range(64):
            begin(client).end()
        mark("empty")
        streams = [begin(client) for _ in range(job.width)]
        mark("filled")
        for stream in streams:
            stream.end()
        return Outcome(len(streams))


def begin(client: Client) -> Stream:
    stream = client.open()
    client.round_trip(stream)()
    return stream


def opening(job: Job) -> Outcome:
    with connect(job) as client:

        def one() -> None:
            begin(client).end()

        repeat([one], job.warm_up, job.first)
        mark("begin")
        first = repeat([one], job.seconds, job.limit)
        mark("end")
        streams = [begin(client) for _ in range(job.width)]
        mark("begin-loaded")
        loaded = repeat([one], job.seconds, job.limit)
        mark("end-loaded")
        for stream in streams:
            stream.end()
        first.add_loaded(loaded)
        return first


def connecting(job: Job) -> Outcome:
    def one() -> None:
        with connect(job) as client:
            client.unary()

    return measure(job, [one])


def connections(job: Job) -> Outcome:
    mark("empty")
    ways = [connect(job) for _ in range(job.width)]
    clients = [way.__enter__() for way in ways]
    for client in clients:
        client.unary()
    mark("filled")
    outcome = measure(job, [client.unary for client in clients])
    for way in ways:
        way.__exit__(None, None, None)
    return outcome


KINDS = {
    "unary": unary,
    "ping": ping,
    "firehose": firehose,
    "idle": idle,
    "opening": opening,
    "connect": connecting,
    "connections": connections,
}


def run(job: Job, _options: dict[str, str]) -> Outcome:
    return KINDS[job.kind](job)


# -- server ------------------------------------------------------------------------------------------------------------


def serve(service: Service, _options: dict[str, str]) -> None:
    # Its pool starts threads as they are needed.
    server = grpc.server(ThreadPoolExecutor(max(service.calls + 64, 128)))
    read, write = reversed(codec_of(service.codec))
    handlers = {
        UNARY.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(lambda request, _: request, read, write),
        DUPLEX.rpartition("/")[2]: grpc.stream_stream_rpc_method_handler(lambda requests, _: requests, read, write),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(UNARY.split("/")[1], handlers),))
    if service.key:
        pair = Path(service.key).read_bytes(), Path(service.certificate).read_bytes()
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    listening(port)
    threading.Event().wait()


def about(_options: dict[str, str]) -> dict[str, Any]:
    return {"library": f"grpcio {grpc.__version__}"}


if __name__ == "__main__":
    program(about, serve, run)
