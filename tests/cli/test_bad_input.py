"""Whatever is wrong: a text that says what and what to do, a non-zero exit code, no traceback."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from duplexcore.cli.app import command

from .running import COMMAND, PATIENCE, duplexcore, running, serving


def refused(*arguments: str | Path, says: str, code: int = 1) -> str:
    """The command fails as it should; what it wrote. In this process where that is the same: older anyio leaves
    sockets that could not be bound to the garbage collector, which would show in some later test."""
    if arguments[0] == "serve":
        run = duplexcore(*arguments)
        assert (run.returncode, run.stdout) == (code, ""), run.stderr
        assert re.search(says, run.stderr), run.stderr
        assert "Traceback" not in run.stderr
        return run.stderr
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    assert re.search(says, result.output), result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["chat", "nosuch.invalid:50051"], 1, "duplexcore: no such host: 'nosuch.invalid'"),
        (["serve", "--host", "203.0.113.1", "--port", "0"], 1, "duplexcore: cannot listen at 203.0.113.1"),
        (["dance"], 2, "Error: No such command 'dance'"),
    ],
)
def test_as_a_process_too(arguments: list[str], code: int, says: str) -> None:
    run = duplexcore(*arguments)
    assert run.returncode == code
    assert says in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


@contextmanager
def peer(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Something that listens and is no gRPC server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                answer(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(PATIENCE)


@pytest.fixture(scope="module")
def tls_server() -> Iterator[str]:
    with serving("--tls") as (_, target):
        yield target


@pytest.fixture(scope="module")
def plain_server() -> Iterator[str]:
    with serving() as (_, target):
        yield target


# --- reaching a server ----------------------------------------------------------------------------------------------


def test_no_such_host() -> None:
    refused("chat", "nosuch.invalid:50051", says="no such host: 'nosuch.invalid'")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refused("chat", f"127.0.0.1:{port}", says="refused the connection: is the server running")


def test_no_such_socket(tmp_path: Path) -> None:
    refused("chat", f"unix:{tmp_path}/none", says="no socket at unix:.*: is the server running")


@pytest.mark.parametrize("target", ["", "localhost:", "localhost:http", "localhost:99999", "::1:50051"])
def test_what_is_no_target(target: str) -> None:
    refused("chat", target, says="target")


def test_a_url_is_no_target() -> None:
    refused("chat", "https://localhost:1", says="is a URL: use HOST:PORT, and --tls", code=2)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_certificate_is_refused(tls_server: str, backend: str) -> None:
    refused("chat", tls_server, "--tls", "--backend", backend, says="(?i)certificate")


def test_the_certificate_is_for_another_name(tmp_path: Path) -> None:
    with running(COMMAND, "serve", "--tls", "--port", "0") as server:
        authority = server.until("--ca ").rpartition("--ca ")[2]
        target = server.until("listening on ").split()[2]
        refused("chat", target, "--ca", authority, "--server-name", "example.org", says="(?i)certificate.*example.org")


def test_tls_to_a_server_without(plain_server: str) -> None:
    refused("chat", plain_server, "--tls", says="(?i)TLS")


def test_no_tls_to_a_server_with(tls_server: str) -> None:
    refused("chat", tls_server, says="(?i)TLS|closed")


def test_the_peer_speaks_http_1() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        connection.recv(4096)

    with peer(answer) as target:
        refused("chat", target, says="HTTP/1.1")


def test_the_peer_closes_at_once() -> None:
    with peer(lambda connection: None) as target:
        refused("chat", target, says="closed|reset")


def test_the_peer_sends_rubbish() -> None:
    with peer(lambda connection: connection.sendall(b"\0" * 64)) as target:
        refused("chat", target, says="HTTP/2|SETTINGS")


@pytest.mark.req("D-6")
def test_the_method_is_unknown() -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "duplex_server.py"
    with running(sys.executable, example, "127.0.0.1:0") as server:
        target = server.until("listening on ").split()[2]
        run = duplexcore("chat", target)
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        "duplexcore: the call ended with UNIMPLEMENTED: unknown service 'duplexcore.demo.v1.ChatRoom'",
        "  the server does not have this method: is it `duplexcore serve`?",
    ]


def test_the_server_goes_away() -> None:
    with serving() as (server, target), running(COMMAND, "chat", target) as guest:
        guest.until("you are")
        server.process.kill()
        assert guest.ends() == 1
        assert "UNAVAILABLE" in guest.errors
        assert "Traceback" not in guest.errors


# --- listening ------------------------------------------------------------------------------------------------------


def test_the_port_is_in_use(plain_server: str) -> None:
    port = plain_server.rpartition(":")[2]
    refused("serve", "--port", port, says=f"{port} is in use: .*another port")


def test_the_socket_is_in_use(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("s") / "s"
    with serving("--uds", path):
        refused("serve", "--uds", path, says="in use")


def test_not_an_address_of_this_machine() -> None:
    refused("serve", "--host", "203.0.113.1", "--port", "0", says="cannot listen at 203.0.113.1")


def test_no_folder_for_the_socket(tmp_path: Path) -> None:
    refused("serve", "--uds", tmp_path / "no" / "socket", says="cannot listen at unix:.*No such file")
    refused("demo", "--peer", "grpcio", "--uds", tmp_path / "no" / "socket", says="cannot listen on unix:")


def test_certificates_that_are_none(tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("not a certificate\n", encoding="utf-8")
    refused("serve", "--cert", tmp_path / "none.pem", says="cannot use --cert .*No such file")
    refused("serve", "--cert", text, says="cannot use --cert")
    refused("serve", "--key", text, says="--key belongs to --cert", code=2)
    refused("chat", "localhost:1", "--ca", text, says="cannot use --ca")
    refused("chat", "localhost:1", "--server-name", "x", says="--server-name is for --tls", code=2)


# --- the demo's files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--mermaid", "--html"])
def test_files_that_can_not_be_written(tmp_path: Path, option: str) -> None:
    error = refused("demo", option, tmp_path / "no" / "file", says="cannot write .*No such file")
    assert "name a file in a folder that exists" in error
    refused("demo", option, tmp_path, says="is a directory", code=2)


def test_nothing_is_lost_when_the_demo_fails(tmp_path: Path) -> None:
    kept = tmp_path / "call.html"
    kept.write_text("precious", encoding="utf-8")
    refused("demo", "--html", kept, "--mermaid", tmp_path / "no" / "file", says="cannot write")
    assert kept.read_text(encoding="utf-8") == "precious"
    refused("demo", "--html", tmp_path / "new.html", "--uds", tmp_path / "no" / "s", says="cannot listen")
    assert not (tmp_path / "new.html").exists()


# --- nobody reads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("words", [["demo", "--pace", "0"], ["chat"]], ids=["demo", "chat"])
def test_a_closed_pipe_is_a_silent_end(plain_server: str, words: list[str], backend: str) -> None:
    """As with ``| head``: no hang, no text, and not success."""
    reading, writing = os.pipe()
    os.close(reading)
    target = [plain_server] if words == ["chat"] else []
    with os.fdopen(writing, "wb") as closed:
        run = subprocess.run(
            [COMMAND, *words, *target, "--backend", backend],
            stdin=subprocess.DEVNULL,
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert (run.returncode, run.stderr) == (1, "")


# --- options and extras ---------------------------------------------------------------------------------------------


def test_unknown_words_are_usage_errors() -> None:
    refused("dance", says="No such command 'dance'", code=2)
    refused("demo", "--peer", "nobody", says="'nobody' is not one of", code=2)
    refused("serve", "--port", "70000", says="70000 is not in the range", code=2)
    refused("chat", says="Missing argument", code=2)


def without(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in an environment that lacks a module."""
    code = f"import sys; sys.modules[{module!r}] = None; from duplexcore.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("grpc", ["demo", "--peer", "grpcio"], "peers"),
        ("trio", ["demo", "--backend", "trio"], "trio"),
        ("uvloop", ["interop", "client", "--backend", "uvloop"], "uvloop"),
        ("trustme", ["demo", "--tls"], "cli"),
        ("trustme", ["serve", "--tls"], "cli"),
        ("click", ["--help"], "cli"),
        ("rich", ["demo"], "cli"),
        ("anyio", ["chat", "localhost:1"], "cli"),
        ("google.protobuf", ["demo"], "cli"),
    ],
)
def test_a_missing_extra_is_named(module: str, arguments: list[str], extra: str) -> None:
    run = without(module, *arguments)
    assert run.returncode == 1, run.stdout + run.stderr
    assert f"pip install 'duplexcore[{extra}]'" in run.stderr
    assert "Traceback" not in run.stderr


def test_debug_shows_the_traceback() -> None:
    run = duplexcore("chat", "nosuch.invalid:1", "--debug")
    assert run.returncode == 1
    assert "Traceback" in run.stderr


def test_what_nobody_expected_is_told_in_one_line() -> None:
    code = (
        "import duplexcore.cli.chat as chat\n"
        "def connect(*a, **k): raise ZeroDivisionError('by zero')\n"
        "chat.connect = connect\n"
        "from duplexcore.cli import main; main()\n"
    )
    line = [sys.executable, "-c", code, "chat", "localhost:1"]
    run = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert run.returncode == 1
    assert run.stderr.splitlines() == [
        "duplexcore: unexpected ZeroDivisionError: by zero",
        "  run it again with --debug for the traceback",
    ]
