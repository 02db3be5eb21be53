"""`duplexcore probe`: odd and hostile bytes for a gRPC server, and what it makes of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .addresses import is_here, parsed
from .console import Console
from .problems import WrongUse, check_writable, run, told_as_wrong_use, write
from .tls_options import tls_of, tls_options

if TYPE_CHECKING:
    from duplexcore.testing.probe import Case, Report, Result, Target

__all__ = ["probe"]

FILE = click.Path(dir_okay=False, path_type=Path)
#: Frames of each flood, unless it is said how many.
FLOODS = 2_000
COLOURS = {"pass": "green", "note": "yellow", "fail": "red", "skip": "bright_black"}


@dataclass(frozen=True)
class Outputs:
    """Where a report goes."""

    json: Path | None
    junit: Path | None
    markdown: Path | None


@click.command()
@click.argument("address", metavar="HOST:PORT", required=False)
@tls_options
@click.option("--authority", metavar="NAME", help="The :authority of the calls, if not HOST:PORT.")
@click.option(
    "--method", metavar="/PKG.SVC/METHOD", help="A method that answers --message with OK; more can be judged."
)
@click.option("--kind", type=click.Choice(["unary", "duplex"]), default="unary", show_default=True, help="Of --method.")
@click.option("--message", default="empty", show_default=True, metavar="HEX", help="The request's bytes, or 'empty'.")
@click.option("--only", multiple=True, metavar="GLOB", help="Cases whose id fits, like 'MAL-*'; may be repeated.")
@click.option("--group", multiple=True, metavar="NAME", help="Cases of a group, like FRM; may be repeated.")
@click.option("--list", "listing", is_flag=True, help="Only list the cases.")
@click.option(
    "--floods",
    type=click.IntRange(1, 100_000),
    is_flag=False,
    flag_value=FLOODS,
    default=None,
    metavar="[FRAMES]",
    help=f"Also flood, with that many frames each. [without a number: {FLOODS}]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.05, 600),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="For each answer.",
)
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write all results as JSON.")
@click.option("--junit", type=FILE, metavar="FILE", help="Write them as JUnit's XML.")
@click.option("--markdown", type=FILE, metavar="FILE", help="Write what is not a plain pass as Markdown.")
@click.option("-v", "--verbose", is_flag=True, help="A line for each case, also for those that pass.")
@click.option("--i-may-test-this-target", is_flag=True, help="For targets that are not this machine.")
@click.option(
    "--backend", type=click.Choice(["asyncio", "trio"]), default="asyncio", show_default=True, help="Event loop."
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def probe(
    address: str | None,
    tls: bool,
    ca: Path | None,
    server_name: str | None,
    authority: str | None,
    method: str | None,
    kind: str,
    message: str,
    only: tuple[str, ...],
    group: tuple[str, ...],
    listing: bool,
    floods: int | None,
    timeout: float,
    json_file: Path | None,
    junit: Path | None,
    markdown: Path | None,
    verbose: bool,
    i_may_test_this_target: bool,
    backend: str,
    debug: bool,
) -> None:
    """Send a gRPC server odd and hostile bytes, and judge what it answers.

    Any server, of any implementation: each case has a connection of its own, says by which rule of RFC 9113 or of the
    gRPC documents it judges, and makes sure afterwards that a good call is still answered.

    \b
    Without knowing its services: what HTTP/2 and an unknown method show
        duplexcore probe localhost:50051

    \b
    With a method that answers OK, also messages, deadlines and compression
        duplexcore probe localhost:50051 --method /pkg.Greeter/Hello --message 0a03626f62

    \b
    One group, all about it
        duplexcore probe localhost:50051 --group MAL -v
        duplexcore probe --list

    HOST:PORT may also be unix:PATH. The exit code is 0 when no rule that binds is broken ("should" and notes may be),
    1 when one is, 2 when it could not be asked: wrong options, or nobody answers there.
    """
    from duplexcore.testing.probe import Target, choose

    from .signals import interruptible

    cases = choose(only, group)
    if not cases:
        raise click.UsageError("no case fits --only and --group: see --list")
    console = Console(highlight=False)
    if listing:
        _list(cases, console)
        return
    if address is None:
        raise click.UsageError("HOST:PORT is missing")
    context = tls_of(tls, ca, server_name)
    host, port = parsed(address)
    if not (i_may_test_this_target or is_here(host)):
        raise click.UsageError(
            f"{host} is not this machine, and the probe sends hostile bytes: --i-may-test-this-target says that you may"
        )
    with told_as_wrong_use():
        for path in (json_file, junit, markdown):
            check_writable(path)
    try:
        target = Target(
            host,
            port,
            tls=context,
            server_name=server_name,
            authority=authority,
            method=method,
            kind=kind,
            message=_message(message),
            timeout=timeout,
            floods=floods or 0,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    report = run(backend, debug, lambda: interruptible(partial(_probe, target, cases, console, verbose)))
    _write(report, Outputs(json_file, junit, markdown))
    _summary(report, console)
    if not report.ok:
        raise click.exceptions.Exit(1)


async def _probe(target: Target, cases: list[Case], console: Console, verbose: bool) -> Report:
    """The report, with a bar on a terminal that says how far it is; what is worth telling is told as it comes."""
    from duplexcore.testing.probe import NoServerError
    from duplexcore.testing.probe import probe as ask

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("", total=len(cases))

            def show(one: Result) -> None:
                progress.update(bar, advance=1, description=escape(one.case.id))
                _show(console, verbose, one)

            return await ask(target, cases, progress=show)
    except NoServerError as error:
        raise WrongUse(str(error), "check the address, and --tls; with --method also --kind and --message") from error


# --- what was asked ---------------------------------------------------------------------------------------------------


def _message(text: str) -> bytes:
    if text == "empty":
        return b""
    if not re.fullmatch(r"([0-9a-fA-F]{2})*", text):
        raise click.UsageError(f"--message is hexadecimal, two digits for a byte, or 'empty': not {text!r}")
    return bytes.fromhex(text)


# --- what came --------------------------------------------------------------------------------------------------------


def _show(console: Console, verbose: bool, one: Result) -> None:
    from duplexcore.testing.probe import Verdict, in_words

    colour = COLOURS[one.verdict.value]
    if one.verdict is Verdict.FAIL:
        first, _, rest = in_words(one).partition("\n")
        console.print(f"[{colour}]fail[/]  {escape(first)}", soft_wrap=True)
        console.print("\n".join(f"        {escape(line)}" for line in rest.split("\n")), soft_wrap=True)
    elif verbose or one.verdict is Verdict.NOTE:
        said = one.remark if one.verdict is Verdict.SKIP else one.came
        line = f"{escape(one.case.id)}: {escape(one.case.title)} [bright_black]({escape(said)})[/]"
        console.print(f"[{colour}]{one.verdict.value}[/]  {line}", soft_wrap=True)


def _list(cases: list[Case], console: Console) -> None:
    for case in cases:
        needs = "".join(f", {need.value}" for need in case.needs)
        console.print(f"{escape(case.id)}  {escape(case.title)}", soft_wrap=True)
        console.print(f"    [bright_black]{case.level.value}: {escape(case.by)}{escape(needs)}[/]", soft_wrap=True)
        console.print(f"    [bright_black]allowed: {escape(case.expected)}[/]", soft_wrap=True)


def _summary(report: Report, console: Console) -> None:
    from duplexcore.testing.probe import Level, Verdict

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for verdict in Verdict:
        table.add_column(verdict.value, justify="right", style=COLOURS[verdict.value])
    for group in [*report.groups, None]:
        table.add_row(group or "all", *(str(report.count(verdict, group) or "") for verdict in Verdict))
    console.print(table)
    reasons = {one.remark: 0 for one in report.results if one.verdict is Verdict.SKIP}
    for reason in reasons:
        count = sum(one.verdict is Verdict.SKIP and one.remark == reason for one in report.results)
        console.print(f"[bright_black]{count} skipped: {escape(reason)}[/]", soft_wrap=True)
    binding = sum(one.case.level is Level.MUST for one in report.failures)
    others = len(report.failures) - binding
    if report.count(Verdict.SKIP) == len(report.results):
        console.print("nothing could be judged")
    elif report.ok:
        console.print("[green]no rule that binds is broken[/]" + (f"; {others} of those that advise" if others else ""))
    else:
        console.print(f"[red]{binding} cases break a rule that binds[/]; {others} break one that advises")


def _write(report: Report, outputs: Outputs) -> None:
    from duplexcore.testing.probe import to_json, to_junit, to_markdown

    if outputs.json:
        write(outputs.json, to_json(report))
    if outputs.junit:
        write(outputs.junit, to_junit(report))
    if outputs.markdown:
        write(outputs.markdown, to_markdown(report))
