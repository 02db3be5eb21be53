"""`duplexcore chat` against `duplexcore serve`, each a process of its own."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner

from duplexcore import RpcError, StatusCode
from duplexcore.cli.app import command
from duplexcore.cli.proto.echo_pb2 import EchoRequest, EchoResponse
from duplexcore.cli.services import COLLECT, DUPLEX, EXPAND, UNARY
from duplexcore_anyio import connect

from .running import COMMAND, PATIENCE, Running, chatting, duplexcore, running, serving

BACKENDS = ("asyncio", "trio")


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(backend: str) -> Iterator[str]:
    """The target of a server that several tests share."""
    with serving("--backend", backend) as (_, target):
        yield target


# --- chat -----------------------------------------------------------------------------------------------------------


@pytest.mark.req("D-28")
def test_piped_lines_are_said_and_all_replies_come(server: str, backend: str) -> None:
    """The end of the pipe half-closes; what the server still has to say is heard."""
    lines = [f"line {number}" for number in range(200)]
    run = duplexcore("chat", server, "--name", "piper", "--backend", backend, input="\n".join(lines))
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        "* you are piper; here: nobody else",
        *(f"piper: {line}" for line in lines),
    ]


def test_an_empty_input_is_a_visit(server: str) -> None:
    run = duplexcore("chat", server, "--name", "mute", input="")
    assert (run.returncode, run.stdout, run.stderr) == (0, "* you are mute; here: nobody else\n", "")


def test_two_guests_hear_each_other(server: str, backend: str) -> None:
    with running(*chatting(server, "--name", "anna")) as anna:
        anna.until("you are anna")
        with running(*chatting(server, "--name", "bert", "--backend", backend)) as bert:
            assert bert.until("you are bert").endswith("here: anna")
            anna.until("bert has come")
            bert.say("good evening")
            anna.until("bert: good evening")
            anna.say("and to you — ¡olé!")
            bert.until("anna: and to you — ¡olé!")
            bert.end_of_input()
            assert bert.ends() == 0
        anna.until("bert has left")
        anna.end_of_input()
        assert anna.ends() == 0
        assert anna.errors == ""


def test_the_same_name_twice_is_told_apart(server: str) -> None:
    with running(*chatting(server, "--name", "Zoë")) as first:
        first.until("you are Zoë;")
        run = duplexcore("chat", server, "--name", "Zoë", input="it is me\n")
        assert "* you are Zoë-2; here: Zoë" in run.stdout
        first.until("Zoë-2: it is me")
        first.end_of_input()
        assert first.ends() == 0


def test_what_others_say_does_not_steer_the_terminal(server: str) -> None:
    run = duplexcore("chat", server, "--name", "imp", input="\x1b[2Jboo\x07\n")
    assert "imp: \N{REPLACEMENT CHARACTER}[2Jboo\N{REPLACEMENT CHARACTER}" in run.stdout
    assert "\x1b" not in run.stdout


def test_ctrl_c_leaves_cleanly(server: str, backend: str) -> None:
    with running(*chatting(server, "--name", "leaver", "--backend", backend)) as guest:
        guest.until("you are leaver")
        guest.process.send_signal(signal.SIGINT)
        assert guest.ends() == 130
        assert guest.errors == ""
    again = duplexcore("chat", server, "--name", "leaver", input="")
    assert "you are leaver; here: nobody else" in again.stdout


class Terminal:
    """A guest on a terminal, where Ctrl-D and Ctrl-C are keys."""

    def __init__(self, target: str) -> None:
        self.terminal, inside = pty.openpty()
        self.process = subprocess.Popen(
            chatting(target, "--name", "typist"), stdin=inside, stdout=inside, stderr=inside, start_new_session=False
        )
        os.close(inside)
        self.seen = b""

    def type(self, keys: bytes) -> None:
        os.write(self.terminal, keys)

    def until(self, text: bytes) -> None:
        while text not in self.seen:
            self.seen += os.read(self.terminal, 4096)


def test_ctrl_d_on_a_terminal_half_closes(server: str) -> None:
    guest = Terminal(server)
    try:
        guest.until(b"you are typist")
        guest.type(b"hello\n")
        guest.until(b"typist: ")
        guest.type(b"\x04")
        assert guest.process.wait(PATIENCE) == 0
    finally:
        guest.process.kill()
        guest.process.wait()
        os.close(guest.terminal)


def test_over_a_unix_socket_with_tls(tmp_path_factory: pytest.TempPathFactory, backend: str) -> None:
    path = tmp_path_factory.mktemp("s") / "s"
    with running(COMMAND, "serve", "--uds", path, "--tls", "--backend", backend) as server:
        authority = server.until("--ca ").rpartition("--ca ")[2]
        assert server.until("listening on ") == f"listening on unix:{path} with TLS"
        run = duplexcore(
            "chat", f"unix:{path}", "--ca", authority, "--server-name", "localhost", "--name", "uma", input="hi\n"
        )
        assert (run.returncode, run.stderr) == (0, "")
        assert "uma: hi" in run.stdout
        server.process.terminate()
        assert server.ends() == 0
        assert not Path(authority).exists()
    assert not path.exists()


# --- serve ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_without_calls_it_stops_at_once(backend: str, kind: signal.Signals) -> None:
    with serving("--backend", backend, "--grace", "3600") as (server, _):
        server.process.send_signal(kind)
        assert server.ends() == 0
        assert server.lines[-1] == "stopped"
        assert server.errors == ""


def test_draining_lets_calls_finish(backend: str) -> None:
    """A grace that no test waits for: it ends since the guest leaves."""
    with serving("--backend", backend, "--grace", "3600") as (server, target):
        with running(*chatting(target, "--name", "last", "--backend", backend)) as guest:
            guest.until("you are last")
            server.process.send_signal(signal.SIGTERM)
            server.until("SIGTERM: no new calls")
            guest.until("the server stops in 3600 s")
            late = duplexcore("chat", target, "--name", "late", input="")
            assert late.returncode == 1
            assert "refused the connection" in late.stderr
            guest.say("last words")
            guest.until("last: last words")
            guest.end_of_input()
            assert guest.ends() == 0
            assert guest.errors == ""
        assert server.ends() == 0
        assert server.errors == ""


def test_after_the_grace_calls_are_cut_off() -> None:
    with serving("--grace", "0.1") as (server, target), running(*chatting(target)) as guest:
        guest.until("you are")
        server.process.send_signal(signal.SIGTERM)
        assert server.ends() == 0
        assert guest.ends() == 1
        assert guest.errors.startswith("duplexcore: the call ended with ")
        assert "Traceback" not in guest.errors


def test_a_second_signal_does_not_wait() -> None:
    with serving("--grace", "3600") as (server, target), running(*chatting(target)) as guest:
        guest.until("you are")
        server.process.send_signal(signal.SIGINT)
        server.until("SIGINT: ")
        server.process.send_signal(signal.SIGINT)
        assert server.ends() == 0
        assert "again: stopping at once" in server.lines
        assert guest.ends() == 1


def test_host_and_socket_together(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("s") / "s"
    with running(COMMAND, "serve", "--uds", path, "--port", "0") as server:
        assert server.until("listening on unix:") == f"listening on unix:{path}"
        target = server.until("listening on 127.0.0.1:").split()[2]
        for where in (target, f"unix:{path}"):
            assert duplexcore("chat", where, input="").returncode == 0
        server.process.terminate()
        assert server.ends() == 0


@pytest.mark.req("D-31")
def test_the_four_kinds_of_echo(server: str) -> None:
    async def main() -> None:
        async with connect(server) as channel:
            assert await channel.unary(UNARY, EchoRequest(text="a")) == EchoResponse(text="a", number=1)
            async with channel.client_streaming(COLLECT) as collected:
                await collected.send_all(EchoRequest(text=text, payload=b"-") for text in "abc")
                assert await collected.response() == EchoResponse(text="abc", payload=b"---", number=3)
            async with channel.server_streaming(EXPAND, EchoRequest(text="x", repeat=3)) as expanded:
                assert [answer.number async for answer in expanded] == [1, 2, 3]
            async with channel.server_streaming(EXPAND, EchoRequest(repeat=2**31)) as refused:
                with pytest.raises(RpcError) as raised:
                    await refused.receive()
                assert raised.value.code is StatusCode.INVALID_ARGUMENT
            async with channel.duplex(DUPLEX) as talk:
                for number in (1, 2):
                    await talk.send(EchoRequest(text=str(number)))
                    assert await talk.receive() == EchoResponse(text=str(number), number=number)
                await talk.send_eof()
                assert (await talk.wait_closed()).ok

    anyio.run(main)


def test_help_teaches() -> None:
    def help_of(*words: str) -> str:
        result = CliRunner().invoke(command, [*words, "--help"])
        assert result.exit_code == 0
        return result.output

    for said in ("duplexcore demo --html", "duplexcore serve", "duplexcore chat localhost:50051 --name anna"):
        assert said in help_of()
    for name, option in (("demo", "--peer-side"), ("chat", "Ctrl-D half-closes"), ("serve", "--grace")):
        assert option in help_of(name)
    assert duplexcore("--version").stdout.startswith("duplexcore, version ")


def test_running_reads_to_the_end() -> None:
    """The helper itself: output after the awaited line is not lost."""
    with running(COMMAND, "--help") as run:
        run.until("Usage")
        assert isinstance(run, Running)
        assert run.ends() == 0
        assert any("Commands" in line for line in run.lines)
