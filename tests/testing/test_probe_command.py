"""`duplexcore probe`: what it prints, writes and exits with."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from anyio.abc import ByteStream
from anyio.from_thread import start_blocking_portal
from click.testing import CliRunner, Result

from duplexcore.cli.probe_app import probe
from duplexcore.testing.probe import CASES
from tests.cli.running import duplexcore, serving

from .wrong_servers import answering, closing, listening

UNARY = "/duplexcore.demo.v1.Echo/Unary"


@contextmanager
def beside(handler: Callable[[ByteStream], Awaitable[None]]) -> Iterator[int]:
    """A wrong server in a thread of its own: its port."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(listening(handler)) as port:
        yield port


def asked(*arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(probe, list(arguments), terminal_width=200)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_our_server_passes_and_the_reports_are_written(tmp_path: Path, tls: bool) -> None:
    with serving(*(["--tls"] if tls else [])) as (server, address):
        authority = next((line.rpartition("--ca ")[2] for line in server.lines if "--ca " in line), "")
        done = duplexcore(
            "probe",
            address,
            *(["--ca", authority] if tls else []),
            *("--method", UNARY, "--only", "KEEP-*", "--only", "FRM-*", "--only", "CONN-1/*"),
            *("--json", tmp_path / "all.json", "--junit", tmp_path / "all.xml", "--markdown", tmp_path / "all.md"),
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no rule that binds is broken" in done.stdout
    assert "skipped: needs a duplex method" in done.stdout
    assert ("skipped: needs TLS" in done.stdout) is not tls
    assert json.loads((tmp_path / "all.json").read_text())["ok"] is True
    assert ET.parse(tmp_path / "all.xml").getroot().tag == "testsuites"
    assert "| all |" in (tmp_path / "all.md").read_text()


def test_a_rule_that_is_broken_is_exit_1_and_told_with_its_source() -> None:
    with beside(answering(12)) as port:
        done = asked(f"127.0.0.1:{port}", "--only", "MAL-1/uppercase")
    assert done.exit_code == 1
    assert "fail  MAL-1/uppercase" in done.output
    assert "RFC 9113 section 8.2.1 (must)" in done.output
    assert "status UNIMPLEMENTED" in done.output
    assert "1 cases break a rule that binds" in done.output


def test_advice_that_is_not_taken_is_exit_0() -> None:
    with beside(answering(12)) as port:
        done = asked(f"127.0.0.1:{port}", "--only", "CONN-12/says-why", "--timeout", "2")
    assert done.exit_code == 0
    assert "fail  CONN-12/says-why" in done.output


def test_nobody_there_and_no_answer_are_exit_2() -> None:
    refused = asked("127.0.0.1:1")
    with beside(closing) as port:
        mute = asked(f"127.0.0.1:{port}")
    assert refused.exit_code == mute.exit_code == 2
    assert "nobody answers at 127.0.0.1:1" in refused.output
    assert "a good call" in mute.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "HOST:PORT is missing"),
        (["http://localhost:1"], "is a URL"),
        (["localhost"], "is not HOST:PORT"),
        (["localhost:99999"], "is not HOST:PORT"),
        (["192.0.2.1:50051"], "is not this machine"),
        (["localhost:1", "--only", "NONE-*"], "no case fits"),
        (["localhost:1", "--method", "Hello"], "a method is /package.Service/Method"),
        (["localhost:1", "--message", "xyz"], "hexadecimal"),
        (["localhost:1", "--kind", "both"], "--kind"),
        (["localhost:1", "--floods", "0"], "--floods"),
        (["localhost:1", "--server-name", "x"], "--server-name is for --tls"),
        (["localhost:1", "--json", "/nowhere/x.json"], "cannot write /nowhere/x.json"),
        (["localhost:1", "--ca", "/nowhere/ca.pem"], "cannot use --ca /nowhere/ca.pem"),
    ],
)
def test_wrong_use_is_exit_2_in_words(arguments: list[str], said: str) -> None:
    done = asked(*arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_the_list_has_every_case_with_its_source() -> None:
    done = asked("--list")
    assert done.exit_code == 0
    for case in CASES.values():
        assert f"{case.id}  {case.title}" in done.output
    one = asked("--list", "--group", "comp")
    assert "COMP-1/gzip" in one.output
    assert "MAL-" not in one.output
