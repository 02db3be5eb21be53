"""``python -m benchmarks.soak``: the command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import click

from duplexcore import ClientConfig

from .load import Count, Load
from .pressure import CASES, pressed
from .server import Ports
from .verdict import Check, judged
from .view import show_verdict, watching

#: The first part of a run fills caches and pools; what is held after it is what may be held at the end.
FIRST = 0.2


@contextmanager
def serving(backend: str, http2: str | None) -> Iterator[tuple[Ports, int]]:
    """The server, a process of its own: its ports and its process id."""
    command = [sys.executable, "-m", "benchmarks.soak.server", "--backend", backend]
    if http2 is not None:
        command += ["--http2", http2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise click.ClickException("the server did not start: its own message stands above")
            yield Ports(**json.loads(line)), process.pid
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise click.ClickException("the server did not stop") from None


def running(backend: str, work: Any, *arguments: Any) -> Any:
    return anyio.run(
        work,
        *arguments,
        backend="trio" if backend == "trio" else "asyncio",
        backend_options={"use_uvloop": True} if backend == "uvloop" else None,
    )


async def soak(
    ports: Ports, seconds: float, workers: int, seed: int, config: ClientConfig
) -> tuple[Count, list[Check]]:
    load = Load(ports, workers=workers, seed=seed, config=config)
    async with anyio.create_task_group() as tasks:
        await tasks.start(lambda task_status: watching(load.count, seconds, task_status=task_status))
        first = await load.run(seconds * FIRST)
        last = await load.run(seconds * (1 - FIRST))
        tasks.cancel_scope.cancel()
    return load.count, judged(load.count, first, last)


def config_of(http2: str | None) -> ClientConfig:
    options: dict[str, Any] = {} if http2 is None else {"http2": http2}
    return ClientConfig(max_receive_message_size=2**24, **options)


BACKEND = click.option(
    "--backend", type=click.Choice(["asyncio", "trio", "uvloop"]), default="asyncio", show_default=True
)
HTTP2 = click.option("--http2", type=click.Choice(["h2", "native"]), default=None, help="The carrier of both sides.")


@click.group(invoke_without_command=True)
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True)
@click.option("--workers", type=click.IntRange(min=4), default=32, show_default=True, help="Calls under way at once.")
@click.option("--seed", type=int, default=1, show_default=True, help="What is called in which order.")
@BACKEND
@HTTP2
@click.option("--json", "report", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here.")
@click.pass_context
def main(
    context: click.Context,
    seconds: float,
    workers: int,
    seed: int,
    backend: str,
    http2: str | None,
    report: Path | None,
) -> None:
    """A mixed load against a server in a process of its own, for a given time.

    All four kinds of call, cancels, deadlines, slow readers on both sides, connections that the server retires, and
    connections that are cut at any byte. At the end: no message lost or wrong, every status as expected, and no call,
    task, open file or memory more than after the first fifth of the run. Exit code 0 when all of it holds, 1 when not.
    """
    if context.invoked_subcommand is not None:
        return
    started = time.monotonic()
    with serving(backend, http2) as (ports, _):
        count, checks = running(backend, soak, ports, seconds, workers, seed, config_of(http2))
    passed = time.monotonic() - started
    show_verdict(count, checks, passed)
    if report is not None:
        figures = {
            "seconds": seconds,
            "backend": backend,
            "http2": http2,
            "right": count.right,
            "cut": count.cut,
            "wrong": count.wrong,
            "checks": [check.__dict__ for check in checks],
        }
        report.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(not all(check.holds for check in checks))


@main.command()
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="With and without, in turns.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Of each turn.")
@click.option("--case", "cases", type=click.Choice(list(CASES)), multiple=True, help="Only this one; may be repeated.")
@BACKEND
@HTTP2
def pressure(rounds: int, seconds: float, cases: tuple[str, ...], backend: str, http2: str | None) -> None:
    """A bad neighbour on the same server: what it costs the others.

    Each case measures the calls of a good client with and without the neighbour, in turns. Others keep at least 80 % of
    their rate, and the server's memory stays bounded. Exit code 0 when both hold for every case, 1 when not.
    """
    holds = True
    for name in cases or tuple(CASES):
        with serving(backend, http2) as (ports, process):
            result = running(backend, pressed, name, ports, process, rounds, seconds, config_of(http2))
        click.echo(str(result))
        holds = holds and result.holds
    sys.exit(not holds)


if __name__ == "__main__":
    main()
