"""Compression of a call's messages: who chooses, what is sent, and what is made of what comes (COMP)."""

from __future__ import annotations

import pytest

from duplexcore import (
    CallEnded,
    CallStarted,
    ClientCall,
    ClientConfig,
    ClientConnection,
    LocalProtocolError,
    Message,
    Metadata,
    ServerCall,
    ServerConfig,
    ServerConnection,
    StatusCode,
    compression_named,
)
from duplexcore.call.framing import MessageDecoder, Unpacked, frame_message
from duplexcore.http2 import Frame, FrameType
from tests.support.calls import decoded

TEXT = b"the same again and again " * 40


class Pair:
    """Two engines joined in memory, and one call between them."""

    def __init__(self, client: ClientConfig | None = None, server: ServerConfig | None = None, **call: object) -> None:
        self.client = ClientConnection(client, now=0.0)
        self.server = ServerConnection(server, now=0.0)
        self.frames: list[tuple[str, Frame]] = []
        self.client.observer = lambda way, frame: self.frames.append((way, frame))
        self.asked: ClientCall = self.client.start_call("/p.S/M", **call)  # type: ignore[arg-type]
        self.started: list[ServerCall] = []
        self.carry()

    def carry(self) -> None:
        busy = True
        while busy:
            busy = False
            for source, target in ((self.client, self.server), (self.server, self.client)):
                while data := source.data_to_send(0.0):
                    target.receive_data(data, 0.0)
                    busy = True
            while event := self.server.next_event():
                if isinstance(event, CallStarted):
                    self.started.append(event.call)

    @property
    def answered(self) -> ServerCall:
        return self.started[0]

    def to_server(self, payload: bytes, compress: bool | None = None) -> Message:
        self.asked.send_message(payload, compress=compress)
        self.carry()
        message = self.answered.next_event()
        assert isinstance(message, Message)
        return message

    def to_client(self, payload: bytes, compress: bool | None = None) -> Message:
        self.answered.send_message(payload, compress=compress)
        self.carry()
        while not isinstance(message := self.asked.next_event(), Message):
            assert message is not None
        return message


@pytest.mark.req("COMP-8", "COMP-9", "COMP-11", "PY-1")
@pytest.mark.parametrize("where", ["connection", "call"])
def test_the_call_and_the_message_choose_and_the_nearer_one_wins(where: str) -> None:
    config = ClientConfig(compression="gzip") if where == "connection" else ClientConfig()
    pair = Pair(config, ServerConfig(compression="deflate"), **({"compression": "gzip"} if where == "call" else {}))
    assert pair.to_server(TEXT) == Message(TEXT, compressed=True)
    seen = [pair.answered.was_compressed]
    assert pair.to_server(TEXT, compress=False) == Message(TEXT, compressed=False)
    assert [*seen, pair.answered.was_compressed] == [True, False]
    assert pair.to_server(b"xyz") == Message(b"xyz", compressed=False)  # packed it would be larger
    assert pair.to_server(b"xyz", compress=True) == Message(b"xyz", compressed=True)
    assert pair.to_server(b"", compress=True) == Message(b"", compressed=False)
    assert pair.to_client(TEXT) == Message(TEXT, compressed=True)
    assert pair.to_client(TEXT, compress=False) == Message(TEXT, compressed=False)


@pytest.mark.req("COMP-8")
def test_the_default_is_plain_and_a_call_can_leave_the_connections_choice() -> None:
    assert Pair().to_server(TEXT) == Message(TEXT, compressed=False)
    pair = Pair(ClientConfig(compression="gzip"), compression=b"identity".decode())  # an equal name will do
    assert pair.to_server(TEXT) == Message(TEXT, compressed=False)
    with pytest.raises(LocalProtocolError, match="has no compression"):
        pair.asked.send_message(TEXT, compress=True)
    with pytest.raises(LocalProtocolError, match="not one of"):
        pair.client.start_call("/p.S/M", compression="zstd")


@pytest.mark.req("COMP-7")
def test_a_server_packs_only_with_what_the_client_takes() -> None:
    pair = Pair(ClientConfig(compressions=("deflate",)), ServerConfig(compression="gzip"))
    assert pair.to_client(TEXT, compress=True) == Message(TEXT, compressed=False)
    pair = Pair(ClientConfig(compressions=("deflate",)))
    pair.answered.choose_compression("deflate")
    assert pair.to_client(TEXT) == Message(TEXT, compressed=True)
    with pytest.raises(LocalProtocolError, match="before initial metadata"):
        pair.answered.choose_compression(None)
    with pytest.raises(LocalProtocolError, match="not one of"):
        Pair().answered.choose_compression("zstd")


@pytest.mark.req("COMP-3", "COMP-10")
def test_a_coding_that_the_server_lacks_is_refused_with_the_headers() -> None:
    pair = Pair(ClientConfig(compression="gzip"), ServerConfig(compressions=("deflate",)))
    ended = pair.asked.next_event()
    assert isinstance(ended, CallEnded)
    assert ended.status.code is StatusCode.UNIMPLEMENTED
    assert "'gzip'" in ended.status.message
    assert not pair.started
    came = [frame.type for way, frame in pair.frames if way == "in" and frame.stream_id]
    assert came == [FrameType.HEADERS, FrameType.RST_STREAM]
    assert ended.trailing_metadata == Metadata()


@pytest.mark.req("COMP-2", "COMP-4", "COMP-5", "COMP-6", "COMP-9")
@pytest.mark.parametrize(
    ("encoding", "body", "limit", "code"),
    [
        ("", b"x", 100, StatusCode.INTERNAL),
        ("identity", b"x", 100, StatusCode.INTERNAL),
        ("identity", b"", 100, StatusCode.INTERNAL),
        ("snappy", b"x", 100, StatusCode.INTERNAL),
        ("gzip", b"not gzip", 100, StatusCode.INTERNAL),
        ("gzip", compression_named("gzip").compress(b"x" * 100)[:-1], 100, StatusCode.INTERNAL),
        ("gzip", compression_named("gzip").compress(b"x" * 100) + b"!", 100, StatusCode.INTERNAL),
        ("gzip", compression_named("gzip").compress(b"x" * 100), 100, None),
        ("gzip", compression_named("gzip").compress(b"x" * 101), 100, StatusCode.RESOURCE_EXHAUSTED),
        ("gzip", compression_named("gzip").compress(b"x" * 100), 10, StatusCode.RESOURCE_EXHAUSTED),  # FRM-4: as it is
        ("gzip", b"", 100, None),
    ],
)
def test_what_is_made_of_a_message_that_is_marked(encoding: str, body: bytes, limit: int, code: object) -> None:
    decoder = MessageDecoder(limit, ("gzip", "deflate"))
    decoder.encoding = encoding
    messages = decoded(decoder, frame_message(b"plain") + frame_message(body, compressed=True))
    assert messages[0] == b"plain"  # flag 0 is plain under any encoding
    if code is None:
        assert decoder.fault is None
        assert messages[1:] == [Unpacked(b"x" * 100, len(body)) if body else b""]
    else:
        assert messages[1:] == []
        assert decoder.fault is not None
        assert decoder.fault.code is code


@pytest.mark.req("FLOW-3", "COMP-1")
def test_credit_counts_the_bytes_of_the_wire() -> None:
    pair = Pair(ClientConfig(compression="gzip"))
    for _ in range(2000):  # more than the window, unpacked; so little packed that no credit is due before
        assert pair.to_server(TEXT * 10).payload == TEXT * 10
    window = pair.asked._lane.window  # type: ignore[attr-defined]  # of the client: nothing came
    assert window.available == window.size
    window = pair.answered._lane.window  # type: ignore[attr-defined]
    assert window.available + window.owed == window.size
