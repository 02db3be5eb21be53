"""What `connect` and `serve` are told to talk to."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["TcpTarget", "UnixTarget", "parse_target"]

_TCP = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]:/\s]*)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """A host, which may be empty, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        host = self.host.partition("%")[0]  # a zone means something on this machine only
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixTarget:
    """The path of a Unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @property
    def authority(self) -> str:
        return "localhost"


def parse_target(text: str) -> TcpTarget | UnixTarget:
    """``host:port``, ``[v6]:port``, ``unix:/path`` or ``unix:path``. Raises ValueError for anything else."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path.removeprefix("//") if path.startswith("///") else path
        if not path:
            raise ValueError(f"target {text!r} has no path after 'unix:'")
        return UnixTarget(path)
    if "://" in text:
        raise ValueError(f"target {text!r} is a URL: use 'host:port', and tls=True where TLS is spoken")
    match = _TCP.fullmatch(text)
    if match is None:
        raise ValueError(f"target {text!r} is not 'host:port', '[v6]:port' or 'unix:/path'")
    port = int(match["port"])
    if port > 65535:
        raise ValueError(f"target {text!r}: ports go up to 65535")
    return TcpTarget(match["v6"] or match["host"], port)
