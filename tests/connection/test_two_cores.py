"""The two layers below the carrier, side by side: the same bytes and commands, the same events, statuses and frames."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexcore import CallEnded, ConnectionClosed
from duplexcore.config import Http2
from duplexcore.http2.frames import Frame, FrameType, read_frames
from duplexcore.status import ErrorCode
from tests.plugins.http2 import by_default
from tests.support.recordings import Recording, busy, drain, note, recordings

EXAMPLES = max(50, 2 * settings().max_examples)


def mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        at, size = chance.randrange(len(changed)), chance.choice((1, 1, 4, 9, 30))
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at] ^= 1 << chance.randrange(8)
            case 2:
                changed[at:at] = changed[at : at + size]
            case _:
                settings_ = chance.choice((b"\0\4", b"\0\5", b"\0\1", b"\0\6", b"\0\3"))
                value = chance.choice((0, 1, 100, 16_384, 65_535, 2**20, 2**31 - 1, 2**31))
                changed += b"\0\0\6\4\0\0\0\0\0" + settings_ + value.to_bytes(4, "big")
    return bytes(changed)


def shown(frame: Frame) -> Frame:
    """What a GOAWAY says to people may differ."""
    return replace(frame, payload=frame.payload[:8]) if frame.type == FrameType.GOAWAY else frame


def heard_over(http2: Http2, recording: Recording, seed: int) -> tuple[object, ...]:
    """All that applications and the peer see."""
    chance = random.Random(seed)
    data, events, said, out = mutated(recording.data, chance), [], [], b""
    with by_default(http2):
        engine, calls = recording.prepare()
    assert engine.config.http2 == http2
    at = 0
    while at < len(data):
        size = chance.choice((1, 9, 40, 400, 5_000))
        engine.receive_data(data[at : at + size], 0.0)
        at += size
        if chance.random() < 0.5:
            events += note(drain(engine), calls)
            said.append(busy(engine, calls, chance.randrange))
        if chance.random() < 0.3:
            out += engine.data_to_send(0.0, chance.choice((1, 100, 70_000)))
    while more := engine.data_to_send(0.0):
        out += more
    engine.receive_eof(0.0)
    events += note(drain(engine), calls)
    said.append(busy(engine, calls, chance.randrange))
    return (
        [plain(event) for event in events],
        [[plain(one) for one in call] for told in said for call in told],
        [shown(frame) for frame in read_frames(out)],
    )


def plain(event: object) -> object:
    """Without the reason of a fault that a core itself finds: a window above its limit."""
    if isinstance(event, ConnectionClosed) and event.code == ErrorCode.FLOW_CONTROL_ERROR:
        return replace(event, reason="")
    if isinstance(event, CallEnded) and "WINDOW" in event.status.message.upper():
        return replace(event, status=replace(event.status, message=""))
    return event


@pytest.mark.req("SEC-14", "FLOW-7", "FLOW-9")
@settings(max_examples=EXAMPLES)
@given(recording=st.sampled_from(recordings()), seed=st.integers(0, 2**32))
def test_both_say_the_same_whatever_comes(recording: Recording, seed: int) -> None:
    assert heard_over("native", recording, seed) == heard_over("h2", recording, seed)
