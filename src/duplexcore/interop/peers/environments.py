"""What a peer runs in: a venv, a folder of Go programs, a folder of npm packages; each with pinned versions, all below
one folder. ``environment.json`` says that one is whole, and what it holds."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..proto import interop_pb2

__all__ = [
    "DESCRIPTOR_SET",
    "Environment",
    "GoPrograms",
    "InstallError",
    "NodePackages",
    "PythonPackages",
    "ThisPython",
    "default_folder",
]

#: In an environment of Node: the messages, in the form in which protoc writes descriptors.
DESCRIPTOR_SET = "interop.desc"
_MARK = "environment.json"
#: An installation that takes longer is given up. Seconds.
_TIME = 900.0


def default_folder() -> Path:
    """Where environments are when nobody says: ``DUPLEXCORE_PEERS``, or this user's cache folder."""
    if chosen := os.environ.get("DUPLEXCORE_PEERS"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "duplexcore" / "peers"


class InstallError(Exception):
    """An environment could not be made. The text says what was tried, what came, and what to do."""


@dataclass(frozen=True, slots=True)
class Environment(ABC):
    """One environment, shared by the peers that name it. ``pins``: what it holds, the peer's library first."""

    name: str
    pins: tuple[str, ...]

    def missing(self, folder: Path) -> str:
        """Why a peer cannot run in it; empty if it can."""
        mark = self._mark(folder)
        if mark is None:
            return f"not installed: duplexcore interop peers --install {self.name}"
        if mark["pins"] != list(self.pins):
            return f"installed is {', '.join(mark['pins'][:1])}: duplexcore interop peers --install {self.name}"
        return self._tool_missing()

    def versions(self, folder: Path) -> str:
        """What it holds, for people: the library and what runs it."""
        mark = self._mark(folder)
        return f"{self.library} on {mark['runtime']}" if mark else self.library

    @property
    def library(self) -> str:
        """The peer's library with its version."""
        return self.pins[0].replace("==", " ").replace("@v", " ")

    def install(self, folder: Path, say: Callable[[str], None]) -> None:
        """Makes it, or makes it again. ``say`` is told each step. Raises `InstallError`."""
        if reason := self._tool_missing():
            raise InstallError(f"{self.name}: {reason}")
        place = (folder / self.name).absolute()  # the tools run inside it
        try:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            runtime = self._make(place, say)
            mark = {"pins": self.pins, "runtime": runtime}
            (place / _MARK).write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise InstallError(f"{self.name}: cannot write {place}: {error.strerror or error}") from error

    @abstractmethod
    def _make(self, place: Path, say: Callable[[str], None]) -> str:
        """Fills an empty folder; returns what runs the peer, with its version."""

    @abstractmethod
    def _tool_missing(self) -> str:
        """Which program of this machine is needed and not there; empty if all are."""

    def _mark(self, folder: Path) -> dict[str, list[str]] | None:
        try:
            mark: dict[str, list[str]] = json.loads((folder / self.name / _MARK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return mark


class PythonPackages(Environment):
    """A venv of the Python that runs this, with packages from an index."""

    __slots__ = ()

    def _make(self, place: Path, say: Callable[[str], None]) -> str:
        say(f"{self.name}: venv")
        _run([sys.executable, "-m", "venv", str(place)], place)
        say(f"{self.name}: pip install {' '.join(self.pins)}")
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *self.pins], place)
        return f"Python {platform.python_version()}"

    def _tool_missing(self) -> str:
        return "" if importlib.util.find_spec("ensurepip") else "this Python has no ensurepip to make a venv with"


class GoPrograms(Environment):
    """Programs of a Go module, built here. The first pin is ``MODULE@VERSION``, the rest its packages."""

    __slots__ = ()

    def _make(self, place: Path, say: Callable[[str], None]) -> str:
        module, _, tag = self.pins[0].partition("@")
        packages = [f"{module}/{package}@{tag}" for package in self.pins[1:]]
        say(f"{self.name}: go install {' '.join(packages)} (takes minutes the first time)")
        _run(["go", "install", *packages], place, {"GOBIN": str(place / "bin")})
        return _run(["go", "env", "GOVERSION"], place).strip()

    @property
    def library(self) -> str:
        """The name by which people know it."""
        return f"{self.name} {self.pins[0].partition('@v')[2]}"

    def _tool_missing(self) -> str:
        return "" if shutil.which("go") else "needs Go, which is not on the PATH: https://go.dev/doc/install"


class NodePackages(Environment):
    """Packages of npm, for a program of ours."""

    __slots__ = ()

    def _make(self, place: Path, say: Callable[[str], None]) -> str:
        say(f"{self.name}: npm install {' '.join(self.pins)}")
        (place / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        _run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *self.pins], place)
        file = interop_pb2.DESCRIPTOR.serialized_pb
        (place / DESCRIPTOR_SET).write_bytes(b"\x0a" + _varint(len(file)) + file)  # FileDescriptorSet.file
        return f"Node {_run(['node', '--version'], place).strip()}"

    @property
    def library(self) -> str:
        """As npm names it, but with a space."""
        name, _, tag = self.pins[0].rpartition("@")
        return f"{name} {tag}"

    def _tool_missing(self) -> str:
        tools = [tool for tool in ("node", "npm") if not shutil.which(tool)]
        return f"needs {' and '.join(tools)}, not on the PATH: https://nodejs.org" if tools else ""


class ThisPython(Environment):
    """Where duplexcore itself runs: nothing to install. ``pins``: the event loop's module, if it is not asyncio."""

    __slots__ = ()

    def missing(self, folder: Path) -> str:
        """The module that is not there."""
        return self._tool_missing()

    def versions(self, folder: Path) -> str:
        """duplexcore, the event loop, Python."""
        parts = [f"duplexcore {version('duplexcore')}", *(f"{pin} {version(pin)}" for pin in self._there())]
        return f"{', '.join(parts)} on Python {platform.python_version()}"

    def install(self, folder: Path, say: Callable[[str], None]) -> None:
        """Nothing; raises `InstallError` if it can not run."""
        if reason := self._tool_missing():
            raise InstallError(f"{self.name}: {reason}")

    def _there(self) -> list[str]:
        return [pin for pin in self.pins if importlib.util.find_spec(pin)]

    def _tool_missing(self) -> str:
        lacking = [pin for pin in self.pins if pin not in self._there()]
        return f"needs {lacking[0]}: pip install 'duplexcore[{lacking[0]}]'" if lacking else ""

    def _make(self, place: Path, say: Callable[[str], None]) -> str:
        raise AssertionError("nothing is made")


def _run(command: Sequence[str], place: Path, environment: dict[str, str] | None = None) -> str:
    """The standard output of a command. Raises `InstallError`."""
    try:
        done = subprocess.run(
            command,
            cwd=place,
            env=os.environ | (environment or {}),
            capture_output=True,
            text=True,
            timeout=_TIME,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{' '.join(command)}: no end within {_TIME:.0f} s") from error
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-12:])
        raise InstallError(f"{' '.join(command)}: exit code {done.returncode}\n{said}")
    return done.stdout


def _varint(value: int) -> bytes:
    """A number as protobuf writes lengths."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
