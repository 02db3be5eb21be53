"""`duplexcore interop`: the commands of the interop suite, with the options of the official description."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .problems import run

if TYPE_CHECKING:
    from duplexcore.config import Http2

__all__ = ["interop"]

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
DEFAULT_PORT = 10_000


def yes_or_no(name: str, text: str) -> Callable[[F], F]:
    """An option as the official programs have it: ``--use_tls``, ``--use_tls=true``, ``--use_tls=false``."""
    return click.option(
        f"--{name}",
        is_flag=False,
        flag_value="true",
        type=click.BOOL,
        default="false",
        metavar="[true|false]",
        help=text,
    )


def common(function: F) -> F:
    """The options of both sides."""
    test_ca_dir = click.option(
        "--test_ca_dir",
        type=FOLDER,
        metavar="DIR",
        help="The test authority's folder: ca.pem, server1.pem, server1.key. [default: in this user's cache folder]",
    )
    backend = click.option(
        "--backend",
        type=click.Choice(["asyncio", "trio", "uvloop"]),
        default="asyncio",
        show_default=True,
        help="Event loop.",
    )
    debug = click.option("--debug", is_flag=True, help="Show tracebacks.")
    return test_ca_dir(backend(debug(function)))


frames_by = click.option(
    "--http2", type=click.Choice(["native", "h2"]), help="What makes the frames. [default: as in configurations]"
)


def chosen(http2: Http2 | None) -> dict[str, Any]:
    """What a configuration is made with."""
    return {} if http2 is None else {"http2": http2}


@click.group()
def interop() -> None:
    """The official interop suite of gRPC: point it at any implementation.

    \b
    Two terminals, any of the two may be another implementation's program
        duplexcore interop server --port 10000
        duplexcore interop client --server_port 10000

    \b
    With TLS: the server makes a test authority the first time, the client trusts it
        duplexcore interop server --use_tls
        duplexcore interop client --use_tls --use_test_ca --server_host_override foo.test.google.fr

    \b
    All implementations against all, each in an environment of its own
        duplexcore interop peers --install all
        duplexcore interop matrix --html matrix.html

    The flags are spelled as in the official description. docs/interop.md tells what each case shows.
    """


@interop.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free one, printed."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; '' is every interface.")
@yes_or_no("use_tls", "Encrypt; without --cert with the test authority's certificate, made when it is not there.")
@click.option("--cert", type=FILE, metavar="FILE", help="The certificate and its chain (PEM); means --use_tls.")
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
@frames_by
def server(
    port: int,
    host: str,
    use_tls: bool,
    cert: Path | None,
    key: Path | None,
    grace: float,
    test_ca_dir: Path | None,
    backend: str,
    http2: Http2 | None,
    debug: bool,
) -> None:
    """Serve grpc.testing.TestService until SIGTERM or Ctrl-C, then drain.

    It has all features that the cases ask for: echoed metadata and status, compressed requests and responses,
    intervals, a server id. Its certificate, if it made one, is for foo.test.google.fr and the other official names, for
    localhost and the loopback addresses; a client finds the authority in the same --test_ca_dir, as ca.pem.
    """
    from duplexcore import ServerConfig

    from .interop_flags import address, server_tls
    from .interop_server import serve_interop
    from .server import ServeOptions

    context = server_tls(use_tls, cert, key, test_ca_dir)
    options, config = ServeOptions((address(host, port),), grace, context), ServerConfig(**chosen(http2))
    run(backend, debug, lambda: serve_interop(options, config))


@interop.command()
@click.option(
    "--server_host",
    default="localhost",
    show_default=True,
    help="The server under test; or a whole target, like ipv4:127.0.0.1:1,127.0.0.1:2, with the ports.",
)
@click.option("--server_port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True, help="Its port.")
@click.option(
    "--server_host_override",
    metavar="NAME",
    help="Call the server by this name, in TLS and as :authority, instead of its host.",
)
@click.option(
    "--test_case",
    "test_cases",
    multiple=True,
    metavar="NAME,...",
    help="Cases and suites, separated by commas. [default: all]",
)
@click.option("--list", "only_list", is_flag=True, help="Tell what each case shows, and by which rules; run none.")
@yes_or_no("use_tls", "Encrypt; the certificate is checked.")
@yes_or_no("use_test_ca", "Trust the test authority, ca.pem of --test_ca_dir, instead of the system's.")
@click.option(
    "--ca", type=FILE, metavar="FILE", help="Trust this authority (PEM) instead of the system's; means --use_tls."
)
@click.option(
    "--additional_metadata", default="", metavar="KEY:VALUE;...", help="Sent with every call; no keys in -bin."
)
@click.option("--service_config_json", default="", metavar="JSON", help="Refused unless empty: there is none yet.")
@click.option(
    "--soak_iterations", type=click.IntRange(1), default=10, show_default=True, help="Calls of rpc_soak, channel_soak."
)
@click.option(
    "--soak_max_failures",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="How many of them may fail or be too slow.",
)
@click.option(
    "--soak_per_iteration_max_acceptable_latency_ms",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Slower is too slow.",
)
@click.option(
    "--soak_overall_timeout_seconds",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="All iterations must be done by then.",
)
@click.option(
    "--soak_min_time_ms_between_rpcs",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="From the start of a call to that of the next.",
)
@click.option("--soak_request_size", type=click.IntRange(0), default=271_828, show_default=True, help="Bytes.")
@click.option("--soak_response_size", type=click.IntRange(0), default=314_159, show_default=True, help="Bytes.")
@click.option(
    "--concurrent_calls",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Calls at once of concurrent_large_unary.",
)
@click.option(
    "--channel_life_seconds",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    help="How long the calls of long_lived_channel are spread over.",
)
@click.option(
    "--case_timeout_seconds",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="A case that takes longer has failed.",
)
@common
@frames_by
def client(
    server_host: str,
    server_port: int,
    server_host_override: str | None,
    test_cases: tuple[str, ...],
    only_list: bool,
    use_tls: bool,
    use_test_ca: bool,
    ca: Path | None,
    additional_metadata: str,
    service_config_json: str,
    soak_iterations: int,
    soak_max_failures: int,
    soak_per_iteration_max_acceptable_latency_ms: int,
    soak_overall_timeout_seconds: int,
    soak_min_time_ms_between_rpcs: int,
    soak_request_size: int,
    soak_response_size: int,
    concurrent_calls: int,
    channel_life_seconds: float,
    case_timeout_seconds: float,
    test_ca_dir: Path | None,
    backend: str,
    http2: Http2 | None,
    debug: bool,
) -> None:
    """Run cases against a server.

    A line for each case tells whether it passed, failed or was skipped; below a failure stands what was expected, by
    which rule of docs/requirements.md, and what came. A server that is not there, hangs or breaks off fails the case.

    \b
    Exit code
        0   all that was run has passed; skipped ones are named
        1   a case has failed
        2   wrong use: a flag, a case, a file
        77  nothing was run: all that was asked for was skipped
    \b
    Examples
        duplexcore interop client --list
        duplexcore interop client --server_port 50051 --test_case ping_pong,large_unary
        duplexcore interop client --server_host example.org --server_port 443 --use_tls
    """
    from duplexcore import ClientConfig
    from duplexcore.interop.case import CaseOptions, Target
    from duplexcore.interop.suites import SUITES

    from .interop_client import list_cases, run_and_tell
    from .interop_flags import address, client_tls, known_cases, metadata
    from .signals import interruptible

    cases = known_cases(test_cases or (tuple(SUITES) if only_list else ("all",)))
    if only_list:
        list_cases(cases)
        return
    if service_config_json.strip() not in ("", "{}"):
        raise click.UsageError(
            "--service_config_json: there is no service config in duplexcore yet, and the case would run without it: "
            "leave it out"
        )
    tls = client_tls(use_tls, use_test_ca, ca, test_ca_dir)
    target = Target(address(server_host, server_port), tls, server_host_override)
    options = CaseOptions(
        additional_metadata=metadata(additional_metadata),
        config=ClientConfig(**chosen(http2)),
        case_timeout=case_timeout_seconds,
        soak_iterations=soak_iterations,
        soak_max_failures=soak_max_failures,
        soak_per_iteration_max_acceptable_latency=soak_per_iteration_max_acceptable_latency_ms / 1000,
        soak_overall_timeout=soak_overall_timeout_seconds,
        soak_min_time_between_rpcs=soak_min_time_ms_between_rpcs / 1000,
        soak_request_size=soak_request_size,
        soak_response_size=soak_response_size,
        concurrent_calls=concurrent_calls,
        channel_life=channel_life_seconds,
    )
    code = run(backend, debug, lambda: interruptible(lambda: run_and_tell(cases, target, options, debug=debug)))
    raise click.exceptions.Exit(code)
