"""The engine does no I/O, reads no clock and draws no random numbers: it cannot, since it imports nothing that does."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
ENGINE = SOURCE / "duplexcore"
#: Not part of the engine: shipped for tests, and the command.
EXEMPT = {"testing", "interop", "cli"}
FORBIDDEN = {
    "anyio",
    "asyncio",
    "concurrent",
    "duplexcore_anyio",
    "multiprocessing",
    "queue",
    "random",
    "sched",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "socketserver",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "trio",
    "uvloop",
}


def engine_files() -> list[Path]:
    return [path for path in sorted(ENGINE.rglob("*.py")) if path.relative_to(ENGINE).parts[0] not in EXEMPT]


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every import, wherever it stands, whoever it is for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.partition(".")[0]


def test_there_is_an_engine_to_read() -> None:
    rooms = {path.relative_to(ENGINE).parts[0] for path in engine_files()}
    assert {"status.py", "metadata.py", "errors.py", "config.py", "call", "http2", "connection", "rpc"} <= rooms


@pytest.mark.parametrize("path", engine_files(), ids=module_name)
def test_imports_no_io_no_clock_no_chance(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    found = [f"line {line}: {name}" for line, name in imported(tree) if name in FORBIDDEN]
    assert not found, f"{module_name(path)} is part of the engine, which has no I/O and no clock: {found}"


@pytest.mark.parametrize("path", engine_files(), ids=module_name)
def test_imports_by_name_are_not_hidden_in_calls(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = {function.id for function in calls if isinstance(function, ast.Name)}
    reached = {function.attr for function in calls if isinstance(function, ast.Attribute)}
    assert not (named | reached) & {"__import__", "import_module"}
    assert "open" not in named, "the engine opens no files"


def modules_after(statements: str) -> set[str]:
    """What a fresh interpreter has loaded after these statements. (Measuring coverage would load half of FORBIDDEN.)"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"{statements}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    loaded: list[str] = json.loads(run.stdout)
    return set(loaded)


def test_a_fresh_interpreter_loads_nothing_beyond_h2() -> None:
    h2 = modules_after("import h2.config, h2.connection, h2.errors, h2.events, h2.settings, hpack, hyperframe.frame")
    names = sorted({module_name(path) for path in engine_files()} - {"duplexcore"})
    engine = modules_after("\n".join(f"import {name}" for name in ["duplexcore", *names]))
    assert "duplexcore" in engine
    extra = {name for name in engine - h2 if name.partition(".")[0] in FORBIDDEN}
    assert not extra, f"importing the engine loads {sorted(extra)}"
    assert not {
        name for name in engine if name.startswith(("duplexcore.testing", "duplexcore.interop", "duplexcore.cli"))
    }
    assert not {name for name in engine if name.partition(".")[0] in {"google", "grpc", "hypothesis", "click", "rich"}}
