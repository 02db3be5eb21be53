"""The server as a library: ports, verdicts, and what its judge sees in the frames of a client."""

from __future__ import annotations

import socket

import anyio
import pytest

from duplexcore.testing import raw
from duplexcore.testing.link import dial
from duplexcore.testing.misbehaving import CASES, ServerCase, Stage, misbehave
from duplexcore.testing.misbehaving.judge import Judge
from duplexcore.testing.raw import RawPeer

FIELDS = raw.request_fields("/grpc.testing.TestService/UnaryCall")


def opened(stream: int = 1, *, end: bool = False, without: str = "", **changed: str) -> bytes:
    """A request's HEADERS, with other values for some fields."""
    fields = [(name, changed.get(str(name).strip(":").replace("-", "_"), value)) for name, value in FIELDS]
    return RawPeer(client=True).headers(stream, [field for field in fields if field[0] != without], end=end)


def breaches(*frames: bytes, said: bytes = b"") -> set[str]:
    """The rules that these frames break, after SETTINGS; ``said``: what the server says before."""
    peer, judge = RawPeer(client=False), Judge()
    judge.said(said)
    for frame in peer.read(raw.PREFACE + b"".join(frames)):
        judge.heard(frame)
    judge.forgive()
    return {check.rule for check in judge.checks("") if not check.passed}


HELLO = raw.settings()


@pytest.mark.parametrize(
    ("rule", "frames", "said"),
    [
        ("CONN-2", [raw.ping(), HELLO], b""),
        ("CONN-4", [HELLO, raw.settings_ack()], b""),
        ("KEEP-1", [HELLO, raw.ping(b"not sent", ack=True)], raw.ping()),
        ("FLOW-9", [HELLO, raw.window_update(0, 0)], b""),
        ("DUP-9", [HELLO, raw.rst(1)], b""),
        ("MAL-8", [HELLO, raw.data(1, b"x")], b""),
        ("CONN-11", [HELLO, opened(2)], b""),
        ("DUP-17", [HELLO, opened(end=True), raw.data(1, b"x")], b""),
        ("CANC-5", [HELLO, opened(), raw.rst(1), raw.data(1, b"x")], b""),
        ("FLOW-12", [HELLO, opened(), raw.data(1, bytes(16_385))], b""),
        ("FLOW-7", [HELLO, raw.settings_ack(), opened(), raw.data(1, b"x")], raw.settings({raw.INITIAL_WINDOW: 0})),
        ("HDR-2", [HELLO, opened(method="GET")], b""),
        ("HDR-3", [HELLO, opened(scheme="ftp")], b""),
        ("HDR-4", [HELLO, opened(path="nowhere")], b""),
        ("HDR-5", [HELLO, opened(without=":authority")], b""),
        ("HDR-7", [HELLO, opened(without="te")], b""),
        ("HDR-8", [HELLO, opened(content_type="text/plain")], b""),
    ],
)
def test_the_judge_sees_what_no_client_may_do(rule: str, frames: list[bytes], said: bytes) -> None:
    assert breaches(*frames, said=said) == {rule}


def test_the_judge_has_nothing_against_a_good_client() -> None:
    frames = [HELLO, raw.settings_ack(), opened(), raw.data(1, bytes(16_384)), raw.data(1, end=True)]
    pings = [raw.ping(ack=True), raw.window_update(0, 1000), raw.goaway(0)]
    assert breaches(*frames, *pings, said=raw.settings() + raw.ping()) == set()


def test_the_judge_counts_streams_once_the_limit_is_acknowledged() -> None:
    limit, peer = raw.settings({raw.MAX_STREAMS: 1}), RawPeer(client=True)
    two = peer.request(1) + peer.request(3)
    assert breaches(HELLO, two, raw.settings_ack(), said=limit) == set()
    assert breaches(HELLO, raw.settings_ack(), two, said=limit) == {"CONN-6"}


async def test_a_case_of_your_own() -> None:
    async def polite(stage: Stage) -> None:
        await stage.answer(await stage.call())

    case = ServerCase("polite", "nothing", "be happy", ("FRM-3",), polite)
    async with misbehave(case) as server:
        link = await dial("127.0.0.1", server.port)
        request = link.peer.request(1, "/grpc.testing.TestService/UnaryCall") + raw.data(1, raw.message(), end=True)
        await link.send(link.peer.hello(ack=False) + request)
        assert (await link.until(lambda frame: frame.end, 30)) is not None
        await link.aclose()
        verdict = await server.verdict(timeout=30)
    assert verdict.passed, str(verdict)
    assert verdict.frames[:3] == ("SETTINGS", "HEADERS 1", "DATA 1 5 ES")


async def test_who_only_looks_whether_a_port_is_open_is_not_judged() -> None:
    async with misbehave("ping") as server:
        await (await anyio.connect_tcp("127.0.0.1", server.port)).aclose()
        while not server.connections:
            await anyio.sleep(0.01)
        with pytest.raises(LookupError, match="nobody has made a call"):
            await server.verdict(timeout=30)


async def test_what_goes_wrong_says_so_and_leaves_nothing_open() -> None:
    with pytest.raises(ValueError, match="there is no case 'nosuch'"):
        async with misbehave("nosuch"):
            pass
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port}"):
            async with misbehave("ping", port=port):
                pass
    with pytest.raises(ZeroDivisionError):  # as it is, not in a group
        async with misbehave("ping"):
            _ = 1 / 0


def test_names_rules_and_texts_are_there() -> None:
    for name, case in CASES.items():
        assert case.name == name
        assert case.rules
        assert case.does
        assert case.must
        assert set(case.own) <= set(case.status)
