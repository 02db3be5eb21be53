"""`duplexcore serve`: the echo and chat services, until told to stop; then the calls that are there may finish."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ssl import SSLContext

import anyio
import click

from duplexcore_anyio import Router, Server
from duplexcore_anyio import serve as listen

from .services import JOIN, Room, add_echo
from .signals import signals

__all__ = ["ServeOptions", "serve", "stop_when_told"]


@dataclass(frozen=True)
class ServeOptions:
    """Where to listen, as whom, and how long calls may take to finish at the end."""

    addresses: tuple[str, ...]
    grace: float
    tls: SSLContext | None = None


async def serve(options: ServeOptions) -> None:
    """Until SIGTERM or SIGINT; a second one does not wait for calls."""
    room = Room()
    router = Router()
    add_echo(router)
    router.add(JOIN, room.join)
    async with (
        # Before the first line is printed: who waits for it may send a signal at once.
        signals(signal.SIGTERM, signal.SIGINT) as caught,
        listen(router, *options.addresses, tls=options.tls) as server,
    ):
        for address in server.addresses:
            click.echo(f"listening on {address}{' with TLS' if options.tls else ''}")
        click.echo("serving echo and chat; Ctrl-C or SIGTERM stops")
        text = f"the server stops in {options.grace:g} s: no one else can come"
        await stop_when_told(server, caught, options.grace, lambda: room.notice(text))
    click.echo("stopped")


async def stop_when_told(
    server: Server,
    caught: AsyncIterator[signal.Signals],
    grace: float,
    farewell: Callable[[], None] = lambda: None,
) -> None:
    """Waits for the first signal, then for the calls that are there; a second signal cuts them off."""
    first = await anext(caught)
    click.echo(f"{first.name}: no new calls; those that are there have {grace:g} s to finish")
    farewell()
    async with anyio.create_task_group() as tasks:

        async def hurry() -> None:
            await anext(caught)
            click.echo("again: stopping at once")
            await server.stop(0)

        tasks.start_soon(hurry)
        await server.stop(grace)
        tasks.cancel_scope.cancel()
