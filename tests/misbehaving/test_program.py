"""`duplexcore interop http2` as it is run."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from duplexcore.cli.app import command
from tests.cli.running import COMMAND, duplexcore, running


def test_serves_until_told_and_writes_what_it_saw(tmp_path: Path) -> None:
    report = tmp_path / "verdicts.json"
    program = (COMMAND, "interop", "http2", "--only", "ping,two_messages", "--port", "0", "--json", report)
    with running(*program) as server:
        port = server.until("two_messages").split()[0]
        server.until("SIGTERM stops")
        client = duplexcore("interop", "client", "--test_case", "two_messages", "--server_port", port)
        assert client.returncode == 0, client.stdout + client.stderr
        assert "STAT-15" in server.until("two_messages #1 pass")
        server.process.send_signal(signal.SIGTERM)
        server.until("stopped: 1 connections judged, 0 failed")
        assert server.process.wait(60) == 0
    said = json.loads(report.read_text())
    assert [case["name"] for case in said["cases"]] == ["ping", "two_messages"]
    assert [verdict["passed"] for verdict in said["verdicts"]] == [True]


def test_tries_our_own_client_over_tls(tmp_path: Path) -> None:
    flags = ("--try", "--tls", "--test_ca_dir", tmp_path / "ca", "--backend", "trio", "--port", "0")
    run = duplexcore("interop", "http2", "--only", "rst_after_data,http_404", *flags)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith("stopped: 2 connections judged, 0 failed\n")


def test_lists_what_each_case_is() -> None:
    run = duplexcore("interop", "http2", "--list", "--only", "goaway")
    assert run.returncode == 0
    assert re.search(
        r"^goaway\n    server  GOAWAY after .*\n    client  one UnaryCall; .*\n    status  OK; ", run.stdout
    )


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--only", "goawya"], "did you mean goaway?"),
        (["--port", "65530"], "cases need as many ports"),
        (["--key", "key.pem"], "--key belongs to --cert"),
        (["--cert", "nosuch.pem"], "cannot use --cert nosuch.pem"),
        (["--json", "nosuch/file.json", "--port", "0"], "cannot write nosuch/file.json"),
        (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
    ],
)
def test_wrong_use_is_told_and_is_2(flags: list[str], says: str) -> None:
    run = CliRunner().invoke(command, ["interop", "http2", *flags])
    assert run.exit_code == 2, run.output
    assert says in run.output
    assert isinstance(run.exception, SystemExit)
