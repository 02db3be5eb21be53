"""What is shipped: a wheel made from the source distribution, in fresh environments, without extras and with them."""

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

pytestmark = pytest.mark.gate

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "PYTHON"))}


def run(*command: str | Path, cwd: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == expect, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made from the source distribution, as a release is; the build tools are those of this environment."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (built,) = out.glob("*.whl")
    return built


class Environment:
    """A virtual environment of its own, with the wheel installed."""

    def __init__(self, directory: Path, requirement: str) -> None:
        run(sys.executable, "-m", "venv", directory, cwd=directory.parent)
        self.directory = directory
        self.bin = directory / ("Scripts" if sys.platform == "win32" else "bin")
        self.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement)

    def run(self, program: str, *arguments: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
        # In its own folder: what is imported there is what was installed.
        return run(self.bin / program, *arguments, cwd=self.directory, expect=expect)


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("bare") / "env", str(wheel))


@pytest.fixture(scope="module")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("full") / "env", f"{wheel}[cli,trio]")


def test_the_wheel_holds_both_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = Parser().parsestr(
            archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
        )
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"duplexcore", "duplexcore_anyio"}
    assert {"duplexcore/py.typed", "duplexcore_anyio/py.typed"} <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    for directory in (ROOT / "src", ROOT / "transports"):
        source = {path.relative_to(directory).as_posix() for path in directory.rglob("*.py")}
        assert source <= names, f"not in the wheel: {sorted(source - names)}"
    needed = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert [text.partition("<")[0].partition(">")[0] for text in needed] == ["h2"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert (metadata["Description-Content-Type"] == "text/markdown") == (ROOT / "README.md").exists(), (
        "README.md is the description: `readme` in pyproject.toml"
    )


def test_without_extras_two_engines_talk(bare: Environment) -> None:
    assert "two engines talked" in bare.run("python", ROOT / "tests" / "house" / "smoke_engine.py").stdout
    installed = {line.partition("==")[0] for line in bare.run("python", "-m", "pip", "freeze").stdout.splitlines()}
    assert {name.partition(" @")[0] for name in installed} == {"duplexcore", "h2", "hpack", "hyperframe"}


def test_without_extras_the_transport_names_the_one_to_install(bare: Environment) -> None:
    failed = bare.run("python", "-c", "import duplexcore_anyio", expect=1)
    assert "ImportError" in failed.stderr or "ModuleNotFoundError" in failed.stderr
    assert "duplexcore[anyio]" in failed.stderr


def test_without_extras_the_command_names_the_one_to_install(bare: Environment) -> None:
    failed = bare.run("duplexcore", "--help", expect=1)
    assert "duplexcore[cli]" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_with_extras_the_command_works(full: Environment) -> None:
    assert "demo" in full.run("duplexcore", "--help").stdout
    full.run("python", "-c", "import duplexcore_anyio; duplexcore_anyio.connect")
    for backend in ("asyncio", "trio"):
        full.run("duplexcore", "demo", "--backend", backend)
