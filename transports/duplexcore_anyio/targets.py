"""What `connect` and `serve` are told to talk to (gRPC doc "naming", CHAN-8)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

__all__ = ["Place", "TcpTarget", "UnixTarget", "parse_place", "parse_target"]

_TCP = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]:/,\s]*))(?P<colon>:(?P<port>[0-9]{1,5}))?")
DEFAULT_PORT = 443


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

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host, when it is no name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def is_local(self) -> bool:
        """Whether what is sent there does not leave this machine."""
        return self.host == "localhost" or (self.ip is not None and self.ip.is_loopback)


@dataclass(frozen=True, slots=True)
class UnixTarget:
    """The path of a Unix socket; of an abstract one, it begins with a zero byte."""

    path: str

    def __str__(self) -> str:
        return f"unix-abstract:{self.path[1:]}" if self.is_abstract else f"unix:{self.path}"

    @property
    def authority(self) -> str:
        return "localhost"

    @property
    def is_abstract(self) -> bool:
        return self.path.startswith("\0")

    @property
    def is_local(self) -> bool:
        return True


#: Where one socket can be.
Place = TcpTarget | UnixTarget


def parse_target(text: str) -> tuple[Place, ...]:
    """What a client connects to: ``host:port``, ``[v6]:port``, ``dns:host:port``, ``unix:path``, ``unix:///path``,
    ``unix-abstract:name``, ``ipv4:a:port,b:port``, ``ipv6:[a]:port,[b]:port``; the port may be left out, it is 443
    then. Several places are addresses of one server. Raises ValueError for anything else."""
    scheme, _, rest = text.partition(":")
    if scheme in ("ipv4", "ipv6"):
        return tuple(_literal(text, one, version=int(scheme[-1])) for one in rest.split(","))
    if scheme == "dns":
        text_of_host = rest
        if rest.startswith("//"):
            server, _, text_of_host = rest.removeprefix("//").partition("/")
            if server:
                raise ValueError(
                    f"target {text!r}: a name server of one's own is not supported, use 'dns:///host:port'"
                )
        return (_tcp(text, text_of_host, named=True),)
    place = parse_place(text, default_port=DEFAULT_PORT)
    if isinstance(place, TcpTarget) and not place.host:
        raise ValueError(f"target {text!r} names no host")
    return (place,)


def parse_place(text: str, default_port: int | None = None) -> Place:
    """What a server listens at: ``host:port``, ``[v6]:port``, ``unix:path``, ``unix:///path``, ``unix-abstract:name``.
    Raises ValueError for anything else."""
    if text.startswith("unix-abstract:"):
        name = text.removeprefix("unix-abstract:")
        if not name:
            raise ValueError(f"target {text!r} has no name after 'unix-abstract:'")
        return UnixTarget("\0" + name)
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path.removeprefix("//") if path.startswith("///") else path
        if not path:
            raise ValueError(f"target {text!r} has no path after 'unix:'")
        return UnixTarget(path)
    if "://" in text:
        raise ValueError(f"target {text!r} is a URL: use 'host:port', and tls=True where TLS is spoken")
    return _tcp(text, text, default_port=default_port)


def _tcp(target: str, text: str, *, named: bool = False, default_port: int | None = DEFAULT_PORT) -> TcpTarget:
    match = _TCP.fullmatch(text)
    if match is None or (match["colon"] is None and default_port is None):
        raise ValueError(f"target {target!r} is not 'host:port', '[v6]:port' or 'unix:/path'")
    place = TcpTarget(match["v6"] or match["host"], int(match["port"] or default_port or 0))
    if place.port > 65535:
        raise ValueError(f"target {target!r}: ports go up to 65535")
    if named and not place.host:
        raise ValueError(f"target {target!r} names no host")
    return place


def _literal(target: str, text: str, *, version: int) -> TcpTarget:
    """One address of a list. An IPv6 address without a port may stand without brackets."""
    place = TcpTarget(text, DEFAULT_PORT)
    if place.ip is None:
        place = _tcp(target, text)
    if place.ip is None or place.ip.version != version:
        raise ValueError(f"target {target!r}: {text!r} is not an address of IPv{version}")
    return place
