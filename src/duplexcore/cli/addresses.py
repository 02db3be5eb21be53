"""Where a server is, for commands that test it: its address taken apart, and whether it is on this machine."""

from __future__ import annotations

import ipaddress
import socket

import click

__all__ = ["is_here", "parsed"]


def parsed(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT; ``unix:PATH`` and 0. Raises click.UsageError."""
    if "://" in address:
        raise click.UsageError(f"{address!r} is a URL: use HOST:PORT, and --tls where TLS is spoken")
    if address.startswith("unix:"):
        return address, 0
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise click.UsageError(f"{address!r} is not HOST:PORT")
    return host, int(port)


def is_here(host: str) -> bool:
    """Whether all addresses of a host are loopback ones; a name that has none is left to the connecting to tell."""
    if host.startswith("unix:"):
        return True
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)
