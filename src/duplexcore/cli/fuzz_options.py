"""The options of `duplexcore fuzz` for a TARGET that is HOST:PORT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .tls_options import tls_options

__all__ = ["FLAGS", "KINDS", "PHASES", "USUAL_PHASES", "metadata_option", "mine_option", "pid_option", "server_options"]

FILE = click.Path(dir_okay=False, path_type=Path)
#: The phases in their order; floods only when they are asked for. The last one has no end of its own.
PHASES = ("conformance", "hostile", "flood", "stateful")
USUAL_PHASES = ("conformance", "hostile", "stateful")
#: Of --method alone: whether requests are a stream, and whether there is one response.
KINDS = {
    "unary": (False, False),
    "client-streaming": (True, True),
    "server-streaming": (False, False),
    "duplex": (True, False),
}
#: What is said by flags of the same name, and kept by case files.
FLAGS = (
    "method",
    "kind",
    "message",
    "reflection",
    "descriptor",
    "numbers",
    "timeout",
    "authority",
    "metadata",
    "tls",
    "ca",
    "server_name",
    "phases",
    "only",
    "rate",
    "pid",
)


class Phases(click.ParamType):  # type: ignore[type-arg] # generic from click 8.4 on
    """``conformance,stateful``: any of the phases."""

    name = "phases"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        found = tuple(str(value).split(","))
        for one in found:
            if one not in PHASES:
                self.fail(f"{one!r} is not one of {', '.join(PHASES)}", param, ctx)
        return found


mine_option = click.option("--i-may-test-this-target", "mine", is_flag=True, help="For servers on other machines.")
metadata_option = click.option(
    "--metadata",
    multiple=True,
    metavar="NAME:VALUE",
    help="For HOST:PORT: sent with each call; repeat. Reports and cases do not show the values.",
)
pid_option = click.option(
    "--pid",
    type=click.IntRange(1),
    metavar="N",
    help="For HOST:PORT: the process of the server, on this Linux: memory and open files must not grow with the runs.",
)

server_options = (
    click.option("--reflection", is_flag=True, help="For HOST:PORT: ask it for its methods."),
    click.option(
        "--descriptor",
        type=FILE,
        metavar="FILE",
        help="For HOST:PORT: its methods: a FileDescriptorSet of protoc or buf.",
    ),
    click.option(
        "--method",
        metavar="/PKG.SVC/METHOD",
        help="For HOST:PORT: what is called; may have * with --reflection and --descriptor.",
    ),
    click.option(
        "--kind",
        type=click.Choice(list(KINDS)),
        default=None,
        help="For HOST:PORT: of --method alone. [default: unary]",
    ),
    click.option("--message", metavar="HEX", help="For HOST:PORT: the bytes of each request. [default: none]"),
    click.option(
        "--numbers",
        type=click.IntRange(0),
        metavar="MOST",
        help="For HOST:PORT: no larger numbers in messages, for services that do things as often as they are told.",
    ),
    click.option(
        "--phases",
        type=Phases(),
        default=None,
        metavar="PHASE,...",
        help=f"For HOST:PORT: of {', '.join(PHASES)}. [default: {','.join(USUAL_PHASES)}]",
    ),
    click.option(
        "--only",
        multiple=True,
        metavar="GLOB",
        help="For HOST:PORT: of the phases with cases those that fit, like 'C*' or 'MAL-1.*'; repeat.",
    ),
    click.option(
        "--timeout", type=click.FloatRange(0.05, 600), metavar="SECONDS", help="For HOST:PORT: grace. [default: 5]"
    ),
    click.option(
        "--rate", type=click.FloatRange(0, min_open=True), metavar="CALLS", help="For HOST:PORT: a second, at most."
    ),
    click.option("--authority", metavar="NAME", help="For HOST:PORT: the :authority of the calls, if not HOST:PORT."),
    metadata_option,
    pid_option,
    tls_options,
    click.option(
        "--known-failures",
        type=FILE,
        metavar="FILE",
        help="For HOST:PORT: failures that are known (TOML); each entry must still fail.",
    ),
)
