"""`duplexcore fuzz HOST:PORT`: phases, what is found and run again, what is known, and what can not be asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from anyio.from_thread import start_blocking_portal
from click.testing import CliRunner, Result

from duplexcore.cli.app import command
from duplexcore.cli.fuzz_address import AddressOptions
from duplexcore.cli.fuzz_known import KnownFailure
from duplexcore.cli.fuzz_phases import AddressSubject, Part
from duplexcore.cli.proto import echo_pb2
from duplexcore.testing.sim.cases import Case
from duplexcore.testing.sim.choosing import Chooser
from duplexcore.testing.sim.policies import Policy
from duplexcore.testing.sim.properties import PropertyError
from duplexcore.testing.sim.reports import Found, Report, to_html, to_junit
from tests.testing.test_blackbox import Server
from tests.testing.test_blackbox import listening as at_work
from tests.testing.test_descriptors import grpcio_with_reflection

from .running import serving

UNARY = ("--method", "/duplexcore.demo.v1.Echo/Unary", "--message", "0a0161")
QUICK = ("--runs", "2")


def fuzz(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, ["fuzz", *map(str, arguments)])


@contextmanager
def by_hand(*faults: str) -> Iterator[tuple[str, Server]]:
    """A server by hand, in a thread of its own, that is wrong from the second connection on; its address."""
    server = Server(*faults)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(at_work(server)) as port:
        yield f"127.0.0.1:{port}", server


@pytest.fixture(scope="module")
def ours() -> Iterator[str]:
    with serving() as (_, address):
        yield address


# --- phases and methods -----------------------------------------------------------------------------------------------


def test_our_server_keeps_the_rules_that_calls_can_show(ours: str, tmp_path: Path) -> None:
    for method in ([], ["--method", "/duplexcore.demo.v1.Echo/Duplex", "--kind", "duplex", "--message", "0a0161"]):
        result = fuzz("run", ours, "--phases", "stateful", "--runs", "8", "--cases", tmp_path, *method)
        assert result.exit_code == 0, result.output
        assert "nothing found in 8 runs" in result.output


def test_methods_and_messages_come_from_a_file(ours: str, tmp_path: Path) -> None:
    described = tmp_path / "echo.desc"
    content = echo_pb2.DESCRIPTOR.serialized_pb
    described.write_bytes(b"\x0a" + bytes([len(content) & 0x7F | 0x80, len(content) >> 7]) + content)
    report = tmp_path / "report.ndjson"
    result = fuzz(
        *("run", ours, "--descriptor", described, "--numbers", "9"),
        *("--phases", "stateful,conformance", "--max-time", "2"),
        *("--cases", tmp_path / "cases", "--report", f"ndjson={report},junit={tmp_path / 'x'},html={tmp_path / 'y'}"),
    )
    assert result.exit_code == 0, result.output
    [line] = map(json.loads, report.read_text(encoding="utf-8").splitlines())
    assert line["runs"] >= 1
    assert {"B1", "B9", "C1", "C10"} <= {*line["checks"]}
    assert ET.parse(tmp_path / "x").getroot().attrib["failures"] == "0"
    assert "each method, its message in one frame" in (tmp_path / "y").read_text(encoding="utf-8")


def test_methods_come_by_reflection(tmp_path: Path) -> None:
    """The service that is described is not there: its four methods are UNIMPLEMENTED, which is an answer."""
    with grpcio_with_reflection() as address:
        result = fuzz("run", address, "--reflection", "--phases", "stateful", "--runs", "3", "--cases", tmp_path)
        assert result.exit_code == 0, result.output
        none = fuzz("run", address, "--reflection", "--method", "/no.Such/*")
    assert none.exit_code == 2
    assert "there are: /fuzz.test.Echo/Unary, /fuzz.test.Echo/Collect" in none.output


def test_hostile_bytes_are_a_phase_and_a_case_of_them_is_run_again(tmp_path: Path) -> None:
    with by_hand("refuses") as (address, server):
        server.connections = -1  # the survey and the check before are good ones
        arguments = ("--phases", "hostile", "--max-time", "0.5", "--cases", tmp_path)
        result = fuzz("run", address, *arguments)
        assert result.exit_code == 1, result.output
        case = min(tmp_path.iterdir())
        content = json.loads(case.read_text(encoding="utf-8"))
        assert content["options"]["phase"] == "hostile"
        assert content["number"] == content["options"]["case"]
        server.connections = 0
        again = fuzz("replay", case, "--times", "2")
        assert again.exit_code == 1, again.output
        assert content["number"] in again.output


def test_floods_only_when_they_are_asked_for(ours: str, tmp_path: Path) -> None:
    report = tmp_path / "report"
    arguments = ("--max-time", "0", "--cases", tmp_path, "--report", f"ndjson={report}")
    for phases, floods in ([], False), (["--phases", "flood"], True):
        result = fuzz("run", ours, *phases, *arguments)
        assert result.exit_code == 0, result.output
        checks = json.loads(report.read_text(encoding="utf-8"))["checks"]
        assert ("SEC-1.rapid-reset" in checks) is floods


def test_the_rate_is_kept(ours: str, tmp_path: Path) -> None:
    report = tmp_path / "report"
    arguments = ("--phases", "stateful", "--runs", "3", "--calls", "1", "--cases", tmp_path)
    result = fuzz("run", ours, *arguments, "--rate", "20", "--report", f"ndjson={report}")
    assert result.exit_code == 0, result.output
    line = json.loads(report.read_text(encoding="utf-8"))
    assert line["seconds"] >= (line["calls"] - 20) / 20  # the last run's calls are not waited for


def test_tls_as_the_probe_speaks_it(tmp_path: Path) -> None:
    with serving("--tls") as (server, address):
        authority = next(line.rpartition("--ca ")[2] for line in server.lines if "--ca " in line)
        arguments = (address, "--phases", "stateful", "--runs", "2", "--cases", tmp_path, *UNARY)
        result = fuzz("run", *arguments, "--ca", authority)
        assert result.exit_code == 0, result.output
        wrong = fuzz("run", *arguments, "--tls")
        assert wrong.exit_code == 2
        assert "certificate" in wrong.output
        name = fuzz("run", *arguments, "--ca", authority, "--server-name", "other.example")
        assert name.exit_code == 2


# --- what is found ----------------------------------------------------------------------------------------------------


def test_a_server_that_breaks_a_rule_is_found_and_replayed(tmp_path: Path) -> None:
    with by_hand("hangs up") as (address, server):
        result = fuzz("run", address, "--phases", "stateful", *QUICK, "--cases", tmp_path)
        assert result.exit_code == 1, result.output
        assert "B5: the connection" in result.output
        assert "--> PING" in result.output
        [case] = tmp_path.iterdir()
        content = json.loads(case.read_text(encoding="utf-8"))
        assert bytes.fromhex(content["wire"]["client"]).startswith(b"PRI * HTTP/2.0")
        assert content["versions"]["duplexcore"]
        result = fuzz("replay", case, "--times", "2")
        assert result.exit_code == 1, result.output
        assert result.output.startswith("FAILED  B5: the connection")
        smaller = fuzz("shrink", case, "--budget", "3")
        assert smaller.exit_code == 0, smaller.output
        server.fault = ""
        fixed = fuzz("replay", case, "--times", "2")
        assert (fixed.exit_code, fixed.output[:5]) == (0, "FIXED")
        server.fault, server.well = "hangs up", {server.connections + 2, server.connections + 4}
        flaky = fuzz("replay", case)  # its first connection asks how calls end
        assert flaky.exit_code == 1
        assert flaky.output.startswith("FLAKY 3 of 5  B5")
    gone = fuzz("replay", case)
    assert (gone.exit_code, gone.output[:5]) == (2, "ERROR")


def test_what_does_not_fail_again_is_still_told(tmp_path: Path) -> None:
    with by_hand("hangs up") as (address, server):
        server.well = set(range(3, 100))
        result = fuzz("run", address, "--phases", "stateful", *QUICK, "--cases", tmp_path)
    assert result.exit_code == 1, result.output
    assert "B5: the connection" in result.output


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 99}, "is a case file of version 99"),
        ({"options": {"nonsense": 1}}, "of another version"),
        ({"options": {"phase": "hostile", "case": "MAL-0.gone"}}, "there is no case MAL-0.gone"),
        ({"options": {"descriptor": "/no/such/file"}}, "/no/such/file: No such file"),
        ({"options": {"metadata": ["token: (not kept)"]}}, "give them with --metadata"),
    ],
)
def test_a_case_that_can_not_be_run_is_an_error(
    ours: str, tmp_path: Path, change: dict[str, object], says: str
) -> None:
    content = {"format": "duplexcore case", "version": 5, "target": ours, "options": {}, "tape": [], "number": "B3"}
    path = tmp_path / "some.dxcase"
    path.write_text(json.dumps(content | {"message": "B3: so it was"} | change), encoding="utf-8")
    result = fuzz("replay", path)
    assert result.exit_code == 2, result.output
    assert result.output.startswith("ERROR")
    assert says in result.output


def test_values_of_metadata_are_in_no_report(tmp_path: Path) -> None:
    secret = "s3cr3t-t0k3n"
    reports = ",".join(f"{kind}={tmp_path / kind}" for kind in ("junit", "ndjson", "html"))
    with by_hand("hangs up") as (address, server):
        arguments = ("--phases", "stateful", *QUICK, "--cases", tmp_path / "cases", "--report", reports)
        result = fuzz("run", address, *arguments, "--metadata", f"authorization: {secret}")
        assert result.exit_code == 1, result.output
        assert (b"authorization", secret.encode()) in server.fields
        [case] = (tmp_path / "cases").iterdir()
        again = fuzz("replay", case, "--times", "1", "--metadata", f"authorization: {secret}")
        assert again.exit_code == 1, again.output
    for text in (result.output, again.output, *(one.read_text("utf-8") for one in (case, *tmp_path.glob("*[!s]")))):
        assert secret not in text
    assert "authorization" in case.read_text(encoding="utf-8")
    assert json.loads(case.read_text(encoding="utf-8"))["wire"] == {}


# --- what is known ----------------------------------------------------------------------------------------------------

KNOWN = """
[[known]]
target = "127.0.0.1:*"
check = "B5"
says = "the connection"
why = "it has no time"
"""


def test_a_known_failure_that_still_fails_fails_nothing(tmp_path: Path) -> None:
    known, reports = tmp_path / "known.toml", {kind: tmp_path / kind for kind in ("junit", "ndjson", "html")}
    known.write_text(KNOWN, encoding="utf-8")
    with by_hand("hangs up") as (address, _):
        result = fuzz(
            *("run", address, "--phases", "stateful", *QUICK, "--cases", tmp_path, "--known-failures", known),
            *("--report", ",".join(f"{kind}={path}" for kind, path in reports.items())),
        )
    assert result.exit_code == 0, result.output
    assert "known: B5: the connection" in result.output
    assert "nothing found, 1 known in 2 runs" in result.output
    suite = ET.parse(reports["junit"]).getroot()
    assert (suite.attrib["failures"], suite.attrib["skipped"]) == ("0", "1")
    assert [one.attrib["message"] for one in suite.iter("skipped")] == ["known: it has no time"]
    lines = [json.loads(line) for line in reports["ndjson"].read_text(encoding="utf-8").splitlines()]
    assert [line["known"] for line in lines] == ["it has no time", 1]
    assert "known: it has no time" in reports["html"].read_text(encoding="utf-8")


def test_a_known_failure_that_passes_fails_the_run(tmp_path: Path) -> None:
    known, junit = tmp_path / "known.toml", tmp_path / "junit"
    known.write_text(KNOWN, encoding="utf-8")
    arguments = ("--cases", tmp_path, "--known-failures", known, "--report", f"junit={junit}")
    with by_hand() as (address, _):
        result = fuzz("run", address, "--phases", "stateful", *QUICK, *arguments)
        assert result.exit_code == 1, result.output
        assert "B5 is in the file of known failures and must still fail, but it passes: take it out" in result.output
        assert ET.parse(junit).getroot().attrib["failures"] == "1"
        other_phase = fuzz("run", address, "--phases", "conformance", "--max-time", "0", *arguments)
        assert other_phase.exit_code == 0, other_phase.output  # nobody has looked


def test_a_known_failure_that_needs_a_moment_of_its_own_has_ten_times_the_runs(tmp_path: Path) -> None:
    known = tmp_path / "known.toml"
    known.write_text(KNOWN, encoding="utf-8")
    with by_hand("hangs up") as (address, server):
        server.well = set(range(6))  # the first runs find nothing
        result = fuzz("run", address, "--phases", "stateful", *QUICK, "--cases", tmp_path, "--known-failures", known)
    assert result.exit_code == 0, result.output
    counted = re.search(r"nothing found, 1 known in (\d+) runs", result.output)
    assert counted is not None, result.output
    assert 2 < int(counted[1]) < 20


def test_another_failure_of_a_known_check_is_news(tmp_path: Path) -> None:
    known = tmp_path / "known.toml"
    other = KNOWN.replace('"the connection"', '"SETTINGS"')
    known.write_text(other.replace("127.0.0.1:*", "127.0.0.1:?"), encoding="utf-8")
    with by_hand("hangs up") as (address, _):
        arguments = ("--phases", "stateful", *QUICK, "--cases", tmp_path, "--known-failures", known)
        assert fuzz("run", address, *arguments).exit_code == 1  # of another target
        known.write_text(other, encoding="utf-8")
        result = fuzz("run", address, *arguments)
    assert result.exit_code == 1
    assert "1 failures, 0 known, 1 known that pass" in result.output


class Twice(Part):
    """Breaks one rule in two ways, by choice: the dull one is known."""

    def __call__(self, chooser: Chooser) -> object:
        raise PropertyError("B3", ("PING", "SETTINGS")[chooser.choose(2, "which", ("PING", "SETTINGS"))])


class TwiceWrong(AddressSubject):
    def _part(self, options: AddressOptions) -> Part:
        return Twice(self.name, options, self.server, self.pace)


def test_what_is_known_hides_nothing_else_of_its_check_and_is_not_what_others_are_shrunk_to() -> None:
    entry = KnownFailure("*", "B3", "it forgets them", "PING")
    with by_hand() as (address, _):
        subject = TwiceWrong(address, AddressOptions(phases=("stateful",), timeout=1.0), [entry])
        found = list(subject.findings(range(20), Policy.MIX, lambda runs: None, lambda: True))
    assert sorted((one.message, one.tape) for one in found) == [("B3: PING", ()), ("B3: SETTINGS", (1,))]


def test_a_finding_that_is_known_is_no_excuse_for_another_of_its_check() -> None:
    case = Case(target="x", options={}, tape=(), number="B3", message="B3: PING", seed=0, policy="mix")
    report = Report("x", {"B3": "", "B4": ""}, [Found(case, "", "", known="it forgets them")])
    assert ET.fromstring(to_junit(report)).attrib["failures"] == "0"
    report.found.insert(0, Found(replace(case, message="B3: SETTINGS"), "", ""))
    suite = ET.fromstring(to_junit(report))
    assert (suite.attrib["failures"], suite.attrib["skipped"]) == ("1", "0")
    assert [one.attrib["message"] for one in suite.iter("failure")] == ["B3: SETTINGS"]
    assert "does not hold" in to_html(report)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[", "is not TOML"),
        ("known = 3", "more than [[known]] entries"),
        ("[other]", "more than [[known]] entries: other"),
        ("[[known]]\ntarget = 'x'", "entry 1 has no check, why"),
        ("[[known]]\ntarget = 'x'\ncheck = 'B3'\nwhy = ' '", "does not say why"),
        ("[[known]]\ntarget = 'x'\ncheck = 'B3'\nwhy = 'y'\nwho = 'z'", "has who, which means nothing"),
        ("[[known]]\ntarget = 'x'\ncheck = 'B99'\nwhy = 'y'", "there is no check 'B99'"),
        ("[[known]]\ntarget = 3", "is not a table of texts"),
    ],
)
def test_a_file_of_known_failures_that_can_not_be_used_is_told(tmp_path: Path, content: str, says: str) -> None:
    known = tmp_path / "known.toml"
    known.write_text(content, encoding="utf-8")
    result = fuzz("run", "127.0.0.1:1", "--known-failures", known)
    assert result.exit_code == 2, result.output
    assert says in result.output


# --- what can not be asked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["127.0.0.1:1"], "127.0.0.1:1: "),
        (["127.0.0.1:1", "--reflection"], "127.0.0.1:1"),
        (["192.0.2.1:50051"], "--i-may-test-this-target"),
        (["127.0.0.1:1", "--message", "x"], "--message is hexadecimal"),
        (["127.0.0.1:1", "--method", "x"], "a method is /package.Service/Method"),
        (["127.0.0.1:1", "--reflection", "--descriptor", "x"], "give one of them"),
        (["127.0.0.1:1", "--reflection", "--kind", "duplex"], "are for --method alone"),
        (["127.0.0.1:1", "--descriptor", "/no/such/file"], "/no/such/file: No such file"),
        (["127.0.0.1:1", "--descriptor", __file__], "is no FileDescriptorSet"),
        (["127.0.0.1:1", "--phases", "odd"], "'odd' is not one of conformance, hostile, flood, stateful"),
        (["127.0.0.1:1", "--server-name", "x"], "--server-name is for --tls"),
        (["127.0.0.1:1", "--ca", "/no/such/file"], "cannot use --ca /no/such/file"),
        (["127.0.0.1:1", "--metadata", "x"], "--metadata is NAME:VALUE"),
        (["127.0.0.1:1", "--known-failures", "/no/such/file"], "cannot read /no/such/file"),
        (["engine", "--known-failures", __file__], "--known-failures is for a TARGET that is HOST:PORT"),
        (["engine", "--reflection"], "--reflection is for a TARGET that is HOST:PORT"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], says: str) -> None:
    result = fuzz("run", *arguments)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert "Traceback" not in result.output


def test_a_server_that_does_not_answer_is_told() -> None:
    with by_hand("hangs up at once") as (address, server):
        server.connections = 1
        mute = fuzz("run", address)
    assert mute.exit_code == 2, mute.output
    assert "a plain call is not answered" in mute.output


def test_a_server_without_reflection_is_told(ours: str) -> None:
    result = fuzz("run", ours, "--reflection")
    assert result.exit_code == 2, result.output
    assert "does not offer reflection" in result.output
