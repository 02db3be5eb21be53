"""The two commands as people use them, rightly and wrongly."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from duplexcore.cli.app import command
from duplexcore.interop.peers.environments import GoPrograms, InstallError, NodePackages, PythonPackages
from tests.cli.running import duplexcore


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["interop", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["matrix", "--client", "grpx"], "there is no peer 'grpx'"),
        (["matrix", "--server", ","], "names no peer"),
        (["matrix", "--case", "pong"], "there is no case 'pong'"),
        (["matrix", "--case", ""], "names no case"),
        (["matrix", "--plain", "--tls"], "leave nothing"),
        (["matrix", "--jobs", "0"], "--jobs"),
        (["peers", "--install", "grpx"], "there is no peer 'grpx'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_exit_2_and_says_what_there_is(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_peer_that_is_named_must_be_here(tmp_path: Path) -> None:
    result = run("matrix", "--client", "grpclib", "--dir", str(tmp_path))
    assert result.exit_code == 2
    assert "grpclib can not run: not installed: duplexcore interop peers --install grpclib" in result.output


def test_peers_lists_what_is_here_and_what_is_missing(tmp_path: Path) -> None:
    lines = run("peers", "--dir", str(tmp_path)).output.splitlines()
    said = {name: rest.strip() for name, _, rest in (line.partition(" ") for line in lines)}
    assert said["duplexcore"].startswith("is here  duplexcore ")
    assert said["grpcio"] == "not installed: duplexcore interop peers --install grpcio"


def test_a_file_that_can_not_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    result = run("matrix", "--client", "duplexcore", "--server", "duplexcore", "--json", str(tmp_path / "no" / "file"))
    assert result.exit_code == 2
    assert "cannot write" in result.output


def test_duplexcore_against_itself_on_both_event_loops(tmp_path: Path) -> None:
    files = {name: tmp_path / f"matrix.{name}" for name in ("json", "markdown", "html")}
    flags = [part for name, file in files.items() for part in (f"--{name}", str(file))]
    pair = ["--client", "duplexcore-trio", "--server", "duplexcore", "--case", "ping_pong,large_unary"]
    done = duplexcore("interop", "matrix", *pair, *flags)
    assert done.returncode == 0, done.stderr
    assert "4 passed, 0 failed, 0 skipped" in done.stdout
    cells = json.loads(files["json"].read_text(encoding="utf-8"))["cells"]
    assert {(cell["case"], cell["tls"], cell["verdict"]) for cell in cells} == {
        (case, tls, "passed") for case in ("ping_pong", "large_unary") for tls in (False, True)
    }
    assert "4 passed" in files["markdown"].read_text(encoding="utf-8")
    assert "duplexcore-trio" in files["html"].read_text(encoding="utf-8")


def test_all_python_peers_are_the_other_implementations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """duplexcore on an event loop that is not here is no reason to fail: nothing of it is installed."""
    asked: list[str] = []
    monkeypatch.setattr(PythonPackages, "install", lambda environment, folder, say: asked.append(environment.name))
    result = run("peers", "--install", "python", "--dir", str(tmp_path))
    assert result.exit_code == 0
    assert asked == ["grpcio", "grpclib", "connectrpc"]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (GoPrograms("grpc-go", ("example.org/none@v1.0.0", "client")), "needs Go"),
        (NodePackages("grpc-js", ("none@1.0.0",)), "needs node and npm"),
    ],
    ids=["go", "node"],
)
def test_a_missing_tool_is_named(
    environment: GoPrograms | NodePackages, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError, match=said):
        environment.install(tmp_path / "peers", lambda _: None)


def test_an_environment_is_made_once_and_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of no packages, so that no index is asked; in a folder that is named from here, as `make peers` does."""
    monkeypatch.chdir(tmp_path)
    folder = Path("peers")
    empty = PythonPackages("empty", ("pip",))
    said: list[str] = []
    empty.install(folder, said.append)
    assert said[0] == "empty: venv"
    assert empty.missing(folder) == ""
    assert os.access(folder / "empty" / "bin" / "python", os.X_OK)
    assert "pip on Python 3." in empty.versions(folder)
    other = PythonPackages("empty", ("pip", "wheel"))
    assert "peers --install empty" in other.missing(folder)
    (folder / "empty" / "environment.json").unlink()  # an installation that broke off leaves none
    assert empty.missing(folder).startswith("not installed")
