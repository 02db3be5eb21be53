"""`duplexcore interop server`: the service of the suite, until told to stop."""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack

import click

from duplexcore import ServerConfig
from duplexcore.interop.server import interop_server
from duplexcore_anyio import ListenError

from .problems import WrongUse
from .server import ServeOptions, stop_when_told
from .signals import signals

__all__ = ["serve_interop"]


async def serve_interop(options: ServeOptions, config: ServerConfig) -> None:
    """Until SIGTERM or SIGINT; a second one does not wait for calls. Raises `WrongUse` where it can not listen."""
    async with AsyncExitStack() as stack:
        # Before the first line is printed: who waits for it may send a signal at once.
        caught = await stack.enter_async_context(signals(signal.SIGTERM, signal.SIGINT))
        try:
            serving = interop_server(*options.addresses, tls=options.tls, config=config)
            server = await stack.enter_async_context(serving)
        except ListenError as error:
            raise WrongUse(str(error)) from error
        for address in server.addresses:
            click.echo(f"listening on {address}{' with TLS' if options.tls else ''}")
        click.echo("serving grpc.testing.TestService; Ctrl-C or SIGTERM stops")
        await stop_when_told(server, caught, options.grace)
    click.echo("stopped")
