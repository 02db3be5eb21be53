"""`duplexcore interop server`: the service of the suite, until told to stop."""

from __future__ import annotations

import signal

import click

from duplexcore.interop.server import interop_server

from .server import ServeOptions, stop_when_told
from .signals import signals

__all__ = ["serve_interop"]


async def serve_interop(options: ServeOptions) -> None:
    """Until SIGTERM or SIGINT; a second one does not wait for calls."""
    async with (
        # Before the first line is printed: who waits for it may send a signal at once.
        signals(signal.SIGTERM, signal.SIGINT) as caught,
        interop_server(*options.addresses, tls=options.tls) as server,
    ):
        for address in server.addresses:
            click.echo(f"listening on {address}{' with TLS' if options.tls else ''}")
        click.echo("serving grpc.testing.TestService; Ctrl-C or SIGTERM stops")
        await stop_when_told(server, caught, options.grace)
    click.echo("stopped")
