"""The options by which commands speak TLS to a server: the same for all that test one."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .problems import told_as_wrong_use
from .tls import client_context

__all__ = ["tls_of", "tls_options"]

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)


def tls_options(function: F) -> F:
    """Adds ``tls``, ``ca`` and ``server_name``; `tls_of` makes of them what connections need."""
    options = (
        click.option("--tls", is_flag=True, help="Encrypt; the server's certificate is checked."),
        click.option(
            "--ca", type=FILE, metavar="FILE", help="Trust this authority (PEM) instead of the system's; means --tls."
        ),
        click.option("--server-name", metavar="NAME", help="The name that the certificate must have, if not HOST."),
    )
    for one in reversed(options):
        function = one(function)
    return function


def tls_of(tls: bool, ca: Path | None, server_name: str | None) -> ssl.SSLContext | None:
    """None without TLS. Raises click.UsageError, and `WrongUse` for a file that is no authority."""
    if not (tls or ca):
        if server_name:
            raise click.UsageError("--server-name is for --tls")
        return None
    with told_as_wrong_use():
        return client_context(ca)
