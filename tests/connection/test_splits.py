"""However bytes are cut, broken off or broken: the same events, one end for every call, and never an exception."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import CallEnded, ClientConnection, ConnectionClosed, Message, ServerCall, ServerConnection, Status
from duplexcore.testing import raw
from duplexcore.testing.raw import RawPeer, message
from tests.support.recordings import (
    Recording,
    busy,
    chunks_of,
    drain,
    note,
    recordings,
    said_to,
)

EXAMPLES = max(25, settings().max_examples // 4)
every_recording = pytest.mark.parametrize("recording", recordings(), ids=repr)
some_recording = st.sampled_from(recordings())


def replay(recording: Recording, chunks: list[bytes]) -> tuple[object, ...]:
    """Everything that can be seen of an engine that heard these chunks and was asked only afterwards."""
    engine, calls = recording.prepare()
    for chunk in chunks:
        engine.receive_data(chunk, 0.0)
    after = engine.fingerprint()
    events = note(drain(engine), calls)
    heard = said_to(calls)
    out = b""
    while more := engine.data_to_send(0.0):
        out += more
    events += note(drain(engine), calls)
    return (events, heard, out, after, engine.fingerprint(), engine.is_closed, engine.next_timeout())


WHOLE = {recording: replay(recording, [recording.data]) for recording in recordings()}


@pytest.mark.req("DUP-39", "DUP-40", "H2-12", "FRM-2")
@every_recording
def test_byte_by_byte(recording: Recording) -> None:
    assert replay(recording, [bytes((byte,)) for byte in recording.data]) == WHOLE[recording]


@pytest.mark.req("DUP-39", "DUP-40")
@every_recording
@settings(max_examples=EXAMPLES)
@given(cuts=st.lists(st.integers(0, 2**17), max_size=40))
def test_any_split(recording: Recording, cuts: list[int]) -> None:
    assert replay(recording, chunks_of(recording.data, cuts)) == WHOLE[recording]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@every_recording
def test_any_kind_of_buffer(recording: Recording, kind: Any) -> None:
    assert replay(recording, [kind(recording.data)]) == WHOLE[recording]


@pytest.mark.req("DUP-39", "DUP-29", "FRM-8", "FRM-7", "SEC-14")
@every_recording
@settings(max_examples=EXAMPLES)
@given(cut=st.integers(0, 2**17), asked=st.booleans())
def test_any_prefix_and_then_the_end(recording: Recording, cut: int, asked: bool) -> None:
    engine, calls = recording.prepare()
    engine.receive_data(recording.data[: cut % (len(recording.data) + 1)], 0.0)
    if asked:
        engine.data_to_send(0.0)
    engine.receive_eof(0.0)
    note(drain(engine), calls)
    assert engine.is_closed
    assert engine.next_timeout() is None
    assert engine.backlog == 0
    complete = [[event for event in events if isinstance(event, Message)] for events in WHOLE[recording][1]]  # type: ignore[attr-defined]
    for events, all_messages in zip(said_to(calls), complete, strict=False):
        ends = [index for index, event in enumerate(events) if isinstance(event, CallEnded)]
        assert ends == [len(events) - 1]
        messages = [event for event in events if isinstance(event, Message)]
        assert messages == all_messages[: len(messages)]
    while engine.data_to_send(0.0):
        pass
    for call in calls:
        if isinstance(call, ServerCall):
            call.finish(Status())
    assert engine.data_to_send(0.0) == b""


# --- broken bytes -----------------------------------------------------------------------------------------------------


def check_alive(engine: Any, calls: Any, heard: list[list[object]]) -> None:
    """What must hold whatever came in."""
    closed = [event for event in note(drain(engine), calls) if isinstance(event, ConnectionClosed)]
    assert len(closed) <= 1
    for event in closed:
        assert not event.reason.startswith("internal error"), event.reason
    for events in heard:
        ends = [index for index, event in enumerate(events) if isinstance(event, CallEnded)]
        assert ends in ([], [len(events) - 1])


def feed_broken(recording: Recording, data: bytes, chance: random.Random) -> None:
    engine, calls = recording.prepare()
    heard: list[list[object]] = [[] for _ in calls]
    seen: list[object] = []
    at = 0
    while at < len(data):
        size = chance.choice((1, 9, 40, 400, 5_000))
        engine.receive_data(data[at : at + size], 0.0)
        at += size
        if chance.random() < 0.5:
            seen += [event for event in _peek(engine, calls, heard, chance) if isinstance(event, ConnectionClosed)]
        if chance.random() < 0.3:
            engine.data_to_send(0.0, chance.choice((1, 100, 70_000)))
    while engine.data_to_send(0.0):
        pass
    engine.receive_eof(0.0)
    seen += [event for event in _peek(engine, calls, heard, chance) if isinstance(event, ConnectionClosed)]
    assert len(seen) == 1
    assert not seen[0].reason.startswith("internal error"), seen[0].reason  # type: ignore[attr-defined]
    for events in heard:
        ends = [index for index, event in enumerate(events) if isinstance(event, CallEnded)]
        assert ends == [len(events) - 1]


def _peek(engine: Any, calls: Any, heard: list[list[object]], chance: random.Random) -> list[object]:
    events = note(drain(engine), calls)
    for index, more in enumerate(busy(engine, calls, chance.randrange)):
        if index == len(heard):
            heard.append([])
        heard[index] += more
    return events


@pytest.mark.req("SEC-14", "DUP-39")
@settings(max_examples=4 * EXAMPLES)
@given(recording=some_recording, seed=st.integers(0, 2**32))
def test_mutated_recordings(recording: Recording, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(recording.data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at, size = chance.randrange(len(data)), chance.choice((1, 1, 4, 9, 30))
        match chance.randrange(5):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                data[at] ^= 1 << chance.randrange(8)
            case 2 if len(data) > 2 * size:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size]
            case _:
                data[at:at] = chance.randbytes(size)
    feed_broken(recording, bytes(data), chance)


def frames_of(data: bytes) -> list[bytes]:
    found, at = [], 0
    if data.startswith(raw.PREFACE):
        at = len(raw.PREFACE)
        found.append(data[:at])
    while at < len(data):
        end = at + 9 + int.from_bytes(data[at : at + 3], "big")
        found.append(data[at:end])
        at = end
    return found


@pytest.mark.req("SEC-14", "DUP-39")
@settings(max_examples=4 * EXAMPLES)
@given(recording=st.sampled_from(recordings()[:4]), seed=st.integers(0, 2**32))
def test_frames_lost_doubled_and_out_of_order(recording: Recording, seed: int) -> None:
    chance = random.Random(seed)
    first, *frames = frames_of(recording.data)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        at = chance.randrange(len(frames))
        match chance.randrange(5):
            case 0:
                del frames[at]
            case 1:
                frames.insert(chance.randrange(len(frames)), frames[at])
            case 2:
                frames.insert(chance.randrange(len(frames)), frames.pop(at))
            case 3:  # other flags
                frames[at] = frames[at][:4] + bytes((chance.choice((0, 1, 4, 5, 8, 0x25, 0xFF)),)) + frames[at][5:]
            case _:  # another stream
                frames[at] = frames[at][:5] + chance.choice((0, 1, 2, 3, 5, 9, 99)).to_bytes(4, "big") + frames[at][9:]
        if not frames:
            break
    feed_broken(recording, first + b"".join(frames), chance)


@pytest.mark.req("SEC-14", "CONN-3")
@settings(max_examples=EXAMPLES)
@given(data=st.binary(max_size=300), client=st.booleans(), greeted=st.booleans())
def test_random_bytes(data: bytes, client: bool, greeted: bool) -> None:
    peer = RawPeer(client=not client)
    hello = peer.hello() if greeted else b""
    name = Recording("random", client=client, data=b"", hello=hello if client else b"")
    feed_broken(name, data if client else hello + data, random.Random(len(data)))


# --- any frames, and an application that does anything ----------------------------------------------------------------


def some_frame(peer: RawPeer, chance: random.Random) -> bytes:
    """A frame that is right by itself, mostly; whether it fits is another matter."""
    stream = chance.choice((1, 1, 3, 3, 5, 7, 9, 11, 13))
    end = chance.random() < 0.3
    payload = chance.choice((b"", message(b"x"), message(b"yy") * 3, message(bytes(9_000)), b"\0\0\0", b"\x09junk!"))
    match chance.randrange(20):
        case 0 | 1 | 2 | 3 | 4:
            return raw.data(stream, payload, end=end, pad=chance.choice((None, None, 0, 9)))
        case 5 | 6 | 7 if peer.client:
            return peer.request(stream, "/a/b", ("x-a", chance.choice("abc")), end=end)
        case 5 | 6:
            return peer.response(stream, ("x-a", chance.choice("abc")), end=end)
        case 7 | 8:
            return peer.trailers(stream, chance.randrange(18), end=chance.random() < 0.9)
        case 9:
            return peer.trailers_only(stream, chance.randrange(17))
        case 10:
            return peer.headers(stream, [(":status", "100")], end=end)
        case 11 | 12:
            return raw.rst(stream, chance.randrange(15))
        case 13 | 14:
            return raw.window_update(chance.choice((0, stream)), chance.choice((1, 100, 50_000, 2**30, 0)))
        case 15:
            choices = [(raw.INITIAL_WINDOW, 0), (raw.INITIAL_WINDOW, 99_999), (raw.MAX_STREAMS, 2), (raw.MAX_LIST, 200)]
            return raw.settings([chance.choice([*choices, (raw.MAX_STREAMS, 99), (raw.TABLE_SIZE, 0)])])
        case 16:
            return raw.ping(ack=chance.random() < 0.3)
        case 17 if chance.random() < 0.3:
            return raw.goaway(chance.choice((0, 3, 5, raw.MAX_ID)), chance.randrange(3))
        case 18:
            return peer.headers(stream, [("Bad", "v")], end=end, cuts=(1,))
        case _:
            return raw.priority(stream)


@pytest.mark.req("SEC-14", "DUP-39", "DUP-11", "DUP-16", "MAL-2", "H2-7")
@settings(max_examples=6 * EXAMPLES)
@given(client=st.booleans(), seed=st.integers(0, 2**32), length=st.integers(1, 120))
def test_any_frames_and_any_commands(client: bool, seed: int, length: int) -> None:
    """Our bytes are read by the raw peer, whose HPACK table must stay in step, whatever happens."""
    chance = random.Random(seed)
    peer = RawPeer(client=not client)
    engine: Any = ClientConnection(now=0.0) if client else ServerConnection(now=0.0)
    calls: list[Any] = []
    heard: list[list[object]] = []
    now = 0.0

    def pull(most: int) -> None:
        while out := engine.data_to_send(now, most):
            peer.read(out)

    pull(1000)
    engine.receive_data(peer.hello(), now)
    closed: list[object] = []
    for _ in range(length):
        match chance.randrange(12):
            case 0 | 1 | 2 | 3 | 4:
                engine.receive_data(some_frame(peer, chance), now)
            case 5:
                pull(chance.choice((1, 100, 20_000, 70_000)))
            case 6 | 7:
                closed += [
                    event for event in _peek(engine, calls, heard, chance) if isinstance(event, ConnectionClosed)
                ]
            case 8 if client and engine.state < 2:
                extra = [("x-a", chance.choice("abc"))]
                calls.append(engine.start_call("/a/b", extra, deadline=chance.choice((None, now + 3))))
                heard.append([])
            case 9 if chance.random() < 0.1:
                engine.shutdown(deadline=chance.choice((None, now + 2.0)))
            case 10:
                now += chance.choice((0.0, 0.5, 2.0))
                engine.handle_timeout(now)
            case _:
                if calls:
                    any_command(chance.choice(calls), chance)
    pull(70_000)
    engine.receive_eof(now)
    closed += [event for event in _peek(engine, calls, heard, chance) if isinstance(event, ConnectionClosed)]
    pull(70_000)
    assert len(closed) == 1
    assert not closed[0].reason.startswith("internal error"), closed[0].reason  # type: ignore[attr-defined]
    for call, events in zip(calls, heard, strict=True):
        ends = [index for index, event in enumerate(events) if isinstance(event, CallEnded)]
        assert ends == [len(events) - 1], (call, events)


def any_command(call: Any, chance: random.Random) -> None:
    if isinstance(call, ServerCall):
        match chance.randrange(4):
            case 0 if call.send_state == 0:
                call.send_initial_metadata([("x", "y" * chance.choice((1, 500)))])
            case 1 if call.writable:
                call.send_message(bytes(chance.choice((0, 10, 40_000, 100_000))))
            case 2 if call.send_state in (0, 1, 3) and not call._finished:
                call.finish(Status(chance.randrange(17)))  # type: ignore[arg-type]
            case 3 if chance.random() < 0.2:
                call.abort()
            case _:
                call.take_message()
    else:
        match chance.randrange(4):
            case 0 if call.writable:
                call.send_message(bytes(chance.choice((0, 10, 40_000, 100_000))))
            case 1:
                call.half_close()
            case 2 if chance.random() < 0.3:
                call.cancel()
            case _:
                call.take_message()
