"""`duplexcore demo` in all its ways, and what it leaves behind."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from duplexcore.cli.app import command

from .running import COMMAND, duplexcore, running

pytestmark = pytest.mark.req("D-11", "D-12", "D-13", "D-14")

PEERS = {
    "duplexcore": (),
    "grpcio-server": ("--peer", "grpcio", "--peer-side", "server"),
    "grpcio-client": ("--peer", "grpcio", "--peer-side", "client"),
}


def demo(*arguments: str | Path) -> Result:
    """In this process: the same command, without the start of an interpreter."""
    return CliRunner().invoke(command, ["demo", "--pace", "0", *map(str, arguments)])


@pytest.fixture
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short enough for a Unix socket, whatever the test is called."""
    return tmp_path_factory.mktemp("s") / "s"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("uds", [False, True], ids=["tcp", "uds"])
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_conversation_is_held(backend: str, peer: str, uds: bool, tls: bool, socket_path: Path) -> None:
    arguments = ["--backend", backend, *PEERS[peer], *(["--tls"] if tls else [])]
    if uds:
        arguments += ["--uds", str(socket_path)]
    result = demo(*arguments)
    assert result.exit_code == 0, result.output
    assert "✗" not in result.output
    assert result.output.count("✓") == (8 if peer == "grpcio-server" else 9)
    picture = [line for line in result.output.splitlines() if "│" in line]
    wire = [text for line in picture for text in PICTURE if text in line.split("│")[2]]
    assert wire == PICTURE


#: What stands between the engines, in this order.
PICTURE = [
    "method + metadata",
    "response 1",
    "request 1",
    "response 2",
    "response 3",
    "response 4",
]


def test_as_a_process_it_writes_the_diagram_and_the_page(tmp_path: Path) -> None:
    run = duplexcore("demo", "--pace", "0", "--mermaid", tmp_path / "call.mmd", "--html", tmp_path / "call.html")
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    diagram = (tmp_path / "call.mmd").read_text(encoding="utf-8")
    assert diagram.startswith("sequenceDiagram\n")
    order = [
        diagram.index(text)
        for text in (
            "clientApp->>client: open",
            "client->>server: method + metadata",
            "server->>client: response 1",
            "client->>server: request 1",
            "server->>client: response 2",
            "server->>client: response 3",
            "server->>client: response 4 + status + trailing metadata",
            "client->>clientApp: status OK",
        )
    ]
    assert order == sorted(order)
    assert "<title>One duplex call</title>" in (tmp_path / "call.html").read_text(encoding="utf-8")


def test_a_pause_between_the_steps_changes_nothing_else() -> None:
    result = CliRunner().invoke(command, ["demo", "--pace", "0.01"])
    assert result.exit_code == 0, result.output
    assert result.output.count("✓") == 9


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("peer", PEERS)
def test_ctrl_c_ends_it(backend: str, peer: str) -> None:
    """In the middle of the conversation, where both sides pause."""
    with running(COMMAND, "demo", "--pace", "1", "--backend", backend, *PEERS[peer]) as run:
        run.until("response 1")
        run.process.send_signal(signal.SIGINT)
        assert run.ends() == 130
        assert "Traceback" not in run.errors


def test_what_goes_otherwise_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    from duplexcore.cli import demo as module
    from duplexcore.cli.conversation import ANSWERS

    monkeypatch.setattr(module, "ANSWERS", ANSWERS[:1])
    result = demo()
    assert result.exit_code == 1
    assert "✗ one request got two answers" in result.output
    assert "the conversation went otherwise" in result.output


def test_a_conversation_that_waits_for_itself_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer does not come: the deadline ends it, not the patience of the one who watches."""
    from duplexcore.cli import demo as module

    serving = module._serving
    monkeypatch.setattr(module.DemoOptions, "timeout", 0.2)
    monkeypatch.setattr(module, "_serving", lambda address, tls, trace, pace: serving(address, tls, trace, 3600.0))
    result = demo()
    assert result.exit_code == 1
    assert "DEADLINE_EXCEEDED" in result.output
