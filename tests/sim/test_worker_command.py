"""`duplexcore fuzz worker` and `pull`: processes that share a Redis server; wrong use."""

from __future__ import annotations

import importlib.util
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from duplexcore.cli.app import command
from duplexcore.cli.worker_app import worker
from duplexcore.testing.sim.databases import opened
from duplexcore.testing.sim.sharing import Shelf, shelves
from duplexcore.testing.sim.targets import EngineOptions
from tests.cli.running import COMMAND, Running, duplexcore, running

from .redis_server import PATIENCE, RedisServer, needs_redis, redis_server

ROOT = Path(__file__).parents[2]
SHAPE = ("--calls", "1", "--messages", "1", "--no-leaves", "--no-faults")
OPTIONS = EngineOptions(calls=1, messages=1, leaves=False, faults=False)
PLANTED = "tests.sim.test_workers:Overtaken"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets are modules of the current folder, also those of other processes."""
    monkeypatch.chdir(ROOT)


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(command, ["fuzz", *map(str, words)])


def cases(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.dxcase")}


def stopped(run: Running) -> int:
    run.process.send_signal(signal.SIGTERM)
    return run.ends()


@needs_redis
def test_one_finds_and_the_other_replays_and_mutates(redis: RedisServer) -> None:
    with running(COMMAND, "fuzz", "worker", "engine", "--db", redis.address, "--of", "2", *SHAPE) as one:
        shelf = Shelf(opened(redis.address), "engine", OPTIONS)
        until = time.monotonic() + PATIENCE
        while len(shelf.tapes()) < 3:
            assert time.monotonic() < until, "nothing is shared"
            time.sleep(0.1)  # another process, which tells nobody
        other = duplexcore(
            "fuzz", "worker", "engine", "--db", redis.address, "--index", "1", "--of", "2", "--runs", "9", *SHAPE
        )
        assert other.returncode == 0, other.stderr
        assert "worker 1 of 2: 9 runs" in other.stdout
        assert "3 replayed, 3 mutated, " in other.stdout
        assert stopped(one) == 0
    assert any(line.startswith("worker 0 of 2: ") for line in one.lines)
    assert any(line.startswith("nothing found in ") for line in one.lines)
    assert one.errors == ""


@needs_redis
def test_what_one_has_found_is_known_to_the_other_and_taken_home(redis: RedisServer, tmp_path: Path) -> None:
    words = ("fuzz", "worker", PLANTED, "--db", redis.address, "--of", "2", *SHAPE, "--cases")
    with running(COMMAND, *words, tmp_path / "one") as one:
        one.until("again:  duplexcore fuzz replay ")
        assert stopped(one) == 1
    report = tmp_path / "other.ndjson"
    more = ("--index", "1", "--runs", "4", "--per-property", "1", "--report", f"ndjson={report}")
    other = duplexcore(*words, tmp_path / "other", *more)
    assert other.returncode == 1, other.stderr
    first, second = cases(tmp_path / "one"), cases(tmp_path / "other")
    assert first
    assert not first & second
    assert "known  " in other.stdout
    assert len(report.read_text().splitlines()) >= 1
    [shelf] = shelves(opened(redis.address))
    failures = shelf.failures()
    assert len(failures) == len(first | second)

    home = tmp_path / "home"
    pulled = invoke("pull", "--db", redis.address, "--cases", home)
    assert pulled.exit_code == 1, pulled.output
    assert pulled.stdout.count("FAILED") == len(failures)
    assert cases(home) == first | second
    again = invoke("replay", "--cases", home, min(first))
    assert again.exit_code == 1
    assert "FAILED" in again.stdout


def test_pull_tells_what_is_fixed_and_forgets_it(tmp_path: Path) -> None:
    database = opened(str(tmp_path / "db"))
    shelf = Shelf(database, "engine", OPTIONS)
    found = Shelf(database, PLANTED, OPTIONS)
    from .test_workers import Overtaken, until_found, worker

    failure = until_found(worker(database, make=Overtaken))
    found.put_failure(failure)
    Shelf(database, "no.such:Module", OPTIONS).put_failure(failure)
    kept = invoke("pull", "--db", tmp_path / "db", "--cases", tmp_path / "home", "--forget-fixed")
    assert kept.exit_code == 1, kept.output
    assert "FIXED" in kept.stdout
    assert "FAILED" in kept.stdout
    assert "left out  there is no module 'no.such' here" in kept.stdout
    assert "2 cases, 1 of them fail" in kept.stdout
    assert (shelf.failures(), found.failures()) == ([], [failure])
    assert len(list(shelves(database))) == 3
    only = invoke("pull", "engine", "--db", tmp_path / "db", "--cases", tmp_path / "home")
    assert only.exit_code == 0
    assert "0 cases, 0 of them fail" in only.stdout


def test_a_folder_and_its_reports(tmp_path: Path) -> None:
    junit = tmp_path / "report.xml"
    words = ("worker", "engine", "--db", tmp_path / "db", *SHAPE, "--cases", tmp_path / "cases")
    run = invoke(*words, "--runs", "5", "--report", f"junit={junit}")
    assert run.exit_code == 0, run.output
    assert "nothing found in 5 runs, 5 calls" in run.stdout
    assert "<testsuite" in junit.read_text()
    timed = invoke(*words, "--max-time", "0")
    assert timed.exit_code == 0
    assert "worker 0 of 1: 0 runs" in timed.stdout


def test_the_index_of_a_kubernetes_job_is_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "3")
    monkeypatch.setenv("DUPLEXCORE_FUZZ_DB", str(tmp_path / "db"))
    run = invoke("worker", "engine", "--of", "4", "--max-time", "0")
    assert run.exit_code == 0, run.output
    assert "worker 3 of 4: 0 runs" in run.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["engine"], "Missing option '--db'"),
        (["engine", "--db", "memory:", "--index", "2", "--of", "2"], "--index 2 --of 2: the index is from 0 to 1"),
        (["localhost:1", "--db", "memory:"], "'localhost:1' is a server: workers share tapes"),
        (["no.such:Module", "--db", "memory:"], "there is no module 'no.such' here"),
        (["engine", "--db", "http://localhost"], "'http://localhost' is no database: use redis://HOST:PORT/NUMBER"),
        (["engine", "--db", "redis://localhost:x"], "is no address of a Redis server"),
        (["engine", "--db", f"{__file__}/db"], "can not be a database: Not a directory"),
        (["engine", "--db", "memory:", "--report", "pdf=x"], "'pdf=x' is not one of junit=FILE"),
    ],
)
def test_wrong_use_is_told(words: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DUPLEXCORE_FUZZ_DB", raising=False)
    run = invoke("worker", *words)
    assert run.exit_code == 2, run.output
    assert says in " ".join(run.output.split())


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    address = RedisServer(tmp_path).address
    for name in (["worker", "engine"], ["pull"]):
        run = invoke(*name, "--db", address)
        assert run.exit_code == 2, run.output
        assert f"{address} can not be used: " in run.output
        assert "is the server running, and are address and password right?" in run.output


def test_missing_packages_are_told_with_their_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    run = invoke("worker", "engine", "--db", "redis://localhost")
    assert run.exit_code == 2
    assert "pip install 'duplexcore[redis]'" in run.output
    find: Any = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "hypothesis" else find(name))
    run = invoke("worker", "engine", "--db", "memory:")
    assert run.exit_code == 2
    assert "pip install 'duplexcore[testing]'" in run.output


def test_the_manifest_for_kubernetes_is_what_the_command_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    yaml = pytest.importorskip("yaml")
    text = (ROOT / "examples" / "kubernetes" / "fuzz-workers.yaml").read_text(encoding="utf-8")
    parts = {one["kind"]: one for one in yaml.safe_load_all(text)}
    job = parts["Job"]["spec"]
    [container] = job["template"]["spec"]["containers"]
    secret = parts["Secret"]["stringData"]
    names = {one["name"]: secret[one["valueFrom"]["secretKeyRef"]["key"]] for one in container["env"]}
    for name, value in {**names, "JOB_COMPLETION_INDEX": "7"}.items():
        monkeypatch.setenv(name, value)
    assert container["command"] == ["duplexcore"]
    assert container["args"][:2] == ["fuzz", "worker"]
    given = worker.make_context("worker", container["args"][2:]).params
    assert given["address"] == f"redis://:{secret['password']}@{parts['Service']['metadata']['name']}:6379/0"
    assert (given["index"], given["workers"], given["target"]) == (7, 8, "engine")
    assert job["completions"] == job["parallelism"] == job["maxFailedIndexes"] == given["workers"]
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"] == container["name"]
