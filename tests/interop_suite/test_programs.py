"""The two programs, as they are run: flags, exit codes, what they print."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from click.testing import CliRunner, Result

from duplexcore import Metadata
from duplexcore.cli.app import command
from duplexcore.cli.interop_client import NOTHING_RAN
from duplexcore.cli.test_ca import AUTHORITY, CERTIFICATE, KEY, default_folder, made_folder
from duplexcore.http2 import core
from duplexcore.interop.methods import EMPTY_CALL
from duplexcore.interop.proto.interop_pb2 import Empty
from duplexcore.interop.suites import BY_NAME, OFFICIAL, SUITES
from duplexcore_anyio import Router, ServerContext, serve
from tests.cli.running import COMMAND, Running, duplexcore, running

QUICK = [
    *("--concurrent_calls", "10", "--channel_life_seconds", "0.05"),
    *("--soak_iterations", "3", "--soak_per_iteration_max_acceptable_latency_ms", "30000"),
    *("--soak_overall_timeout_seconds", "50"),
]


@contextmanager
def serving(*arguments: str | Path) -> Iterator[tuple[Running, str]]:
    """`duplexcore interop server`, ready, and its port."""
    with running(COMMAND, "interop", "server", "--port", "0", *arguments) as server:
        port = server.until("listening on ").split()[2].rpartition(":")[2]
        yield server, port


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    with serving() as (_, port):
        yield port


@pytest.fixture(scope="module")
def test_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_folder(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def tls_port(test_ca: Path) -> Iterator[str]:
    with serving("--use_tls", "--test_ca_dir", test_ca) as (_, port):
        yield port


def client(*arguments: str | Path) -> Result:
    """`duplexcore interop client`, in this process."""
    result = CliRunner().invoke(command, ["interop", "client", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


# --- all of it, as processes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio", "uvloop"])
def test_every_case_and_how_it_is_told(tls_port: str, test_ca: Path, backend: str) -> None:
    tls: list[str | Path] = ["--use_tls=true", "--use_test_ca=true", "--test_ca_dir", test_ca]
    names = ["--server_host_override", "foo.test.google.fr", "--backend", backend]
    run = duplexcore("interop", "client", "--server_port", tls_port, *tls, *names, *QUICK)
    assert run.returncode == 0, run.stdout + run.stderr
    lines = re.findall(r"^(\w+) +(passed|skipped) +\d+ ms$", run.stdout, re.MULTILINE)
    assert [name for name, _ in lines] == [case.name for case in OFFICIAL]
    skipped = sum(verdict == "skipped" for _, verdict in lines)
    assert run.stdout.splitlines()[-1] == f"{len(lines) - skipped} passed, 0 failed, {skipped} skipped"
    assert run.stdout.count("    why       ") == skipped
    soaked = re.findall(r"^soak iteration: \d+ elapsed_ms: \d+ peer: \S+ succeeded$", run.stderr, re.MULTILINE)
    assert len(soaked) == 2 * 3


@pytest.mark.parametrize("backend", ["asyncio", "trio", "uvloop"])
def test_the_server_says_where_it_listens_and_drains_when_told(backend: str) -> None:
    with serving("--backend", backend) as (server, port):
        server.until("stops")
        assert client("--server_port", port, "--test_case", "ping_pong").exit_code == 0
        server.process.send_signal(signal.SIGTERM)
        assert server.ends() == 0
        assert server.lines[-1] == "stopped"
        assert server.errors == ""


@pytest.mark.parametrize(("http2", "other"), [("native", "h2"), ("h2", "native")])
def test_the_http2_that_is_asked_for_is_used(http2: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(core._CORES, other)  # type: ignore[misc]
    with serving("--http2", http2) as (_, port):
        assert client("--server_port", port, "--http2", http2, "--test_case", "ping_pong").exit_code == 0
        assert client("--server_port", port, "--http2", other, "--test_case", "ping_pong").exit_code == 1


# --- exit codes -----------------------------------------------------------------------------------------------------


def test_0_when_what_was_run_has_passed(port: str) -> None:
    result = client("--server_port", port, "--test_case", "empty_unary, orca_oob", "--test_case=ping_pong")
    assert result.exit_code == 0
    assert re.findall(r"^(\w+) +(\w+) +\d+ ms$", result.stdout, re.MULTILINE) == [
        ("empty_unary", "passed"),
        ("orca_oob", "skipped"),
        ("ping_pong", "passed"),
    ]


def test_1_when_a_case_has_failed(port: str) -> None:
    result = client("--server_port", port, "--test_case", "large_unary,ping_pong", "--server_host", "::1")
    assert result.exit_code == 1
    told = result.stdout.splitlines()
    assert re.fullmatch(r"large_unary +failed +\d+ ms", told[0])
    assert told[1:3] == [f"    what      connecting to [::1]:{port}", "    expected  a connection"]
    assert re.match("    came      .* refused the connection|.* cannot be reached", told[3])
    assert told[-1] == "0 passed, 2 failed, 0 skipped"


def test_77_when_nothing_was_run() -> None:
    result = client("--test_case", "orca_oob,cacheable_unary")
    assert result.exit_code == NOTHING_RAN == 77
    assert "0 passed, 0 failed, 2 skipped" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--test_case", "large_unry"], "no case 'large_unry': did you mean large_unary"),
        (["--test_case", "tea"], "no case 'tea': --list tells"),
        (["--test_case", ","], "--test_case names no case"),
        (["--server_port", "http"], "'http' is not a valid integer"),
        (["--server_host", "no host"], "--server_host.* 'no host:10000' is not"),
        (["--server_host", ""], "--server_host.* names no host"),
        (["--server_host_override", "no name"], "authority 'no name' is not a host"),
        (["--use_tls=perhaps"], "'perhaps' is not a valid boolean"),
        (["--use_test_ca"], "--use_test_ca is for --use_tls"),
        (["--use_tls", "--test_ca_dir", "x"], "--test_ca_dir is for --use_test_ca"),
        (["--use_tls", "--use_test_ca", "--ca", "x"], "--use_test_ca and --ca both name an authority"),
        (["--use_tls", "--use_test_ca", "--test_ca_dir", "nowhere"], "no test authority: nowhere/ca.pem"),
        (["--ca", "nowhere.pem"], "cannot use --ca nowhere.pem: No such file"),
        (["--additional_metadata", "key"], "'key' has no value: write KEY:VALUE"),
        (["--additional_metadata", "a-bin:x"], "'a-bin' would be binary"),
        (["--additional_metadata", "grpc-status:0"], "'grpc-status' is reserved"),
        (["--http2", "3"], "'3' is not one of 'native', 'h2'"),
        (["--service_config_json", '{"methodConfig": []}'], "no service config"),
        (["--soak_iterations", "0"], "0 is not in the range"),
        (["--case_timeout_seconds", "0"], "not in the range"),
        (["--tea"], "No such option.*--tea"),
    ],
)
def test_2_when_it_is_used_wrongly(arguments: list[str], says: str) -> None:
    result = client(*arguments)
    assert result.exit_code == 2, result.output
    assert re.search(says, result.output), result.output


def test_as_a_process_too(tmp_path: Path) -> None:
    run = duplexcore("interop", "client", "--test_case", "tea")
    assert (run.returncode, run.stdout) == (2, "")
    assert "no case 'tea'" in run.stderr
    run = duplexcore("interop", "server", "--cert", tmp_path / "none.pem")
    assert (run.returncode, run.stdout) == (2, "")
    assert re.match("duplexcore: cannot use --cert .*none.pem: No such file.*\n  name PEM files", run.stderr)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--key", "x"], "--key belongs to --cert"),
        (["--cert", "x", "--test_ca_dir", "y"], "both name a certificate"),
        (["--test_ca_dir", "y"], "--test_ca_dir is for --use_tls"),
        (["--port", "65536"], "not in the range"),
    ],
)
def test_2_when_the_server_is_used_wrongly(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(command, ["interop", "server", *arguments])
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.req("CHAN-9")
def test_several_addresses_are_one_target(port: str) -> None:
    with serving() as (_, other):
        for target in (f"127.0.0.1:{port},127.0.0.1:{other}", f"127.0.0.1:1,127.0.0.1:{other}"):
            result = client("--server_host", f"ipv4:{target}", "--test_case", "pick_first_unary")
            assert result.exit_code == 0, result.output


def test_2_when_the_port_is_taken(port: str) -> None:
    run = duplexcore("interop", "server", "--port", port)
    assert (run.returncode, run.stdout) == (2, "")
    assert f"{port} is in use" in run.stderr


@pytest.mark.parametrize("backend", ["asyncio", "trio", "uvloop"])
def test_130_when_it_is_interrupted(port: str, backend: str) -> None:
    long = ["--test_case", "empty_unary,long_lived_channel", "--channel_life_seconds", "1000", "--backend", backend]
    with running(COMMAND, "interop", "client", "--server_port", port, *long) as run:
        run.until("empty_unary ")
        run.process.send_signal(signal.SIGINT)
        assert run.ends() == 130
        assert run.errors == ""


# --- what flags do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("no_tls", [[], ["--use_tls=false"], ["--use_tls", "false"], ["--service_config_json={}"]])
def test_flags_that_change_nothing(port: str, no_tls: list[str]) -> None:
    assert client("--server_port", port, "--test_case", "empty_unary", *no_tls).exit_code == 0


@pytest.mark.parametrize("yes", ["--use_tls", "--use_tls=true"])
def test_the_certificate_is_checked(tls_port: str, test_ca: Path, yes: str) -> None:
    common = ["--server_port", tls_port, "--test_case", "empty_unary"]
    assert client(*common, yes, "--use_test_ca", "--test_ca_dir", test_ca).exit_code == 0
    assert client(*common, "--ca", test_ca / AUTHORITY).exit_code == 0  # which means TLS
    untrusted = client(*common, yes)
    assert untrusted.exit_code == 1
    assert "the peer's certificate was refused" in untrusted.stdout
    misnamed = client(*common, "--ca", test_ca / AUTHORITY, "--server_host_override", "example.org")
    assert misnamed.exit_code == 1
    assert "certificate is not valid for 'example.org'" in misnamed.stdout
    plain = client(*common)
    assert plain.exit_code == 1
    assert "does it want TLS?" in plain.stdout


def test_a_certificate_of_ones_own(test_ca: Path) -> None:
    with serving("--cert", test_ca / CERTIFICATE, "--key", test_ca / KEY) as (_, port):
        assert client("--server_port", port, "--test_case", "empty_unary", "--ca", test_ca / AUTHORITY).exit_code == 0


def test_the_name_and_the_metadata_of_the_flags_travel() -> None:
    seen: list[tuple[str, Metadata]] = []

    async def empty_call(request: Empty, context: ServerContext) -> Empty:
        seen.append((context.authority, context.metadata))
        return request

    router = Router()
    router.add(EMPTY_CALL, empty_call)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(portal.call(serve, router, "127.0.0.1:0")) as server,
    ):
        where = ["--server_port", str(server.port), "--test_case", "empty_unary"]
        assert client(*where).exit_code == 0
        named = ["--server_host_override", "some.name", "--additional_metadata", "x-a: one ;x-b:two:three;"]
        assert client(*where, *named).exit_code == 0
    assert seen == [
        (f"localhost:{server.port}", Metadata()),
        ("some.name", Metadata([("x-a", "one"), ("x-b", "two:three")])),
    ]


def test_the_soak_flags_are_obeyed(port: str) -> None:
    common = ["--server_port", port, "--test_case", "rpc_soak", "--soak_iterations", "2"]
    patient = ["--soak_overall_timeout_seconds", "50", "--soak_per_iteration_max_acceptable_latency_ms", "50000"]
    result = client(*common, *patient, "--soak_request_size", "10", "--soak_response_size", "20")
    assert result.exit_code == 0
    assert result.stderr.count("soak iteration: ") == 2
    assert "soak: 2 of 2 iterations, 0 failed or too slow" in result.stderr
    slow = [*common, "--soak_min_time_ms_between_rpcs", "60000", "--soak_overall_timeout_seconds", "1"]
    result = client(*slow)
    assert result.exit_code == 1
    assert "expected  2 iterations within 1 s" in result.stdout
    assert "rule      --soak_overall_timeout_seconds" in result.stdout


def test_the_list_tells_what_each_case_shows() -> None:
    result = client("--list")
    assert result.exit_code == 0
    assert all(re.search(rf"^  {name} +\S", result.stdout, re.MULTILINE) for name in BY_NAME)
    assert re.search(r"^  ping_pong +the server answers each .* \[DUP-2\]$", result.stdout, re.MULTILINE)
    assert len(BY_NAME) == sum(map(len, SUITES.values())), "two cases share a name"
    assert [line for line in result.stdout.splitlines() if line[0] != " "] == [f"--test_case {name}" for name in SUITES]
    one = client("--list", "--test_case", "ping_pong")
    assert one.stdout.count("\n") == 1


def test_help_teaches() -> None:
    shown = {word: CliRunner().invoke(command, ["interop", *word.split(), "--help"]).output for word in ("", "client")}
    assert "interop client --use_tls --use_test_ca --server_host_override foo.test.google.fr" in shown[""]
    for words in ("Exit code", "77", "--list", "--additional_metadata", "KEY:VALUE"):
        assert words in shown["client"]


# --- the test authority ---------------------------------------------------------------------------------------------


def test_the_authority_is_made_once_and_readable_by_its_user_alone(tmp_path: Path) -> None:
    folder = made_folder(tmp_path / "not" / "yet" / "there")
    files = {name: (folder / name).read_bytes() for name in (AUTHORITY, CERTIFICATE, KEY)}
    assert folder.stat().st_mode & 0o077 == 0
    assert made_folder(folder) == folder
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert [path.name for path in folder.parent.iterdir()] == ["there"]


def test_an_empty_folder_is_filled_and_one_with_other_things_is_left_alone(tmp_path: Path) -> None:
    empty, mine = tmp_path / "empty", tmp_path / "mine"
    empty.mkdir()
    assert (made_folder(empty) / AUTHORITY).is_file()
    mine.mkdir()
    (mine / AUTHORITY).write_text("mine", encoding="utf-8")
    result = CliRunner().invoke(command, ["interop", "server", "--use_tls", "--test_ca_dir", str(mine)])
    assert result.exit_code == 2
    assert "name a folder with ca.pem, server1.pem and server1.key, or one that is empty" in result.output
    assert [path.name for path in mine.iterdir()] == [AUTHORITY]


def test_both_sides_look_in_the_same_folder_when_nobody_says_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "duplexcore" / "interop-ca"
    with serving("--use_tls") as (_, port):
        official = ["--use_tls=true", "--use_test_ca=true", "--server_host_override=foo.test.google.fr"]
        assert client("--server_port", port, "--test_case=large_unary", *official).exit_code == 0


def test_the_page_tells_of_every_official_case_and_exit_code() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "interop.md").read_text(encoding="utf-8")
    assert [case.name for case in OFFICIAL if f"`{case.name}`" not in page] == []
    assert f"| {NOTHING_RAN} |" in page
