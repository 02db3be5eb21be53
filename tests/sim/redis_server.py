"""A Redis server of our own, which can die and come back."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

BINARY = shutil.which("redis-server")
REQUIRED = os.environ.get("DUPLEXCORE_REQUIRE_REDIS", "") not in ("", "0")
needs_redis = pytest.mark.skipif(BINARY is None and not REQUIRED, reason="no redis-server here")
#: Longer than it takes to start or to die.
PATIENCE = 30.0


class RedisServer:
    """One at a port of this machine, which stays the same from one life to the next. It keeps nothing on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.address = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        assert BINARY is not None, "DUPLEXCORE_REQUIRE_REDIS is set, and no redis-server is here"
        words = f"--port {self.port} --bind 127.0.0.1 --appendonly no --dir {self._folder} --save".split()
        self._process = subprocess.Popen([BINARY, *words, ""], stdout=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.02)  # a process of others: there is nothing to wait for but that it answers

    def die(self) -> None:
        """At once, with all that it has."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def say(self, command: str) -> None:
        """A command that is answered with OK."""
        assert self._asked(command).startswith(b"+OK")

    def _answers(self) -> bool:
        with suppress(OSError):
            return self._asked("PING").startswith(b"+PONG")
        return False

    def _asked(self, command: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(64)


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """One that runs, and is gone after the block."""
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.die()
