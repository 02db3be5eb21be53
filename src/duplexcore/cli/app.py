"""The commands and their options."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from duplexcore import __version__

from .console import Console
from .explore_app import coverage, explore
from .fuzz_app import fuzz
from .http2_app import http2
from .interop_app import interop
from .matrix_app import matrix, peers
from .probe_app import probe
from .problems import run
from .worker_app import pull, worker

__all__ = ["command"]

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)
DEFAULT_PORT = 50051


def common(function: F) -> F:
    """The options of every command."""
    backend = click.option(
        "--backend", type=click.Choice(["asyncio", "trio"]), default="asyncio", show_default=True, help="Event loop."
    )
    debug = click.option("--debug", is_flag=True, help="Show tracebacks.")
    return backend(debug(function))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="duplexcore")
def command() -> None:
    """gRPC calls in both directions at once, on asyncio and trio.

    \b
    See what a duplex call is: each arrow with its time, frames and sizes
        duplexcore demo
        duplexcore demo --peer grpcio --peer-side client --backend trio
        duplexcore demo --html call.html --mermaid call.mmd

    \b
    Talk over one: a server here, and in two other terminals
        duplexcore serve
        duplexcore chat localhost:50051 --name anna

    \b
    Test an implementation, ours or another: the official interop suite
        duplexcore interop server
        duplexcore interop client --test_case all

    \b
    See how a gRPC server, of any implementation, takes odd and hostile bytes
        duplexcore probe localhost:50051

    \b
    Find what goes wrong in one order of things out of many, and see it as a picture
        duplexcore fuzz run engine

    Each command explains itself: duplexcore demo --help
    """


interop.add_command(http2)
interop.add_command(peers)
interop.add_command(matrix)
command.add_command(interop)
command.add_command(probe)
fuzz.add_command(worker)
fuzz.add_command(pull)
fuzz.add_command(explore)
fuzz.add_command(coverage)
command.add_command(fuzz)


@command.command()
@click.option(
    "--peer",
    type=click.Choice(["duplexcore", "grpcio"]),
    default="duplexcore",
    show_default=True,
    help="Who is on the other side.",
)
@click.option(
    "--peer-side",
    type=click.Choice(["client", "server"]),
    default="server",
    show_default=True,
    help="The side that the peer takes.",
)
@click.option("--tls", is_flag=True, help="Encrypt, with a certificate made for this once.")
@click.option("--uds", type=FILE, metavar="PATH", help="Over a Unix socket instead of TCP.")
@click.option("--mermaid", type=FILE, metavar="FILE", help="Write the sequence as a Mermaid diagram.")
@click.option("--html", type=FILE, metavar="FILE", help="Write it as a page that stands alone, with every byte.")
@click.option(
    "--pace",
    type=click.FloatRange(0, 60),
    default=0.2,
    show_default=True,
    metavar="SECONDS",
    help="Pause between the steps, for those who watch; 0: none.",
)
@common
def demo(
    peer: str,
    peer_side: str,
    tls: bool,
    uds: Path | None,
    mermaid: Path | None,
    html: Path | None,
    pace: float,
    backend: str,
    debug: bool,
) -> None:
    """Hold one duplex call on this machine and draw it as it happens.

    The server speaks first, answers one request twice, and ends the call with a last response, status and trailing
    metadata, though the client has not half-closed. What was to be is checked at the end: the exit code is 0 only if it
    was so.
    """
    from .demo import DemoOptions
    from .demo import demo as hold
    from .trace import Side

    options = DemoOptions(
        backend=backend,
        grpcio_side=Side(peer_side) if peer == "grpcio" else None,
        tls=tls,
        uds=uds,
        pace=pace,
        mermaid=mermaid,
        html=html,
        debug=debug,
    )
    hold(options, Console(highlight=False))


@command.command()
@click.argument("target", metavar="HOST:PORT")
@click.option("--name", help="What the others call you. [default: your login name]")
@click.option("--tls", is_flag=True, help="Encrypt; the server's certificate is checked.")
@click.option(
    "--ca", type=FILE, metavar="FILE", help="Trust this authority (PEM) instead of the system's; means --tls."
)
@click.option("--server-name", metavar="NAME", help="The name that the certificate must have, if not HOST.")
@common
def chat(
    target: str, name: str | None, tls: bool, ca: Path | None, server_name: str | None, backend: str, debug: bool
) -> None:
    """Talk in the chat room of a `duplexcore serve`.

    Each line that you type goes out at once; what is said comes in at once. Ctrl-D half-closes: you have said all you
    want to, hear the rest, and the call ends. Ctrl-C leaves. HOST:PORT may also be unix:PATH. Works with a pipe, too:

    \b
        echo 'good evening' | duplexcore chat localhost:50051
    """
    from .chat import ChatOptions
    from .chat import chat as talk
    from .signals import interruptible
    from .tls import client_context

    if "://" in target:
        raise click.UsageError(f"{target!r} is a URL: use HOST:PORT, and --tls where TLS is spoken")
    if server_name and not (tls or ca):
        raise click.UsageError("--server-name is for --tls")
    context = client_context(ca) if tls or ca else None
    options = ChatOptions(target, name or _login_name(), context, server_name)
    run(backend, debug, lambda: interruptible(lambda: talk(options, Console(highlight=False))))


@command.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; '' is every interface.")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free one.")
@click.option("--uds", type=FILE, metavar="PATH", help="Listen on a Unix socket; with --port on both.")
@click.option("--tls", is_flag=True, help="Encrypt; without --cert with a certificate made for this once.")
@click.option("--cert", type=FILE, metavar="FILE", help="The certificate and its chain (PEM); means --tls.")
@click.option("--key", type=FILE, metavar="FILE", help="Its key (PEM), if not in the same file.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long calls may take to finish at the end.",
)
@common
@click.pass_context
def serve(
    context: click.Context,
    host: str,
    port: int,
    uds: Path | None,
    tls: bool,
    cert: Path | None,
    key: Path | None,
    grace: float,
    backend: str,
    debug: bool,
) -> None:
    """Serve echo and a chat room until SIGTERM or Ctrl-C, then drain.

    Draining: no new connections and calls; those that are there may finish within --grace. A second signal cuts them
    off.
    """
    from .server import ServeOptions
    from .server import serve as run_server
    from .tls import server_context, throw_away

    if key and not cert:
        raise click.UsageError("--key belongs to --cert")
    given = {name for name in ("host", "port") if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    addresses = [f"unix:{uds}"] if uds else []
    if not uds or given:
        addresses.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    with throw_away(host, wanted=tls and not cert) as thrown:
        ssl_context = server_context(cert, key) if cert else thrown
        run(backend, debug, lambda: run_server(ServeOptions(tuple(addresses), grace, ssl_context)))


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # KeyError: before Python 3.13
        return "someone"
