"""The server of the soak, a process of its own: ``python -m benchmarks.soak.server``.

It prints its two ports as JSON and serves until its standard input ends."""

from __future__ import annotations

import json
import sys

import anyio
import anyio.to_thread
import click

from duplexcore import ServerConfig
from duplexcore_anyio import serve

from .service import router

__all__ = ["Ports"]


class Ports:
    """``steady`` keeps its connections; ``leaving`` asks its clients again and again to make another one."""

    def __init__(self, steady: int, leaving: int) -> None:
        self.steady, self.leaving = steady, leaving


async def run(http2: str | None) -> None:
    chosen = {} if http2 is None else {"http2": http2}
    steady = ServerConfig(max_concurrent_calls=20_000, **chosen)  # type: ignore[arg-type]
    leaving = ServerConfig(max_connection_age=1.0, max_connection_age_grace=30.0, **chosen)  # type: ignore[arg-type]
    served = router()
    async with (
        serve(served, "127.0.0.1:0", config=steady) as one,
        serve(served, "127.0.0.1:0", config=leaving) as other,
    ):
        print(json.dumps({"steady": one.port, "leaving": other.port}), flush=True)
        await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)


@click.command()
@click.option("--backend", type=click.Choice(["asyncio", "trio", "uvloop"]), default="asyncio")
@click.option("--http2", default=None)
def main(backend: str, http2: str | None) -> None:
    uvloop = backend == "uvloop"
    anyio.run(
        run,
        http2,
        backend="trio" if backend == "trio" else "asyncio",
        backend_options={"use_uvloop": True} if uvloop else None,
    )


if __name__ == "__main__":
    main()
